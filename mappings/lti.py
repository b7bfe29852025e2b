"""NRPS members and AGS scores, to and from our nouns. The messages of a launch are in `lti_messages`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from mappings.elements import element
from mappings.fields import carries
from mappings.text import Id, JsonObject, Text
from mappings.vocabulary import member_status, role_uri

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
SCOPE_SCORE = "https://purl.imsglobal.org/spec/lti-ags/scope/score"
SCOPE_RESULT = "https://purl.imsglobal.org/spec/lti-ags/scope/result.readonly"
SCOPE_LINE_ITEM = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem"
SCOPE_LINE_ITEM_READ = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem.readonly"
SCOPE_MEMBERS = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"

_ID = validate.Length(1, 255)


class _Open(Schema):
    """An object of a platform: what it must hold is checked, what it may hold besides is passed by."""

    class Meta:
        unknown = EXCLUDE


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


@carries("lti_nrps", "GroupEnrollment")
class GroupEnrollmentSchema(_Open):
    """One group that a member is in (Course Groups 1.0)."""

    group_id = Id(required=True, validate=_ID, metadata=element("enrollment.group"))


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
    group_enrollments = fields.List(
        fields.Nested(GroupEnrollmentSchema), allow_none=True, metadata=element("enrollment.group")
    )
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


@carries("lti_ags", "NewSubmission")
class NewSubmissionSchema(Schema):
    """Whether a score is an attempt of its own (Canvas, Score API): unsaid it is, handed in when the score comes."""

    new_submission = fields.Boolean(metadata=element("result.progress"))


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
    attempt = fields.Nested(
        NewSubmissionSchema, data_key="https://canvas.instructure.com/lti/submission",
        metadata=element("result.progress"),
    )  # fmt: skip


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
    started_at: datetime | None = None, submitted_at: datetime | None = None, no_attempt: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Return a final, fully graded score in AGS's words. `scorer` is the LMS user who gave it; what is not said is
    not in it, and a comment that is not in it is cleared there (AGS 2.0, section 3.4.6). `no_attempt` says to an LMS
    that makes an attempt of each score that this is none: else work is late, and attempts run out."""
    times = {"startedAt": started_at, "submittedAt": submitted_at}
    submission = {name: stamp(at) for name, at in times.items() if at}
    said = {"comment": comment, "scoringUserId": scorer, "submission": submission}
    said["attempt"] = {"new_submission": False} if no_attempt else {}
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
