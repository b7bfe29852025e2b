"""The composition root: the only place where implementations are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import orjson
from flask import Flask
from flask.json.provider import JSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from connectors.egress import GuardedSession, Reach, open_session
from connectors.tokens import TokenBroker
from gateway import logs
from gateway.cache import Cache, SharedTokens
from gateway.flows.parts import Office, Parts
from gateway.identity.clients import OAuthServer
from gateway.identity.keys import PlatformKeys
from gateway.identity.platforms import Registrations
from gateway.identity.states import States
from gateway.jobs import Deferrer
from gateway.office import open_installed
from gateway.policy.minimise import Sample, one_of_each_page
from gateway.settings import load
from gateway.web import (
    api,
    district,
    family,
    health,
    limits,
    lti,
    oauth,
    on_file,
    oneroster,
    problems,
    security,
    teacher,
)
from gateway.web.contract import EXTENSION, Running

MAX_BODY = 1 << 20
_BLUEPRINTS = (lti, oauth, oneroster, api, district, on_file, teacher, family, health)


class Orjson(JSONProvider):
    """JSON by orjson: decimals and dates as the API writes them."""

    def dumps(self, obj: Any, **_options: Any) -> str:
        return orjson.dumps(obj, default=str).decode()

    def loads(self, s: str | bytes, **_options: Any) -> Any:
        return orjson.loads(s)


class Application(Flask):
    """Flask, where nothing is asynchronous: so it is not found out of each function before each of its calls."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def make_parts(office: Office, sample: Sample = one_of_each_page) -> Parts:
    """Choose the lines to the outside, and so every part of a running gateway."""
    settings, database, vault, clock, ids = (getattr(office, f.name) for f in fields(Office))
    cache = Cache(vault, settings.redis_url)

    def open_line(hosts: Any, **caps: Any) -> GuardedSession:
        return open_session(Reach(frozenset(hosts), loopback=settings.sandbox, **caps))

    return Parts(
        settings, database, vault, clock, ids, cache, open_line, TokenBroker(SharedTokens(cache)),
        Registrations(database, clock), States(vault, clock, ids), PlatformKeys(database, cache, clock, open_line),
        Deferrer(), sample,
    )  # fmt: skip


def create_app(parts: Parts | None = None) -> Flask:
    """Return the WSGI application. Without parts, those of this installation's settings."""
    parts = parts or _installed()
    app = Application("gateway.web")
    app.json = Orjson(app)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY, MAX_FORM_MEMORY_SIZE=200_000, MAX_FORM_PARTS=50, PROPAGATE_EXCEPTIONS=False
    )
    server = OAuthServer(parts.database, parts.clock, parts.ids, f"{parts.settings.url}/oauth2/token")
    server.init_app(app)
    app.extensions[EXTENSION] = Running(parts, server)
    security.register(app)
    problems.register(app)
    for module in _BLUEPRINTS:
        app.register_blueprint(module.blueprint)
    limits.register(app, parts.settings.redis_url)
    if parts.settings.trusted_proxies:
        hops = parts.settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    return app


def _installed() -> Parts:
    """The parts of this installation: its settings, its database, embedded when none is named."""
    from gateway.embedded import EmbeddedPostgres

    logs.configure()
    settings = load()
    url = settings.database_url or EmbeddedPostgres(settings.instance).ensure().application
    return make_parts(open_installed(settings, url))
