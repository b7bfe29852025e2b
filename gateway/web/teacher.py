"""The teacher's page inside the LMS: what would be sent, one button, what became of it.

The page's own unguessable key is in its address and is its authority to press; no cookie is asked for that, so no
other site can press. The key passed through the application, so pupils' names are shown only to the browser in which
the teacher launched.
"""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request

from gateway import errors
from gateway.flows import grade_push
from gateway.web.contract import Audience, declares, running

blueprint = Blueprint("teacher", __name__)


@blueprint.route("/teacher/<key>", methods=["GET"])
@declares(Audience.TEACHER, refusals=(errors.OWN_NOT_ASSOCIATED,), summary="A batch of grades, before and after")
def page(key: str) -> str:
    """Show the batch."""
    return render_template(
        "teacher.html", page=grade_push.page(running().parts, key, request.cookies), action=request.path
    )


@blueprint.route("/teacher/<key>", methods=["POST"])
@declares(Audience.TEACHER, refusals=(errors.OWN_NOT_ASSOCIATED, errors.LED_UNAVAILABLE), summary="Send the grades")
def press(key: str) -> Response:
    """Send the batch, once however often it is pressed."""
    grade_push.press(running().parts, key)
    response: Response = redirect(request.path, 303)  # type: ignore[assignment]
    return response
