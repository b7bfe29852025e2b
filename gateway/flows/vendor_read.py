"""Vendor read: a vendor reads a collection of the schools of its grant; decided, recorded, then answered.

Pages run over exactly one version of each school. Every page is a disclosure of its own, in the ledger of each
school it shows before the first byte leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from itsdangerous import BadSignature, URLSafeSerializer

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.parts import Parts
from gateway.identity.clients import Grant
from gateway.policy import rowplan
from gateway.policy.decide import Decision, decide
from gateway.policy.minimise import clear_page, permitted_fields, sample_is_permitted
from gateway.policy.request import Actor, ActorKind, Operation, Purpose, Request
from gateway.store import aliases, pages
from gateway.store import facts as fact_store
from gateway.store.tenant import Session
from mappings.cleared import Cleared
from mappings.oneroster.v1p2 import BASE, Collection
from mappings.text import is_text

MOST = 10_000


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
    """Where a walk through a collection stands: pinned versions, last key, total."""

    versions: dict[int, int]
    after: str | None
    total: int | None


def read(parts: Parts, grant: Grant, collection: Collection, query: Query) -> Page:
    """Return one page. Raises Refused; foreign, withheld and absent rows alike are simply not there."""
    if not grant.schools:
        raise Refused(errors.ACT_WRONG_SCHOOL)
    place = _open_cursor(parts, grant, collection, query)
    with parts.database.open_schools(grant.district, grant.schools) as session:
        decisions = {school: _decide(parts, session.at(school), grant, collection, query) for school in grant.schools}
        permitted = {school: d for school, d in decisions.items() if d.permits}
        for school, decision in decisions.items():
            if not decision.permits:
                refused = disclosure.deny(parts, session.at(school), decision, grant.ref)
        if permitted:
            page = _page(parts, session, grant, collection, query, place, permitted)
    if not permitted:
        raise _as_asked(refused, query)
    return page


def read_one(parts: Parts, grant: Grant, collection: Collection, key: str) -> Cleared[bytes]:
    """Return one record by the id this vendor knows it by. Raises Refused.

    Absent, foreign, personal, erased and singly denied records answer alike; the school's ledger has the reason.
    """
    if not grant.schools:
        raise Refused(errors.ACT_WRONG_SCHOOL)
    key = key if is_text(key) else ""
    with parts.database.open_schools(grant.district, grant.schools) as session:
        decisions = {s: _decide(parts, session.at(s), grant, collection, Query()) for s in grant.schools}
        permitted = {school: d for school, d in decisions.items() if d.permits}
        for school, decision in decisions.items():
            if not decision.permits:
                refused = disclosure.deny(parts, session.at(school), decision, grant.ref)
        if permitted:
            body, refused = _one(parts, session, grant, collection, key, permitted)
    if not permitted or body is None:
        raise refused
    return body


def _one(
    parts: Parts, session: Session, grant: Grant, collection: Collection, key: str, decisions: Mapping[int, Decision]
) -> tuple[Cleared[bytes] | None, Refused]:
    aliases.ensure(session, grant.ref)
    decision = _narrowest(list(decisions.values()))
    names = tuple(permitted_fields(collection.schema, decision.permitted))
    aliased = "record.source_id" not in decision.permitted
    wanted = pages.Wanted(
        collection, names, decision.plan, grant.ref, aliased, parts.settings.url + BASE,
        {s: v for s, v in pages.versions(session).items() if s in decisions}, 1, key=key,
    )  # fmt: skip
    rows = pages.read(session, wanted)
    if not rows:
        _note_absent(parts, session, grant, collection, key, aliased, decisions)
        return None, Refused(errors.OWN_NOT_ASSOCIATED)
    if not sample_is_permitted(decision, collection.schema, rows[0].body.encode()):
        raise Refused(errors.INT_POLICY_ERROR)
    whole = f'{{"{collection.single}":{rows[0].body}}}'.encode()
    body = clear_page(decision, collection.schema, names, whole)
    school = rows[0].school
    _record(parts, session.at(school), decisions[school], grant, rows, body)
    return body, Refused(errors.OWN_NOT_ASSOCIATED)


def _note_absent(
    parts: Parts, session: Session, grant: Grant, collection: Collection, key: str, aliased: bool,
    decisions: Mapping[int, Decision],
) -> None:  # fmt: skip
    """Write to each school's ledger that one record was asked for and not given, with the reason that holds there."""
    known = aliases.inward(session, grant.ref, collection.kind, [key.replace("-", "")]) if aliased else {}
    ours = next((sourced for _, sourced in known.values()), "" if aliased else key)
    for school, decision in decisions.items():
        here = session.at(school)
        person = pages.person_of(here, collection, ours)
        reason = rowplan.judge(decision.plan, fact_store.person(here, person)) if person else None
        denied = replace(decision, reasons=(reason or errors.OWN_NOT_ASSOCIATED,), permitted=frozenset())
        disclosure.deny(parts, here, denied, grant.ref)


def _as_asked(refused: Refused, query: Query) -> Refused:
    """A withheld field that was asked for by name answers exactly as an unknown one."""
    if query.fields and refused.reason in (errors.ELM_NOT_IN_SCHEDULE, errors.ELM_REQUIRED_WITHHELD):
        return Refused(errors.REQ_FIELD_UNKNOWN)
    return refused


def _decide(parts: Parts, session: Session, grant: Grant, collection: Collection, query: Query) -> Decision:
    school = fact_store.school_ref(session)
    wire = {f.data_key or n: f for n, f in collection.schema._declared_fields.items()}  # noqa: SLF001
    if set(query.fields) - set(wire):
        raise Refused(errors.REQ_FIELD_UNKNOWN)
    asked = {wire[name].metadata["element"] for name in query.fields or wire}
    needed = asked if query.fields else {f.metadata["element"] for f in wire.values() if f.required}
    request = Request(
        parts.ids.new("tr"), Operation.ROSTER_READ, Actor(ActorKind.VENDOR, grant.ref), school, grant.vendor,
        Purpose.ROSTERING, frozenset(asked | {"record.source_id"}), frozenset(needed),
    )  # fmt: skip
    facts = fact_store.load(session, grant.credential(session.place, school))
    return decide(request, facts, parts.clock.now())


def _page(
    parts: Parts, session: Session, grant: Grant, collection: Collection, query: Query, place: _Place | None,
    decisions: Mapping[int, Decision],
) -> Page:  # fmt: skip
    """Read one page over the permitted schools. Where they permit different things, all get the narrowest."""
    aliases.ensure(session, grant.ref)
    decision = _narrowest(list(decisions.values()))
    offered = permitted_fields(collection.schema, decision.permitted)
    names = tuple(name for name in offered if not query.fields or name in query.fields)
    now = pages.versions(session)
    pinned = {s: v for s, v in (place.versions if place else now).items() if s in decisions}
    wanted = pages.Wanted(
        collection, names, decision.plan, grant.ref, "record.source_id" not in decision.permitted,
        parts.settings.url + BASE, pinned, query.limit + 1, query.offset, place.after if place else None,
    )  # fmt: skip
    found = pages.read(session, wanted)
    total = place.total if place and place.total is not None else pages.count(session, wanted)
    rows, more = found[: query.limit], len(found) > query.limit
    if rows and not sample_is_permitted(decision, collection.schema, rows[0].body.encode()):
        raise Refused(errors.INT_POLICY_ERROR)
    body = clear_page(decision, collection.schema, names, _join(collection.member, rows))
    for school, own in decisions.items():
        _record(parts, session.at(school), own, grant, rows, body)
    following = _cursor(parts, grant, collection, pinned, rows, total) if more else None
    return Page(body, total, following)


def _narrowest(decisions: list[Decision]) -> Decision:
    """Return a decision that permits only what all of them permit."""
    first = decisions[0]
    if len(decisions) == 1:
        return first
    permitted = frozenset.intersection(*(d.permitted for d in decisions))
    parts = dict.fromkeys(part for d in decisions for part in d.plan.parts)
    return replace(first, permitted=permitted, plan=rowplan.RowPlan(tuple(parts)))


def _join(member: str, rows: Sequence[pages.PageRow]) -> bytes:
    return f'{{"{member}":['.encode() + ",".join(row.body for row in rows).encode() + b"]}"


def _record(
    parts: Parts, session: Session, decision: Decision, grant: Grant, rows: Sequence[pages.PageRow],
    body: Cleared[bytes],
) -> None:  # fmt: skip
    """Write the intent to one school's ledger: its own rows, and nothing of another school's."""
    school = session.place.school
    own = [row for row in rows if row.school == school]
    payload = body.payload if len(own) == len(rows) else "\n".join(row.body for row in own).encode()
    people = {row.person for row in own if row.person}
    disclosure.intend(parts, session, decision, grant.ref, people, payload, pages.withheld(session, decision.plan))


# --- the way to the next page ----------------------------------------------------------------------


def _signer(parts: Parts) -> URLSafeSerializer:
    return URLSafeSerializer(parts.vault.derive("page-cursor"), salt="cursor")


def _cursor(
    parts: Parts, grant: Grant, collection: Collection, versions: Mapping[int, int],
    rows: Sequence[pages.PageRow], total: int,
) -> str:  # fmt: skip
    pins = [[school, version] for school, version in sorted(versions.items())]
    return str(_signer(parts).dumps([grant.ref, collection.path, pins, rows[-1].key, total]))


def _open_cursor(parts: Parts, grant: Grant, collection: Collection, query: Query) -> _Place | None:
    if query.cursor is None:
        return None
    try:
        ref, path, pins, after, total = _signer(parts).loads(query.cursor)
    except (BadSignature, ValueError, TypeError) as error:
        raise Refused(errors.REQ_CURSOR) from error
    if (ref, path) != (grant.ref, collection.path):
        raise Refused(errors.REQ_CURSOR)
    return _Place({int(s): int(v) for s, v in pins}, after, total)
