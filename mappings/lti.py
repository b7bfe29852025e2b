"""NRPS members and AGS scores, to and from our nouns. The messages of a launch are in `lti_messages`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from mappings.elements import element
from mappings.fields import carries
from mappings.text import Text

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


@carries("lti_nrps", "Member")
class MemberSchema(_Open):
    """A member of a course (NRPS 2.0, section 2.2)."""

    user_id = Text(required=True, validate=_ID, metadata=element("person.lti_subject"))
    roles = fields.List(Text(), load_default=list, metadata=element("person.role"))
    status = Text(load_default="Active", metadata=element("person.enabled"))
    lis_person_sourcedid = Text(allow_none=True, metadata=element("record.source_id"))
    name = Text(allow_none=True, metadata=element("person.name.full"))
    given_name = Text(allow_none=True, metadata=element("person.name.given"))
    family_name = Text(allow_none=True, metadata=element("person.name.family"))
    email = Text(allow_none=True, metadata=element("person.email"))


@carries("lti_nrps", "MembershipContainer")
class MemberPageSchema(_Open):
    """One page of a course's membership."""

    members = fields.List(fields.Nested(MemberSchema), required=True, metadata=element("enrollment.membership"))


def read_members(page: Any) -> list[dict[str, Any]]:
    """Return the members of one page. Raises ValueError when it is not one."""
    try:
        loaded: dict[str, Any] = MemberPageSchema().load(page)
    except ValidationError as error:
        raise ValueError(f"not a membership page: {sorted(error.messages_dict)}") from error
    members: list[dict[str, Any]] = loaded["members"]
    return members


# --- AGS 2.0 ---------------------------------------------------------------------------------------


@carries("lti_ags", "Score")
class ScoreSchema(Schema):
    """A score as it leaves (AGS 2.0, section 3.4). Comments have no way out by default."""

    userId = fields.String(required=True, metadata=element("person.lti_subject"))  # noqa: N815
    scoreGiven = fields.Float(metadata=element("result.score"))  # noqa: N815
    scoreMaximum = fields.Float(metadata=element("result.score"))  # noqa: N815
    activityProgress = fields.String(required=True, metadata=element("result.progress"))  # noqa: N815
    gradingProgress = fields.String(required=True, metadata=element("result.progress"))  # noqa: N815
    timestamp = fields.String(required=True, metadata=element("result.time"))
    comment = fields.String(metadata=element("result.comment"))


@carries("lti_ags", "Result")
class ResultSchema(_Open):
    """A result as a platform keeps it (AGS 2.0, section 3.5)."""

    userId = fields.String(required=True, metadata=element("person.lti_subject"))  # noqa: N815
    resultScore = fields.Float(allow_none=True, metadata=element("result.score"))  # noqa: N815
    resultMaximum = fields.Float(allow_none=True, metadata=element("result.score"))  # noqa: N815


def score(sub: str, points: float, maximum: float, given_at: datetime) -> dict[str, Any]:
    """Return a final, fully graded score in AGS's words; `given_at` keeps its milliseconds."""
    stamp = given_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{given_at.microsecond // 1000:03d}Z"
    return {
        "userId": sub, "scoreGiven": float(points), "scoreMaximum": float(maximum), "timestamp": stamp,
        "activityProgress": "Completed", "gradingProgress": "FullyGraded",
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
