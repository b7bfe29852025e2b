"""What a delta says, brought into the order of its moments: news are staged, removals are gone, what is older is left.

The order of a record's moments decides, never the order in which deliveries come: at the same moment, a removal counts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.store.staging import Staging, mirror
from mappings.oneroster.records import KINDS

# How long a removal is remembered, for what is older and comes later; and how far the clock of a source may be ahead.
REMEMBERED, AHEAD = timedelta(days=60), timedelta(days=1)


def order(staging: Staging, now: datetime) -> dict[str, int]:
    """Bring the staged rows of deltas into order; return, by kind, how many said what is known already."""
    known = {}
    for kind in KINDS:
        if kind not in staging.delta:
            continue
        if kind == "role" and staging.roles_in_users:
            _roles_of_users(staging)
        known[kind] = _order(staging, kind, now)
    for kind in staging.delta - set(KINDS):
        _newest(staging, kind)
        staging.run(f"DELETE FROM in_{kind} WHERE removed")
    return known


def remember(staging: Staging, now: datetime) -> None:
    """Forget removals of records that were accepted again, and those that are long ago."""
    for kind in KINDS:
        staging.run(
            f"DELETE FROM staging.removed r WHERE r.source = %(source)s AND r.kind = '{kind}' AND (r.modified < %(ago)s "
            f"OR EXISTS (SELECT FROM {mirror(kind)} m WHERE m.source = r.source AND m.sourced_id = r.sourced_id))",
            ago=now - REMEMBERED,
        )  # fmt: skip


def _order(staging: Staging, kind: str, now: datetime) -> int:
    _of_the_future(staging, kind, now)
    _newest(staging, kind)
    _outdated(staging, kind)
    _remove(staging, kind)
    same = "m.source = %(source)s AND m.sourced_id = i.sourced_id AND m.hash = i.hash AND m.hash <> 0"
    staging.run(
        f"UPDATE {mirror(kind)} m SET modified = i.modified FROM in_{kind} i WHERE {same} "
        "AND m.modified IS DISTINCT FROM i.modified"
    )
    return staging.run(f"DELETE FROM in_{kind} i USING {mirror(kind)} m WHERE {same}")


def _say(staging: Staging, kind: str, out: str, column: str, code: str, effect: str, hint: str = "''") -> None:
    staging.run(
        f"WITH out AS ({out}) INSERT INTO fault SELECT '{KINDS[kind].file}', line, '{column}', '{code}', '{effect}', '', "
        f"{hint}, sourced_id FROM out"
    )


def _of_the_future(staging: Staging, kind: str, now: datetime) -> None:
    """A moment that is still to come would outdate all that comes until then: it is not believed."""
    staging.run(
        f"WITH out AS (UPDATE in_{kind} SET modified = %(now)s WHERE modified > %(ahead)s RETURNING *) "
        f"INSERT INTO fault SELECT '{KINDS[kind].file}', line, 'dateLastModified', 'CSV_DELTA_FUTURE', 'value', '', '', "
        "sourced_id FROM out",
        now=now, ahead=now + AHEAD,
    )  # fmt: skip


def _newest(staging: Staging, kind: str) -> None:
    """One row per record: the newest, of equally new ones a removal, then the first."""
    file = staging.file_of(kind)
    staging.run(
        f"WITH ranked AS (SELECT ctid AS at, row_number() OVER (PARTITION BY sourced_id "
        f"ORDER BY modified DESC, removed DESC, line) AS place FROM in_{kind}), "
        f"out AS (DELETE FROM in_{kind} i USING ranked r WHERE i.ctid = r.at AND r.place > 1 RETURNING i.*) "
        f"INSERT INTO fault SELECT '{file}', line, 'sourcedId', 'CSV_ID_TWICE', 'row', '', "
        "'a newer row of this id stands on another line', sourced_id FROM out"
    )


def _outdated(staging: Staging, kind: str) -> None:
    """What is older than what was accepted, or than its removal, changes nothing."""
    accepted = (
        f"SELECT FROM {mirror(kind)} m WHERE m.source = %(source)s AND m.sourced_id = i.sourced_id AND m.modified"
    )
    gone = (
        f"SELECT FROM staging.removed r WHERE r.source = %(source)s AND r.kind = '{kind}' "
        "AND r.sourced_id = i.sourced_id AND (r.modified > i.modified OR (r.modified = i.modified AND NOT i.removed))"
    )
    out = f"DELETE FROM in_{kind} i WHERE EXISTS ({accepted} > i.modified) OR EXISTS ({gone}) RETURNING i.*"
    _say(staging, kind, out, "dateLastModified", "CSV_DELTA_OUTDATED", "noted")


def _remove(staging: Staging, kind: str) -> None:
    known = f"SELECT FROM {mirror(kind)} m WHERE m.source = %(source)s AND m.sourced_id = i.sourced_id"
    before = "SELECT FROM staging.removed r WHERE r.source = %(source)s AND r.sourced_id = i.sourced_id AND r.kind"
    unknown = f"SELECT * FROM in_{kind} i WHERE i.removed AND NOT EXISTS ({known}) AND NOT EXISTS ({before} = '{kind}')"
    _say(staging, kind, unknown, "sourcedId", "CSV_DELTA_UNKNOWN", "noted")
    staging.run(
        f"INSERT INTO staging.removed (source, kind, sourced_id, modified) SELECT %(source)s, '{kind}', sourced_id, "
        f"modified FROM in_{kind} WHERE removed ON CONFLICT (source, kind, sourced_id) DO UPDATE "
        "SET modified = excluded.modified"
    )
    staging.run(
        f"WITH out AS (DELETE FROM in_{kind} i WHERE i.removed RETURNING i.*) INSERT INTO gone_{kind} "
        f"SELECT i.sourced_id FROM out i WHERE EXISTS ({known})"
    )


def _roles_of_users(staging: Staging) -> None:
    """A 1.1 user names all roles: those it does not name any more are gone; a row that is not news says nothing."""
    staging.run("DELETE FROM in_role r WHERE NOT EXISTS (SELECT FROM in_user u WHERE u.line = r.line)")
    staging.run(
        f'INSERT INTO gone_role SELECT m.sourced_id FROM {mirror("role")} m JOIN in_user u ON u.sourced_id = m."user" '
        "WHERE m.source = %(source)s AND NOT EXISTS (SELECT FROM in_role r WHERE r.sourced_id = m.sourced_id) "
        "ON CONFLICT DO NOTHING"
    )
