"""Pages of a roster for a vendor: chosen first, then rendered in SQL from the permitted fields only.

A page sees exactly one version of each school. Ids are the vendor's aliases, in whose order pages run, unless the
agreement lists the source's own. Each school is walked along an index in the order of the keys, row by row, and the
walk stops when the page is full: what a page costs does not depend on how large the school is, nor on whether the
database has looked at fresh rows yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
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


class PageRow(NamedTuple):
    """One record of a page: its key, the school and person it belongs to, and its JSON text."""

    key: str
    school: int
    person: str | None
    body: str


def versions(session: Session) -> dict[int, int]:
    """Return the version each of the session's schools serves now."""
    rows = session.rows(
        "SELECT school, max(version) AS version FROM roster_version WHERE district = %(district)s "
        "AND school = ANY(%(schools)s) GROUP BY school"
    )
    return {row.school: row.version for row in rows}


def read(session: Session, wanted: Wanted) -> list[PageRow]:
    """Return one page, in the order of its keys."""
    chosen, values = _chosen(wanted)
    statement = (
        f"WITH barred AS MATERIALIZED ({BARRED}), chosen AS MATERIALIZED (SELECT * FROM ({chosen}) c "
        f"ORDER BY key OFFSET %(offset)s LIMIT %(limit)s) "
        f"SELECT r.key, r.school, {_PERSON.get(wanted.collection.kind, 'NULL')} AS person, "
        f"{_body(wanted)} AS body FROM chosen r {_joins(wanted)} ORDER BY r.key"
    )
    offset = 0 if wanted.after else wanted.offset
    rows = session.rows(
        statement, **values, limit=wanted.limit, offset=offset, reach=offset + wanted.limit, base=wanted.base
    )
    return [PageRow(row.key, row.school, row.person, row.body) for row in rows]


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
    what = "count(*)" if len(wanted.versions) == 1 else "count(DISTINCT r.sourced_id)"
    (row,) = session.rows(
        f"WITH barred AS MATERIALIZED ({BARRED}) SELECT {what} AS n FROM roster_{wanted.collection.kind} r "
        f"JOIN (VALUES {_pins(wanted)}) v(at, version) ON v.at = r.school WHERE {_AT_VERSION} AND {condition}",
        **values,
    )
    return int(row.n)


def withheld(session: Session, plan: RowPlan) -> Counter[str]:
    """Return how many people of the session's schools the plan withholds, by the first reason that holds."""
    query, values = withholding(plan)
    rows = session.rows(
        f"WITH barred AS ({BARRED}) SELECT code, count(*) AS n FROM ({query}) w GROUP BY code", **values
    )
    return Counter({row.code: row.n for row in rows})


_AT_VERSION = "r.since <= v.version AND (r.until IS NULL OR r.until > v.version)"


def _pins(wanted: Wanted) -> str:
    return ", ".join(f"({school}, {version})" for school, version in sorted(wanted.versions.items())) or "(0, 0)"


def _chosen(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """The first rows the vendor may see, as far as the page reaches, with the key they are paged by."""
    condition, values = _condition(wanted)
    walk = _along_aliases(wanted, condition) if wanted.aliased else _along_ids(wanted, condition)
    every = f"SELECT w.* FROM (VALUES {_pins(wanted)}) v(at, version) CROSS JOIN LATERAL ({walk}) w"
    values |= {"grant": wanted.grant, "after": wanted.after, "key": wanted.key}
    if wanted.aliased and wanted.key is not None:
        values["key"] = _canonical(wanted.key)
    return (every if len(wanted.versions) < 2 else _once(every, wanted.collection.kind)), values


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
    return f"AND {column} = %(key)s::{type_}" if wanted.key is not None else ""


def _along_aliases(wanted: Wanted, condition: str) -> str:
    """Walk one school's aliases in order; look at each one's record by its id."""
    kind = wanted.collection.kind
    row = (
        f"SELECT * FROM roster_{kind} r WHERE r.district = %(district)s AND r.school = v.at "
        f"AND r.sourced_id = a.sourced_id AND {_AT_VERSION} AND {condition} OFFSET 0"
    )
    return (
        f"SELECT a.alias::text AS key, q.* FROM alias a CROSS JOIN LATERAL ({row}) q WHERE a.district = %(district)s "
        f"AND a.school = v.at AND a.access_grant = %(grant)s AND a.kind = '{kind}' AND a.alias >= '{_NIL}'::uuid "
        f"{_position(wanted, 'a.alias', 'uuid')} ORDER BY a.alias LIMIT %(reach)s"
    )


def _along_ids(wanted: Wanted, condition: str) -> str:
    return (
        f"SELECT r.sourced_id AS key, r.* FROM roster_{wanted.collection.kind} r WHERE r.district = %(district)s "
        f"AND r.school = v.at AND {_AT_VERSION} AND {condition} {_position(wanted, 'r.sourced_id', 'text')} "
        "ORDER BY r.sourced_id LIMIT %(reach)s"
    )


def _once(every: str, kind: str) -> str:
    """A record that stands in several schools of a grant once, with what those schools hold together.

    A key within the page's reach stands within reach in each school that has it, so nothing of it is missing.
    """
    if kind != "user":
        return f"SELECT DISTINCT ON (key) * FROM ({every}) s ORDER BY key, school"
    together = {
        "roles": "jsonb_agg(x ORDER BY o.school, n) FROM every o, jsonb_array_elements(o.roles) WITH ORDINALITY e(x, n)",
        "agents": "array_agg(DISTINCT x) FROM every o, unnest(o.agents) x",
        "primary_org": "min(o.primary_org) FROM every o",
        "modified": "max(o.modified) FROM every o",
    }
    alone = [c.name for c in KINDS[kind].columns if c.name not in together]
    columns = [f's."{name}"' for name in ("key", "district", "school", "sourced_id", "is_pupil", *alone)]
    columns += [f'(SELECT {what} WHERE o.key = s.key) AS "{name}"' for name, what in together.items()]
    return (
        f"SELECT t.* FROM (WITH every AS MATERIALIZED ({every}) SELECT DISTINCT ON (s.key) {', '.join(columns)} "
        "FROM every s ORDER BY s.key, s.school) t"
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
    return _ref(hint["kind"], f"a_{hint['column']}.alias::text" if wanted.aliased else column)


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
    "id": lambda _w, _h, _c: "to_json(r.key)::text",
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


def _refs_joined(wanted: Wanted) -> list[tuple[str, str, str]]:
    """The single references among the rendered names: (join name, kind, column)."""
    hints = ((name, _field(wanted, name)) for name in wanted.names)
    return [(f"a_{h['column']}", h["kind"], h["column"]) for _, h in hints if h["shape"] == "ref"]


def _joins(wanted: Wanted) -> str:
    """Joins that turn single references into aliases."""
    if not wanted.aliased:
        return ""
    joins = []
    for name, kind, column in _refs_joined(wanted):
        found = _alias_of(wanted, kind, f'r."{column}"')
        joins.append(f"LEFT JOIN LATERAL ({found}) {name} ON TRUE")
    return " ".join(joins)


def _looked_up(wanted: Wanted, kind: str, value: str) -> str:
    """The outward id of a reference inside a list."""
    return f"({_alias_of(wanted, kind, value)})::text" if wanted.aliased else value


def _alias_of(wanted: Wanted, kind: str, value: str) -> str:
    """The alias of a record this one refers to: at its own school, or at another that holds it together with it."""
    school = "= r.school" if len(wanted.versions) < 2 else "= ANY(%(schools)s)"
    return (
        f"SELECT z.alias FROM alias z WHERE z.district = r.district AND z.school {school} "
        f"AND z.access_grant = %(grant)s AND z.kind = '{kind}' AND z.sourced_id = {value} LIMIT 1"
    )
