"""Who may not be named can take part without a name: opting out does not mean sitting out.

A pupil whose row may not leave because nobody agreed, or somebody refused or opted out of this recipient, is handed on
under a stable pseudonym that is no alias of any record: nothing about the person goes with it. Who is not in the
roster, is erased, whose family refused any use, or is a child for whom nobody may act, is not handed on at all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from gateway import errors
from gateway.policy.decide import Decision, decide
from gateway.policy.facts import Facts
from gateway.policy.request import Request
from gateway.policy.rowplan import OfAge

ELEMENTS = frozenset({"record.alias", "person.role", "launch.context", "class.section"})
_UNCONSENTED = frozenset(
    {
        errors.CON_REQUIRED, errors.CON_PENDING, errors.CON_EXPIRED, errors.CON_THIRD_PARTY_NOT_SEPARATE,
        errors.CON_EVIDENCE_MISSING, errors.CON_GRANTOR_NOT_ENTITLED, errors.AGE_RIGHTS_TRANSFERRED,
        errors.CON_REFUSED, errors.CON_WITHDRAWN, errors.CON_OPT_OUT,
    }
)  # fmt: skip


def is_called_for(decision: Decision) -> bool:
    """Whether only somebody's consent is missing between a person and taking part, and it is no child's."""
    if not decision.of_row or decision.row is None or not set(decision.reasons) <= _UNCONSENTED:
        return False
    return not any(isinstance(part, OfAge) and part.fault(decision.row) for part in decision.rows.parts)


def decide_unnamed(request: Request, facts: Facts, now: datetime) -> Decision:
    """Decide the same request for somebody without a name: as a whole, with nothing about a person in it."""
    return decide(
        replace(request, elements=request.elements & ELEMENTS, mandatory=request.mandatory & ELEMENTS), facts, now
    )
