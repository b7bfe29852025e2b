"""Who acts inside: a named person with a role at a district or school, known by a personal token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateway import errors
from gateway.errors import Refused
from gateway.store import credentials
from gateway.store.secrets import token_hash
from gateway.store.tenant import Database

DISTRICT_ROLES = frozenset({"district_admin", "privacy_officer"})
SCHOOL_ROLES = frozenset({"school_admin", "privacy_officer"})


@dataclass(frozen=True, slots=True)
class Person:
    """A person of one district and their roles; `schools` are (school number, role)."""

    ref: str
    name: str
    district: int
    district_roles: frozenset[str]
    schools: frozenset[tuple[int, str]]

    def acts_for_district(self) -> None:
        """Raise Refused unless the person administers the district."""
        if "district_admin" not in self.district_roles:
            raise Refused(errors.ACT_NOT_STAFF, "this needs a district administrator")

    def may_act(self, school: int) -> bool:
        """Whether the person administers this school."""
        return "district_admin" in self.district_roles or (school, "school_admin") in self.schools

    def acts_for(self, school: int) -> str:
        """Return the role in which the person administers this school. Raises Refused."""
        if "district_admin" in self.district_roles:
            return "district_admin"
        if (school, "school_admin") in self.schools:
            return "school_admin"
        raise Refused(errors.ACT_NOT_STAFF, "this needs an administrator of the school or district")

    def may_read(self, school: int) -> bool:
        """Whether the person may look at this school's log, requests and papers."""
        known = {role for at, role in self.schools if at == school} | self.district_roles
        return bool(known & {"district_admin", "school_admin", "privacy_officer"})

    def reads(self, school: int) -> None:
        """Raise Refused unless the person may look at this school's log, requests and papers."""
        if not self.may_read(school):
            raise Refused(errors.ACT_NOT_STAFF)


def person(database: Database, token: str, now: datetime) -> Person:
    """Return who a personal token belongs to. Raises Refused with AUT_STAFF_UNKNOWN."""
    with database.open_identity() as session:
        row = credentials.staff_of_token(session, token_hash(token), now) if token else None
    if row is None:
        raise Refused(errors.AUT_STAFF_UNKNOWN)
    schools = frozenset((int(school), str(role)) for school, role in row.school_roles)
    return Person(row.staff, row.name, row.district, frozenset(row.district_roles), schools)
