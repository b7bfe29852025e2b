"""The application's face, `/v1`: launches, members, activities, results, transfers, transcripts."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from gateway import errors
from gateway.errors import Refused
from gateway.flows import class_members, grade_push, launch, transcript, transfers
from gateway.identity.clients import Grant
from gateway.web.contract import Audience, declares, read_body, running, sent
from mappings import application, lti_items

blueprint = Blueprint("api", __name__, url_prefix="/v1")

_COMMON = (
    errors.AUT_TOKEN_INVALID, errors.AUT_TOKEN_EXPIRED, errors.SCP_MISSING, errors.OWN_NOT_ASSOCIATED,
    errors.AGR_NONE, errors.AGR_EXPIRED, errors.DIR_MISSING, errors.LED_UNAVAILABLE, errors.REQ_INVALID,
)  # fmt: skip


@blueprint.route("/launches/exchange", methods=["POST"])
@declares(
    Audience.APPLICATION, scopes=("launch.read",), refusals=(*_COMMON, errors.LTI_CODE), body=application.Exchange,
    answer=application.Launch, summary="Exchange a one-time code for the launch it stands for",
)  # fmt: skip
def exchange(grant: Grant) -> Response:
    """The code works once, for sixty seconds, for the application it was made for."""
    return sent(launch.exchange(running().parts, grant, read_body(application.Exchange)["code"]))


@blueprint.route("/launches/<ref>/content_items", methods=["POST"])
@declares(
    Audience.APPLICATION, scopes=("launch.read",), refusals=(*_COMMON, errors.LTI_CODE, errors.LTI_ITEM_NOT_ACCEPTED),
    body=lti_items.ContentItems, here=True, summary="Hand back what a teacher picked; send the browser to `return_url`",
)  # fmt: skip
def content_items(grant: Grant, ref: str) -> Any:
    """Checked against what the LMS said it takes; the teacher confirms, and the LMS gets it once."""
    body, raw = read_body(lti_items.ContentItems), request.get_json()
    return jsonify(launch.offer(running().parts, grant, ref, body["items"], raw["items"]))


@blueprint.route("/classes/<class_id>/members", methods=["GET"])
@declares(
    Audience.APPLICATION, scopes=("members.read",), refusals=_COMMON, answer=application.Members,
    summary="The members of a class, and whether they are in the LMS course too",
)  # fmt: skip
def members(grant: Grant, class_id: str) -> Response:
    """The people of one class of this grant's schools."""
    return sent(class_members.members(running().parts, grant, class_id, g.request_id))


@blueprint.route("/activities/<your_id>", methods=["PUT"])
@declares(
    Audience.APPLICATION, scopes=("results.write",), refusals=_COMMON, body=application.Activity,
    summary="Write an activity by your own id; it becomes one column in the gradebook",
)  # fmt: skip
def activity(grant: Grant, your_id: str) -> Any:
    """Idempotent: the same id is the same column."""
    if not application.is_your_id(your_id):
        raise Refused(errors.REQ_INVALID, "an activity id is letters, digits, dot, dash and underscore")
    return jsonify(grade_push.put_activity(running().parts, grant, your_id, read_body(application.Activity)))


@blueprint.route("/result_batches", methods=["POST"])
@declares(
    Audience.APPLICATION, scopes=("results.write",), body=application.ResultBatch,
    refusals=(*_COMMON, errors.REQ_IDEMPOTENCY_KEY, errors.REQ_IDEMPOTENCY_MISMATCH, errors.REQ_CONFLICT,
              errors.ACT_NOT_TEACHER_OF_CLASS),
    summary="Hand in results: preview for the teacher's press, or apply under the teacher's live launch",
)  # fmt: skip
def result_batch(grant: Grant) -> Any:
    """Each result is judged at once; those that cannot go say why and who can mend it."""
    key = request.headers.get("Idempotency-Key", "")
    if not 8 <= len(key) <= 128 or not key.isascii() or not key.isprintable():
        raise Refused(errors.REQ_IDEMPOTENCY_KEY)
    body = read_body(application.ResultBatch)
    raw = grade_push.canonical(request.get_json())
    answer, repeated = grade_push.hand_in(running().parts, grant, body, key, raw)
    response = jsonify(answer)
    response.status_code = 202
    if repeated:
        response.headers["Idempotent-Replayed"] = "true"
    return response


@blueprint.route("/result_batches/<batch>", methods=["GET"])
@declares(
    Audience.APPLICATION, scopes=("results.write",), refusals=_COMMON, here=True,
    summary="How a batch of results stands",
)  # fmt: skip
def batch_progress(grant: Grant, batch: str) -> Any:
    """States, reasons and remedies by the application's own refs."""
    return jsonify(grade_push.progress(running().parts, grant, batch))


@blueprint.route("/transfers", methods=["GET"])
@declares(
    Audience.APPLICATION, scopes=("transfers.read",), refusals=_COMMON, here=True,
    summary="What this grant has received",
)  # fmt: skip
def own_transfers(grant: Grant) -> Any:
    """The grant's own part of the ledger: when, what kind, which elements, how many people."""
    return jsonify(transfers.listing(running().parts, grant, request.args.get("after", "")))


@blueprint.route("/transcripts", methods=["POST"])
@declares(
    Audience.APPLICATION, scopes=("transcripts.write",), refusals=_COMMON, body=application.TranscriptRequest,
    summary="Hand in a pupil's transcript; it leaves only by a direction that names it",
)  # fmt: skip
def issue_transcript(grant: Grant) -> Any:
    """The document's bytes are fixed here and now."""
    body = read_body(application.TranscriptRequest)
    answer = jsonify(transcript.issue(running().parts, grant, body["person"], body["document"]))
    answer.status_code = 201
    return answer


@blueprint.route("/transcripts/<ref>", methods=["GET"])
@declares(
    Audience.VENDOR, scopes=("transcripts.read",), answer=application.Transcript,
    refusals=(errors.AUT_TOKEN_INVALID, errors.AUT_TOKEN_EXPIRED, errors.SCP_MISSING, errors.RCP_NOT_ADDRESSEE,
              errors.LED_UNAVAILABLE),
    summary="Fetch a transcript that was directed to you",
)  # fmt: skip
def fetch_transcript(grant: Grant, ref: str) -> Response:
    """To anybody but its addressee there is no such document."""
    return sent(transcript.deliver(running().parts, grant, ref))


@blueprint.route("/openapi.json", methods=["GET"])
@declares(Audience.PUBLIC, summary="This document")
def openapi() -> Any:
    """Generated from the declarations of the routes themselves."""
    from gateway.web.openapi import document

    return jsonify(document())
