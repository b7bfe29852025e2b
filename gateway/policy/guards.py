"""When a roster change is too large to publish without a person's word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

# A class or two of a tiny school may go without being a tenth of a district; pupils never count as few.
FEW = 2
# Of a first delivery, of which there is nothing to compare: rows that refer to what is nowhere, above a few of them.
LOST, LOST_FEW = 0.20, 10
# People who come again under new ids: this share of those who were there is a storm, above a few of them.
REKEYED, REKEYED_FEW = 0.05, 5
# What these guards find is of rows that go: what comes and changes need not wait with it.
OF_REMOVALS = frozenset({"removed", "shrunk", "emptied", "paired"})
# The least and the most that a source may be allowed.
BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"removed": (0.01, 0.50), "changed": (0.10, 1.00), "remaining": (0.50, 0.99)}
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of what a school had of a kind: how much may go, how much may change, and how much must be left."""

    removed: float = 0.10
    changed: float = 0.75
    remaining: float = 0.80

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} lies between {least:g} and {most:g}")


DEFAULTS = Limits()


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

    @property
    def only_removals(self) -> bool:
        """Whether it is enough that what would go waits. Roles are part of a person's row, which would change."""
        return self.guard in OF_REMOVALS and self.kind != "role"


def judge(movements: Iterable[Movement], limits: Limits = DEFAULTS) -> list[Trip]:
    """Return the guards that trip; none for a school's first version. With the defaults: removals of a tenth, changes
    of three quarters, fewer than four fifths left, or nothing left of a kind."""
    trips = []
    for m in movements:
        guard = _trip(m, limits) if m.before else ""
        if guard:
            trips.append(Trip(guard, m.school, m.kind, m.changed if guard == "changed" else m.removed, m.before))
    return trips


def judge_first(referring: Iterable[tuple[str, int, int]]) -> list[Trip]:
    """Return the guards that trip on a first delivery, of (file, lines that refer to what is nowhere, all lines): where
    they are a fifth, another file of the delivery was cut off."""
    return [
        Trip("lost", "", file, lost, lines) for file, lost, lines in referring if lost > max(LOST_FEW, LOST * lines)
    ]


def judge_ids(pairs: int, alone: int, people: int) -> list[Trip]:
    """Return a trip where people came again under new ids: where they are many, the source has renumbered them; where
    they are few, for those whom its other rows have not followed."""
    if pairs > max(REKEYED_FEW, REKEYED * people):
        return [Trip("rekeyed", "", "user", pairs, people)]
    return [Trip("paired", "", "user", alone, people)] if alone else []


def judge_years(ended: int, years: int) -> list[Trip]:
    """Return a trip where a school year has gone and another has come: then what goes is reviewed as a roll-over."""
    return [Trip("rollover", "", "session", ended, years)] if ended else []


def _trip(m: Movement, limits: Limits) -> str:
    after = m.before + m.added - m.removed
    if after == 0:
        return "emptied"
    few = m.removed <= FEW and m.kind != "user"
    if after < limits.remaining * m.before and not few:
        return "shrunk"
    if m.removed > limits.removed * m.before and not few:
        return "removed"
    return "changed" if m.changed > limits.changed * m.before and m.changed > FEW else ""
