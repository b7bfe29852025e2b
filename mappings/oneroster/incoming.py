"""OneRoster objects as they are read from a SIS, turned into rows of the 1.2 CSV binding.

    collection ── member of each object ── cell of a column, in the order of the binding's header

The columns are those of `csv.FILES`; what stands here is which member fills each, and of what shape it is. A password
is not in the table, so it is never looked at; a property that is in no table is passed over.

Sources: OneRoster 1.2 rostering OpenAPI document; OneRoster 1.1, chapter 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from mappings import vocabulary as words
from mappings.fields import agree
from mappings.oneroster import cells
from mappings.oneroster.cells import (
    NOT_OF_TYPE,
    NOT_SAID,
    Note,
    day,
    flag,
    grades,
    ref,
    refs,
    text,
    texts,
    user_ids,
    word,
    wrong,
)
from mappings.oneroster.csv import FILES

VERSION = "1.2"  # of the binding that is written
_BINDINGS = MappingProxyType({"1.1": "oneroster_1p1_rest", "1.2": "oneroster_1p2_rest"})
_GONE = frozenset({"tobedeleted", "inactive"})  # 1.0 and 1.1 say inactive
_STATUSES = frozenset({"active", *_GONE})
_ZONED = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})\Z")
_LOCAL = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?\Z")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object, the column it fills, and how its value becomes a cell."""

    header: str
    name: str
    spell: Any


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection of a service: its path, which its envelope's key is too, and the members of its objects."""

    path: str
    schema: str
    members: tuple[Member, ...]
    optional: bool = False

    @property
    def file(self) -> str:
        return f"{self.path}.csv"

    @property
    def elements(self) -> frozenset[str]:
        """The data elements that its objects hold, who they are aside."""
        file, headers = FILES[VERSION][self.file], {member.header for member in self.members}
        return frozenset(file.element(column) for column in file.columns if column.header in headers)


@dataclass(slots=True)
class Notes:
    """What was found while a collection was turned into rows."""

    repairs: set[str] = field(default_factory=set)
    objects: int = 0
    gone: int = 0
    latest: datetime | None = None
    districts: set[str] = field(default_factory=set)

    @property
    def root(self) -> str:
        """The one district; "" where there is none or several."""
        return next(iter(self.districts)) if len(self.districts) == 1 else ""

    def note(self, repair: str) -> None:
        self.repairs.add(repair)


def _members(**spelled: Any) -> tuple[Member, ...]:
    """`header=how`, or `header=(name, how)` where the member has another name than the column."""
    pairs = {header: said if isinstance(said, tuple) else (header, said) for header, said in spelled.items()}
    return tuple(Member(header, name, how) for header, (name, how) in pairs.items())


_class = word(words.CLASS_TYPES)
_enrolled_as = word(words.ENROLLMENT_ROLES_1P1 | words.ENROLLMENT_ROLES)


def _class_type(value: Any, note: Note) -> str:
    """REST 1.2 may leave it out, CSV may not."""
    if value is None:
        note("class-type-not-said")
    return "scheduled" if value is None else _class(value, note)


def _enrollment_role(value: Any, note: Note) -> str:
    """Of the roles of 1.1, four became words outside the vocabulary of 1.2: they go by extension."""
    said = _enrolled_as(value, note)
    if said in words.ENROLLMENT_ROLES_1P1 - words.ENROLLMENT_ROLES:
        note("roles-of-1.1")
        return f"ext:{said}"
    return said


def _username(value: Any, note: Note) -> str:
    """REST 1.2 may leave it out, CSV may not."""
    if value in (None, ""):
        note("username-not-said")
    return NOT_SAID if value in (None, "") else text(value, note)


_RACES = dict.fromkeys(
    ("americanIndianOrAlaskaNative", "asian", "blackOrAfricanAmerican", "nativeHawaiianOrOtherPacificIslander", "white",
     "demographicRaceTwoOrMoreRaces", "hispanicOrLatinoEthnicity"), flag,
)  # fmt: skip
_PERSON = _members(
    enabledUser=flag, username=_username, userIds=user_ids, givenName=text, familyName=text, middleName=text,
    identifier=text, email=text, sms=text, phone=text, agentSourcedIds=("agents", refs), grades=grades,
)  # fmt: skip
_SINCE_1P2 = _members(
    userMasterIdentifier=text, preferredGivenName=("preferredFirstName", text), preferredMiddleName=text,
    preferredFamilyName=("preferredLastName", text), primaryOrgSourcedId=("primaryOrg", ref), pronouns=text,
)  # fmt: skip

# In the order in which references can be checked.
COLLECTIONS = MappingProxyType(
    {
        c.path: c
        for c in (
            Collection("orgs", "Org", _members(
                name=text, type=word(words.ORG_TYPES), identifier=text, parentSourcedId=("parent", ref))),
            Collection("academicSessions", "AcademicSession", _members(
                title=text, type=word(words.SESSION_TYPES), startDate=day, endDate=day, parentSourcedId=("parent", ref),
                schoolYear=text)),
            Collection("courses", "Course", _members(
                schoolYearSourcedId=("schoolYear", ref), title=text, courseCode=text, grades=grades,
                orgSourcedId=("org", ref), subjects=texts, subjectCodes=texts)),
            Collection("users", "User", _PERSON + _SINCE_1P2),
            Collection("classes", "Class", _members(
                title=text, grades=grades, courseSourcedId=("course", ref), classCode=text, classType=_class_type,
                location=text, schoolSourcedId=("school", ref), termSourcedIds=("terms", refs), subjects=texts,
                subjectCodes=texts, periods=texts)),
            Collection("enrollments", "Enrollment", _members(
                classSourcedId=("class", ref), schoolSourcedId=("school", ref), userSourcedId=("user", ref),
                role=_enrollment_role, primary=flag, beginDate=day, endDate=day)),
            Collection("demographics", "Demographics", _members(
                birthDate=day, sex=word(words.SEXES), **_RACES, countryOfBirthCode=text, stateOfBirthAbbreviation=text,
                cityOfBirth=text, publicSchoolResidenceStatus=text), optional=True),
        )
    }
)  # fmt: skip
_ROLE = _members(
    roleType=word(words.ROLE_TYPES),
    role=word(words.USER_ROLES_1P2),
    beginDate=day,
    endDate=day,
    orgSourcedId=("org", ref),
)
ROLES = "roles.csv"
_NEW_IN_1P2 = frozenset(member.name for member in _SINCE_1P2)
HEADERS = MappingProxyType({name: tuple(c.header for c in file.columns) for name, file in FILES[VERSION].items()})
_COURSE_ORG = HEADERS["courses.csv"].index("orgSourcedId")


def _prove() -> None:
    """Each member is the data element of the column it fills, in both versions. Raises Unclassified."""
    for path, collection in COLLECTIONS.items():
        file = FILES[VERSION][f"{path}.csv"]
        elements = {column.header: file.element(column) for column in file.columns}
        for version, binding in _BINDINGS.items():
            for member in collection.members:
                if version == "1.2" or member.name not in _NEW_IN_1P2:
                    agree(binding, f"{collection.schema}.{member.name}", elements[member.header])


_prove()


# --- one object, its rows --------------------------------------------------------------------------

Rows = Iterator[tuple[str, Sequence[str]]]


def rows(collection: Collection, found: Any, notes: Notes, *, changes: bool) -> Rows:
    """Yield (file, cells) of one object. `changes`: rows of a delta delivery, which say their status and when they were
    modified; else what is to be deleted yields none, which is how a bulk delivery says so."""
    notes.objects += 1
    said = found if isinstance(found, dict) else {"sourcedId": found if found is not None else []}
    frame = _frame(said, notes, changes=changes)
    if frame[1] in _GONE and not changes:
        notes.gone += 1
        return
    head = frame if changes else (frame[0], "", "")
    row = _row(collection.file, head, collection.members, said, notes.note)
    if collection.path == "courses" and said.get("org") is None and notes.root:
        notes.note("course-of-the-district")  # REST 1.2 may leave it out, CSV may not
        row[_COURSE_ORG] = notes.root
    yield collection.file, row
    if collection.path == "users":
        yield from _roles(said, head, notes.note)


def _row(
    file: str, head: Sequence[str], members: Sequence[Member], said: Mapping[str, Any], note: Note, **more: str
) -> list[str]:
    filled = {member.header: member.spell(said.get(member.name), note) for member in members} | more
    return [*head, *(filled.get(header, "") for header in HEADERS[file][3:])]


def _frame(said: Mapping[str, Any], notes: Notes, *, changes: bool) -> tuple[str, str, str]:
    """sourcedId, status, dateLastModified."""
    sourced_id = wrong([]) if isinstance(said.get("sourcedId"), list) else text(said.get("sourcedId"), notes.note)
    status = text(said.get("status"), notes.note)
    if status == "inactive":
        notes.note("inactive-as-deleted")
        status = "tobedeleted" if changes else status
    if status not in _STATUSES:
        notes.note("status-not-said" if not status else "status-unknown")
        status = status if changes and status else "active"
    return sourced_id, status, _modified(said.get("dateLastModified"), notes)


def _modified(value: Any, notes: Notes) -> str:
    """A moment in UTC; one without a zone is taken for UTC, and said. What is no moment stays as it is."""
    said = text(value, notes.note)
    local = bool(_LOCAL.match(said))
    if not local and not _ZONED.match(said):
        return said
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        return said
    if local:
        notes.note("local-time")
    moment = moment.replace(tzinfo=UTC) if local else moment.astimezone(UTC)
    notes.latest = max(notes.latest, moment) if notes.latest else moment
    return spell_moment(moment)


def spell_moment(moment: datetime) -> str:
    """A moment as the binding spells it: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- roles -----------------------------------------------------------------------------------------


def _roles(said: Mapping[str, Any], head: Sequence[str], note: Note) -> Rows:
    """The roles of a person, which CSV keeps in a file of their own. Of 1.1 it is one role, at each of the orgs."""
    found = said.get("roles")
    if found is None and "role" in said:
        found = _roles_1p1(said, note)
    elif "role" in said or "orgs" in said:
        note("of-both-versions")
    # Where the roles cannot be read, a row without a name stands for them: none of those we knew is then gone.
    listed = found if isinstance(found, list) else [found]
    taken: set[str] = set()
    for role in sorted(listed, key=_primary_first):
        yield ROLES, _role(role, head, taken, note)


def _primary_first(role: Any) -> tuple[bool, str]:
    said = role if isinstance(role, dict) else {}
    return said.get("roleType") != "primary", str(said.get("role"))


def _role(role: Any, head: Sequence[str], taken: set[str], note: Note) -> list[str]:
    if not isinstance(role, dict):
        return [wrong(role), *head[1:3], *("" for _ in HEADERS[ROLES][3:])]
    row = _row(ROLES, ("", *head[1:3]), _ROLE, role, note, userSourcedId=head[0])
    org, word = row[HEADERS[ROLES].index("orgSourcedId")], row[HEADERS[ROLES].index("role")]
    row[0] = _role_id(head[0], org, word, taken)
    return row


def _role_id(user: str, org: str, word: str, taken: set[str]) -> str:
    """A role's name: the person and the place, so that a misspelt role is still the one it was; the word only for the
    second role at a place."""
    if not org or NOT_OF_TYPE in user + org:
        return f"{NOT_OF_TYPE}a role without a place"
    name = f"{user}@{org}"
    if name in taken:
        name = f"{name}@{word.replace(':', '-')}"
    taken.add(name)
    return name


def _roles_1p1(said: Mapping[str, Any], note: Note) -> Any:
    """The one role of a 1.1 person at each org, the first of which is primary; what cannot be read, as it came."""
    orgs, role = said.get("orgs"), cells.text(said["role"], note)
    places = [orgs] if isinstance(orgs, (dict, str)) else orgs
    if not isinstance(places, list) or not places:
        return orgs
    known = words.ROLE_1P1_TO_1P2.get(role, role)
    return [
        {"roleType": "secondary" if place else "primary", "role": said["role"] if NOT_OF_TYPE in role else known,
         "org": org}
        for place, org in enumerate(places)
    ]  # fmt: skip
