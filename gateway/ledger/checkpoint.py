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
    """Return the checkpoint of a note signed by `key`. Raises InvalidCheckpoint."""
    origin, public = _parse_key(key)
    text, _, signatures = note.partition("\n\n")
    lines = [line for line in signatures.split("\n") if line]
    for line in lines:
        parts = line.split(" ")
        if len(parts) == 3 and parts[0] == "\u2014" and parts[1] == origin:
            _check_signature(parts[2], text + "\n", origin, public)
            return _parse_text(text, origin)
    raise InvalidCheckpoint("no signature by this log")


def _parse_key(key: str) -> tuple[str, bytes]:
    try:
        origin, identity, encoded = key.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InvalidCheckpoint("the verifier key is malformed") from error
    if raw[:1] != _ED25519 or len(raw) != 33 or key_id(origin, raw[1:]).hex() != identity:
        raise InvalidCheckpoint("the verifier key is malformed")
    return origin, raw[1:]


def _check_signature(encoded: str, text: str, origin: str, public: bytes) -> None:
    try:
        raw = base64.b64decode(encoded, validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], text.encode())
    except (ValueError, InvalidSignature) as error:
        raise InvalidCheckpoint("the signature does not verify") from error
    if raw[:4] != key_id(origin, public):
        raise InvalidCheckpoint("the signature names another key")


def _parse_text(text: str, origin: str) -> Checkpoint:
    lines = text.split("\n")
    try:
        checkpoint = Checkpoint(lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True))
    except (IndexError, ValueError) as error:
        raise InvalidCheckpoint("the checkpoint is malformed") from error
    if checkpoint.origin != origin or len(checkpoint.root) != 32 or checkpoint.text() != text + "\n":
        raise InvalidCheckpoint("the checkpoint is malformed")
    return checkpoint
