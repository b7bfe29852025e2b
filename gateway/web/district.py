"""A district's own door for roster deliveries: hand one in, see how its run stands."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, request, url_for
from werkzeug.exceptions import ClientDisconnected

from gateway import errors
from gateway.errors import Refused
from gateway.flows.rosters import arrivals, spool
from gateway.identity.deliverers import Deliverer
from gateway.web.contract import Audience, declares, running

blueprint = Blueprint("district", __name__, url_prefix="/district/v1")

_REFUSALS = (
    errors.AUT_STAFF_UNKNOWN, errors.ACT_NOT_STAFF, errors.REQ_NOT_FOUND, errors.RATE_LIMITED,
)  # fmt: skip


@blueprint.route("/sources/<source>/delivery", methods=["PUT"])
@declares(
    Audience.DELIVERER, summary="Hand in a delivery of a source; a job brings it in",
    refusals=(*_REFUSALS, errors.REQ_INVALID, errors.REQ_TOO_LARGE, errors.SRC_PAUSED, errors.SRC_UPLOAD_BROKEN,
              errors.SRC_SPOOL),
)  # fmt: skip
def delivery(by: Deliverer, source: str) -> Any:
    """A zip with its Content-Length and Content-Digest (sha-256). The same bytes sent twice are one run."""
    by.may_bring(source)
    parts, length = running().parts, request.content_length
    if not length:
        raise Refused(errors.REQ_INVALID, "say how long the file is: Content-Length, and no other transfer coding")
    digest = spool.said_digest(request.headers.get("Content-Digest", ""))
    request.max_content_length = parts.settings.max_delivery_mb << 20
    try:
        said = arrivals.hand_in(parts, by.district, source, by.ref, request.stream, length, digest)
    except ClientDisconnected as error:
        raise Refused(errors.SRC_UPLOAD_BROKEN, "the connection ended before the file did") from error
    answer = jsonify(said)
    answer.status_code = 202
    answer.headers["Location"] = url_for("district.run", source=source, run=said["run"])
    return answer


@blueprint.route("/sources/<source>/runs/<run>", methods=["GET"])
@declares(Audience.DELIVERER, refusals=_REFUSALS, summary="How a run of a source stands")
def run(by: Deliverer, source: str, run: str) -> Any:
    """Its state, how far it has come, and its report when it is over."""
    by.may_bring(source)
    return jsonify(arrivals.state_of(running().parts, by.district, source, run))
