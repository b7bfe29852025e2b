"""What goes out, where it may go, and what comes back: redirects, credentials, TLS, texts, files."""

from __future__ import annotations

import gzip
import logging
import ssl
import traceback
from datetime import UTC, datetime

import pytest
import requests
import responses
from authlib.integrations.requests_client import OAuth2Session
from hypothesis import given
from hypothesis import strategies as st
from pylti1p3.registration import Registration
from pylti1p3.service_connector import ServiceConnector

from connectors.egress import GuardedAdapter, Reach, guard, open_session, require_success, retry_after
from connectors.errors import (
    AddressRefused,
    AnswerLost,
    AnswerRefused,
    AnswerTooLarge,
    ConnectorError,
    Unreachable,
    Untrusted,
)
from tests.connectors.peer import Peer, answer, by_path, drip, once, raw, reply

REDIRECTS = ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
OTHERS = ["300 Multiple Choices", "304 Not Modified", "305 Use Proxy", "399 Odd"]
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def field(request: bytes, name: str) -> str | None:
    """A header of a request a peer heard."""
    for line in request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(": ")
        if key.lower() == name.lower():
            return value
    return None


# --- redirects ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_no_redirect_is_followed_to_an_inner_host(lines, status, method):
    inner = lines.peer(answer(b"INTERNAL"))
    peer = lines.peer(answer(b"moved", status, Location=inner.url("/latest/meta-data")))
    session = lines.session("127.0.0.1")
    with pytest.raises(AnswerRefused) as refused:
        session.request(method, peer.url(), allow_redirects=True)
    assert refused.value.status == int(status[:3])
    assert inner.connections == 0
    assert len(peer.requests) == 1


@pytest.mark.parametrize("status", [*REDIRECTS, *OTHERS])
def test_no_redirect_is_followed_to_the_same_host(lines, status):
    peer = lines.peer(answer(b"", status, Location="/again", Retry_After="7"))
    with pytest.raises(AnswerRefused) as refused:
        lines.session().get(peer.url())
    assert (refused.value.status, refused.value.retry_after) == (int(status[:3]), 7)
    assert len(peer.requests) == 1


# --- credentials -------------------------------------------------------------------------------------


def test_the_bearer_goes_to_its_origin_and_nowhere_else(lines):
    ours, theirs = lines.peer(answer()), lines.peer(answer())
    session = lines.session()
    session.authorize(ours.url(), lambda: "Bearer seCret")
    session.get(ours.url("/a"))
    session.get(theirs.url("/a"))
    assert field(ours.requests[0], "Authorization") == "Bearer seCret"
    assert field(theirs.requests[0], "Authorization") is None


@pytest.mark.parametrize("name", ["Authorization", "authorization", "Proxy-Authorization", "Cookie"])
def test_credentials_set_by_a_caller_are_refused_elsewhere(lines, name):
    ours, theirs = lines.peer(answer()), lines.peer(answer())
    session = lines.session()
    session.authorize(ours.url())
    session.get(ours.url(), headers={name: "Bearer seCret"})
    with pytest.raises(AddressRefused) as refused:
        session.get(theirs.url(), headers={name: "Bearer seCret"})
    assert "seCret" not in str(refused.value)
    assert field(ours.requests[0], name) == "Bearer seCret"
    assert theirs.connections == 0


def test_the_same_host_in_another_scheme_is_another_origin(lines):
    peer = lines.peer(answer())
    session = lines.session()
    session.authorize(f"https://{peer.name}/", lambda: "Bearer seCret")
    session.get(peer.url())
    assert field(peer.requests[0], "Authorization") is None


def test_session_auth_is_held_to_the_same_rule(lines):
    peer = lines.peer(answer())
    session = lines.session()
    with pytest.raises(AddressRefused):
        session.get(peer.url(), auth=("user", "seCret"))
    assert peer.connections == 0


def test_no_netrc_and_no_proxy_of_the_environment(lines, monkeypatch, tmp_path):
    proxy, peer = lines.peer(answer()), lines.peer(answer())
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password seCret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy.url())
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    lines.session().get(peer.url(), proxies={"http": proxy.url(), "all": proxy.url()})
    assert (proxy.connections, peer.connections) == (0, 1)
    assert field(peer.requests[0], "Authorization") is None


def test_no_cookie_is_kept(lines):
    peer = lines.peer(answer(b"{}", Set_Cookie="sid=1; Path=/"))
    session = lines.session()
    for _ in range(2):
        session.get(peer.url())
    assert [field(request, "Cookie") for request in peer.requests] == [None, None]
    assert len(session.cookies) == 0


def test_what_is_sent_names_us_and_the_host(lines):
    peer = lines.peer(answer())
    session = lines.session("127.0.0.1", "localhost")
    session.get(f"http://LOCALHOST:{peer.port}/A?b=C", headers={"Host": "evil.example"})
    assert peer.requests[0].startswith(b"GET /A?b=C HTTP/1.1\r\n")
    assert field(peer.requests[0], "User-Agent") == "Schoolgate"
    assert field(peer.requests[0], "Host") == f"localhost:{peer.port}"


def test_a_connection_serves_several_calls(lines):
    peer = lines.peer(answer(b"{}"))
    session = lines.session()
    for _ in range(3):
        assert session.get(peer.url()).content == b"{}"
    assert (peer.connections, len(peer.requests)) == (1, 3)


def test_a_second_address_is_tried_when_the_first_takes_no_connection(lines):
    peer = lines.peer(answer(), host="::1")
    session = lines.session("sis.example", resolver=lambda *_: ["127.0.0.1", "::1"])
    assert session.post(f"http://sis.example:{peer.port}/", data=b"once").ok
    assert [request.rpartition(b"\r\n")[2] for request in peer.requests] == [b"once"]


def test_a_second_address_is_not_tried_when_the_first_may_have_acted(lines):
    first = lines.peer(once(b""))
    second = lines.peer(answer(), host="::1", port=first.port)
    session = lines.session("sis.example", resolver=lambda *_: ["127.0.0.1", "::1"])
    with pytest.raises(AnswerLost):
        session.post(f"http://sis.example:{first.port}/", data=b"once")
    assert (len(first.requests), second.connections) == (1, 0)


def test_an_ipv6_literal_is_called(lines):
    peer = lines.peer(answer(), host="::1")
    assert lines.session("[::1]").get(peer.url()).ok
    assert field(peer.requests[0], "Host") == f"[::1]:{peer.port}"


# --- TLS ---------------------------------------------------------------------------------------------


def secure(lines, authority, context, bundle=None) -> tuple[Peer, requests.Session]:
    peer = lines.peer(answer(b"{}"), tls=context)
    resolver = lambda *_: ["127.0.0.1"]  # noqa: E731
    bundle = authority.bundle if bundle is None else bundle
    return peer, lines.session("lms.example", resolver=resolver, ca_bundle=bundle or None)


def test_the_name_is_checked_though_the_address_is_pinned(lines, authority):
    names = []
    context = authority.server("lms.example")
    context.sni_callback = lambda line, name, _: names.append(name)
    peer, session = secure(lines, authority, context)
    for _ in range(2):
        assert session.get(f"https://lms.example:{peer.port}/").ok
    assert names == ["lms.example"]
    assert field(peer.requests[0], "Host") == f"lms.example:{peer.port}"


@pytest.mark.parametrize(
    ("names", "days"),
    [(["other.example"], 2), (["127.0.0.1"], 2), (["*.lms.example"], 2), (["lms.example"], -1)],
)
def test_a_certificate_of_another_name_or_day_is_refused(lines, authority, names, days):
    peer, session = secure(lines, authority, authority.server(*names, days=days))
    for weaker in ({}, {"verify": False}):
        with pytest.raises(Untrusted) as failed:
            session.get(f"https://lms.example:{peer.port}/", **weaker)
        assert (failed.value.sent, failed.value.code) == (False, "SRC_CERTIFICATE")
    assert peer.requests == []


def test_an_unknown_authority_is_refused(lines, authority):
    peer, session = secure(lines, authority, authority.server("lms.example"), bundle="")
    session.verify = False
    with pytest.raises(Untrusted):
        session.get(f"https://lms.example:{peer.port}/", verify=False)
    assert peer.requests == []


def test_old_tls_is_refused(lines, authority):
    context = authority.server("lms.example")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    peer, session = secure(lines, authority, context)
    with pytest.raises(Untrusted):
        session.get(f"https://lms.example:{peer.port}/")


def test_a_reply_cut_under_tls_is_lost(lines, authority):
    context = authority.server("lms.example")
    peer = lines.peer(once(reply(b"four", headers={"Content-Length": "9"})), tls=context)
    session = lines.session("lms.example", resolver=lambda *_: ["127.0.0.1"], ca_bundle=authority.bundle)
    with pytest.raises(AnswerLost):
        session.get(f"https://lms.example:{peer.port}/")


def test_a_drip_under_tls_is_cut(lines, authority):
    peer = lines.peer(drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.05), tls=authority.server("lms.example"))
    session = lines.session(
        "lms.example",
        resolver=lambda *_: ["127.0.0.1"],
        ca_bundle=authority.bundle,
        total_seconds=0.4,
    )
    with pytest.raises(AnswerLost):
        session.get(f"https://lms.example:{peer.port}/")


# --- texts -------------------------------------------------------------------------------------------

SECRETS = ("seCretQuery", "seCretToken", "seCretBody", "seCretPath")


@pytest.mark.parametrize(
    "script",
    [
        once(b""),
        once(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nseCretBody"),
        once(b"seCretBody\r\n\r\n"),
        once(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\nseCretBody"),
        once(b"HTTP/1.1 200 OK\r\nseCretBody\r\n\r\n"),
        answer(b"seCretBody", "302 Found", Location="/?seCretBody"),
        answer(b"seCretBody" * 99),
        drip(b"HTTP/1.1 200 OK\r\n\r\n", b"seCretBody", 0.05),
    ],
)
def test_no_text_holds_a_query_a_token_or_a_body(lines, script, caplog):
    caplog.set_level(logging.DEBUG)
    peer = lines.peer(script)
    session = lines.session(total_seconds=0.3, max_bytes=500)
    session.authorize(peer.url(), lambda: "Bearer seCretToken")
    try:
        require_success(session.post(peer.url("/seCretPath?c=seCretQuery"), data="seCretBody"))
    except ConnectorError as error:
        told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)
        told = "\n".join(line for line in told.splitlines() if "session.post" not in line)
        assert not any(secret in told for secret in SECRETS)
    assert not any(secret in caplog.text for secret in SECRETS)


@pytest.mark.parametrize("value", ["Bearer seCret\r\nX: y", "Bearer seCret\n", "Bearer \x00seCret", "Bearer ☃ seCret"])
def test_a_header_that_cannot_be_written_is_not_repeated(lines, value):
    peer = lines.peer(answer())
    session = lines.session()
    session.authorize(peer.url(), lambda: value)
    with pytest.raises(ConnectorError) as failed:
        session.get(peer.url())
    assert "seCret" not in str(failed.value)
    assert not failed.value.sent
    session.authorize(peer.url())
    with pytest.raises(ConnectorError) as failed:
        session.get(peer.url(), headers={"Authorization": value})
    assert "seCret" not in str(failed.value)
    assert peer.requests == []


# --- Retry-After -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("+5", 5),
        ("1.5", 1.5),
        ("-1", 0),
        ("-99999999999999999999", 0),
        ("3600", 3600),
        ("3601", 3600),
        ("9" * 400, 3600),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 13:00:30 +0100", 30),
        ("Saturday, 21-Nov-26 12:00:30 GMT", 30),
        ("Sat Nov 21 12:00:30 2026", 30),
        ("Sat, 21 Nov 2026 11:59:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("Sat, 21 Nov 99999 12:00:30 GMT", None),
        ("Sat, 99 Nov 2026 12:00:30 GMT", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("٣", None),
        ("12, 13", None),
        ("0x10", None),
    ],
)
def test_retry_after_is_read(value, seconds):
    assert retry_after(value, NOW) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ ?\S*"))
def test_no_retry_after_is_beyond_its_range(value):
    seconds = retry_after(value)
    assert seconds is None or 0 <= seconds <= 3600


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable", "401 No"])
def test_an_error_status_says_when_to_come_again(lines, status):
    peer = lines.peer(answer(b"slow down", status, Retry_After="99"))
    with pytest.raises(AnswerRefused) as refused:
        require_success(lines.session().get(peer.url()))
    assert (refused.value.status, refused.value.retry_after) == (int(status[:3]), 99)


def test_success_is_passed_on(lines):
    peer = lines.peer(answer(b"", "204 No Content"))
    assert require_success(lines.session().delete(peer.url())).status_code == 204


# --- downloads ---------------------------------------------------------------------------------------


def test_a_download_is_written_whole(lines, tmp_path):
    body = bytes(range(256)) * 9000
    packed = gzip.compress(body)
    peer = lines.peer(raw(reply(packed, headers={"Content-Encoding": "gzip"})))
    session = lines.session()
    session.authorize(peer.url(), lambda: "Bearer x")
    path = tmp_path / "roster.zip"
    assert session.download(peer.url(), path, {"Accept": "application/zip"}) == len(body)
    assert path.read_bytes() == body
    assert field(peer.requests[0], "Accept") == "application/zip"
    assert field(peer.requests[0], "Authorization") == "Bearer x"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (once(reply(b"four", headers={"Content-Length": "9"})), AnswerLost),
        (answer(bytes(2000)), AnswerTooLarge),
        (answer(b"no", "404 Not Found"), AnswerRefused),
        (answer(b"", "204 No Content"), AnswerRefused),
        (answer(b"pa", "206 Partial Content"), AnswerRefused),
        (answer(b"", "302 Found", Location="/"), AnswerRefused),
    ],
)
def test_a_download_that_fails_leaves_the_old_file(lines, tmp_path, script, error):
    path = tmp_path / "roster.zip"
    path.write_bytes(b"yesterday")
    peer = lines.peer(script)
    with pytest.raises(error):
        lines.session(max_bytes=1000).download(peer.url(), path)
    assert path.read_bytes() == b"yesterday"
    assert list(tmp_path.iterdir()) == [path]


def test_a_download_of_a_refused_address_makes_no_file(lines, tmp_path):
    with pytest.raises(AddressRefused):
        lines.session().download("https://other.example/", tmp_path / "roster.zip")
    assert list(tmp_path.iterdir()) == []


# --- in company --------------------------------------------------------------------------------------


def test_pylti1p3_speaks_through_the_session(lines):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    token = reply(b'{"access_token": "seCret", "token_type": "Bearer"}')
    members = reply(b'{"members": []}')
    moved = reply(b"", "302 Found", {"Location": "/members"})
    peer = lines.peer(by_path({"/token": token, "/members": members, "/moved": moved}))
    other = lines.peer(answer())
    registration = Registration()
    registration.set_client_id("tool").set_auth_token_url(peer.url("/token"))
    registration.set_tool_private_key(pem)
    session = lines.session()
    session.authorize(peer.url())
    connector = ServiceConnector(registration, session)
    assert connector.make_service_request(["s"], peer.url("/members"))["body"] == {"members": []}
    assert field(peer.requests[1], "Authorization") == "Bearer seCret"
    with pytest.raises(AnswerRefused):
        connector.make_service_request(["s"], peer.url("/moved"))
    with pytest.raises(AddressRefused):
        connector.make_service_request(["s"], other.url("/members"))
    assert other.connections == 0


def test_authlib_speaks_through_the_adapter(lines):
    peer = lines.peer(answer(b'{"access_token": "x", "token_type": "Bearer"}', Set_Cookie="a=b"))
    other = lines.peer(answer())
    adapter = GuardedAdapter(Reach(frozenset({"127.0.0.1"}), loopback=True))
    adapter.authorize(peer.url())
    with OAuth2Session("client", "secret") as client:
        guard(client, adapter)
        client.fetch_token(peer.url("/token"), grant_type="client_credentials")
        client.get(peer.url("/orgs"))
        with pytest.raises(AddressRefused):
            client.get(other.url("/orgs"))
        with pytest.raises(AddressRefused):
            client.get("https://elsewhere.example/")
    assert field(peer.requests[0], "Authorization").startswith("Basic ")
    assert field(peer.requests[1], "Authorization") == "Bearer x"
    assert field(peer.requests[1], "Cookie") is None
    assert other.connections == 0


@responses.activate
def test_under_responses_the_rules_of_url_size_and_redirect_hold(tmp_path):
    def nobody_resolves(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    responses.get("https://lms.example/a", json={"b": 1}, headers={"Set-Cookie": "a=b"})
    responses.get("https://lms.example/big", body=b"x" * 99)
    responses.get("https://lms.example/file", body=b"x" * 9)
    responses.get("https://lms.example/moved", status=302, headers={"Location": "/a"})
    responses.get("https://lms.example/slow", body=requests.ReadTimeout())
    responses.get("https://lms.example/down", body=requests.ConnectTimeout())
    reach = Reach(frozenset({"lms.example"}), max_bytes=50)
    with open_session(reach, resolver=nobody_resolves) as session:
        session.authorize("https://lms.example", lambda: "Bearer x")
        assert session.get("https://lms.example/a").json() == {"b": 1}
        assert responses.calls[0].request.headers["Authorization"] == "Bearer x"
        assert session.download("https://lms.example/file", tmp_path / "f") == 9
        for path, error, said in (
            ("big", AnswerTooLarge, "over 50 bytes"),
            ("moved", AnswerRefused, "status 302"),
            ("slow", AnswerLost, "lms.example: no answer in time"),
            ("down", Unreachable, "lms.example: no connection in time"),
            ("unknown", Unreachable, "lms.example: no connection"),
        ):
            with pytest.raises(error) as failed:
                session.get(f"https://lms.example/{path}")
            assert str(failed.value).endswith(said)
        with pytest.raises(AddressRefused):
            session.get("https://other.example/")
