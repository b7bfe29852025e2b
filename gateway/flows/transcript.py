"""A transcript goes to one addressee, by a direction that names it: those bytes, nothing else, to nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.grade_push import may_hand_in
from gateway.flows.parts import Parts
from gateway.identity.clients import Grant
from gateway.policy.decide import decide_person
from gateway.policy.minimise import clear_bytes
from gateway.policy.request import RULES, Actor, ActorKind, Obligation, Operation, Request
from gateway.store import aliases, rights, roster
from gateway.store import facts as fact_store
from gateway.store.tenant import Place, Session
from mappings import application
from mappings.cleared import Cleared

NOBODY = "-"  # no person's id: asked about in place of one who is not there
ELEMENTS = frozenset({"transcript.identity", "transcript.competencies"})
MEETS = frozenset({Obligation.REDISCLOSURE_NOTICE})
# What a caller may be told; anything else about a document is told nobody but its addressee.
_SAID = frozenset({errors.AUT_TOKEN_INVALID, errors.AUT_TOKEN_EXPIRED, errors.SCP_MISSING, errors.LED_UNAVAILABLE})


def issue(parts: Parts, grant: Grant, person: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Take in a transcript of a pupil from the application. Raises Refused."""
    place, child = _pupil(parts, grant, person)
    ref, now = parts.ids.new("ts"), parts.clock.now()
    with parts.database.open_school(place) as session:
        refused = may_hand_in(parts, session, grant, None)
        if refused is None:
            body = _document(session, child, document)
            version = rights.keep_transcript(session, ref, child, body, grant.ref, now)
    if refused:
        raise refused
    return {"id": ref, "version": version}


def _pupil(parts: Parts, grant: Grant, text: str) -> tuple[Place, str]:
    alias = application.inward(application.PERSON, text)
    if grant.schools:
        with parts.database.open_schools(grant.district, grant.schools) as session:
            school, child = aliases.inward(session, grant.ref, "user", [alias]).get(alias, (grant.schools[0], NOBODY))
            standing = fact_store.person(session.at(school), child)
            if standing.associated and standing.is_pupil:
                return Place(grant.district, school), child
    raise Refused(errors.OWN_NOT_ASSOCIATED)


def _document(session: Session, child: str, handed: Mapping[str, Any]) -> bytes:
    """The bytes that will be delivered: the closed schema, in one canonical form."""
    user = roster.user(session, child)
    pupil = f"{user.given_name} {user.family_name}" if user else ""
    whole = {**handed, "pupil": pupil, "school": fact_store.school_name(session)}
    return orjson.dumps(application.Transcript().dump(whole), option=orjson.OPT_SORT_KEYS)


def deliver(parts: Parts, grant: Grant, ref: str) -> Cleared[bytes]:
    """Return a transcript's bytes to its addressee. Raises Refused: to anybody else there is no such document."""
    if not grant.schools:
        raise Refused(errors.RCP_NOT_ADDRESSEE)
    with parts.database.open_schools(grant.district, grant.schools) as session:
        row = rights.transcript(session, ref)
        outcome = _deliver(parts, session.at(row.school if row else grant.schools[0]), grant, row)
    if isinstance(outcome, Refused):
        raise outcome
    return outcome


def _deliver(parts: Parts, session: Session, grant: Grant, row: Any | None) -> Cleared[bytes] | Refused:
    """Decide about a document, or about none: what is not there is judged, and denied, as what is."""
    school = fact_store.school_ref(session)
    request = Request(
        parts.ids.new("tr"), Operation.TRANSCRIPT, Actor(ActorKind.VENDOR, grant.ref), school, grant.vendor,
        RULES[Operation.TRANSCRIPT].purpose, ELEMENTS, ELEMENTS,
        record=f"{row.transcript}@{row.version}" if row else None, meets=MEETS,
    )  # fmt: skip
    facts = fact_store.load(session, grant.credential(session.place, school))
    person = fact_store.person(session, row.person_id if row else NOBODY)
    decision = decide_person(request, facts, person, parts.clock.now())
    if row is None or not decision.permits:
        refused = disclosure.deny(parts, session, decision, grant.ref)
        return refused if refused.reason in _SAID else Refused(errors.RCP_NOT_ADDRESSEE)
    cleared = clear_bytes(decision, application.Transcript, bytes(row.document))
    disclosure.intend(parts, session, decision, grant.ref, [row.person_id], cleared.payload)
    return cleared
