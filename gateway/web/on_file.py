"""The door of a school's own people to what is on file: list, plan, apply, end; with their personal token."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, request
from marshmallow import RAISE, Schema, fields, validate

from gateway import errors
from gateway.errors import Refused
from gateway.flows import on_file
from gateway.identity.staff import Person
from gateway.web.contract import Audience, declares, read_body, running

blueprint = Blueprint("on_file", __name__, url_prefix="/v1/on_file")

_REFUSALS = (
    errors.AUT_STAFF_UNKNOWN, errors.ACT_NOT_STAFF, errors.REQ_INVALID, errors.REQ_UNKNOWN, errors.REQ_NOT_FOUND,
)  # fmt: skip


class Lines(Schema):
    """Papers, each in the words of its kind; `apply` puts them on file, otherwise it is said what would change."""

    class Meta:
        unknown = RAISE

    lines = fields.List(fields.Dict(keys=fields.String()), required=True, validate=validate.Length(1, 2_000))
    apply = fields.Boolean(load_default=False)


def _kind(text: str) -> str:
    if text not in on_file.KINDS:
        raise Refused(errors.REQ_NOT_FOUND, f"kinds are {', '.join(on_file.KINDS)}")
    return text


@blueprint.route("/<kind>", methods=["GET"])
@declares(Audience.STAFF, refusals=_REFUSALS, summary="What is on file, in its latest version, at your schools")
def listing(by: Person, kind: str) -> Any:
    """Agreements, directions, consents or opt-outs, school by school."""
    return jsonify(data=on_file.listing(running().parts, by, _kind(kind)))


@blueprint.route("/<kind>", methods=["POST"])
@declares(
    Audience.STAFF, body=Lines, refusals=(*_REFUSALS, errors.AGR_COMMITMENTS_INCOMPLETE, errors.REQ_OVERLAP),
    summary="Plan papers, or put them on file: all of them, or none when one cannot be",
)  # fmt: skip
def file(by: Person, kind: str) -> Any:
    """The plan, line by line; with `apply`, what was done. A line at fault is named with its code and remedy."""
    said = read_body(Lines)
    done = (on_file.apply if said["apply"] else on_file.plan)(running().parts, by, _kind(kind), said["lines"])
    faults = [
        {"row": f.row, "code": f.reason.code, "detail": f.detail, "remedy": f.reason.remedy, "who": str(f.reason.owner)}
        for f in done.faults
    ]
    if faults and said["apply"]:
        raise Refused(errors.REQ_INVALID, "nothing was put on file: see the lines that cannot be", fields=faults)
    lines = [{"row": line.row, "number": line.number, "action": line.action} for line in done.lines]
    return jsonify(lines=lines, faults=faults, applied=said["apply"], **done.counts)


@blueprint.route("/<kind>/<ref>/end", methods=["POST"])
@declares(Audience.STAFF, refusals=(*_REFUSALS, errors.REQ_CONFLICT), summary="End a paper now, at every school")
def end(by: Person, kind: str, ref: str) -> Any:
    """An agreement ends, a direction is revoked, a consent withdrawn: as its next version."""
    if request.get_data():
        raise Refused(errors.REQ_INVALID, "this takes no body")
    return jsonify(schools=on_file.end(running().parts, by, _kind(kind), ref))
