"""PyLTI1p3 as its own Flask example has it, with Redis for its sessions and launch data: it commits nothing."""

from __future__ import annotations

import json
import os
import secrets
from typing import Any

import redis
from flask import Flask, redirect, request
from pylti1p3.contrib.flask import FlaskMessageLaunch, FlaskOIDCLogin, FlaskRequest
from pylti1p3.launch_data_storage.cache import CacheDataStorage
from pylti1p3.tool_config import ToolConfDict

_TARGET = os.environ.get("BENCH_TARGET", "")


class _Redis:
    """What PyLTI1p3's cache storage asks of a cache."""

    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(os.environ["BENCH_REDIS"])

    def get(self, key: str) -> Any:
        found = self._redis.get(key)
        return None if found is None else json.loads(found)

    def set(self, key: str, value: Any, exp: int | None = None) -> None:
        self._redis.set(key, json.dumps(value), ex=exp)


class _Storage(CacheDataStorage):  # type: ignore[misc]
    def __init__(self, cache: _Redis) -> None:
        self._cache = cache
        super().__init__(cache)


def _config() -> ToolConfDict:
    keys = {"keys": [json.loads(os.environ["BENCH_KEY"])]}
    platform = {
        "default": True, "client_id": os.environ["BENCH_CLIENT"], "auth_login_url": "https://lms.example/auth",
        "auth_token_url": "https://lms.example/token", "key_set": keys, "key_set_url": None,
        "deployment_ids": [os.environ["BENCH_DEPLOYMENT"]],
    }  # fmt: skip
    return ToolConfDict({os.environ["BENCH_ISSUER"]: [platform]})


def create_app() -> Flask:
    """Return the application; its session cookie is Flask's own."""
    app, config, cache = Flask("pylti"), _config(), _Redis()
    app.secret_key = secrets.token_hex()

    @app.get("/readyz")
    def ready() -> str:
        return "ready"

    @app.get("/login")
    def login() -> Any:
        storage = _Storage(cache)
        return FlaskOIDCLogin(FlaskRequest(), config, launch_data_storage=storage).redirect(_TARGET)

    @app.post("/launch")
    def launch() -> Any:
        message = FlaskMessageLaunch(FlaskRequest(), config, launch_data_storage=_Storage(cache))
        message.get_launch_data()
        return redirect(f"https://app.example/launch?code={request.form['state']}", 303)

    return app
