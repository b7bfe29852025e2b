"""What the SIS of Alder Valley says over REST: its rows as objects of OneRoster 1.1 or 1.2."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gateway.sandbox.district import Row, live
from gateway.sandbox.sis_makes import Make

COLLECTIONS = ("orgs", "academicSessions", "courses", "classes", "users", "enrollments", "demographics")
_FLAGS = {
    "enabledUser", "primary", "americanIndianOrAlaskaNative", "asian", "blackOrAfricanAmerican", "white",
    "nativeHawaiianOrOtherPacificIslander", "demographicRaceTwoOrMoreRaces", "hispanicOrLatinoEthnicity",
}  # fmt: skip
_LISTS = {"grades", "subjects", "subjectCodes", "periods"}
# Column to member, the collection that it refers to, and what such a reference is called.
_REFERENCES = {
    "parentSourcedId": "parent", "schoolYearSourcedId": "schoolYear", "orgSourcedId": "org",
    "courseSourcedId": "course", "schoolSourcedId": "school", "termSourcedIds": "terms",
    "classSourcedId": "class", "userSourcedId": "user", "agentSourcedIds": "agents",
    "primaryOrgSourcedId": "primaryOrg",
}  # fmt: skip
_TO = {
    "schoolYear": ("academicSessions", "academicSession"), "org": ("orgs", "org"), "course": ("courses", "course"),
    "school": ("orgs", "org"), "terms": ("academicSessions", "academicSession"), "class": ("classes", "class"),
    "user": ("users", "user"), "agents": ("users", "user"), "primaryOrg": ("orgs", "org"), "orgs": ("orgs", "org"),
}  # fmt: skip
_RENAMED = {"preferredGivenName": "preferredFirstName", "preferredFamilyName": "preferredLastName"}
_SINCE_1P2 = {"userMasterIdentifier", "preferredGivenName", "preferredMiddleName", "preferredFamilyName", "pronouns",
              "primaryOrgSourcedId"}  # fmt: skip
_OLD_ROLES = {"principal": "administrator", "counselor": "aide"}
Object = dict[str, Any]


def objects(make: Make, url: str, night: int, *, few: bool) -> dict[str, list[Object]]:
    """Return each collection in the order of ids, as this make spells it; `few`: of five classes."""
    tables = live(night, few=few)
    spell = _Speller(make, url)
    roles: dict[str, list[Row]] = {}
    for row in tables["roles"]:
        roles.setdefault(row["userSourcedId"], []).append(row)
    found = {}
    for name in COLLECTIONS:
        rows = sorted(tables[name], key=lambda row: row["sourcedId"])
        found[name] = [spell.object(name, row, roles.get(row["sourcedId"], [])) for row in rows]
    return found


class _Speller:
    def __init__(self, make: Make, url: str) -> None:
        self.make, self.url = make, url

    def object(self, collection: str, row: Row, roles: list[Row]) -> Object:
        said: Object = {}
        for column, cell in row.items():
            if not (self.make.objects == "1.1" and column in _SINCE_1P2):
                said |= self._member(collection, column, cell)
        said["dateLastModified"] = self._stamp(row["dateLastModified"])
        if collection == "users":
            said |= self._roles_1p1(roles) if self.make.objects == "1.1" else self._roles(roles)
            said["password"] = "never-to-be-read"
        return said

    def _member(self, collection: str, column: str, cell: str) -> Object:
        if column in _REFERENCES:
            name = _REFERENCES[column]
            many = column.endswith("Ids")
            if not cell:
                return {name: []} if many else {}
            found = [self._reference(collection, name, one) for one in cell.split(",")]
            return {name: found if many else found[0]}
        if column == "userIds":
            pairs = re.findall(r"\{(\w+):([^}]*)\}", cell)
            return {"userIds": [{"type": kind, "identifier": value} for kind, value in pairs]}
        return self._plain(_RENAMED.get(column, column), column, cell)

    def _plain(self, name: str, column: str, cell: str) -> Object:
        if column in _LISTS:
            return {name: cell.split(",") if cell else []}
        if not cell:
            return {name: None} if self.make.empty_is_null else {}
        if column in _FLAGS:
            return {name: cell if self.make.words_for_flags else cell == "true"}
        if self.make.numbers_for_ids and column in ("identifier", "schoolYear") and cell.isdecimal():
            return {name: int(cell)}
        return {name: cell}

    def _reference(self, collection: str, name: str, sourced_id: str) -> Object:
        where, kind = _TO.get(name, (collection, collection.rstrip("s")))
        root = "~/" if self.make.relative_references else f"{self.url}/"
        return {"href": f"{root}{self.make.base}/{where}/{sourced_id}", "sourcedId": sourced_id, "type": kind}

    def _stamp(self, stamp: str) -> str:
        return stamp.removesuffix(".000Z") if self.make.local_stamps else stamp

    def _roles(self, roles: list[Row]) -> Object:
        return {"roles": [
            {"roleType": "secondary" if n else "primary", "role": row["role"],
             "org": self._reference("users", "org", row["orgSourcedId"])} for n, row in enumerate(roles)
        ]}  # fmt: skip

    def _roles_1p1(self, roles: list[Row]) -> Object:
        word = roles[0]["role"] if roles else "student"
        orgs = [self._reference("users", "orgs", row["orgSourcedId"]) for row in roles]
        return {"role": _OLD_ROLES.get(word, word), "orgs": orgs}


# --- what goes wrong with one page ----------------------------------------------------------------------


def spoil_types(page: list[Any]) -> list[Any]:
    """The first object of a page with values that no document allows there."""
    if not page:
        return page
    odd: dict[str, Callable[[Any], Any]] = {"givenName": lambda v: {"en": v}, "familyName": lambda v: [v],
                                            "title": lambda v: {"en": v}, "name": lambda v: [v]}  # fmt: skip
    return [{key: odd[key](value) if key in odd else value for key, value in page[0].items()}, *page[1:]]
