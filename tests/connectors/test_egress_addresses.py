"""No hostile address or URL is ever connected to, as seen by a listener.

Every dial of the process, whatever its address, is led to one loopback listener per family. What the
kernel queued there is what was connected: the guard's own word is not asked.
"""

from __future__ import annotations

import contextlib
import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.egress import Reach, judge_address, open_session, system_resolver
from connectors.errors import AddressRefused, ConnectorError, Unreachable
from tests.connectors.trap import Trap, cases

HOSTILE_ADDRESSES = cases("addresses")
PUBLIC_ADDRESSES = cases("public")
SPELLINGS = cases("spellings")  # of inner addresses, as the system's resolver understands them
TRICKS = ["", *cases("tricks")]  # against a session that may call lms.example, public, 443 and 8443
NOT_LOOPBACK = [a for a in HOSTILE_ADDRESSES if not a.startswith("127.") and a != "::1"]

CONTROLS = [
    "https://lms.example/",
    "HTTPS://LMS.Example/a?b=c",
    "https://lms.example:443/",
    "https://lms.example:8443/",
    "https://lms.example/a b?c d",
    "  https://lms.example/",
    "https://lms.example//127.0.0.1/",
    "https://lms.example/@127.0.0.1/",
    "https://lms.example?@127.0.0.1/",
]


@pytest.fixture
def trap(monkeypatch):
    trap = Trap().set(monkeypatch)
    yield trap
    trap.close()


def call(url: str, *hosts: str, resolver, loopback=False) -> ConnectorError:
    reach = Reach(frozenset(hosts), loopback=loopback, total_seconds=2)
    with open_session(reach, resolver=resolver) as session, pytest.raises(ConnectorError) as refused:
        session.get(url)
    return refused.value


def test_the_table_is_long_enough():
    assert len({*HOSTILE_ADDRESSES, *SPELLINGS, *TRICKS}) >= 350
    assert len(HOSTILE_ADDRESSES) >= 150
    assert len(TRICKS) >= 150


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES)
def test_a_name_that_leads_there_is_not_connected(trap, address):
    error = call("https://lms.example/", "lms.example", resolver=lambda *_: [address])
    assert trap.seen() == []
    assert isinstance(error, AddressRefused)
    assert not error.sent
    assert address not in str(error)


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES[::7])
def test_one_bad_answer_among_good_ones_refuses_the_call(trap, address):
    answers = ["93.184.216.34", "2606:4700::1111", address]
    error = call("https://lms.example/", "lms.example", resolver=lambda *_: answers)
    assert trap.seen() == []
    assert isinstance(error, AddressRefused)


@pytest.mark.parametrize("host", SPELLINGS)
def test_a_spelling_of_an_inner_address_is_not_connected_even_where_it_is_listed(trap, host):
    with contextlib.suppress(AddressRefused):
        call(f"https://{host}/", host, resolver=_spelled)
    with contextlib.suppress(AddressRefused):
        call(f"https://{host}:8443/a", f"{host}:8443", resolver=_spelled)
    assert trap.seen() == []


def _spelled(host: str, port: int) -> list[str]:
    """As the system does for numbers; a name leads to loopback, the worst it could."""
    try:
        socket.inet_aton(host)
    except OSError:
        return ["127.0.0.1"]
    return system_resolver(host, port)


@pytest.mark.parametrize("url", TRICKS)
def test_a_trick_of_the_url_is_not_connected(trap, url):
    error = call(url, "lms.example", "lms.example:8443", resolver=lambda *_: ["93.184.216.34"])
    assert trap.seen() == []
    assert isinstance(error, AddressRefused)
    assert not error.sent


@pytest.mark.parametrize("port", ["443", "8443"])
def test_a_listed_host_and_port_is_not_called_without_tls(trap, port):
    url = f"http://lms.example:{port}/"
    error = call(url, "lms.example", "lms.example:8443", resolver=lambda *_: ["93.184.216.34"])
    assert trap.seen() == []
    assert isinstance(error, AddressRefused)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_the_trap_works_a_public_address_is_connected(trap, address):
    error = call("https://lms.example/", "lms.example", resolver=lambda *_: [address])
    # The connection was led astray by the trap: the peer check ends it before TLS names the host.
    assert trap.seen() == [b""]
    assert isinstance(error, AddressRefused)


@pytest.mark.parametrize("url", CONTROLS)
def test_the_trap_works_a_listed_host_is_connected(trap, url):
    call(url, "lms.example", "lms.example:8443", resolver=lambda *_: ["93.184.216.34"])
    assert trap.seen() == [b""]


@pytest.mark.parametrize("address", [*NOT_LOOPBACK, *PUBLIC_ADDRESSES])
def test_the_sandbox_reaches_loopback_and_nothing_else(trap, address):
    for url in ("https://lms.example/", "http://lms.example:8080/"):
        call(url, "lms.example", resolver=lambda *_: [address], loopback=True)
        call(url, "lms.example", resolver=lambda *_: ["127.0.0.1", address], loopback=True)
    assert trap.seen() == []


def test_the_sandbox_still_calls_listed_hosts_only(trap):
    for url in ("http://other.example/", "https://other.example/", "http://127.0.0.1/"):
        call(url, "lms.example", resolver=lambda *_: ["127.0.0.1"], loopback=True)
    assert trap.seen() == []


def test_rebinding_the_name_changes_nothing(trap, monkeypatch):
    dialled, asked = [], []
    led = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda line, to: (dialled.append(to[0]), led(line, to))[1])

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    reach = Reach(frozenset({"lms.example"}))
    with open_session(reach, resolver=resolver) as session:
        with pytest.raises(AddressRefused, match="another address"):
            session.get("https://lms.example/")
        assert asked == ["lms.example"]
        assert dialled == ["93.184.216.34"]
        with pytest.raises(AddressRefused, match="loopback"):
            session.get("https://lms.example/")
    assert dialled == ["93.184.216.34"]
    assert len(trap.seen()) == 1


def test_all_judged_addresses_are_tried_and_no_more_than_four(monkeypatch):
    dialled = []

    def refuse(line, to):
        dialled.append(to[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    many = [f"93.184.216.{n}" for n in range(1, 9)]
    error = call("https://lms.example/", "lms.example", resolver=lambda *_: many)
    assert isinstance(error, Unreachable)
    assert dialled == many[:4]


@given(st.ip_addresses(v=4))
def test_we_are_never_laxer_than_the_library_on_ipv4(address: IPv4Address):
    if not address.is_global:
        with pytest.raises(AddressRefused):
            judge_address(str(address))


@given(st.ip_addresses(v=6))
def test_we_are_never_laxer_than_the_library_on_ipv6(address: IPv6Address):
    if not address.is_global:
        with pytest.raises(AddressRefused):
            judge_address(str(address))


@given(st.text() | st.from_regex(r"https?://[^\s]{0,30}", fullmatch=True))
def test_no_text_is_called_unless_it_is_the_listed_host(url: str):
    def resolver(host: str, port: int) -> list[str]:
        assert (host, port) == ("lms.example", 443)
        raise OSError

    error = call(url, "lms.example", resolver=resolver)
    assert isinstance(error, (AddressRefused, Unreachable))


@pytest.mark.parametrize(
    "entry", ["", "a/b", "a?b", "a#b", "u@a", "a b", "http://a", "a:0", "a:x", "[::1", "a\\b", "a:70000"]
)
def test_a_reach_takes_names_only(entry):
    with pytest.raises(AddressRefused):
        Reach(frozenset({entry}))


def test_a_reach_is_normalised():
    reach = Reach(frozenset({"LMS.Example", "schüle.example:8443"}))
    assert reach.hosts == {"lms.example:443", "xn--schle-mva.example:8443"}
