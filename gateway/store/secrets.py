"""Envelope encryption and keyed hashes under one key that never enters the database."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway import errors
from gateway.errors import Refused

_NONCE = 12


class WrongKey(Refused):
    """What was sealed cannot be opened with this installation's key, or belongs elsewhere."""

    def __init__(self, detail: str) -> None:
        super().__init__(errors.INT_SETTINGS, detail)


class Vault:
    """Seals secrets with AES-256-GCM, bound to what they belong to, and derives keys for hashing."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise WrongKey("the installation's key, instance/keys/kek, is not 32 bytes: restore it")
        self._key = key
        self._cipher = AESGCM(self.derive("envelope"))

    def __repr__(self) -> str:
        return "Vault(***)"

    def seal(self, secret: bytes, belongs_to: str, chance: str = "") -> bytes:
        """Encrypt; `belongs_to` must be said again to open. `chance` is a random word that is used for nothing else."""
        nonce = hashlib.sha256(chance.encode()).digest()[:_NONCE] if chance else os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, secret, belongs_to.encode())

    def open(self, sealed: bytes, belongs_to: str) -> bytes:
        """Decrypt. Raises WrongKey."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], belongs_to.encode())
        except InvalidTag as error:
            raise WrongKey("the database was sealed with another key: restore instance/keys/kek") from error

    def derive(self, use: str) -> bytes:
        """Return a 32-byte key for one use; different uses share nothing."""
        return hmac.digest(self._key, b"schoolgate:" + use.encode(), "sha256")


def token_hash(token: str) -> bytes:
    """Return how a random 256-bit token is kept: its SHA-256. Not for passwords a person chose."""
    return hashlib.sha256(token.encode()).digest()


def open_vault(folder: Path, may_make: Callable[[], bool] = lambda: True) -> Vault:
    """Return the vault of this installation; makes its key, readable by its user only, on first use. `may_make` says
    whether nothing was sealed with a key that was there before. Raises WrongKey."""
    path = folder / "kek"
    if not path.exists():
        if not may_make():
            raise WrongKey(
                f"there is no key {path}, and what is sealed in the database opens with the one it was sealed with only: "
                "restore it from a copy, or name its folder with SCHOOLGATE_INSTANCE"
            )
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_key(path)
    return Vault(path.read_bytes())


def _make_key(path: Path) -> None:
    """Make the key whole or not at all; of several processes that make it at once, one does."""
    made = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink()
