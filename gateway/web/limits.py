"""Rate limits: counted in Redis where there is one, so that two processes see the same limit; else in process."""

from __future__ import annotations

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

# A school behind one address starts a lesson: two thousand launches in a minute are a bell, not an attack.
LAUNCHES = "6000 per minute"
TOKENS = "120 per minute"
CODES = "30 per minute"


def make(app: Flask, redis_url: str) -> Limiter:
    """Return the limiter of an application. A Redis that is gone limits nobody less: each process counts for itself."""
    storage = "redis+" + redis_url if redis_url.startswith("unix:") else redis_url or "memory://"
    return Limiter(
        get_remote_address, app=app, storage_uri=storage, strategy="fixed-window", key_prefix="sg-limit",
        in_memory_fallback_enabled=bool(redis_url), swallow_errors=True,
    )  # fmt: skip
