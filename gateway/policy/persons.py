"""Where two people are needed, a program is neither of them."""

from __future__ import annotations

from gateway import errors
from gateway.errors import Refused
from gateway.policy.request import ActorKind

TIMETABLE = "sys_timetable"  # acts at night; whoever it names is nobody


def actor_kind(ref: str) -> ActorKind:
    """Return what kind of actor a reference of staff or of a program names."""
    return ActorKind.SYSTEM if ref.startswith("sys_") else ActorKind.STAFF


def is_person(ref: str) -> bool:
    return actor_kind(ref) is ActorKind.STAFF


def first_of_two(acted: str, asked: str | None) -> str | None:
    """Return the first person of two; None where nobody but a program has acted yet."""
    return acted if is_person(acted) else asked


def require_second(first: str, by: str) -> None:
    """Raise Refused unless somebody else than the first acts now, and is somebody."""
    if first == by or not is_person(by):
        raise Refused(errors.ACT_SECOND_PERSON)
