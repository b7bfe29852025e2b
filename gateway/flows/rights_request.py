"""A family asks: what left about my child, to whom, why. It refuses further use, or asks for deletion.

The page is opened with a code from the school, for one child and a limited time. A refusal acts on the very next
read, launch and grade; a deletion makes a task for every past recipient, found in the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows import access, disclosure
from gateway.flows.parts import Office
from gateway.identity.staff import Person as Staff
from gateway.ledger import handles, log
from gateway.policy.decide import Decision, decide_family
from gateway.policy.minimise import clear
from gateway.policy.request import Actor, ActorKind, Operation, Request
from gateway.store import facts as fact_store
from gateway.store import on_file, registrations, rights, roster, transfers
from gateway.store.secrets import token_hash
from gateway.store.tenant import Place, Session
from mappings import family
from mappings.cleared import Cleared
from mappings.elements import label

ELEMENTS = frozenset({"family.child", "family.disclosures"})
CODE_DAYS = 30
DELETE_WITHIN = timedelta(days=30)


def issue_code(parts: Office, staff: Staff, place: Place, pupil: str) -> tuple[str, str]:
    """Return (a code for the family of one pupil, the pupil's name). Raises Refused."""
    staff.acts_for(place.school)
    secret, now = parts.ids.secret(), parts.clock.now()
    with parts.database.open_school(place) as session:
        found = roster.find_pupil(session, pupil)
        if len(found) != 1:
            raise Refused(errors.OWN_NOT_ASSOCIATED, "no pupil, or several, of that name or number at this school")
        until = now + timedelta(days=CODE_DAYS)
        registrations.cut_key(session, token_hash(secret), "family", found[0].sourced_id, staff.ref, until)
        access.looked(parts, session, staff, access.FAMILY, 1)
    return secret, f"{found[0].given_name} {found[0].family_name}"


@dataclass(frozen=True, slots=True)
class _Family:
    place: Place
    child: str


def _unlock(parts: Office, code: str) -> _Family:
    with parts.database.open_identity() as session:
        found = registrations.try_key(session, token_hash(code), "family", parts.clock.now())
    if found is None:
        raise Refused(errors.ACT_FAMILY_UNVERIFIED)
    return _Family(registrations.place_of(found), found.ref)


def report(parts: Office, code: str) -> Cleared[bytes]:
    """Return what left about the child, with the family's own choices. Raises Refused."""
    who = _unlock(parts, code)
    with parts.database.open_school(who.place) as session:
        decision = _decide(parts, session, who.child)
        if decision.permits:
            record = _report(parts, session, who.child)
            cleared = clear(decision, family.Report, record)
            disclosure.intend(parts, session, decision, "", [who.child], cleared.payload)
        else:
            refused = disclosure.deny(parts, session, decision, None)
    if not decision.permits:
        raise refused
    return cleared


def _decide(parts: Office, session: Session, child: str) -> Decision:
    request = Request(
        parts.ids.new("tr"), Operation.FAMILY, Actor(ActorKind.FAMILY, "fam_00000000"),
        fact_store.school_ref(session), "", None, ELEMENTS, ELEMENTS,
    )  # fmt: skip
    person = fact_store.person(session, child)
    return decide_family(request, ledger_ready=log.is_ready(session), verified=True, person=person)


def _received(parts: Office, session: Session, child: str) -> list[Any]:
    """Return the transfers this child was in, families' own reports aside."""
    every = [t for t in transfers.of_school(session) if t.operation != Operation.FAMILY]
    mine = set(handles.find(session, parts.vault, child, ((t.transfer, bytes(t.handles)) for t in every)))
    return [t for t in every if t.transfer in mine and t.outcome not in ("refused", "not_delivered")]


def _report(parts: Office, session: Session, child: str) -> dict[str, Any]:
    user = roster.user(session, child)
    return {
        "child": f"{user.given_name} {user.family_name}" if user else "",
        "school": fact_store.school_name(session),
        "disclosures": _grouped(_received(parts, session, child)),
        "choices": [*map(_choice, rights.answers(session, child)), *map(_stayed_away, rights.opt_outs(session, child))],
    }  # fmt: skip


def _grouped(found: Sequence[Any]) -> list[dict[str, Any]]:
    """Repeated transfers of one kind to one company as one line: how often, when last."""
    groups: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for one in found:
        groups[one.vendor, one.operation, one.agreement].append(one)
    lines = []
    for (_, operation, agreement), alike in groups.items():
        names = sorted({label(e) for one in alike for e in one.elements})
        last = alike[-1]
        lines.append(
            {"at": last.at.date().isoformat(), "recipient": last.vendor_name, "contact": last.contact,
             "what": family.OPERATIONS.get(operation, operation), "elements": names, "agreement": agreement,
             "times": len(alike), "entry": last.entry}
        )  # fmt: skip
    return lines


def _choice(row: Any) -> dict[str, Any]:
    under = f"under {row.agreement}" if row.agreement else "to any company"
    words = _USE if row.scope == "use" else _DISCLOSE
    return {"text": words[row.status].format(under=under), "since": row.valid_from.date().isoformat()}


_USE = {
    "given": "You agreed: use of your child's data here", "pending": "You were asked: use of your child's data here",
    "refused": "You refused: no further use of your child's data",
    "withdrawn": "You withdrew: no further use of your child's data",
}  # fmt: skip
_DISCLOSE = {
    "given": "You agreed: disclosure {under}", "pending": "You were asked: disclosure {under}",
    "refused": "You refused: nothing more {under}", "withdrawn": "You withdrew: nothing more {under}",
}  # fmt: skip


def _stayed_away(row: Any) -> dict[str, Any]:
    whom = f"companies of the kind {row.category}" if row.category else "any company"
    word = "You opted out of" if row.status == "active" else "You no longer opt out of"
    return {"text": f"{word} {whom}", "since": row.valid_from.date().isoformat()}


def refuse(parts: Office, code: str, agreement: str | None = None) -> str:
    """Record that the family refuses further use, or disclosure under one agreement. It counts from now on."""
    who, now = _unlock(parts, code), parts.clock.now()
    ref, request = parts.ids.new("co"), parts.ids.new("rq")
    with parts.database.open_school(who.place) as session:
        version = on_file.record(
            session, "consent", ref, now, "family", person_id=who.child, scope="disclose" if agreement else "use",
            agreement=agreement, status="refused", grantor="parent", evidenced=False, valid_from=now, valid_until=None,
            body={"number": None, "method": "family code"},
        )  # fmt: skip
        _open(session, request, who.child, "refuse", "done", now, now, "family")
        disclosure.event(parts, session, "consent", request, "recorded", consent=f"{ref}@{version}")
    return request


def ask_deletion(parts: Office, code: str) -> tuple[str, int]:
    """Open a deletion request, with one task for every past recipient. Return (its reference, tasks)."""
    who = _unlock(parts, code)
    with parts.database.open_school(who.place) as session:
        return open_deletion(parts, session, who.child, "family")


def open_deletion(parts: Office, session: Session, child: str, asked_by: str) -> tuple[str, int]:
    """Open a deletion request at the session's school, with its tasks. Return (its reference, tasks)."""
    now, request = parts.clock.now(), parts.ids.new("rq")
    _open(session, request, child, "delete", "open", now, now + DELETE_WITHIN, asked_by)
    tasks = open_tasks(parts, session, request, child)
    disclosure.events(parts, session, [{"type_": "rights", "ref": request, "outcome": "opened"}, *tasks])
    return request, len(tasks)


def open_tasks(parts: Office, session: Session, request: str, child: str) -> list[dict[str, Any]]:
    """Open a task of a deletion request for every past recipient that has none; return what the ledger says of them."""
    now, recipients = parts.clock.now(), defaultdict[tuple[str, str], int](int)
    for one in _received(parts, session, child):
        recipients[one.vendor, one.agreement] += 1
    for task in rights.tasks(session):
        if task.request == request:
            recipients.pop((task.vendor, task.agreement), None)
    opened = []
    for (vendor, agreement), count in sorted(recipients.items()):
        task = parts.ids.new("ta")
        rights.open_task(
            session, task=task, request=request, vendor=vendor, agreement=agreement, state="open",
            due_at=now + DELETE_WITHIN, attested_at=None, transfers=count,
        )  # fmt: skip
        opened.append({"type_": "task", "ref": task, "outcome": "opened", "vendor": vendor, "agreement": agreement})
    return opened


def _open(session: Session, ref: str, child: str, kind: str, state: str, now: Any, due: Any, by: str) -> None:
    rights.open_request(
        session, request=ref, person_id=child, kind=kind, state=state, opened_at=now, due_at=due, asked_by=by
    )
