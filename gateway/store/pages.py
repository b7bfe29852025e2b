"""Pages of a roster for a vendor: chosen first, then rendered in SQL from the permitted fields only.

A page sees exactly one version of each school. Ids are the vendor's aliases, in whose order pages run, unless the
agreement lists the source's own. Each school is walked along an index in the order of the keys, row by row, and the
walk stops when the page is full: what a page costs does not depend on how large the school is, nor on whether the
database has looked at fresh rows yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from gateway.policy.rowplan import RowPlan
from gateway.store.rowplan import BARRED, compile_plan, withholding
from gateway.store.tenant import Session
from mappings.oneroster.records import KINDS
from mappings.oneroster.v1p2 import PLACES, Collection

_NIL = "00000000-0000-0000-0000-000000000000"  # no alias is; the index of aliases is told so (store/tables.py)
_PERSON = {"user": "r.sourced_id", "enrollment": 'r."user"', "demographics": "r.sourced_id"}
_PUPIL = {"user": "r.is_pupil"}
_IS_PUPIL = (
    "coalesce((SELECT u.is_pupil FROM roster_user u WHERE u.district = r.district AND u.school = r.school "
    "AND u.sourced_id = {} AND u.until IS NULL), TRUE)"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page to read. `names` are the wire names to render; `versions` pins each school."""

    collection: Collection
    names: tuple[str, ...]
    plan: RowPlan
    grant: str
    aliased: bool
    base: str
    versions: Mapping[int, int]
    limit: int
    offset: int = 0
    after: str | None = None
    key: str | None = None


class PageRow(Protocol):
    """One record of a page: its key, the school and person it belongs to, and its JSON text."""

    @property
    def key(self) -> str: ...
    @property
    def schools(self) -> list[int]: ...
    @property
    def person(self) -> str | None: ...
    @property
    def body(self) -> str: ...


def versions(session: Session) -> dict[int, int]:
    """Return the version each of the session's schools serves now."""
    rows = session.rows(
        "SELECT school, max(version) AS version FROM roster_version WHERE district = %(district)s "
        "AND school = ANY(%(schools)s) GROUP BY school"
    )
    return {row.school: row.version for row in rows}


def read(session: Session, wanted: Wanted) -> Sequence[PageRow]:
    """Return one page, in the order of its keys."""
    chosen, values = _chosen(wanted)
    statement = (
        f"WITH barred AS MATERIALIZED ({BARRED}), chosen AS MATERIALIZED ({chosen}){_named(wanted)} "
        f"SELECT r.key::text, {_HOLDERS if len(wanted.versions) > 1 else 'ARRAY[r.school]'} AS schools, "
        f"{_PERSON.get(wanted.collection.kind, 'NULL')} AS person, "
        f"{_body(wanted)} AS body FROM chosen r ORDER BY r.key"
    )
    offset = 0 if wanted.after else wanted.offset
    return session.rows(
        statement, **values, limit=wanted.limit, offset=offset, reach=offset + wanted.limit, base=wanted.base
    )


def person_of(session: Session, collection: Collection, sourced_id: str) -> str | None:
    """Return whom a record of the session's school is about; None when it is about nobody or not there."""
    if collection.kind not in _PERSON:
        return None
    row = session.row(
        f"SELECT {_PERSON[collection.kind]} AS person FROM roster_{collection.kind} r WHERE r.district = %(district)s "
        "AND r.school = %(school)s AND r.sourced_id = %(id)s AND r.until IS NULL",
        id=sourced_id,
    )
    return str(row.person) if row else None


def count(session: Session, wanted: Wanted) -> int:
    """Return how many records the vendor may see in all. Every record has its alias, so none is asked for it."""
    condition, values = _condition(wanted)
    once, source = "", ""
    if len(wanted.versions) > 1:
        source = "JOIN school s ON s.district = r.district AND s.school = r.school"
        once = f"GROUP BY r.sourced_id{', s.source' if wanted.aliased else ''}"
    (row,) = session.rows(
        f"WITH barred AS MATERIALIZED ({BARRED}) SELECT count(*) AS n FROM (SELECT FROM "
        f"roster_{wanted.collection.kind} r JOIN (VALUES {_pins(wanted)}) v(at, version) ON v.at = r.school "
        f"{source} WHERE {_at('v.version')} AND {condition} {once}) c",
        **values,
    )
    return int(row.n)


def withheld(session: Session, plans: Mapping[int, RowPlan]) -> dict[int, Counter[str]]:
    """Return how many people each school's plan withholds there, by the first reason that holds."""
    found = {school: Counter[str]() for school in plans}
    for plan in dict.fromkeys(plans.values()):
        query, values = withholding(plan)
        for row in session.rows(
            f"WITH barred AS ({BARRED}) SELECT school, code, count(*) AS n FROM ({query}) w GROUP BY school, code",
            **values, schools=[school for school, own in plans.items() if own == plan],
        ):  # fmt: skip
            found[row.school][row.code] = row.n
    return found


def _at(version: str) -> str:
    """What holds of a row that is true in this version."""
    return f"r.since <= {version} AND (r.until IS NULL OR r.until > {version})"


def _pins(wanted: Wanted) -> str:
    return ", ".join(f"({school}, {version})" for school, version in sorted(wanted.versions.items())) or "(0, 0)"


def _chosen(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """The rows of the page, of those the vendor may see, with the key they are paged by."""
    condition, values = _condition(wanted)
    walk = _along_aliases(wanted, condition) if wanted.aliased else _along_ids(wanted, condition)
    found = walk if len(wanted.versions) < 2 else _once(walk, wanted.collection.kind)
    values |= {"grant": wanted.grant, "after": wanted.after, "key": wanted.key}
    values |= {"at": sorted(wanted.versions), "pins": [version for _, version in sorted(wanted.versions.items())]}
    if wanted.aliased and wanted.key is not None:
        values["key"] = _canonical(wanted.key)
    return f"SELECT * FROM ({found}) c ORDER BY key OFFSET %(offset)s LIMIT %(limit)s", values


def _canonical(key: str) -> str:
    """Return the alias a key spells, or one that nothing has; no other spelling of it finds anything."""
    try:
        return key if str(UUID(hex=key)) == key else _NIL
    except ValueError:
        return _NIL


def _position(wanted: Wanted, column: str, type_: str) -> str:
    """Where in the order of keys the walk begins."""
    if wanted.after is not None:
        return f"AND {column} > %(after)s::{type_}"
    # A range of one: an equality would let a planner that knows nothing of fresh aliases take their other index.
    return f"AND {column} BETWEEN %(key)s::{type_} AND %(key)s::{type_}" if wanted.key is not None else ""


def _along_aliases(wanted: Wanted, condition: str) -> str:
    """Walk the aliases of all schools in one order; look at each one's record by its id."""
    kind = wanted.collection.kind
    version = "(%(pins)s::int[])[array_position(%(at)s::int[], a.school)]"
    row = (
        f"SELECT * FROM roster_{kind} r WHERE r.district = %(district)s AND r.school = a.school "
        f"AND r.sourced_id = a.sourced_id AND {_at(version)} AND {condition} OFFSET 0"
    )
    return (
        f"SELECT a.alias AS key, a.school AS place, q.* FROM alias a CROSS JOIN LATERAL ({row}) q WHERE "
        f"a.district = %(district)s AND a.school = ANY(%(at)s::int[]) AND a.access_grant = %(grant)s "
        f"AND a.kind = '{kind}' AND a.alias >= '{_NIL}'::uuid {_position(wanted, 'a.alias', 'uuid')} "
        "ORDER BY a.alias, a.school"
    )


def _along_ids(wanted: Wanted, condition: str) -> str:
    """Walk each school's records in the order of their ids, as far as the page reaches."""
    walk = (
        f"SELECT r.sourced_id AS key, r.school AS place, r.* FROM roster_{wanted.collection.kind} r "
        f"WHERE r.district = %(district)s AND r.school = v.at AND {_at('v.version')} AND {condition} "
        f"{_position(wanted, 'r.sourced_id', 'text')} ORDER BY r.sourced_id LIMIT %(reach)s"
    )
    return f"SELECT w.* FROM unnest(%(at)s::int[], %(pins)s::int[]) v(at, version) CROSS JOIN LATERAL ({walk}) w"


_HOLDERS = "r.places"  # every school that holds the record as the vendor sees it
_TOGETHER = {
    "roles": "jsonb_agg(x ORDER BY o.place, n) FROM every o, jsonb_array_elements(o.roles) WITH ORDINALITY e(x, n)",
    "agents": "array_agg(DISTINCT x) FROM every o, unnest(o.agents) x",
    "primary_org": "min(o.primary_org) FROM every o",
    "modified": "max(o.modified) FROM every o",
}


def _once(walk: str, kind: str) -> str:
    """A record that stands in several schools of a grant once, with what those schools hold together.

    A key within the page's reach stands within reach in each school that has it, so nothing of it is missing.
    """
    if kind != "user":
        return (
            "SELECT DISTINCT ON (key) * FROM (SELECT w.*, array_agg(place) OVER (PARTITION BY key) AS places "
            f"FROM ({walk}) w) s ORDER BY key, place"
        )
    alone = ["key", "place", "places", "district", "school", "sourced_id", "is_pupil"]
    alone += [c.name for c in KINDS[kind].columns if c.name not in _TOGETHER]
    columns = [f's."{name}"' for name in alone] + [
        f'CASE WHEN cardinality(s.places) > 1 THEN (SELECT {what} WHERE o.key = s.key) ELSE s."{name}" END AS "{name}"'
        for name, what in _TOGETHER.items()
    ]
    return (
        "SELECT t.* FROM (WITH every AS MATERIALIZED (SELECT * FROM (SELECT w.*, dense_rank() OVER (ORDER BY key) "
        f"AS nth FROM ({walk}) w) n WHERE nth <= %(reach)s) SELECT DISTINCT ON (s.key) {', '.join(columns)} FROM "
        "(SELECT e.*, array_agg(e.place) OVER (PARTITION BY e.key) AS places FROM every e) s ORDER BY s.key, s.place) t"
    )


def _condition(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """What holds of every row `r` that this vendor may see."""
    kind = wanted.collection.kind
    person = _PERSON.get(kind)
    if person is None:
        owned = "r.district = %(district)s AND r.school = ANY(%(schools)s)"
        return (owned if wanted.plan.parts else "FALSE"), {}
    condition, values = compile_plan(wanted.plan, person, _PUPIL.get(kind, _IS_PUPIL.format(person)))
    return condition + (" AND r.is_pupil" if wanted.collection.only == "student" else ""), values


# --- rendering -------------------------------------------------------------------------------------


def _body(wanted: Wanted) -> str:
    """The JSON text of one record: permitted fields, absent ones left out."""
    parts = [_member(wanted, name) for name in wanted.names]
    return f"'{{' || concat_ws(',', {', '.join(parts)}) || '}}'"


def _field(wanted: Wanted, name: str) -> Mapping[str, Any]:
    for attribute, field in wanted.collection.schema._declared_fields.items():  # noqa: SLF001
        if (field.data_key or attribute) == name:
            return field.metadata
    raise KeyError(name)


def _member(wanted: Wanted, name: str) -> str:
    hint = _field(wanted, name)
    column = f'r."{hint["column"]}"'
    return f"'\"{name}\":' || {_SHAPES[hint['shape']](wanted, hint, column)}"


def _quoted(_wanted: Wanted, _hint: Mapping[str, Any], column: str) -> str:
    return f"'\"' || {column}::text || '\"'"


def _user_ids(_wanted: Wanted, _hint: Mapping[str, Any], column: str) -> str:
    """`{type:identifier}` as two members."""
    inner = "trim(both '{}' from e)"
    type_, rest = f"split_part({inner}, ':', 1)", f"substr({inner}, strpos({inner}, ':') + 1)"
    made = f"'{{\"type\":' || to_json({type_}) || ',\"identifier\":' || to_json({rest}) || '}}'"
    return f"(SELECT '[' || string_agg({made}, ',') || ']' FROM unnest({column}) e)"


def _reference(wanted: Wanted, hint: Mapping[str, Any], column: str) -> str:
    """A reference to one record: found among those of the page (`_named`), each at the school of its row."""
    if not wanted.aliased:
        return _ref(hint["kind"], column)
    named = f"(SELECT names FROM named_{hint['column']}) ->> {column}"
    if len(wanted.versions) < 2:
        return f"({named})"
    elsewhere = _alias_of(hint["kind"], column, "= ANY(%(schools)s)")
    return f"coalesce({named}, (SELECT {_ref(hint['kind'], 'z.alias::text')} FROM ({elsewhere}) z))"


def _references(wanted: Wanted, hint: Mapping[str, Any], column: str) -> str:
    made = _ref(hint["kind"], _looked_up(wanted, hint["kind"], "e"))
    return f"(SELECT '[' || string_agg({made}, ',') || ']' FROM unnest({column}) e)"


def _roles(wanted: Wanted, _hint: Mapping[str, Any], _column: str) -> str:
    org = _ref("org", _looked_up(wanted, "org", "(x->>'org')"))
    made = (
        "'{\"roleType\":' || to_json(x->>'roleType')::text || ',\"role\":' || to_json(x->>'role')::text "
        f"|| ',\"org\":' || {org} || coalesce(',\"beginDate\":' || to_json(x->>'beginDate')::text, '') "
        "|| coalesce(',\"endDate\":' || to_json(x->>'endDate')::text, '') || '}'"
    )
    return f"coalesce((SELECT '[' || string_agg({made}, ',') || ']' FROM jsonb_array_elements(r.roles) x), '[]')"


_MOMENT = "to_char(r.modified AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
_SHAPES: dict[str, Callable[[Wanted, Mapping[str, Any], str], str]] = {
    "id": lambda _w, _h, _c: "to_json(r.key::text)::text",
    "status": lambda _w, _h, _c: "'\"active\"'",
    "moment": lambda _w, _h, _c: f"'\"' || {_MOMENT} || '\"'",
    "flag": _quoted,
    "day": _quoted,
    "text": lambda _w, _h, column: f"to_json({column})::text",
    "texts": lambda _w, _h, column: f"array_to_json({column})::text",
    "user_ids": _user_ids,
    "ref": _reference,
    "refs": _references,
    "roles": _roles,
}


def _ref(kind: str, key: str) -> str:
    place, type_ = PLACES[kind]
    return (
        f"'{{\"href\":\"' || %(base)s || '/{place}/' || {key} || '\",\"sourcedId\":' || to_json({key})::text || "
        f'\',"type":"{type_}"}}\''
    )


def _named(wanted: Wanted) -> str:
    """What each record that the page refers to is called, looked up once for all rows that refer to it."""
    hints = [_field(wanted, name) for name in wanted.names]
    return "".join(_names(h["kind"], h["column"]) for h in hints if wanted.aliased and h["shape"] == "ref")


def _names(kind: str, column: str) -> str:
    """One object from our ids to references, ready to be sent; planned in one way, whatever is known of the rows."""
    referred = f'SELECT school, array_agg(DISTINCT "{column}") AS ids FROM chosen GROUP BY school'
    aliases = (
        "SELECT z.sourced_id, z.alias::text FROM alias z WHERE z.district = %(district)s AND z.school = r.school "
        f"AND z.access_grant = %(grant)s AND z.kind = '{kind}' AND z.sourced_id = ANY(r.ids) OFFSET 0"
    )
    return (
        f", named_{column} AS MATERIALIZED (SELECT jsonb_object_agg(z.sourced_id, {_ref(kind, 'z.alias')}) AS names "
        f"FROM ({referred}) r CROSS JOIN LATERAL ({aliases}) z)"
    )


def _looked_up(wanted: Wanted, kind: str, value: str) -> str:
    """The outward id of a record in a list: as the row's own school knows it, or another that holds it with it."""
    if not wanted.aliased:
        return value
    own, elsewhere = (f"({_alias_of(kind, value, school)})" for school in ("= r.school", "= ANY(%(schools)s)"))
    return f"{own}::text" if len(wanted.versions) < 2 else f"coalesce({own}, {elsewhere})::text"


def _alias_of(kind: str, value: str, school: str) -> str:
    return (
        f"SELECT z.alias FROM alias z WHERE z.district = r.district AND z.school {school} "
        f"AND z.access_grant = %(grant)s AND z.kind = '{kind}' AND z.sourced_id = {value} LIMIT 1"
    )
