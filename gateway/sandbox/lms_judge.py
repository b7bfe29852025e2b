"""What a make of LMS makes of a tool that registers itself, where it looks at every member: as Canvas does (its
lib/schemas/lti/ims and app/models/lti/ims/registration.rb, read)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gateway.sandbox.products import Profile

TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"
LEVELS = ("public", "name_only", "email_only", "anonymous")
_CONSTANT = {"application_type": "web", "token_endpoint_auth_method": "private_key_jwt"}
_CONTAINS = {"grant_types": ("client_credentials", "implicit"), "response_types": ("id_token",)}
_ADDRESSES = ("initiate_login_uri", "jwks_uri")
_HOST = r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(:[0-9]{1,5})?"
_URI = re.compile(r"https?://\S+\Z")


def faults(wish: Any, profile: Profile) -> list[str]:
    """What is wrong with a registration, a sentence each; nothing where it may be taken in."""
    if not isinstance(wish, dict):
        return ["object expected at root"]
    return [*_client(wish), *_tool(wish.get(TOOL), profile)]


def _client(wish: dict[str, Any]) -> Iterator[str]:
    for name, value in _CONSTANT.items():
        if wish.get(name) != value:
            yield f"value at `/{name}` is not: {value}"
    for name, values in _CONTAINS.items():
        if not isinstance(wish.get(name), list) or not set(values) <= set(wish[name]):
            yield f"array at `/{name}` does not contain: {', '.join(values)}"
    for name in _ADDRESSES:
        if not isinstance(wish.get(name), str) or not _URI.match(wish[name]):
            yield f"value at `/{name}` does not match format: uri"
    if not isinstance(wish.get("redirect_uris"), list) or not wish["redirect_uris"]:
        yield "array at `/redirect_uris` does not contain enough items"
    if not isinstance(wish.get("client_name"), str) or not wish["client_name"]:
        yield "string at `/client_name` is too short"


def _tool(said: Any, profile: Profile) -> Iterator[str]:
    if not isinstance(said, dict):
        yield f"object at root is missing required properties: {TOOL}"
        return
    at = f"/{TOOL.replace('/', '~1')}"
    missing = [name for name in ("domain", "messages", "claims") if name not in said]
    if missing:
        yield f"object at `{at}` is missing required properties: {', '.join(missing)}"
    if not re.fullmatch(_HOST, str(said.get("domain", "x"))):
        yield f"string at `{at}/domain` does not match pattern"
    level = said.get(profile.privacy_member)
    if level is not None and level not in LEVELS:
        yield f"value at `{at}/{profile.privacy_member.replace('/', '~1')}` is not one of: {list(LEVELS)}"
    for number, message in enumerate(said.get("messages", ())):
        yield from _message(message, f"{at}/messages/{number}", profile)
    if any(not isinstance(value, str) for value in said.get("custom_parameters", {}).values()):
        yield f"value at `{at}/custom_parameters` is not a string"


def _message(said: dict[str, Any], at: str, profile: Profile) -> Iterator[str]:
    if said.get("type") not in profile.placements:
        yield f"value at `{at}/type` is not one of: {list(profile.placements)}"
    known = {place for places in profile.placements.values() for place in places}
    for number, place in enumerate(said.get("placements", ())):
        if place not in known:
            yield f"value at `{at}/placements/{number}` is not one of: {sorted(known)}"


def places(said: dict[str, Any], profile: Profile) -> dict[str, list[str]] | None:
    """Where each message of a tool begins: of two at one place the first; None where this make asks nobody."""
    if not profile.placements:
        return None
    taken: set[str] = set()
    found: dict[str, list[str]] = {}
    for message in said.get("messages", ()):
        wanted = message.get("placements") or [profile.place_unsaid]
        found.setdefault(message["type"], []).extend(one for one in wanted if one not in taken)
        taken |= set(wanted)
    return found


def privacy(said: dict[str, Any], profile: Profile) -> str:
    """What is sent of people: as the tool asks by the member for it, else as its claims come to."""
    if not profile.privacy_member:
        return "public"
    claims = set(said.get("claims", ()))
    named, mailed = bool(claims & {"name", "given_name", "family_name"}), "email" in claims
    inferred = "public" if "picture" in claims or (named and mailed) else "name_only" if named else "email_only"
    return str(said.get(profile.privacy_member) or (inferred if named or mailed else "anonymous"))
