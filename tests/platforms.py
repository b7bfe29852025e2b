"""An LMS of a test's own, written apart from the gateway: PyJWT signs, `responses` serves its key set.

platform = Platform().register(world, "A").link(world, "A", "kA")
answer = platform.launch(world, platform.message("tA", "Instructor"))
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import responses
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.test import TestResponse

from gateway.flows import onboarding
from gateway.store.tenant import Place
from mappings.elements import expand
from mappings.fields import element_of
from tests.canaries import Canaries, closed
from tests.worlds import APP_SCOPES, Caller, World

LTI = "https://purl.imsglobal.org/spec/lti/claim/"
AGS = "https://purl.imsglobal.org/spec/lti-ags/"
GS = "https://purl.imsglobal.org/spec/lti-gs/"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/"
ROLE = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
HOST = "https://lms.example"
_CLAIMS = ("given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "website",
           "picture", "email", "gender", "zoneinfo", "locale", "phone_number", "birthdate", "jti")  # fmt: skip


def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A private key of this run; the same number is the same key."""
    return _rsa_key(number, bits)


@cache
def _rsa_key(_number: int, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_jwk(key: rsa.RSAPrivateKey, **more: Any) -> dict[str, Any]:
    made = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"kty": made["kty"], "n": made["n"], "e": made["e"], "alg": "RS256", "use": "sig"} | more


@dataclass
class Login:
    """A login as the platform and the browser saw it."""

    answer: TestResponse
    asked: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)


@dataclass
class Platform:
    """Issuer, client, deployment and keys of one LMS."""

    issuer: str = HOST
    client_id: str = field(default_factory=lambda: f"client-{secrets.token_hex(6)}")
    deployment_id: str = "1"
    context: str = "course-1"
    kid: str = "k1"
    key: rsa.RSAPrivateKey = field(default_factory=rsa_key)
    deployment: str = ""
    places: tuple[Place, ...] = ()
    canaries: Canaries = field(default_factory=Canaries)

    @property
    def jwks_url(self) -> str:
        return f"{HOST}/jwks/{self.client_id}"

    def register(self, world: World, *schools: str, product: str = "generic", agreed: bool = True) -> Platform:
        """Onboard the LMS, with the agreement that lets grades go to it."""
        maker, agreement = f"LMS {self.client_id}", ("SAP", "person.lti_subject")
        self.canaries, self.places = world.canaries, tuple(world.places[school] for school in schools)
        if agreed:
            world.agree(maker, "lms", agreement, ("grade.passback",), ("grading",), schools)
            self.canaries.recipients[self.client_id] = dict.fromkeys(self.places, closed(expand(agreement)))
        else:
            onboarding.add_vendor(world.office, world.by, maker, "lms", "lms@example.org", None)
        said = self.as_typed(product, world.agreements.get(maker))
        self.deployment = onboarding.add_lms(world.office, world.by, maker, said, [world.refs[s] for s in schools])
        return self

    def as_typed(self, product: str = "generic", agreement: str | None = None) -> onboarding.Lms:
        """What an administrator of this LMS reads off there and types in here."""
        return onboarding.Lms(
            self.issuer, self.client_id, self.deployment_id, f"{HOST}/auth", f"{HOST}/token", self.jwks_url, product,
            agreement=agreement,
        )  # fmt: skip

    def link(self, world: World, school: str, class_id: str, context: str | None = None) -> Platform:
        onboarding.link_class(
            world.office, world.by, self.deployment, context or self.context, world.refs[school], class_id
        )
        return self

    def serve_keys(self, wire: responses.RequestsMock, *keys: dict[str, Any]) -> Platform:
        wire.get(self.jwks_url, json={"keys": list(keys) or [public_jwk(self.key, kid=self.kid)]})
        return self

    # --- a launch --------------------------------------------------------------------------------

    def parameters(self, world: World, **changes: Any) -> dict[str, str]:
        url = world.office.settings.url
        said = {
            "iss": self.issuer, "login_hint": "u1", "target_link_uri": f"{url}/lti/launch",
            "client_id": self.client_id, "lti_message_hint": "m1", "lti_deployment_id": self.deployment_id,
        }  # fmt: skip
        return {name: value for name, value in (said | changes).items() if value is not None}

    def login(self, world: World, method: str = "GET", **changes: Any) -> Login:
        """Begin a launch and return where the gateway sent the browser, and the cookies it set."""
        said = self.parameters(world, **changes)
        how = {"query_string": said} if method == "GET" else {"data": said}
        answer = world.client.open("/lti/login", method=method, base_url=world.office.settings.url, **how)
        login = Login(answer)
        if answer.status_code == 302:
            login.asked = {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
            for line in answer.headers.getlist("Set-Cookie"):
                name, _, rest = line.partition("=")
                login.cookies[name] = rest.partition(";")[0]
        return login

    def message(self, sub: str, role: str = "Learner", **claims: Any) -> dict[str, Any]:
        """The claims of a launch by this person, without those of the login (nonce, times)."""
        said = {
            "iss": self.issuer, "aud": self.client_id, "sub": f"lms-{sub}", "name": f"Name of {sub}",
            LTI + "version": "1.3.0", LTI + "message_type": "LtiResourceLinkRequest",
            LTI + "deployment_id": self.deployment_id, LTI + "resource_link": {"id": "link-1", "title": "Check"},
            LTI + "context": {"id": self.context, "title": "Algebra"}, LTI + "roles": [ROLE + role],
            LTI + "lis": {"person_sourcedid": sub},
        }  # fmt: skip
        self.canaries.watch(said["sub"], self.places, "person.lti_subject", sub)
        self.canaries.watch(said["name"], self.places, "person.name.full", sub)
        return self._seeds(sub) | said | claims

    def picking(self, sub: str, role: str = "Instructor", **settings: Any) -> dict[str, Any]:
        """The claims of a deep linking request; `settings` changes what the platform accepts."""
        said = {
            "deep_link_return_url": f"{HOST}/picked",
            "accept_types": ["ltiResourceLink", "link", "html", "image", "file"],
            "accept_presentation_document_targets": ["iframe", "window"], "accept_multiple": True, "data": "Echo: <é>",
        } | settings  # fmt: skip
        return self.message(sub, role) | {
            LTI + "message_type": "LtiDeepLinkingRequest", LTI + "resource_link": None,
            "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings": {
                name: value for name, value in said.items() if value is not None
            },
        }  # fmt: skip

    def reviewing(self, sub: str, whom: str, item: str = f"{HOST}/items/1", **claims: Any) -> dict[str, Any]:
        """The claims of a submission review of somebody's work."""
        return self.message(sub, "Instructor") | {
            LTI + "message_type": "LtiSubmissionReviewRequest", LTI + "for_user": {"user_id": f"lms-{whom}"},
            AGS + "claim/endpoint": {"scope": [], "lineitems": f"{HOST}/items", "lineitem": item},
        } | claims  # fmt: skip

    def asking(self, sub: str, whom: str | None = None) -> dict[str, Any]:
        """The claims of a data privacy launch: of no course."""
        return self.message(sub) | {
            LTI + "message_type": "LtiDataPrivacyLaunchRequest", LTI + "for_user": {"user_id": f"lms-{whom or sub}"},
            LTI + "resource_link": None, LTI + "context": None,
        }  # fmt: skip

    def _seeds(self, sub: str) -> dict[str, Any]:
        """A token in claims that a platform may send about a person and that no test of ours is about."""
        made: dict[str, Any] = {name: self.token("lti_launch", f"Launch.{name}", sub) for name in _CLAIMS}
        made[LTI + "custom"] = {"note": self.token("lti_launch", f"Launch.{LTI}custom.note", sub)}
        made["address"] = {"formatted": self.token("lti_launch", "Launch.address.formatted", sub)}
        made[LTI + "role_scope_mentor"] = [self.token("lti_launch", f"Launch.{LTI}role_scope_mentor", sub)]
        made[LTI + "tool_platform"] = {
            name: self.token("lti_launch", f"Launch.{LTI}tool_platform.{name}", "platform") for name in ("guid", "name")
        }
        return made

    def token(self, binding: str, path: str, record: str) -> str:
        """A token for one field of a protocol that this platform fills."""
        return self.canaries.plant(self.places, element_of(binding, path), record, binding, path)

    def complete(self, world: World, claims: Mapping[str, Any], login: Login) -> dict[str, Any]:
        """Add what the login decides: nonce, times, target. Claims set to None are left out."""
        now = int(world.clock.at.timestamp())
        said = {"nonce": login.asked.get("nonce"), "iat": now, "exp": now + 300,
                LTI + "target_link_uri": f"{world.office.settings.url}/lti/launch"}  # fmt: skip
        return {name: value for name, value in (said | dict(claims)).items() if value is not None}

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        headers = {"kid": self.kid} | header
        return jwt.encode(dict(claims), self.key, "RS256", {k: v for k, v in headers.items() if v is not None})

    def post(self, world: World, token: str, login: Login, **form: Any) -> TestResponse:
        """Post an id_token back as the browser does."""
        said = {"id_token": token, "state": login.asked.get("state")} | form
        return world.client.post(
            "/lti/launch", base_url=world.office.settings.url,
            data={k: v for k, v in said.items() if v is not None},
            headers={"Cookie": "; ".join(f"{k}={v}" for k, v in login.cookies.items())},
        )  # fmt: skip

    def launch(self, world: World, claims: Mapping[str, Any]) -> TestResponse:
        """Log in and launch; the answer sends the browser on, or is the page of a refusal."""
        login = self.login(world)
        assert login.answer.status_code == 302, login.answer.text
        return self.post(world, self.sign(self.complete(world, claims, login)), login)


def application(
    world: World, *schools: str, schedule: tuple[str, ...] = ("SNM", "ENR", "SCH", "SAP"), **more: Any
) -> Caller:  # fmt: skip
    """Connect the application at these schools and return it as a caller."""
    operations = ("launch.handover", "members.read", "result.write")
    world.agree(
        "Mastery App", "application", schedule, operations, ("assessment_delivery",), schools,
        launch_url="https://app.example/launch", **more,
    )  # fmt: skip
    return world.connect("Mastery App", *APP_SCOPES, schools=schools)


def code_of(answer: TestResponse) -> str:
    """The one-time code of a launch that was let in."""
    assert answer.status_code == 303, answer.text
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


def refusal_of(answer: TestResponse) -> str:
    """The refusal code on a page for a person."""
    _, found, rest = answer.text.partition("/errors/")
    assert found, answer.text
    return rest.partition('"')[0]
