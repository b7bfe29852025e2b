"""Every place that takes an address from outside, with every hostile address there is: no connection, judged by a
listener. The worst is assumed: the hostile host stands on the registration's list, and a token is at hand."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import pytest
from joserfc.jwk import RSAKey

from connectors.egress import GuardedSession, Reach, open_session, system_resolver
from connectors.errors import AddressRefused, ConnectorError
from connectors.lti_advantage import Course, LtiAdvantage
from connectors.oneroster_rest import RestSource, Service
from connectors.source_credentials import ClientCredentials, Credentials, StaticBearer
from connectors.tokens import ProcessCache, Token, TokenBroker, TokenKey
from gateway.identity.keys import PlatformKeys
from mappings import lti, lti_groups, lti_notices
from mappings._seal import SEAL
from mappings.cleared import Cleared
from tests.connectors.peer import Peer
from tests.connectors.trap import Trap, cases

INNER, PUBLIC = "169.254.169.254", "93.184.216.34"
GOOD = "https://lms.example/good"
SCOPES = (lti.SCOPE_LINE_ITEM, lti.SCOPE_LINE_ITEM_READ, lti.SCOPE_RESULT, lti.SCOPE_SCORE)
KEY = RSAKey.generate_key(2048)
SCORE = Cleared(b"{}", "tr_1", frozenset(), SEAL)


@dataclass(frozen=True)
class Case:
    """An address that a platform or a registration names, the host it may list, and where that host leads."""

    url: str
    host: str
    leads: str

    def resolver(self, host: str, port: int) -> list[str]:
        """Numbers as the system reads them; names lead where the case says."""
        if host == self.host and not self.leads:
            try:
                socket.inet_aton(host)
            except OSError:
                return [INNER]
            return system_resolver(host, port)
        return [self.leads or INNER]


HOSTILE = [
    *(Case("https://inner.example/x?type_id=1", "inner.example", address) for address in cases("addresses")),
    *(Case(f"https://{host}/x", host, "") for host in cases("spellings")),
    *(Case(url, "lms.example:8443", INNER) for url in cases("tricks")),
]
CONTROL = Case("https://outer.example/x?type_id=1", "outer.example", PUBLIC)


def test_the_table_is_long_enough():
    assert len({(case.url, case.leads) for case in HOSTILE}) >= 350
    assert sum(case.host == "inner.example" for case in HOSTILE) >= 150


class Desk:
    """A gateway's lines while one case is tried."""

    def __init__(self, case: Case, stack: ExitStack, peer: Peer | None = None) -> None:
        self.case, self.stack, self.peer = case, stack, peer
        self.cache = ProcessCache()
        self.hosts = frozenset({peer.name} if peer else {"lms.example", "lms.example:8443", case.host})

    def open_line(self, hosts: Any, **caps: Any) -> GuardedSession:
        reach = Reach(frozenset({*hosts, self.case.host}), loopback=bool(self.peer), total_seconds=2)
        return self.stack.enter_context(open_session(reach, resolver=self.case.resolver))

    def keys(self) -> PlatformKeys:
        unused: Any = None
        return PlatformKeys(unused, unused, unused, lambda hosts, **_: self.open_line(hosts))

    def course(
        self,
        *,
        token_url: str = "",
        members: str = GOOD,
        columns: str = GOOD,
        notices: str = GOOD,
        groups: str = GOOD,
        sets: str = GOOD,
    ) -> LtiAdvantage:
        url = token_url or "https://lms.example/token"
        course = Course("1:1", "re", "client", "1", url, url, "k", self.hosts, {"scope": SCOPES, "lineitems": columns},
                        {"context_memberships_url": members},
                        {"platform_notification_service_url": notices, "scope": [lti_notices.SCOPE]},
                        {"context_groups_url": groups, "context_group_sets_url": sets,
                         "scope": [lti_groups.SCOPE]})  # fmt: skip
        if not token_url:
            for scope in (*SCOPES, lti.SCOPE_MEMBERS, lti_notices.SCOPE, lti_groups.SCOPE):
                self.cache.set(course.token_key([scope]).name(), "seCret", 3600)
        return LtiAdvantage(course, KEY, TokenBroker(self.cache), self.open_line)


class Nothing:
    """Keeps no page."""

    def get(self, collection: str, url: str) -> None:
        """Nothing was kept."""

    def keep(self, collection: str, url: str, page: bytes) -> None:
        """Keep nothing."""

    def forget(self, collection: str = "") -> None:
        """Nothing to forget."""


def roster(desk: Desk, *, url: str = GOOD, token_url: str = "") -> Any:
    """A roster pulled from this address, or with a token from that one."""
    known: Credentials = StaticBearer(Token("seCret"))
    if token_url:
        key = TokenKey("1", "src", token_url, token_url, ())
        known = ClientCredentials(key, "us", "seCret", False, TokenBroker(desk.cache), desk.open_line)
    with TemporaryDirectory() as folder:
        source = RestSource(Service(url), known, desk.open_line, Nothing(), lambda _: None, 1 << 20)
        return source.pull_roster(Path(folder) / "delivery.zip")


Site = Callable[[Desk, str], Any]

# What is typed into a registration, and what a launch or an earlier answer named and was kept.
DIRECT: dict[str, Site] = {
    "key set": lambda desk, url: desk.keys().look(url),
    "token": lambda desk, url: desk.course(token_url=url).list_members(),
    "members": lambda desk, url: desk.course(members=url).list_members(),
    "members of a role": lambda desk, url: desk.course(members=url).read_members(role="Learner", limit=5),
    "one page of members": lambda desk, url: desk.course(members=url).sample_members(),
    "differences": lambda desk, url: desk.course().read_changes(url),
    "notice handlers": lambda desk, url: desk.course(notices=url).read_notice_handlers(),
    "ask for notices": lambda desk, url: desk.course(notices=url).send_notices("LtiHelloWorldNotice", GOOD),
    "groups": lambda desk, url: desk.course(groups=url).list_groups(),
    "sets of groups": lambda desk, url: desk.course(sets=url).list_groups(),
    "members with their groups": lambda desk, url: desk.course(members=url).read_members(groups=True),
    "columns": lambda desk, url: desk.course(columns=url).list_columns(),
    "one page of columns": lambda desk, url: desk.course(columns=url).sample_columns(),
    "find a column": lambda desk, url: desk.course(columns=url).find_column("a"),
    "find or make a column": lambda desk, url: desk.course(columns=url).make_column("a", "Unit", 4),
    "make a column": lambda desk, url: desk.course(columns=url).create_column("Unit", 4),
    "read a column": lambda desk, url: desk.course().read_column(url),
    "change a column": lambda desk, url: desk.course().update_column(url, label="x"),
    "delete a column": lambda desk, url: desk.course().delete_column(url),
    "score": lambda desk, url: desk.course().push_score(url, SCORE),
    "results": lambda desk, url: desk.course().read_results(url),
    "roster": lambda desk, url: roster(desk, url=url),
    "token for a roster": lambda desk, url: roster(desk, token_url=url),
}


@pytest.fixture
def trap(monkeypatch) -> Iterator[Trap]:
    trap = Trap()
    yield trap.set(monkeypatch)
    trap.close()


@pytest.mark.parametrize("site", DIRECT)
def test_no_hostile_address_is_connected(trap, site):
    for case in HOSTILE:
        with ExitStack() as stack, pytest.raises(ConnectorError):
            DIRECT[site](Desk(case, stack), case.url)
        assert trap.seen() == [], case


@pytest.mark.parametrize("site", DIRECT)
def test_the_trap_works_at_each_place(trap, site):
    with ExitStack() as stack, pytest.raises(AddressRefused, match="another address"):
        DIRECT[site](Desk(CONTROL, stack), CONTROL.url)
    assert trap.seen() == [b""]


# --- what stands in an answer ------------------------------------------------------------------------


class Platform:
    """An LMS on loopback whose answers name whatever address the test holds in them."""

    def __init__(self) -> None:
        self.named = ""
        self.in_header = True
        self.relation = "next"

    def script(self, line: socket.socket, peer: Peer) -> None:
        while request := peer.hear(line):
            line.sendall(self._answer(request.split(b" ", 2)[1].decode()))

    def _answer(self, path: str) -> bytes:
        ids = self.named if not self.in_header else "unused"
        body = json.dumps(
            {"members": [{"user_id": path}]} if "members" in path and "groups" not in path
            else {"groups": [{"id": path}], "sets": []} if "groups" in path
            else [{"userId": path}] if "results" in path
            else {"id": ids} if "make" in path
            else {"orgs": [{"sourcedId": "d"}]} if "/service/" in path
            else [{"id": ids, "resourceId": "a"}] if not self.in_header else []
        ).encode()  # fmt: skip
        link = f'Link: <{self.named}>; rel="{self.relation}"\r\n'.encode() if self.in_header else b""
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + link + (
            f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        )  # fmt: skip


def _followed_changes(course: LtiAdvantage, _url: str) -> None:
    told = course.read_members().differences
    if told:
        course.read_changes(told)


ANSWERED: dict[str, tuple[str, Callable[[LtiAdvantage, str], Any]]] = {
    "next of members": ("next", lambda course, _: course.list_members()),
    "next of groups": ("next", lambda course, _: course.list_groups()),
    "next of columns": ("next", lambda course, _: course.list_columns()),
    "next while a column is looked for": ("next", lambda course, _: course.find_column("b")),
    "next of results": ("next", lambda course, url: course.read_results(url)),
    "differences": ("differences", _followed_changes),
    "id of a column in a list": ("", lambda course, _: course.read_column(course.list_columns()[0]["id"])),
    "id of a column that is found": ("", lambda course, _: course.push_score(course.find_column("a") or "", SCORE)),
    "id of a column that was there": ("", lambda course, _: course.make_column("a", "Unit", 4)),
    "id of a column that was made": ("", lambda course, _: course.create_column("Unit", 4)),
}


@pytest.fixture
def platform(monkeypatch) -> Iterator[tuple[Platform, Peer, Trap]]:
    platform, trap = Platform(), Trap()
    with Peer(platform.script) as peer:
        yield platform, peer, trap.set(monkeypatch, spared=peer.port)
    trap.close()


def try_at(site: str, case: Case, platform: Platform, peer: Peer) -> None:
    platform.relation, use = ANSWERED[site]
    platform.named, platform.in_header = case.url, bool(platform.relation)
    columns = peer.url("/make") if site.endswith("made") else peer.url("/columns")
    with ExitStack() as stack, contextlib.suppress(ConnectorError):
        course = Desk(case, stack, peer).course(
            members=peer.url("/members"),
            columns=columns,
            groups=peer.url("/groups"),
            sets=peer.url("/groups/sets"),
        )
        use(course, peer.url("/column/1"))


def fits_a_header(url: str) -> bool:
    return url.isprintable()


@pytest.mark.parametrize("site", ANSWERED)
def test_no_hostile_address_in_an_answer_is_connected(platform, site):
    platform, peer, trap = platform
    tried = [case for case in HOSTILE if not ANSWERED[site][0] or fits_a_header(case.url)]
    assert len(tried) >= 300
    for case in tried:
        try_at(site, case, platform, peer)
        assert trap.seen() == [], case
    assert len(peer.requests) >= len(tried)  # each was named in an answer, and the token went to the platform only
    assert {b"seCret" in request for request in peer.requests} == {True}


def test_no_hostile_next_of_a_roster_is_connected(platform):
    platform, peer, trap = platform
    for case in [case for case in HOSTILE if fits_a_header(case.url)]:
        platform.named, platform.in_header, platform.relation = case.url, True, "next"
        with ExitStack() as stack, pytest.raises(ConnectorError) as refused:
            roster(Desk(case, stack, peer), url=peer.url("/service"))
        # A path of the platform's own is asked for there, and is no collection.
        assert refused.value.code in ("SRC_PAGES", "SRC_COLLECTION"), case
        assert trap.seen() == [], case
    assert {b"seCret" in request for request in peer.requests} == {True}


@pytest.mark.parametrize("site", ANSWERED)
def test_the_platforms_own_addresses_are_followed(platform, site):
    platform, peer, trap = platform
    try_at(site, Case(peer.url("/own/members/results"), "127.0.0.1", "127.0.0.1"), platform, peer)
    assert trap.seen() == []
    followed = [request for request in peer.requests if b" /own/" in request.split(b"\r\n", 1)[0]]
    assert len(followed) == (1 if ANSWERED[site][0] or "list" in site or "found" in site else 0)


def test_a_listed_host_at_another_port_of_this_machine_is_not_the_platform(platform):
    """In the sandbox every peer is on 127.0.0.1: a column at the next port belongs to somebody else."""
    platform, peer, trap = platform
    port = urlsplit(peer.url()).port or 0
    try_at(
        "id of a column that is found", Case(f"http://127.0.0.1:{port + 1}/x", "127.0.0.1", "127.0.0.1"), platform, peer
    )
    assert trap.seen() == []
