"""The highest checkpoint this machine has signed, log by log, where no restored database can forget it.

A file for each log beside the database, not in it: the signed note and the right edge of the tree it was signed over.
With the leaves that came since, that edge must lead to the next root; so a fork shows whatever the head says. This is
what a witness does for a log that is not its own: a later one can keep its notes in the same form.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from gateway import errors
from gateway.errors import Refused
from gateway.ledger import checkpoint, merkle


@dataclass(frozen=True, slots=True)
class Highest:
    """Where the highest checkpoint of one log is kept."""

    path: Path

    def read(self, key: str) -> merkle.Frontier:
        """Return the right edge of the tree that was signed last, an empty one before the first. Raises Refused unless
        it is signed with the log's own key."""
        try:
            said = orjson.loads(self.path.read_bytes())
            signed = checkpoint.verify(said["note"], key)
            edge = merkle.Frontier(signed.size, bytes.fromhex(said["edge"]))
        except FileNotFoundError:
            return merkle.Frontier()
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(errors.LED_CHECKPOINT_STALE, "what this machine signed last is not this log's") from error
        if edge.root() != signed.root:
            raise Refused(errors.LED_CHECKPOINT_STALE, "what this machine signed last was changed")
        return edge

    def write(self, note: str, edge: merkle.Frontier) -> None:
        """Keep a checkpoint, whole or not at all; it is on disk when this returns."""
        made = self.path.with_suffix(".new")
        made.unlink(missing_ok=True)
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps({"note": note, "edge": edge.packed().hex()}))
            file.flush()
            os.fsync(file.fileno())
        made.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def held(folder: Path, origin: str) -> Iterator[Highest]:
    """The place of one log's highest checkpoint, for one signer of this machine at a time. Raises Refused."""
    path = folder / f"{origin.replace('/', '-')}.json"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Highest(path)
        finally:
            os.close(lock)
    except OSError as error:
        raise Refused(errors.LED_CHECKPOINT_STALE, f"{folder} cannot be used: {error.strerror or error}") from error


def require_continued(last: merkle.Frontier, leaves: Iterable[bytes], head: merkle.Frontier) -> None:
    """Raise Refused unless `leaves`, those since the last checkpoint, lead from it to the head."""
    if last.size > head.size:
        raise Refused(errors.LED_CHECKPOINT_STALE, f"{last.size} entries were signed here, the log holds {head.size}")
    for leaf in leaves:
        last.append(leaf)
    if (last.size, last.root()) != (head.size, head.root()):
        raise Refused(errors.LED_CHECKPOINT_STALE, "the log does not continue the entries that were signed here")
