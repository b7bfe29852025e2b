"""The barest launch there can be: WSGI without a framework, a verified token, one committed row."""

from __future__ import annotations

import json
import os
import secrets
import threading
from typing import Any
from urllib.parse import parse_qs

import psycopg
from joserfc import jwt
from joserfc.jwk import RSAKey

_KEY = RSAKey.import_key(json.loads(os.environ["BENCH_KEY"])) if "BENCH_KEY" in os.environ else None
_CLAIMS = jwt.JWTClaimsRegistry(
    aud={"essential": True, "value": os.environ.get("BENCH_CLIENT", "")}, exp={"essential": True}
)
_OWN = threading.local()


def app(environ: dict[str, Any], start: Any) -> list[bytes]:
    """`/login` makes a nonce and redirects; `/launch` verifies and commits."""
    if environ["PATH_INFO"] == "/launch":
        where, status = _launch(environ), "303 See Other"
    elif environ["PATH_INFO"] == "/login":
        nonce, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        where, status = f"https://lms.example/auth?nonce={nonce}&state={state}", "302 Found"
    else:
        where, status = "", "200 OK"
    start(status, [("Location", where), ("Content-Length", "0")])
    return [b""]


def _launch(environ: dict[str, Any]) -> str:
    form = parse_qs(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode())
    claims = jwt.decode(form["id_token"][0], _KEY, algorithms=["RS256"]).claims
    _CLAIMS.validate(claims)
    if not hasattr(_OWN, "connection"):
        _OWN.connection = psycopg.connect(os.environ["BENCH_ADMIN"], autocommit=True)
    _OWN.connection.execute("INSERT INTO floor.raw (sub, nonce) VALUES (%s, %s)", (claims["sub"], claims["nonce"]))
    return f"https://app.example/launch?code={secrets.token_urlsafe(32)}"
