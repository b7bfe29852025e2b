"""Dynamic registration as the LMS offers it (LTI Dynamic Registration 1.0): a configuration, a token for one use, a
tool that waits until an administrator switches it on. A Moodle answers otherwise than it was asked."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, cast
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, current_app, jsonify, request

from gateway.sandbox import lms_services as services
from gateway.sandbox.campus import Campus, Tool
from gateway.sandbox.lms_judge import faults, places, privacy
from gateway.sandbox.lms_services import campus
from gateway.sandbox.loopback import RefusalError

bp = Blueprint("registration", __name__)

_PLATFORM = "https://purl.imsglobal.org/spec/lti-platform-configuration"
_TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"
_SCOPES = [services.ITEMS, services.ITEMS_READ, services.SCORE, services.RESULTS, services.MEMBERS]
_MESSAGES = ["LtiResourceLinkRequest", "LtiDeepLinkingRequest"]
_MUST = ("redirect_uris", "initiate_login_uri", "jwks_uri", "client_name", _TOOL)


@dataclass(slots=True)
class Desk:
    """Where tools are registered: tokens that were given out, whether each was used, and tools that wait."""

    tokens: dict[str, bool] = field(default_factory=dict)
    waiting: dict[str, Tool] = field(default_factory=dict)


def open_desk(app: Flask) -> None:
    """Let tools register themselves at an LMS."""
    app.extensions["registration_desk"] = Desk()
    app.register_blueprint(bp)
    profile = cast("Campus", app.extensions["campus"]).profile
    app.add_url_rule(profile.configuration, "configuration", configuration)
    app.add_url_rule(profile.register_at, "register", register, methods=["POST"])


def desk() -> Desk:
    return cast("Desk", current_app.extensions["registration_desk"])


def configuration() -> Response:
    here = campus()
    if here.profile.configuration_token and _token() not in desk().tokens:
        raise RefusalError(401, "invalid_token", "The registration token is missing or unknown.")
    return jsonify(_configuration(here))


def _configuration(here: Campus) -> dict[str, Any]:
    url, more = here.url, {services.GROUPS: here.profile.groups, services.HANDLERS: bool(here.profile.notices)}
    variables = ["Context.id.history", "User.id", "Person.sourcedId"]  # a Moodle has no ResourceLink.id.history
    variables += [] if here.profile.name == "moodle" else ["ResourceLink.id.history"]
    return {
        "issuer": here.issuer,
        "authorization_endpoint": url + here.profile.auth,
        "token_endpoint": here.token_url,
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
        "jwks_uri": url + here.profile.jwks,
        "registration_endpoint": url + here.profile.register_at,
        **({"authorization_server": here.profile.authorization_server} if here.profile.authorization_server else {}),
        "scopes_supported": _SCOPES + [scope for scope, offered in more.items() if offered],
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["sub", "iss", "name", "given_name", "family_name", "email"],
        _PLATFORM: {
            "product_family_code": here.profile.name,
            "version": "1",
            "messages_supported": [{"type": name} | _places(here, name) for name in _MESSAGES],
            **({"notice_types_supported": here.profile.notices} if here.profile.notices else {}),
            "variables": variables,
        },
    }


def _places(here: Campus, message: str) -> dict[str, list[str]]:
    return {"placements": here.profile.placements[message]} if here.profile.placements else {}


def register() -> Response:
    """Take a tool in: once for each token, and not in use before an administrator says so."""
    token, profile = _fresh_token(), campus().profile
    desk().tokens[token] = not profile.judges
    wish = request.get_json(silent=True)
    if profile.judges and (wrong := faults(wish, profile)):
        answer = jsonify(errors=wrong)
        answer.status_code = 422
        return answer
    desk().tokens[token] = True
    missing = [name for name in _MUST if not isinstance(wish, dict) or not wish.get(name)]
    if missing or not isinstance(wish, dict):
        raise RefusalError(400, "invalid_client_metadata", f"Missing: {', '.join(missing)}")
    tool = Tool(
        secrets.token_hex(8), secrets.token_hex(4), wish["initiate_login_uri"], wish["redirect_uris"], wish["jwks_uri"],
        wish[_TOOL]["target_link_uri"], dict(wish[_TOOL].get("custom_parameters", {})), wish["client_name"],
        privacy(wish[_TOOL], profile), places(wish[_TOOL], profile),
    )  # fmt: skip
    desk().waiting[tool.client_id] = tool
    return jsonify(_answered(wish, tool))


def _token() -> str:
    """The registration token of this request: in its header, or in its query."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if kind.lower() == "bearer" else request.args.get("registration_token", "")


def _fresh_token() -> str:
    token = _token()
    if token not in desk().tokens:
        raise RefusalError(401, "invalid_token", "The registration token is missing or unknown.")
    if desk().tokens[token]:
        raise RefusalError(401, "token_already_used", "The registration token was used already.")
    return token


def _answered(wish: dict[str, Any], tool: Tool) -> dict[str, Any]:
    """Return what was registered: as it was asked, or as a Moodle makes it."""
    granted = wish | {"client_id": tool.client_id}
    granted[_TOOL] = dict(wish[_TOOL])
    (granted if campus().profile.deployment_beside else granted[_TOOL])["deployment_id"] = tool.deployment_id
    if campus().profile.name != "moodle":
        return granted
    asked = granted[_TOOL]
    more = ["given_name", "family_name"] if "name" in asked.get("claims", []) else []
    asked["claims"] = list(dict.fromkeys([*asked.get("claims", []), *more]))
    asked["messages"] = [m for m in asked["messages"] if m["type"] != "LtiResourceLinkRequest"]
    asked["version"] = "LTI-1p3"
    if services.ITEMS in granted["scope"].split():
        granted["scope"] += f" {services.ITEMS_READ}"
    return granted


@bp.post("/_sandbox/registration")
def begin() -> Response:
    """An administrator begins: {"address"} of the tool. Return where the LMS sends the browser."""
    token = secrets.token_urlsafe(48)
    desk().tokens[token] = False
    address = request.get_json()["address"]
    said = {"openid_configuration": campus().url + campus().profile.configuration, "registration_token": token}
    return jsonify(url=f"{address}{'&' if '?' in address else '?'}{urlencode(said)}", token=token)


@bp.post("/_sandbox/activate")
def activate() -> Response:
    """An administrator switches {"client_id"} on."""
    tool = desk().waiting.pop(request.get_json()["client_id"])
    campus().tools[tool.client_id] = tool
    return jsonify(asdict(tool))
