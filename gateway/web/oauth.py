"""The token endpoint: client credentials, by secret or by signed assertion."""

from __future__ import annotations

import json
from typing import cast

from flask import Blueprint, Response

from gateway import errors
from gateway.web.contract import Audience, declares, running

blueprint = Blueprint("oauth", __name__)

_OURS = {"invalid_client": errors.AUT_CLIENT_INVALID, "invalid_scope": errors.SCP_UNKNOWN}


@blueprint.route("/oauth2/token", methods=["POST"])
@declares(
    Audience.CLIENT, refusals=(errors.AUT_CLIENT_INVALID, errors.SCP_UNKNOWN, errors.REQ_INVALID, errors.RATE_LIMITED),
    summary="OAuth 2.0 client credentials (RFC 6749 section 4.4, RFC 7523)",
)  # fmt: skip
def token() -> Response:
    """Issue a token. Errors are OAuth's own, with our code and remedy beside them."""
    response = cast("Response", running().oauth.answer())
    if response.status_code >= 400:
        said = json.loads(response.get_data())
        reason = _OURS.get(said.get("error", ""))
        told = reason.sentence if reason else "The request is not a client credentials request."
        reason = reason or errors.REQ_INVALID
        said |= {"error_description": told, "code": reason.code, "next_step": reason.remedy}
        response.set_data(json.dumps(said))
    response.headers["Cache-Control"] = "no-store"
    return response
