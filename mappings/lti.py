"""LTI 1.3 messages, NRPS members and AGS scores, to and from our nouns.

The claim schema is strict where LTI Core 1.3 says what a claim is, and open to claims it does not know. Each
claim has the refusal code that a wrong value of it gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from mappings.elements import element
from mappings.fields import carries
from mappings.text import Address, JsonObject, Text
from mappings.vocabulary import member_status, role_uri

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
AGS = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"
RESOURCE_LINK_REQUEST = "LtiResourceLinkRequest"
VERSION = "1.3.0"

SCOPE_SCORE = "https://purl.imsglobal.org/spec/lti-ags/scope/score"
SCOPE_RESULT = "https://purl.imsglobal.org/spec/lti-ags/scope/result.readonly"
SCOPE_LINE_ITEM = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem"
SCOPE_LINE_ITEM_READ = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem.readonly"
SCOPE_MEMBERS = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"

_ID = validate.Length(1, 255)


class _Open(Schema):
    """A claim object: what it must hold is checked, what it may hold besides is passed by."""

    class Meta:
        unknown = EXCLUDE


@carries("lti_launch", "Context")
class ContextSchema(_Open):
    id = Text(required=True, validate=_ID, metadata=element("launch.context"))
    label = Text(allow_none=True, metadata=element("launch.context"))
    title = Text(allow_none=True, metadata=element("launch.context"))
    type = fields.List(Text(), metadata=element("launch.context"))


@carries("lti_launch", "ResourceLink")
class ResourceLinkSchema(_Open):
    id = Text(required=True, validate=_ID, metadata=element("launch.context"))
    title = Text(allow_none=True, metadata=element("launch.context"))
    description = Text(allow_none=True, metadata=element("launch.context"))


@carries("lti_launch", "LaunchPresentation")
class PresentationSchema(_Open):
    return_url = Address(allow_none=True, metadata=element("launch.context"))
    locale = Text(allow_none=True, metadata=element("person.locale"))
    document_target = Text(allow_none=True, metadata=element("launch.context"))


@carries("lti_launch", "Lis")
class LisSchema(_Open):
    person_sourcedid = Text(allow_none=True, metadata=element("record.source_id"))
    course_section_sourcedid = Text(allow_none=True, metadata=element("launch.context"))


@carries("lti_launch", "GradeService")
class AgsSchema(_Open):
    scope = fields.List(Text(), required=True, metadata=element("launch.context"))
    lineitems = Address(allow_none=True, metadata=element("launch.context"))
    lineitem = Address(allow_none=True, metadata=element("launch.context"))


@carries("lti_launch", "MemberService")
class NrpsSchema(_Open):
    context_memberships_url = Address(required=True, metadata=element("launch.context"))
    service_versions = fields.List(Text(), metadata=element("launch.context"))


@carries("lti_launch", "Launch")
class LaunchSchema(_Open):
    """The claims of a resource link launch (LTI Core 1.3, section 5.3 and 5.4)."""

    version = Text(
        data_key=CLAIM + "version",
        required=True,
        validate=validate.Equal(VERSION),
        metadata=element("launch.context"),
    )
    message_type = Text(
        data_key=CLAIM + "message_type", required=True, validate=validate.Equal(RESOURCE_LINK_REQUEST),
        metadata=element("launch.context"),
    )  # fmt: skip
    deployment_id = Text(
        data_key=CLAIM + "deployment_id", required=True, validate=_ID, metadata=element("launch.context")
    )
    target_link_uri = Text(data_key=CLAIM + "target_link_uri", required=True, metadata=element("launch.context"))
    roles = fields.List(Text(), data_key=CLAIM + "roles", required=True, metadata=element("person.role"))
    resource_link = fields.Nested(
        ResourceLinkSchema, data_key=CLAIM + "resource_link", required=True, metadata=element("launch.context")
    )
    sub = Text(
        required=True, metadata=element("person.lti_subject"),
        validate=[_ID, validate.Predicate("isascii", error="not ASCII")],
    )  # fmt: skip
    context = fields.Nested(ContextSchema, data_key=CLAIM + "context", metadata=element("launch.context"))
    lis = fields.Nested(LisSchema, data_key=CLAIM + "lis", metadata=element("record.source_id"))
    custom = JsonObject(data_key=CLAIM + "custom", metadata=element("launch.custom"))
    presentation = fields.Nested(
        PresentationSchema, data_key=CLAIM + "launch_presentation", metadata=element("launch.context")
    )
    ags = fields.Nested(AgsSchema, data_key=AGS, metadata=element("launch.context"))
    nrps = fields.Nested(NrpsSchema, data_key=NRPS, metadata=element("launch.context"))
    jti = Text(metadata=element("launch.proof"))
    name = Text(allow_none=True, metadata=element("person.name.full"))
    given_name = Text(allow_none=True, metadata=element("person.name.given"))
    family_name = Text(allow_none=True, metadata=element("person.name.family"))
    email = Text(allow_none=True, metadata=element("person.email"))

    @validates_schema
    def _roles_are_strings(self, data: Mapping[str, Any], **_more: Any) -> None:
        if any(len(role) > 2048 for role in data.get("roles", ())):
            raise ValidationError("a role is too long", CLAIM + "roles")


# The refusal of a wrong claim, in the order in which they are reported (LV-22 to LV-31).
CLAIM_CODES = MappingProxyType(
    {
        CLAIM + "version": "LTI_VERSION",
        CLAIM + "message_type": "LTI_MESSAGE_TYPE",
        CLAIM + "deployment_id": "LTI_DEPLOYMENT",
        CLAIM + "target_link_uri": "LTI_TARGET_LINK_URI",
        CLAIM + "roles": "LTI_ROLES",
        CLAIM + "resource_link": "LTI_RESOURCE_LINK",
        "sub": "LTI_SUB",
        CLAIM + "context": "LTI_CONTEXT",
        AGS: "LTI_SERVICE_URL",
        NRPS: "LTI_SERVICE_URL",
    }
)
OTHER_CLAIM_CODE = "LTI_CLAIM"

_SCHEMA = LaunchSchema()


def read_launch(claims: Mapping[str, Any]) -> tuple[dict[str, Any], str, str]:
    """Return (claims by our names, code, claim); the code is empty when the message is sound."""
    try:
        loaded: dict[str, Any] = _SCHEMA.load(claims)
    except ValidationError as error:
        wrong = set(error.messages_dict)
        for claim, code in CLAIM_CODES.items():
            if claim in wrong:
                return {}, code, claim
        return {}, OTHER_CLAIM_CODE, min(wrong)
    return loaded, "", ""


def said(value: Any) -> str | None:
    """Return a claim's text; platforms send empty strings and unresolved variables for nothing (`$Var`)."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = str(value).strip()
    return None if not text or text.startswith("$") or (text[0] == "{" and text[-1] == "}") else text


# --- NRPS 2.0 --------------------------------------------------------------------------------------


@carries("lti_nrps", "Message")
class MessageSchema(_Open):
    """What a launch of one resource link by this member would carry (NRPS 2.0, section 2.4.5)."""

    message_type = Text(data_key=CLAIM + "message_type", allow_none=True, metadata=element("launch.context"))
    custom = JsonObject(data_key=CLAIM + "custom", allow_none=True, metadata=element("launch.custom"))
    locale = Text(allow_none=True, metadata=element("person.locale"))


@carries("lti_nrps", "Member")
class MemberSchema(_Open):
    """A member of a course (NRPS 2.0, section 2.2)."""

    user_id = Text(required=True, validate=_ID, metadata=element("person.lti_subject"))
    roles = fields.List(Text(), load_default=list, metadata=element("person.role"))
    status = Text(load_default=None, allow_none=True, metadata=element("person.enabled"))
    lis_person_sourcedid = Text(allow_none=True, metadata=element("record.source_id"))
    name = Text(allow_none=True, metadata=element("person.name.full"))
    given_name = Text(allow_none=True, metadata=element("person.name.given"))
    family_name = Text(allow_none=True, metadata=element("person.name.family"))
    email = Text(allow_none=True, metadata=element("person.email"))
    message = fields.List(fields.Nested(MessageSchema), allow_none=True, metadata=element("launch.custom"))


@carries("lti_nrps", "MembershipContainer")
class MemberPageSchema(_Open):
    """One page of a course's membership."""

    members = fields.List(fields.Nested(MemberSchema), required=True, metadata=element("enrollment.membership"))


def read_members(page: Any) -> list[dict[str, Any]]:
    """Return the members of one page, roles and statuses in the standard's spelling. Raises ValueError when it is
    not one."""
    try:
        loaded: dict[str, Any] = MemberPageSchema().load(page)
    except ValidationError as error:
        raise ValueError(f"not a membership page: {sorted(error.messages_dict)}") from error
    return [
        member | {"roles": [role_uri(r) for r in member["roles"]], "status": member_status(member["status"])}
        for member in loaded["members"]
    ]


def has_role(member: Mapping[str, Any], role: str) -> bool:
    """Whether a member that was read has this role, in whatever spelling it is asked for."""
    return role_uri(role) in member["roles"]


# --- AGS 2.0 ---------------------------------------------------------------------------------------


class _Said(Text):
    """A text that platforms send as "" where there is none."""

    def deserialize(self, value: Any, *where: Any, **more: Any) -> Any:
        return super().deserialize(None if value == "" else value, *where, **more)


@carries("lti_ags", "LineItem")
class LineItemSchema(_Open):
    """A column of a gradebook (AGS 2.0, section 3.2); its id is its address."""

    id = Text(required=True, validate=validate.Length(1), metadata=element("activity.column"))
    label = _Said(load_default=None, allow_none=True, metadata=element("activity.title"))
    scoreMaximum = fields.Float(load_default=None, allow_none=True, metadata=element("activity.title"))  # noqa: N815
    resourceId = _Said(allow_none=True, metadata=element("activity.column"))  # noqa: N815
    resourceLinkId = _Said(allow_none=True, metadata=element("activity.column"))  # noqa: N815
    tag = _Said(allow_none=True, metadata=element("activity.column"))
    startDateTime = _Said(allow_none=True, metadata=element("activity.dates"))  # noqa: N815
    endDateTime = _Said(allow_none=True, metadata=element("activity.dates"))  # noqa: N815
    gradesReleased = fields.Boolean(allow_none=True, metadata=element("activity.column"))  # noqa: N815
    submissionReview = JsonObject(allow_none=True, metadata=element("activity.column"))  # noqa: N815


def read_line_items(page: Any) -> list[dict[str, Any]]:
    """Return the line items of one page, without what is empty. Raises ValueError when it is not a list of them."""
    try:
        loaded: list[dict[str, Any]] = LineItemSchema(many=True).load(page)
    except ValidationError as error:
        raise ValueError("not a list of line items") from error
    return [{name: value for name, value in item.items() if value is not None} for item in loaded]


def read_line_item(body: Any) -> dict[str, Any]:
    """Return one line item, without what is empty. Raises ValueError when it is none."""
    (item,) = read_line_items([body])
    return item


@carries("lti_ags", "Submission")
class SubmissionSchema(Schema):
    """When the work was begun and handed in: what late work is judged by, not when its score travels."""

    startedAt = fields.String(metadata=element("result.submission"))  # noqa: N815
    submittedAt = fields.String(metadata=element("result.submission"))  # noqa: N815


ACTIVITY_PROGRESS = ("Initialized", "Started", "InProgress", "Submitted", "Completed")
GRADING_PROGRESS = ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")


@carries("lti_ags", "Score")
class ScoreSchema(Schema):
    """A score as it leaves (AGS 2.0, section 3.4). Comments have no way out by default."""

    userId = fields.String(required=True, metadata=element("person.lti_subject"))  # noqa: N815
    scoreGiven = fields.Float(metadata=element("result.score"))  # noqa: N815
    scoreMaximum = fields.Float(metadata=element("result.score"))  # noqa: N815
    activityProgress = fields.String(  # noqa: N815
        required=True, validate=validate.OneOf(ACTIVITY_PROGRESS), metadata=element("result.progress")
    )
    gradingProgress = fields.String(  # noqa: N815
        required=True, validate=validate.OneOf(GRADING_PROGRESS), metadata=element("result.progress")
    )
    timestamp = fields.String(required=True, metadata=element("result.time"))
    comment = fields.String(metadata=element("result.comment"))
    scoringUserId = fields.String(metadata=element("result.grader"))  # noqa: N815
    submission = fields.Nested(SubmissionSchema, metadata=element("result.submission"))


@carries("lti_ags", "Result")
class ResultSchema(_Open):
    """A result as a platform keeps it (AGS 2.0, section 3.5)."""

    userId = fields.String(required=True, metadata=element("person.lti_subject"))  # noqa: N815
    resultScore = fields.Float(allow_none=True, metadata=element("result.score"))  # noqa: N815
    resultMaximum = fields.Float(allow_none=True, metadata=element("result.score"))  # noqa: N815


def stamp(at: datetime) -> str:
    """Return a time as AGS writes it, with its milliseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def score(
    sub: str, points: float, maximum: float, given_at: datetime, *, comment: str = "", scorer: str = "",
    started_at: datetime | None = None, submitted_at: datetime | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return a final, fully graded score in AGS's words. `scorer` is the LMS user who gave it; what is not said is
    not in it, and a comment that is not in it is cleared there (AGS 2.0, section 3.4.6)."""
    times = {"startedAt": started_at, "submittedAt": submitted_at}
    submission = {name: stamp(at) for name, at in times.items() if at}
    said = {"comment": comment, "scoringUserId": scorer, "submission": submission}
    return {
        "userId": sub, "scoreGiven": float(points), "scoreMaximum": float(maximum), "timestamp": stamp(given_at),
        "activityProgress": "Completed", "gradingProgress": "FullyGraded",
    } | {name: value for name, value in said.items() if value}  # fmt: skip


def no_score(sub: str, at: datetime) -> dict[str, Any]:
    """Return what takes a score away again: no points, begun and not ready (AGS 2.0, section 3.4.1)."""
    return {
        "userId": sub, "timestamp": stamp(at), "activityProgress": "Initialized", "gradingProgress": "NotReady"
    }  # fmt: skip


def read_results(page: Any) -> list[dict[str, Any]]:
    """Return the results of one page. Raises ValueError when it is not a list of results."""
    try:
        loaded: list[dict[str, Any]] = ResultSchema(many=True).load(page)
    except ValidationError as error:
        raise ValueError("not a list of results") from error
    return loaded


def same_score(result: Mapping[str, Any], points: float, maximum: float) -> bool:
    """Whether a result equals what was sent; platforms rescale to the line item and round to 0.001."""
    if result.get("resultScore") is None:
        return False
    kept_maximum = float(result.get("resultMaximum") or maximum)
    if kept_maximum <= 0 or maximum <= 0:
        return False
    return abs(float(result["resultScore"]) / kept_maximum - points / maximum) < 0.001
