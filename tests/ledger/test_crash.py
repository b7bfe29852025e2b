"""The database is killed under load, and whatever was acknowledged is there when it comes back.

A server of its own that keeps what it commits: nothing of the tests' usual softness. Killed with all its children.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import psycopg
import pytest

from gateway.embedded import EmbeddedPostgres
from gateway.errors import Refused
from gateway.ledger import checkpoint, entry, together
from gateway.office import make_office
from gateway.settings import Settings
from gateway.store.migrate import upgrade
from gateway.store.tenant import UNREACHABLE
from tests.ledger.test_log import assert_whole, written
from tests.ledger.test_together import kept, line
from tests.worlds import Steered, World

CALLERS = 8


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(tmp_path / "instance")
    try:
        yield made
    finally:
        made.destroy()


def begin(server: EmbeddedPostgres) -> World:
    addresses = server.ensure()
    upgrade(addresses.owner)
    settings = Settings(server.instance, "http://127.0.0.1:8080", "", "", "", True, 0, 256)
    world = World(make_office(settings, addresses.application), Steered(datetime.now(UTC)))
    return world.found("A")


def kill(server: EmbeddedPostgres) -> None:
    """End the postmaster and all it has started, as a machine that goes dark does."""
    own = int((server.data / "postmaster.pid").read_text().split()[0])
    os.kill(own, signal.SIGSTOP)
    children = [int(one) for one in Path(f"/proc/{own}/task/{own}/children").read_text().split()]
    for process in (own, *children):
        os.kill(process, signal.SIGKILL)
    while any(map(_runs, (own, *children))):
        sleep(0.02)
    for name in (server.data / "postmaster.pid", server.socket / ".s.PGSQL.5432.lock"):
        name.unlink()  # they name a process that nobody may have waited for yet


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def load(world: World, first: int, stop: threading.Event, acknowledged: list[str]) -> None:
    """Intend until the server is gone; half of the callers write something besides."""
    number = first
    while not stop.is_set():
        number += 1
        try:
            with world.office.database.open_school(world.places["A"]) as session:
                session.flush_after_commit()
                together.intend(session, [line(world, number)])
                if number % 2:
                    session.run(
                        "INSERT INTO subject_key VALUES (%(district)s, %(school)s, %(person)s, 'salt')",
                        person=f"p{number}",
                    )
        except (Refused, *UNREACHABLE):
            return
        acknowledged.append(f"tr_{number:08d}")


def crash(server: EmbeddedPostgres, world: World, round_: int, seconds: float) -> set[str]:
    """Load it, sign meanwhile, kill it, start it again; return what was acknowledged."""
    stop, told = threading.Event(), [list[str]() for _ in range(CALLERS)]
    callers = [threading.Thread(target=load, args=(world, (round_ * CALLERS + n) * 100_000, stop, told[n]))
               for n in range(CALLERS)]  # fmt: skip
    for caller in callers:
        caller.start()
    sleep(seconds / 2)
    with world.office.database.open_school(world.places["A"]) as session:
        world.sign(session)
    sleep(seconds / 2)
    kill(server)
    stop.set()
    for caller in callers:
        caller.join(60)
    world.office.database.close()
    server.ensure()
    return {ref for own in told for ref in own}


def survives(server: EmbeddedPostgres, rounds: int, seconds: float) -> None:
    world, acknowledged = begin(server), set[str]()
    for round_ in range(rounds):
        acknowledged |= crash(server, world, round_, seconds)
        assert_whole(world)
        places, bodies = kept(world), [entry.decode(body)["id"] for body in written(world)]
        assert acknowledged <= set(bodies)
        assert {ref: bodies[place] for ref, place in places.items()} == {ref: ref for ref in bodies}
        with world.office.database.open_school(world.places["A"]) as session:
            assert checkpoint.verify(*world.sign(session)).size == len(bodies)  # not behind what was signed before
    assert acknowledged
    world.office.database.close()
    del world
    gc.collect()  # pools whose server was killed let go of their connections, open as they are


pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the server's processes in /proc"),
]


def test_what_was_acknowledged_outlives_the_server(server):
    with psycopg.connect(server.ensure().admin) as admin:
        assert admin.execute("SELECT current_setting('fsync') || current_setting('synchronous_commit')").fetchone() == (
            "onon",
        )
    survives(server, 2, 0.8)


@pytest.mark.invariants
def test_what_was_acknowledged_outlives_the_server_again_and_again(server):
    survives(server, 25, 1.5)
