import pytest

from gateway.sandbox import sis
from gateway.sandbox.district import delivery
from gateway.sandbox.loopback import running
from gateway.sandbox.wire import fetch


@pytest.fixture
def url():
    with running(sis.create_app) as url:
        yield url


def token(url, secret=sis.CLIENT_SECRET):
    form = {"grant_type": "client_credentials"}
    return fetch("POST", f"{url}/token", data=form, auth=(sis.CLIENT_ID, secret))


def test_the_export_needs_a_token_and_is_the_night_that_was_asked_for(url):
    bearer = {"Authorization": f"Bearer {token(url).json()['access_token']}"}
    first = fetch("GET", f"{url}/export/oneroster.zip", headers=bearer)
    fetch("POST", f"{url}/_sandbox/night", json={"night": 2})
    second = fetch("GET", f"{url}/export/oneroster.zip", headers=bearer)
    assert first.headers["Content-Type"] == "application/zip"
    assert (first.content, second.content) == (delivery(1).zipped(), delivery(2).zipped())


def test_a_wrong_secret_or_token_is_refused_in_json(url):
    assert (token(url, "wrong").status_code, token(url, "wrong").json()["error"]) == (401, "invalid_client")
    for headers in ({}, {"Authorization": "Bearer nope"}):
        refused = fetch("GET", f"{url}/export/oneroster.zip", headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
