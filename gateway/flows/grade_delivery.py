"""Grade delivery: a worker drains one column of the outbox, and reads it back.

Each attempt is decided anew and its intent written in the transaction that claims it, before a byte leaves. What
may have arrived is read back, never sent again blindly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.errors import AnswerUnreadable, ConnectorError
from connectors.lti_advantage import LtiAdvantage
from gateway import errors
from gateway.errors import Reason, Refused
from gateway.flows import courses, disclosure, grade_decision
from gateway.flows.grade_push import bucket, defer_drain
from gateway.flows.lanes import KEPT_FOR, LEASE, Event, State, classify, pause, step
from gateway.flows.parts import Parts
from gateway.policy.minimise import clear
from gateway.store import registrations, results
from gateway.store.tenant import Place, Session
from mappings import lti
from mappings.cleared import Cleared
from mappings.products import Product, product

BATCH = 200


@dataclass(slots=True)
class _Column:
    """One column being drained."""

    parts: Parts
    place: Place
    activity: Any
    deployment: str
    context_id: str
    course: Any
    line: LtiAdvantage
    url: str
    habits: Product
    found: dict[str, dict[str, Any]] | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.activity.activity, self.deployment, self.context_id

    @property
    def readable(self) -> bool:
        """Whether the LMS lets us read results at all."""
        return lti.SCOPE_RESULT in self.line.course.ags.get("scope", ())

    def read(self) -> None:
        """Read what the column holds, {LMS user: result}; None when it cannot be read."""
        self.found = None
        if self.readable:
            try:
                self.found = {one["userId"]: one for one in self.line.read_results(self.url)}
            except ConnectorError:
                return


def drain(parts: Parts, place: Place, activity: str, deployment: str, context_id: str) -> None:
    """Deliver what waits for one column, oldest first, and read it back. Safe to run at any time, any number of
    times: the outbox says what is left."""
    began = parts.clock.now()
    column = _open(parts, place, activity, deployment, context_id)
    if column is not None:
        column.read()
        _settle_doubtful(column)
        while _send_due(column):
            pass
        _read_back(column, began)
    with parts.database.open_school(place) as session:
        readable = column is None or column.readable
        due = results.still_open(session, activity, deployment, context_id, readable=readable)
        if due is not None:
            later = max(due, parts.clock.now() + timedelta(seconds=5))
            defer_drain(parts, session, activity, deployment, context_id, later)


def _open(parts: Parts, place: Place, activity: str, deployment: str, context_id: str) -> _Column | None:
    """Open the line and find or make the column. When there can be none, everything waiting says so."""
    with parts.database.open_school(place) as session:
        row = results.activity_by_ref(session, activity)
        link = registrations.course(session, deployment, context_id)
        line = courses.open_course(parts, session, deployment, context_id)
        url = results.column(session, activity, deployment, context_id)
        of_link = results.link_of_column(session, activity, deployment, context_id)
        platform = registrations.by_ref(session, link.registration) if link else None
    if row is None or line is None or platform is None:
        off = link is not None and link.line_status != "active"
        why = errors.LTI_REGISTRATION_DISABLED if off else errors.GRD_NO_COLUMN
        _give_up(parts, place, (activity, deployment, context_id), why)
        return None
    try:
        url = url or line.find_column(activity) or line.make_column(activity, row.title, float(row.points), of_link)
    except AnswerUnreadable:
        _give_up(parts, place, (activity, deployment, context_id), errors.GRD_NO_COLUMN)
        return None
    except ConnectorError:
        _postpone(parts, place, (activity, deployment, context_id))
        return None
    with parts.database.open_school(place) as session:
        results.keep_column(session, activity, deployment, context_id, url, parts.clock.now())
    return _Column(parts, place, row, deployment, context_id, link, line, url, product(platform.product))


def _give_up(parts: Parts, place: Place, key: tuple[str, str, str], reason: Reason) -> None:
    """There is no column and there will be none: what waits for it says so. What may have arrived is looked at later:
    the LMS may be switched on again."""
    now = parts.clock.now()
    with parts.database.open_school(place) as session:
        for row in results.doubtful(session, *key, now):
            _put_off(session, row, now, readable=True)
        for row in results.waiting(session, *key):
            state = step(State(row.state), Event.NO_COLUMN)
            results.settle(session, row.delivery, row.attempt, state, reason.code, now, now, ["ready", "retry_wait"])
            results.set_result(session, row.batch, row.ref, bucket(reason), reason.code, now)
            results.finish(session, row.batch)


def _postpone(parts: Parts, place: Place, key: tuple[str, str, str]) -> None:
    """The LMS does not answer: what waits is tried again later, for two weeks."""
    now = parts.clock.now()
    with parts.database.open_school(place) as session:
        for row in results.due(session, *key, now, 10_000):
            if _is_too_old(row, now):
                _expire(session, row, now)
            else:
                results.postpone(session, row.delivery, now + pause(now - row.created_at))


def _is_too_old(row: Any, now: datetime) -> bool:
    return bool(now - row.created_at > KEPT_FOR)


def _expire(session: Session, row: Any, now: datetime) -> None:
    state, reason = step(State(row.state), Event.TOO_OLD), errors.GRD_EXPIRED
    results.settle(session, row.delivery, row.attempt, state, reason.code, now, now, ["ready", "retry_wait"])
    results.set_result(session, row.batch, row.ref, bucket(reason), reason.code, now)
    results.finish(session, row.batch)


def _send_due(column: _Column) -> bool:
    """Send one round of waiting grades, one of each lane; return whether there was any."""
    now = column.parts.clock.now()
    with column.parts.database.open_school(column.place) as session:
        rows = results.due(session, *column.key, now, BATCH)
    sent = False
    for row in rows:
        sent = _deliver(column, row) or sent
    return sent


def _deliver(column: _Column, row: Any) -> bool:
    """Claim, decide, record, send, settle one grade. Return whether something about it changed."""
    theirs, now = (column.found or {}).get(row.sub), column.parts.clock.now()
    with column.parts.database.open_school(column.place) as session:
        if _is_too_old(row, now):
            _expire(session, row, now)
            return True
        held = results.last_delivered(session, row.lane)
        event = _preflight(row, theirs, held)
        if event is not None:
            return _finish(column, session, row, row.attempt, step(State(row.state), event), None, event)
        claimed = results.claim(session, row.delivery, now, now + LEASE)
        if claimed is None:
            return False
        score = _clear(column, session, claimed)
    if isinstance(score, Refused):
        return True
    event = _send(column, score)
    with column.parts.database.open_school(column.place) as session:
        return _finish(column, session, claimed, claimed.attempt, step(State.SENDING, event), score.decision, event)


def _preflight(row: Any, theirs: Mapping[str, Any] | None, held: Any) -> Event | None:
    """What the column's own content says before sending: already equal, or a mark that is not ours."""
    if theirs is None or theirs.get("resultScore") is None:
        return None
    if lti.same_score(theirs, float(row.points), float(row.maximum)):
        return Event.READ_EQUAL
    ours = held is not None and lti.same_score(theirs, float(held.points), float(held.maximum))
    return None if ours else Event.READ_OTHER


def _clear(column: _Column, session: Session, row: Any) -> Cleared[bytes] | Refused:
    """Decide again, build the score, write the intent: all in the claiming transaction."""
    batch: Any = results.batch(session, row.batch)
    decision = grade_decision.judge(
        column.parts, session, column.course, column.activity.class_id, batch.directed_by, batch.launch, row.person_id
    )
    if not decision.permits:
        refused = disclosure.deny(column.parts, session, decision, column.course.registration)
        now, reason = column.parts.clock.now(), grade_decision.said(decision)
        results.settle(session, row.delivery, row.attempt, State.WITHHELD, reason.code, now, now, ["sending"])
        results.set_result(session, row.batch, row.ref, bucket(reason), reason.code, now)
        results.finish(session, row.batch)
        return refused
    apart = "new_submission" in column.habits.services
    record = lti.score(row.sub, float(row.points), float(row.maximum), row.fixed_at, no_attempt=apart)
    cleared = clear(decision, lti.ScoreSchema, record)
    grant = column.course.registration
    disclosure.intend(column.parts, session, decision, grant, [row.person_id], cleared.payload, attempt=row.attempt)
    results.keep_payload(session, row.delivery, cleared.payload, decision.request.id)
    return cleared


def _send(column: _Column, score: Cleared[bytes]) -> Event:
    try:
        column.line.push_score(column.url, score)
    except ConnectorError as error:
        return classify(error, column.habits)
    return Event.ACCEPTED


_OUTCOMES = {
    State.ACKNOWLEDGED: ("acknowledged", "sent", None),
    State.REFUSED: ("refused", "needs_admin", errors.GRD_REFUSED),
    State.UNKNOWN: ("unknown", "waiting", None),
    State.RETRY_WAIT: ("not_delivered", "waiting", None),
    State.CONFLICT: ("unknown", "needs_teacher", errors.GRD_CONFLICT),
}


def _finish(
    column: _Column, session: Session, row: Any, attempt: int, state: State, transfer: str | None, event: Event
) -> bool:
    """Write what became of a grade, with its ledger entry where something had been sent."""
    now = column.parts.clock.now()
    outcome, shown, reason = _OUTCOMES[state]
    if state is State.UNKNOWN and not column.readable:
        shown, reason = "needs_teacher", errors.GRD_UNKNOWN
    due = now + pause(now - row.created_at) if state is State.RETRY_WAIT else now
    was = [State.SENDING, State.UNKNOWN, State.ACKNOWLEDGED, State.READY, State.RETRY_WAIT]
    code = reason.code if reason else None
    if not results.settle(session, row.delivery, attempt, state, code, due, now, was):
        return False
    if transfer is not None:
        disclosure.conclude(column.parts, session, transfer, outcome, reason if state is State.REFUSED else None)
    same = event is Event.READ_EQUAL and row.state in (State.READY, State.RETRY_WAIT) and attempt == 0
    results.set_result(session, row.batch, row.ref, "same" if same else shown, code, now)
    results.finish(session, row.batch)
    return True


def _settle_doubtful(column: _Column) -> None:
    """Read back grades whose fate is unknown, and say what became of them; look again later where that fails."""
    now = column.parts.clock.now()
    with column.parts.database.open_school(column.place) as session:
        for row in results.doubtful(session, *column.key, now):
            if column.found is not None:
                event = _seen(column, row)
                _finish(column, session, row, row.attempt, step(State.UNKNOWN, event), row.transfer, event)
                continue
            _put_off(session, row, now, readable=column.readable)


def _put_off(session: Session, row: Any, now: datetime, *, readable: bool) -> None:
    """Look at a grade whose fate is unknown again later; where that will not help, its teacher must look."""
    results.postpone(session, row.delivery, now + pause(now - row.created_at))
    if not readable or _is_too_old(row, now):
        reason = errors.GRD_UNKNOWN
        results.set_result(session, row.batch, row.ref, bucket(reason), reason.code, now)
        results.finish(session, row.batch)


def _seen(column: _Column, row: Any) -> Event:
    theirs = (column.found or {}).get(row.sub)
    if theirs is None or theirs.get("resultScore") is None:
        return Event.READ_ABSENT
    return Event.READ_EQUAL if lti.same_score(theirs, float(row.points), float(row.maximum)) else Event.READ_OTHER


def _read_back(column: _Column, began: datetime) -> None:
    """Read the column once more: what was accepted must be there and equal; what is in doubt is settled."""
    column.read()
    _settle_doubtful(column)
    if column.found is None:
        return
    with column.parts.database.open_school(column.place) as session:
        for row in results.just_delivered(session, *column.key, began):
            event = _seen(column, row)
            if event is not Event.READ_EQUAL:
                state = step(State.ACKNOWLEDGED, event)
                _finish(column, session, row, row.attempt, state, None, event)
