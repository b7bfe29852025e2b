"""A OneRoster bulk delivery fetched over SFTP: a judged address, a host key that was recorded, one file, whole.

paramiko is an extra (`schoolgate[sftp]`): it speaks SSH over the socket that `egress.dial` has judged, and is given no
configuration, agent, known hosts or keys of the machine.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from connectors.errors import (
    AddressRefused,
    AnswerCut,
    AnswerRefused,
    AnswerTooLarge,
    ConnectorError,
    CredentialsRefused,
    NoRoom,
    NotInstalled,
    PeerUnknown,
    Unreachable,
)

SECONDS = 1800.0
_SHAKE = 15.0  # seconds for the handshake, and again for the password
_READ = 32 << 10  # what every server gives in one answer
Dial = Callable[[str, int], socket.socket]

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it writes user names and addresses to its log


def ssh() -> Any:
    """Return paramiko. Raises NotInstalled."""
    try:
        import paramiko
    except ImportError:
        raise NotInstalled("fetching by SFTP needs an extra: pip install 'schoolgate[sftp]'") from None
    return paramiko


def fingerprint(blob: bytes) -> str:
    """Return a host key's fingerprint as OpenSSH writes it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def read_fingerprint(text: str) -> str:
    """Return the fingerprint of a host key as people give it: `SHA256:…`, or the key itself as in known_hosts. Raises
    ValueError."""
    words = text.split()
    if len(words) == 1 and words[0].startswith("SHA256:"):
        if len(base64.b64decode(words[0][7:] + "=", validate=True)) != 32:
            raise ValueError("not a SHA-256")
        return words[0]
    found = [n for n, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-", "rsa-", "sk-"))]
    blob = base64.b64decode(words[found[0] + 1], validate=True)
    if words[found[0]].encode() not in blob[:64]:
        raise ValueError("not a host key")
    return fingerprint(blob)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies: `sftp://user@host:port/path`."""

    user: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Place:
        """Read an address. Raises AddressRefused."""
        try:
            parts = urlsplit(url)
            port = parts.port or 22
        except ValueError:
            raise AddressRefused("this is not an address") from None
        path = unquote(parts.path)
        plain = parts.scheme == "sftp" and parts.hostname and parts.username and not parts.password
        if not plain or parts.query or parts.fragment or path in ("", "/") or "\0" in path:
            raise AddressRefused("an SFTP source is sftp://user@host:port/path/of/the/file.zip")
        return cls(unquote(parts.username or ""), parts.hostname or "", port, path)


@dataclass(frozen=True, slots=True)
class SftpSource:
    """Where a source keeps its delivery, and how it knows us: a password, or a private key in PEM. Implements
    PullsRoster."""

    url: str
    secret: str
    host_key: str
    limit: int
    dial: Dial
    seconds: float = SECONDS

    def shown_key(self) -> str:
        """Return the fingerprint of the key that the server shows; nobody signs in. Raises ConnectorError."""
        with self._met() as transport:
            return fingerprint(transport.get_remote_server_key().asbytes())

    def pull_roster(self, into: Path) -> int:
        """Download the delivery; return its size. A file that changes meanwhile is not one. Raises ConnectorError."""
        part, place, ends = into.with_name(into.name + ".part"), Place.of(self.url), time.monotonic() + self.seconds
        try:
            with self._signed_in() as sftp, part.open("wb") as sink:
                sftp.get_channel().settimeout(_SHAKE)
                size = self._copy(sftp, place.path, sink, ends)
            part.replace(into)
        finally:
            part.unlink(missing_ok=True)
        return size

    def _copy(self, sftp: Any, path: str, sink: BinaryIO, ends: float) -> int:
        before = sftp.stat(path)
        if before.st_size > self.limit:
            raise AnswerTooLarge(f"the file has {before.st_size} bytes")
        size = 0
        with sftp.open(path, "rb", bufsize=0) as file:
            while chunk := file.read(_READ):
                size += len(chunk)
                if size > self.limit:
                    raise AnswerTooLarge(f"over {self.limit} bytes")
                if time.monotonic() > ends:
                    raise Unreachable("the download's time is spent")
                _keep(sink, chunk)
        after = sftp.stat(path)
        if (size, before.st_mtime) != (after.st_size, after.st_mtime) or size != before.st_size:
            raise AnswerCut(f"{size} bytes came of {before.st_size}, and there are {after.st_size} now")
        return size

    @contextmanager
    def _met(self) -> Iterator[Any]:
        """A connection on which the server has shown its key."""
        paramiko, place = ssh(), Place.of(self.url)
        line = self.dial(place.host, place.port)
        try:
            transport = paramiko.Transport(line, disabled_algorithms={"keys": ["ssh-dss"], "pubkeys": ["ssh-dss"]})
        except Exception:
            line.close()
            raise
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = _SHAKE
        try:
            transport.start_client(timeout=_SHAKE)
            yield transport
        except ConnectorError:
            raise
        except paramiko.AuthenticationException as error:
            raise CredentialsRefused("the server does not accept our credentials") from error
        except FileNotFoundError as error:
            raise AnswerRefused(404, "the server has no such file") from error
        except PermissionError as error:
            raise AnswerRefused(403, "the server does not let us read the file") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"{place.host}:{place.port}: {type(error).__name__}") from error
        finally:
            transport.close()

    @contextmanager
    def _signed_in(self) -> Iterator[Any]:
        """A session on the server whose key was recorded: before that is sure, it is told neither user nor secret."""
        paramiko, place = ssh(), Place.of(self.url)
        with self._met() as transport:
            shown = fingerprint(transport.get_remote_server_key().asbytes())
            if not self.host_key or shown != self.host_key:
                raise PeerUnknown(f"the server shows {shown}", shown=shown)
            if self.secret.startswith("-----BEGIN"):
                transport.auth_publickey(place.user, _private_key(paramiko, self.secret))
            else:
                transport.auth_password(place.user, self.secret, fallback=False)
            with paramiko.SFTPClient.from_transport(transport) as sftp:
                yield sftp


def _keep(sink: BinaryIO, chunk: bytes) -> None:
    try:
        sink.write(chunk)
    except OSError as error:
        raise NoRoom(f"the download cannot be written: {error.strerror}") from error


def _private_key(paramiko: Any, pem: str) -> Any:
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(pem))
        except (paramiko.SSHException, ValueError):
            continue
    raise CredentialsRefused("the private key cannot be read: PEM or OpenSSH, without a passphrase")
