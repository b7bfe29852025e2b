"""What any profile is made of: lines of `{ value, evidence, source }`, their checks, the sentences they say.

A line that is unknown, says nothing about where it is from, or holds what cannot stand there makes the profile
malformed: it is found by a test, never by a school.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

EVIDENCE = ("seen", "documented", "reported")
_SHORTEST_SOURCE = 12
_VARIABLE = re.compile(r"\{(\w+)\}")


class ProfileError(ValueError):
    """A profile is not of the shape; the text says which line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One fact about a product, and how we know it."""

    value: Any
    evidence: str
    source: str


def variables(template: str) -> set[str]:
    """What a template still needs."""
    return set(_VARIABLE.findall(template))


def put(template: str, known: Mapping[str, str]) -> str:
    """Fill a template; a variable that is not known keeps its braces."""
    return _VARIABLE.sub(lambda found: known.get(found[1], found[0]), template)


# --- what may stand in a line ----------------------------------------------------------------------

Check = Callable[[Any], bool]


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_yes(value: Any) -> bool:
    return value is True


def is_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_text, value))


@dataclass(frozen=True, slots=True)
class Habit:
    """A habit that a profile may name: what its value is, and the sentence that people read."""

    check: Check
    sentence: str

    def say(self, line: Line) -> str:
        """Return the sentence about one make."""
        said = ", ".join(line.value) if isinstance(line.value, list) else str(line.value)
        return self.sentence.format(said)


# --- reading ---------------------------------------------------------------------------------------


def same(where: str, found: set[str], wanted: frozenset[str] | set[str]) -> None:
    """Raises ProfileError unless exactly the wanted names are there."""
    if found != wanted:
        raise ProfileError(f"{where}: {', '.join(sorted(found ^ wanted))}")


def line_of(where: str, said: Any, check: Check) -> Line:
    """Return one line of a profile. Raises ProfileError."""
    if not isinstance(said, dict):
        raise ProfileError(f"{where}: not a line")
    same(where, set(said), {"value", "evidence", "source"})
    line = Line(said["value"], known(where, said), said["source"])
    if not check(line.value):
        raise ProfileError(f"{where}: {line.value!r} cannot stand there")
    return line


def known(where: str, said: Mapping[str, Any]) -> str:
    """Return the evidence word of a line that has one, and a source that can be looked up. Raises ProfileError."""
    evidence, source = said["evidence"], said["source"]
    if evidence not in EVIDENCE:
        raise ProfileError(f"{where}: evidence is one of {', '.join(EVIDENCE)}")
    if not is_text(source) or len(source) < _SHORTEST_SOURCE:
        raise ProfileError(f"{where}: no source that can be looked up")
    return str(evidence)


def lines_of(
    where: str, said: Mapping[str, Any], checks: Mapping[str, Check], needed: set[str] | None = None
) -> Mapping[str, Line]:
    """Return the lines of a section, each of a name there is a check of. Raises ProfileError."""
    lost = sorted((set(said) - set(checks)) | ((needed or set()) - set(said)))
    if lost:
        raise ProfileError(f"{where}: {', '.join(lost)}")
    return MappingProxyType({key: line_of(f"{where}.{key}", value, checks[key]) for key, value in said.items()})
