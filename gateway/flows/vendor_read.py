"""Vendor read: a vendor reads a collection of the schools of its grant; decided, recorded, then answered.

Pages run over exactly one version of each school. Every page is a disclosure of its own, in the ledger of each
school it shows before the first byte leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.parts import Parts
from gateway.identity.clients import Grant
from gateway.policy import rowplan
from gateway.policy.decide import Decision, decide, of_person
from gateway.policy.minimise import clear_page, clear_record, elements_of, permitted_fields
from gateway.policy.request import RULES, Actor, ActorKind, Obligation, Operation, Request
from gateway.store import aliases, pages
from gateway.store import facts as fact_store
from gateway.store.tenant import Place, Session
from mappings.cleared import Cleared
from mappings.oneroster.v1p2 import BASE, Collection
from mappings.text import is_text

MOST = 10_000
MEETS = frozenset({Obligation.ALIASES, Obligation.REDISCLOSURE_NOTICE})
NOBODY = "-"  # no person's id: asked about in place of one who is not there
Decisions = Mapping[int, Decision]
Shares = Mapping[int, disclosure.Share]


@dataclass(frozen=True, slots=True)
class Query:
    """What a vendor asked: how many, from where, which fields (empty: all it may see)."""

    limit: int = 100
    offset: int = 0
    fields: tuple[str, ...] = ()
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: its bytes, the total, and the way to the next page."""

    body: Cleared[bytes]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a walk through a collection stands: pinned versions, last key and whether it is an alias, total."""

    versions: dict[int, int]
    after: str | None
    aliased: bool
    total: int | None


def read(parts: Parts, grant: Grant, collection: Collection, query: Query) -> Page:
    """Return one page. Raises Refused; foreign, withheld and absent rows alike are simply not there."""
    if not grant.schools:
        raise Refused(errors.ACT_WRONG_SCHOOL)
    place = _open_cursor(parts, grant, collection, query)
    with parts.database.open_schools(grant.district, grant.schools) as session:
        session.flush_after_commit()
        permitted, denied = _decide(parts, session, grant, collection, query)
        page, shares = _page(parts, session, grant, collection, query, place, permitted) if permitted else (None, {})
        disclosure.intend_each(parts, session, grant.ref, shares, denied)
    if page is None:
        raise _as_asked(_last(denied), query)
    return page


def read_one(parts: Parts, grant: Grant, collection: Collection, key: str) -> Cleared[bytes]:
    """Return one record by the id this vendor knows it by. Raises Refused.

    Absent, foreign, personal, erased and singly denied records answer alike; the school's ledger has the reason.
    """
    if not grant.schools:
        raise Refused(errors.ACT_WRONG_SCHOOL)
    key = key if is_text(key) else ""
    with parts.database.open_schools(grant.district, grant.schools) as session:
        session.flush_after_commit()
        permitted, denied = _decide(parts, session, grant, collection, Query())
        body, shares = _one(parts, session, grant, collection, key, permitted) if permitted else (None, {})
        absent = {} if body else _absent(session, grant, collection, key, permitted)
        disclosure.intend_each(parts, session, grant.ref, shares, denied | absent)
    if body is None:
        raise Refused(errors.OWN_NOT_ASSOCIATED) if permitted else _last(denied)
    return body


def _last(denied: Decisions) -> Refused:
    return disclosure.refusal(list(denied.values())[-1])


def _one(
    parts: Parts, session: Session, grant: Grant, collection: Collection, key: str, decisions: Decisions
) -> tuple[Cleared[bytes] | None, Shares]:
    """Return a record and, of the school it is from, the share to write down; nothing if it may not be seen."""
    now = aliases.ensure(session, grant.ref)
    decision = _narrowest(list(decisions.values()))
    names = tuple(permitted_fields(collection.schema, decision.permitted))
    pinned = {s: v for s, v in now.items() if s in decisions}
    found = pages.read(session, _wanted(parts, grant, collection, decision, names, pinned, 1, key=key))
    if not found:
        return None, {}
    body = clear_record(decision, collection.schema, collection.single, found.bodies[0])
    return body, _shares(session, {school: decisions[school] for school in found.schools[0]}, found, body)


def _wanted(
    parts: Parts, grant: Grant, collection: Collection, decision: Decision, names: tuple[str, ...],
    pinned: Mapping[int, int], limit: int, **more: Any,
) -> pages.Wanted:  # fmt: skip
    aliased = "record.source_id" not in decision.permitted
    base = parts.settings.url + BASE
    return pages.Wanted(collection, names, decision.plan, grant.ref, aliased, base, pinned, limit, **more)


def _absent(
    session: Session, grant: Grant, collection: Collection, key: str, decisions: Decisions
) -> dict[int, Decision]:
    """Return the denials for the ledgers of schools of which a record was asked for and not given: why, at each."""
    if not decisions:
        return {}
    aliased = "record.source_id" not in _narrowest(list(decisions.values())).permitted
    known = aliases.inward(session, grant.ref, collection.kind, [key.replace("-", "")]) if aliased else {}
    ours = next((sourced for _, sourced in known.values()), "" if aliased else key)
    denied = {}
    for school, decision in decisions.items():
        here = session.at(school)
        person = pages.person_of(here, collection, ours) or NOBODY  # looked up in any case: the same work for all
        judged = of_person(decision, fact_store.person(here, person))
        denied[school] = of_person(decision, fact_store.NOBODY) if judged.permits else judged
    return denied


def _as_asked(refused: Refused, query: Query) -> Refused:
    """A withheld field that was asked for by name answers exactly as an unknown one."""
    if query.fields and refused.reason in (errors.ELM_NOT_IN_SCHEDULE, errors.ELM_REQUIRED_WITHHELD):
        return Refused(errors.REQ_FIELD_UNKNOWN)
    return refused


def _decide(
    parts: Parts, session: Session, grant: Grant, collection: Collection, query: Query
) -> tuple[dict[int, Decision], dict[int, Decision]]:
    """Decide at each school of the grant, at one moment; return the decisions that permit and those that deny."""
    wire = {f.data_key or n: f for n, f in collection.schema._declared_fields.items()}  # noqa: SLF001
    if set(query.fields) - set(wire):
        raise Refused(errors.REQ_FIELD_UNKNOWN)
    asked = frozenset[str]().union(*(elements_of(wire[name]) for name in query.fields or wire))
    needed = asked if query.fields else frozenset(f.metadata["element"] for f in wire.values() if f.required)
    known, now, found = fact_store.known_each(session, grant.vendor, grant.agreement), parts.clock.now(), {}
    for school in grant.schools:
        here = known[school]
        request = Request(
            parts.ids.new("tr"), Operation.ROSTER_READ, Actor(ActorKind.VENDOR, grant.ref), here.school,
            grant.vendor, RULES[Operation.ROSTER_READ].purpose, asked | {"record.source_id"}, needed, meets=MEETS,
        )  # fmt: skip
        credential = grant.credential(Place(grant.district, school), here.school)
        found[school] = decide(request, here.facts(credential), now)
    permitted = {school: decision for school, decision in found.items() if decision.permits}
    return permitted, {school: decision for school, decision in found.items() if not decision.permits}


def _page(
    parts: Parts, session: Session, grant: Grant, collection: Collection, query: Query, place: _Place | None,
    decisions: Decisions,
) -> tuple[Page, Shares]:  # fmt: skip
    """Read one page over the permitted schools. Where they permit different things, all get the narrowest."""
    try:
        now = aliases.ensure(session, grant.ref, place.versions if place else {})
    except aliases.Forgotten as forgotten:
        raise Refused(errors.SRC_HISTORY) from forgotten
    decision = _narrowest(list(decisions.values()))
    offered = permitted_fields(collection.schema, decision.permitted)
    names = tuple(name for name in offered if not query.fields or name in query.fields)
    pinned = {s: v for s, v in (place.versions if place else now).items() if s in decisions}
    wanted = _wanted(parts, grant, collection, decision, names, pinned, query.limit + 1, offset=query.offset,
                     after=place.after if place else None)  # fmt: skip
    if place and place.aliased != wanted.aliased:
        raise Refused(errors.REQ_CURSOR)  # the agreement has come to list the source's ids since, or no longer does
    found = pages.read(session, wanted)
    total = place.total if place and place.total is not None else pages.count(session, wanted)
    shown, more = found.first(query.limit), len(found) > query.limit
    body = clear_page(decision, collection.schema, names, collection.member, shown.bodies, parts.sample)
    following = _cursor(parts, grant, wanted, shown.keys[-1], total) if more else None
    return Page(body, total, following), _shares(session, decisions, shown, body)


def _narrowest(decisions: list[Decision]) -> Decision:
    """Return a decision that permits only what all of them permit."""
    first = decisions[0]
    if len(decisions) == 1:
        return first
    permitted = frozenset.intersection(*(d.permitted for d in decisions))
    parts = dict.fromkeys(part for d in decisions for part in d.plan.parts)
    return replace(first, permitted=permitted, plan=rowplan.RowPlan(tuple(parts)))


def _shares(session: Session, decisions: Decisions, shown: pages.Found, body: Cleared[bytes]) -> Shares:
    """Return what goes into each school's ledger: the rows it holds, alone or with others; no other school's."""
    withheld = pages.withheld(session, {school: decision.plan for school, decision in decisions.items()})
    found = {}
    for school, own in shown.at(tuple(decisions)).items():
        payload = body.payload if len(own.bodies) == len(shown) else "\n".join(own.bodies).encode()
        people = {person: salt for person, salt in own.people.items() if person is not None}
        found[school] = disclosure.Share(decisions[school], people, payload, withheld[school])
    return found


# --- the way to the next page ----------------------------------------------------------------------


def _signer(parts: Parts) -> URLSafeSerializer:
    return URLSafeSerializer(parts.vault.derive("page-cursor"), salt="cursor")


def _cursor(parts: Parts, grant: Grant, wanted: pages.Wanted, last: str, total: int) -> str:
    pins = [[school, version] for school, version in sorted(wanted.versions.items())]
    return str(_signer(parts).dumps([grant.ref, wanted.collection.path, pins, last, wanted.aliased, total]))


def _open_cursor(parts: Parts, grant: Grant, collection: Collection, query: Query) -> _Place | None:
    if query.cursor is None:
        return None
    try:
        ref, path, pins, after, aliased, total = _signer(parts).loads(query.cursor)
    except (BadSignature, ValueError, TypeError) as error:
        raise Refused(errors.REQ_CURSOR) from error
    if (ref, path) != (grant.ref, collection.path):
        raise Refused(errors.REQ_CURSOR)
    return _Place({int(s): int(v) for s, v in pins}, after, aliased, total)
