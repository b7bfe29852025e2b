"""Launches with one claim, one part of the token or one key set wrong, and the code that each is refused with."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.test import TestResponse

from tests.platforms import AGS, HOST, LTI, NRPS, ROLE, Platform, public_jwk, rsa_key
from tests.refused.gate import ABSENT, EVIL, GOOD, URL, Attack, Gate, flipped, loose, mac, nested, sealed, signed, text

HUGE = 10**400  # an integer in JSON that no float can hold


def ours(*more: Any) -> Callable[[Gate], list[Any]]:
    return lambda gate: [gate.lms.client_id, *more]


def at(seconds: float) -> Callable[[Gate], float]:
    return lambda gate: int(gate.world.clock.at.timestamp()) + seconds


# --- any one claim wrong -----------------------------------------------------------------------------

AGS_CLAIM, NRPS_CLAIM = AGS + "claim/endpoint", NRPS + "claim/namesroleservice"
ODD = {"null": None, "a number": 7, "empty": ""}
MUST = ODD | {"absent": ABSENT}
CLAIMS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("LV-12", "iss", "LTI_ISS", MUST | {"with a slash": HOST + "/", "in capitals": HOST.upper(), "other": EVIL}),
    ("LV-13", "aud", "LTI_AUD", MUST | {
        "an empty list": [], "an object": {}, "other": "other", "a list without us": ["x"],
        "a list in a list": lambda gate: [ours()(gate)]}),
    ("LV-13", "aud", "LTI_AUD_UNTRUSTED", {"us and another": ours("x")}),
    ("LV-14", "aud", "LTI_AZP_MISSING", {"us twice, no azp": lambda gate: ours(gate.lms.client_id)(gate)}),
    ("LV-15", "azp", "LTI_AZP", ODD | {"another client": "x", "a list": ours()}),
    ("LV-16", "aud", "LTI_CLIENT", {"another client of this issuer": lambda gate: gate.second.client_id}),
    ("LV-17", "exp", "LTI_EXP", MUST | {
        "a word": "soon", "true": True, "a list": [], "negative": -1, "past": at(-60), "huge": HUGE,
        "milliseconds": lambda gate: at(300)(gate) * 1000}),
    ("LV-18", "iat", "LTI_IAT", MUST | {
        "a word": "now", "true": True, "a list": [], "a year old": at(-31_536_000), "601 seconds old": at(-601),
        "61 seconds ahead": at(61), "an hour ahead": at(3600), "huge": HUGE}),
    ("LV-18", "nbf", "LTI_NBF", {"null": None, "empty": "", "true": True, "a list": [], "61 seconds ahead": at(61)}),
    ("LV-19", "exp", "LTI_LIFETIME", {"a day and a second on": at(86_401), "ten years on": at(315_360_000)}),
    ("LV-20", "nonce", "LTI_NONCE", MUST | {"other": "x" * 43, "a list": [], "half a surrogate": "\ud800"}),
    ("RFC 7519", "jti", "LTI_CLAIM", {"null": None, "a number": 7, "a list": []}),
    ("LV-22", LTI + "version", "LTI_VERSION", MUST | {"1.2.0": "1.2.0", "1.3": "1.3", "a list": ["1.3.0"]}),
    ("LV-23", LTI + "message_type", "LTI_MESSAGE_TYPE", MUST | {
        "unknown": "LtiPartyRequest", "a list": ["LtiResourceLinkRequest"], "proctoring": "LtiStartProctoring"}),
    ("LV-30", LTI + "message_type", "LTI_DEEP_LINKING", {"deep linking": "LtiDeepLinkingRequest"}),
    ("LV-32", LTI + "message_type", "LTI_FOR_USER", {"submission review": "LtiSubmissionReviewRequest"}),
    ("LV-33", LTI + "message_type", "LTI_MESSAGE_TYPE", {"a notice": "LtiHelloWorldNotice"}),
    ("LV-24", LTI + "deployment_id", "LTI_DEPLOYMENT", MUST | {
        "not that of the login": "9", "256 characters": "1" * 256, "a list": ["1"]}),
    ("LV-25", LTI + "target_link_uri", "LTI_TARGET_LINK_URI", MUST | {
        "elsewhere": EVIL, "with a query": URL + "/lti/launch?a=1", "with a slash": URL + "/lti/launch/"}),
    ("LV-26", LTI + "roles", "LTI_ROLES", MUST | {
        "a word": ROLE + "Learner", "an object": {}, "numbers": [1], "null inside": [None], "too long": ["r" * 2049]}),
    ("LV-27", LTI + "resource_link", "LTI_RESOURCE_LINK", MUST | {
        "no id": {"title": "t"}, "an empty id": {"id": ""}, "a number for id": {"id": 1}, "a list": [{"id": "r"}],
        "256 characters": {"id": "r" * 256}, "a list for title": {"id": "r", "title": []}, "a NUL": {"id": "r\0"}}),
    ("LV-28", "sub", "LTI_SUB", MUST | {
        "300 characters": "s" * 300, "not ASCII": "Amára", "a list": ["lms-p2"], "a NUL": "lms\0p2"}),
    ("LV-29", LTI + "context", "LTI_CONTEXT", MUST | {
        "no id": {"title": "t"}, "an empty id": {"id": ""}, "256 characters": {"id": "c" * 256}, "a NUL": {"id": "c\0"},
        "a word for type": {"id": "c", "type": "Course"}, "half a surrogate": {"id": "\ud800"}}),
    ("Core 5.4", LTI + "lis", "LTI_CLAIM", ODD | {
        "a list": [], "a number for a person": {"person_sourcedid": 2}, "a NUL": {"person_sourcedid": "p2\0"}}),
    ("Core 5.4", LTI + "custom", "LTI_CLAIM", ODD | {"a list": [], "a NUL": {"activity": "a\0"}}),
    ("Core 5.4", LTI + "launch_presentation", "LTI_CLAIM", ODD | {
        "a script": {"return_url": "javascript:alert(1)"}, "a path": {"return_url": "/back"}, "a list": [],
        "a number for a language": {"locale": 1}, "a NUL": {"locale": "d\0"}}),
    ("Core 5.4", "email", "LTI_CLAIM", {"a list": ["p2@pupils.example"], "true": True}),
    ("LV-31", AGS_CLAIM, "LTI_SERVICE_URL", ODD | {
        "no scope": {"lineitems": HOST + "/ags"}, "a word for scope": {"scope": "score"}, "a list": [],
        "a NUL": {"scope": ["\0"]}}),
    ("LV-31", NRPS_CLAIM, "LTI_SERVICE_URL", ODD | {"no address": {"service_versions": ["2.0"]}, "a list": []}),
)  # fmt: skip
ELSEWHERE = {
    "metadata": "http://169.254.169.254/", "another host": EVIL + "/ags", "http": "http://lms.example/ags",
    "userinfo": "https://lms.example@evil.example/", "a user": "https://user@lms.example/", "relative": "/ags",
    "another port": "https://lms.example:8443/", "a longer host": "https://lms.example.evil.example/", "number": 7,
    "a backslash": "https://lms.example\\@evil.example/", "no scheme": "//lms.example/ags", "ftp": "ftp://lms.example/",
}  # fmt: skip
SERVICES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "lineitems": lambda url: {AGS_CLAIM: {"scope": [], "lineitems": url}},
    "lineitem": lambda url: {AGS_CLAIM: {"scope": [], "lineitem": url}},
    "members": lambda url: {NRPS_CLAIM: {"context_memberships_url": url}},
}


def claims(changes: dict[str, Any]) -> Attack:
    return lambda gate: gate.launch(changes)


# --- any one part of the token wrong -----------------------------------------------------------------

Forge = Callable[[dict[str, Any]], str]


def token(forge: Forge) -> Attack:
    def attack(gate: Gate) -> TestResponse:
        login = gate.lms.login(gate.world)
        return gate.post(forge(gate.said(login, {})), login)

    return attack


def header(key: rsa.RSAPrivateKey | None = None, **changes: Any) -> Forge:
    """A token truly signed, with a header that differs in this."""
    parts = {name: value for name, value in (GOOD | changes).items() if value is not ABSENT}
    return lambda said: signed(parts, said, key)


def spliced(more: bytes) -> Forge:
    """The claims, and in the same object this."""
    return lambda said: signed(GOOD, json.dumps(said).encode()[:-1] + b", " + more + b"}")


def changed(how: Callable[[str, str, str], str]) -> Forge:
    """A good token whose three parts are then put together in this way."""
    return lambda said: how(*signed(GOOD, said).split("."))


PEM = rsa_key().public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)  # fmt: skip
THEIRS, THEIR_JWK = rsa_key(7), public_jwk(rsa_key(7), kid="k1")
HS256 = {"alg": "HS256", "kid": "k1"}
TOKENS: tuple[tuple[str, str, dict[str, Forge]], ...] = (
    ("LV-06", "LTI_TOKEN", {
        "empty": lambda said: "", "one word": lambda said: "token", "two parts": changed(lambda h, c, s: f"{h}.{c}"),
        "four parts": changed(lambda h, c, s: f"{h}.{c}.{s}.e30"), "padding": changed(lambda h, c, s: f"{h}.{c}.{s}=="),
        "no header": changed(lambda h, c, s: f".{c}.{s}"), "a stripped signature": changed(lambda h, c, s: f"{h}.{c}."),
        "a line break": changed(lambda h, c, s: f"{h}.{c}.{s}\n"), "a space": changed(lambda h, c, s: f" {h}.{c}.{s}"),
        "the other base64": changed(lambda h, c, s: f"{h}.{c}.+/{s[2:]}"),
        "loose bits in the header": lambda said: sealed(f"{loose(text(GOOD))}.{text(said)}"),
        "a claim twice": spliced(b'"iss": "x"'), "a name twice inside": spliced(b'"x": [{"a": 1, "a": 1}]'),
        "a header name twice": lambda said: signed(b'{"alg":"none","alg":"RS256","kid":"k1"}', said),
        "NaN": spliced(b'"x": NaN'), "Infinity": spliced(b'"x": -Infinity'),
        "5000 digits": spliced(b'"x": ' + b"9" * 5000), "21 deep": spliced(b'"x": ' + nested(20)),
        "600 deep": spliced(b'"x": ' + nested(600)), "3000 deep": spliced(b'"x": ' + nested(3000)),
        "over 64 KB": spliced(b'"x": "' + b"x" * 65_536 + b'"'), "not UTF-8": spliced(b'"x": "\xff"'),
        "UTF-16": lambda said: signed(GOOD, json.dumps(said).encode("utf-16")),
        "a byte order mark": lambda said: signed(GOOD, b"\xef\xbb\xbf" + json.dumps(said).encode()),
        "claims in a list": lambda said: signed(GOOD, [said]), "a word for header": lambda said: signed("RS256", said),
        "not JSON": lambda said: signed(GOOD, b"iss=" + HOST.encode())}),
    ("LV-07", "LTI_ALG", {
        "none": header(alg="none"), "None": header(alg="None"), "rs256": header(alg="rs256"),
        "ES256": header(alg="ES256"), "absent": header(alg=ABSENT), "a list": header(alg=["RS256"]),
        "null": header(alg=None), "empty": header(alg=""), "RS512": header(alg="RS512"), "PS256": header(alg="PS256"),
        "crit": header(crit=["exp"]),
        "an empty crit": header(crit=[]), "b64 false": header(b64=False), "b64 true": header(b64=True),
        "HS256 with the public key": lambda said: mac(HS256, said, PEM),
        "HS256 with the key set": lambda said: mac(HS256, said, json.dumps(public_jwk(rsa_key())).encode())}),
    ("LV-07", "LTI_SIGNATURE", {
        "a key in jwk": header(THEIRS, jwk=THEIR_JWK), "a key at jku": header(THEIRS, jku=EVIL + "/keys"),
        "a key at x5u": header(THEIRS, x5u=EVIL + "/x"), "a key in x5c": header(THEIRS, x5c=["MIIB"])}),
    ("LV-07", "LTI_KEY_UNKNOWN", {
        "a kid of its own at jku": header(THEIRS, kid="theirs", jku=EVIL + "/keys"),
        "a kid that is an address": header(THEIRS, kid=EVIL + "/keys")}),
    ("LV-08", "LTI_KID", {
        "absent": header(kid=ABSENT), "null": header(kid=None), "a number": header(kid=1), "empty": header(kid=""),
        "a list": header(kid=["k1"]), "an object": header(kid={"k": 1}), "256 characters": header(kid="k" * 256)}),
    ("LV-09", "LTI_KEY_WEAK", {
        "two of one kid": header(kid="twice"), "for encryption": header(rsa_key(9), kid="enc"),
        "elliptic": header(kid="ec"), "for RS512": header(rsa_key(9), kid="rs512"),
        "without modulus": header(kid="no n")}),
    ("LV-09", "LTI_KEY_UNKNOWN", {"of another registration": header(rsa_key(1), kid="k2")}),
    ("LV-10", "LTI_KEY_UNKNOWN", {"unknown": header(kid="k9"), "K1": header(kid="K1"), "a NUL": header(kid="\0")}),
    ("LV-11", "LTI_SIGNATURE", {
        "by another key": header(THEIRS), "by another registration's key": header(rsa_key(1)),
        "a bit flipped": changed(lambda h, c, s: f"{h}.{c}.{flipped(s, 9)}"),
        "of zeros": changed(lambda h, c, s: f"{h}.{c}.AAAA"), "cut short": changed(lambda h, c, s: f"{h}.{c}.{s[:-4]}"),
        "loose bits": changed(lambda h, c, s: f"{h}.{c}.{loose(s)}"),
        "of other claims": lambda said: f"{text(GOOD)}.{text(said | {'sub': 'x'})}.{signed(GOOD, said).split('.')[2]}",
        "the header changed": changed(lambda h, c, s: f"{text(GOOD | {'typ': 'JWT'})}.{c}.{s}")}),
)  # fmt: skip


# --- key sets ----------------------------------------------------------------------------------------

DARK: dict[str, dict[str, Any]] = {
    "down": {"status": 503}, "gone": {"status": 404}, "a web page": {"body": "<html>", "content_type": "text/html"},
    "not JSON": {"body": "keys"}, "empty": {"body": ""}, "a list": {"json": []}, "no keys": {"json": {}},
    "keys of words": {"json": {"keys": ["k1"]}}, "too many keys": {"json": {"keys": [{}] * 51}},
    "too large": {"json": {"keys": [], "x": "x" * 270_000}}, "a NUL": {"json": {"keys": [{"kid": "\0"}]}},
    "redirecting": {"status": 302, "headers": {"Location": EVIL + "/keys"}}, "NaN": {"body": '{"keys": [NaN]}'},
    "silent": {"body": requests.ConnectTimeout()},
}  # fmt: skip


def key_set(reply: dict[str, Any]) -> Attack:
    """A launch from an LMS whose key set was never read before and answers like this."""

    def attack(gate: Gate) -> TestResponse:
        dark = Platform(issuer=f"https://dark{secrets.token_hex(4)}.example").register(gate.world, "A")
        gate.wire.get(dark.jwks_url, **reply)
        return gate.launch({}, dark)

    return attack


def weak_key(gate: Gate) -> TestResponse:
    """A launch from an LMS that signs with 1024 bits."""
    weak = Platform(issuer="https://weak.example", key=rsa_key(8, 1024)).register(gate.world, "A")
    weak.serve_keys(gate.wire)
    return gate.launch({}, weak)


def hostile_tokens() -> Iterator[tuple[str, str, Attack]]:
    """Every case of this page: its name, the code it is refused with, how it is done."""
    for check, claim, code, values in CLAIMS:
        for what, value in values.items():
            yield f"{check} {claim.rsplit('/', 1)[-1]}: {what}", code, claims({claim: value})
    for name, make in SERVICES.items():
        for what, url in ELSEWHERE.items():
            yield f"LV-31 {name}: {what}", "LTI_SERVICE_URL", claims(make(url))
    for check, code, forges in TOKENS:
        for what, forge in forges.items():
            yield f"{check} {code.lower()}: {what}", code, token(forge)
    for what, reply in DARK.items():
        yield f"LV-09 a key set: {what}", "LTI_KEYS_UNREACHABLE", key_set(reply)
    yield "LV-09 a key of 1024 bits", "LTI_KEY_WEAK", weak_key
