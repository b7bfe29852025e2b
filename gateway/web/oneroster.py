"""The OneRoster 1.2 rostering face: one route for each collection of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from gateway import errors
from gateway.errors import Refused
from gateway.flows import vendor_read
from gateway.identity.clients import Grant
from gateway.policy.request import DEMOGRAPHICS_SCOPE, ROSTER_CORE_SCOPE, ROSTER_SCOPE
from gateway.web.contract import Audience, declares, running, sent
from mappings.oneroster.v1p2 import BASE, COLLECTIONS, Collection

blueprint = Blueprint("oneroster", __name__, url_prefix=BASE)

_REFUSALS = (
    errors.AUT_TOKEN_INVALID, errors.AUT_TOKEN_EXPIRED, errors.SCP_MISSING, errors.DIR_MISSING, errors.AGR_NONE,
    errors.AGR_EXPIRED, errors.ELM_REQUIRED_WITHHELD, errors.ELM_NOT_IN_SCHEDULE, errors.REQ_PARAMETER,
    errors.REQ_FIELD_UNKNOWN, errors.REQ_FILTER_WAITING, errors.REQ_CURSOR, errors.SRC_HISTORY, errors.LED_UNAVAILABLE,
)  # fmt: skip
_KNOWN = frozenset({"limit", "offset", "fields", "cursor"})
_WAITING = frozenset({"filter", "sort", "orderBy"})


def _query() -> vendor_read.Query:
    """Read the query parameters; each stands once. Raises Refused."""
    said = request.args
    if set(said) & _WAITING:
        raise Refused(errors.REQ_FILTER_WAITING)
    if set(said) - _KNOWN or any(len(said.getlist(name)) > 1 for name in said):
        raise Refused(errors.REQ_PARAMETER)
    limit, offset = _number("limit", 100, 1, vendor_read.MOST), _number("offset", 0, 0, 100_000_000)
    names = tuple(name.strip() for name in said["fields"].split(",")) if "fields" in said else ()
    if "" in names:
        raise Refused(errors.REQ_FIELD_UNKNOWN)
    return vendor_read.Query(limit, offset, names, said.get("cursor"))


def _number(name: str, default: int, least: int, most: int) -> int:
    text = request.args.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= 100_000_000:
        raise Refused(errors.REQ_PARAMETER)
    return min(int(text[:12]), most)


def _scopes(collection: Collection) -> tuple[str, ...]:
    return (DEMOGRAPHICS_SCOPE,) if collection.demographics else (ROSTER_SCOPE, ROSTER_CORE_SCOPE)


def _view(collection: Collection) -> Callable[..., Any]:
    @declares(
        Audience.VENDOR, scopes=_scopes(collection), refusals=_REFUSALS, answer=collection.schema,
        summary=f"{collection.operation_id} (OneRoster 1.2)",
    )  # fmt: skip
    def view(grant: Grant) -> Response:
        query = _query()
        page = vendor_read.read(running().parts, grant, collection, query)
        response = sent(page.body)
        response.headers["X-Total-Count"] = str(page.total)
        response.headers["Link"] = ", ".join(_links(collection, query, page))
        return response

    view.__name__ = collection.operation_id
    return view


def _links(collection: Collection, query: vendor_read.Query, page: vendor_read.Page) -> list[str]:
    base = f"{running().parts.settings.url}{BASE}/{collection.path}"
    kept = {"limit": query.limit} | ({"fields": ",".join(query.fields)} if query.fields else {})
    links = [f'<{base}?{urlencode(kept)}>; rel="first"']
    if page.next:
        links.append(f'<{base}?{urlencode(kept | {"cursor": page.next})}>; rel="next"')
    return links


def _single(collection: Collection) -> Callable[..., Any]:
    @declares(
        Audience.VENDOR, scopes=_scopes(collection), refusals=(*_REFUSALS, errors.OWN_NOT_ASSOCIATED),
        summary=f"{collection.single_id} (OneRoster 1.2)", answer=collection.schema,
    )  # fmt: skip
    def view(grant: Grant, sourced_id: str) -> Response:
        if request.args:
            raise Refused(errors.REQ_PARAMETER)
        return sent(vendor_read.read_one(running().parts, grant, collection, sourced_id))

    view.__name__ = collection.single_id
    return view


for _collection in COLLECTIONS.values():
    blueprint.add_url_rule(f"/{_collection.path}", view_func=_view(_collection), methods=["GET"])
    blueprint.add_url_rule(f"/{_collection.path}/<sourced_id>", view_func=_single(_collection), methods=["GET"])
