"""Rate limits: counted in Redis where there is one, so that two processes see the same limit; else in process."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from ipaddress import ip_address, ip_network

from flask import Flask, g, request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from gateway import errors
from gateway.clock import Clock
from gateway.errors import Refused

# A school behind one address starts a lesson: two thousand launches in a minute are a bell, not an attack.
LAUNCHES = "6000 per minute"
TOKENS = "120 per minute"
NOTICES = "1200 per minute"  # an LMS of many districts at the turn of a year
CODES = "30 per minute"
PAPERS = "60 per minute"
DELIVERIES = "12 per minute"


class ProcessCounts(Storage):
    """Counters of one process, for fixed windows; those that are over are swept out as new ones come in."""

    STORAGE_SCHEME = ["process"]
    _MOST = 100_000  # counters kept; beyond that those that end first are forgotten
    _SWEEP = 5.0  # seconds between two sweeps

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: float | str | bool) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._counts: dict[str, tuple[float, int]] = {}  # key: (when the window is over, hits)
        self._guard = threading.Lock()
        self._sweep_at = 0.0

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count a hit in a window of `expiry` seconds; return how many there are."""
        now = time.monotonic()
        with self._guard:
            until, hits = self._counts.get(key, (0.0, 0))
            if until <= now:
                until, hits = now + expiry, 0
                self._sweep(now)
            self._counts[key] = (until, hits + amount)
            return hits + amount

    def _sweep(self, now: float) -> None:
        if len(self._counts) >= self._MOST:
            ending = sorted(self._counts, key=lambda k: self._counts[k][0])
            for key in ending[: self._MOST // 2]:
                del self._counts[key]
        elif now >= self._sweep_at:
            self._counts = {k: v for k, v in self._counts.items() if v[0] > now}
            self._sweep_at = now + self._SWEEP

    def get(self, key: str) -> int:
        until, hits = self._counts.get(key, (0.0, 0))
        return hits if until > time.monotonic() else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window is over, in seconds since the epoch."""
        until, _ = self._counts.get(key, (0.0, 0))
        return Clock().now().timestamp() + max(0.0, until - time.monotonic())

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        with self._guard:
            gone, self._counts = len(self._counts), {}
        return gone

    def clear(self, key: str) -> None:
        with self._guard:
            self._counts.pop(key, None)


class Limits:
    """Counts the requests of an address to an endpoint; a Redis that is gone limits nobody less: each process counts
    for itself meanwhile."""

    PAUSE = 10.0  # seconds until a Redis that failed is asked again

    def __init__(self, redis_url: str, by_endpoint: Mapping[str, str]) -> None:
        self._items: dict[str, RateLimitItem] = {name: parse(limit) for name, limit in by_endpoint.items()}
        self._own = FixedWindowRateLimiter(ProcessCounts())
        self._shared: FixedWindowRateLimiter | None = None
        self._not_before = 0.0
        if redis_url:
            url = "redis+" + redis_url if redis_url.startswith("unix:") else redis_url
            self._shared = FixedWindowRateLimiter(storage_from_string(url, wrap_exceptions=True))

    def check(self) -> None:
        """Count this request. Raises Refused with RATE_LIMITED when its window is full."""
        item = self._items.get(request.endpoint or "")
        if item is None:
            return
        who = ("sg-limit", request.endpoint or "", _network(request.remote_addr or ""))
        if not self._hit(item, who):
            g.retry_after = item.get_expiry()
            raise Refused(errors.RATE_LIMITED)

    def _hit(self, item: RateLimitItem, who: tuple[str, ...]) -> bool:
        if self._shared and time.monotonic() >= self._not_before:
            try:
                return self._shared.hit(item, *who)
            except StorageError:
                self._not_before = time.monotonic() + self.PAUSE
        return self._own.hit(item, *who)


def _network(address: str) -> str:
    """Return what counts as one caller: an IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def register(app: Flask, redis_url: str) -> None:
    """Limit the requests of one address to the doors that anybody can knock at."""
    by_endpoint = {
        "lti.login": LAUNCHES, "lti.arrive": LAUNCHES, "lti.register": CODES, "lti.notice": NOTICES,
        "oauth.token": TOKENS, "family.page": CODES,
        "district.delivery": DELIVERIES, "district.run": TOKENS,
        "on_file.file": PAPERS, "on_file.listing": TOKENS, "on_file.end": TOKENS,
    }  # fmt: skip
    app.before_request(Limits(redis_url, by_endpoint).check)
