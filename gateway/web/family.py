"""The family's page: what left about one child, and what the family can decide.

The school's code is entered on the page and carried by each form, never in an address and never in a cookie.
"""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, render_template, request

from gateway import errors
from gateway.errors import Refused
from gateway.flows import rights_request
from gateway.web.contract import Audience, declares, running

blueprint = Blueprint("family", __name__)

_REFUSALS = (errors.ACT_FAMILY_UNVERIFIED, errors.OWN_NOT_ASSOCIATED, errors.LED_UNAVAILABLE, errors.RATE_LIMITED)


@blueprint.route("/family", methods=["GET"])
@declares(Audience.PUBLIC, summary="Where a family enters the school's code")
def door() -> str:
    """Ask for the code."""
    return render_template("family_door.html")


@blueprint.route("/family", methods=["POST"])
@declares(Audience.FAMILY, refusals=_REFUSALS, summary="What left about the child; refuse; ask for deletion")
def page() -> Any:
    """Show the report after doing what the form asked."""
    parts, code = running().parts, request.form.get("code", "").strip()
    said = _act(request.form.get("do", "look"), code, request.form.get("agreement") or None)
    report = orjson.loads(rights_request.report(parts, code).payload)
    return render_template("family.html", report=report, code=code, said=said)


def _act(do: str, code: str, agreement: str | None) -> str:
    """Do what was asked and return the sentence that confirms it."""
    parts = running().parts
    match do:
        case "look":
            return ""
        case "refuse":
            ref = rights_request.refuse(parts, code, agreement)
            return f"Your refusal is recorded and counts from now on. Reference: {ref}."
        case "delete":
            ref, count = rights_request.ask_deletion(parts, code)
            who = "company was" if count == 1 else "companies were"
            return f"Your request is recorded. {count} {who} given the task to delete. Reference: {ref}."
        case _:
            raise Refused(errors.REQ_INVALID)
