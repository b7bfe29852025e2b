"""Builds what leaves, up from nothing, and seals it. The only room that can make a `Cleared`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from zlib import crc32

import orjson
from marshmallow import Schema, fields

from gateway import errors
from gateway.errors import Refused
from gateway.policy.decide import Decision
from mappings._seal import SEAL
from mappings.cleared import Cleared
from mappings.fields import Unclassified, require


def permitted_fields(schema: type[Schema], permitted: frozenset[str]) -> dict[str, str]:
    """Return {wire name: element} of the fields that may be sent. A field without an element is an error."""
    _require_classified(schema)
    wire = {f.data_key or n: f.metadata["element"] for n, f in schema._declared_fields.items()}  # noqa: SLF001
    return {name: element for name, element in wire.items() if element in permitted}


def clear(decision: Decision, schema: type[Schema], record: Mapping[str, Any]) -> Cleared[bytes]:
    """Return one answer as JSON bytes holding permitted fields of `record` only.

    The bytes are parsed again and every path must lead to a permitted element; anything else is refused.
    """
    _require(decision)
    _require_classified(schema)
    kept = _build(schema, decision.permitted, record)
    body = orjson.dumps(schema().dump(kept))
    if not _paths(orjson.loads(body), schema, decision.permitted):
        raise Refused(errors.INT_POLICY_ERROR, "the answer holds a field that no permitted element covers")
    return Cleared(body, decision.request.id, decision.permitted, SEAL)


def clear_bytes(decision: Decision, schema: type[Schema], stored: bytes) -> Cleared[bytes]:
    """Return stored bytes as they are, if every field in them is permitted and stands there once."""
    _require(decision)
    _require_classified(schema)
    parsed = orjson.loads(stored)
    if orjson.dumps(parsed) != stored or not _paths(parsed, schema, decision.permitted):
        raise Refused(errors.INT_POLICY_ERROR, "the document holds a field that no permitted element covers")
    return Cleared(stored, decision.request.id, decision.permitted, SEAL)


def clear_record(decision: Decision, schema: type[Schema], member: str, record: str) -> Cleared[bytes]:
    """Return one record of a collection under its member's name, parsed again as any single answer is."""
    _require(decision)
    _require_classified(schema)
    body = f'{{"{member}":{record}}}'.encode()
    parsed = orjson.loads(body)
    if parsed.keys() != {member} or not _paths(parsed[member], schema, decision.permitted):
        raise Refused(errors.INT_POLICY_ERROR, "the record holds a field that no permitted element covers")
    return Cleared(body, decision.request.id, decision.permitted, SEAL)


# Which records of a bulk page are parsed again, by the decision's reference and how many there are.
Sample = Callable[[str, int], Iterable[int]]


def one_of_each_page(reference: str, count: int) -> Iterable[int]:
    """What production samples: one record of every page, at a place that the decision's random reference draws."""
    return (crc32(reference.encode()) % count,) if count else ()


def every_record(_reference: str, count: int) -> Iterable[int]:
    """The whole page: what tests scan."""
    return range(count)


def clear_page(
    decision: Decision, schema: type[Schema], names: tuple[str, ...], member: str, records: Sequence[str],
    sample: Sample = one_of_each_page,
) -> Cleared[bytes]:  # fmt: skip
    """Return a bulk page of records in JSON. `names` are the fields its compiled form selects.

    The compiled form is the proof: whatever can stand in those fields must be permitted. The records that `sample`
    chooses are parsed again too.
    """
    _require(decision)
    _require_classified(schema)
    if not _is_covered(schema, names, decision.permitted):
        raise Refused(errors.INT_POLICY_ERROR, "the page selects a field that is not permitted")
    for chosen in sample(decision.request.id, len(records)):
        if not _paths(orjson.loads(records[chosen]), schema, decision.permitted):
            raise Refused(errors.INT_POLICY_ERROR, "a record of the page holds a field that is not permitted")
    page = f'{{"{member}":['.encode() + ",".join(records).encode() + b"]}"
    return Cleared(page, decision.request.id, decision.permitted, SEAL)


@lru_cache(4096)
def _is_covered(schema: type[Schema], names: tuple[str, ...], permitted: frozenset[str]) -> bool:
    """Whether these fields, and all that can stand in them, are permitted: proven once per compiled plan."""
    wire = {f.data_key or n: f for n, f in schema._declared_fields.items()}  # noqa: SLF001
    return all(name in wire and elements_of(wire[name]) <= permitted for name in names)


def elements_of(field: fields.Field[Any]) -> frozenset[str]:
    """Return the elements of a field and of all that it nests."""
    nested = _nested(field)
    inner = nested._declared_fields.values() if nested else ()  # noqa: SLF001
    return frozenset({field.metadata["element"]}).union(*map(elements_of, inner))


def _require(decision: Decision) -> None:
    if not decision.permits:
        raise Refused(decision.primary or errors.INT_POLICY_ERROR)


def _require_classified(schema: type[Schema]) -> None:
    """Refuse a schema with a field, at any depth, that the map of fields does not give the element it carries."""
    try:
        require(schema)
    except Unclassified as error:
        raise Refused(errors.ELM_UNCLASSIFIED, str(error)) from error


def _build(schema: type[Schema], permitted: frozenset[str], record: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, field in schema._declared_fields.items():  # noqa: SLF001 - marshmallow's documented registry
        if field.metadata.get("element") not in permitted or record.get(name) is None:
            continue
        nested = _nested(field)
        value = record[name]
        if nested is None:
            kept[name] = value
        elif isinstance(value, Mapping):
            kept[name] = _build(nested, permitted, value)
        else:
            kept[name] = [_build(nested, permitted, item) for item in value]
    return kept


def _nested(field: fields.Field[Any]) -> type[Schema] | None:
    inner = field.inner if isinstance(field, fields.List) else field
    return type(inner.schema) if isinstance(inner, fields.Nested) else None


def _paths(value: Any, schema: type[Schema], permitted: frozenset[str]) -> bool:
    """Whether a parsed record has the schema's shape and every path of it leads to a permitted element."""
    if not isinstance(value, dict):
        return False
    wire = {f.data_key or n: f for n, f in schema._declared_fields.items()}  # noqa: SLF001
    return all(
        name in wire and wire[name].metadata.get("element") in permitted and _fits(item, wire[name], permitted)
        for name, item in value.items()
    )


def _fits(item: Any, field: fields.Field[Any], permitted: frozenset[str]) -> bool:
    if isinstance(field, fields.List):
        return isinstance(item, list) and all(_fits(one, field.inner, permitted) for one in item)
    nested = _nested(field)
    if nested is not None:
        return _paths(item, nested, permitted)
    if isinstance(field, fields.Dict):
        return isinstance(item, dict) and not any(isinstance(one, dict | list) for one in item.values())
    return not isinstance(item, dict | list)
