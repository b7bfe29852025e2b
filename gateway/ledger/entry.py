"""The closed schema of a ledger entry: names of elements, codes, counts, opaque references, keyed hashes.

Never a value, a name, an external id, an address or free text. Canonical JSON: sorted keys, no spaces. A parser
accepts only bytes that it would have written itself, so that one entry has one form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import orjson

from gateway.errors import VOCABULARY
from gateway.policy.request import ActorKind, Obligation, Operation, Purpose
from gateway.policy.source_policies import PROFILES
from mappings.elements import REGISTER
from mappings.lti_messages import RELAXATIONS

VERSION = 1


class InvalidEntry(ValueError):  # noqa: N818
    """The entry does not fit the closed schema; the text names the field, never its value."""


def _match(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern + r"\Z", re.ASCII)
    return lambda value: isinstance(value, str) and compiled.match(value) is not None


def _one_of(*words: str) -> Callable[[Any], bool]:
    allowed = frozenset(words)
    return lambda value: isinstance(value, str) and value in allowed


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 10**12


def _list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) <= 10_000 and all(map(check, value))


def _record(**checks: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, dict)
        and value.keys() == checks.keys()
        and all(check(value[name]) for name, check in checks.items())
    )


def _code(value: Any) -> bool:
    return isinstance(value, str) and value in VOCABULARY


def _element(value: Any) -> bool:
    return isinstance(value, str) and value in REGISTER


_REF, _HASH, _AT = r"[a-z]{2,4}_[0-9a-z]{8,32}", r"[0-9a-f]{64}", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_ref, _versioned = _match(_REF), _match(_REF + r"@\d{1,9}")
_hash = _match(_HASH)

TYPES = (
    "decision", "denial", "intent", "outcome", "import", "agreement", "direction", "consent", "grant",
    "rights", "task", "freeze", "policy", "erasure", "link", "relaxation", "access",
)  # fmt: skip
OUTCOMES = (
    "permit", "partial", "deny", "acknowledged", "refused", "unknown", "not_delivered", "recorded", "ended",
    "opened", "held", "published", "noticed", "accepted", "governs", "erased", "deferred",
)  # fmt: skip

# What of its pupils a school's own people look at: families' answers, why something of one leaves or not, whom a family's
# code is for, in which transfer somebody was, the roster and what a run found in it.
LOOKS = ("answers", "decision", "family", "receipt", "roster")

FIELDS = MappingProxyType(
    {
        "v": lambda value: type(value) is int and value == VERSION,
        "type": _one_of(*TYPES),
        "at": _match(_AT),
        "school": _ref,
        "id": _ref,
        "operation": _one_of(*Operation),
        "purpose": _one_of(*Purpose),
        "basis": _one_of("school_official", "family_request", "direction", "none"),
        "actor": _record(kind=_one_of(*ActorKind), ref=_ref),
        "vendor": _ref,
        "grant": _ref,
        "agreement": _versioned,
        "directions": _list_of(_versioned),
        "consent": _versioned,
        "document": _hash,
        "record": _match(_REF + r"(@\d{1,9})?"),
        "outcome": _one_of(*OUTCOMES),
        "reason": _code,
        "reasons": _list_of(_code),
        "elements": _list_of(_element),
        "withheld": _list_of(_record(element=_element, code=_code)),
        "rows_withheld": _list_of(_record(code=_code, n=_count)),
        "subjects": _count,
        "subjects_root": _hash,
        "payload_hmac": _hash,
        "payload_bytes": _count,
        "facts": _hash,
        "obligations": _list_of(_one_of(*Obligation)),
        "attempt": _count,
        "notice": _ref,
        "relaxation": _one_of(*RELAXATIONS),
        "looked_at": _one_of(*LOOKS),
        "policy": _match(rf"(?:{'|'.join(PROFILES)})@\d{{1,9}}"),
    }
)  # fmt: skip
REQUIRED = frozenset({"v", "type", "at", "school", "id", "outcome"})


def moment(at: datetime) -> str:
    """Return a time in the ledger's form: UTC, milliseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def check(entry: Mapping[str, Any]) -> None:
    """Raise InvalidEntry unless every field is known and fits, and none required is missing."""
    missing = REQUIRED - entry.keys()
    if missing:
        raise InvalidEntry(f"{min(missing)} is missing")
    for name, value in entry.items():
        fits = FIELDS.get(name)
        if fits is None:
            raise InvalidEntry("an unknown field")
        if not fits(value):
            raise InvalidEntry(f"{name} does not fit")


def encode(entry: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of an entry; fields that are None are left out. Raises InvalidEntry."""
    kept = {name: value for name, value in entry.items() if value is not None}
    check(kept)
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)


def decode(body: bytes) -> dict[str, Any]:
    """Return the entry in canonical bytes. Raises InvalidEntry for any other bytes."""
    try:
        entry = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidEntry("not JSON") from error
    if not isinstance(entry, dict) or orjson.dumps(entry, option=orjson.OPT_SORT_KEYS) != body:
        raise InvalidEntry("not canonical")
    check(entry)
    return entry


# What differs between entries that are otherwise alike: its name, where the value has the very form its field must
# have, and the value.
_HOLES = re.compile(
    rf'("(?:(?:id|ref|grant)":(?="{_REF}")|at":(?="{_AT}")|(?:subjects_root|payload_hmac|facts)":(?="{_HASH}")'
    r'|(?:subjects|payload_bytes|attempt|n)":(?=(?:0|[1-9]\d{0,11})[,}])))("[^"]*"|\d+)'.encode(),
    re.ASCII,
)
_MOST_SHAPES = 10_000


class Reader:
    """Reads many entries: those that differ only in times, references, hashes and counts are checked in full once.

    An entry is accepted just when `decode` accepts it: the values that are cut out have the form their fields must have,
    and the rest, names included, is byte for byte that of an entry that was accepted.
    """

    def __init__(self) -> None:
        self._shapes: dict[tuple[bytes, ...], tuple[str, str, int]] = {}

    def read(self, body: bytes) -> tuple[str, str, str]:
        """Return (type, school, id) of the entry in canonical bytes. Raises InvalidEntry for any other bytes."""
        parts = _HOLES.split(body)
        values = parts[2::3]
        del parts[2::3]
        shape = tuple(parts)
        known = self._shapes.get(shape)
        if known is None:
            said = decode(body)
            known = (said["type"], said["school"], shape[1::2].index(b'"id":'))
            if len(self._shapes) < _MOST_SHAPES:
                self._shapes[shape] = known
        type_, school, place = known
        return type_, school, values[place][1:-1].decode()
