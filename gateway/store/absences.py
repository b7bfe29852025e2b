"""Why accepted records are not in a delivery: the six kinds of absence, of which only the first removes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.store import tables
from gateway.store.letting_in import Seat
from gateway.store.staging import ID, Staging, mirror
from gateway.store.tenant import Session
from mappings.oneroster.records import KINDS

DELETED, FILTERED, QUARANTINED = "source-deleted", "filtered", "quarantined"
CUT_OFF, REKEYED, ROLLED_OVER = "cut-off", "re-keyed", "roll-over"
CAUSES = (DELETED, FILTERED, QUARANTINED, CUT_OFF, REKEYED, ROLLED_OVER)
KEPT = 20_000
Missing = tuple[str, str, str | None, str]
# What hangs on a person, and by which column.
_OF_PEOPLE = {kind.name: f'"{kind.person}"' for kind in KINDS.values() if kind.person}
_OF_YEARS = ("session", "course", "class", "enrollment")
_OF_ORGS = ("role", "class", "enrollment")


def classify(staging: Staging, left_out: Sequence[Seat]) -> None:
    """Make `absence` (kind, sourced_id, person_id, cause) of a checked delivery, and `rekeyed` (old, new) of people's ids.

    `left_out` are the schools whose agreement does not let us import.
    """
    staging.run(f"CREATE TEMP TABLE absence (kind text, sourced_id {ID}, person_id text, cause text, "
                "PRIMARY KEY (kind, sourced_id)) ON COMMIT DROP")  # fmt: skip
    missing = [kind for kind in KINDS if kind not in staging.fresh | staging.all_met and _note(staging, kind)]
    pair(staging, look="user" in missing)
    if not missing:
        return
    _note_rekeyed(staging)
    if years(staging)[0]:
        _explain(staging, ROLLED_OVER, "a.kind = ANY(%(kinds)s)", kinds=list(_OF_YEARS))
    if left_out:
        _note_filtered(staging, [seat.org_id for seat in left_out])


def _note(staging: Staging, kind: str) -> int:
    """Note the records of a kind that were not met: quarantined, waiting, gone, or merely not seen."""
    waits = (
        "(SELECT h.cause FROM staging.held h WHERE h.source = %(source)s AND h.what = 'waits' "
        f"AND h.kind = '{kind}' AND h.sourced_id = u.sourced_id LIMIT 1)"
    )
    person = f"m.{_OF_PEOPLE[kind]}" if kind in _OF_PEOPLE else "NULL"
    return staging.run(
        f"INSERT INTO absence SELECT '{kind}', u.sourced_id, {person}, CASE WHEN EXISTS (SELECT FROM bad_{kind} b WHERE "
        f"b.sourced_id = u.sourced_id) THEN '{QUARANTINED}' WHEN EXISTS (SELECT FROM gone_{kind} g WHERE g.sourced_id = "
        f"u.sourced_id) THEN '{DELETED}' ELSE coalesce({waits if kind in staging.waits else 'NULL'}, '{CUT_OFF}') END "
        f"FROM unmet_{kind} u JOIN {mirror(kind)} m ON m.source = %(source)s AND m.sourced_id = u.sourced_id "
        f"WHERE NOT EXISTS (SELECT FROM in_{kind} i WHERE i.sourced_id = u.sourced_id) "
        "ON CONFLICT DO NOTHING"
    )


def _explain(staging: Staging, cause: str, where: str, **values: Any) -> None:
    """Give a cause to what else would be the source's deletion."""
    staging.run(f"UPDATE absence a SET cause = '{cause}' WHERE a.cause = '{DELETED}' AND {where}", **values)


# --- people under new ids --------------------------------------------------------------------------

_KEYS = (
    "CROSS JOIN LATERAL (VALUES ('username', lower(p.username)), ('identifier', p.identifier), "
    "('userMasterIdentifier', p.master_identifier), ('email', lower(p.email))) k(name, value)"
)


_GOING = "(SELECT m.* FROM gone_user g JOIN {mirror} m ON m.source = %(source)s AND m.sourced_id = g.sourced_id)"
_COMING = "in_user"
_HELD_GOING = _GOING.replace("gone_user", "(SELECT sourced_id FROM staging.held WHERE {held} AND what = 'gone')")
_HELD_COMING = (
    "(SELECT h.sourced_id, r.* FROM staging.held h CROSS JOIN LATERAL jsonb_to_record(h.content) r(username text, "
    "identifier text, master_identifier text, email text) WHERE {held} AND h.what = 'in')"
)
_HELD = "source = %(source)s AND hold = %(hold)s AND kind = 'user'"


# `followed`: the source itself has put rows of the old id under the new one.
_PAIRS = ('CREATE TEMP TABLE rekeyed (old text COLLATE "C", new text COLLATE "C", by text, followed boolean) '
          "ON COMMIT DROP")  # fmt: skip
_FOLLOWED = (
    "UPDATE rekeyed r SET followed = TRUE FROM {mirror} m JOIN in_{kind} i USING (sourced_id) WHERE m.source = "
    '%(source)s AND m."user" = r.old AND i."user" = r.new'
)


def pair(staging: Staging, *, look: bool) -> None:
    """Make `rekeyed` (old, new, by): people who go and people who come who have one key in common, and nobody else."""
    staging.run(_PAIRS)
    if look and "user" not in staging.fresh:
        _pair(staging, _GOING, _COMING)
        for kind in ("role", "enrollment"):
            staging.run(_FOLLOWED.format(kind=kind, mirror=mirror(kind)))


def pair_held(staging: Staging, hold: str) -> None:
    """Make `rekeyed` of the people whom a hold keeps back."""
    staging.run(_PAIRS)
    _pair(staging, _HELD_GOING.replace("{held}", _HELD), _HELD_COMING.format(held=_HELD), hold=hold)


def _pair(staging: Staging, going: str, coming: str, **values: Any) -> None:
    old = f"SELECT p.sourced_id, k.* FROM {going.format(mirror=mirror('user'))} p {_KEYS} WHERE k.value IS NOT NULL"
    new = (
        f"SELECT p.sourced_id, k.* FROM {coming} p {_KEYS} WHERE k.value IS NOT NULL AND NOT EXISTS "
        f"(SELECT FROM {mirror('user')} m WHERE m.source = %(source)s AND m.sourced_id = p.sourced_id)"
    )
    staging.run(
        "INSERT INTO rekeyed SELECT old, new, by, FALSE FROM (SELECT o.sourced_id AS old, n.sourced_id AS new, "
        "min(o.name) AS by, count(*) OVER (PARTITION BY o.sourced_id) AS olds, count(*) OVER (PARTITION BY n.sourced_id) "
        f"AS news FROM ({old}) o JOIN ({new}) n USING (name, value) GROUP BY o.sourced_id, n.sourced_id) p "
        "WHERE olds = 1 AND news = 1",
        **values,
    )


def _note_rekeyed(staging: Staging) -> None:
    if staging.row("SELECT 1 FROM rekeyed LIMIT 1") is None:
        return
    for kind, column in _OF_PEOPLE.items():
        _explain(
            staging, REKEYED, f"a.kind = '{kind}' AND EXISTS (SELECT FROM {mirror(kind)} m JOIN rekeyed r ON r.old = "
            f"m.{column} WHERE m.source = %(source)s AND m.sourced_id = a.sourced_id)",
        )  # fmt: skip


def pairs(staging: Staging) -> dict[str, int]:
    """Return how many people come again under new ids, by the key they are known by."""
    rows = staging.session.rows("SELECT by, count(*) AS n FROM rekeyed GROUP BY by ORDER BY by")
    return {row.by: row.n for row in rows}


def alone(staging: Staging) -> int:
    """Return of how many of them the source has put no row under the new id."""
    (row,) = staging.session.rows("SELECT count(*) AS n FROM rekeyed WHERE NOT followed")
    return int(row.n)


def let_follow(staging: Staging) -> None:
    """Ask no person about those whose rows the source has put under the new id: there nothing would be left to wait."""
    staging.run("DELETE FROM absence a USING rekeyed r WHERE r.followed AND a.kind IN ('user', 'demographics') "
                "AND a.sourced_id = r.old")  # fmt: skip


def under_new_ids(staging: Staging) -> list[tuple[str, str]]:
    """Return (old id, new id) of people who come again under new ids."""
    return [(row.old, row.new) for row in staging.session.rows("SELECT old, new FROM rekeyed ORDER BY old")]


def people(staging: Staging) -> int:
    """Return how many people the source had."""
    row = staging.row(f"SELECT count(*) AS n FROM {mirror('user')} WHERE source = %(source)s")
    return int(row.n)


# --- years and schools -----------------------------------------------------------------------------


def years(staging: Staging) -> tuple[int, int]:
    """Return how many school years end with this delivery, where others begin, and how many there were."""
    if "session" in staging.fresh:
        return 0, 0
    said = f"SELECT FROM {mirror('session')} m WHERE m.source = %(source)s AND m.sourced_id = i.sourced_id"
    row = staging.row(
        f"SELECT (SELECT count(*) FROM gone_session g JOIN {mirror('session')} m ON m.source = %(source)s "
        "AND m.sourced_id = g.sourced_id WHERE m.type = 'schoolYear') AS ended, EXISTS (SELECT FROM in_session i "
        f"WHERE i.type = 'schoolYear' AND NOT EXISTS ({said})) AS begun, (SELECT count(*) FROM {mirror('session')} m "
        "WHERE m.source = %(source)s AND m.type = 'schoolYear') AS had"
    )
    return (int(row.ended), int(row.had)) if row.begun else (0, int(row.had))


def _note_filtered(staging: Staging, orgs: list[str]) -> None:
    """What is gone of a school that we leave out is not looked at: it stays there as it is."""
    for kind in _OF_ORGS:
        _explain(staging, FILTERED, f"a.kind = '{kind}' AND EXISTS (SELECT FROM {mirror(kind)} m WHERE m.source = "
                 "%(source)s AND m.sourced_id = a.sourced_id AND m.org = ANY(%(orgs)s))", orgs=orgs)  # fmt: skip
    role = f'SELECT FROM {mirror("role")} m WHERE m.source = %(source)s AND m."user" = a.sourced_id AND m.org'
    _explain(staging, FILTERED, f"a.kind IN ('user', 'demographics') AND EXISTS ({role} = ANY(%(orgs)s)) "
             f"AND NOT EXISTS ({role} <> ALL(%(orgs)s))", orgs=orgs)  # fmt: skip


# --- told ------------------------------------------------------------------------------------------


def counted(staging: Staging) -> dict[str, dict[str, int]]:
    """Return how many records are missing, by cause and kind."""
    found: dict[str, dict[str, int]] = {}
    for row in staging.session.rows(
        "SELECT cause, kind, count(*) AS n FROM absence GROUP BY cause, kind ORDER BY 1, 2"
    ):
        found.setdefault(row.cause, {})[row.kind] = row.n
    return found


def listed(staging: Staging) -> list[Missing]:
    """Return (kind, id, whom it is about, cause) of the missing records, the first twenty thousand."""
    rows = staging.session.rows("SELECT * FROM absence ORDER BY cause, kind, sourced_id LIMIT %(n)s", n=KEPT)
    return [(row.kind, row.sourced_id, row.person_id, row.cause) for row in rows]


def record(session: Session, run: str, missing: Sequence[Missing]) -> None:
    """Record the missing records of a run."""
    if missing:
        session.run(
            f"INSERT INTO {tables.sync_absence.name} (district, run, number, kind, sourced_id, person_id, cause) "
            "SELECT %(district)s, %(run)s, * FROM unnest(%(n)s::int[], %(kinds)s::text[], %(ids)s::text[], "
            "%(people)s::text[], %(causes)s::text[])",
            run=run, n=list(range(len(missing))), kinds=[m[0] for m in missing], ids=[m[1] for m in missing],
            people=[m[2] for m in missing], causes=[m[3] for m in missing],
        )  # fmt: skip


def of_run(session: Session, run: str, limit: int) -> Sequence[Any]:
    """Return the missing records of a run that were kept."""
    return session.rows(
        "SELECT * FROM sync_absence WHERE district = %(district)s AND run = %(run)s ORDER BY number LIMIT %(limit)s",
        run=run, limit=limit,
    )  # fmt: skip
