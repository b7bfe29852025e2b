"""Notices of an LMS, to our nouns (Platform Notification Service 1.0), and which of them it shall send where."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from mappings.elements import element
from mappings.fields import carries
from mappings.lti import CLAIM, _Open
from mappings.lti_messages import LONGEST_ID, MOST_ORIGINS, VERSION, ContextSchema
from mappings.text import Text

SCOPE = "https://purl.imsglobal.org/spec/lti/scope/noticehandlers"
CONTEXT_COPY, HELLO = "LtiContextCopyNotice", "LtiHelloWorldNotice"
NOTICE = CLAIM + "notice"
MOST = 100  # notices of one request

_ID = validate.Length(1, LONGEST_ID)
_CONTEXT = element("launch.context")


@carries("lti_notices", "Notice")
class NoticeSchema(_Open):
    """What happened: an id that it has once and for all, when, and which kind of thing."""

    id = Text(required=True, validate=_ID, metadata=element("launch.proof"))
    timestamp = fields.AwareDateTime(required=True, metadata=_CONTEXT)
    type = Text(required=True, metadata=_CONTEXT)


@carries("lti_notices", "Message")
class MessageSchema(_Open):
    """The claims that every notice has."""

    version = Text(data_key=CLAIM + "version", required=True, validate=validate.Equal(VERSION), metadata=_CONTEXT)
    deployment_id = Text(data_key=CLAIM + "deployment_id", required=True, validate=_ID, metadata=_CONTEXT)
    notice = fields.Nested(NoticeSchema, data_key=NOTICE, required=True, metadata=_CONTEXT)
    nonce = Text(metadata=element("launch.proof"))


@carries("lti_notices", "Message")
class CopySchema(MessageSchema):
    """A course was made from others. A platform that does not say from which sends no origins."""

    context = fields.Nested(ContextSchema, data_key=CLAIM + "context", required=True, metadata=_CONTEXT)
    origins = fields.List(
        Text(validate=_ID), data_key=CLAIM + "origin_contexts", load_default=list, metadata=_CONTEXT,
        validate=validate.Length(max=MOST_ORIGINS),
    )  # fmt: skip


# The notices that we know what to do with.
TYPES: Mapping[str, MessageSchema] = MappingProxyType({HELLO: MessageSchema(), CONTEXT_COPY: CopySchema()})
_CODES = ((CLAIM + "version", "LTI_VERSION"), (CLAIM + "deployment_id", "LTI_DEPLOYMENT"))


def read_notice(claims: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return (claims by our names, code); the code is empty when the notice is sound."""
    said = claims.get(NOTICE)
    named = said.get("type") if isinstance(said, dict) else None
    schema = TYPES.get(named) if isinstance(named, str) else None
    try:
        loaded: dict[str, Any] = (schema or MessageSchema()).load(claims)
    except ValidationError as error:
        return {}, next((code for claim, code in _CODES if claim in error.messages_dict), "LTI_NOTICE")
    return (loaded, "") if schema else ({}, "LTI_NOTICE")


def read_batch(body: Any) -> list[str]:
    """Return the tokens of a request, "" for an entry that has none. Raises ValueError when it is no list of them."""
    listed = body.get("notices") if isinstance(body, dict) else None
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST:
        raise ValueError(f"not a list of 1 to {MOST} notices")
    found = [entry.get("jwt") if isinstance(entry, dict) else None for entry in listed]
    return [token if isinstance(token, str) else "" for token in found]


# --- which notices are sent where --------------------------------------------------------------------


@carries("lti_notices", "Handler")
class HandlerSchema(_Open):
    """One kind of notice and where it goes, "" for nowhere."""

    notice_type = Text(required=True, metadata=_CONTEXT)
    handler = Text(load_default="", allow_none=True, metadata=_CONTEXT)


@carries("lti_notices", "Catalog")
class CatalogSchema(_Open):
    notice_handlers = fields.List(fields.Nested(HandlerSchema), required=True, metadata=_CONTEXT)


@carries("lti_notices", "Handler")
class WantedSchema(Schema):
    """What a platform is asked to send, and where to."""

    notice_type = fields.String(required=True, metadata=_CONTEXT)
    handler = fields.String(required=True, metadata=_CONTEXT)


def read_handlers(body: Any) -> dict[str, str]:
    """Return where each kind of notice goes, by its type. Raises ValueError when it is no such answer."""
    try:
        loaded = CatalogSchema().load(body)
    except ValidationError as error:
        raise ValueError("not a list of notice handlers") from error
    return {one["notice_type"]: one["handler"] or "" for one in loaded["notice_handlers"]}


def wanted(notice_type: str, handler: str) -> Any:
    """Return the words by which a platform is asked to send one kind of notice to an address."""
    return WantedSchema().dump({"notice_type": notice_type, "handler": handler})
