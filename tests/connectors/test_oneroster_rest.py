"""A roster read page by page: what comes is written whole, what is odd writes nothing. Over loopback sockets."""

from __future__ import annotations

import csv
import io
import json
import socket
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.contract import PullsRoster
from connectors.egress import Reach, open_session
from connectors.errors import ConnectorError
from connectors.oneroster_csv import open_delivery
from connectors.oneroster_rest import RESTARTS, RestSource, Service
from connectors.source_credentials import ClientCredentials, Credentials, Signature, StaticBearer
from connectors.tokens import ProcessCache, Token, TokenBroker, TokenKey
from tests.connectors.peer import Peer, reply
from tests.connectors.roster_peer import BASE, Roster, district, frame, of_1p1, ref


class Shelf:
    """Keeps pages in memory, as the gateway keeps them on disk."""

    def __init__(self) -> None:
        self.pages: dict[tuple[str, str], bytes] = {}

    def get(self, collection: str, url: str) -> bytes | None:
        return self.pages.get((collection, url))

    def keep(self, collection: str, url: str, page: bytes) -> None:
        self.pages[collection, url] = page

    def forget(self, collection: str = "") -> None:
        self.pages = {key: page for key, page in self.pages.items() if collection and key[0] != collection}


class Desk:
    """A source, our line to it, and what was waited for."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.roster, self.shelf, self.waited = Roster(), Shelf(), list[float]()
        self.peer = stack.enter_context(Peer(self._serve))
        self.service = Service(self.peer.url(BASE))
        self.limit = 1 << 20

    def _serve(self, line: socket.socket, peer: Peer) -> None:
        self.roster.script(line, peer)

    def line(self, hosts: Any, **_caps: Any) -> Any:
        reach = Reach(frozenset(hosts), loopback=True, total_seconds=5, read_seconds=1)
        return self.stack.enter_context(open_session(reach))

    def source(self, credentials: Credentials | None = None) -> RestSource:
        known = credentials or StaticBearer(Token("t0k"))
        return RestSource(self.service, known, self.line, self.shelf, self.waited.append, self.limit)

    def pull(self, credentials: Credentials | None = None) -> dict[str, list[dict[str, str]]]:
        """The rows of each file of the delivery."""
        source, into = self.source(credentials), self.folder / "delivery.zip"
        assert source.pull_roster(into) == into.stat().st_size
        self.told = source
        with zipfile.ZipFile(into) as bundle:
            texts = {name: bundle.read(name).decode() for name in bundle.namelist()}
        self.manifest = dict(csv.reader(io.StringIO(texts.pop("manifest.csv"))))
        return {name: list(csv.DictReader(io.StringIO(text))) for name, text in texts.items()}

    def fails(self, code: str, match: str = "") -> ConnectorError:
        """The pull fails with this code, and leaves nothing behind."""
        with pytest.raises(ConnectorError, match=match or None) as failed:
            self.source().pull_roster(self.folder / "delivery.zip")
        assert failed.value.code == code
        assert list(self.folder.iterdir()) == []
        return failed.value


@pytest.fixture
def desk(tmp_path) -> Iterator[Desk]:
    with ExitStack() as stack:
        yield Desk(tmp_path, stack)


# --- what comes ----------------------------------------------------------------------------------------


def test_every_collection_is_read_page_by_page_and_written_as_a_bulk_delivery(desk):
    rows = desk.pull()
    assert {name: len(found) for name, found in rows.items()} == {
        "academicSessions.csv": 2, "classes.csv": 1, "courses.csv": 1, "demographics.csv": 5, "enrollments.csv": 6,
        "orgs.csv": 2, "roles.csv": 6, "users.csv": 6,
    }  # fmt: skip
    assert desk.manifest["oneroster.version"] == "1.2"
    assert {desk.manifest[f"file.{name[:-4]}"] for name in rows} == {"bulk"}
    assert desk.manifest["file.results"] == "absent"
    assert isinstance(desk.source(), PullsRoster)


def test_the_delivery_is_one_that_the_csv_path_opens(desk):
    desk.pull()
    with open_delivery(desk.folder / "delivery.zip", 1 << 20) as delivery:
        assert delivery.whole
        assert delivery.manifest.version == "1.2"
        assert len(delivery.files()) == 8


def test_pages_are_asked_for_in_the_order_of_ids(desk):
    desk.pull()
    first = desk.roster.asked[0]
    assert first == ("orgs", {"limit": "1000", "offset": "0", "sort": "sourcedId", "orderBy": "asc"})


def test_the_same_roster_is_the_same_file(desk):
    desk.pull()
    first = (desk.folder / "delivery.zip").read_bytes()
    desk.pull()
    assert (desk.folder / "delivery.zip").read_bytes() == first


def test_people_of_1p1_bring_their_roles(desk):
    twelve = desk.pull()
    desk.roster.objects = of_1p1(district())
    assert desk.pull() == twelve


@pytest.mark.parametrize(("total", "links"), [(True, False), (False, True), (False, False)])
def test_missing_headers_are_survived(desk, total, links):
    whole = desk.pull()
    desk.roster.total, desk.roster.links = total, links
    assert desk.pull() == whole


def test_relative_links_are_survived(desk):
    whole = desk.pull()
    desk.roster.relative = True
    desk.roster.objects["courses"][0]["org"]["href"] = "~/ims/oneroster/v1p1/orgs/d"
    assert desk.pull() == whole


def test_what_is_to_be_deleted_is_left_out_of_a_bulk_delivery(desk):
    for one, status in zip(desk.roster.objects["users"][1:], ("tobedeleted", "inactive"), strict=False):
        one["status"] = status
    rows = desk.pull()
    assert [row["sourcedId"] for row in rows["users.csv"]] == ["t1", "p02", "p03", "p04"]
    told = {one.collection: one for one in desk.told.told}
    assert (told["users"].objects, told["users"].notes.gone) == (6, 2)


def test_a_password_is_never_looked_at(desk):
    for one in desk.roster.objects["users"]:
        one["password"] = "hunter2-hunter2"
    desk.pull()
    assert b"hunter2" not in (desk.folder / "delivery.zip").read_bytes()


# --- what changed since --------------------------------------------------------------------------------


def test_changes_are_written_as_a_delta_delivery(desk):
    desk.roster.objects["users"][1] |= {"dateLastModified": "2026-10-05T08:00:00.000Z", "status": "tobedeleted"}
    desk.roster.objects["enrollments"][1]["dateLastModified"] = "2026-10-05T09:30:00+02:00"
    desk.service = replace(desk.service, since=datetime(2026, 10, 1, tzinfo=UTC))
    rows = desk.pull()
    assert {name: [row["sourcedId"] for row in found] for name, found in rows.items()} == {
        "users.csv": ["p00"], "roles.csv": ["p00@A"], "enrollments.csv": ["e.p00"],
    }  # fmt: skip
    assert {(row["status"], row["dateLastModified"]) for row in rows["users.csv"] + rows["roles.csv"]} == {
        ("tobedeleted", "2026-10-05T08:00:00.000Z")
    }
    assert rows["enrollments.csv"][0]["dateLastModified"] == "2026-10-05T07:30:00.000Z"
    assert (desk.manifest["file.users"], desk.manifest["file.orgs"]) == ("delta", "absent")
    assert desk.told.latest == datetime(2026, 10, 5, 8, tzinfo=UTC)
    assert desk.roster.asked[0][1]["filter"] == "dateLastModified>='2026-10-01T00:00:00.000Z'"


def test_no_change_is_a_manifest_alone(desk):
    desk.service = replace(desk.service, since=datetime(2027, 1, 1, tzinfo=UTC))
    assert desk.pull() == {}
    assert {value for name, value in desk.manifest.items() if name.startswith("file.")} == {"absent"}


def test_local_time_stamps_are_taken_and_said(desk):
    desk.roster.objects["orgs"][0]["dateLastModified"] = "2026-11-02T03:04:05"
    desk.pull()
    assert desk.told.told[0].notes.repairs == {"local-time"}
    assert desk.told.latest == datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)


# --- pages that do not make a whole --------------------------------------------------------------------


def next_to(desk: Desk, address: str) -> Any:
    def answer(path: str, query: dict[str, str], _: int) -> bytes:
        return desk.roster.answer(path, query, desk.peer, Link=f'<{address}>; rel="next"')

    return answer


def test_a_loop_is_found(desk):
    desk.roster.odd = lambda path, query, _: desk.roster.answer(
        path, query, desk.peer, Link=f'<{desk.peer.url(BASE)}/orgs?limit=2&offset=0>; rel="next"'
    )
    desk.fails("SRC_PAGES", "orgs: ")


@pytest.mark.parametrize("odd", ["loop", "elsewhere", "total", "empty"])
def test_what_was_odd_is_asked_for_anew_once_it_is_mended(desk, odd):
    links = {"loop": f"{desk.peer.url(BASE)}/users?limit=1000", "elsewhere": "https://sis.elsewhere.example/users"}
    headers = {"Link": f'<{links[odd]}>; rel="next"'} if odd in links else {}
    desk.roster.odd = lambda path, query, n: (
        None if path != "users" else reply(b'{"users": []}') if odd == "empty" else
        desk.roster.answer(path, query, desk.peer, **(headers or {"X-Total-Count": str(n)}))
    )  # fmt: skip
    desk.fails("SRC_COLLECTION" if odd == "empty" else "SRC_PAGES")
    desk.roster.odd = lambda *_: None
    desk.roster.asked.clear()
    assert len(desk.pull()["users.csv"]) == 6
    assert desk.roster.asked[0][0] == "users"


def test_a_next_that_leaves_the_host_is_not_followed(desk):
    elsewhere = desk.stack.enter_context(Peer(lambda line, peer: peer.hear(line) and None))
    desk.roster.odd = next_to(desk, elsewhere.url(f"{BASE}/orgs?offset=2"))
    desk.fails("SRC_PAGES", "another origin")
    assert elsewhere.connections == 0


def test_the_same_page_under_another_address_is_found(desk):
    def repeat(path: str, query: dict[str, str], _: int) -> bytes:
        return desk.roster.answer(path, query | {"offset": "0"}, desk.peer)

    desk.roster.odd, desk.roster.links = repeat, False
    desk.roster.objects = district(9)
    desk.fails("SRC_PAGES", "users: the same page came twice")


def test_a_total_that_changes_is_read_again_and_then_refused(desk):
    desk.roster.odd = lambda path, query, n: (
        desk.roster.answer(path, query, desk.peer, **{"X-Total-Count": str(100 + n)}) if path == "users" else None
    )
    desk.fails("SRC_PAGES", "users: the total changed from .* 3 times in a row")
    assert len([path for path, _ in desk.roster.asked if path == "users"]) == 2 * (RESTARTS + 1)


def test_a_collection_that_moves_once_is_read_again(desk):
    whole = desk.pull()
    desk.roster.asked.clear()
    desk.roster.odd = lambda path, query, n: (
        desk.roster.answer(path, query, desk.peer, **{"X-Total-Count": "7"}) if (path, n) == ("users", 4) else None
    )
    assert desk.pull() == whole
    assert [one.restarts for one in desk.told.told] == [0, 0, 0, 1, 0, 0, 0]


def test_a_gap_is_found(desk):
    desk.roster.odd = lambda path, query, _: (
        desk.roster.answer(path, {**query, "offset": "3"}, desk.peer)
        if (path, query["offset"]) == ("users", "2") else None
    )  # fmt: skip
    desk.fails("SRC_PAGES", "users: 5 objects came where 6 were said")


def test_an_object_on_two_pages_is_found(desk):
    desk.roster.total, people = False, desk.roster.objects["users"]
    people[3] = dict(people[0], givenName="Shifted")
    desk.fails("SRC_PAGES", "users: an object stands on two pages")


def test_a_roster_of_another_revision_is_read_again_and_then_refused(desk):
    desk.service = replace(desk.service, revision="x-perm-rev")
    desk.roster.odd = lambda path, query, n: desk.roster.answer(path, query, desk.peer, **{"X-Perm-Rev": str(n // 9)})
    desk.fails("SRC_PAGES", "again and again")
    desk.roster.asked.clear()
    desk.roster.odd = lambda path, query, n: desk.roster.answer(path, query, desk.peer, **{"X-Perm-Rev": str(n > 4)})
    assert len(desk.pull()["users.csv"]) == 6


# --- a collection that is not there --------------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        reply(b"{}", "404 Not Found"), reply(b"{}", "403 Forbidden"), reply(b"{}"), reply(b"[]"),
        reply(b'{"users": {}}'), reply(b'{"users": null}'), reply(b'{"users": []}'),
    ],
    ids=["404", "403", "no envelope", "a list", "an object", "nothing", "empty"],
)  # fmt: skip
def test_a_collection_that_is_not_there_is_a_failed_pull(desk, wire):
    desk.roster.odd = lambda path, *_: wire if path == "users" else None
    desk.fails("SRC_COLLECTION", "users: ")


def test_demographics_that_were_there_and_are_not_fail_the_pull(desk):
    del desk.roster.objects["demographics"]
    desk.fails("SRC_COLLECTION", "demographics: the source answers 404")
    desk.service = replace(desk.service, collections=tuple(c for c in desk.service.collections if c != "demographics"))
    assert "demographics.csv" not in desk.pull()


def test_demographics_of_nobody_are_no_file(desk):
    desk.roster.objects["demographics"] = []
    assert "demographics.csv" not in desk.pull()


# --- a source that is slow, broken or away -------------------------------------------------------------


def sometimes(path: str, wire: bytes, *, times: int) -> Any:
    left = [times]

    def answer(asked: str, *_: Any) -> bytes | None:
        if asked != path or not left[0]:
            return None
        left[0] -= 1
        return wire

    return answer


BUSY = reply(b"{}", "429 Too Many Requests", {"Retry-After": "7"})


def test_a_busy_source_is_waited_for_as_it_says(desk):
    desk.roster.odd = sometimes("users", BUSY, times=2)
    assert len(desk.pull()["users.csv"]) == 6
    assert desk.waited == [7.0, 7.0]


@pytest.mark.parametrize("said", ["soon", "-5", ""])
def test_a_wait_that_is_not_said_grows(desk, said):
    wire = reply(b"{}", "503 Service Unavailable", {"Retry-After": said} if said else {})
    desk.roster.odd = sometimes("users", wire, times=3)
    desk.pull()
    assert [int(seconds) for seconds in desk.waited] == ([0, 0, 0] if said == "-5" else [1, 2, 4])


def test_a_longer_wait_stops_the_pull_and_the_next_one_goes_on_at_that_page(desk):
    long_ = reply(b"{}", "429 Too Many Requests", {"Retry-After": "900"})
    desk.roster.odd = lambda path, query, _: long_ if (path, query["offset"]) == ("enrollments", "4") else None
    desk.fails("SRC_THROTTLED", "wait 900 seconds")
    assert desk.waited == []
    stopped = len(desk.roster.asked)
    desk.roster.asked.clear()
    desk.roster.odd = lambda *_: None
    assert len(desk.pull()["enrollments.csv"]) == 6
    assert desk.roster.asked[0] == ("enrollments", {"limit": "2", "offset": "4"})
    assert len(desk.roster.asked) < stopped / 2
    assert desk.shelf.pages == {}


@pytest.mark.parametrize("times", [1, 6])
def test_a_broken_answer_in_the_middle_is_asked_for_again(desk, times):
    desk.roster.odd = sometimes("classes", reply(b"oops", "500 Internal Server Error"), times=times)
    assert len(desk.pull()["classes.csv"]) == 1


def test_a_source_that_stays_broken_fails_the_pull(desk):
    desk.roster.odd = sometimes("classes", reply(b"oops", "502 Bad Gateway"), times=99)
    desk.fails("SRC_ANSWER", "classes: status 502")


CUT = reply(b'{"users": [{"sourcedId": "p0')


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (CUT, "SRC_ANSWER"),
        (reply(b"<html>maintenance</html>", headers={"Content-Type": "text/html"}), "SRC_ANSWER"),
        (reply(b""), "SRC_ANSWER"),
        (reply(b'{"users": [NaN]}'), "SRC_ANSWER"),
        (reply(b"", "302 Found", {"Location": "http://127.0.0.1/"}), "SRC_ANSWER"),
        (reply(b"{}", "400 Bad Request"), "SRC_ANSWER"),
        (CUT.replace(b"Content-Length: 28", b"Content-Length: 9999"), "SRC_UNREACHABLE"),
    ],
    ids=["cut", "web page", "empty", "no number", "redirect", "400", "wrong length"],
)
def test_an_answer_that_cannot_be_read_fails_the_pull(desk, wire, code):
    desk.roster.odd = lambda path, *_: wire if path == "users" else None
    desk.fails(code)


def test_a_page_that_cannot_be_read_is_not_kept(desk):
    desk.roster.odd = lambda path, *_: CUT if path == "users" else None
    desk.fails("SRC_ANSWER")
    assert {collection for collection, _ in desk.shelf.pages} == {"orgs", "academicSessions", "courses"}


def test_a_roster_without_end_is_stopped(desk):
    desk.roster.objects["users"] = [_long(n) for n in range(400)]
    desk.limit, desk.roster.page = 200_000, 100
    desk.fails("SRC_TOO_LARGE")


def _long(n: int) -> dict[str, Any]:
    return frame(f"p{n}", enabledUser="true", username="u" * 900, givenName="G", familyName="F", roles=[])


# --- who we are ----------------------------------------------------------------------------------------


def oauth2(desk: Desk, *, in_body: bool = False) -> ClientCredentials:
    url = desk.peer.url("/token")
    key = TokenKey("1", "src", url, url, ("https://purl.imsglobal.org/spec/or/v1p2/scope/roster.readonly",))
    return ClientCredentials(key, "us", "s3cret", in_body, TokenBroker(ProcessCache()), desk.line)


@pytest.mark.parametrize("in_body", [False, True])
def test_oauth_2_credentials_go_to_the_token_address_and_the_token_to_the_service(desk, in_body):
    desk.pull(oauth2(desk, in_body=in_body))
    fetch, *rest = desk.peer.requests
    assert fetch.startswith(b"POST /token")
    assert (b"client_secret=s3cret" in fetch) is in_body
    assert (b"Authorization: Basic" in fetch) is not in_body
    assert b"scope=https" in fetch
    assert {b"Authorization: Bearer t0k" in request for request in rest} == {True}


def test_a_token_that_is_not_accepted_is_renewed_once(desk):
    desk.roster.odd = sometimes("users", reply(b"{}", "401 Unauthorized"), times=1)
    desk.pull(oauth2(desk))
    assert len([1 for request in desk.peer.requests if request.startswith(b"POST /token")]) == 2
    desk.roster.odd = sometimes("users", reply(b"{}", "401 Unauthorized"), times=99)
    with pytest.raises(ConnectorError, match="renewed") as refused:
        desk.source(oauth2(desk)).pull_roster(desk.folder / "again.zip")
    assert refused.value.code == "SRC_CREDENTIALS"


def test_a_static_token_that_is_not_accepted_is_not_shown_again(desk):
    desk.roster.odd = lambda *_: reply(b"{}", "401 Unauthorized")
    desk.fails("SRC_CREDENTIALS")
    assert len(desk.roster.asked) == 1


@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256"])
def test_oauth_1_signs_every_parameter_of_each_request(desk, method):
    desk.service = replace(desk.service, since=datetime(2026, 8, 1, tzinfo=UTC))
    desk.pull(Signature("us", "s3cret&more", method))
    assert len(desk.peer.requests) > 10
    for request in desk.peer.requests:
        assert signed_by_the_book(request, desk.peer.url(), method, "s3cret&more")
    assert not signed_by_the_book(desk.peer.requests[0].replace(b"limit=1000", b"limit=1001"), desk.peer.url(), method,
                                  "s3cret&more")  # fmt: skip


def signed_by_the_book(request: bytes, origin: str, method: str, secret: str) -> bool:
    """RFC 5849 section 3.4, written out here again."""
    import base64
    import hashlib
    import hmac
    import re
    from urllib.parse import parse_qsl, quote, unquote, urlsplit

    def enc(text: str) -> str:
        return quote(text, safe="~")

    head = request.decode()
    target = urlsplit(origin.rstrip("/") + head.split(" ", 2)[1])
    header = next(line for line in head.splitlines() if line.lower().startswith("authorization: oauth"))
    said = {name: unquote(value) for name, value in re.findall(r'(oauth_\w+)="([^"]*)"', header)}
    signature = said.pop("oauth_signature")
    pairs = sorted((enc(k), enc(v)) for k, v in [*said.items(), *parse_qsl(target.query, keep_blank_values=True)])
    plain = "&".join(f"{k}={v}" for k, v in pairs)
    text = "&".join(["GET", enc(f"{target.scheme}://{target.netloc}{target.path}"), enc(plain)])
    digest = {"HMAC-SHA1": hashlib.sha1, "HMAC-SHA256": hashlib.sha256}[method]
    mine = base64.b64encode(hmac.new(f"{enc(secret)}&".encode(), text.encode(), digest).digest()).decode()
    return said["oauth_signature_method"] == method and hmac.compare_digest(mine, signature)


def test_secrets_are_not_shown():
    shown = repr((Signature("us", "s3cret"), StaticBearer(Token("t0k"))))
    assert "s3cret" not in shown
    assert "t0k" not in shown


# --- objects of odd types ------------------------------------------------------------------------------

ODD: list[Any] = [
    None,
    1,
    1.5,
    True,
    [],
    {},
    [1],
    {"a": 1},
    "",
    "x",
    ["x", None],
    [[]],
    [{}],
    "a\nb",
    "\ud800",
    "é" * 9000,
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: json.dumps(odd)[:20])
def test_no_value_of_any_member_stops_a_pull(desk, odd):
    """One object, every member of it odd: it is written as a row, and the others come as they are."""
    from mappings.oneroster.incoming import COLLECTIONS

    whole = desk.pull()
    desk.roster.page = 100
    for path, collection in COLLECTIONS.items():
        names = [*(member.name for member in collection.members), "roles", "status"]
        desk.roster.objects[path].append(frame(f"zz{path}") | dict.fromkeys(names, odd))
        desk.roster.objects[path].append(dict.fromkeys(["sourcedId", *names], odd) | {"dateLastModified": "2026"})
    rows = desk.pull()
    for name, found in whole.items():
        assert [row for row in rows[name] if row in found] == found
        assert len(rows[name]) > len(found) or (name, odd) == ("roles.csv", [])


END = {"Link": '</first>; rel="first"'}


@pytest.mark.parametrize("odd", [1, "x", None, [], ["x"]], ids=json.dumps)
def test_what_is_no_object_is_a_row_all_the_same(desk, odd):
    desk.roster.odd = lambda path, *_: (
        reply(json.dumps({path: [odd]}).encode(), headers=END) if path == "orgs" else None
    )
    assert len(desk.pull()["orgs.csv"]) == 1


def test_a_reference_is_its_id(desk):
    desk.roster.objects["classes"][0]["terms"] = [ref("academicSession", "t"), ref("academicSession", "y")]
    (row,) = desk.pull()["classes.csv"]
    assert (row["courseSourcedId"], row["termSourcedIds"]) == ("c", "t,y")
