"""How one grade travels: states, events, and the pure transition between them.

    ready ── sending ── acknowledged
               ├─ refused       the LMS said no: a person must act
               ├─ retry_wait    nothing was applied: the same bytes again, later
               └─ unknown       it may have arrived: read back before anything else
                    └─ acknowledged | retry_wait | conflict | superseded by a newer grade

A lane is one column and one pupil; its grades go in order, each later than the one before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from connectors.errors import (
    AddressRefused,
    AnswerRefused,
    ConnectorError,
    CredentialsRefused,
    NotOffered,
    Unreachable,
)
from mappings.products import Product


class State(StrEnum):
    READY = "ready"
    SENDING = "sending"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    RETRY_WAIT = "retry_wait"
    UNKNOWN = "unknown"
    CONFLICT = "conflict"
    WITHHELD = "withheld"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


class Event(StrEnum):
    CLAIMED = "claimed"
    ACCEPTED = "accepted"
    SAID_NO = "said_no"
    NOT_APPLIED = "not_applied"
    DOUBTFUL = "doubtful"
    READ_EQUAL = "read_equal"
    READ_ABSENT = "read_absent"
    READ_OTHER = "read_other"
    DENIED = "denied"
    REPLACED = "replaced"
    TOO_OLD = "too_old"
    NO_COLUMN = "no_column"


WAITING = frozenset({State.READY, State.RETRY_WAIT})
OPEN = WAITING | {State.SENDING, State.UNKNOWN}
KEPT_FOR = timedelta(days=14)
LEASE = timedelta(seconds=90)

_NEXT = MappingProxyType(
    {
        (State.READY, Event.CLAIMED): State.SENDING,
        (State.RETRY_WAIT, Event.CLAIMED): State.SENDING,
        (State.SENDING, Event.ACCEPTED): State.ACKNOWLEDGED,
        (State.SENDING, Event.SAID_NO): State.REFUSED,
        (State.SENDING, Event.NOT_APPLIED): State.RETRY_WAIT,
        (State.SENDING, Event.DOUBTFUL): State.UNKNOWN,
        (State.UNKNOWN, Event.READ_EQUAL): State.ACKNOWLEDGED,
        (State.UNKNOWN, Event.READ_ABSENT): State.RETRY_WAIT,
        (State.UNKNOWN, Event.READ_OTHER): State.CONFLICT,
        (State.ACKNOWLEDGED, Event.READ_EQUAL): State.ACKNOWLEDGED,
        (State.ACKNOWLEDGED, Event.READ_OTHER): State.CONFLICT,
        (State.ACKNOWLEDGED, Event.READ_ABSENT): State.CONFLICT,
        **{(state, Event.DENIED): State.WITHHELD for state in WAITING},
        **{(state, Event.REPLACED): State.SUPERSEDED for state in WAITING},
        **{(state, Event.TOO_OLD): State.EXPIRED for state in WAITING},
        **{(state, Event.NO_COLUMN): State.REFUSED for state in WAITING},
        (State.UNKNOWN, Event.REPLACED): State.SUPERSEDED,
        **{(state, Event.READ_OTHER): State.CONFLICT for state in WAITING},
        **{(state, Event.READ_EQUAL): State.ACKNOWLEDGED for state in WAITING},
    }
)


def step(state: State, event: Event) -> State:
    """Return the state that follows. Raises ValueError for an event that cannot happen there."""
    try:
        return _NEXT[state, event]
    except KeyError:
        raise ValueError(f"{event} cannot happen to a grade that is {state}") from None


def classify(error: ConnectorError, product: Product) -> Event:
    """Return what a failed call means for the grade. Only a reply that proves it lets anything be sent again."""
    if isinstance(error, AnswerRefused):
        if error.status in product.stale:
            return Event.DOUBTFUL
        if error.status in product.throttle or error.status in (502, 503, 504):
            return Event.NOT_APPLIED if error.status in product.throttle else Event.DOUBTFUL
        return Event.DOUBTFUL if error.status >= 500 else Event.SAID_NO
    if isinstance(error, NotOffered):
        return Event.SAID_NO
    never_sent = isinstance(error, CredentialsRefused | AddressRefused | Unreachable) and not error.sent
    return Event.NOT_APPLIED if never_sent else Event.DOUBTFUL


def stamp(given: datetime, last: datetime | None, now: datetime, resolution: timedelta) -> datetime:
    """Return the timestamp a grade travels with: when it was given, never in the future, and later than the last
    one of its lane by the product's resolution, a second at least."""
    fixed = min(given, now)
    return max(fixed, last + max(resolution, timedelta(seconds=1))) if last else fixed


def pause(waited: timedelta) -> timedelta:
    """Return how long to wait before trying again: a quarter of the time waited so far, half a minute to an hour."""
    return min(max(waited / 4, timedelta(seconds=30)), timedelta(hours=1))
