"""A vendor's names for records: random, one per grant and record, stored to be looked up and sorted.

A record that stands in several schools of one grant has one alias there; two grants never share one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from gateway.store.tenant import Database, Session
from mappings.oneroster.records import PROJECTED

# Records of a school that are new to a grant; one that the grant knows from another school of the same source keeps its
# name. Two sources may use one id for two people: those are two.
_MAKE = """
INSERT INTO alias (district, school, access_grant, kind, sourced_id, alias)
SELECT %(district)s, r.school, %(grant)s, %(kind)s, r.sourced_id, coalesce(a.alias, gen_random_uuid())
FROM roster_{kind} r LEFT JOIN (SELECT a.sourced_id, min(a.alias::text)::uuid AS alias FROM alias a
    JOIN school s ON s.district = a.district AND s.school = a.school
    JOIN school h ON h.district = a.district AND h.school = %(at)s AND h.source = s.source
    WHERE a.district = %(district)s AND a.school = ANY(%(schools)s) AND a.access_grant = %(grant)s
        AND a.kind = %(kind)s GROUP BY a.sourced_id) a ON a.sourced_id = r.sourced_id
WHERE r.district = %(district)s AND r.school = %(at)s AND r.since > %(behind)s AND r.until IS NULL
ON CONFLICT DO NOTHING
"""
# Fresh rows have no statistics, and a planner that believes in one row would compare each with each.
_AS_SETS = "SELECT set_config('enable_nestloop', %(on)s, true)"


def ensure_everywhere(database: Database, district: int, schools: Sequence[int], grant: str) -> None:
    """Give the records of all of a grant's schools their aliases, so that one that stands in several gets one.

    To be called before a session of one of the schools asks for them; nothing to do for a grant of one school.
    """
    if len(schools) > 1:
        with database.open_schools(district, schools) as session:
            ensure(session, grant)


def ensure(session: Session, grant: str) -> dict[int, int]:
    """Give every record of the session's schools its alias for this grant, if versions came since last time.

    Return the version that each school serves now.
    """
    served = session.rows(
        "SELECT v.school, v.version, coalesce(s.version, 0) AS behind FROM (SELECT school, "
        "max(version) AS version FROM roster_version WHERE district = %(district)s AND school = ANY(%(schools)s) GROUP BY school) v "
        "LEFT JOIN alias_state s ON s.district = %(district)s AND s.school = v.school AND s.access_grant = %(grant)s "
        "ORDER BY v.school",
        grant=grant,
    )
    for row in served:
        if row.behind < row.version:
            _make(session, grant, row.school, row.version, row.behind)
    return {row.school: row.version for row in served}


def _make(session: Session, grant: str, school: int, version: int, behind: int) -> None:
    """Give the records that came to a school after a version their aliases."""
    session.run(_AS_SETS, on="off")
    for kind in PROJECTED:
        session.run(_MAKE.replace("{kind}", kind.name), grant=grant, kind=kind.name, at=school, behind=behind)
    session.run(_AS_SETS, on="on")
    session.run(
        "INSERT INTO alias_state (district, school, access_grant, version) VALUES (%(district)s, %(at)s, "
        "%(grant)s, %(version)s) ON CONFLICT (district, school, access_grant) DO UPDATE SET version = "
        "greatest(alias_state.version, excluded.version)",
        grant=grant, at=school, version=version,
    )  # fmt: skip


def outward(session: Session, grant: str, kind: str, ids: Iterable[str]) -> dict[str, str]:
    """Return {our id: alias in 32 hex digits} for those records of the session's schools that have one."""
    rows = session.rows(
        "SELECT sourced_id, alias FROM alias WHERE district = %(district)s AND school = ANY(%(schools)s) "
        "AND access_grant = %(grant)s AND kind = %(kind)s AND sourced_id = ANY(%(ids)s)",
        grant=grant, kind=kind, ids=sorted(set(ids)),
    )  # fmt: skip
    return {row.sourced_id: UUID(str(row.alias)).hex for row in rows}


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
