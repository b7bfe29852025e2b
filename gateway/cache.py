"""What may be forgotten tonight: rate counters, key sets, tokens. Redis where there is one, else in process.

It holds no authority: wiping it loses nothing and lets nobody in. Values are sealed with the installation's key,
so that a Redis dump shows nothing and a value written by somebody else is not believed. When Redis is gone the
same calls work in process, which shares less and therefore limits more.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import redis

from gateway.store.secrets import Vault, WrongKey

_MOST = 10_000
_PAUSE = 5.0  # seconds before a Redis that failed is asked again


class Cache:
    """Bytes by key, for a number of seconds."""

    def __init__(self, vault: Vault, url: str = "") -> None:
        self._vault = vault
        self._redis = redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5) if url else None
        self._silent_until = 0.0
        self._local: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._guard = threading.RLock()
        self._locks: dict[str, threading.Lock] = {}

    def get(self, key: str) -> bytes | None:
        """Return the value, or None when it was never there, has expired or is not ours."""
        shared = self._ask()
        if shared is not None:
            with self._forgiving():
                sealed = shared.get(f"sg:{key}")
                return self._unsealed(key, sealed) if isinstance(sealed, bytes) else None
        with self._guard:
            found = self._local.get(key)
            return found[1] if found and found[0] > time.monotonic() else None

    def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value for a time."""
        shared = self._ask()
        if shared is not None:
            with self._forgiving():
                shared.set(f"sg:{key}", self._vault.seal(value, f"cache:{key}"), px=max(1, int(seconds * 1000)))
                return
        with self._guard:
            self._local[key] = (time.monotonic() + seconds, value)
            self._local.move_to_end(key)
            while len(self._local) > _MOST:
                self._local.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget a value."""
        shared = self._ask()
        if shared is not None:
            with self._forgiving():
                shared.delete(f"sg:{key}")
        with self._guard:
            self._local.pop(key, None)

    @contextmanager
    def alone(self, key: str, seconds: float = 10.0) -> Iterator[None]:
        """Let one caller at a time through, across processes where there is a Redis; never for ever."""
        shared = self._ask()
        if shared is not None:
            lock = shared.lock(f"sg:lock:{key}", timeout=seconds, blocking_timeout=seconds)
            taken = False
            with self._forgiving():
                taken = bool(lock.acquire())
            if taken:
                try:
                    yield
                finally:
                    with suppress(redis.RedisError):
                        lock.release()
                return
        with self._guard:
            local = self._locks.setdefault(key, threading.Lock())
        taken = local.acquire(timeout=seconds)
        try:
            yield
        finally:
            if taken:
                local.release()

    def _ask(self) -> redis.Redis | None:
        return self._redis if time.monotonic() >= self._silent_until else None

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError:
            self._silent_until = time.monotonic() + _PAUSE

    def _unsealed(self, key: str, sealed: bytes) -> bytes | None:
        try:
            return self._vault.open(sealed, f"cache:{key}")
        except (WrongKey, ValueError):
            return None


class SharedTokens:
    """The cache as `connectors.tokens` wants it: access tokens of platforms, shared between processes."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def get(self, name: str) -> str | None:
        found = self._cache.get(f"token:{name}")
        return found.decode() if found is not None else None

    def set(self, name: str, value: str, ttl: float) -> None:
        self._cache.put(f"token:{name}", value.encode(), ttl)

    def delete(self, name: str) -> None:
        self._cache.drop(f"token:{name}")

    def lock(self, name: str) -> AbstractContextManager[None]:
        return self._cache.alone(f"token:{name}")
