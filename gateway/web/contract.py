"""What each route declares: who it is for, which scopes it needs, which refusals it can answer with.

The declaration is the route's documentation, its authentication and the row of the authorisation matrix; a route
without one fails the build.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, cast

from authlib.oauth2 import OAuth2Error
from flask import Response, current_app, g, request
from marshmallow import Schema, ValidationError

from gateway import errors
from gateway.errors import Reason, Refused
from gateway.flows.parts import Parts
from gateway.identity.clients import Grant, OAuthServer
from gateway.identity.deliverers import deliverer
from gateway.identity.staff import Person, person
from mappings.cleared import Cleared

EXTENSION = "schoolgate"
# What every recipient of education records is told (34 CFR 99.33(a) and (d)).
NOTICE = "34 CFR 99.33(a): use only for the purpose of this disclosure; disclose to nobody else without consent"


class Audience(StrEnum):
    """Who may call a route, and how they show who they are."""

    PLATFORM = "an LMS through the person's browser"
    LMS = "an LMS by itself, with what it has signed"
    CLIENT = "an OAuth client with its credentials"
    APPLICATION = "the application, with a bearer token"
    VENDOR = "a vendor, with a bearer token"
    TEACHER = "the teacher of a launch, with the page's own key"
    FAMILY = "a family, with the school's code"
    DELIVERER = "an administrator of a district, or a machine with a source's token"
    STAFF = "a named person of a school or district, with their personal token"
    PUBLIC = "anybody"


BEARERS = frozenset({Audience.APPLICATION, Audience.VENDOR})


@dataclass(frozen=True, slots=True)
class Declared:
    """One route's declaration. `here` says that scopes are checked at the door because no decision follows."""

    audience: Audience
    scopes: tuple[str, ...] = ()
    refusals: tuple[Reason, ...] = ()
    summary: str = ""
    body: type[Schema] | None = None
    answer: type[Schema] | None = None
    here: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """What the web layer finds on its application."""

    parts: Parts
    oauth: OAuthServer


def running() -> Running:
    return cast("Running", current_app.extensions[EXTENSION])


def declares(
    audience: Audience, *, scopes: tuple[str, ...] = (), refusals: tuple[Reason, ...] = (), summary: str = "",
    body: type[Schema] | None = None, answer: type[Schema] | None = None, here: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # fmt: skip
    """Declare a view. Routes for bearers are called with the grant behind the token as their first argument."""
    declared = Declared(audience, scopes, refusals, summary, body, answer, here)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def called(**values: Any) -> Any:
            if audience in BEARERS:
                return view(_bearer(declared), **values)
            if audience is Audience.STAFF:
                return view(_named(), **values)
            if audience is Audience.DELIVERER:
                return view(deliverer(running().parts.database, _token(), running().parts.clock.now()), **values)
            return view(**values)

        called.declared = declared  # type: ignore[attr-defined]
        return called

    return decorate


def _bearer(declared: Declared) -> Grant:
    """Return the grant of the request's token. Raises Refused."""
    try:
        grant = cast("Grant", running().oauth.protector.acquire_token())
    except OAuth2Error as error:
        known = error.error == "invalid_token" and "Authorization" in request.headers
        raise Refused(_expired() if known else errors.AUT_TOKEN_INVALID) from error
    g.grant = grant
    if declared.audience is Audience.APPLICATION and not grant.is_application:
        raise Refused(errors.ACT_WRONG_SCHOOL, "this credential is not the application's")
    if declared.here and not grant.scopes & set(declared.scopes):
        raise Refused(errors.SCP_MISSING)
    return grant


def _named() -> Person:
    """Return whom the request's personal token belongs to. Raises Refused."""
    parts = running().parts
    return person(parts.database, _token(), parts.clock.now())


def _token() -> str:
    """Return the bearer token of the request, "" where it has none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _expired() -> Reason:
    """Say whether the token was ever ours; Authlib answers both alike."""
    token = request.headers.get("Authorization", "").partition(" ")[2]
    return errors.AUT_TOKEN_EXPIRED if running().oauth.grant_of(token) else errors.AUT_TOKEN_INVALID


def sent(body: Cleared[bytes]) -> Response:
    """Return a cleared answer with the notice its recipient is owed; nothing else leaves to a vendor."""
    return Response(body.payload, mimetype="application/json", headers={"Redisclosure-Notice": NOTICE})


def read_body(schema: type[Schema]) -> dict[str, Any]:
    """Return the request's JSON body as the schema reads it. Raises Refused with the fields that do not fit."""
    body = request.get_json(force=False, silent=True)
    if body is None:
        raise Refused(errors.REQ_INVALID, "the body is not JSON (Content-Type: application/json)")
    try:
        loaded: dict[str, Any] = schema().load(body)
    except ValidationError as error:
        raise Refused(errors.REQ_INVALID, fields=_flat(error.messages_dict)) from error
    return loaded


def _flat(messages: Any, at: str = "") -> list[dict[str, str]]:
    """Errors by field, without the values: what was sent may be a pupil's."""
    if isinstance(messages, dict):
        return [one for name, inner in messages.items() for one in _flat(inner, f"{at}/{name}")]
    return [{"field": at or "/", "problem": str(message)} for message in messages]
