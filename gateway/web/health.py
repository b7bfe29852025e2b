"""The front page; alive, ready, and what a refusal code means."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, render_template

from gateway import errors
from gateway.errors import Refused
from gateway.store.tenant import UNREACHABLE
from gateway.web.contract import Audience, declares, running

blueprint = Blueprint("health", __name__)


@blueprint.route("/", methods=["GET"])
@declares(Audience.PUBLIC, summary="What this is, and where to go")
def front() -> str:
    """Say what this is, to whoever types the address."""
    return render_template("front.html", url=running().parts.settings.url)


@blueprint.route("/healthz", methods=["GET"])
@declares(Audience.PUBLIC, summary="Alive")
def alive() -> Any:
    """The process answers."""
    return jsonify({"alive": True})


@blueprint.route("/readyz", methods=["GET"])
@declares(Audience.PUBLIC, refusals=(errors.INT_UNAVAILABLE,), summary="Ready to serve")
def ready() -> Any:
    """The database answers, with the schema this version needs."""
    try:
        running().parts.database.ping()
    except UNREACHABLE as error:
        raise Refused(errors.INT_UNAVAILABLE) from error
    return jsonify({"ready": True})


@blueprint.route("/errors/<code>", methods=["GET"])
@declares(Audience.PUBLIC, refusals=(errors.REQ_NOT_FOUND,), summary="What a refusal code means")
def explain(code: str) -> str:
    """One page for each code."""
    reason = errors.VOCABULARY.get(code)
    if reason is None:
        raise Refused(errors.REQ_NOT_FOUND)
    return render_template("reason.html", reason=reason)
