"""The district's own door: a delivery handed in whole, by who may, and run once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.flows import onboarding
from gateway.flows.onboarding import deliveries
from gateway.flows.rosters import arrivals, timetable
from gateway.flows.rosters.spool import Spool
from gateway.jobs import work
from gateway.store import sources
from tests.conftest import world_on
from tests.deliveries import two_schools
from tests.worlds import World


def digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


class Door:
    """A district and what is handed in at its door."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world.unseeded().onboard("A", "B"), folder
        self.zip = two_schools().zip(folder / "good.zip").read_bytes()
        self.path = f"/district/v1/sources/{world.source}"
        self.spool = Spool.of(world.office.settings)

    def put(self, body: bytes | None = None, token: str = "", source: str = "", **headers: str) -> Any:
        body = self.zip if body is None else body
        said = {"Authorization": f"Bearer {token or self.world.token}", "Content-Digest": digest(body)}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        path = f"/district/v1/sources/{source or self.world.source}/delivery"
        length = said.pop("Content-Length", str(len(body)))
        headers = {k: v for k, v in said.items() if v != "-"}
        return self.world.client.put(path, data=body, headers=headers, environ_overrides={"CONTENT_LENGTH": length})

    def get(self, run: str, token: str = "") -> Any:
        headers = {"Authorization": f"Bearer {token or self.world.token}"}
        return self.world.client.get(f"{self.path}/runs/{run}", headers=headers)

    def work(self) -> None:
        """Run what is due. While a job runs, the next one of its lock is not due yet: it is looked for once more."""
        for _ in range(2):
            work(self.world.parts, once=True)

    def spooled(self) -> list[str]:
        return sorted(one.name for one in self.spool.folder.iterdir()) if self.spool.folder.exists() else []

    def runs(self) -> list[Any]:
        with self.world.office.database.open_intake(self.world.by.district) as session:
            return list(sources.history(session, self.world.source))


@pytest.fixture
def door(fresh_database, settings, clock, tmp_path) -> Iterator[Door]:
    public = replace(settings, url="https://gateway.example", sandbox=False)
    with world_on(fresh_database(), public, clock) as world:
        yield Door(world, tmp_path)


def refused(answer: Any) -> tuple[int, str]:
    assert answer.mimetype == "application/problem+json"
    return answer.status_code, answer.json["code"]


def test_a_delivery_that_is_handed_in_is_run_by_a_job(door):
    answer = door.put()
    assert (answer.status_code, answer.json["state"]) == (202, "waiting")
    run = answer.json["run"]
    assert answer.headers["Location"] == f"{door.path}/runs/{run}"
    assert door.get(run).json["state"] == "waiting"
    assert door.spooled() == [run]
    assert oct(door.spool.path(run).stat().st_mode & 0o777) == "0o600"
    assert oct(door.spool.folder.stat().st_mode & 0o777) == "0o700"
    door.work()
    said = door.get(run).json
    assert (said["state"], said["code"], said["progress"]) == ("published", None, None)
    assert {file["file"] for file in said["files"]} >= {"users.csv", "enrollments.csv"}
    assert door.spooled() == []
    (kept,) = door.runs()
    assert (kept.run, kept.acted_by, kept.delivery_hash) == (
        run,
        door.world.by.ref,
        hashlib.sha256(door.zip).hexdigest(),
    )


def test_the_same_bytes_sent_twice_are_one_run_and_newer_ones_take_the_place_of_older(door):
    first = door.put().json["run"]
    assert door.put().json["run"] == first
    newer = two_schools(13).zip(door.folder / "newer.zip").read_bytes()
    second = door.put(newer).json["run"]
    assert second != first
    assert door.get(first).json["state"] == "replaced"
    assert door.spooled() == [second]
    door.work()
    assert [run.run for run in door.runs()] == [second]


def test_a_delivery_that_is_bad_is_refused_by_its_run_and_the_district_is_told(door):
    run = door.put(b"PK not a zip").json["run"]
    door.work()
    said = door.get(run).json
    assert (said["state"], said["code"], said["refusal"]["owner"]) == (
        "refused",
        "CSV_NOT_A_ZIP",
        "the registrar who exports the roster",
    )
    from gateway.store import notifications

    with door.world.office.database.open_district(door.world.by.district) as session:
        assert [row.cause for row in notifications.listing(session, unseen=True, limit=9)] == ["failed"]


def test_a_hold_stays_held(door):
    door.put()
    door.work()
    run = door.put(two_schools(6).zip(door.folder / "small.zip").read_bytes()).json["run"]
    door.work()
    assert (door.get(run).json["state"], door.get(run).json["code"]) == ("held", "SRC_HELD")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content_Digest": "-"}, "REQ_INVALID"),
        ({"Content_Digest": "md5=:AAAA:"}, "REQ_INVALID"),
        ({"Content_Digest": "sha-256=abc"}, "REQ_INVALID"),
        ({"Content_Digest": digest(b"another")}, "SRC_UPLOAD_BROKEN"),
        ({"Content_Length": "1"}, "SRC_UPLOAD_BROKEN"),
        ({"Content_Length": "0"}, "REQ_INVALID"),
        ({"Content_Length": str(257 << 20)}, "REQ_TOO_LARGE"),
        ({"Content_Length": str(1 << 62)}, "REQ_TOO_LARGE"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_was_said_is_refused_and_leaves_nothing(door, headers, code):
    assert refused(door.put(**headers))[1] == code
    assert door.spooled() == []
    assert door.runs() == []


def test_a_body_that_ends_early_is_refused_and_leaves_nothing(door):
    answer = door.put(Content_Length=str(len(door.zip) + 10))
    assert refused(answer) == (400, "SRC_UPLOAD_BROKEN")
    assert door.spooled() == []


def test_a_digest_among_others_is_read(door):
    both = f"md5=:AAAAAAAAAAAAAAAAAAAAAA==:, {digest(door.zip)}"
    assert door.put(Content_Digest=both).status_code == 202


def test_a_body_may_be_larger_than_other_requests_and_no_larger_than_a_delivery(door):
    body = b"PK" + b"0" * (3 << 20)
    assert door.put(body).status_code == 202
    answer = door.world.client.post(
        "/v1/on_file/opt_out", data=body, headers={"Authorization": f"Bearer {door.world.token}"}
    )
    assert refused(answer)[0] in (413, 422)


# --- who may ---------------------------------------------------------------------------------------


def test_a_machine_hands_in_for_its_own_source_with_a_token(door):
    world = door.world
    _, token = deliveries.make_token(world.office, world.by, "sis")
    run = door.put(token=token).json["run"]
    assert door.get(run, token).json["state"] == "waiting"
    door.work()
    assert door.runs()[0].acted_by == "sys_deliverer"
    other = onboarding.add_source(world.office, world.by, "other", None, None, None, "")
    for answer in (door.put(token=token, source=other), door.put(token=token, source="src_0000000000000000")):
        assert refused(answer) == (404, "REQ_NOT_FOUND")


def test_a_token_ends_with_the_next_one_and_after_a_year(door):
    world = door.world
    _, old = deliveries.make_token(world.office, world.by, "sis")
    _, new = deliveries.make_token(world.office, world.by, "sis")
    assert refused(door.put(token=old)) == (401, "AUT_STAFF_UNKNOWN")
    assert door.put(token=new).status_code == 202
    world.clock.forward(days=366)
    assert refused(door.put(token=new)) == (401, "AUT_STAFF_UNKNOWN")


@pytest.mark.parametrize("token", ["none", "x" * 500, "\u00e9"])
def test_nobody_else_gets_in(door, token):
    assert refused(door.put(token=token)) == (401, "AUT_STAFF_UNKNOWN")


def test_only_an_administrator_of_that_district_gets_in(door, settings, clock):
    world = door.world
    _, officer = onboarding.add_staff(world.office, world.by, "O. Officer", "privacy_officer", None)
    assert refused(door.put(token=officer)) == (403, "ACT_NOT_STAFF")
    _, _, stranger = onboarding.add_district(world.office, "Another", "A. Admin", "strictest")
    run = door.put().json["run"]
    for answer in (door.put(token=stranger), door.get(run, stranger)):
        assert refused(answer) == (404, "REQ_NOT_FOUND")
    assert refused(door.get("run_0000000000000000")) == (404, "REQ_NOT_FOUND")


def test_a_run_of_another_source_of_the_district_is_not_this_ones(door):
    run = door.put().json["run"]
    world = door.world
    other = onboarding.add_source(world.office, world.by, "other", None, None, None, "")
    answer = world.client.get(
        f"/district/v1/sources/{other}/runs/{run}", headers={"Authorization": f"Bearer {world.token}"}
    )
    assert refused(answer) == (404, "REQ_NOT_FOUND")


def test_a_source_that_is_paused_takes_nothing(door):
    timetable.pause(door.world.office, door.world.by, "sis", "year end", None, None)
    answer = door.put()
    assert refused(answer) == (409, "SRC_PAUSED")
    assert "year end" in answer.json["detail"]
    assert door.spooled() == []


def test_the_door_is_rate_limited(door):
    codes = [door.get("run_0000000000000000").status_code for _ in range(125)]
    assert codes.count(429) > 0
    assert door.world.client.get(f"{door.path}/runs/x").status_code == 429


# --- what goes wrong meanwhile ---------------------------------------------------------------------


def test_a_spool_that_cannot_be_written_is_said_and_nothing_waits(door):
    door.spool.folder.parent.mkdir(parents=True, exist_ok=True)
    door.spool.folder.write_text("a file in its place")
    assert refused(door.put()) == (503, "SRC_SPOOL")
    assert door.runs() == []


def test_a_disk_that_is_full_is_said_and_leaves_nothing(door, monkeypatch):
    from gateway.flows.rosters import spool

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "copied", full)
    assert refused(door.put()) == (503, "SRC_SPOOL")
    assert door.spooled() == []


def test_a_delivery_that_left_the_spool_is_a_run_that_failed(door):
    run = door.put().json["run"]
    door.spool.remove(run)
    door.work()
    assert (door.get(run).json["state"], door.get(run).json["code"]) == ("refused", "SRC_UPLOAD_LOST")


def test_a_worker_that_is_lost_leaves_the_delivery_to_the_next_one(door, monkeypatch):
    run, world = door.put().json["run"], door.world

    class Killed(BaseException):
        pass

    with monkeypatch.context() as patched:

        def killed(*_: Any, **__: Any) -> None:
            raise Killed

        patched.setattr(arrivals, "sync", killed)
        with pytest.raises(Killed):
            arrivals.take(world.parts, world.by.district, run)
    assert door.get(run).json["state"] == "running"
    assert arrivals.take(world.parts, world.by.district, run).state == "published"
    assert arrivals.take(world.parts, world.by.district, run) is None
    assert len(door.runs()) == 1


def test_a_worker_that_is_lost_after_its_run_does_not_run_it_again(door, monkeypatch):
    run, world = door.put().json["run"], door.world
    from gateway.store import arrivals as kept

    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(kept, "end", killed)
        with pytest.raises(Killed):
            arrivals.take(world.parts, world.by.district, run)
    assert door.get(run).json["state"] == "published"
    assert arrivals.take(world.parts, world.by.district, run) is None
    assert (len(door.runs()), door.spooled()) == (1, [])
