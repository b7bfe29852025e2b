"""Every route declares its audience, its scopes and its refusals; a new one without them fails."""

import pytest
from flask import Flask

from gateway.errors import VOCABULARY
from gateway.policy.request import RULES
from gateway.web.contract import BEARERS, Audience, Declared, declares

OWN_SCOPES = {"transfers.read", "transcripts.write"}
NAMED = (Audience.STAFF, Audience.DELIVERER)
SCOPES = {scope for rule in RULES.values() for scope in rule.scopes} | OWN_SCOPES


def undeclared(app: Flask) -> list[str]:
    """Routes that nobody declared, Flask's own for style sheets aside."""
    return [
        str(rule)
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static" and not isinstance(declared_of(app, rule.endpoint), Declared)
    ]


def declared_of(app: Flask, endpoint: str) -> Declared | None:
    view = app.view_functions[endpoint]
    while not hasattr(view, "declared") and hasattr(view, "__wrapped__"):
        view = view.__wrapped__
    return getattr(view, "declared", None)


def test_every_route_is_declared(world):
    assert undeclared(world.app) == []
    assert len(list(world.app.url_map.iter_rules())) > 20


def test_a_route_without_a_declaration_is_noticed():
    app = Flask("new")
    app.add_url_rule("/new", "new", lambda: "")
    assert undeclared(app) == ["/new"]


def test_declarations_say_what_they_must(world):
    for rule in world.app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        declared = declared_of(world.app, rule.endpoint)
        assert declared.summary, rule
        assert set(declared.scopes) <= SCOPES, rule
        assert all(VOCABULARY[reason.code] is reason for reason in declared.refusals), rule
        assert bool(declared.scopes) == (declared.audience in BEARERS), rule
        assert declared.refusals or declared.audience is Audience.PUBLIC, rule


def test_nobody_without_a_token_passes_a_bearers_route(world):
    asked = 0
    for rule in world.app.url_map.iter_rules():
        declared = declared_of(world.app, rule.endpoint) if rule.endpoint != "static" else None
        if declared is None or declared.audience not in (*BEARERS, *NAMED):
            continue
        path = rule.rule
        for argument in rule.arguments:
            path = path.replace(f"<{argument}>", "x")
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            for headers in ({}, {"Authorization": "Bearer none"}, {"Authorization": "Basic eDp5"}):
                answer = world.client.open(path, method=method, headers=headers)
                assert answer.status_code == 401, (method, path, headers)
                assert ("AUT_STAFF_UNKNOWN" if declared.audience in NAMED else "AUT_TOKEN_INVALID") in answer.text
                asked += 1
    assert asked > 30


@pytest.mark.parametrize("audience", list(Audience))
def test_every_audience_has_a_route(world, audience):
    found = [declared_of(world.app, r.endpoint) for r in world.app.url_map.iter_rules() if r.endpoint != "static"]
    assert audience in {d.audience for d in found}


def test_a_declared_view_keeps_its_name_and_docstring():
    @declares(Audience.PUBLIC, summary="s")
    def view():
        """Promise."""

    assert (view.__name__, view.__doc__, view.declared.summary) == ("view", "Promise.", "s")
