"""The assessment platform, the gateway's application: receives launches, hands results in."""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote, urljoin, urlsplit

import requests
from flask import Blueprint, Flask, Response, current_app, jsonify, request
from markupsafe import Markup

from gateway.sandbox.loopback import RefusalError, page, refusal, serve
from gateway.sandbox.wire import fetch

bp = Blueprint("assessment", __name__)

SCOPES = "launch.read members.read results.write transfers.read transcripts.write"
SCALE = {"advanced": 20, "proficient": 17, "developing": 14, "beginning": 10}
_UNMAPPED = "exploring"  # one pupil's level that SCALE does not know
_LAUNCH = Markup(
    "<p>Hello {name}, {role} of {title}.</p>"
    '<form method="post" action="/hand_in"><input type="hidden" name="launch" value="{id}">'
    '<label>Activity <input name="activity" value="unit-3"></label>'
    '<label>Mode <select name="mode"><option value="preview">preview</option>'
    '<option value="apply">apply</option></select></label>'
    "<button>Hand in results</button></form>{back}"
)
_BACK = Markup('<p><a href="{}">Back to your course</a></p>')
_ROW = Markup("<li>{}: {} {} {}</li>")


@dataclass(slots=True)
class Gateway:
    """Our client of the gateway's application API."""

    url: str
    client: tuple[str, str]
    scopes: str = SCOPES
    token: str = ""
    until: float = 0.0

    def call(self, method: str, where: str, body: object = None, key: str = "") -> dict[str, Any]:
        """Return the gateway's JSON; RefusalError carries its problem+json."""
        headers = {"Authorization": f"Bearer {self._bearer()}", "Accept": "application/json"}
        headers |= {"Idempotency-Key": key} if key else {}
        answer = self._send(method, where, headers=headers, json=body)
        if answer.status_code >= 400:
            raise ProblemError(answer)
        return cast("dict[str, Any]", answer.json())

    def _bearer(self) -> str:
        if time.time() > self.until - 30:
            form = {"grant_type": "client_credentials", "scope": self.scopes}
            answer = self._send("POST", "/oauth2/token", data=form, auth=self.client)
            if answer.status_code >= 400:
                raise ProblemError(answer)
            said = answer.json()
            self.token, self.until = said["access_token"], time.time() + said["expires_in"]
        return self.token

    def _send(self, method: str, where: str, **more: Any) -> requests.Response:
        url = urljoin(self.url, where)
        if urlsplit(url)[:2] != urlsplit(self.url)[:2]:  # a `next` that leads away with our token
            raise RefusalError(502, "foreign_address", url)
        return fetch(method, url, **more)


class ProblemError(Exception):
    """The gateway said no; its answer is passed on as it came."""

    def __init__(self, answer: requests.Response) -> None:
        super().__init__(answer.text)
        self.answer = answer


@dataclass(slots=True)
class Platform:
    """All state of the assessment platform."""

    gateway: Gateway | None = None
    launches: dict[str, dict[str, Any]] = field(default_factory=dict)
    mastery: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def api(self) -> Gateway:
        if self.gateway is None:
            raise RefusalError(409, "not_configured", "POST /_sandbox/configure first.")
        return self.gateway

    def members(self, class_id: str) -> Iterator[dict[str, Any]]:
        """Yield every member of a class, page by page."""
        where = f"/v1/classes/{quote(class_id, safe='')}/members"
        while where:
            answer = self.api().call("GET", where)
            yield from answer["data"]
            where = answer.get("next") or ""

    def level(self, activity: str, person: str, n: int) -> dict[str, str]:
        """Return what a pupil has mastered: made up once, the same when asked again."""
        levels = [*SCALE, "proficient", "developing"]
        word = _UNMAPPED if n == 5 else levels[n % len(levels)]
        taken = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.mastery.setdefault((activity, person), {"mastery": word, "at": taken})

    def hand_in(self, launch_id: str, activity: str, mode: str, key: str) -> dict[str, Any]:
        """Declare the activity, then send one result per pupil and one for nobody."""
        launch = self.launches.get(launch_id)
        if launch is None:
            raise RefusalError(404, "unknown_launch")
        class_id = launch["class"]["id"]
        pupils = sorted((m.get("name", ""), m["id"]) for m in self.members(class_id) if m["role"] == "student")
        results = [
            {"ref": f"r{n}", "person": person, **self.level(activity, person, n)}
            for n, (_, person) in enumerate(pupils, 1)
        ]
        stray = self.level(activity, "pe_nobody0000000000", 1)
        results.append({"ref": "stray", "person": "pe_nobody0000000000", **stray})
        where = f"/v1/activities/{quote(activity, safe='')}"
        self.api().call("PUT", where, _activity(class_id, activity))
        batch = {"mode": mode, "activity": activity, "launch": launch_id, "results": results}
        return self.api().call("POST", "/v1/result_batches", batch, key or secrets.token_hex(16))


def _activity(class_id: str, activity: str) -> dict[str, Any]:
    due = (datetime.now(UTC) + timedelta(days=7)).date().isoformat()
    title = activity.replace("-", " ").capitalize()
    return {"class": class_id, "title": title, "points": 20, "scale": SCALE, "due_on": due}


def create_app(url: str) -> Flask:
    """Build the assessment platform that answers at `url`."""
    app = Flask("assessment")
    app.extensions |= {
        "platform": Platform(),
        "announce": {"assessment": url, "launch_url": f"{url}/launch", "scopes": SCOPES},
    }
    app.register_blueprint(bp)
    app.register_error_handler(RefusalError, refusal)
    app.register_error_handler(ProblemError, _pass_on)
    return app


def _pass_on(problem: ProblemError) -> Response:
    answer = problem.answer
    return Response(answer.content, answer.status_code, content_type=answer.headers["Content-Type"])


def platform() -> Platform:
    """Return the platform this request came to."""
    return cast("Platform", current_app.extensions["platform"])


@bp.get("/launch")
def launched() -> Response:
    code = {"code": request.args.get("code", "")}
    launch = platform().api().call("POST", "/v1/launches/exchange", code)
    platform().launches[launch["id"]] = launch
    person, room = launch["person"], launch.get("class") or {}
    back = str(launch.get("return_url") or "")
    values = {
        "id": launch["id"],
        "name": person.get("name") or "you",
        "role": person["role"],
        "title": room.get("title", "no class"),
        "back": _BACK.format(back) if back.startswith(("https://", "http://")) else "",
    }
    return page("Mastery check", _LAUNCH.format(**values))


@bp.post("/hand_in")
def hand_in_page() -> Response:
    form = request.form
    batch = platform().hand_in(form["launch"], form["activity"], form["mode"], "")
    keys = ("ref", "state", "reason", "fix")
    rows = (_ROW.format(*(r.get(k) or "" for k in keys)) for r in batch["results"])
    head = Markup("<p>Batch {} is {}.</p>").format(batch["id"], batch["state"])
    push = batch.get("push_url")
    link = Markup('<p><a href="{}">Send to the gradebook</a></p>').format(push) if push else Markup()
    return page("Results handed in", head + Markup("<ul>{}</ul>").format(Markup().join(rows)) + link)


@bp.post("/_sandbox/configure")
def configure() -> Response:
    """Take {"gateway_url", "client_id", "client_secret", "scopes"?}."""
    said = request.get_json()
    client = (said["client_id"], said["client_secret"])
    platform().gateway = Gateway(said["gateway_url"], client, said.get("scopes", SCOPES))
    return jsonify(gateway=said["gateway_url"])


@bp.get("/_sandbox/launches")
def launches() -> Response:
    """Every launch received, in order."""
    return jsonify(list(platform().launches.values()))


@bp.post("/_sandbox/hand_in")
def hand_in() -> Response:
    """Take {"launch", "activity", "mode", "key"?, "levels"? by person}; return the gateway's batch."""
    said = request.get_json()
    for person, level in said.get("levels", {}).items():
        platform().level(said["activity"], person, 0)["mastery"] = level
    parts = (said["launch"], said["activity"], said["mode"], said.get("key", ""))
    return jsonify(platform().hand_in(*parts))


@bp.get("/_sandbox/batch/<batch_id>")
def batch(batch_id: str) -> Response:
    return jsonify(platform().api().call("GET", f"/v1/result_batches/{quote(batch_id, safe='')}"))


@bp.get("/_sandbox/transfers")
def transfers() -> Response:
    return jsonify(platform().api().call("GET", "/v1/transfers"))


@bp.post("/_sandbox/transcript")
def transcript() -> Response:
    """Take {"person"}; offer the gateway a transcript of that person."""
    today = datetime.now(UTC).date().isoformat()
    skills = {"Linear functions": "advanced", "Systems of equations": "proficient"}
    document = {
        "title": "Mastery transcript, Algebra 1",
        "issued_on": today,
        "competencies": [{"name": k, "level": v, "on": today} for k, v in skills.items()],
    }
    body = {"person": request.get_json()["person"], "document": document}
    return jsonify(platform().api().call("POST", "/v1/transcripts", body))


def main() -> None:
    """Serve the assessment platform on loopback."""
    asked = argparse.ArgumentParser(description=main.__doc__)
    asked.add_argument("--port", type=int, default=0)
    serve(asked.parse_args().port, create_app)


if __name__ == "__main__":
    main()
