"""Grade push: the application hands results in, and a teacher directs them into the outbox.

`grade_delivery` takes them from there. The outbox is the truth; a job only drains one column of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from gateway import errors
from gateway.errors import VOCABULARY, Reason, Refused
from gateway.flows import courses, disclosure, grade_decision
from gateway.flows.class_members import find_class
from gateway.flows.lanes import OPEN, State, stamp
from gateway.flows.parts import Parts
from gateway.identity.clients import Grant
from gateway.policy import rowplan
from gateway.policy.decide import Decision, decide
from gateway.policy.request import RULES, Actor, ActorKind, Operation, Request
from gateway.store import aliases, registrations, results, roster
from gateway.store import facts as fact_store
from gateway.store.secrets import token_hash
from gateway.store.tenant import Place, Session
from mappings import application, lti
from mappings.products import product

HANDED_IN = frozenset({"result.level", "result.time", "record.alias", "activity.title"})
PAGE_MINUTES = 30
BUCKETS = ("ready", "waiting", "sent", "same", "replaced", "needs_teacher", "needs_admin")


# --- handed in by the application ------------------------------------------------------------------


def put_activity(parts: Parts, grant: Grant, your_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Write an activity by the application's own id, and say which columns it has. Raises Refused."""
    place, class_id = find_class(parts, grant, body["class_"])
    now = parts.clock.now()
    with parts.database.open_school(place) as session:
        refused = may_hand_in(parts, session, grant, class_id)
        if refused is None:
            results.put_activity(
                session, grant.ref, your_id, parts.ids.new("act"), now, class_id=class_id, title=body["title"],
                points=body["points"], scale=body["scale"], due_on=body["due_on"],
            )  # fmt: skip
            linked = registrations.course_of_class(session, class_id)
    if refused:
        raise refused
    why = _no_column(linked)
    columns = [{"target": "lms", "state": bucket(why), "why": why.code if why else None}]
    return {"your_id": your_id, "class": body["class_"], "columns": columns}


def _no_column(linked: Iterable[Any]) -> Reason | None:
    """Why none of these courses takes grades; None where one does."""
    takes = [row for row in linked if lti.SCOPE_SCORE in row.services.get("ags", {}).get("scope", ())]
    if any(row.line_status == "active" for row in takes):
        return None
    return errors.LTI_REGISTRATION_DISABLED if takes else errors.GRD_NO_COLUMN


def may_hand_in(parts: Parts, session: Session, grant: Grant, class_id: str | None) -> Refused | None:
    """Decide whether the application may write results here, and record it."""
    decision = _decide_hand_in(parts, session, grant, class_id)
    if not decision.permits:
        return disclosure.deny(parts, session, decision, grant.ref)
    disclosure.note(parts, session, decision, grant.ref)
    return None


def _decide_hand_in(parts: Parts, session: Session, grant: Grant, class_id: str | None) -> Decision:
    school = fact_store.school_ref(session)
    request = Request(
        parts.ids.new("tr"), Operation.RESULT_WRITE, Actor(ActorKind.APPLICATION, grant.ref), school, grant.vendor,
        RULES[Operation.RESULT_WRITE].purpose, HANDED_IN, frozenset(), class_id,
    )  # fmt: skip
    facts = fact_store.load(session, grant.credential(session.place, school))
    return decide(request, facts, parts.clock.now())


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch being handed in: where, by which launch, for which activity."""

    place: Place
    launch: Any
    activity: Any


def hand_in(parts: Parts, grant: Grant, body: Mapping[str, Any], key: str, raw: bytes) -> tuple[dict[str, Any], bool]:
    """Take in a batch of results. Return (the batch as the application sees it, whether it is a repetition).

    `preview` waits for the teacher's own press; `apply` acts under the teacher's live launch. Raises Refused.
    """
    body_hash = hashlib.sha256(raw).digest()
    batch = _locate(parts, grant, body)
    in_course = courses.refresh_members(parts, batch.place, batch.activity.class_id).people
    with parts.database.open_school(batch.place) as session:
        earlier = results.answered(session, grant.ref, key)
        if earlier is None:
            decision = _decide_hand_in(parts, session, grant, batch.activity.class_id)
            if decision.permits:
                answer = _take_in(parts, session, grant, batch, body, in_course, decision)
                now = parts.clock.now()
                if not results.keep_answer(session, grant.ref, key, body_hash, 202, answer, now):
                    raise Refused(errors.REQ_CONFLICT, "another request with this key is under way")
                disclosure.note(parts, session, decision, grant.ref)  # last: a delivery locks the log last too
            else:
                refused = disclosure.deny(parts, session, decision, grant.ref)
    if earlier is not None:
        if bytes(earlier.body_hash) != body_hash:
            raise Refused(errors.REQ_IDEMPOTENCY_MISMATCH)
        return dict(earlier.answer) | {"push_url": _page(parts, batch, earlier.answer)}, True
    if not decision.permits:
        raise refused
    return answer | {"push_url": _page(parts, batch, answer)}, False


def _locate(parts: Parts, grant: Grant, body: Mapping[str, Any]) -> _Batch:
    """Find the teacher's live launch and the activity, both of this grant and of one class."""
    if not grant.schools:
        raise Refused(errors.OWN_NOT_ASSOCIATED)
    with parts.database.open_schools(grant.district, grant.schools) as session:
        launch = registrations.launch(session, body["launch"], parts.clock.now())
        if launch is None or launch.access_grant != grant.ref:
            raise Refused(errors.OWN_NOT_ASSOCIATED, "there is no such live launch")
        if launch.role != "teacher":
            raise Refused(errors.ACT_NOT_TEACHER_OF_CLASS)
        activity = results.activity(session.at(launch.school), grant.ref, body["activity"])
    if activity is None or activity.class_id != launch.class_id:
        raise Refused(errors.OWN_NOT_ASSOCIATED, "there is no such activity of this class")
    return _Batch(Place(launch.district, launch.school), launch, activity)


def _take_in(
    parts: Parts,
    session: Session,
    grant: Grant,
    batch: _Batch,
    body: Mapping[str, Any],
    in_course: set[str],
    decision: Decision,
) -> dict[str, Any]:
    now, ref = parts.clock.now(), parts.ids.new("ba")
    judged = _judge(parts, session, grant, batch, body["results"], in_course, decision)
    results.keep_batch(
        session, batch=ref, access_grant=grant.ref, activity=batch.activity.activity, launch=batch.launch.launch,
        state="preview", created_at=now, directed_by=None,
    )  # fmt: skip
    results.keep_results(session, ref, judged, now)
    if body["mode"] == "apply":
        _direct(parts, session, ref, batch.activity, batch.launch)
    return describe(results.batch(session, ref), results.results(session, ref))


def _page(parts: Parts, batch: _Batch, answer: Mapping[str, Any]) -> str | None:
    """Cut a key to the teacher's page of a previewed batch; only its hash is kept."""
    if answer["state"] != "preview":
        return None
    secret, until = parts.ids.secret(), parts.clock.now() + timedelta(minutes=PAGE_MINUTES)
    with parts.database.open_school(batch.place) as session:
        registrations.cut_key(
            session, token_hash(secret), "teacher_page", answer["id"], batch.launch.launch,
            min(until, batch.launch.expires_at),
        )  # fmt: skip
    return f"{parts.settings.url}/teacher/{secret}"


def _judge(
    parts: Parts,
    session: Session,
    grant: Grant,
    batch: _Batch,
    handed: Sequence[Mapping[str, Any]],
    in_course: set[str],
    decision: Decision,
) -> list[dict[str, Any]]:
    """Say of each result whether it could go, before anything goes."""
    refs = Counter(one["ref"] for one in handed)
    if max(refs.values()) > 1:
        raise Refused(errors.REQ_INVALID, "a ref stands twice")
    wanted = [application.inward(application.PERSON, one["person"]) for one in handed]
    known = aliases.inward(session, grant.ref, "user", wanted)
    named = {alias: person for alias, (_, person) in known.items()}
    unnamed = aliases.people_behind(session, grant.ref, wanted)
    people, silent = named | unnamed, _silent(session, decision, named, unnamed)
    barred = _barred(parts, session, batch, people.values(), in_course)
    judged = []
    for one, alias in zip(handed, wanted, strict=True):
        person = people.get(alias)
        points, unmapped = _points(batch.activity, one)
        reason = barred.get(person) or unmapped if person and alias not in silent else errors.GRD_PUPIL
        judged.append(
            {"ref": one["ref"], "person_id": person,
             "level": one.get("mastery"), "points": points, "given_at": one["at"], "state": bucket(reason),
             "reason": reason.code if reason else None}
        )  # fmt: skip
    return judged


def _silent(
    session: Session, decision: Decision, named: Mapping[str, str], unnamed: Mapping[str, str]
) -> set[str]:  # fmt: skip
    """Return the names that find nobody now: a pupil who takes part without a name is found by the pseudonym alone, any
    other by the alias alone. Two names that both worked would tell whose they are."""
    facts = fact_store.people(session, {*named.values(), *unnamed.values()})
    hidden = {person for person in facts if rowplan.judge(decision.plan, facts[person])}
    return {alias for alias, p in named.items() if p in hidden} | {
        alias for alias, p in unnamed.items() if p not in hidden
    }  # fmt: skip


def _barred(
    parts: Parts, session: Session, batch: _Batch, people: Iterable[str], in_course: set[str]
) -> dict[str | None, Reason]:
    """Return whose grade could not go, and why: not of the class, no column, withheld, or unknown to the LMS."""
    wanted, class_id = list(people), batch.activity.class_id
    pupils = roster.pupils_of(session, class_id)
    barred: dict[str | None, Reason] = {p: errors.GRD_PUPIL for p in wanted if p not in pupils}
    course = _course(session, class_id, batch.launch.deployment)
    if course is None:
        return dict.fromkeys(wanted, errors.GRD_NO_COLUMN) | barred
    foreseen = grade_decision.foresee(parts, session, course, class_id, batch.launch, wanted)
    there = in_course | set(registrations.subs_of(session, course.registration, wanted))
    absent = {p: errors.GRD_NOT_IN_COURSE for p in wanted if p not in there}
    return absent | foreseen | barred


def _course(session: Session, class_id: str, deployment: str) -> Any | None:
    """Return the linked course grades of a class go to: the launch's own, else the first one linked."""
    linked = registrations.course_of_class(session, class_id)
    return next((row for row in linked if row.deployment == deployment), linked[0] if linked else None)


def _points(activity: Any, one: Mapping[str, Any]) -> tuple[float | None, Reason | None]:
    points = one.get("points", activity.scale.get(one.get("mastery", "")))
    if points is None:
        return None, errors.GRD_LEVEL_UNMAPPED
    return float(points), None


def bucket(reason: Reason | None) -> str:
    """Return whose turn it is: nobody's (ready), the teacher's, or the school's or LMS's administrator's."""
    if reason is None:
        return "ready"
    return "needs_teacher" if reason.owner is errors.Owner.TEACHER else "needs_admin"


def describe(batch: Any, rows: Sequence[Any]) -> dict[str, Any]:
    """Return a batch as the application sees it: its own refs, states, reasons and remedies."""
    counts = Counter(row.state for row in rows)
    return {
        "id": batch.batch, "state": batch.state, "counts": {name: counts.get(name, 0) for name in BUCKETS},
        "results": [
            {"ref": row.ref, "state": row.state, "reason": row.reason,
             "fix": VOCABULARY[row.reason].remedy if row.reason else None}
            for row in rows
        ],
        "push_url": None,
    }  # fmt: skip


def progress(parts: Parts, grant: Grant, ref: str) -> dict[str, Any]:
    """Return how a batch of this grant stands. Raises Refused."""
    if grant.schools:
        with parts.database.open_schools(grant.district, grant.schools) as session:
            batch = results.batch(session, ref)
            if batch is not None and batch.access_grant == grant.ref:
                return describe(batch, results.results(session.at(batch.school), ref))
    raise Refused(errors.OWN_NOT_ASSOCIATED)


# --- directed by the teacher -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """What the teacher sees: the school's own data, for the school's own teacher. `named` says whether pupils are
    shown by name: only to the browser of the launch, because the page's key also passes through the application."""

    named: bool
    title: str
    class_title: str
    maximum: float
    state: str
    counts: dict[str, int]
    rows: list[dict[str, Any]]


def page(parts: Parts, key: str, cookies: Mapping[str, str]) -> Page:
    """Return the teacher's page of a batch. Raises Refused."""
    place, batch_ref, launch_ref = _unlock(parts, key)
    with parts.database.open_school(place) as session:
        launch = registrations.launch(session, launch_ref, parts.clock.now())
        named = launch is not None and parts.states.is_teachers_browser(launch, cookies)
        batch, rows = results.batch(session, batch_ref), results.results(session, batch_ref)
        class_ = roster.class_(session, batch.class_id) if batch else None
        if batch is None or class_ is None:
            raise Refused(errors.OWN_NOT_ASSOCIATED)
        shown = [_row(session, row, named=named) for row in rows]
    counts = Counter(row.state for row in rows)
    return Page(
        named, batch.title, class_.title, float(batch.points), batch.state,
        {name: counts.get(name, 0) for name in BUCKETS}, sorted(shown, key=_attention),
    )  # fmt: skip


def _attention(row: Mapping[str, Any]) -> tuple[bool, str]:
    """What needs somebody comes first, then by name."""
    return not row["state"].startswith("needs_"), row["name"]


def _row(session: Session, row: Any, *, named: bool) -> dict[str, Any]:
    user = roster.user(session, row.person_id) if row.person_id and named else None
    reason = VOCABULARY.get(row.reason or "")
    unknown = "A pupil who is not in this class" if named else row.ref
    return {
        "name": f"{user.family_name}, {user.given_name}" if user else unknown,
        "level": row.level, "points": None if row.points is None else float(row.points), "state": row.state,
        "reason": reason.sentence if reason else "", "remedy": reason.remedy if reason else "",
    }  # fmt: skip


def press(parts: Parts, key: str) -> None:
    """Send the batch: the teacher's direction for exactly these results. Pressing twice sends once."""
    place, batch_ref, launch_ref = _unlock(parts, key)
    with parts.database.open_school(place) as session:
        launch = registrations.launch(session, launch_ref, parts.clock.now())
        batch = results.batch(session, batch_ref)
        if launch is None or batch is None:
            raise Refused(errors.OWN_NOT_ASSOCIATED)
        activity = results.activity_by_ref(session, batch.activity)
        _direct(parts, session, batch_ref, activity, launch)


def _unlock(parts: Parts, key: str) -> tuple[Place, str, str]:
    with parts.database.open_identity() as session:
        found = registrations.try_key(session, token_hash(key), "teacher_page", parts.clock.now())
    if found is None:
        raise Refused(errors.OWN_NOT_ASSOCIATED)
    return registrations.place_of(found), found.ref, found.holder


def _direct(parts: Parts, session: Session, batch_ref: str, activity: Any, launch: Any) -> None:
    """Put every result that can go into the outbox, with the job that drains it, in this transaction."""
    if not results.direct(session, batch_ref, launch.person_id):
        return
    course = _course(session, activity.class_id, launch.deployment)
    waiting = False
    for row in results.results(session, batch_ref):
        if row.state == "ready" and course is not None:
            waiting = _enqueue(parts, session, batch_ref, activity, course, row) or waiting
    if waiting and course is not None:
        defer_drain(parts, session, activity.activity, course.deployment, course.context_id)
    results.finish(session, batch_ref)


def _enqueue(parts: Parts, session: Session, batch: str, activity: Any, course: Any, row: Any) -> bool:
    """Put one grade into its lane; an unchanged one is not sent again, an unsent older one gives way."""
    now = parts.clock.now()
    sub = registrations.subs_of(session, course.registration, [row.person_id]).get(row.person_id)
    if sub is None:
        results.set_result(session, batch, row.ref, "needs_admin", errors.GRD_NOT_IN_COURSE.code, now)
        return False
    lane = f"{activity.activity}:{course.deployment}:{course.context_id}:{sub}"
    results.lock_lane(session, lane)
    last, held = results.last_in_lane(session, lane), results.last_delivered(session, lane)
    settled = last is None or last.state not in OPEN
    if held is not None and settled and (held.points, held.maximum) == (row.points, activity.points):
        results.set_result(session, batch, row.ref, "same", None, now)
        return False
    for older in results.supersede(session, lane, now):
        results.set_result(session, older.batch, older.ref, "replaced", None, now)
    fixed = stamp(row.given_at, last.fixed_at if last else None, now, product(course.product).resolution)
    results.enqueue(
        session, delivery=parts.ids.new("de"), batch=batch, ref=row.ref, person_id=row.person_id, sub=sub,
        activity=activity.activity, deployment=course.deployment, context_id=course.context_id, lane=lane,
        points=row.points, maximum=activity.points, fixed_at=fixed, state=State.READY, attempt=0, due_at=now,
        created_at=now, changed_at=now,
    )  # fmt: skip
    results.set_result(session, batch, row.ref, "waiting", None, now)
    return True


def defer_drain(
    parts: Parts, session: Session, activity: str, deployment: str, context_id: str, due: datetime | None = None
) -> None:
    """Put the job that drains one column into this transaction; one of a column runs at a time."""
    place = session.place
    parts.defer(
        session, "drain_column", due_at=due, lock=f"{activity}:{deployment}:{context_id}", district=place.district,
        school=place.school, activity=activity, deployment=deployment, context=context_id,
    )  # fmt: skip


def canonical(body: Mapping[str, Any]) -> bytes:
    """Return a request body in one form, so that the same request has the same hash."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS, default=str)
