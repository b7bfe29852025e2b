"""The SIS of Alder Valley: its nightly OneRoster zip, and its OneRoster services as many makes have them."""

from __future__ import annotations

import argparse
from typing import Any

from flask import Flask, Response, jsonify, request

from gateway.sandbox.district import delivery
from gateway.sandbox.loopback import Faults, RefusalError, Tokens, refusal, serve
from gateway.sandbox.sis_rest import open_rest

CLIENT_ID, CLIENT_SECRET = "alder-sis-export", "sis-secret-for-loopback-only"
SCOPE = "export.read"


def create_app(url: str) -> Flask:
    """Build the SIS that answers at `url`."""
    app, tokens = Flask("sis"), Tokens()
    tonight: dict[str, Any] = {"night": 1, "clean": False, "few": False}
    Faults(app)
    app.register_error_handler(RefusalError, refusal)
    app.extensions["announce"] = {
        "sis": url,
        "token_url": f"{url}/token",
        "export_url": f"{url}/export/oneroster.zip",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scope": SCOPE,
    }

    open_rest(app, url, tonight)

    @app.post("/token")
    def token() -> Response:
        who = request.authorization
        if not who or (who.username, who.password) != (CLIENT_ID, CLIENT_SECRET):
            raise RefusalError(401, "invalid_client")
        if request.form.get("grant_type") != "client_credentials":
            raise RefusalError(400, "unsupported_grant_type")
        return jsonify(tokens.issue(CLIENT_ID, [SCOPE]))

    @app.get("/export/oneroster.zip")
    def export() -> Response:
        tokens.require(SCOPE)
        data = delivery(tonight["night"], clean=tonight["clean"]).zipped()
        return Response(data, mimetype="application/zip")

    @app.post("/_sandbox/night")
    def night() -> Response:
        """Take {"night": 1|2, "clean": false, "few": false}; `few` is of the service only: five classes."""
        tonight.update({k: v for k, v in request.get_json().items() if k in tonight})
        return jsonify(tonight)

    return app


def main() -> None:
    """Serve the SIS on loopback."""
    asked = argparse.ArgumentParser(description=main.__doc__)
    asked.add_argument("--port", type=int, default=0)
    serve(asked.parse_args().port, create_app)


if __name__ == "__main__":
    main()
