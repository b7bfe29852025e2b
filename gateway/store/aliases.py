"""A vendor's names for records: random, one per grant and record, stored to be looked up and sorted.

A record that stands in several schools of one grant has one alias there; two grants never share one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID

from gateway.store.tenant import Database, Session
from mappings.oneroster.records import PROJECTED

# Records that came to these schools since last time; one that the grant knows from another school of the same source
# keeps its name, and one that came to several gets one. Two sources may use one id for two people: those are two.
_MAKE = """
WITH fresh AS MATERIALIZED (
    {fresh}),
wanted AS (SELECT DISTINCT source, sourced_id FROM fresh),
known AS (
    SELECT h.source, a.sourced_id, min(a.alias::text)::uuid AS alias FROM alias a
    JOIN school h ON h.district = a.district AND h.school = a.school
    WHERE a.district = %(district)s AND a.school = ANY(%(schools)s) AND a.access_grant = %(grant)s AND a.kind = %(kind)s
        AND a.sourced_id IN (SELECT sourced_id FROM wanted) GROUP BY h.source, a.sourced_id),
named AS MATERIALIZED (
    SELECT w.source, w.sourced_id, coalesce(k.alias, gen_random_uuid()) AS alias
    FROM wanted w LEFT JOIN known k USING (source, sourced_id))
INSERT INTO alias (district, school, access_grant, kind, sourced_id, alias)
SELECT %(district)s, f.school, %(grant)s, %(kind)s, f.sourced_id, n.alias FROM fresh f
JOIN named n USING (source, sourced_id)
ON CONFLICT DO NOTHING
"""
_FRESH = """
SELECT r.school, s.source, {id} AS sourced_id FROM unnest(%(at)s::int[], %(behind)s::int[]) b(at, behind)
    JOIN school s ON s.district = %(district)s AND s.school = b.at
    JOIN roster_{kind} r ON r.district = %(district)s AND r.school = b.at AND r.since > b.behind AND r.until IS NULL
"""
# A course or term that is quarantined is named already: its classes lead to it, and it comes under that name.
_NAMED = {"course": ("class", 'r."course"'), "session": ("class", 'unnest(r."terms")')}
_SERVED = """
SELECT v.school, v.version, v.kept, coalesce(s.version, 0) AS behind FROM (SELECT school, max(version) AS version,
    min(version) AS kept FROM roster_version WHERE district = %(district)s AND school = ANY(%(schools)s) GROUP BY school) v
LEFT JOIN alias_state s ON s.district = %(district)s AND s.school = v.school AND s.access_grant = %(grant)s
ORDER BY v.school
"""
# Fresh rows have no statistics, and a planner that believes in one row would compare each with each.
_AS_SETS = "SELECT set_config('enable_nestloop', %(on)s, true)"
_HEX = re.compile(r"[0-9a-f]{32}\Z")
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended(%(grant)s, 11))"


def ensure_everywhere(database: Database, district: int, schools: Sequence[int], grant: str) -> None:
    """Give the records of all of a grant's schools their aliases, so that one that stands in several gets one.

    To be called before a session of one of the schools asks for them; nothing to do for a grant of one school.
    """
    if len(schools) > 1:
        with database.open_schools(district, schools) as session:
            ensure(session, grant)


class Behind(Exception):  # noqa: N818 - a state, not a fault
    """A version was published after the records of a grant's schools were named."""


def ensure_here(session: Session, schools: Sequence[int], grant: str) -> None:
    """As `ensure`, where the session's school is all the grant has: from one school of several it cannot be seen what
    another calls the same person. Raises Behind where that is not known yet."""
    if len(schools) == 1:
        ensure(session, grant)
    elif any(row.behind < row.version for row in session.rows(_SERVED, grant=grant)):
        raise Behind


class Forgotten(Exception):  # noqa: N818 - a state, not a fault
    """A version that a walk is pinned to is not kept any more."""


def ensure(session: Session, grant: str, pinned: Mapping[int, int] = MappingProxyType({})) -> dict[int, int]:
    """Give every record of the session's schools its alias for this grant, if versions came since last time.

    Return the version that each school serves now. Raises Forgotten when one of the `pinned` is not kept any more.
    """
    served = session.rows(_SERVED, grant=grant)
    if any(pinned.get(row.school, row.version) < row.kept for row in served):
        raise Forgotten
    if any(row.behind < row.version for row in served):
        session.row(_ALONE, grant=grant)  # two who name the same record name it once
        served = session.rows(_SERVED, grant=grant)
        _make(session, grant, [row for row in served if row.behind < row.version])
    return {row.school: row.version for row in served}


def _make(session: Session, grant: str, behind: Sequence[Any]) -> None:
    """Give the records that came to schools after a version their aliases."""
    at, since = [row.school for row in behind], [row.behind for row in behind]
    session.run(_AS_SETS, on="off")
    for kind in PROJECTED:
        fresh = _FRESH.format(kind=kind.name, id="r.sourced_id")
        if kind.name in _NAMED:
            by, column = _NAMED[kind.name]
            fresh = f"SELECT * FROM ({fresh} UNION {_FRESH.format(kind=by, id=column)}) f WHERE sourced_id IS NOT NULL"
        session.run(_MAKE.replace("{fresh}", fresh), grant=grant, kind=kind.name, at=at, behind=since)
    session.run(_AS_SETS, on="on")
    session.run(
        "INSERT INTO alias_state (district, school, access_grant, version) SELECT %(district)s, at, %(grant)s, version "
        "FROM unnest(%(at)s::int[], %(versions)s::int[]) v(at, version) ON CONFLICT (district, school, access_grant) "
        "DO UPDATE SET version = greatest(alias_state.version, excluded.version)",
        grant=grant, at=at, versions=[row.version for row in behind],
    )  # fmt: skip


def outward(session: Session, grant: str, kind: str, ids: Iterable[str]) -> dict[str, str]:
    """Return {our id: alias in 32 hex digits} for those records of the session's schools that have one."""
    rows = session.rows(
        "SELECT sourced_id, alias FROM alias WHERE district = %(district)s AND school = ANY(%(schools)s) "
        "AND access_grant = %(grant)s AND kind = %(kind)s AND sourced_id = ANY(%(ids)s)",
        grant=grant, kind=kind, ids=sorted(set(ids)),
    )  # fmt: skip
    return {row.sourced_id: UUID(str(row.alias)).hex for row in rows}


def pseudonym(session: Session, grant: str, kind: str, id_: str) -> str:
    """Return the name under which a grant knows somebody unnamed: random, stored, no alias of any record."""
    for _ in range(2):
        row = session.row(
            "SELECT alias FROM alias WHERE district = %(district)s AND school = %(school)s AND access_grant = %(grant)s "
            "AND kind = %(kind)s AND sourced_id = %(id)s",
            grant=grant, kind=kind, id=id_,
        )  # fmt: skip
        if row is not None:
            break
        session.run(
            "INSERT INTO alias (district, school, access_grant, kind, sourced_id, alias) VALUES (%(district)s, "
            "%(school)s, %(grant)s, %(kind)s, %(id)s, gen_random_uuid()) ON CONFLICT DO NOTHING",
            grant=grant, kind=kind, id=id_,
        )  # fmt: skip
    assert row is not None  # noqa: S101 - just written
    return UUID(str(row.alias)).hex


def people_behind(session: Session, grant: str, pseudonyms: Iterable[str]) -> dict[str, str]:
    """Return {pseudonym: our id} of those unnamed whom the session's school knows."""
    wanted = [UUID(hex=text) for text in pseudonyms if _HEX.match(text)]
    rows = session.rows(
        "SELECT alias, sourced_id FROM alias WHERE district = %(district)s AND school = %(school)s "
        "AND access_grant = %(grant)s AND kind = 'pseudonym' AND alias = ANY(%(wanted)s::uuid[])",
        grant=grant, wanted=wanted,
    )  # fmt: skip
    return {UUID(str(row.alias)).hex: row.sourced_id for row in rows}


def inward(session: Session, grant: str, kind: str, aliases: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Return {alias: (school, our id)} for those aliases that are this grant's; others are simply not there."""
    wanted = []
    for text in aliases:
        try:
            wanted.append(UUID(hex=text))
        except ValueError:
            continue
    rows = session.rows(
        "SELECT a.school, a.sourced_id, a.alias FROM unnest(%(aliases)s::uuid[]) w(alias) CROSS JOIN LATERAL (SELECT "
        "* FROM alias WHERE district = %(district)s AND school = ANY(%(schools)s) AND access_grant = %(grant)s "
        "AND kind = %(kind)s AND alias BETWEEN w.alias AND w.alias "  # a range of one: see store/pages.py
        "AND alias >= '00000000-0000-0000-0000-000000000000'::uuid OFFSET 0) a ORDER BY EXISTS (SELECT FROM "
        f"roster_{kind} r WHERE r.district = %(district)s AND r.school = a.school AND r.sourced_id = a.sourced_id "
        "AND r.until IS NULL), a.school DESC",  # the last one counts: a school that still holds the record
        grant=grant, kind=kind, aliases=wanted,
    )  # fmt: skip
    return {UUID(str(row.alias)).hex: (row.school, row.sourced_id) for row in rows}
