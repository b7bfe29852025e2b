"""Signed checkpoints: what a log's owner says its size and root are (C2SP tlog-checkpoint, signed-note)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519 = b"\x01"  # signature type of the signed-note specification


class InvalidCheckpoint(ValueError):  # noqa: N818
    """The note is malformed, or its signature does not verify."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's name, size and root hash."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def log_name(school_ref: str) -> str:
    """Return the origin of a school's log."""
    return f"schoolgate/{school_ref}"


def key_id(origin: str, public: bytes) -> bytes:
    return sha256(origin.encode() + b"\n" + _ED25519 + public).digest()[:4]


def verifier_key(origin: str, public: bytes) -> str:
    """Return the key in the form that verifiers are given: origin+id+key."""
    encoded = base64.b64encode(_ED25519 + public).decode()
    return f"{origin}+{key_id(origin, public).hex()}+{encoded}"


def sign(checkpoint: Checkpoint, private: Ed25519PrivateKey) -> str:
    """Return the signed note."""
    public = private.public_key().public_bytes_raw()
    text = checkpoint.text()
    signature = key_id(checkpoint.origin, public) + private.sign(text.encode())
    return f"{text}\n\u2014 {checkpoint.origin} {base64.b64encode(signature).decode()}\n"


def verify(note: str, key: str) -> Checkpoint:
    """Return the checkpoint of a note signed by `key`; signatures by other keys are passed over. Raises
    InvalidCheckpoint."""
    origin, public = _parse_key(key)
    text, blank, signatures = note.partition("\n\n")
    lines = signatures.split("\n")
    if not blank or lines.pop() != "" or not lines:
        raise InvalidCheckpoint("the note is malformed")
    signed = [_signature(line) for line in lines]
    mine = [raw[4:] for name, raw in signed if (name, raw[:4]) == (origin, key_id(origin, public))]
    if not mine:
        raise InvalidCheckpoint("no signature by this log")
    for signature in mine:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, (text + "\n").encode())
        except (ValueError, InvalidSignature) as error:
            raise InvalidCheckpoint("the signature does not verify") from error
    return _parse_text(text, origin)


def _signature(line: str) -> tuple[str, bytes]:
    """Return who a signature line says has signed, and the key id and signature it holds."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise InvalidCheckpoint("the note is malformed") from error
    if dash != "\u2014" or not name or len(raw) <= 4:
        raise InvalidCheckpoint("the note is malformed")
    return name, raw


def _parse_key(key: str) -> tuple[str, bytes]:
    try:
        origin, identity, encoded = key.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InvalidCheckpoint("the verifier key is malformed") from error
    if raw[:1] != _ED25519 or len(raw) != 33 or key_id(origin, raw[1:]).hex() != identity:
        raise InvalidCheckpoint("the verifier key is malformed")
    return origin, raw[1:]


def _parse_text(text: str, origin: str) -> Checkpoint:
    lines = text.split("\n")
    try:
        checkpoint = Checkpoint(lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True))
    except (IndexError, ValueError) as error:
        raise InvalidCheckpoint("the checkpoint is malformed") from error
    if (
        checkpoint.origin != origin
        or checkpoint.size < 0
        or len(checkpoint.root) != 32
        or checkpoint.text() != text + "\n"
    ):
        raise InvalidCheckpoint("the checkpoint is malformed")
    return checkpoint
