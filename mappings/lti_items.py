"""What a picker hands back to an LMS: content items of Deep Linking 2.0 (section 3), from the application's words.

Five types. What the LMS said it accepts is held against each before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from mappings import application
from mappings.elements import element
from mappings.fields import carries
from mappings.text import Address, Text

_TITLE, _DATES = element("activity.title"), element("activity.dates")
_LONG = validate.Length(1, 2000)
# What each type must name besides its type: the application's own activity, an address, or a text.
NEEDS = MappingProxyType({"ltiResourceLink": "activity", "link": "url", "file": "url", "html": "html", "image": "url"})
TARGETS = ("iframe", "window", "embed")
MOST = 50


@carries("content_items", "Window")
class Window(Schema):
    """From when and until when; either may be open."""

    start = fields.AwareDateTime(metadata=_DATES)
    end = fields.AwareDateTime(metadata=_DATES)


@carries("content_items", "ContentItem")
class ContentItem(Schema):
    """One thing that a teacher picked, in the application's words."""

    type = Text(load_default="ltiResourceLink", validate=validate.OneOf(list(NEEDS)), metadata=_TITLE)
    activity = Text(validate=validate.Length(1, 128), metadata=element("activity.column"))
    title = Text(validate=validate.Length(1, 255), metadata=_TITLE)
    text = Text(validate=_LONG, metadata=_TITLE)
    url = Address(validate=_LONG, metadata=_TITLE)
    html = Text(validate=validate.Length(1, 20_000), metadata=_TITLE)
    media_type = Text(validate=validate.Regexp(r"[a-z0-9.+\-]{1,60}/[a-z0-9.+\-]{1,80}\Z"), metadata=_TITLE)
    line_item = fields.Boolean(load_default=True, metadata=element("activity.column"))
    target = Text(validate=validate.OneOf(TARGETS), metadata=_TITLE)
    width = fields.Integer(validate=validate.Range(1, 10_000), metadata=_TITLE)
    height = fields.Integer(validate=validate.Range(1, 10_000), metadata=_TITLE)
    icon = Address(validate=_LONG, metadata=_TITLE)
    thumbnail = Address(validate=_LONG, metadata=_TITLE)
    expires_at = fields.AwareDateTime(metadata=_DATES)
    available = fields.Nested(Window, metadata=_DATES)
    submission = fields.Nested(Window, metadata=_DATES)

    @validates_schema
    def _names_what_it_is(self, data: Mapping[str, Any], **_more: Any) -> None:
        needed = NEEDS.get(data.get("type", ""), "type")
        if needed not in data:
            raise ValidationError(f"an item of type {data.get('type')} needs it", needed)


@carries("content_items", "ContentItems")
class ContentItems(Schema):
    """What a teacher picked in the application."""

    items = fields.List(fields.Nested(ContentItem), required=True, validate=validate.Length(0, MOST), metadata=_TITLE)


def objections(items: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> list[str]:
    """Say what of these items the LMS said it would not take, in words; an empty list when it takes all."""
    found = []
    if len(items) > 1 and not settings["accept_multiple"]:
        found.append("it takes one item at a time")
    for item in items:
        if item["type"] not in settings["accept_types"]:
            found.append(f"it takes no item of type {item['type']}")
        if item["type"] == "file" and not _takes(item.get("media_type", ""), settings.get("accept_media_types")):
            found.append(f"it takes no file of type {item.get('media_type', 'unknown')}")
        if "target" in item and item["target"] not in settings["accept_presentation_document_targets"]:
            found.append(f"it shows nothing in a {item['target']}")
    return list(dict.fromkeys(found))


def _takes(media_type: str, accepted: str | None) -> bool:
    """Whether a list of media types, with `*` in it, names this one; no list names all."""
    if not accepted:
        return True
    return any(fnmatchcase(media_type, one.split(";")[0].strip().lower()) for one in accepted.split(","))


_ACTIVITY = "?activity="


def activity_link(launch_url: str, your_id: str) -> str:
    """Return the address at which a link to one of the application's activities launches."""
    return f"{launch_url}{_ACTIVITY}{your_id}"


def read_activity_link(url: str) -> tuple[str, str | None]:
    """Return (launch address, activity) of such an address; of any other the address itself, and None."""
    launch_url, _, your_id = url.partition(_ACTIVITY)
    return (launch_url, your_id) if application.is_your_id(your_id) else (url, None)


def content_item(
    item: Mapping[str, Any], settings: Mapping[str, Any], launch_url: str, activity: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return one item as the LMS reads it. `activity` (ref, title, points) is the application's, for a link to
    one: its column is found again by `ref`."""
    said: dict[str, Any] = {"type": item["type"]}
    said |= {name: item[name] for name in ("title", "text", "html", "url") if name in item}
    if item["type"] == "ltiResourceLink" and activity is not None:
        said |= {
            "title": item.get("title", activity["title"]), "url": activity_link(launch_url, item["activity"]),
            "custom": {"activity": item["activity"]},
        }  # fmt: skip
        if item["line_item"] and settings["accept_lineitem"] is not False:
            said["lineItem"] = {
                "label": activity["title"], "scoreMaximum": float(activity["points"]), "resourceId": activity["ref"],
                "tag": "schoolgate", "submissionReview": {},
            }  # fmt: skip
        said |= {name: _span(item[name]) for name in ("available", "submission") if name in item}
    if item["type"] == "file":
        said |= {to: item[name] for name, to in (("media_type", "mediaType"),) if name in item}
        said |= {"expiresAt": item["expires_at"].isoformat()} if "expires_at" in item else {}
    if item["type"] == "image":
        said |= {name: item[name] for name in ("width", "height") if name in item}
    return said | _presentation(item) | {
        name: {"url": item[name]} for name in ("icon", "thumbnail") if name in item
    }  # fmt: skip


def _span(window: Mapping[str, Any]) -> dict[str, str]:
    names = {"start": "startDateTime", "end": "endDateTime"}
    return {names[name]: value.isoformat() for name, value in window.items()}


def _presentation(item: Mapping[str, Any]) -> dict[str, Any]:
    """How the LMS is asked to show an item: in a frame, a window, or in the page."""
    target = item.get("target")
    size = {name: item[name] for name in ("width", "height") if name in item}
    if target == "window":
        return {"window": {"targetName": "_blank", **size}}
    if target == "iframe" and item["type"] != "ltiResourceLink":
        return {"iframe": {"src": item.get("url", ""), **size}}
    return {"iframe": size} if target == "iframe" else {}
