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
    """Where the policies differ.

    `child_age` is the last age (in whole years) at which a pupil counts as a child. `consent_is_enough` says whether a
    child's own family may permit what no agreement of the school does. Of a new version `tells_of_all` says whether the
    school hears of every change or of material ones; `school_accepts` whether the whole school waits for its word, or
    only its children and what it delivered before.
    """

    child_age: int
    directors: frozenset[str]
    transcript_directors: frozenset[str]
    consent_is_enough: bool
    tells_of_all: bool
    school_accepts: bool

    def may_direct(self, role: str, operation: Operation) -> bool:
        """Whether somebody in this role may direct this operation."""
        return role in (self.transcript_directors if operation is Operation.TRANSCRIPT else self.directors)


STRICTEST = "strictest"
_DISTRICT = frozenset({"district_admin"})
_ADMINS = _DISTRICT | {"school_admin"}

PROFILES = MappingProxyType(
    {
        "mastery_track": SourcePolicy(12, _ADMINS | {"teacher"}, _ADMINS, True, False, False),
        "mastery_prep": SourcePolicy(12, _DISTRICT, _DISTRICT, False, False, True),
        "class_trak": SourcePolicy(13, _ADMINS | {"teacher"}, _ADMINS, False, False, False),
        "mastery_transcript": SourcePolicy(12, _ADMINS, _ADMINS | {"eligible_student"}, True, True, False),
        STRICTEST: SourcePolicy(13, _DISTRICT, _DISTRICT, False, True, True),
    }
)
