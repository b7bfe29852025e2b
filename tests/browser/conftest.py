"""A real Chromium before a real gateway: https, names of their own, an LMS that shows the tool in a frame.

One server on loopback plays all hosts; Chromium is told where they are, and that their certificate is nobody's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from flask import Flask, request
from markupsafe import Markup
from playwright.sync_api import BrowserContext, Page, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.journeys.test_grades import Lesson
from tests.platforms import Login, rsa_key
from tests.worlds import World

GATEWAY, LMS, APP = "gateway.example", "lms.example", "app.example"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDED = "needs Chromium: `apt install chromium`, or any package that brings it"
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--ignore-certificate-errors",
    # A frame that goes from one site to another changes processes, and what waits for it there can wait for ever
    # (seen: one test in twenty). Which cookies a frame is given is not decided by its process.
    "--disable-features=IsolateOrigins,site-per-process", "--disable-site-isolation-trials",
)  # fmt: skip
_COURSE = """<!doctype html><title>Course</title><style>body {{ margin: 0 }} iframe {{ border: 0; width: 100% }}</style>
<iframe name="tool" height="560" src="{src}"></iframe>"""
# LTI postMessage Storage 0.1, the platform's side: it keeps what the tool's frame gives it, and hands it back.
_KEEPER = """<script>
const kept = {};
addEventListener("message", (event) => {
  if (event.origin !== "https://gateway.example") return;
  const { subject, message_id, key, value } = event.data;
  if (subject === "lti.put_data") kept[key] = value;
  if (!["lti.put_data", "lti.get_data"].includes(subject)) return;
  event.source.postMessage({ subject: subject + ".response", message_id, key, value: kept[key] }, event.origin);
});
</script>"""


@dataclass
class Street:
    """Gateway, LMS and application at one server; which member launches, what the LMS offers, who arrived."""

    lesson: Lesson
    port: int = 0
    member: str = "p0"
    claims: dict[str, Any] = field(default_factory=dict)
    storage: bool = False
    forgets: bool = False  # what it was given to keep
    in_text: bool = False  # its answers are JSON in text, as a Sakai's may be
    arrived: list[str] = field(default_factory=list)
    picked: list[str] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.lesson.world

    def wsgi(self, environ: dict[str, Any], start: Any) -> Any:
        host = environ["HTTP_HOST"].partition(":")[0]
        apps = {GATEWAY: self.world.app, LMS: self._lms(), APP: self._app()}
        return apps[host].wsgi_app(environ, start)

    def _keeper(self) -> str:
        keeper = _KEEPER.replace("kept[key] = value", "0") if self.forgets else _KEEPER
        if self.in_text:
            keeper = keeper.replace("postMessage({", "postMessage(JSON.stringify({").replace("] }, ", "] }), ")
        return keeper if self.storage else ""

    def _app(self) -> Flask:
        app = Flask("application")

        @app.get("/launch")
        def arrive() -> str:
            self.arrived.append(request.args["code"])
            return "<!doctype html><title>In</title><h1>You are in</h1>"

        return app

    def _lms(self) -> Flask:
        app, lms = Flask("lms"), self.lesson.lms

        @app.get("/course")
        def course() -> str:
            more = {"lti_storage_target": "_parent"} if self.storage else {}
            login = f"https://{GATEWAY}/lti/login?{urlencode(lms.parameters(self.world, **more))}"
            return _COURSE.format(src=str(Markup.escape(login))) + self._keeper()

        @app.get("/auth")
        def auth() -> str:
            asked = request.args.to_dict()
            said = self.claims or lms.message(self.member)
            token = lms.sign(lms.complete(self.world, said, Login(None, asked)))  # type: ignore[arg-type]
            form = Markup(
                '<!doctype html><title>Go</title><form method="post" action="{}"><input type="hidden" name="id_token" '
                'value="{}"><input type="hidden" name="state" value="{}"><button>Continue</button></form>'
                "<script>document.forms[0].submit()</script>"
            )
            return str(form.format(asked["redirect_uri"], token, asked["state"]))

        @app.post("/picked")
        def picked() -> str:
            self.picked.append(request.form["JWT"])
            return "<!doctype html><title>Course</title><h1>Added</h1>"

        return app


class _Quiet(WSGIRequestHandler):
    def log(self, *_said: Any) -> None:
        """Nobody reads it."""


def certificate(folder: Path) -> ssl.SSLContext:
    """A certificate of the moment for all hosts."""
    key, name = rsa_key(5), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, GATEWAY)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in (GATEWAY, LMS, APP)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "hosts.pem"
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.fixture
def street(public_world: World, wire: Any, tmp_path: Path) -> Iterator[Street]:
    lesson = Lesson(public_world, wire)
    lesson.activity()
    made = Street(lesson)
    server = make_server("127.0.0.1", 0, made.wsgi, threaded=True, request_handler=_Quiet,
                         ssl_context=certificate(tmp_path))  # fmt: skip
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Opened = Callable[..., Page]
BODY_SECONDS, CLOSE_SECONDS = 90, 20


@pytest.fixture
def browse(street: Street, tmp_path: Path) -> Iterator[Opened]:
    """Open pages in Chromium, third-party cookies blocked: browse(blocked=..., width=..., scripts=...)."""
    if CHROMIUM is None:
        pytest.skip(NEEDED)
    with ExitStack() as stack:
        play = stack.enter_context(sync_playwright())
        numbers = iter(range(9))

        def open_page(*, blocked: str = "", width: int = 1000, scripts: bool = True) -> Page:
            folder = tmp_path / f"browser{next(numbers)}"
            return stack.enter_context(_chromium(play, street.port, folder, blocked, width, scripts)).new_page()

        yield open_page


@contextmanager
def _chromium(
    play: Any, port: int, folder: Path, blocked: str, width: int, scripts: bool
) -> Iterator[BrowserContext]:  # fmt: skip
    """Chromium with a profile of its own; `blocked` is where the gateway's cookies are blocked altogether."""
    exceptions = {f"https://{GATEWAY}:443,{blocked}": {"setting": 2}} if blocked else {}
    profile = {"cookie_controls_mode": 1, "block_third_party_cookies": True,
               "content_settings": {"exceptions": {"cookies": exceptions}}}  # fmt: skip
    (folder / "Default").mkdir(parents=True)
    (folder / "Default" / "Preferences").write_text(json.dumps({"profile": profile}))
    context = play.chromium.launch_persistent_context(
        folder, executable_path=CHROMIUM, java_script_enabled=scripts, ignore_https_errors=True,
        viewport={"width": width, "height": 640},
        args=[*_FLAGS, f"--host-resolver-rules=MAP *.example 127.0.0.1:{port}"],
    )  # fmt: skip
    context.set_default_timeout(10_000)
    try:
        with _killed_after(BODY_SECONDS, folder):
            yield context
    finally:
        with _killed_after(CLOSE_SECONDS, folder):
            context.close()


@contextmanager
def _killed_after(seconds: float, folder: Path) -> Iterator[None]:
    """Kill the browser of this profile when it hangs: what waits for it then fails, where it had waited for ever."""
    timer = threading.Timer(seconds, _kill, (str(folder),))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _kill(profile: str) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"--user-data-dir={profile}".encode() in (process / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
