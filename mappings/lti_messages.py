"""The messages of a launch, LTI 1.3, to our nouns: resource links, deep linking, submission review, data privacy.

The claim schema is strict where the specification says what a claim is, and open to claims it does not know. Each
claim has the refusal code that a wrong value of it gets.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from mappings.elements import element
from mappings.fields import carries
from mappings.lti import CLAIM, _Open
from mappings.text import Address, JsonObject, Opaque, Repeated, Text

AGS = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"
GROUPS = "https://purl.imsglobal.org/spec/lti-gs/claim/groupsservice"
NOTICES = CLAIM + "platformnotificationservice"
DEEP_LINKING = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"
VERSION = "1.3.0"
RESOURCE_LINK_REQUEST, DEEP_LINKING_REQUEST = "LtiResourceLinkRequest", "LtiDeepLinkingRequest"

_ID = validate.Length(1, 255)
_CONTEXT = element("launch.context")


@carries("lti_launch", "Context")
class ContextSchema(_Open):
    id = Text(required=True, validate=_ID, metadata=_CONTEXT)
    label = Text(allow_none=True, metadata=_CONTEXT)
    title = Text(allow_none=True, metadata=_CONTEXT)
    type = fields.List(Text(), metadata=_CONTEXT)


@carries("lti_launch", "ResourceLink")
class ResourceLinkSchema(_Open):
    id = Text(required=True, validate=_ID, metadata=_CONTEXT)
    title = Text(allow_none=True, metadata=_CONTEXT)
    description = Text(allow_none=True, metadata=_CONTEXT)


@carries("lti_launch", "LaunchPresentation")
class PresentationSchema(_Open):
    return_url = Address(allow_none=True, metadata=_CONTEXT)
    locale = Text(allow_none=True, metadata=element("person.locale"))
    document_target = Text(allow_none=True, metadata=_CONTEXT)


@carries("lti_launch", "Lis")
class LisSchema(_Open):
    person_sourcedid = Text(allow_none=True, metadata=element("record.source_id"))
    course_section_sourcedid = Text(allow_none=True, metadata=_CONTEXT)


@carries("lti_launch", "GradeService")
class AgsSchema(_Open):
    scope = fields.List(Text(), required=True, metadata=_CONTEXT)
    lineitems = Address(allow_none=True, metadata=_CONTEXT)
    lineitem = Address(allow_none=True, metadata=_CONTEXT)


@carries("lti_launch", "MemberService")
class NrpsSchema(_Open):
    context_memberships_url = Address(required=True, metadata=_CONTEXT)
    service_versions = fields.List(Text(), metadata=_CONTEXT)


@carries("lti_launch", "GroupService")
class GroupServiceSchema(_Open):
    """Where a platform lists the groups of a course (Course Groups 1.0)."""

    scope = fields.List(Text(), required=True, metadata=_CONTEXT)
    context_groups_url = Address(required=True, metadata=_CONTEXT)
    context_group_sets_url = Address(allow_none=True, metadata=_CONTEXT)
    service_versions = fields.List(Text(), metadata=_CONTEXT)


@carries("lti_launch", "Lti1p1")
class Lti1p1Schema(_Open):
    """What a person was called in LTI 1.1, and a signature made with its secret (LTI 1.3 migration guide)."""

    user_id = Text(allow_none=True, metadata=element("person.lti_subject"))
    oauth_consumer_key = Text(allow_none=True, metadata=element("launch.proof"))
    oauth_consumer_key_sign = Text(allow_none=True, metadata=element("launch.proof"))


@carries("lti_launch", "NoticeService")
class NoticeServiceSchema(_Open):
    """Where a platform takes our word for which notices to send, and where to (Platform Notification Service 1.0)."""

    platform_notification_service_url = Address(required=True, metadata=_CONTEXT)
    scope = fields.List(Text(), required=True, metadata=_CONTEXT)
    notice_types_supported = fields.List(Text(), required=True, metadata=_CONTEXT)
    service_versions = fields.List(Text(), metadata=_CONTEXT)


@carries("lti_launch", "ForUser")
class ForUserSchema(_Open):
    """Whose work or data a launch is about; what it says beside the id is not read."""

    user_id = Text(required=True, validate=_ID, metadata=element("person.lti_subject"))


@carries("lti_launch", "DeepLinkingSettings")
class DeepLinkingSchema(_Open):
    """What a platform takes back from a picker (Deep Linking 2.0, section 4.4.1). `data` is echoed as it came."""

    deep_link_return_url = Address(required=True, metadata=_CONTEXT)
    accept_types = fields.List(Text(), required=True, validate=validate.Length(min=1), metadata=_CONTEXT)
    accept_presentation_document_targets = fields.List(Text(), required=True, metadata=_CONTEXT)
    accept_media_types = Text(allow_none=True, metadata=_CONTEXT)
    accept_multiple = fields.Boolean(load_default=False, metadata=_CONTEXT)
    accept_lineitem = fields.Boolean(load_default=None, allow_none=True, metadata=_CONTEXT)
    data = Opaque(metadata=_CONTEXT)


@carries("lti_launch", "Launch")
class MessageSchema(_Open):
    """The claims that every message has (LTI Core 1.3, section 5.3 and 5.4)."""

    version = Text(data_key=CLAIM + "version", required=True, validate=validate.Equal(VERSION), metadata=_CONTEXT)
    message_type = Text(data_key=CLAIM + "message_type", required=True, metadata=_CONTEXT)
    deployment_id = Text(data_key=CLAIM + "deployment_id", required=True, validate=_ID, metadata=_CONTEXT)
    target_link_uri = Text(data_key=CLAIM + "target_link_uri", required=True, metadata=_CONTEXT)
    roles = fields.List(Text(), data_key=CLAIM + "roles", required=True, metadata=element("person.role"))
    sub = Text(
        required=True, metadata=element("person.lti_subject"),
        validate=[_ID, validate.Predicate("isascii", error="not ASCII")],
    )  # fmt: skip
    context = Repeated(ContextSchema, data_key=CLAIM + "context", metadata=_CONTEXT)
    lis = fields.Nested(LisSchema, data_key=CLAIM + "lis", metadata=element("record.source_id"))
    custom = JsonObject(data_key=CLAIM + "custom", metadata=element("launch.custom"))
    presentation = fields.Nested(PresentationSchema, data_key=CLAIM + "launch_presentation", metadata=_CONTEXT)
    ags = Repeated(AgsSchema, data_key=AGS, metadata=_CONTEXT)
    nrps = Repeated(NrpsSchema, data_key=NRPS, metadata=_CONTEXT)
    groups = Repeated(GroupServiceSchema, data_key=GROUPS, metadata=_CONTEXT)
    lti1p1 = fields.Nested(
        Lti1p1Schema, data_key=CLAIM + "lti1p1", allow_none=True, metadata=element("person.lti_subject")
    )
    notices = Repeated(NoticeServiceSchema, data_key=NOTICES, metadata=_CONTEXT)
    jti = Text(metadata=element("launch.proof"))
    name = Text(allow_none=True, metadata=element("person.name.full"))
    given_name = Text(allow_none=True, metadata=element("person.name.given"))
    family_name = Text(allow_none=True, metadata=element("person.name.family"))
    email = Text(allow_none=True, metadata=element("person.email"))

    @validates_schema
    def _roles_are_short(self, data: Mapping[str, Any], **_more: Any) -> None:
        if any(len(role) > 2048 for role in data.get("roles", ())):
            raise ValidationError("a role is too long", CLAIM + "roles")


@carries("lti_launch", "Launch")
class LaunchSchema(MessageSchema):
    """A launch from a link in a course (LTI Core 1.3, section 5.3)."""

    resource_link = Repeated(ResourceLinkSchema, data_key=CLAIM + "resource_link", required=True, metadata=_CONTEXT)


@carries("lti_launch", "Launch")
class PickerSchema(MessageSchema):
    """A teacher wants to choose what to link (Deep Linking 2.0, section 4.4). Where it names no target link, that of
    its login counts."""

    target_link_uri = Text(data_key=CLAIM + "target_link_uri", metadata=_CONTEXT)
    settings = fields.Nested(DeepLinkingSchema, data_key=DEEP_LINKING, required=True, metadata=_CONTEXT)


@carries("lti_launch", "Launch")
class ReviewSchema(LaunchSchema):
    """A teacher looks at one pupil's work (Submission Review 1.0, section 3)."""

    for_user = fields.Nested(
        ForUserSchema, data_key=CLAIM + "for_user", required=True, metadata=element("person.lti_subject")
    )
    ags = Repeated(AgsSchema, data_key=AGS, required=True, metadata=_CONTEXT)

    @validates_schema
    def _names_its_column(self, data: Mapping[str, Any], **_more: Any) -> None:
        if "ags" in data and not data["ags"].get("lineitem"):
            raise ValidationError("no line item", CLAIM + "for_user")


@carries("lti_launch", "Launch")
class PrivacySchema(MessageSchema):
    """Somebody asks what is held about them, or about somebody else (Data Privacy Launch): outside any course."""

    for_user = fields.Nested(
        ForUserSchema, data_key=CLAIM + "for_user", required=True, metadata=element("person.lti_subject")
    )

    @validates_schema
    def _of_no_course(self, data: Mapping[str, Any], **_more: Any) -> None:
        if "context" in data:
            raise ValidationError("a course", CLAIM + "context")


# Messages by their type: what we call them, and how they are read. The draft of the data privacy launch and the library
# that platforms test against spell its type in two ways.
KINDS = MappingProxyType(
    {
        RESOURCE_LINK_REQUEST: ("resource_link", LaunchSchema()),
        DEEP_LINKING_REQUEST: ("deep_linking", PickerSchema()),
        "LtiSubmissionReviewRequest": ("submission_review", ReviewSchema()),
        "LtiDataPrivacyLaunchRequest": ("data_privacy", PrivacySchema()),
        "DataPrivacyLaunchRequest": ("data_privacy", PrivacySchema()),
    }
)
MOST_SKEW = 300  # seconds by which a platform's clock may be excused
# What a registration can be excused from, in words.
RELAXATIONS = MappingProxyType(
    {
        "no_resource_link": "launches from placements that name no resource link",
        "anonymous": "launches that name no user, or one whom the roster does not know: under a pseudonym. An LMS that "
        "leaves SIS ids out gets past what families refused",
        "trusted_audience": "tokens that are meant for these audiences besides (the value, apart by spaces)",
        "clock_skew": f"clocks that differ by up to the value in seconds, {MOST_SKEW} at most",
    }
)
# Relaxations that excuse a claim, and the claim that may then be absent.
EXCUSES = MappingProxyType({"no_resource_link": "resource_link", "anonymous": "sub"})

# The refusal of a wrong claim, in the order in which they are reported (LV-22 to LV-32).
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
        DEEP_LINKING: "LTI_DEEP_LINKING",
        CLAIM + "for_user": "LTI_FOR_USER",
        AGS: "LTI_SERVICE_URL",
        NRPS: "LTI_SERVICE_URL",
        GROUPS: "LTI_SERVICE_URL",
        NOTICES: "LTI_SERVICE_URL",
    }
)
OTHER_CLAIM_CODE = "LTI_CLAIM"
_ANY = MessageSchema()


def needed(kind: str) -> frozenset[str]:
    """Return what a message of a kind must hold, by our names."""
    return frozenset(
        name for named, schema in KINDS.values() if named == kind
        for name, field in schema.fields.items() if field.required
    )  # fmt: skip


def read_launch(claims: Mapping[str, Any], excused: Set[str] = frozenset()) -> tuple[dict[str, Any], str, str]:
    """Return (claims by our names with the message's `kind`, code, claim); the code is empty when the message is sound.

    `excused` names the EXCUSES of the registration.
    """
    named = claims.get(CLAIM + "message_type")
    kind, schema = KINDS.get(named, ("", _ANY)) if isinstance(named, str) else ("", _ANY)
    optional = {EXCUSES[name] for name in excused if name in EXCUSES}
    try:
        loaded: dict[str, Any] = schema.load(claims, partial=tuple(optional) or None)
    except ValidationError as error:
        return _fault(set(error.messages_dict) | (set() if kind else {CLAIM + "message_type"}))
    return (loaded | {"kind": kind}, "", "") if kind else _fault({CLAIM + "message_type"})


# The services that a launch names, by our names, with the addresses in each.
SERVICES = MappingProxyType(
    {
        "ags": ("lineitems", "lineitem"), "nrps": ("context_memberships_url",),
        "groups": ("context_groups_url", "context_group_sets_url"), "notices": ("platform_notification_service_url",),
    }
)  # fmt: skip


def services(message: Mapping[str, Any]) -> list[str]:
    """Return every address of a service that a message names."""
    found = (message.get(name, {}).get(part) for name, parts in SERVICES.items() for part in parts)
    return [url for url in found if url]


MOST_ORIGINS, LONGEST_ID = 20, 255  # courses that one was copied from, as far as they are kept


def _fault(wrong: Set[str]) -> tuple[dict[str, Any], str, str]:
    for claim, code in CLAIM_CODES.items():
        if claim in wrong:
            return {}, code, claim
    return {}, OTHER_CLAIM_CODE, min(wrong)
