"""Verifies an exported log with no database and no trust in whoever exported it.

A bundle is a folder or zip: `verifier.key`, `checkpoint.note`, `entries.jsonl` (one canonical entry a line) and
`leaves.txt` (one leaf hash a line, so that a change can be named). A reader looks only at the files it knows: tiles, the
notes of witnesses and a proof against a log of logs can stand beside them.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.ledger import checkpoint, entry, merkle
from gateway.ledger.checkpoint import Checkpoint, log_name

FILES = ("verifier.key", "checkpoint.note", "entries.jsonl", "leaves.txt")


_MOST_PACKED = 200  # times its packed size; hashes do not pack, and codes and names not so well
_MOST = {"verifier.key": 1 << 16, "checkpoint.note": 1 << 16, "entries.jsonl": 8 << 30, "leaves.txt": 1 << 30}

# What the standard library raises for archives that are damaged, encrypted or packed in another way (RuntimeError).
_UNREADABLE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, RuntimeError, ValueError,
)  # fmt: skip


class BundleInvalid(ValueError):  # noqa: N818
    """The bundle does not prove what it says; the text says where."""


@dataclass(frozen=True, slots=True)
class Proven:
    """What a verified bundle shows."""

    origin: str
    size: int
    root: str
    by_type: dict[str, int]
    key: str


def write(path: Path, key: str, note: str, bodies: list[bytes]) -> None:
    """Write a bundle as a zip."""
    leaves = "".join(merkle.leaf_hash(body).hex() + "\n" for body in bodies)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("verifier.key", key + "\n")
        bundle.writestr("checkpoint.note", note)
        bundle.writestr("entries.jsonl", b"\n".join([*bodies, b""]))
        bundle.writestr("leaves.txt", leaves)


def verify(path: Path, expected_key: str | None = None, since: Path | None = None) -> Proven:
    """Verify a bundle: signature, root, contiguity, schema, and that no outcome stands without its intent.

    `expected_key` is the verifier key the reader has kept; without it the bundle's own is used, which proves
    that the bundle agrees with itself. `since` is a checkpoint note or an earlier bundle the reader has kept: the
    entries it was signed over must be the first of these. Raises BundleInvalid.
    """
    parts = _read(path)
    try:
        key = (parts["verifier.key"].decode() if expected_key is None else expected_key).strip()
    except UnicodeDecodeError as error:
        raise BundleInvalid(f"verifier.key: {error}") from error
    signed = _signed(parts["checkpoint.note"], key, "checkpoint")
    bodies = parts["entries.jsonl"].split(b"\n")
    if bodies.pop() != b"":
        raise BundleInvalid("entries.jsonl is cut off")
    hashes = _check_leaves(bodies, parts["leaves.txt"].decode("ascii", "replace").split())
    if len(bodies) != signed.size:
        raise BundleInvalid(f"the checkpoint is for {signed.size} entries, the bundle holds {len(bodies)}")
    if merkle.root(hashes) != signed.root:
        raise BundleInvalid("the root of the entries is not the one that was signed")
    if since is not None:
        _check_since(_signed(_kept(since), key, "the kept checkpoint"), hashes)
    return Proven(signed.origin, signed.size, signed.root.hex(), _check_entries(bodies, signed.origin), key)


def _signed(note: bytes, key: str, what: str) -> Checkpoint:
    try:
        return checkpoint.verify(note.decode(), key)
    except (checkpoint.InvalidCheckpoint, UnicodeDecodeError) as error:
        raise BundleInvalid(f"{what}: {error}") from error


def _kept(path: Path) -> bytes:
    """Return the note of a file that a reader has kept: a checkpoint, or the one of a bundle."""
    try:
        if not path.is_dir() and not zipfile.is_zipfile(path):
            return path.read_bytes()
    except OSError as error:
        raise BundleInvalid(f"the kept checkpoint: {type(error).__name__}") from error
    return _read(path)["checkpoint.note"]


def _check_since(kept: Checkpoint, hashes: list[bytes]) -> None:
    """All entries are at hand, so that the tree of the kept size is made again: no proof can say more."""
    if kept.size > len(hashes):
        raise BundleInvalid(
            f"{kept.size} entries were signed before, the bundle holds {len(hashes)}: it is older or cut"
        )
    if merkle.root(hashes[: kept.size]) != kept.root:
        raise BundleInvalid(f"the first {kept.size} entries are not those that were signed before")


def _read(path: Path) -> dict[str, bytes]:
    try:
        if path.is_dir():
            return {name: _bounded(name, (path / name).stat().st_size, (path / name).read_bytes) for name in FILES}
        with zipfile.ZipFile(path) as bundle:
            return _unpacked(bundle)
    except BundleInvalid:
        raise
    except (OSError, KeyError, MemoryError, *_UNREADABLE) as error:
        raise BundleInvalid(f"not a bundle: {type(error).__name__}") from error


def _unpacked(bundle: zipfile.ZipFile) -> dict[str, bytes]:
    found = {name: bundle.getinfo(name) for name in FILES}
    if any(one.file_size > _MOST_PACKED * (one.compress_size + 4096) for one in found.values()):
        raise BundleInvalid("not a bundle: it packs better than any log does")
    return {name: _bounded(name, one.file_size, partial(bundle.read, name)) for name, one in found.items()}


def _bounded(name: str, size: int, read: Callable[[], bytes]) -> bytes:
    """Read a file of a bundle, unless it says that it is larger than any log of a school; a zip that lies about it is
    not read on."""
    if size > _MOST[name]:
        raise BundleInvalid(f"{name} is too large to be that of a log")
    return read()


def _check_leaves(bodies: list[bytes], leaves: list[str]) -> list[bytes]:
    """Return the leaf hashes; name the first entry that is not what its leaf hash says."""
    if len(leaves) != len(bodies):
        raise BundleInvalid(f"{len(bodies)} entries and {len(leaves)} leaf hashes")
    hashes = [merkle.leaf_hash(body) for body in bodies]
    own = list(map(bytes.hex, hashes))
    if own != leaves:
        changed = next(index for index, leaf in enumerate(leaves) if own[index] != leaf)
        raise BundleInvalid(f"entry {changed} was changed")
    return hashes


def _check_entries(bodies: list[bytes], origin: str) -> dict[str, int]:
    intents: set[str] = set()
    by_type: dict[str, int] = {}
    reader, last = entry.Reader(), ""
    for index, body in enumerate(bodies):
        try:
            type_, school, id_ = reader.read(body)
        except entry.InvalidEntry as error:
            raise BundleInvalid(f"entry {index}: {error}") from error
        if school != last and log_name(school) != origin:
            raise BundleInvalid(f"entry {index} belongs to another school")
        last = school
        if type_ == "intent":
            intents.add(id_)
        elif type_ == "outcome" and id_ not in intents:
            raise BundleInvalid(f"entry {index} is an outcome without an intent before it")
        by_type[type_] = by_type.get(type_, 0) + 1
    return by_type
