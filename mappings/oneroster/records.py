"""The kinds of roster records we keep, those we only check, their columns and what each refers to.

One table drives staging, validation of references, projection, publishing and reading, and says which data element
each column holds. Without its target a
*hard* reference takes the row with it, and a soft one is cut. A *tolerant* one stands while its target is known
but quarantined: an unreadable course does not cost its classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from mappings.elements import element

SqlType = Literal["text", "text[]", "date", "boolean", "integer", "numeric", "jsonb"]


@dataclass(frozen=True, slots=True)
class Column:
    """A stored column; `refers_to` names the kind whose sourcedId it holds, `element` what it tells about whom."""

    name: str
    element: str
    type: SqlType = "text"
    refers_to: str | None = None
    hard: bool = False
    tolerant: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of record, delivered in `file` and, when `projected`, kept once per school."""

    name: str
    file: str
    columns: tuple[Column, ...]
    projected: bool = True
    required: bool = True

    @property
    def references(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.refers_to)

    @property
    def carriers(self) -> tuple[tuple[str, str], ...]:
        """The columns, with the kinds they lead to, without whose record this one cannot stand."""
        own = (("sourced_id", "user"),) if self.name == "demographics" else ()
        hard = (column for column in self.references if column.hard and column.type == "text")
        return (*((column.name, str(column.refers_to)) for column in hard), *own)

    @property
    def person(self) -> str | None:
        """The column that says whose a record is; None of what is nobody's."""
        own = "sourced_id" if self.name == "user" else None
        return next((column for column, kind in self.carriers if kind == "user"), own)


def _c(
    name: str, holds: str, type_: SqlType = "text", to: str | None = None, *, hard: bool = False, tolerant: bool = False
) -> Column:
    return Column(name, element(holds)["element"], type_, to, hard or tolerant, tolerant)


_ORG, _CALENDAR, _COURSE, _CLASS = "org.directory", "session.calendar", "course.catalogue", "class.section"
_PREFERRED, _ROLE, _IN_CLASS = "person.name.preferred", "person.role", "enrollment.membership"
_RACE, _BORN_AT = "demographics.race", "demographics.birth_place"

_KINDS = (
    Kind(
        "org",
        "orgs.csv",
        (_c("name", _ORG), _c("type", _ORG), _c("identifier", _ORG), _c("parent", _ORG, to="org")),
    ),
    Kind(
        "session",
        "academicSessions.csv",
        (
            _c("title", _CALENDAR), _c("type", _CALENDAR), _c("start_date", _CALENDAR, "date"),
            _c("end_date", _CALENDAR, "date"), _c("parent", _CALENDAR, to="session"), _c("school_year", _CALENDAR),
        ),
    ),
    Kind(
        "course",
        "courses.csv",
        (
            _c("school_year", _COURSE, to="session"), _c("title", _COURSE), _c("course_code", _COURSE),
            _c("grades", _COURSE, "text[]"), _c("org", _COURSE, to="org", hard=True),
            _c("subjects", _COURSE, "text[]"), _c("subject_codes", _COURSE, "text[]"),
        ),
    ),
    Kind(
        "user",
        "users.csv",
        (
            _c("enabled", "person.enabled", "boolean"), _c("username", "person.username"),
            _c("user_ids", "person.identifiers", "text[]"), _c("given_name", "person.name.given"),
            _c("family_name", "person.name.family"), _c("middle_name", "person.name.middle"),
            _c("identifier", "person.identifier"), _c("email", "person.email"), _c("sms", "person.phone"),
            _c("phone", "person.phone"), _c("agents", "person.guardians", "text[]", "user"),
            _c("grades", "person.grade", "text[]"), _c("master_identifier", "person.identifiers"),
            _c("preferred_given", _PREFERRED), _c("preferred_middle", _PREFERRED), _c("preferred_family", _PREFERRED),
            _c("primary_org", _ROLE, to="org"), _c("pronouns", "person.pronouns"),
        ),
    ),
    Kind(
        "role",
        "roles.csv",
        (
            _c("user", _ROLE, to="user", hard=True), _c("role_type", _ROLE), _c("role", _ROLE),
            _c("begin_date", _ROLE, "date"), _c("end_date", _ROLE, "date"), _c("org", _ROLE, to="org", hard=True),
        ),
        projected=False,
    ),
    Kind(
        "class",
        "classes.csv",
        (
            _c("title", _CLASS), _c("grades", _CLASS, "text[]"), _c("course", _CLASS, to="course", tolerant=True),
            _c("class_code", _CLASS), _c("class_type", _CLASS), _c("location", _CLASS),
            _c("org", _CLASS, to="org", hard=True), _c("terms", _CLASS, "text[]", "session", tolerant=True),
            _c("subjects", _CLASS, "text[]"), _c("subject_codes", _CLASS, "text[]"), _c("periods", _CLASS, "text[]"),
        ),
    ),
    Kind(
        "enrollment",
        "enrollments.csv",
        (
            _c("class", _IN_CLASS, to="class", hard=True), _c("org", _IN_CLASS, to="org", hard=True),
            _c("user", _IN_CLASS, to="user", hard=True), _c("role", _IN_CLASS), _c("primary", _IN_CLASS, "boolean"),
            _c("begin_date", "enrollment.dates", "date"), _c("end_date", "enrollment.dates", "date"),
        ),
    ),
    Kind(
        "demographics",
        "demographics.csv",
        (
            _c("birth_date", "demographics.birth_date", "date"), _c("sex", "demographics.sex"),
            _c("american_indian", _RACE, "boolean"), _c("asian", _RACE, "boolean"), _c("black", _RACE, "boolean"),
            _c("pacific_islander", _RACE, "boolean"), _c("white", _RACE, "boolean"),
            _c("two_or_more_races", _RACE, "boolean"), _c("hispanic", _RACE, "boolean"),
            _c("birth_country", _BORN_AT), _c("birth_state", _BORN_AT), _c("birth_city", _BORN_AT),
            _c("residence_status", "demographics.residence"),
        ),
        required=False,
    ),
)  # fmt: skip


def _checked(name: str, file: str, *columns: Column) -> Kind:
    return Kind(name, file, columns, projected=False, required=False)


_ACCOUNTS, _OBJECTIVES, _SCALE = "person.accounts", "activity.objectives", "gradebook.scale"
_LEARNT, _GIVEN, _POINTS = "result.objectives", "person.resources", "activity.title"

# Of what is not kept, only what the rules compare is looked at together, for as long as a run takes.
_CHECKED = (
    _checked("resource", "resources.csv"),
    _checked("class_resource", "classResources.csv", _c("class", "class.resources", to="class", hard=True),
             _c("resource", "class.resources", to="resource", hard=True)),
    _checked("course_resource", "courseResources.csv", _c("course", "resource.catalogue", to="course", hard=True),
             _c("resource", "resource.catalogue", to="resource", hard=True)),
    _checked("user_resource", "userResources.csv", _c("user", _GIVEN, to="user", hard=True),
             _c("org", _GIVEN, to="org"), _c("class", _GIVEN, to="class"),
             _c("resource", _GIVEN, to="resource", hard=True)),
    _checked("profile", "userProfiles.csv", _c("user", _ACCOUNTS, to="user", hard=True)),
    # What a row of roles.csv says of an account: looked at beside the role, which is kept without it.
    _checked("role_profile", "roles.csv", _c("user", _ROLE), _c("profile", _ACCOUNTS, to="profile")),
    _checked("category", "categories.csv"),
    _checked("scale", "scoreScales.csv", _c("org", _SCALE, to="org", hard=True),
             _c("course", _SCALE, to="course", hard=True), _c("class", _SCALE, to="class", hard=True),
             _c("steps", _SCALE, "text[]")),
    _checked("line_item", "lineItems.csv", _c("class", _CLASS, to="class", hard=True),
             _c("category", "gradebook.category", to="category", hard=True),
             _c("session", _CALENDAR, to="session", hard=True), _c("period", _CALENDAR, to="session", hard=True),
             _c("minimum", _POINTS, "numeric"), _c("maximum", _POINTS, "numeric"),
             _c("org", _ORG, to="org", hard=True)),
    _checked("result", "results.csv", _c("line_item", "result.activity", to="line_item", hard=True),
             _c("student", "record.source_id", to="user", hard=True), _c("score", "result.score", "numeric"),
             _c("text_score", "result.level"), _c("class", _IN_CLASS, to="class")),
    _checked("line_item_scale", "lineItemScoreScales.csv", _c("line_item", _SCALE, to="line_item", hard=True),
             _c("scale", _SCALE, to="scale", hard=True)),
    _checked("result_scale", "resultScoreScales.csv", _c("result", "result.activity", to="result", hard=True),
             _c("scale", _SCALE, to="scale", hard=True)),
    _checked("line_item_objective", "lineItemLearningObjectiveIds.csv",
             _c("line_item", _OBJECTIVES, to="line_item", hard=True), _c("source", _OBJECTIVES),
             _c("objective", _OBJECTIVES)),
    _checked("result_objective", "resultLearningObjectiveIds.csv", _c("result", _LEARNT, to="result", hard=True),
             _c("source", _LEARNT), _c("objective", _LEARNT)),
)  # fmt: skip

# In the order in which references can be checked: a kind stands after all it refers to.
KINDS = MappingProxyType({kind.name: kind for kind in _KINDS})
CHECKED = MappingProxyType({kind.name: kind for kind in _CHECKED})  # looked at, and not kept
RECORDS = MappingProxyType({**KINDS, **CHECKED})
PROJECTED = tuple(kind for kind in _KINDS if kind.projected)
