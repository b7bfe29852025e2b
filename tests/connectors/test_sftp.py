"""SFTP: no inner address, no server whose key was not recorded, no half file."""

from __future__ import annotations

import base64
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import paramiko
import pytest

from connectors.egress import dial
from connectors.errors import AddressRefused, ConnectorError, Unreachable
from connectors.sftp import Place, SftpSource, fingerprint, read_fingerprint
from gateway.errors import Refused
from gateway.flows import rosters
from gateway.flows.onboarding import deliveries
from gateway.flows.rosters import pull
from gateway.store import sources
from tests.connectors.trap import Trap, cases
from tests.deliveries import two_schools

PUBLIC = "93.184.216.34"
WORD = "s3cret-word"


# --- the socket it is given ------------------------------------------------------------------------


@pytest.fixture
def trap(monkeypatch) -> Iterator[Trap]:
    trap = Trap()
    yield trap.set(monkeypatch)
    trap.close()


def test_no_hostile_address_is_dialled(trap):
    tried = 0
    for address in cases("addresses"):
        with pytest.raises(ConnectorError):
            dial("sis.example", 22, resolver=lambda *_, a=address: [PUBLIC, a])
        with pytest.raises(ConnectorError):
            dial(address, 22, resolver=lambda *_: ["169.254.169.254"])
        tried += 1
    for name in cases("spellings"):
        with pytest.raises(ConnectorError):
            dial(name, 22, resolver=lambda *_: ["169.254.169.254"])
        tried += 1
    assert trap.seen() == []
    assert tried > 200


def test_a_dial_that_ends_elsewhere_is_hung_up(trap):
    with pytest.raises(AddressRefused, match="another address"):
        dial("sis.example", 22, resolver=lambda *_: [PUBLIC])
    assert trap.seen() == [b""]


@pytest.mark.parametrize("loopback", [False, True])
def test_loopback_is_for_the_sandbox_and_there_is_nothing_else_in_it(loopback):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if loopback:
            dial("127.0.0.1", port, loopback=True).close()
            with pytest.raises(AddressRefused):
                dial(PUBLIC, port, loopback=True)
        else:
            with pytest.raises(AddressRefused):
                dial("127.0.0.1", port)


def test_a_port_at_which_nobody_listens_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable):
        dial("127.0.0.1", port, loopback=True)


@pytest.mark.parametrize(
    "url", ["sftp://h/p.zip", "sftp://u@h", "sftp://u@h/", "sftp://u:p@h/p.zip", "http://u@h/p.zip", "sftp://u@h:x/p",
            "sftp://u@h/p?x", "sftp://u@h/p#x", "sftp://u@h/%00", "u@h/p", "sftp://u@/p"]
)  # fmt: skip
def test_an_address_is_a_user_a_host_and_a_file(url):
    with pytest.raises(AddressRefused):
        Place.of(url)


def test_a_host_key_is_read_as_people_give_it():
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32
    line = f"ssh-ed25519 {base64.b64encode(blob).decode()}"
    assert {read_fingerprint(t) for t in (line, f"{line} comment", f"sis.example {line}", fingerprint(blob))} == {
        fingerprint(blob)
    }
    for wrong in ("", "SHA256:abc", "MD5:aa:bb", "ssh-rsa " + line.split()[1], "ssh-ed25519", "ssh-ed25519 ***"):
        with pytest.raises((ValueError, IndexError)):
            read_fingerprint(wrong)


def test_what_is_not_installed_is_said_with_how_to_get_it(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "paramiko", None)
    source = SftpSource("sftp://us@sis.example/x.zip", WORD, "SHA256:x", 1 << 20, lambda *_: pytest.fail("dialled"))
    with pytest.raises(ConnectorError, match=r"pip install 'schoolgate\[sftp\]'") as failed:
        source.pull_roster(tmp_path / "x.zip")
    assert failed.value.code == "SRC_EXTRA"


# --- a server on this machine ----------------------------------------------------------------------


class Server:
    """An SFTP server with one file, that misbehaves as it is told to."""

    def __init__(self, folder: Path) -> None:
        self.key = paramiko.Ed25519Key.from_private_key(_new_key())
        self.users_key: Any = None
        self.body, self.said_size, self.modified = b"", -1, 1_700_000_000
        self.after: Callable[[], None] = lambda: None
        self.cut_at, self.pause, self.status = -1, 0.0, 0
        self.asked: list[str] = []
        self.stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.folder = folder
        self._transports: list[Any] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for transport in self._transports:
            transport.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(line)
            self._transports.append(transport)
            transport.add_server_key(self.key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _files(self))
            try:
                transport.start_server(server=_gate(self))
            except (paramiko.SSHException, EOFError, OSError):
                transport.close()

    def source(self, secret: str = WORD, host_key: str = "", limit: int = 1 << 20, **more: Any) -> SftpSource:
        url = f"sftp://us@127.0.0.1:{self.port}/out/export.zip"
        shown = host_key or fingerprint(self.key.asbytes())
        return SftpSource(url, secret, shown, limit, partial(dial, loopback=True), **more)


def _new_key() -> Any:
    import io

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return io.StringIO(pem.decode())


def _gate(server: Server) -> Any:

    class Gate(paramiko.ServerInterface):
        def check_auth_password(self, username: str, password: str) -> int:
            server.asked.append(f"{username}:{password}")
            return paramiko.AUTH_SUCCESSFUL if (username, password) == ("us", WORD) else paramiko.AUTH_FAILED

        def check_auth_publickey(self, username: str, key: Any) -> int:
            server.asked.append(f"{username}:key")
            good = server.users_key is not None and key.asbytes() == server.users_key.asbytes()
            return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

        def check_channel_request(self, kind: str, chanid: int) -> int:
            return paramiko.OPEN_SUCCEEDED

        def get_allowed_auths(self, username: str) -> str:
            return "password,publickey"

    return Gate()


def _files(server: Server) -> Any:

    class Files(paramiko.SFTPServerInterface):
        def stat(self, path: str) -> Any:
            server.asked.append(f"stat {path}")
            if server.status:
                return server.status
            found = paramiko.SFTPAttributes()
            found.st_size = len(server.body) if server.said_size < 0 else server.said_size
            found.st_mtime = found.st_atime = server.modified
            return found

        lstat = stat

        def open(self, path: str, flags: int, attr: Any) -> Any:
            server.asked.append(f"open {path} {flags}")
            return File(flags)

    class File(paramiko.SFTPHandle):
        def stat(self) -> Any:
            return paramiko.SFTPAttributes()

        def read(self, offset: int, length: int) -> Any:
            if server.pause:
                server.stopping.wait(server.pause)
            if 0 <= server.cut_at <= offset:
                for transport in server._transports:
                    transport.close()
            piece = server.body[offset : offset + length]
            if not piece:
                server.after()
            return piece

    return Files


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.body = os.urandom(300_000)
    yield made
    made.close()


def test_a_file_is_fetched_whole_with_a_password(server, tmp_path):
    into = tmp_path / "x.zip"
    assert server.source().pull_roster(into) == 300_000
    assert into.read_bytes() == server.body
    assert [one for one in server.asked if one.startswith("open")] == ["open /out/export.zip 0"]


def test_a_file_is_fetched_with_a_key(server, tmp_path):
    pem = _new_key().getvalue()
    import io

    server.users_key = paramiko.Ed25519Key.from_private_key(io.StringIO(pem))
    assert server.source(pem).pull_roster(tmp_path / "x.zip") == 300_000
    assert "us:key" in server.asked


def test_a_server_with_another_key_is_told_nothing(server, tmp_path):
    for known in ("SHA256:" + "A" * 43, fingerprint(b"another")):
        with pytest.raises(ConnectorError) as failed:
            server.source(host_key=known).pull_roster(tmp_path / "x.zip")
        assert failed.value.code == "SRC_HOST_KEY"
        assert fingerprint(server.key.asbytes()) in str(failed.value)
    nameless = replace(server.source(), host_key="")
    with pytest.raises(ConnectorError, match="shows"):
        nameless.pull_roster(tmp_path / "x.zip")
    assert server.asked == []


def test_the_key_that_a_server_shows_is_shown_without_signing_in(server):
    assert server.source().shown_key() == fingerprint(server.key.asbytes())
    assert server.asked == []


FAULTS: dict[str, tuple[Callable[[Server], Any], str]] = {
    "wrong password": (lambda s: s.source("wrong"), "SRC_CREDENTIALS"),
    "a key that is not accepted": (lambda s: s.source(_new_key().getvalue()), "SRC_CREDENTIALS"),
    "a key that cannot be read": (lambda s: s.source("-----BEGIN nonsense"), "SRC_CREDENTIALS"),
    "too large as it says": (lambda s: s.source(limit=1000), "SRC_TOO_LARGE"),
    "too large as it comes": (lambda s: (setattr(s, "said_size", 10), s.source(limit=1000))[1], "SRC_TOO_LARGE"),
    "shorter than it says": (lambda s: (setattr(s, "said_size", 400_000), s.source())[1], "SRC_CUT"),
    "longer than it says": (lambda s: (setattr(s, "said_size", 200_000), s.source())[1], "SRC_CUT"),
    "written meanwhile": (
        lambda s: (setattr(s, "after", lambda: setattr(s, "modified", s.modified + 1)), s.source())[1], "SRC_CUT"
    ),
    "cut on the way": (lambda s: (setattr(s, "cut_at", 100_000), s.source())[1], "SRC_UNREACHABLE"),
    "not there": (lambda s: (setattr(s, "status", 2), s.source())[1], "SRC_ANSWER"),
    "not readable": (lambda s: (setattr(s, "status", 3), s.source())[1], "SRC_ANSWER"),
    "slow for ever": (lambda s: (setattr(s, "pause", 0.2), s.source(seconds=0.5))[1], "SRC_UNREACHABLE"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_is_named_and_leaves_no_file(server, tmp_path, fault):
    make, code = FAULTS[fault]
    folder = tmp_path / "into"
    folder.mkdir()
    with pytest.raises(ConnectorError) as failed:
        make(server).pull_roster(folder / "x.zip")
    assert failed.value.code == code
    assert list(folder.iterdir()) == []
    assert WORD not in str(failed.value)


def test_a_server_that_is_none_is_left_in_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_speak_http, args=(listener,), daemon=True)
        thread.start()
        url = f"sftp://us@127.0.0.1:{listener.getsockname()[1]}/x.zip"
        source = SftpSource(url, WORD, "SHA256:x", 1000, partial(dial, loopback=True))
        with pytest.raises(ConnectorError) as failed:
            source.pull_roster(tmp_path / "x.zip")
        thread.join(5)
    assert failed.value.code == "SRC_UNREACHABLE"


def _speak_http(listener: socket.socket) -> None:
    line, _ = listener.accept()
    with line:
        line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        time.sleep(0.1)


# --- a source of a district ------------------------------------------------------------------------


def test_a_source_is_made_fetched_and_published(world, server):
    server.body = two_schools().zip(server.folder / "made.zip").read_bytes()
    where = ("127.0.0.1", server.port, "us", "/out/export.zip")
    shown = deliveries.shown_host_key(world.office, world.by, where)
    world.unseeded().source = deliveries.add_sftp(world.office, world.by, "sis", where, WORD, shown)
    world.onboard("A", "B")
    with world.office.database.open_district(world.by.district) as session:
        found = sources.find(session, "sis")
    assert WORD.encode() not in bytes(found.secret)
    with pull.fetched(world.parts, world.by.district, found) as got:
        report = rosters.sync(world.office, world.by.district, world.source, got.path, world.by.ref, publish=True)
    assert report.state == "published"
    server.key = paramiko.Ed25519Key.from_private_key(_new_key())
    with pytest.raises(Refused, match="SRC_HOST_KEY"), pull.fetched(world.parts, world.by.district, found):
        pass


def test_a_source_needs_a_secret_and_a_key_that_is_one(world):
    where = ("sis.example", 22, "us", "/x.zip")
    with pytest.raises(Refused, match="SCHOOLGATE_SOURCE_SECRET"):
        deliveries.add_sftp(world.office, world.by, "sis", where, "", "SHA256:" + "A" * 43)
    with pytest.raises(Refused, match="REQ_INVALID"):
        deliveries.add_sftp(world.office, world.by, "sis", where, WORD, "yes")


def test_outside_a_sandbox_this_machine_is_never_called(public_world, server):
    with pytest.raises(Refused, match="SRC_ADDRESS_REFUSED"):
        deliveries.shown_host_key(
            public_world.office, public_world.by, ("127.0.0.1", server.port, "us", "/out/export.zip")
        )
