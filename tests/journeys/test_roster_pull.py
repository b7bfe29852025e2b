"""A bulk delivery fetched with OAuth client credentials, and every way the fetching can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from gateway.errors import Refused
from gateway.flows import onboarding, rosters
from gateway.flows.rosters import pull
from gateway.store import sources
from tests.deliveries import two_schools
from tests.worlds import World

ZIP, TOKEN = "https://sis.example/export.zip", "https://sis.example/token"


class Sis:
    """A source of the district that is fetched."""

    def __init__(self, world: World, wire, folder: Path) -> None:
        self.world, self.wire = world, wire
        world.source = onboarding.add_source(world.office, world.by, "sis", ZIP, TOKEN, "us", "s3cret")
        world.onboard("A", "B")
        self.body = two_schools().zip(folder / "out.zip").read_bytes()

    def token(self, status: int = 200, **said) -> None:
        answer = {"access_token": "t0k", "token_type": "Bearer", "expires_in": 600}
        self.wire.post(TOKEN, status=status, json=said or answer)

    def delivery(self, body: bytes | Exception | None = None, status: int = 200, **more) -> None:
        self.wire.get(ZIP, body=self.body if body is None else body, status=status, **more)

    def fetch(self) -> rosters.Report:
        world = self.world
        with world.office.database.open_district(world.by.district) as session:
            found = sources.find(session, "sis")
        with pull.fetched(world.parts, world.by.district, found) as found:
            return rosters.sync(world.office, world.by.district, world.source, found.path, world.by.ref, publish=True)


@pytest.fixture
def sis(public_world, wire, tmp_path) -> Sis:
    return Sis(public_world, wire, tmp_path)


def test_a_delivery_is_fetched_and_published(sis):
    sis.token()
    sis.delivery()
    assert sis.fetch().state == "published"
    asked = sis.wire.calls[-1].request
    assert asked.headers["Authorization"] == "Bearer t0k"


def test_the_secret_is_sealed_at_rest(sis):
    with sis.world.office.database.open_district(sis.world.by.district) as session:
        kept = sources.find(session, "sis")
    assert b"s3cret" not in bytes(kept.secret)


@pytest.mark.parametrize(
    ("fail", "code"),
    [
        pytest.param(lambda s: s.token(401, error="invalid_client"), "SRC_CREDENTIALS", id="wrong-secret"),
        pytest.param(lambda s: (s.token(), s.delivery(status=401)), "SRC_CREDENTIALS", id="token-not-accepted"),
        pytest.param(lambda s: (s.token(), s.delivery(status=500)), "SRC_ANSWER", id="broken"),
        pytest.param(lambda s: (s.token(), s.delivery(status=404)), "SRC_ANSWER", id="not-there"),
        pytest.param(lambda s: (s.token(), s.delivery(status=302, headers={"Location": "http://127.0.0.1/"})),
                     "SRC_ANSWER", id="redirect"),
        pytest.param(lambda s: (s.token(), s.delivery(requests.ConnectionError("gone"))), "SRC_UNREACHABLE", id="gone"),
        pytest.param(lambda s: (s.token(), s.delivery(requests.ReadTimeout("slow"))), "SRC_UNREACHABLE", id="slow"),
        pytest.param(lambda s: (s.token(), s.delivery(b"x" * (257 << 20))), "SRC_TOO_LARGE", id="too-large"),
    ],
)  # fmt: skip
def test_a_source_that_fails_is_named_and_changes_nothing(sis, fail, code):
    fail(sis)
    with pytest.raises(Refused) as refused:
        sis.fetch()
    assert refused.value.reason.code == code
    assert "s3cret" not in str(refused.value)
    assert "t0k" not in str(refused.value)


def test_a_web_page_instead_of_a_zip_is_refused(sis):
    sis.token()
    sis.delivery(b"<html>maintenance</html>", content_type="text/html")
    report = sis.fetch()
    assert (report.state, report.code) == ("refused", "CSV_NOT_A_ZIP")


def test_a_source_without_an_address_wants_a_file(world):
    world.onboard("A")
    with world.office.database.open_district(world.by.district) as session:
        found = sources.find(session, "sis")
    with pytest.raises(Refused, match="name the delivery"), pull.fetched(world.parts, world.by.district, found):
        pass


def test_a_source_is_read_and_never_written(sis):
    """One token for our credentials, one download; no other method, address or body goes there."""
    sis.token()
    sis.delivery()
    sis.fetch()
    assert [(c.request.method, c.request.url) for c in sis.wire.calls] == [("POST", TOKEN), ("GET", ZIP)]
    assert not sis.wire.calls[-1].request.body
