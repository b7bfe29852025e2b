"""Which element each field of each protocol is, as data: one TOML file per binding, its source at its head.

A table is an object, a file or a set of claims; each line is one field of it and names one element of the register.
`holds` names the table of what stands inside the field; `"*"` is every field that the binding leaves open, and all
that stands beneath it. What is not written there has no element: it is refused.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, TypeVar

from marshmallow import Schema, fields

from mappings.elements import REGISTER

OPEN = "*"


class Unclassified(LookupError):  # noqa: N818 - a finding about a field, not an error of ours
    """A field that no line of the map gives an element, or another element than it carries."""


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the map: an element, and the table of what the field holds, "" for a plain value."""

    element: str
    holds: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """One protocol's fields. `evidence`: extracted from a machine-readable document, documented, reported by those
    who read it, derived, or ours."""

    name: str
    spec: str
    evidence: str
    tables: Mapping[str, Mapping[str, Field]]


@lru_cache
def names() -> tuple[str, ...]:
    """Return the bindings there are maps of."""
    return tuple(sorted(p.name[:-5] for p in files("mappings.fields").iterdir() if p.name.endswith(".toml")))


@lru_cache
def binding(name: str) -> Binding:
    """Return the map of a binding. Raises Unclassified for an unknown one and for a line that leads nowhere."""
    if name not in names():
        raise Unclassified(f"there is no map of {name}")
    return read(name, (files("mappings.fields") / f"{name}.toml").read_text(encoding="utf-8"))


def read(name: str, text: str) -> Binding:
    """Return the binding in a TOML text. Raises Unclassified where a line names no element or table that exists,
    and TOMLDecodeError where a field stands twice."""
    said = tomllib.loads(text)
    tables = {table: _table(f"{name} {table}", lines) for table, lines in said.items() if isinstance(lines, dict)}
    for table, lines in tables.items():
        for field, line in lines.items():
            if line.holds and line.holds not in tables:
                raise Unclassified(f"{name} {table}.{field} holds {line.holds}, which is not there")
    return Binding(name, said["spec"], said["evidence"], MappingProxyType(tables))


def _table(where: str, lines: Mapping[str, Any]) -> Mapping[str, Field]:
    found = {field: Field(**line) if isinstance(line, dict) else Field(line) for field, line in lines.items()}
    for field, line in found.items():
        if line.element not in REGISTER:
            raise Unclassified(f"{where}.{field} names {line.element!r}, which is no element")
    return MappingProxyType(found)


def element_of(name: str, path: str) -> str:
    """Return the element at a path of a binding: a table and field names joined by dots, lists passed through.

    Raises Unclassified for a path that no line leads to.
    """
    tables = binding(name).tables
    table, _, rest = path.partition(".")
    found: Field | None = None
    while rest:
        lines = tables.get(table, {})
        # A field's own name may hold dots: a claim is an address.
        field = max((f for f in lines if rest == f or rest.startswith(f + ".")), key=len, default=OPEN)
        found = lines.get(field)
        if found is None:
            break
        table, rest = found.holds, "" if field == OPEN else rest[len(field) + 1 :]
    if found is None:
        raise Unclassified(f"{name} {path} has no element")
    return found.element


def agree(name: str, path: str, element: str | None) -> None:
    """Require that a field carries the element of its place. Raises Unclassified."""
    if element_of(name, path) != element:
        raise Unclassified(f"{name} {path} is {element_of(name, path)}, not {element}")


# --- schemas ---------------------------------------------------------------------------------------

_S = TypeVar("_S", bound=Schema)
_PLACES: dict[type[Schema], tuple[str, str]] = {}


def carries(name: str, table: str) -> Callable[[type[_S]], type[_S]]:
    """Say which table of which binding a schema is. Raises Unclassified, so that the module cannot be imported,
    when it or what it nests has a field whose element is not that of its place."""

    def place(schema: type[_S]) -> type[_S]:
        _require(schema, name, table)
        _PLACES[schema] = (name, table)
        return schema

    return place


@lru_cache
def require(schema: type[Schema]) -> None:
    """Require that a schema has its place in the map, and each of its fields the element of that place.
    Raises Unclassified."""
    if schema not in _PLACES:
        raise Unclassified(f"{schema.__name__} has no place in the map of fields")
    _require(schema, *_PLACES[schema])


def place_of(schema: type[Schema]) -> tuple[str, str]:
    """Return (binding, table) of a schema. Raises KeyError for one that has no place."""
    return _PLACES[schema]


def _require(schema: type[Schema], name: str, path: str) -> None:
    for attribute, field in schema._declared_fields.items():  # noqa: SLF001 - marshmallow's documented registry
        here = f"{path}.{field.data_key or attribute}"
        agree(name, here, field.metadata.get("element"))
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested):
            _require(type(inner.schema), name, here)
