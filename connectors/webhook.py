"""A notification posted to an address of a district's own, signed so that whoever hears it can tell that it is ours.

    Schoolgate-Timestamp: 1795255200
    Schoolgate-Signature: v1=HMAC-SHA256(secret, timestamp + "." + body), in hex

The time is part of what is signed: an answer that somebody recorded cannot be played back the next day.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from connectors.egress import GuardedSession, origin_of, require_success

MAX_ANSWER = 64 << 10


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a body sent at a time (seconds since the epoch)."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Webhook:
    """One district's address."""

    url: str
    secret: str
    open_line: Callable[..., GuardedSession]

    def post(self, body: bytes, notification: str, now: datetime) -> None:
        """Send a body of JSON; the same notification may be sent twice. Raises ConnectorError."""
        timestamp = str(int(now.timestamp()))
        headers = {
            "Content-Type": "application/json", "Schoolgate-Notification": notification,
            "Schoolgate-Timestamp": timestamp, "Schoolgate-Signature": sign(self.secret, timestamp, body),
        }  # fmt: skip
        with self.open_line({origin_of(self.url).authority}, max_bytes=MAX_ANSWER) as line:
            require_success(line.post(self.url, data=body, headers=headers))
