"""Repairs of what an exporter writes wrong in one way: named rules, kept per source, off until somebody turns one on.

A repair never guesses: it reads what can mean one thing only. A role in another case is that role, and no other.
"""

from __future__ import annotations

import csv as _csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

RULES = MappingProxyType(
    {
        "header-case": "column names in another case are those of the binding",
        "delimiter": "semicolons or tabs stand between the columns",
        "starred-names": "the star of the specification's own table stands behind a name",
        "value-case": "words of a vocabulary, true and false stand in another case",
        "bulk-status": "bulk rows carry a status and a date, which say nothing",
        "local-timestamps": "time stamps without a zone are those of a zone that is named",
        "csv-1.0": "a delivery is one of OneRoster CSV 1.0, without a manifest and whole",
    }
)
ZONED, CSV_1P0 = "local-timestamps", "csv-1.0"


@dataclass(frozen=True, slots=True)
class Repairs:
    """The repairs of a source: their names, and the zone of time stamps that name none."""

    names: frozenset[str] = frozenset()
    zone: str = ""

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def at(self, moment: datetime) -> datetime | None:
        """Return a local moment as one of the source's zone, or None where no rule says which that is."""
        return moment.replace(tzinfo=ZoneInfo(self.zone)) if ZONED in self.names else None


NONE = Repairs()


def repairs_of(kept: Iterable[str]) -> Repairs:
    """Return the repairs spelled `name` or `local-timestamps=Zone/Name`. Raises ValueError with what is wrong."""
    names, zone = set(), ""
    for spelled in kept:
        name, _, said = spelled.partition("=")
        if name not in RULES or (said and name != ZONED):
            raise ValueError(f"{spelled} is no repair; there are {', '.join(RULES)}")
        if name == ZONED:
            zone = _zone(said)
        names.add(name)
    return Repairs(frozenset(names), zone)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{ZONED} needs a zone, as in {ZONED}=America/Denver") from error
    return name


def same_but_case(value: str, vocabulary: Iterable[str]) -> str | None:
    """Return the one word that differs from the value in its case alone."""
    folded = value.strip().lower()
    near = [word for word in vocabulary if word.lower() == folded]
    return near[0] if len(near) == 1 else None


def delimiter_of(text: str) -> str:
    """Return what stands between the names of a header line that has no comma."""
    return next((mark for mark in ";\t" if mark in text and "," not in text), ",")


def with_commas(lines: Iterable[bytes], delimiter: str) -> Iterator[bytes]:
    """Yield lines respelled with commas; one that cannot be taken apart stays recognisably broken."""
    mark = delimiter.encode()
    for line in lines:
        if b'"' not in line and b"," not in line:
            yield line.replace(mark, b",")
            continue
        try:
            cells = next(_csv.reader([line.decode().rstrip("\r\n")], delimiter=delimiter, strict=True), [])
        except (UnicodeDecodeError, _csv.Error):
            yield line.replace(mark, b",")
            continue
        end = line[len(line.rstrip(b"\r\n")) :]
        yield ",".join('"' + cell.replace('"', '""') + '"' for cell in cells).encode() + end
