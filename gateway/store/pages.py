"""Pages of a roster for a vendor: chosen first, then rendered in SQL from the permitted fields only.

A page sees exactly one version of each school. Ids are the vendor's aliases, in whose order pages run, unless the
agreement lists the source's own. Schools are walked along an index in the order of the keys, as far as the page
reaches: what a page costs does not depend on how large the school is, nor on whether the database has looked at fresh
rows yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.policy.rowplan import RowPlan
from gateway.store.rowplan import SAID, compile_plan, withholding
from gateway.store.tenant import Session
from mappings.oneroster.records import KINDS
from mappings.oneroster.v1p2 import PLACES, Collection

_NIL = "00000000-0000-0000-0000-000000000000"  # no alias is; the index of aliases is told so (store/tables.py)
_PERSON = {kind.name: f'r."{kind.person}"' for kind in KINDS.values() if kind.person}
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


@dataclass(frozen=True, slots=True)
class Held:
    """What one school holds of a page: whom it is about, with the salt of each who has one yet; and the JSON texts."""

    people: dict[str | None, bytes | None]
    bodies: list[str]


@dataclass(frozen=True, slots=True)
class Found:
    """The records of a page, by column: their keys, the schools that hold each, whom each is about, the salts of that
    person at these schools, and their JSON texts."""

    keys: Sequence[str] = ()
    schools: Sequence[list[int]] = ()
    people: Sequence[str | None] = ()
    salts: Sequence[list[bytes | None]] = ()
    bodies: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def first(self, n: int) -> Found:
        """The first records only."""
        return Found(self.keys[:n], self.schools[:n], self.people[:n], self.salts[:n], self.bodies[:n])

    def at(self, schools: Sequence[int]) -> dict[int, Held]:
        """What each of these schools, which together hold every record, holds of them."""
        if len(schools) == 1:
            people = dict(zip(self.people, (salt for (salt,) in self.salts), strict=True))
            return {schools[0]: Held(people, list(self.bodies))}
        held = {school: Held({}, []) for school in schools}
        for holding, person, salts, body in zip(self.schools, self.people, self.salts, self.bodies, strict=True):
            for school, salt in zip(holding, salts, strict=True):
                held[school].people[person] = salt
                held[school].bodies.append(body)
        return held


def versions(session: Session) -> dict[int, int]:
    """Return the version each of the session's schools serves now."""
    rows = session.rows(
        "SELECT school, max(version) AS version FROM roster_version WHERE district = %(district)s "
        "AND school = ANY(%(schools)s) GROUP BY school"
    )
    return {row.school: row.version for row in rows}


def read(session: Session, wanted: Wanted) -> Found:
    """Return one page, in the order of its keys."""
    statement, values = _statement(wanted)
    offset = 0 if wanted.after else wanted.offset
    values |= {"limit": wanted.limit, "offset": offset, "base": wanted.base, "reach": _reach(wanted, offset)}
    session.plan_for_any()
    found = _found(wanted, session.columns(statement, **values))
    while wanted.aliased and len(found) < wanted.limit and _goes_on(session, wanted, values):
        values["reach"] *= 2
        found = _found(wanted, session.columns(statement, **values))
    return found


def _statement(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """The records of a page by key: whom each is about, that person's salt, the JSON text; and who holds it."""
    chosen, values = _chosen(wanted)
    walk = f"walk AS MATERIALIZED ({_walk(wanted)}), {_ASKED}, " if wanted.aliased else ""
    person, several = _PERSON.get(wanted.collection.kind), len(wanted.versions) > 1
    referring = [h for h in (_field(wanted, name) for name in wanted.names) if wanted.aliased and h["shape"] == "ref"]
    named = "".join(_names(h["kind"], h["column"]) for h in referring)
    joined = "".join(_NAMED.format(**h) for h in referring) + (_SALTED.format(person=person) if person else "")
    salts = "salts.salt" if person else "NULL::bytea"
    if several:
        each = _SALT_EACH.format(person=person) if person else "array_fill(NULL::bytea, ARRAY[cardinality(r.places)])"
        salts = f"CASE WHEN cardinality(r.places) > 1 THEN {each} ELSE ARRAY[{salts}] END"
    return (
        f"WITH said AS MATERIALIZED ({SAID}), {walk}chosen AS MATERIALIZED ({chosen}){named}"
        f"{_SALTS.format(person=person) if person else ''} SELECT r.key::text, {person or 'NULL'}, {salts}, "
        f"{_body(wanted)}{f', {_HOLDERS}' if several else ''} FROM chosen r{joined} ORDER BY r.key"
    ), values


def _found(wanted: Wanted, columns: Sequence[tuple[Any, ...]]) -> Found:
    if not columns:
        return Found()
    keys, people, salts, bodies, *holders = columns
    if holders:
        return Found(keys, holders[0], people, salts, bodies)
    return Found(keys, [list(wanted.versions)] * len(keys), people, [[salt] for salt in salts], bodies)


def _reach(wanted: Wanted, offset: int) -> int:
    """How many keys to walk: a few more than asked for, because of some the record is gone or withheld."""
    needed = offset + wanted.limit
    return needed + needed // 8 + len(wanted.versions) if wanted.aliased else needed


def _goes_on(session: Session, wanted: Wanted, values: Mapping[str, Any]) -> bool:
    """Whether there are aliases beyond the reach of a walk."""
    (row,) = session.rows(f"SELECT count(*) AS n FROM ({_walk(wanted)}) w", **values)
    return bool(row.n == values["reach"])


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
        f"WITH said AS MATERIALIZED ({SAID}) SELECT count(*) AS n FROM (SELECT FROM "
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
            f"WITH said AS ({SAID}) SELECT school, code, count(*) AS n FROM ({query}) w GROUP BY school, code",
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


def _walk(wanted: Wanted) -> str:
    """The next aliases of all schools, in one order."""
    return (
        "SELECT a.alias AS key, a.school AS place, a.sourced_id AS id FROM alias a WHERE a.district = %(district)s "
        "AND a.school = ANY(%(at)s::int[]) AND a.access_grant = %(grant)s "
        f"AND a.kind = '{wanted.collection.kind}' AND a.alias >= '{_NIL}'::uuid "
        f"{_position(wanted, 'a.alias', 'uuid')} ORDER BY a.alias, a.school LIMIT %(reach)s"
    )


# What a walk asks each school for, at the version that is pinned there.
_ASKED = (
    "asked AS MATERIALIZED (SELECT place, (%(pins)s::int[])[array_position(%(at)s::int[], place)] AS version, "
    "array_agg(id) AS ids FROM walk GROUP BY place)"
)


def _along_aliases(wanted: Wanted, condition: str) -> str:
    """The records of a walk, each school's looked up together; without the last key, of which some may lie beyond.

    A full join is never made by comparing each with each, which a planner that believes in one row would do.
    """
    row = (
        f"SELECT * FROM roster_{wanted.collection.kind} r WHERE r.district = %(district)s AND r.school = v.place "
        f"AND r.sourced_id = ANY(v.ids) AND {_at('v.version')} AND {condition} OFFSET 0"
    )
    whole = "coalesce(key < (SELECT key FROM walk OFFSET %(reach)s - 1 LIMIT 1), TRUE)"
    return (
        f"SELECT * FROM (SELECT w.key, w.place, q.* FROM walk w FULL JOIN (SELECT r.* FROM asked v CROSS JOIN LATERAL "
        f"({row}) r) q ON q.school = w.place AND q.sourced_id = w.id OFFSET 0) f WHERE school IS NOT NULL "
        f"{f'AND {whole}' if len(wanted.versions) > 1 else ''}"
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
_SHARING = "(PARTITION BY key ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
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
            f"SELECT DISTINCT ON (key) * FROM (SELECT w.*, array_agg(place) OVER {_SHARING} AS places "
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
        f"(SELECT e.*, array_agg(e.place) OVER {_SHARING} AS places FROM every e) s ORDER BY s.key, s.place) t"
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
    """A reference to one record: found among those of the page (`_names`), each at the school of its row."""
    if not wanted.aliased:
        return _ref(hint["kind"], column)
    named = f"named_{hint['column']}.reference"
    if len(wanted.versions) < 2:
        return named
    elsewhere = _alias_of(hint["kind"], column, "= ANY(r.places)")
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
    "ref": _reference,
    "texts": lambda _w, _h, column: f"array_to_json({column})::text",
    "user_ids": _user_ids,
    "refs": _references,
    "roles": _roles,
}


def _ref(kind: str, key: str) -> str:
    place, type_ = PLACES[kind]
    return (
        f"'{{\"href\":\"' || %(base)s || '/{place}/' || {key} || '\",\"sourcedId\":' || to_json({key})::text || "
        f'\',"type":"{type_}"}}\''
    )


def _names(kind: str, column: str) -> str:
    """References, ready to be sent, to what one column of the page names: each school's aliases looked up together."""
    aliases = (
        "SELECT z.school, z.sourced_id, z.alias::text FROM alias z WHERE z.district = %(district)s AND z.school = r.school "
        f"AND z.access_grant = %(grant)s AND z.kind = '{kind}' AND z.sourced_id = ANY(r.ids) OFFSET 0"
    )
    return (
        f", named_{column} AS MATERIALIZED (SELECT z.school, z.sourced_id, {_ref(kind, 'z.alias')} AS reference FROM "
        f'(SELECT school, array_agg("{column}") AS ids FROM chosen GROUP BY school) r CROSS JOIN LATERAL ({aliases}) z)'
    )


# Full joins: see `_along_aliases`. Every row that is joined belongs to a row of the page.
_NAMED = ' FULL JOIN named_{column} ON named_{column}.school = r.school AND named_{column}.sourced_id = r."{column}"'
_SALTED = " FULL JOIN salts ON salts.school = r.school AND salts.person_id = {person}"
# A person whom several schools hold has a salt at each.
_SALT_EACH = """ARRAY(SELECT k.salt FROM unnest(r.places) WITH ORDINALITY p(school, n) LEFT JOIN LATERAL (SELECT k.salt
    FROM subject_key k WHERE k.district = %(district)s AND k.school = p.school AND k.person_id = {person} OFFSET 0) k
    ON TRUE ORDER BY p.n)"""
_SALTS = """, salts AS MATERIALIZED (SELECT k.* FROM (SELECT school, array_agg({person}) AS ids FROM chosen r
    GROUP BY school) r CROSS JOIN LATERAL (SELECT k.school, k.person_id, k.salt FROM subject_key k
    WHERE k.district = %(district)s AND k.school = r.school AND k.person_id = ANY(r.ids) OFFSET 0) k)"""


def _looked_up(wanted: Wanted, kind: str, value: str) -> str:
    """The outward id of a record in a list: as the row's own school knows it, or another that holds it with it."""
    if not wanted.aliased:
        return value
    own, elsewhere = (f"({_alias_of(kind, value, school)})" for school in ("= r.school", "= ANY(r.places)"))
    return f"{own}::text" if len(wanted.versions) < 2 else f"coalesce({own}, {elsewhere})::text"


def _alias_of(kind: str, value: str, school: str) -> str:
    return (
        f"SELECT z.alias FROM alias z WHERE z.district = r.district AND z.school {school} "
        f"AND z.access_grant = %(grant)s AND z.kind = '{kind}' AND z.sourced_id = {value} LIMIT 1"
    )
