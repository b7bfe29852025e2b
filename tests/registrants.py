"""An LMS that registers itself, written apart from the gateway: `responses` serves its configuration and its answer.

lms = Registrant(wire)
invited = lms.invited(world, "A")
answer = lms.opens(world, invited)
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from werkzeug.test import TestResponse

from gateway.errors import Refused
from gateway.flows import onboarding, registration_desk
from tests.platforms import AGS, HOST, LTI, NRPS, Platform
from tests.worlds import World

CONFIGURATION = f"{HOST}/.well-known/openid-configuration"
ENDPOINT = f"{HOST}/register"
TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"
PLATFORM = "https://purl.imsglobal.org/spec/lti-platform-configuration"
SCOPES = [f"{NRPS}scope/contextmembership.readonly", *(f"{AGS}scope/{name}" for name in (
    "lineitem", "lineitem.readonly", "result.readonly", "score"))]  # fmt: skip
Answer = Callable[[dict[str, Any]], dict[str, Any]]


def granted(lms: Platform, **more: Any) -> Answer:
    """The answer of an LMS that grants what it is asked for, changed in its tool configuration by `more`."""
    return lambda asked: asked | {"client_id": lms.client_id, TOOL: asked[TOOL] | more}


class Registrant:
    """One LMS and what it was asked."""

    def __init__(self, wire: responses.RequestsMock, lms: Platform | None = None) -> None:
        self.wire, self.lms, self.token = wire, lms or Platform(), f"tok-{secrets.token_hex(24)}"
        self.asked: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []

    def configuration(self, **changes: Any) -> dict[str, Any]:
        said = {
            "issuer": self.lms.issuer, "authorization_endpoint": f"{HOST}/auth", "token_endpoint": f"{HOST}/token",
            "jwks_uri": self.lms.jwks_url, "registration_endpoint": ENDPOINT, "scopes_supported": SCOPES,
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
            "id_token_signing_alg_values_supported": ["RS256"], "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "claims_supported": ["iss", "sub", "name", "given_name", "family_name", "email"],
            PLATFORM: {
                "product_family_code": "moodle", "version": "4.5",
                "messages_supported": [{"type": "LtiResourceLinkRequest"}, {"type": "LtiDeepLinkingRequest"}],
                "variables": ["Context.id.history", "ResourceLink.id.history", "User.id"],
            },
        }  # fmt: skip
        return {name: value for name, value in (said | changes).items() if value is not None}

    def serve(self, answer: Answer | None = None, **changes: Any) -> Registrant:
        """Serve the configuration, with changes, and answer a registration."""
        self.wire.upsert("GET", CONFIGURATION, json=self.configuration(**changes))
        made = answer or granted(self.lms, deployment_id=self.lms.deployment_id)

        def register(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
            self.asked.append(json.loads(request.body or b"{}"))
            self.tokens.append(request.headers.get("Authorization"))
            return 200, {"Content-Type": "application/json"}, json.dumps(made(self.asked[-1]))

        self.wire.remove("POST", ENDPOINT)
        self.wire.add_callback("POST", ENDPOINT, callback=register)
        return self

    def invited(self, world: World, *schools: str, hosts: tuple[str, ...] = (), **more: Any) -> Any:
        maker = f"LMS {self.lms.client_id}"
        with world.office.database.open_district(world.by.district) as session:
            known = session.row("SELECT 1 FROM vendor WHERE district = %(district)s AND name = %(n)s", n=maker)
        if known is None:
            onboarding.add_vendor(world.office, world.by, maker, "lms", "lms@example.org", None)
        names = [world.refs[school] for school in schools]
        return registration_desk.invite(world.office, world.by, maker, names, more.get("agreement"), hosts)

    def opens(self, world: World, invited: Any, **changes: Any) -> TestResponse:
        """The administrator's browser opens the address of an invite."""
        (secret,) = parse_qs(urlsplit(invited.url).query)["invite"]
        said = {"invite": secret, "openid_configuration": CONFIGURATION, "registration_token": self.token} | changes
        asked = {name: value for name, value in said.items() if value is not None}
        return world.client.get("/lti/register", query_string=asked, base_url=world.office.settings.url)


def pending(world: World, ref: str) -> Any:
    """What waits under a reference."""
    return next(row for row in registration_desk.waiting(world.office, world.by) if row.invite == ref)


def refused_with(act: Callable[..., Any], *said: Any) -> str:
    """The code that something is refused with."""
    with pytest.raises(Refused) as refused:
        act(*said)
    return refused.value.reason.code


__all__ = ["CONFIGURATION", "ENDPOINT", "LTI", "PLATFORM", "TOOL", "Registrant", "granted", "pending", "refused_with"]
