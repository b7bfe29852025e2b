"""The floors that speak HTTP: what one would write in an afternoon, without policy, ledger or separation of schools."""

from __future__ import annotations

import json
import os
import secrets
import threading
from typing import Any

import psycopg
import sqlalchemy as sa
from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy.orm import Session, registry

from gateway.store.tables import ROSTER
from gateway.store.tenant import driver
from mappings.oneroster.v1p2 import BASE
from mappings.oneroster.v1p2 import Enrollment as EnrollmentSchema

_TABLE = ROSTER["enrollment"]
_NAMES = {"class": "class_id", "org": "org_id", "user": "user_id", "primary": "is_primary", "sourced_id": "sourcedId",
          "begin_date": "beginDate", "end_date": "endDate", "school": "school_number"}  # fmt: skip


class Enrollment:
    """A row the gateway published, as an object with the members of OneRoster 1.2."""

    status = "active"
    user = property(lambda row: _reference("users", "user", row.user_id))
    class_ = property(lambda row: _reference("classes", "class", row.class_id))
    school = property(lambda row: _reference("orgs", "org", row.org_id))
    primary = property(lambda row: "true" if row.is_primary else "false")
    dateLastModified = property(lambda row: row.modified.isoformat())  # noqa: N815 - the standard's name


registry().map_imperatively(Enrollment, _TABLE, properties={to: _TABLE.c[column] for column, to in _NAMES.items()})


def _reference(place: str, kind: str, sourced_id: str) -> dict[str, str]:
    return {"href": f"http://127.0.0.1{BASE}/{place}/{sourced_id}", "sourcedId": sourced_id, "type": kind}


def _page(engine: sa.Engine) -> Response:
    """Rows by limit and offset as objects, through the marshmallow schema of the standard's record, as JSON."""
    said = request.args
    here = _TABLE.c.district == int(said["district"]), _TABLE.c.school.in_(map(int, said["schools"].split(",")))
    query = sa.select(Enrollment).where(*here, _TABLE.c.until.is_(None)).order_by(_TABLE.c.school, _TABLE.c.sourced_id)
    with Session(engine) as session:
        rows = session.scalars(query.limit(int(said["limit"])).offset(int(said["offset"])))
        return jsonify(enrollments=EnrollmentSchema(many=True).dump(rows))


def _launch(connection: psycopg.Connection[Any], key: RSAKey, client_id: str) -> Any:
    """Verify the token, commit one row, send the browser on."""
    claims = jwt.decode(request.form["id_token"], key, algorithms=["RS256"]).claims
    jwt.JWTClaimsRegistry(aud={"essential": True, "value": client_id}, exp={"essential": True}).validate(claims)
    connection.execute("INSERT INTO floor.launch (sub, nonce) VALUES (%s, %s)", (claims["sub"], claims["nonce"]))
    return redirect(f"https://app.example/launch?code={secrets.token_urlsafe(32)}", 303)


def create_app() -> Flask:
    """Return the floors; they open the database as its superuser, whom no row security slows down."""
    app, local, admin = Flask("floor"), threading.local(), os.environ["BENCH_ADMIN"]
    engine = sa.create_engine(driver(admin), pool_size=8)
    key = RSAKey.import_key(json.loads(os.environ["BENCH_KEY"]))

    @app.get("/readyz")
    def ready() -> str:
        return "ready"

    @app.get("/login")
    def login() -> Any:
        nonce, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        return redirect(f"https://lms.example/auth?nonce={nonce}&state={state}&{request.query_string.decode()}")

    @app.post("/launch")
    def launch() -> Any:
        if not hasattr(local, "connection"):
            local.connection = psycopg.connect(admin, autocommit=True)
        return _launch(local.connection, key, os.environ["BENCH_CLIENT"])

    @app.get("/enrollments")
    def enrollments() -> Response:
        return _page(engine)

    return app
