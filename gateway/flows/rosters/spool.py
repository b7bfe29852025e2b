"""Deliveries on their way to their run: whole, private, of the size and digest that were said."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from gateway import errors
from gateway.errors import Refused
from gateway.settings import Settings

_CHUNK = 1 << 20
# RFC 9530 §2: `sha-256=:BASE64:`, among others that we do not read.
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:$|,)")


class Readable(Protocol):
    """Something that bytes come from."""

    def read(self, size: int = -1, /) -> bytes: ...


def said_digest(header: str) -> str:
    """Return the SHA-256 that a Content-Digest header says, in hex. Raises Refused."""
    found = _DIGEST.search(header)
    try:
        return base64.b64decode(found[1], validate=True).hex() if found else _no_digest()
    except binascii.Error:
        return _no_digest()


def _no_digest() -> str:
    raise Refused(errors.REQ_INVALID, "say the file's digest: Content-Digest: sha-256=:BASE64:")


@dataclass(frozen=True, slots=True)
class Spool:
    """The folder in which deliveries wait, one file or folder each, named by its run."""

    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> Spool:
        return cls(Path(settings.spool) if settings.spool else settings.instance / "spool")

    def path(self, run: str) -> Path:
        """Return where a run's delivery lies."""
        return self.folder / run

    @contextmanager
    def writing(self, run: str) -> Iterator[Path]:
        """Yield a path to write to; what is not whole at the end of the block was never there. Raises Refused."""
        part = self.folder / f"{run}.part"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            yield part
            part.replace(self.path(run))
        except OSError as error:
            raise Refused(errors.SRC_SPOOL, f"the spool: {error.strerror or error}") from error
        finally:
            _remove(part)

    def take(self, run: str, stream: Readable, length: int, digest: str) -> None:
        """Write down exactly the bytes that were announced. Raises Refused, with nothing kept."""
        with self.writing(run) as part:
            with private(part) as sink:
                size, found = copied(stream, sink, length + 1)
                sink.flush()
                os.fsync(sink.fileno())
            if size != length:
                raise Refused(errors.SRC_UPLOAD_BROKEN, f"{size} bytes arrived of {length}")
            if found != digest:
                raise Refused(errors.SRC_UPLOAD_BROKEN, "the digest is another one")

    def remove(self, run: str) -> None:
        _remove(self.path(run))


@contextmanager
def private(path: Path) -> Iterator[BinaryIO]:
    """A new file that only the gateway's user may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as sink:
        yield sink


def copied(stream: Readable, sink: BinaryIO, most: int) -> tuple[int, str]:
    """Copy at most so many bytes; return how many there were, and their SHA-256 in hex."""
    size, digest = 0, hashlib.sha256()
    while size < most and (chunk := stream.read(min(_CHUNK, most - size))):
        size += len(chunk)
        digest.update(chunk)
        sink.write(chunk)
    return size, digest.hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
