"""When a roster change is too large to publish without a person's word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

REMOVED, CHANGED, REMAINING = 0.10, 0.75, 0.80
# A class or two of a tiny school may go without being a tenth of a district; pupils never count as few.
FEW = 2
# Of a first delivery, of which there is nothing to compare: rows that refer to what is nowhere, above a few of them.
LOST, LOST_FEW = 0.20, 10


@dataclass(frozen=True, slots=True)
class Movement:
    """Rows of one kind at one school: before, and what would happen to them."""

    school: str
    kind: str
    before: int
    added: int
    changed: int
    removed: int


@dataclass(frozen=True, slots=True)
class Trip:
    """A guard that holds the delivery: which, for what, and the figures."""

    guard: str
    school: str
    kind: str
    count: int
    of: int


def judge(movements: Iterable[Movement]) -> list[Trip]:
    """Return the guards that trip; none for a school's first version. Removals of a tenth, changes of three
    quarters, fewer than four fifths left, or nothing left of a kind."""
    trips = []
    for m in movements:
        guard = _trip(m) if m.before else ""
        if guard:
            trips.append(Trip(guard, m.school, m.kind, m.changed if guard == "changed" else m.removed, m.before))
    return trips


def judge_first(referring: Iterable[tuple[str, int, int]]) -> list[Trip]:
    """Return the guards that trip on a first delivery, of (file, lines that refer to what is nowhere, all lines): where
    they are a fifth, another file of the delivery was cut off."""
    return [
        Trip("lost", "", file, lost, lines) for file, lost, lines in referring if lost > max(LOST_FEW, LOST * lines)
    ]


def _trip(m: Movement) -> str:
    after = m.before + m.added - m.removed
    if after == 0:
        return "emptied"
    few = m.removed <= FEW and m.kind != "user"
    if after < REMAINING * m.before and not few:
        return "shrunk"
    if m.removed > REMOVED * m.before and not few:
        return "removed"
    return "changed" if m.changed > CHANGED * m.before and m.changed > FEW else ""
