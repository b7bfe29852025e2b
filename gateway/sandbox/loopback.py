"""What every peer stands on: a port of 127.0.0.1, tokens of ten minutes, faults on demand."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request
from markupsafe import Markup
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TOKEN_SECONDS = 600

_PAGE = Markup(
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>{body}</html>'
)


class RefusalError(Exception):
    """An answer other than success: HTTP status, short code, one sentence."""

    def __init__(self, status: int, code: str, sentence: str = "") -> None:
        super().__init__(sentence or code)
        self.status, self.code, self.sentence = status, code, sentence or code


def page(title: str, body: Markup, status: int = 200) -> Response:
    """Return one plain HTML page that no cache may keep."""
    headers = {"Cache-Control": "no-store"}
    return Response(_PAGE.format(title=title, body=body), status, headers, mimetype="text/html")


def refusal(error: RefusalError) -> Response:
    """Return the JSON answer of a refusal, in the manner of RFC 6749 §5.2."""
    answer = jsonify(error=error.code, error_description=error.sentence)
    answer.status_code = error.status
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = f'Bearer error="{error.code}"'
    return answer


@dataclass(slots=True)
class Tokens:
    """Opaque bearer tokens of one authorization server, kept in memory."""

    clock: Callable[[], float] = time.time
    live: dict[str, tuple[str, frozenset[str], float]] = field(default_factory=dict)

    def issue(
        self, client: str, scopes: Iterable[str], seconds: float = TOKEN_SECONDS, kind: str = "Bearer"
    ) -> dict[str, Any]:
        """Return a token answer (RFC 6749 §5.1)."""
        token, granted = secrets.token_urlsafe(24), frozenset(scopes)
        self.live[token] = (client, granted, self.clock() + seconds)
        return {
            "access_token": token,
            "token_type": kind,
            "expires_in": seconds,
            "scope": " ".join(sorted(granted)),
        }

    def require(self, *scopes: str) -> str:
        """Return the client of this request's token; RefusalError when it holds none of `scopes`."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        client, granted, until = self.live.get(token, ("", frozenset(), 0.0))
        if kind.lower() != "bearer" or until <= self.clock():
            raise RefusalError(401, "invalid_token", "The token is missing, unknown or expired.")
        if scopes and not granted & set(scopes):
            raise RefusalError(403, "insufficient_scope", f"Needs one of: {' '.join(scopes)}")
        return client


class Faults:
    """A WSGI layer that misbehaves when told to; a fault is named by the last word of the path."""

    def __init__(self, app: Flask) -> None:
        self.inner, self.pending = app.wsgi_app, dict[str, dict[str, Any]]()
        app.wsgi_app = self  # type: ignore[method-assign, assignment]
        app.add_url_rule("/_sandbox/fault", "fault", self.plan, methods=["POST"])

    def plan(self) -> Response:
        """Take {"on", "do", "times", "seconds"}; `do` null forgets the fault."""
        wish = request.get_json()
        self.pending[wish["on"]] = {"times": 1, "seconds": 2.0, **wish}
        return jsonify(wish)

    def due(self, environ: WSGIEnvironment) -> dict[str, Any]:
        word = environ["PATH_INFO"].rstrip("/").rsplit("/", 1)[-1]
        plan = self.pending.get("lineitem" if word.isdigit() else word)
        if not plan or plan["times"] < 1 or environ["PATH_INFO"].startswith("/_sandbox/"):
            return {"do": None}
        plan["times"] -= 1
        return plan

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        plan = self.due(environ)
        if plan["do"] in ("500", "429"):
            headers = [("Content-Type", "text/plain"), ("Retry-After", "1")]
            start(f"{plan['do']} Made to fail", headers)
            return [b"made to fail"]
        if plan["do"] == "slow":
            time.sleep(plan["seconds"])
        if plan["do"] == "drop_after":
            list(self.inner(environ, lambda *_: lambda _data: None))
        if plan["do"] in ("drop_before", "drop_after"):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        return self.inner(environ, start)


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Say nothing: standard output carries one JSON line and no more."""


def open_server(port: int, build: Callable[[str], Flask]) -> tuple[BaseWSGIServer, Flask]:
    """Listen on 127.0.0.1 (port 0: any free one), then build the application with its own URL."""
    server = make_server("127.0.0.1", port, Flask("empty"), threaded=True, request_handler=_Quiet)
    server.app = app = build(f"http://127.0.0.1:{server.port}")
    return server, app


@contextmanager
def running(build: Callable[[str], Flask], port: int = 0) -> Iterator[str]:
    """Serve from a thread of this process; yields the URL."""
    server, _ = open_server(port, build)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def serve(port: int, build: Callable[[str], Flask]) -> None:
    """Print `app.extensions["announce"]` as one JSON line, then serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server, app = open_server(port, build)
    print(json.dumps(app.extensions["announce"], ensure_ascii=False), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
