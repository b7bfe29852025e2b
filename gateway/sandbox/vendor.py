"""A vendor's program: reads OneRoster 1.2 from the gateway and says where a row breaks the standard."""

from __future__ import annotations

import argparse
import json
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from gateway.sandbox.wire import fetch

ROSTER = "https://purl.imsglobal.org/spec/or/v1p2/scope/roster.readonly"
_BASE = "/ims/oneroster/rostering/v1p2/"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MOST_PAGES = 10_000

# Letters of a type: s string, d date, b "true"/"false", r reference, R references, S strings, o list
_ALWAYS = {"sourcedId": "s", "status": "s", "dateLastModified": "s"}
_SHAPES = {
    "students": _ALWAYS
    | dict.fromkeys(("userMasterIdentifier", "username", "givenName", "familyName"), "s")
    | dict.fromkeys(("middleName", "preferredFirstName", "preferredMiddleName"), "s")
    | dict.fromkeys(("preferredLastName", "pronouns", "identifier", "email", "sms", "phone"), "s")
    | {"enabledUser": "b", "roles": "o", "userIds": "o", "userProfiles": "o", "primaryOrg": "r"}
    | {"agents": "R", "resources": "R", "grades": "S", "metadata": "m"},
    "classes": _ALWAYS
    | {"title": "s", "classCode": "s", "classType": "s", "location": "s", "grades": "S"}
    | {"subjects": "S", "subjectCodes": "S", "periods": "S", "course": "r", "school": "r"}
    | {"terms": "R", "resources": "R", "metadata": "m"},
    "enrollments": _ALWAYS
    | {"user": "r", "class": "r", "school": "r", "role": "s", "primary": "b"}
    | {"beginDate": "d", "endDate": "d", "metadata": "m"},
}
_ENVELOPE = {"students": "users", "classes": "classes", "enrollments": "enrollments"}
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_LINK = re.compile(r'<([^>]*)>\s*((?:;\s*[\w*-]+\s*=\s*(?:"[^"]*"|[^;,\s"]*)\s*)*)')


@dataclass(slots=True)
class Reading:
    """All pages of one collection: rows, the headers of each page, what is wrong with the rows."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Vendor:
    """One vendor at one gateway: a client id and either a secret or a key."""

    gateway: str
    client_id: str
    secret: str = ""
    key: RSAKey | ECKey | None = None

    def token(self, scope: str) -> str:
        """Return an access token; requests.HTTPError when the gateway refuses."""
        url = f"{self.gateway}/oauth2/token"
        form = {"grant_type": "client_credentials", "scope": scope}
        auth = None if self.key else (self.client_id, self.secret)
        form |= self._assertion(url)
        answer = fetch("POST", url, data=form, auth=auth)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def _assertion(self, audience: str) -> dict[str, str]:
        if self.key is None:
            return {}
        now, me = int(time.time()), self.client_id
        claims = {"iss": me, "sub": me, "aud": audience, "iat": now, "exp": now + 120}
        claims["jti"] = secrets.token_urlsafe(16)
        header = {"alg": "RS256" if isinstance(self.key, RSAKey) else "ES256", "kid": self.key.kid}
        signed = jwt.encode(header, claims, self.key)
        return {"client_assertion_type": _ASSERTION, "client_assertion": signed}

    def read(self, collection: str, query: str = "") -> Reading:
        """Read students, classes or enrollments to the last page."""
        bearer = {"Authorization": f"Bearer {self.token(ROSTER)}", "Accept": "application/json"}
        found, seen = Reading(), set[str]()
        url: str | None = f"{self.gateway}{_BASE}{collection}{query and '?' + query}"
        while url and url not in seen and len(seen) < _MOST_PAGES:
            seen.add(url)
            answer = fetch("GET", url, headers=bearer)
            answer.raise_for_status()
            found.rows += answer.json()[_ENVELOPE[collection]]
            found.headers.append(dict(answer.headers))
            url = self._next(url, answer.headers.get("Link", ""))
        found.faults = [f for row in found.rows for f in faults_of(collection, row)]
        return found

    def _next(self, url: str, header: str) -> str | None:
        """Return the next page's address; a foreign one is not followed with our token."""
        target = links(header).get("next")
        full = urljoin(url, target) if target else None
        return full if full and urlsplit(full)[:2] == urlsplit(self.gateway)[:2] else None

    def transcript(self, transcript_id: str) -> requests.Response:
        """Fetch a transcript a family has shared; the answer as it came."""
        bearer = {"Authorization": f"Bearer {self.token('transcripts.read')}"}
        url = f"{self.gateway}/v1/transcripts/{transcript_id}"
        return fetch("GET", url, headers=bearer)


def links(header: str) -> dict[str, str]:
    """Return the targets of a Link header by relation (RFC 8288)."""
    found: dict[str, str] = {}
    for target, params in _LINK.findall(header):
        for rel in re.findall(r'rel\s*=\s*"?([^";,]*)', params)[:1]:
            found |= dict.fromkeys(rel.lower().split(), target)
    return found


def faults_of(collection: str, row: dict[str, Any]) -> Iterator[str]:
    """Yield what a OneRoster 1.2 consumer would reject in one row."""
    who, shape = row.get("sourcedId"), _SHAPES[collection]
    yield from (f"{who}: {name} is missing" for name in _ALWAYS if not row.get(name))
    if row.get("status") not in ("active", "tobedeleted"):
        yield f"{who}: status {row.get('status')!r}"
    if not _STAMP.fullmatch(str(row.get("dateLastModified"))):
        yield f"{who}: dateLastModified {row.get('dateLastModified')!r}"
    for name, value in row.items():
        if name not in shape:
            yield f"{who}: {name} is not in OneRoster 1.2"
        elif not _fits(shape[name], value):
            yield f"{who}: {name} has the wrong type"
    yield from (f"{who}: a role is incomplete" for r in row.get("roles", []) if not _role(r))


def _fits(kind: str, value: object) -> bool:
    if kind in "RSo":
        inner = {"R": "r", "S": "s", "o": "m"}[kind]
        return isinstance(value, list) and all(_fits(inner, v) for v in value)
    if kind == "r":
        return isinstance(value, dict) and {"href", "sourcedId", "type"} <= value.keys()
    if kind == "m":
        return isinstance(value, dict)
    if kind == "b":
        return value in ("true", "false")
    return isinstance(value, str) and (kind != "d" or bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value)))


def _role(role: dict[str, Any]) -> bool:
    return role.get("roleType") in ("primary", "secondary") and _fits("r", role.get("org"))


def key_at(path: Path, kind: str = "rsa") -> RSAKey | ECKey:
    """Return the private key kept in a file, made there when the file does not exist."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(json.dumps(new_key(kind).as_dict(private=True)))
    kept = json.loads(path.read_text())
    return RSAKey.import_key(kept) if kept["kty"] == "RSA" else ECKey.import_key(kept)


def new_key(kind: str) -> RSAKey | ECKey:
    """Return a fresh RSA 2048 or P-256 key."""
    if kind == "ec":
        return ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


def main() -> None:
    """Print a public key, a collection or a transcript as JSON."""
    asked = argparse.ArgumentParser(description=main.__doc__)
    asked.add_argument("what", choices=["jwk", "transcript", *_SHAPES])
    asked.add_argument("id", nargs="?", default="", help="of the transcript")
    asked.add_argument("--gateway", default="")
    asked.add_argument("--client-id", default="")
    asked.add_argument("--secret", default="")
    asked.add_argument("--key-file", type=Path)
    asked.add_argument("--kind", choices=("rsa", "ec"), default="rsa")
    given = asked.parse_args()
    if given.what == "jwk" and not given.key_file:
        asked.error("jwk needs --key-file")
    key = key_at(given.key_file, given.kind) if given.key_file else None
    vendor = Vendor(given.gateway, given.client_id, given.secret, key)
    print(json.dumps(_told(vendor, given.what, given.id), ensure_ascii=False))


def _told(vendor: Vendor, what: str, which: str) -> object:
    if what == "jwk":
        return vendor.key.as_dict(private=False) if vendor.key else None
    if what == "transcript":
        return vendor.transcript(which).json()
    found = vendor.read(what)
    return {"rows": found.rows, "headers": found.headers, "faults": found.faults}


if __name__ == "__main__":
    main()
