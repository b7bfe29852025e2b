"""The naive path: csv.DictReader, marshmallow and SQLAlchemy objects, as one would write it in an afternoon.

It reads the same deliveries and fills tables of the same columns, keys and indexes: every row is loaded by a schema,
its references are looked up in sets, it becomes an object, and on a later night it is compared with the object that
the table holds. It keeps no copy of what the source said, no versions, and says nothing to anybody.

    python -m tests.benchmarks.naive URL DISTRICT DELIVERY '{"org": school, …}'
"""

from __future__ import annotations

import csv
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from marshmallow import EXCLUDE, Schema, fields, pre_load, validate
from sqlalchemy.orm import Session, registry

from gateway.store.tables import ROSTER
from gateway.store.tenant import driver
from tests.benchmarks.district import FILES

SCHEMA = "naive"
_ID = [validate.Length(1, 255), validate.Regexp(r"[0-9A-Za-z.\-_/@]+\Z")]
_GRADES = {"IT", "PR", "PK", "TK", "KG", "PS", "UG", "Other", *(f"{n:02}" for n in range(1, 14))}
_ORGS = ("district", "school", "local", "state", "national", "department")
_SESSIONS = ("gradingPeriod", "semester", "schoolYear", "term")
_ROLES = ("student", "teacher", "administrator", "aide", "proctor", "guardian", "parent", "relative", "counselor")


class Listed(fields.Field[list[str]]):
    """A cell that holds several values, with commas between them."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[str]:
        return [part.strip() for part in value.split(",") if part.strip()]


def _id(column: str, **more: Any) -> fields.String:
    return fields.String(attribute=column, validate=_ID, **more)


def _text(column: str, **more: Any) -> fields.String:
    return fields.String(attribute=column, validate=validate.Length(max=2000), **more)


def _word(column: str, words: tuple[str, ...], **more: Any) -> fields.String:
    return fields.String(attribute=column, validate=validate.OneOf(words), **more)


def _flag(column: str, **more: Any) -> fields.Boolean:
    return fields.Boolean(attribute=column, truthy={"true"}, falsy={"false"}, **more)


class Record(Schema):
    """What every file's rows have; an empty cell says nothing."""

    class Meta:
        unknown = EXCLUDE

    sourcedId = _id("sourced_id", required=True)  # noqa: N815 - the standard's name

    @pre_load
    def _leave_empty_out(self, row: dict[str, str], **_: Any) -> dict[str, str]:
        return {name: cell for name, cell in row.items() if cell}


def _grades() -> Listed:
    return Listed(attribute="grades", validate=lambda found: set(found) <= _GRADES)


_FIELDS: dict[str, dict[str, fields.Field[Any]]] = {
    "org": {"name": _text("name", required=True), "type": _word("type", _ORGS, required=True),
            "identifier": _text("identifier"), "parentSourcedId": _id("parent")},
    "session": {"title": _text("title", required=True), "type": _word("type", _SESSIONS, required=True),
                "startDate": fields.Date(attribute="start_date", required=True),
                "endDate": fields.Date(attribute="end_date", required=True), "parentSourcedId": _id("parent"),
                "schoolYear": fields.String(attribute="school_year", required=True,
                                             validate=validate.Regexp(r"(19|20)[0-9]{2}\Z"))},
    "course": {"schoolYearSourcedId": _id("school_year"), "title": _text("title", required=True),
               "courseCode": _text("course_code"), "grades": _grades(), "orgSourcedId": _id("org", required=True),
               "subjects": Listed(attribute="subjects"), "subjectCodes": Listed(attribute="subject_codes")},
    "role": {"userSourcedId": _id("user", required=True), "role": _word("role", _ROLES, required=True),
             "roleType": _word("role_type", ("primary", "secondary"), required=True),
             "beginDate": fields.Date(attribute="begin_date"), "endDate": fields.Date(attribute="end_date"),
             "orgSourcedId": _id("org", required=True)},
    "user": {"enabledUser": _flag("enabled", required=True), "username": _text("username", required=True),
             "givenName": _text("given_name", required=True), "familyName": _text("family_name", required=True),
             "middleName": _text("middle_name"), "identifier": _text("identifier"), "email": _text("email"),
             "sms": _text("sms"), "phone": _text("phone"), "agentSourcedIds": Listed(attribute="agents"),
             "grades": _grades(), "primaryOrgSourcedId": _id("primary_org")},
    "class": {"title": _text("title", required=True), "grades": _grades(),
              "courseSourcedId": _id("course", required=True), "classCode": _text("class_code"),
              "classType": _word("class_type", ("homeroom", "scheduled"), required=True),
              "location": _text("location"), "schoolSourcedId": _id("org", required=True),
              "termSourcedIds": Listed(attribute="terms", required=True), "subjects": Listed(attribute="subjects"),
              "subjectCodes": Listed(attribute="subject_codes"), "periods": Listed(attribute="periods")},
    "enrollment": {"classSourcedId": _id("class", required=True), "schoolSourcedId": _id("org", required=True),
                   "userSourcedId": _id("user", required=True), "role": _word("role", _ROLES, required=True),
                   "primary": _flag("primary"), "beginDate": fields.Date(attribute="begin_date"),
                   "endDate": fields.Date(attribute="end_date")},
    "demographics": {"birthDate": fields.Date(attribute="birth_date"),
                     "sex": _word("sex", ("male", "female", "unspecified", "other")), "asian": _flag("asian")},
}  # fmt: skip
SCHEMAS = {kind: Record.from_dict(dict(said))() for kind, said in _FIELDS.items()}
# What a row of a kind refers to: column and kind.
_REFERENCES = {
    "course": [("org", "org"), ("school_year", "session")],
    "role": [("user", "user"), ("org", "org")],
    "class": [("course", "course"), ("org", "org")],
    "enrollment": [("class", "class"), ("user", "user"), ("org", "org")],
}
_ORDER = ("org", "session", "course", "role", "user", "class", "enrollment", "demographics")


class Row:
    """A row of one of the tables."""

    def __init__(self, **cells: Any) -> None:
        for name, value in cells.items():
            setattr(self, name, value)


def _mapped() -> dict[str, Any]:
    """A class for each table; a column whose name is a word of Python's is an attribute like the others."""
    there, mapper, found = sa.MetaData(), registry(), {}
    for kind, table in ROSTER.items():
        made = type(kind, (Row,), {})
        mapper.map_imperatively(made, table.to_metadata(there, schema=SCHEMA))
        found[kind] = made
    return found


def rows(delivery: Path, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the validated rows of a file. Raises ValidationError."""
    schema = SCHEMAS[kind]
    with zipfile.ZipFile(delivery) as bundle, bundle.open(FILES[kind]) as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, "utf-8", newline="")):
            yield schema.load(row)


class Importer:
    """One delivery on its way into the tables of its schools."""

    models: ClassVar[dict[str, Any]] = {}

    def __init__(self, session: Session, district: int, delivery: Path, schools: dict[str, int]) -> None:
        self.session, self.district, self.delivery, self.schools = session, district, delivery, schools
        self.ids: dict[str, set[str]] = {}
        self.roles: dict[str, list[dict[str, Any]]] = {}
        self.now = datetime.now(UTC)
        self.moved = {"added": 0, "changed": 0, "removed": 0}
        if not self.models:
            self.models.update(_mapped())

    def run(self) -> dict[str, int]:
        """Bring everything in and commit; return how many rows moved."""
        self.ids["user"] = {row["sourced_id"] for row in rows(self.delivery, "user")}  # roles name them
        for kind in _ORDER:
            self._kind(kind)
        self.session.commit()
        return self.moved

    def _kind(self, kind: str) -> None:
        known, model = self.ids.setdefault(kind, set()), self.models.get(kind)
        there = {}
        if model:
            query = sa.select(model).where(model.district == self.district)
            there = {(one.school, one.sourced_id): one for one in self.session.scalars(query)}
        for row in rows(self.delivery, kind):
            for column, other in _REFERENCES.get(kind, ()):
                if row.get(column) is not None and row[column] not in self.ids[other]:
                    raise ValueError(f"{kind}: {column} leads nowhere")
            known.add(row["sourced_id"])
            if kind == "role":
                self.roles.setdefault(row["user"], []).append(row)
                continue
            for school in self._at(kind, row):
                self._keep(model, there.pop((school, row["sourced_id"]), None), school, row)
        for one in there.values():
            self.session.delete(one)
            self.moved["removed"] += 1
        self.session.flush()
        self.session.expunge_all()

    def _at(self, kind: str, row: dict[str, Any]) -> list[int]:
        """The schools at which a row is kept."""
        if kind == "org" and row["sourced_id"] in self.schools:
            return [self.schools[row["sourced_id"]]]
        if kind in ("org", "session", "course"):
            return list(self.schools.values())
        if kind in ("user", "demographics"):
            held = self.roles.get(row["sourced_id"], ())
            return sorted({self.schools[role["org"]] for role in held if role["org"] in self.schools})
        return [self.schools[row["org"]]] if row["org"] in self.schools else []

    def _keep(self, model: Any, there: Any, school: int, row: dict[str, Any]) -> None:
        cells = dict(row)
        if model.__name__ == "user":
            held = [role for role in self.roles[row["sourced_id"]] if self.schools.get(role["org"]) == school]
            cells["is_pupil"] = any(role["role"] == "student" for role in held)
            cells["roles"] = [
                {"role": role["role"], "roleType": role["role_type"], "org": role["org"],
                 "beginDate": role["begin_date"].isoformat() if "begin_date" in role else None} for role in held
            ]  # fmt: skip
        if there is None:
            self.session.add(model(district=self.district, school=school, since=1, modified=self.now, hash=0, **cells))
            self.moved["added"] += 1
            return
        changed = [name for name, value in cells.items() if getattr(there, name) != value]
        for name in changed:
            setattr(there, name, cells[name])
        self.moved["changed"] += bool(changed)


def main() -> None:
    """Bring one delivery in and say what moved."""
    url, district, delivery, schools = sys.argv[1:]
    with Session(sa.create_engine(driver(url))) as session:
        print(json.dumps(Importer(session, int(district), Path(delivery), json.loads(schools)).run()))


if __name__ == "__main__":
    main()
