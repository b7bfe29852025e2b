"""Where the measuring happens: one embedded PostgreSQL, a district onboarded through the product's own flows, and
all web servers, the gateway's and the floors', run alike (gunicorn, one process, eight threads; ltijs is one process of
Node), each on the same one core where the system lets a process be held to one.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg

from gateway.embedded import EmbeddedPostgres
from gateway.office import make_office
from gateway.settings import Settings
from gateway.store.migrate import upgrade
from tests.benchmarks import naive
from tests.benchmarks.client import Connection, get
from tests.benchmarks.district import District, Night
from tests.benchmarks.table import require
from tests.platforms import Platform, public_jwk
from tests.worlds import Steered, World

DATABASE = "bench"
OPTIONS = "--workers=1 --worker-class=gthread --threads=8 --keep-alive=60 --no-control-socket --log-level=error"
SERVERS = {
    "gateway": "gateway.app:create_app()", "floor": "tests.benchmarks.floor_app:create_app()",
    "raw": "tests.benchmarks.floor_raw:app", "pylti": "tests.benchmarks.floor_pylti:create_app()", "ltijs": "",
}  # fmt: skip
_NODE = Path(__file__).parent / "ltijs" / "server.js"
LTIJS = Path(__file__).parents[2] / "bench-out" / "ltijs" / "node_modules"  # there where `make bench` found npm
_UNIT = 1 << 20 if sys.platform == "darwin" else 1 << 10  # of ru_maxrss, in a mebibyte


@dataclass(frozen=True, slots=True)
class Applied:
    """A delivery brought in by a process of its own: how long, its peak of resident memory, and what it said."""

    seconds: float
    mebibytes: float
    report: dict[str, Any]


class Town:
    """The server and the district of one run of the benchmarks."""

    def __init__(self, folder: Path, district: District, server: EmbeddedPostgres) -> None:
        self.folder, self.district, self.log = folder, district, folder / "servers.log"
        addresses = server.ensure(DATABASE)
        upgrade(addresses.owner)
        self.admin = addresses.admin.replace("@/postgres?", f"@/{DATABASE}?")
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in SERVERS]
        self.ports = [listening.getsockname()[1] for listening in self.sockets]
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        settings = Settings(server.instance, self.url, addresses.application, "", "", True, 0, 4096)
        self.office = make_office(settings, addresses.application)
        self.world = World(self.office, Steered(datetime.now(UTC))).onboard(*district.schools)
        self.platform = Platform()
        self.environment = os.environ | {
            "SCHOOLGATE_INSTANCE": str(server.instance), "DATABASE_URL": addresses.application,
            "SCHOOLGATE_URL": self.url, "SCHOOLGATE_SANDBOX": "1", "SCHOOLGATE_TOKEN": self.world.token,
        }  # fmt: skip
        self.delivery = folder / "delivery.zip"
        for schema in ("floor", naive.SCHEMA):
            self.sql(f"CREATE SCHEMA {schema}")
        durable = self.sql("SELECT current_setting('fsync') || current_setting('synchronous_commit')")
        require(durable == [("onon",)], "the server does not keep what it commits")

    def close(self) -> None:
        self.office.database.close()
        for listening in self.sockets:
            listening.close()

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement run by the server's superuser, who sees every school."""
        with psycopg.connect(self.admin, autocommit=True) as admin:
            cursor = admin.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def load(self, night: Night) -> Applied:
        """Write a night's delivery, bring it in, and check that it came in whole."""
        path = self.district.write(self.delivery, night)
        if night is not Night.FIRST:
            self.sql("VACUUM ANALYZE")  # nights are a day apart: by then the server has done this by itself
        self.sql("CHECKPOINT")  # what was written before is not this night's burden
        applied = self._apply(path)
        report = applied.report
        require(not report["faults"] and not any(f["bad"] for f in report["files"]), f"{night.name}: rows are bad")
        wanted = "unchanged" if night is Night.SHUFFLED else "published"
        require(report["state"] == wanted, f"{night.name}: {report['state']}")
        return applied

    def _apply(self, delivery: Path) -> Applied:
        """Run `schoolgate sync apply` in a process of its own; its start-up counts."""
        return self._sound("gateway.cli", "sync", "apply", "sis", str(delivery), "--json")

    def brought(self, delivery: Path) -> tuple[int, Applied]:
        """Bring in a delivery that may be refused; return the exit code too."""
        return self._run("gateway.cli", "sync", "apply", "sis", str(delivery), "--json")

    def naive(self) -> Applied:
        """Bring the night's delivery in once more, on the naive path."""
        places = {org: place.school for org, place in self.world.places.items()}
        self.sql("CHECKPOINT")
        words = (self.admin, str(self.world.by.district), str(self.delivery), json.dumps(places))
        return self._sound("tests.benchmarks.naive", *words)

    def _sound(self, module: str, *words: str) -> Applied:
        code, applied = self._run(module, *words)
        require(code == 0, f"{module} ended with {code}: {applied.report}")
        return applied

    def _run(self, module: str, *words: str) -> tuple[int, Applied]:
        with tempfile.TemporaryFile() as said:
            began = perf_counter()
            command = [sys.executable, "-m", module, *words]
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=self.environment)
            with _peak_of(process.pid) as peak:
                _, status, used = os.wait4(process.pid, 0)
            seconds = perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            text = said.read().decode("utf-8", "replace")
        last = (text.splitlines() or [""])[-1]
        require(last.startswith("{"), f"{module} ended with {process.returncode}: {text[-300:]}")
        return process.returncode, Applied(seconds, (max(peak) or used.ru_maxrss) / _UNIT, json.loads(last))

    @contextmanager
    def serving(self, more: Sequence[str] = (), **environment: str) -> Iterator[None]:
        """Run the gateway and the floor, and more of SERVERS by name."""
        floor = {"BENCH_ADMIN": self.admin, "BENCH_CLIENT": self.platform.client_id,
                 "BENCH_KEY": json.dumps(public_jwk(self.platform.key, kid=self.platform.kid)),
                 "BENCH_LTIJS": json.dumps(self._apart("ltijs") if "ltijs" in more else []), "NODE_PATH": str(LTIJS),
                 "NODE_ENV": "production"}  # fmt: skip
        wanted = ["gateway", "floor", *more]
        with ExitStack() as stack:
            for name, listening in zip(SERVERS, self.sockets, strict=True):
                if name in wanted:
                    said = self.environment if name == "gateway" else self.environment | floor | environment
                    stack.enter_context(self._server(listening, name, said))
            for port in (self.port(name) for name in wanted):
                with Connection(port) as connection:
                    require(connection.ask(get("/readyz")).status == 200, "a web server is not ready")
            yield

    def port(self, name: str) -> int:
        """Where one of SERVERS listens."""
        return self.ports[list(SERVERS).index(name)]

    def _apart(self, name: str) -> list[str]:
        """Make a database of its own; return its name, who may connect to it, by which password, and where."""
        self.sql(f"CREATE DATABASE {name}")
        said = psycopg.conninfo.conninfo_to_dict(self.admin)
        return [name, str(said["user"]), str(said.get("password", "")), str(said["host"])]

    @contextmanager
    def _server(self, listening: socket.socket, name: str, environment: dict[str, str]) -> Iterator[None]:
        bound = f"fd://{listening.fileno()}"
        command = [sys.executable, "-m", "gunicorn", SERVERS[name], "--bind", bound, *OPTIONS.split()]
        if name == "ltijs":
            command = ["node", str(_NODE), str(listening.fileno())]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, env=environment, pass_fds=[listening.fileno()], stdout=log, stderr=log)
            if sys.platform == "linux":
                os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})  # what it starts inherits it
            try:
                yield
            finally:
                process.terminate()
                process.wait(timeout=60)


@contextmanager
def _peak_of(pid: int) -> Iterator[list[int]]:
    """Watch a process's peak of resident memory, in kibibytes; 0 where the system does not tell. What the kernel says
    at its end counts in what this process held when it began."""
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            with suppress(OSError, StopIteration):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                peak.append(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        over.set()
        watching.join()


@contextmanager
def built(district: District) -> Iterator[Town]:
    """A town in a folder of its own; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="schoolgate-bench-") as name:
        server = EmbeddedPostgres(Path(name) / "instance")
        try:
            town = Town(Path(name), district, server)
            try:
                yield town
            finally:
                town.close()
        finally:
            server.destroy()
