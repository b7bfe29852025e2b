"""Logs: one JSON line per event, and only fields of an allow-list: no person, no token, no query."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "method", "route", "status", "ms", "code", "request_id", "kind", "task",
        "source", "run", "state", "count", "port", "url",
    }
)  # fmt: skip


def _only_allowed(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if name in ALLOWED and value is not None}


def _line(event: Any, **_options: Any) -> bytes:
    return orjson.dumps(event, default=str)


def configure(level: int = logging.INFO) -> None:
    """Set up logging of this process, to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_allowed,
            structlog.processors.JSONRenderer(_line),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    logging.getLogger().setLevel(logging.ERROR)
