"""The OpenAPI document of `/v1`, generated from what its routes declare."""

from __future__ import annotations

import re
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import current_app

from gateway.web.contract import BEARERS, Audience, Declared, running


def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    spec = APISpec(
        "Schoolgate application API", "1", "3.1.0", plugins=[MarshmallowPlugin()],
        info={"description": "The assessment platform's side of the gateway."},
        servers=[{"url": running().parts.settings.url}],
    )  # fmt: skip
    spec.components.security_scheme(
        "bearer",
        {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "/oauth2/token", "scopes": {}}}},
    )
    spec.components.security_scheme("personal", {"type": "http", "scheme": "bearer"})
    for rule in current_app.url_map.iter_rules():
        view = current_app.view_functions[rule.endpoint]
        declared = getattr(view, "declared", None)
        if rule.rule.startswith("/v1/") and declared:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            spec.path(path, operations={m.lower(): _operation(rule.endpoint, declared, rule) for m in methods})
    return dict(spec.to_dict())


def _operation(name: str, declared: Declared, rule: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": name.rpartition(".")[2], "summary": declared.summary, "x-audience": str(declared.audience),
        "parameters": [
            {"name": argument, "in": "path", "required": True, "schema": {"type": "string"}}
            for argument in sorted(rule.arguments)
        ],
        "responses": {"200": {"description": "The answer"}} | _refusals(declared),
    }  # fmt: skip
    if declared.answer:
        made["responses"]["200"]["content"] = {"application/json": {"schema": declared.answer}}
    if declared.body:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": declared.body}}}
    if declared.audience in BEARERS:
        made["security"] = [{"bearer": list(declared.scopes)}]
    elif declared.audience is Audience.STAFF:
        made["security"] = [{"personal": []}]
    return made


def _refusals(declared: Declared) -> dict[str, Any]:
    by_status: dict[str, list[str]] = {}
    for reason in declared.refusals:
        by_status.setdefault(str(reason.http), []).append(reason.code)
    return {status: {"description": ", ".join(codes)} for status, codes in sorted(by_status.items())}
