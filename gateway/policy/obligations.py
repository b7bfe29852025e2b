"""Obligations: what a permit asks of whoever carries it out. A duty that nobody has said they meet denies.

A request says in `meets` which duties its journey performs; what is owed follows from what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway import errors
from gateway.errors import Reason
from gateway.policy.request import Obligation, Operation, Request

_ANSWERS = frozenset({Operation.ROSTER_READ, Operation.LAUNCH, Operation.MEMBERS, Operation.TRANSCRIPT})


def owed(request: Request, permitted: frozenset[str]) -> tuple[Obligation, ...]:
    """Return the duties that go with sending these elements, in one order."""
    found = []
    if request.operation in _ANSWERS:
        found.append(Obligation.REDISCLOSURE_NOTICE)
        if "record.alias" in request.elements and "record.source_id" not in permitted:
            found.append(Obligation.ALIASES)
    if request.operation is Operation.GRADE:
        found.append(Obligation.READ_BACK)
    return tuple(found)


def obligation_check(request: Request, permitted: frozenset[str]) -> Iterable[Reason]:
    """Whoever asks performs every duty that would go with the answer."""
    met = request.meets.issuperset(owed(request, permitted))
    return () if met else (errors.INT_OBLIGATION_UNSUPPORTED,)
