"""Pages of a roster for a vendor: chosen first, then rendered in SQL from the permitted fields only.

A page sees exactly one version of each school. Ids are the vendor's aliases, in whose order pages run, unless the
agreement lists the source's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.policy.rowplan import RowPlan
from gateway.store.rowplan import BARRED, compile_plan
from gateway.store.tenant import Session
from mappings.oneroster.v1p2 import PLACES, Collection

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
    select, values = _chosen(wanted)
    order = "ORDER BY key" + ("" if wanted.after else " OFFSET %(offset)s")
    where = "WHERE key > %(after)s" if wanted.after else "WHERE key = %(key)s" if wanted.key else ""
    statement = (
        f"WITH barred AS MATERIALIZED ({BARRED}), chosen AS MATERIALIZED (SELECT * FROM ({select}) c "
        f"{where} {order} LIMIT %(limit)s) "
        f"SELECT r.key, r.school, {_PERSON.get(wanted.collection.kind, 'NULL')} AS person, "
        f"{_body(wanted)} AS body FROM chosen r {_joins(wanted)} ORDER BY r.key"
    )
    rows = session.rows(
        statement, **values, limit=wanted.limit, offset=wanted.offset, after=wanted.after, key=wanted.key,
        base=wanted.base,
    )  # fmt: skip
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
    """Return how many rows the vendor may see in all."""
    select, values = _chosen(wanted)
    (row,) = session.rows(f"WITH barred AS MATERIALIZED ({BARRED}) SELECT count(*) AS n FROM ({select}) c", **values)
    return int(row.n)


def withheld(session: Session, plan: RowPlan) -> Counter[str]:
    """Return how many people of the session's schools the plan withholds because of a family's answer, by code."""
    _, values = compile_plan(plan, "r.sourced_id", "r.is_pupil")
    rows = session.rows(
        f"WITH barred AS ({BARRED}) SELECT code, count(DISTINCT r.sourced_id) AS n FROM barred b JOIN roster_user r "
        "ON r.district = %(district)s AND r.school = b.school AND r.sourced_id = b.person_id AND r.until IS NULL "
        "GROUP BY code",
        **values,
    )
    return Counter({row.code: row.n for row in rows})


def _chosen(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """The rows the vendor may see, each record once, with the key they are paged by."""
    kind = wanted.collection.kind
    person = _PERSON.get(kind)
    condition, values = _condition(wanted, person, kind)
    pins = [f"({school}, {version})" for school, version in sorted(wanted.versions.items())] or ["(0, 0)"]
    only = "AND r.is_pupil" if wanted.collection.only == "student" else ""
    key, join = "r.sourced_id", ""
    if wanted.aliased:
        key = "a.alias::text"
        join = (
            "JOIN alias a ON a.district = r.district AND a.school = r.school AND a.access_grant = %(grant)s "
            f"AND a.kind = '{kind}' AND a.sourced_id = r.sourced_id"
        )
    select = (
        f"SELECT {key} AS key, r.* FROM roster_{kind} r JOIN (VALUES {', '.join(pins)}) v(at, version) "
        f"ON v.at = r.school {join} WHERE r.since <= v.version AND (r.until IS NULL OR r.until > v.version) "
        f"AND {condition} {only}"
    )
    if len(wanted.versions) > 1:
        select = _once(select, kind)
    return select, values | {"grant": wanted.grant}


def _once(select: str, kind: str) -> str:
    """A record that stands in several schools of a grant once, with what those schools hold together."""
    if kind != "user":
        return f"SELECT DISTINCT ON (key) * FROM ({select}) s ORDER BY key, school"
    columns = "s.*"
    merged = "(SELECT jsonb_agg(x ORDER BY o.school) FROM every o, jsonb_array_elements(o.roles) x WHERE o.key = s.key)"
    return (
        f"SELECT t.* FROM (WITH every AS MATERIALIZED ({select}) SELECT DISTINCT ON (s.key) {columns}, "
        f"{merged} AS all_roles FROM every s ORDER BY s.key, s.school) t"
    )


def _condition(wanted: Wanted, person: str | None, kind: str) -> tuple[str, dict[str, Any]]:
    if person is None:
        owned = "r.district = %(district)s AND r.school = ANY(%(schools)s)"
        return (owned if wanted.plan.parts else "FALSE"), {"plan_at": None, "plan_agreement": None}
    return compile_plan(wanted.plan, person, _PUPIL.get(kind, _IS_PUPIL.format(person)))


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
    column = "r.all_roles" if len(wanted.versions) > 1 else "r.roles"
    return f"coalesce((SELECT '[' || string_agg({made}, ',') || ']' FROM jsonb_array_elements({column}) x), '[]')"


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
    return " ".join(
        f"LEFT JOIN alias {name} ON {name}.district = r.district AND {name}.school = r.school "
        f"AND {name}.access_grant = %(grant)s AND {name}.kind = '{kind}' AND {name}.sourced_id = r.\"{column}\""
        for name, kind, column in _refs_joined(wanted)
    )


def _looked_up(wanted: Wanted, kind: str, value: str) -> str:
    """The outward id of a reference inside a list."""
    if not wanted.aliased:
        return value
    return (
        "(SELECT z.alias::text FROM alias z WHERE z.district = r.district AND z.school = r.school "
        f"AND z.access_grant = %(grant)s AND z.kind = '{kind}' AND z.sourced_id = {value})"
    )
