"""Whatever the other side does, the call ends in time, under the cap, with the right word for it."""

from __future__ import annotations

import gzip
import socket
import time
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.egress import Reach, answer_json, open_session
from connectors.errors import (
    AnswerLost,
    AnswerTooLarge,
    AnswerUnreadable,
    ConnectorError,
    Unreachable,
)
from tests.connectors.peer import Peer, answer, drip, once, raw, reply

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(20_000_000))
KIB = 1024


def gzipped(body: bytes, coding: str = "gzip") -> bytes:
    return reply(body, headers={"Content-Encoding": coding})


def hang_up(line: socket.socket, peer: Peer) -> None:
    peer.hear(line)


def hang_up_unheard(line: socket.socket, peer: Peer) -> None:
    line.recv(1)


def silence(line: socket.socket, peer: Peer) -> None:
    peer.hear(line)
    peer.done.wait(5)


def reset(start: bytes):
    def script(line: socket.socket, peer: Peer) -> None:
        peer.hear(line)
        line.sendall(start)
        time.sleep(0.05)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return script


def half_close(start: bytes):
    def script(line: socket.socket, peer: Peer) -> None:
        peer.hear(line)
        line.sendall(start)
        line.shutdown(socket.SHUT_WR)
        peer.done.wait(5)

    return script


LOST = {
    "silence": silence,
    "hang-up": hang_up,
    "hang-up unheard": hang_up_unheard,
    "reset before the answer": reset(b""),
    "reset in the head": reset(b"HTTP/1.1 200"),
    "reset in the body": reset(OK + b"Content-Length: 9\r\n\r\nfour"),
    "half close in the head": half_close(OK + b"Content-Le"),
    "half close after the status": half_close(OK),
    "hang-up in the head": once(OK + b"Content-Type: application/json\r\n"),
    "half close in the body": half_close(OK + b"Content-Length: 9\r\n\r\nfour"),
    "half close in a chunk": half_close(CHUNKED + b"9\r\nfour"),
    "half close between chunks": half_close(CHUNKED + b"4\r\nfour\r\n"),
    "body short of its length": once(reply(b"four", headers={"Content-Length": "9"})),
    "two lengths": once(OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nfour"),
    "drip of the status": drip(b"", b"H", 0.05),
    "drip of a header": drip(OK, b"x", 0.05),
    "drip of headers": drip(OK, b"x: y\r\n", 0.05),
    "drip of the body": drip(OK + b"Content-Length: 999\r\n\r\n", b"x", 0.05),
    "drip of a body without length": drip(OK + b"\r\n", b"x", 0.05),
    "drip of chunks": drip(CHUNKED, b"1\r\nx\r\n", 0.05),
    "drip of a chunk's size": drip(CHUNKED, b"0", 0.05),
    "drip of trailers": drip(CHUNKED + b"0\r\n", b"x: y\r\n", 0.05),
    "drip of 1xx answers": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
    "drip of a gzip body": drip(
        OK + b"Content-Encoding: gzip\r\nContent-Length: 99999\r\n\r\n" + BOMB[:20], b"\0", 0.05
    ),
    "over a hundred headers": once(OK + b"x: y\r\n" * 101 + b"\r\n"),
    "a header line without end": drip(OK + b"x: ", b"y" * 4096),
    "no HTTP": once(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "HTTP/2": once(b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0@\0"),
    "HTTP/0.9": once(b"<html>four</html>"),
    "a chunk's size that is no number": once(CHUNKED + b"zz\r\nfour\r\n0\r\n\r\n"),
}

TOO_LARGE = {
    "declared": once(OK + b"Content-Length: 10000000000\r\n\r\n" + bytes(200 * KIB)),
    "undeclared": drip(OK + b"\r\n", bytes(8 * KIB)),
    "endless chunks": drip(CHUNKED, b"1000\r\n" + bytes(4096) + b"\r\n"),
    "endless small chunks": drip(CHUNKED, b"1;" + b"e" * 99 + b"\r\nx\r\n"),
    "endless trailers": drip(CHUNKED + b"0\r\n", (b"x: " + b"y" * 999 + b"\r\n") * 9),
    "endless 1xx answers": drip(b"", b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n" * 99),
    "gzip bomb": once(gzipped(BOMB)),
    "gzip bomb in chunks": once(
        OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BOMB), BOMB)
    ),
    "deflate bomb": once(gzipped(zlib.compress(bytes(20_000_000)), "deflate")),
    "endless empty gzip members": drip(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 99),
}

UNREADABLE = {
    "gzip that is none": once(gzipped(b"four")),
    "two encodings": once(gzipped(gzip.compress(BOMB), "gzip, gzip")),
    "an encoding nobody asked for": once(gzipped(b"four", "br")),
    "a negative length": once(OK + b"Content-Length: -4\r\n\r\nfour"),
    "a length that is no number": once(OK + b"Content-Length: four\r\n\r\nfour"),
    "a status that is no answer": once(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "switched protocols": once(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
}


def met(lines, script, **reach) -> tuple[ConnectorError, Peer, float]:
    peer = lines.peer(script)
    limits = {"read_seconds": 0.25, "total_seconds": 0.5, "max_bytes": 64 * KIB, **reach}
    session = lines.session(**limits)
    start = time.monotonic()
    with pytest.raises(ConnectorError) as failed:
        session.get(peer.url("/page?cursor=seCret"))
    took = time.monotonic() - start
    assert "seCret" not in str(failed.value)
    return failed.value, peer, took


@pytest.mark.parametrize("fault", LOST)
def test_a_reply_that_does_not_come_whole_is_lost(lines, fault):
    error, peer, took = met(lines, LOST[fault])
    assert type(error) is AnswerLost
    assert error.sent
    assert peer.connections == 1
    assert took < 0.9


@pytest.mark.parametrize("fault", TOO_LARGE)
def test_a_reply_without_end_is_too_large(lines, fault):
    error, _, took = met(lines, TOO_LARGE[fault], total_seconds=4.0)
    assert type(error) is AnswerTooLarge
    assert error.sent
    assert took < 2


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_reply_that_is_no_http_is_unreadable(lines, fault):
    error, _, _ = met(lines, UNREADABLE[fault])
    assert type(error) is AnswerUnreadable
    assert error.sent


def test_the_cap_is_the_last_size_that_passes(lines):
    peer = lines.peer(answer(bytes(64 * KIB)))
    assert len(lines.session(max_bytes=64 * KIB).get(peer.url()).content) == 64 * KIB
    with pytest.raises(AnswerTooLarge):
        lines.session(max_bytes=64 * KIB - 1).get(peer.url())


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "deflate", "identity"])
def test_a_compressed_answer_is_read(lines, coding):
    squeeze = {"deflate": zlib.compress, "identity": bytes}.get(coding, gzip.compress)
    peer = lines.peer(raw(gzipped(squeeze(b"four" * 99), coding)))
    assert lines.session().get(peer.url()).content == b"four" * 99


@pytest.mark.parametrize("sips", [0, 256 * KIB])
def test_a_peer_that_hardly_reads_is_left(lines, sips):
    def script(line: socket.socket, peer: Peer) -> None:
        while not peer.done.wait(0.05):
            line.recv(sips)

    peer = lines.peer(script)
    session = lines.session(read_seconds=0.2, total_seconds=0.4)
    start = time.monotonic()
    with pytest.raises(AnswerLost):
        session.post(peer.url(), data=bytes(64_000_000))
    assert time.monotonic() - start < 0.9


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Internal Server Error"])
def test_other_statuses_come_whole_to_the_caller(lines, status):
    peer = lines.peer(answer(b'{"why": "x"}', status))
    response = lines.session().get(peer.url())
    assert (response.status_code, response.json()) == (int(status[:3]), {"why": "x"})


def test_nobody_there_is_unreachable(lines):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/"
        with pytest.raises(Unreachable) as failed:
            lines.session().post(url, data="x")
    assert not failed.value.sent


@pytest.mark.parametrize("trouble", [OSError("no such name"), socket.gaierror(-2), UnicodeError()])
def test_a_name_that_does_not_resolve_is_unreachable(lines, trouble):
    def resolver(host: str, port: int) -> list[str]:
        raise trouble

    with pytest.raises(Unreachable) as failed:
        lines.session("lms.example", resolver=resolver).get("https://lms.example/")
    assert not failed.value.sent


def test_a_name_without_address_is_unreachable(lines):
    with pytest.raises(Unreachable):
        lines.session("lms.example", resolver=lambda *_: []).get("https://lms.example/")


def test_a_name_server_that_drips_does_not_hold_the_worker(lines):
    session = lines.session("lms.example", resolver=lambda *_: time.sleep(1) or [], connect_seconds=0.2)
    start = time.monotonic()
    with pytest.raises(Unreachable):
        session.get("https://lms.example/")
    assert time.monotonic() - start < 0.6


def test_a_tls_handshake_that_drips_is_unreachable(lines):
    def script(line: socket.socket, peer: Peer) -> None:
        line.sendall(b"\x16\x03\x03\x40\x00")
        while not peer.done.wait(0.05):
            line.sendall(b"\0")

    peer = lines.peer(script)
    session = lines.session(connect_seconds=0.3)
    start = time.monotonic()
    with pytest.raises(Unreachable) as failed:
        session.get(f"https://{peer.name}/")
    assert time.monotonic() - start < 0.8
    assert not failed.value.sent


def test_a_plain_peer_where_tls_was_expected_is_unreachable(lines):
    peer = lines.peer(once(reply(b"{}")))
    with pytest.raises(Unreachable):
        lines.session(connect_seconds=0.2).get(f"https://{peer.name}/")
    assert peer.requests == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Down for maintenance</html>", "text/html; charset=utf-8"),
        (b"{}", "application/xhtml+xml"),
        (b"<html></html>", "application/json"),
        (b"", "application/json"),
        (b'{"results": [', "application/json"),
        (b'{"a": NaN}', "application/json"),
        (b'{"a": "\xff"}', "application/json"),
        (b"[" * 200_000, "application/json"),
    ],
)
def test_a_200_that_is_no_json_is_unreadable(lines, body, kind):
    peer = lines.peer(answer(body, Content_Type=kind))
    with pytest.raises(AnswerUnreadable):
        answer_json(lines.session().get(peer.url()))


@pytest.mark.parametrize("body", [b'{"a": [1]}', b'\xef\xbb\xbf{"a": [1]}'])
def test_json_is_read_with_or_without_a_mark(lines, body):
    peer = lines.peer(answer(body))
    assert answer_json(lines.session().get(peer.url())) == {"a": [1]}


@pytest.fixture(scope="module")
def parrot():
    """A peer that answers with whatever was put into `says`, then hangs up."""

    def script(line: socket.socket, peer: Peer) -> None:
        peer.hear(line)
        line.sendall(says[0])

    says = [b""]
    with Peer(script) as peer:
        peer.says = says
        yield peer


PIECES = st.sampled_from(
    [
        *(OK, b"HTTP/1.1 204 No\r\n", b"HTTP/1.0 500 x\r\n", b"Content-Length: ", b"4", b"\r\n"),
        *(b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"4\r\nfour\r\n"),
        *(b"0\r\n\r\n", b"Connection: close\r\n", gzip.compress(b"four"), b"Location: /x\r\n"),
    ]
)


@given(wire=st.binary(max_size=99) | st.lists(PIECES | st.binary(max_size=9)).map(b"".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_answer_gets_past_our_own_errors(parrot, wire):
    parrot.says[0] = wire
    reach = Reach(frozenset({"127.0.0.1"}), loopback=True, read_seconds=0.5, total_seconds=1)
    with open_session(reach) as session:
        try:
            response = session.get(parrot.url())
        except ConnectorError:
            return
    assert response.status_code >= 200
    assert not 300 <= response.status_code < 400
    assert isinstance(response.content, bytes)
