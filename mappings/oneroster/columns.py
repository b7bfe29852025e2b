"""The columns of the files of the OneRoster CSV bindings 1.0, 1.1 and 1.2.

Source: OneRoster 1.2.1 CSV binding, the field tables of its data files; 1.1 headers from the 1.1 binding, chapter 13.
Requirements and vocabularies of 1.1 that its text leaves open are taken from 1.2 (derived). 1.0 as public importers and
exporters have it (reported): the comment above its tables says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mappings import vocabulary as words

# What a fault costs: the row, the value, the whole file, an accepted record that goes with another, or nothing.
Effect = Literal["row", "value", "file", "removed", "noted"]


@dataclass(frozen=True, slots=True)
class CsvColumn:
    """A column of a file: where it goes, what it must be, and what a bad value costs.

    `to` None is read past. A name that begins with `@` is looked at and not kept; with `+`, it is handed on beside the
    row and is no part of it.
    """

    header: str
    to: str | None = None
    type: str = "text"
    required: bool = False
    vocabulary: frozenset[str] = frozenset()
    extensible: bool = False
    effect: Effect = "row"


# --- files whose records are kept ------------------------------------------------------------------


def _col(
    header: str,
    to: str | None = None,
    type_: str = "text",
    *,
    need: bool = False,
    words_: frozenset[str] = frozenset(),
    ext: bool = False,
    effect: Effect = "row",
) -> CsvColumn:
    return CsvColumn(header, to, type_, need, words_, ext, effect)


_HEAD = (_col("sourcedId", "sourced_id", "id", need=True),
         _col("status", None, "status"), _col("dateLastModified", None, "modified"))  # fmt: skip

_PASSWORD = _col("password", None, "never")

_ORGS = (
    _col("name", "name", need=True),
    _col("type", "type", "word", need=True, words_=words.ORG_TYPES, ext=True),
    _col("identifier", "identifier"),
    _col("parentSourcedId", "parent", "id"),
)
_SESSIONS = (
    _col("title", "title", need=True),
    _col("type", "type", "word", need=True, words_=words.SESSION_TYPES, ext=True),
    _col("startDate", "start_date", "date", need=True),
    _col("endDate", "end_date", "date", need=True),
    _col("parentSourcedId", "parent", "id"),
    _col("schoolYear", "school_year", "year", need=True),
)
_COURSES = (
    _col("schoolYearSourcedId", "school_year", "id"),
    _col("title", "title", need=True),
    _col("courseCode", "course_code"),
    _col("grades", "grades", "words", words_=words.GRADES, effect="value"),
    _col("orgSourcedId", "org", "id", need=True),
    _col("subjects", "subjects", "texts"),
    _col("subjectCodes", "subject_codes", "texts"),
)
_CLASSES = (
    _col("title", "title", need=True),
    _col("grades", "grades", "words", words_=words.GRADES, effect="value"),
    _col("courseSourcedId", "course", "id", need=True),
    _col("classCode", "class_code"),
    _col("classType", "class_type", "word", need=True, words_=words.CLASS_TYPES, ext=True),
    _col("location", "location"),
    _col("schoolSourcedId", "org", "id", need=True),
    _col("termSourcedIds", "terms", "ids", need=True),
    _col("subjects", "subjects", "texts"),
    _col("subjectCodes", "subject_codes", "texts"),
    _col("periods", "periods", "texts"),
)
_PERSON = (
    _col("username", "username", need=True),
    _col("userIds", "user_ids", "pairs", effect="value"),
    _col("givenName", "given_name", need=True),
    _col("familyName", "family_name", need=True),
    _col("middleName", "middle_name"),
    _col("identifier", "identifier"),
    _col("email", "email"),
    _col("sms", "sms"),
    _col("phone", "phone"),
    _col("agentSourcedIds", "agents", "ids"),
    _col("grades", "grades", "words", words_=words.GRADES),
    _PASSWORD,
)
_USERS_1P2 = (
    _col("enabledUser", "enabled", "bool", need=True),
    *_PERSON,
    _col("userMasterIdentifier", "master_identifier"),
    _col("preferredGivenName", "preferred_given"),
    _col("preferredMiddleName", "preferred_middle"),
    _col("preferredFamilyName", "preferred_family"),
    _col("primaryOrgSourcedId", "primary_org", "id"),
    _col("pronouns", "pronouns"),
)
_USERS_1P1 = (
    _col("enabledUser", "enabled", "bool", need=True),
    _col("orgSourcedIds", "@orgs", "ids", need=True),
    _col("role", "@role", "word", need=True, words_=words.USER_ROLES_1P1),
    *_PERSON,
)
_ROLES = (
    _col("userSourcedId", "user", "id", need=True),
    _col("roleType", "role_type", "word", need=True, words_=words.ROLE_TYPES),
    _col("role", "role", "word", need=True, words_=words.USER_ROLES_1P2, ext=True),
    _col("beginDate", "begin_date", "date"),
    _col("endDate", "end_date", "date"),
    _col("orgSourcedId", "org", "id", need=True),
    _col("userProfileSourcedId", "+profile", "id", effect="value"),
)


def _enrollments(roles: frozenset[str], *, ext: bool) -> tuple[CsvColumn, ...]:
    return (
        _col("classSourcedId", "class", "id", need=True),
        _col("schoolSourcedId", "org", "id", need=True),
        _col("userSourcedId", "user", "id", need=True),
        _col("role", "role", "word", need=True, words_=roles, ext=ext),
        _col("primary", "primary", "bool"),
        _col("beginDate", "begin_date", "date"),
        _col("endDate", "end_date", "date"),
    )


# 1.1 knows two sexes; the words of 1.2 are understood in both.
_DEMOGRAPHICS = (
    _col("birthDate", "birth_date", "date"),
    _col("sex", "sex", "word", words_=words.SEXES, ext=True, effect="value"),
    _col("americanIndianOrAlaskaNative", "american_indian", "bool"),
    _col("asian", "asian", "bool"),
    _col("blackOrAfricanAmerican", "black", "bool"),
    _col("nativeHawaiianOrOtherPacificIslander", "pacific_islander", "bool"),
    _col("white", "white", "bool"),
    _col("demographicRaceTwoOrMoreRaces", "two_or_more_races", "bool"),
    _col("hispanicOrLatinoEthnicity", "hispanic", "bool"),
    _col("countryOfBirthCode", "birth_country"),
    _col("stateOfBirthAbbreviation", "birth_state"),
    _col("cityOfBirth", "birth_city"),
    _col("publicSchoolResidenceStatus", "residence_status"),
)

# --- files that are checked and not kept -----------------------------------------------------------

_CATEGORIES_1P1 = (_col("title", "@title", need=True),)
_CATEGORIES = (*_CATEGORIES_1P1, _col("weight", "@weight", "int"))
_RESOURCES = (
    _col("vendorResourceId", "@vendor_resource", need=True),
    _col("title", "@title"),
    _col("roles", "@roles", "words", words_=words.USER_ROLES_1P1, ext=True),
    _col("importance", "@importance", "word", words_=words.ROLE_TYPES),
    _col("vendorId", "@vendor"),
    _col("applicationId", "@application"),
)
_CLASS_RESOURCES = (
    _col("title", "@title"),
    _col("classSourcedId", "class", "id", need=True),
    _col("resourceSourcedId", "resource", "id", need=True),
)
_COURSE_RESOURCES = (
    _col("title", "@title"),
    _col("courseSourcedId", "course", "id", need=True),
    _col("resourceSourcedId", "resource", "id", need=True),
)
_USER_RESOURCES = (
    _col("userSourcedId", "user", "id", need=True),
    _col("orgSourcedId", "org", "id"),
    _col("classSourcedId", "class", "id"),
    _col("resourceSourcedId", "resource", "id", need=True),
)
_USER_PROFILES = (
    _col("userSourcedId", "user", "id", need=True),
    _col("profileType", "@profile_type", need=True),
    _col("vendorId", "@vendor", need=True),
    _col("applicationId", "@application"),
    _col("description", "@description"),
    _col("credentialType", "@credential_type", need=True),
    _col("username", "@username", need=True),
    _PASSWORD,
)
_LINE_ITEM = (
    _col("title", "@title", need=True),
    _col("description", "@description"),
    _col("assignDate", "@assign_date", "date", need=True),
    _col("dueDate", "@due_date", "date", need=True),
    _col("classSourcedId", "class", "id", need=True),
    _col("categorySourcedId", "category", "id", need=True),
)
_RANGE = (_col("resultValueMin", "minimum", "float"), _col("resultValueMax", "maximum", "float"))
_LINE_ITEMS_1P1 = (*_LINE_ITEM, _col("gradingPeriodSourcedId", "period", "id", need=True), *_RANGE)
_LINE_ITEMS = (
    *_LINE_ITEM,
    _col("academicSessionSourcedId", "session", "id", need=True),
    *_RANGE,
    _col("schoolSourcedId", "org", "id", need=True),
)
_RESULTS_1P1 = (
    _col("lineItemSourcedId", "line_item", "id", need=True),
    _col("studentSourcedId", "student", "id", need=True),
    _col("scoreStatus", "@status", "word", need=True, words_=words.SCORE_STATUSES, ext=True),
    _col("score", "score", "float"),
    _col("scoreDate", "@score_date", "date", need=True),
    _col("comment", "@comment"),
)
_RESULTS = (
    *_RESULTS_1P1,
    _col("textScore", "text_score"),
    _col("classSourcedId", "class", "id"),
    _col("inProgress", "@in_progress", "bool"),
    _col("incomplete", "@incomplete", "bool"),
    _col("late", "@late", "bool"),
    _col("missing", "@missing", "bool"),
)
_SCORE_SCALES = (
    _col("title", "@title", need=True),
    _col("type", "@type", need=True),
    _col("orgSourcedId", "org", "id", need=True),
    _col("courseSourcedId", "course", "id", need=True),
    _col("classSourcedId", "class", "id", need=True),
    _col("scoreScaleValue", "steps", "pairs", need=True),
)
_SCALE = _col("scoreScaleSourcedId", "scale", "id", need=True)
_LINE_ITEM_SCALES = (_col("title", "@title"), _col("lineItemSourcedId", "line_item", "id", need=True), _SCALE)
_RESULT_SCALES = (_col("title", "@title"), _col("resultSourcedId", "result", "id", need=True), _SCALE)
_OBJECTIVE = (
    _col("source", "source", "word", need=True, words_=words.OBJECTIVE_SOURCES, ext=True),
    _col("learningObjectiveId", "objective", need=True),
)
_LINE_ITEM_OBJECTIVES = (_col("lineItemSourcedId", "line_item", "id", need=True), *_OBJECTIVE)
_RESULT_OBJECTIVES = (
    _col("resultSourcedId", "result", "id", need=True),
    *_OBJECTIVE,
    _col("score", "@score", "float"),
    _col("textScore", "@text_score"),
)

# --- every file of a version, in the order in which references can be checked ------------------------

File = tuple[str, str, tuple[CsvColumn, ...]]

_KEPT_BEFORE: tuple[File, ...] = (
    ("orgs.csv", "org", _ORGS),
    ("academicSessions.csv", "session", _SESSIONS),
    ("courses.csv", "course", _COURSES),
)
_AFTER: tuple[File, ...] = (
    ("demographics.csv", "demographics", _DEMOGRAPHICS),
    ("resources.csv", "resource", _RESOURCES),
    ("classResources.csv", "class_resource", _CLASS_RESOURCES),
    ("courseResources.csv", "course_resource", _COURSE_RESOURCES),
)
FILES_1P2: tuple[File, ...] = (
    *_KEPT_BEFORE,
    ("users.csv", "user", _USERS_1P2),
    ("roles.csv", "role", _ROLES),
    ("classes.csv", "class", _CLASSES),
    ("enrollments.csv", "enrollment", _enrollments(words.ENROLLMENT_ROLES, ext=True)),
    *_AFTER,
    ("userResources.csv", "user_resource", _USER_RESOURCES),
    ("userProfiles.csv", "profile", _USER_PROFILES),
    ("categories.csv", "category", _CATEGORIES),
    ("scoreScales.csv", "scale", _SCORE_SCALES),
    ("lineItems.csv", "line_item", _LINE_ITEMS),
    ("results.csv", "result", _RESULTS),
    ("lineItemScoreScales.csv", "line_item_scale", _LINE_ITEM_SCALES),
    ("resultScoreScales.csv", "result_scale", _RESULT_SCALES),
    ("lineItemLearningObjectiveIds.csv", "line_item_objective", _LINE_ITEM_OBJECTIVES),
    ("resultLearningObjectiveIds.csv", "result_objective", _RESULT_OBJECTIVES),
)
FILES_1P1: tuple[File, ...] = (
    *_KEPT_BEFORE,
    ("users.csv", "user", _USERS_1P1),
    ("classes.csv", "class", _CLASSES),
    ("enrollments.csv", "enrollment", _enrollments(words.ENROLLMENT_ROLES_1P1, ext=False)),
    *_AFTER,
    ("categories.csv", "category", _CATEGORIES_1P1),
    ("lineItems.csv", "line_item", _LINE_ITEMS_1P1),
    ("results.csv", "result", _RESULTS_1P1),
)

# --- OneRoster 1.0 -----------------------------------------------------------------------------------

# "OneRoster CSV Tables, Version 1.0 Final" (3 June 2015) as others have written it down (reported): the field lists and
# samples of the public importer oat-sa/oneroster-import and the field lists of a school's export script agree on every
# name and on the order; a data loader for a 1.0 server agrees on orgs, users, sessions and demographics. Columns named
# metadata.* stand among the others (classification, gender and boarding of an org, duration of a course): they are read
# past wherever they stand.
#
# Where sources differ, or 1.0 asks for less than the records need, the strict reading is taken:
# - An org is a school, local, state or national; districts and departments came with 1.1 (reported once).
# - A class needs its course and a course its org, optional in 1.0: both are required in 1.1 and 1.2 (derived).
# - Demographics need no value but the id: 1.0 asks for nearly all of them, which would make a school collect more.
# - "Female" and "Male" are the words of the field list; lower case stands in one sample and needs `value-case`.
# - A grade is "9" or a range "9-12" in the words of the field list; the words of 1.1 are understood too (derived).
# - userId is one identifier without a type: it becomes a user id of the type userId (derived).
# - A row may say that it is active, inactive or tobedeleted: one that is gone is taken as if it were not there
#   (derived: what is not in a bulk file of 1.1 is gone).
# - A school year is not said: academic sessions have none. Nor is it said whether an account is switched on: that of a
#   person who is delivered, and not as gone, is (derived).
_STATUS_1P0 = (
    _col("status", "@live", "word", words_=words.STATUSES_1P1),
    _col("dateLastModified", None, "passed"),
)
_HEAD_1P0 = (_HEAD[0], *_STATUS_1P0)
_GRADE = _col("grade", "grades", "grade", effect="value")

_ORGS_1P0 = (
    _col("name", "name", need=True),
    _col("type", "type", "word", need=True, words_=words.ORG_TYPES_1P0),
    _col("identifier", "identifier"),
    _col("parentSourcedId", "parent", "id"),
)
_SESSIONS_1P0 = (
    _col("title", "title", need=True),
    _col("type", "type", "word", need=True, words_=words.SESSION_TYPES),
    _col("startDate", "start_date", "date", need=True),
    _col("endDate", "end_date", "date", need=True),
    _col("parentSourcedId", "parent", "id"),
)
_COURSES_1P0 = (
    _col("schoolYearId", "school_year", "id"),
    _col("title", "title", need=True),
    _col("courseCode", "course_code"),
    _GRADE,
    _col("orgSourcedId", "org", "id", need=True),
    _col("subjects", "subjects", "texts"),
)
_USERS_1P0 = (
    _col("orgSourcedIds", "@orgs", "ids", need=True),
    _col("role", "@role", "word", need=True, words_=words.USER_ROLES_1P0),
    _col("username", "username", need=True),
    _col("userId", "user_ids", "user_id", effect="value"),
    _col("givenName", "given_name", need=True),
    _col("familyName", "family_name", need=True),
    _col("identifier", "identifier"),
    _col("email", "email"),
    _col("sms", "sms"),
    _col("phone", "phone"),
    _col("agents", "agents", "ids"),
)
_CLASSES_1P0 = (
    _col("title", "title", need=True),
    _GRADE,
    _col("courseSourcedId", "course", "id", need=True),
    _col("classCode", "class_code"),
    _col("classType", "class_type", "word", need=True, words_=words.CLASS_TYPES),
    _col("location", "location"),
    _col("schoolSourcedId", "org", "id", need=True),
    _col("termSourcedId", "terms", "ids", need=True),
    _col("subjects", "subjects", "texts"),
)
_ENROLLMENTS_1P0 = (
    _HEAD[0],
    _col("classSourcedId", "class", "id", need=True),
    _col("schoolSourcedId", "org", "id", need=True),
    _col("userSourcedId", "user", "id", need=True),
    _col("role", "role", "word", need=True, words_=words.USER_ROLES_1P0),
    *_STATUS_1P0,
    _col("primary", "primary", "bool"),
)
_DEMOGRAPHICS_1P0 = (
    _col("userSourcedId", "sourced_id", "id", need=True),
    *_STATUS_1P0,
    _col("birthdate", "birth_date", "date"),
    _col("sex", "sex", "sex", words_=words.SEXES_1P0, effect="value"),
    *_DEMOGRAPHICS[2:],
)
FILES_1P0: tuple[File, ...] = (
    ("orgs.csv", "org", (*_HEAD_1P0, *_ORGS_1P0)),
    ("academicSessions.csv", "session", (*_HEAD_1P0, *_SESSIONS_1P0)),
    ("courses.csv", "course", (*_HEAD_1P0, *_COURSES_1P0)),
    ("users.csv", "user", (*_HEAD_1P0, *_USERS_1P0)),
    ("classes.csv", "class", (*_HEAD_1P0, *_CLASSES_1P0)),
    ("enrollments.csv", "enrollment", _ENROLLMENTS_1P0),
    ("demographics.csv", "demographics", _DEMOGRAPHICS_1P0),
)


def head(columns: tuple[CsvColumn, ...]) -> tuple[CsvColumn, ...]:
    """Return the columns of a file, those that every file begins with before them."""
    return (*_HEAD, *columns)
