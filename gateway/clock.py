"""Time and randomness, the two things that come from nowhere: injected, so that tests can hold them still."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def _random_tail(length: int) -> str:
    bits = secrets.randbits(5 * length)
    return "".join(_ALPHABET[bits >> shift & 31] for shift in range(0, 5 * length, 5))


@dataclass(frozen=True, slots=True)
class Clock:
    """Says what time it is, in UTC."""

    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Ids:
    """Makes opaque references (`la_7k2…`, 80 random bits) and secrets (256 random bits)."""

    tail: Callable[[int], str] = _random_tail
    secret: Callable[[], str] = field(default=lambda: secrets.token_urlsafe(32))

    def new(self, prefix: str) -> str:
        """Return a fresh reference of the form `prefix_` and sixteen letters."""
        return f"{prefix}_{self.tail(16)}"
