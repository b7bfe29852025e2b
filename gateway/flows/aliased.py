"""Answers of one school in a grant of several: its records are named together with those of the others, beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gateway import errors
from gateway.errors import Refused
from gateway.flows.parts import Office
from gateway.identity.clients import Grant
from gateway.store import aliases

_ATTEMPTS = 3
_T = TypeVar("_T")


def answered(parts: Office, grant: Grant, answer: Callable[[], _T]) -> _T:
    """Return the answer, given when every record of the grant's schools has its alias.

    A night that is published meanwhile undoes what the answer began, and it is asked for again. Raises Refused.
    """
    for _ in range(_ATTEMPTS):
        aliases.ensure_everywhere(parts.database, grant.district, grant.schools, grant.ref)
        try:
            return answer()
        except aliases.Behind:
            continue
    raise Refused(errors.INT_UNAVAILABLE)
