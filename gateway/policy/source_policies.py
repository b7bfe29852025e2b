"""The four privacy policies, and the strictest of them, where they differ: who may direct, who is a child.

Profiles: MT MasteryTrack, MP MasteryPrep, CT ClassTrak, MC Mastery Transcript Consortium. *strictest* is the
default: nothing is permitted under it that any of the four forbids.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from gateway.policy.request import Operation


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """`child_age` is the last age (in whole years) at which a pupil counts as a child."""

    child_age: int
    directors: frozenset[str]
    transcript_directors: frozenset[str]

    def may_direct(self, role: str, operation: Operation) -> bool:
        """Whether somebody in this role may direct this operation."""
        return role in (self.transcript_directors if operation is Operation.TRANSCRIPT else self.directors)


_DISTRICT = frozenset({"district_admin"})
_ADMINS = _DISTRICT | {"school_admin"}

PROFILES = MappingProxyType(
    {
        "mastery_track": SourcePolicy(12, _ADMINS | {"teacher"}, _ADMINS),
        "mastery_prep": SourcePolicy(12, _DISTRICT, _DISTRICT),
        "class_trak": SourcePolicy(13, _ADMINS | {"teacher"}, _ADMINS),
        "mastery_transcript": SourcePolicy(12, _ADMINS, _ADMINS | {"eligible_student"}),
        "strictest": SourcePolicy(13, _DISTRICT, _DISTRICT),
    }
)
