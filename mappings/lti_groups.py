"""Groups of a course and the sets they stand in, to our nouns (Course Groups 1.0)."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate

from mappings.elements import element
from mappings.fields import carries
from mappings.lti import _Open
from mappings.text import Id, Text

SCOPE = "https://purl.imsglobal.org/spec/lti-gs/scope/contextgroup.readonly"
CONTAINER = "application/vnd.ims.lti-gs.v1.contextgroupcontainer+json"
_ID, _NAME = validate.Length(1, 255), validate.Length(max=255)


@carries("lti_gs", "Group")
class GroupSchema(_Open):
    """One group; its name is in the teacher's words."""

    id = Id(required=True, validate=_ID, metadata=element("enrollment.group"))
    name = Text(load_default=None, allow_none=True, validate=_NAME, metadata=element("group.name"))
    set_id = Id(load_default=None, allow_none=True, metadata=element("enrollment.group"))


@carries("lti_gs", "GroupContainer")
class GroupPageSchema(_Open):
    """One page of a course's groups."""

    groups = fields.List(fields.Nested(GroupSchema), required=True, metadata=element("enrollment.group"))


@carries("lti_gs", "Set")
class SetSchema(_Open):
    """One set: groups of which everybody is in one, as a rule."""

    id = Id(required=True, validate=_ID, metadata=element("enrollment.group"))
    name = Text(load_default=None, allow_none=True, validate=_NAME, metadata=element("group.name"))


@carries("lti_gs", "SetContainer")
class SetPageSchema(_Open):
    """One page of a course's sets of groups."""

    sets = fields.List(fields.Nested(SetSchema), required=True, metadata=element("enrollment.group"))


def read_groups(page: Any) -> list[dict[str, Any]]:
    """Return the groups of one page: id, name, set_id. Raises ValueError when it is not one."""
    return _read(GroupPageSchema(), page, "groups")


def read_sets(page: Any) -> list[dict[str, Any]]:
    """Return the sets of one page: id, name. Raises ValueError when it is not one."""
    return _read(SetPageSchema(), page, "sets")


def _read(schema: _Open, page: Any, name: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = schema.load(page)[name]
    except ValidationError as error:
        raise ValueError(f"not a page of {name}: {sorted(error.messages_dict)}") from error
    return found
