"""The kinds of roster records we keep, their columns and what each refers to.

One table drives staging, validation of references, projection, publishing and reading. Without its target a
*hard* reference takes the row with it, and a soft one is cut. A *tolerant* one stands while its target is known
but quarantined: an unreadable course does not cost its classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

SqlType = Literal["text", "text[]", "date", "boolean", "integer", "jsonb"]


@dataclass(frozen=True, slots=True)
class Column:
    """A stored column; `refers_to` names the kind whose sourcedId it holds."""

    name: str
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


def _c(
    name: str, type_: SqlType = "text", to: str | None = None, *, hard: bool = False, tolerant: bool = False
) -> Column:
    return Column(name, type_, to, hard or tolerant, tolerant)


_KINDS = (
    Kind("org", "orgs.csv", (_c("name"), _c("type"), _c("identifier"), _c("parent", to="org"))),
    Kind(
        "session",
        "academicSessions.csv",
        (
            _c("title"), _c("type"), _c("start_date", "date"), _c("end_date", "date"),
            _c("parent", to="session"), _c("school_year"),
        ),
    ),
    Kind(
        "course",
        "courses.csv",
        (
            _c("school_year", to="session"), _c("title"), _c("course_code"), _c("grades", "text[]"),
            _c("org", to="org", hard=True), _c("subjects", "text[]"), _c("subject_codes", "text[]"),
        ),
    ),
    Kind(
        "user",
        "users.csv",
        (
            _c("enabled", "boolean"), _c("username"), _c("user_ids", "text[]"), _c("given_name"),
            _c("family_name"), _c("middle_name"), _c("identifier"), _c("email"), _c("sms"),
            _c("phone"), _c("agents", "text[]", "user"), _c("grades", "text[]"),
            _c("master_identifier"), _c("preferred_given"), _c("preferred_middle"),
            _c("preferred_family"), _c("primary_org", to="org"), _c("pronouns"),
        ),
    ),
    Kind(
        "role",
        "roles.csv",
        (
            _c("user", to="user", hard=True), _c("role_type"), _c("role"), _c("begin_date", "date"),
            _c("end_date", "date"), _c("org", to="org", hard=True),
        ),
        projected=False,
    ),
    Kind(
        "class",
        "classes.csv",
        (
            _c("title"), _c("grades", "text[]"), _c("course", to="course", tolerant=True),
            _c("class_code"), _c("class_type"), _c("location"), _c("org", to="org", hard=True),
            _c("terms", "text[]", "session", tolerant=True), _c("subjects", "text[]"),
            _c("subject_codes", "text[]"), _c("periods", "text[]"),
        ),
    ),
    Kind(
        "enrollment",
        "enrollments.csv",
        (
            _c("class", to="class", hard=True), _c("org", to="org", hard=True),
            _c("user", to="user", hard=True), _c("role"), _c("primary", "boolean"),
            _c("begin_date", "date"), _c("end_date", "date"),
        ),
    ),
    Kind(
        "demographics",
        "demographics.csv",
        (
            _c("birth_date", "date"), _c("sex"), _c("american_indian", "boolean"),
            _c("asian", "boolean"), _c("black", "boolean"), _c("pacific_islander", "boolean"),
            _c("white", "boolean"), _c("two_or_more_races", "boolean"), _c("hispanic", "boolean"),
            _c("birth_country"), _c("birth_state"), _c("birth_city"), _c("residence_status"),
        ),
        required=False,
    ),
)  # fmt: skip

# In the order in which references can be checked: a kind stands after all it refers to.
KINDS = MappingProxyType({kind.name: kind for kind in _KINDS})
PROJECTED = tuple(kind for kind in _KINDS if kind.projected)
