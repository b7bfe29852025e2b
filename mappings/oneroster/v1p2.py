"""OneRoster 1.2 rostering over REST: what each object's members are, and where each comes from.

Each field names its element, the stored column, and the shape the value takes on the wire; bulk pages are
assembled from these very declarations. Names and requirements follow the official OpenAPI document
(onerosterv1p2rostersservice_openapi3_v1p0): booleans are strings, references are objects with href.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from marshmallow import Schema, fields, validate

from mappings.elements import element
from mappings.fields import carries

BASE = "/ims/oneroster/rostering/v1p2"
_BINDING = "oneroster_1p2_rest"
_FLAG = validate.OneOf(["true", "false"])


@carries(_BINDING, "OrgGUIDRef")
class GuidRef(Schema):
    """A reference to another object: of whichever kind, its fields are the same."""

    href = fields.String(required=True, metadata=element("record.alias"))
    sourcedId = fields.String(required=True, metadata=element("record.alias"))  # noqa: N815
    type = fields.String(required=True, metadata=element("record.alias"))


@carries(_BINDING, "UserId")
class UserId(Schema):
    type = fields.String(required=True, metadata=element("person.identifiers"))
    identifier = fields.String(required=True, metadata=element("person.identifiers"))


@carries(_BINDING, "Role")
class Role(Schema):
    roleType = fields.String(required=True, metadata=element("person.role"))  # noqa: N815
    role = fields.String(required=True, metadata=element("person.role"))
    org = fields.Nested(GuidRef, required=True, metadata=element("person.role"))
    beginDate = fields.String(metadata=element("person.role"))  # noqa: N815
    endDate = fields.String(metadata=element("person.role"))  # noqa: N815


def _text(name: str, column: str, *, required: bool = False) -> fields.String:
    return fields.String(required=required, metadata=element(name, column=column, shape="text"))


def _texts(name: str, column: str) -> fields.List[str]:
    return fields.List(fields.String(), metadata=element(name, column=column, shape="texts"))


def _flag(name: str, column: str, *, required: bool = False) -> fields.String:
    return fields.String(required=required, validate=_FLAG, metadata=element(name, column=column, shape="flag"))


def _day(name: str, column: str, *, required: bool = False) -> fields.String:
    return fields.String(required=required, metadata=element(name, column=column, shape="day"))


def _ref(name: str, column: str, kind: str, *, required: bool = False) -> fields.Nested:
    return fields.Nested(GuidRef, required=required, metadata=element(name, column=column, shape="ref", kind=kind))


def _refs(name: str, column: str, kind: str, *, required: bool = False) -> fields.List[GuidRef]:
    nested = fields.Nested(GuidRef)
    return fields.List(nested, required=required, metadata=element(name, column=column, shape="refs", kind=kind))


class _Record(Schema):
    """What every object has."""

    sourcedId = fields.String(  # noqa: N815
        required=True, metadata=element("record.alias", column="sourced_id", shape="id")
    )
    status = fields.String(required=True, metadata=element("record.version", column="status", shape="status"))
    dateLastModified = fields.String(  # noqa: N815
        required=True, metadata=element("record.version", column="modified", shape="moment")
    )


@carries(_BINDING, "User")
class User(_Record):
    enabledUser = _flag("person.enabled", "enabled", required=True)  # noqa: N815
    givenName = _text("person.name.given", "given_name", required=True)  # noqa: N815
    familyName = _text("person.name.family", "family_name", required=True)  # noqa: N815
    middleName = _text("person.name.middle", "middle_name")  # noqa: N815
    preferredFirstName = _text("person.name.preferred", "preferred_given")  # noqa: N815
    preferredMiddleName = _text("person.name.preferred", "preferred_middle")  # noqa: N815
    preferredLastName = _text("person.name.preferred", "preferred_family")  # noqa: N815
    pronouns = _text("person.pronouns", "pronouns")
    username = _text("person.username", "username")
    identifier = _text("person.identifier", "identifier")
    userMasterIdentifier = _text("person.identifiers", "master_identifier")  # noqa: N815
    userIds = fields.List(  # noqa: N815
        fields.Nested(UserId), metadata=element("person.identifiers", column="user_ids", shape="user_ids")
    )
    email = _text("person.email", "email")
    sms = _text("person.phone", "sms")
    phone = _text("person.phone", "phone")
    grades = _texts("person.grade", "grades")
    agents = _refs("person.guardians", "agents", "user")
    primaryOrg = _ref("person.role", "primary_org", "org")  # noqa: N815
    roles = fields.List(
        fields.Nested(Role), required=True, metadata=element("person.role", column="roles", shape="roles")
    )


@carries(_BINDING, "Class")
class Class(_Record):
    title = _text("class.section", "title", required=True)
    classCode = _text("class.section", "class_code")  # noqa: N815
    classType = _text("class.section", "class_type")  # noqa: N815
    location = _text("class.section", "location")
    grades = _texts("class.section", "grades")
    subjects = _texts("class.section", "subjects")
    course = _ref("class.section", "course", "course", required=True)
    school = _ref("class.section", "org", "org", required=True)
    terms = _refs("class.section", "terms", "session", required=True)
    subjectCodes = _texts("class.section", "subject_codes")  # noqa: N815
    periods = _texts("class.section", "periods")


@carries(_BINDING, "Enrollment")
class Enrollment(_Record):
    user = _ref("enrollment.membership", "user", "user", required=True)
    class_ = fields.Nested(
        GuidRef, data_key="class", required=True,
        metadata=element("enrollment.membership", column="class", shape="ref", kind="class"),
    )  # fmt: skip
    school = _ref("enrollment.membership", "org", "org", required=True)
    role = _text("enrollment.membership", "role", required=True)
    primary = _flag("enrollment.membership", "primary")
    beginDate = _day("enrollment.dates", "begin_date")  # noqa: N815
    endDate = _day("enrollment.dates", "end_date")  # noqa: N815


@carries(_BINDING, "Demographics")
class Demographics(_Record):
    birthDate = _day("demographics.birth_date", "birth_date")  # noqa: N815
    sex = _text("demographics.sex", "sex")
    americanIndianOrAlaskaNative = _flag("demographics.race", "american_indian")  # noqa: N815
    asian = _flag("demographics.race", "asian")
    blackOrAfricanAmerican = _flag("demographics.race", "black")  # noqa: N815
    nativeHawaiianOrOtherPacificIslander = _flag("demographics.race", "pacific_islander")  # noqa: N815
    white = _flag("demographics.race", "white")
    demographicRaceTwoOrMoreRaces = _flag("demographics.race", "two_or_more_races")  # noqa: N815
    hispanicOrLatinoEthnicity = _flag("demographics.race", "hispanic")  # noqa: N815
    countryOfBirthCode = _text("demographics.birth_place", "birth_country")  # noqa: N815
    stateOfBirthAbbreviation = _text("demographics.birth_place", "birth_state")  # noqa: N815
    cityOfBirth = _text("demographics.birth_place", "birth_city")  # noqa: N815
    publicSchoolResidenceStatus = _text("demographics.residence", "residence_status")  # noqa: N815


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection operation and its single: path, the kind and rows it reads, the members of its answers."""

    path: str
    operation_id: str
    kind: str
    member: str
    single_id: str
    single: str
    schema: type[Schema]
    only: str = ""
    demographics: bool = False


COLLECTIONS = MappingProxyType(
    {
        c.path: c
        for c in (
            Collection("students", "getAllStudents", "user", "users", "getStudent", "user", User, only="student"),
            Collection("classes", "getAllClasses", "class", "classes", "getClass", "class", Class),
            Collection("enrollments", "getAllEnrollments", "enrollment", "enrollments", "getEnrollment", "enrollment",
                       Enrollment),
            Collection("demographics", "getAllDemographics", "demographics", "demographics", "getDemographics",
                       "demographics", Demographics, demographics=True),
        )
    }
)  # fmt: skip

# Where the objects of each kind live, and what a reference to one is called.
PLACES = MappingProxyType(
    {
        "org": ("orgs", "org"),
        "session": ("academicSessions", "academicSession"),
        "course": ("courses", "course"),
        "class": ("classes", "class"),
        "user": ("users", "user"),
        "enrollment": ("enrollments", "enrollment"),
        "demographics": ("demographics", "demographics"),
    }
)
