"""A receipt shows that one pupil was in one transfer: to anybody, offline, without saying a word of anybody else.

A few lines that lead from the pupil's id to the entry, and below them a C2SP tlog-proof as the standard has it, which
leads from the entry to a signed checkpoint:

    schoolgate receipt v1
    key <verifier key>
    pupil <id, as a JSON string>
    opening <base64>
    subject <place among the handles of the transfer>
    <path to the entry's subjects_root, one base64 hash a line>
    entry <canonical bytes>

    c2sp.org/tlog-proof@v1
    index <place of the entry in the log>
    <path to the root, one base64 hash a line>

    <checkpoint>

It is what was recorded before anything was sent; how the sending ended is an entry of its own. Cosignatures of
witnesses have their place among the checkpoint's signatures, and a proof against a log of logs would follow it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.ledger import checkpoint, entry, handles, merkle

HEADER, PROOF = "schoolgate receipt v1", "c2sp.org/tlog-proof@v1"
_MOST = 64 * 1024  # bytes; ours stay far below


class ReceiptInvalid(ValueError):  # noqa: N818
    """The receipt does not prove what it says; the text says where."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What stands on a receipt."""

    key: str
    pupil: str
    opening: bytes
    subject: int
    subject_path: list[bytes]
    body: bytes
    index: int
    path: list[bytes]
    note: str

    def text(self) -> str:
        """Return the receipt as it is handed out."""
        lines = [
            HEADER, f"key {self.key}", f"pupil {orjson.dumps(self.pupil).decode()}", f"opening {_base64(self.opening)}",
            f"subject {self.subject}", *map(_base64, self.subject_path), f"entry {self.body.decode()}", "",
            PROOF, f"index {self.index}", *map(_base64, self.path), "", self.note,
        ]  # fmt: skip
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a verified receipt shows: this pupil was in this transfer."""

    origin: str
    size: int
    index: int
    pupil: str
    entry: dict[str, Any]
    key: str

    @property
    def transfer(self) -> str:
        return str(self.entry["id"])


def is_receipt(path: Path) -> bool:
    """Whether a file begins like a receipt."""
    try:
        with path.open("rb") as file:
            return file.read(len(HEADER)) == HEADER.encode()
    except OSError:
        return False


def verify(path: Path, expected_key: str | None = None) -> Shown:
    """Verify a receipt in a file; as `check`. Raises ReceiptInvalid."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST + 1)
    except OSError as error:
        raise ReceiptInvalid(f"not a receipt: {type(error).__name__}") from error
    return check(text, expected_key)


def check(text: bytes, expected_key: str | None = None) -> Shown:
    """Verify a receipt: signature, place in the log, schema, and that the pupil's handle is among the entry's.

    `expected_key` is the verifier key the reader has kept; without it the receipt's own is used, which proves that the
    receipt agrees with itself. Raises ReceiptInvalid.
    """
    one = _parse(text)
    try:
        key = (one.key if expected_key is None else expected_key).strip()
        signed = checkpoint.verify(one.note, key)
        said = entry.decode(one.body)
    except checkpoint.InvalidCheckpoint as error:
        raise ReceiptInvalid(f"checkpoint: {error}") from error
    except entry.InvalidEntry as error:
        raise ReceiptInvalid(f"entry: {error}") from error
    if checkpoint.log_name(said["school"]) != signed.origin:
        raise ReceiptInvalid("the entry belongs to another school")
    if not merkle.verify_inclusion(merkle.leaf_hash(one.body), one.index, signed.size, one.path, signed.root):
        raise ReceiptInvalid("the entry is not in the log that was signed")
    _check_subject(one, said)
    return Shown(signed.origin, signed.size, one.index, one.pupil, said, key)


def _check_subject(one: Receipt, said: dict[str, Any]) -> None:
    if said["type"] != "intent" or "subjects_root" not in said or "subjects" not in said:
        raise ReceiptInvalid("the entry is not a transfer of anybody")
    leaf, root = merkle.leaf_hash(handles.handle(one.opening, one.pupil)), bytes.fromhex(said["subjects_root"])
    if not merkle.verify_inclusion(leaf, one.subject, said["subjects"], one.subject_path, root):
        raise ReceiptInvalid("this pupil was not in this transfer, or the opening is another's")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _parse(text: bytes) -> Receipt:
    """Read a receipt; only text that we would have written so is one. Raises ReceiptInvalid."""
    try:
        said = text.decode()
        head, proof, note = said.split("\n\n", 2)
        lines, steps = iter(head.split("\n")), iter(proof.split("\n"))
        _expect(next(lines), HEADER)
        key, pupil, opening, subject = (_value(lines, name) for name in ("key", "pupil", "opening", "subject"))
        *path, body = lines
        _expect(next(steps), PROOF)
        index = int(_value(steps, "index"))
        who = orjson.loads(pupil)
        one = Receipt(
            key, str(who), base64.b64decode(opening, validate=True), int(subject), _hashes(path),
            _value(iter([body]), "entry").encode(), index, _hashes(steps), note,
        )  # fmt: skip
        is_own = len(one.opening) == handles.OPENING and one.text() == said
    except (ValueError, TypeError, StopIteration) as error:
        raise ReceiptInvalid("not a receipt") from error
    if not is_own or len(text) > _MOST:
        raise ReceiptInvalid("not a receipt as it is written")
    return one


def _expect(line: str, wanted: str) -> None:
    if line != wanted:
        raise ValueError(wanted)


def _value(lines: Iterator[str], name: str) -> str:
    word, _, value = next(lines).partition(" ")
    _expect(word, name)
    return value


def _hashes(lines: Iterable[str]) -> list[bytes]:
    found = [base64.b64decode(line, validate=True) for line in lines]
    if any(len(one) != merkle.SIZE for one in found):
        raise ValueError("a hash has 32 bytes")
    return found
