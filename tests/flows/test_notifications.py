"""What a district is told goes out signed, again until it arrives, and with nobody in it."""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
import requests

from connectors.errors import ConnectorError
from connectors.mail import Letter, Mailer
from gateway.errors import Refused
from gateway.flows import notifications
from gateway.flows.notifications import sending, ways
from gateway.store import notifications as kept
from tests.worlds import World

HOOK = "https://hooks.example/schoolgate"
AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def tell(world: World, cause: str = "held", **more: Any) -> bool:
    with world.office.database.open_intake(world.by.district) as session:
        return notifications.tell(world.office, session, cause, world.source, **more)


def listed(world: World, *, unseen: bool = False) -> list[Any]:
    with world.office.database.open_district(world.by.district) as session:
        return list(kept.listing(session, unseen=unseen, limit=100))


@pytest.fixture
def told(public_world: World) -> World:
    return public_world.onboard("A")


def test_each_cause_is_told_once_a_day_of_the_district(told):
    assert [tell(told), tell(told), tell(told, "failed", code="SRC_ANSWER"), tell(told, "failed", code="SRC_CUT")] == [
        True, False, True, False,
    ]  # fmt: skip
    told.clock.forward(hours=20)
    assert tell(told)


def test_what_drifts_is_told_by_whoever_measures_it(told):
    assert tell(told, "drifting", said={"rows": 12})
    (row,) = listed(told)
    assert (row.cause, row.code, row.said) == ("drifting", "SRC_DRIFT", {"rows": 12})


def test_a_day_ends_where_the_district_lives(told):
    from gateway.flows.rosters import timetable

    timetable.set_zone(told.office, told.by, "Pacific/Auckland")  # it is 22:00 there
    assert tell(told)
    told.clock.forward(hours=3)
    assert tell(told)
    assert [row.day.isoformat() for row in listed(told)] == ["2026-11-03", "2026-11-02"]


def test_it_is_seen_once_and_by_whom(told):
    tell(told)
    tell(told, "missing")
    (first, second) = [row.notification for row in listed(told, unseen=True)]
    assert ways.see(told.office, told.by, [first]) == 1
    assert ways.see(told.office, told.by, [first]) == 0
    assert [row.notification for row in listed(told, unseen=True)] == [second]
    assert ways.see(told.office, told.by, []) == 1
    assert {row.seen_by for row in listed(told)} == {told.by.ref}
    with pytest.raises(Refused, match="REQ_UNKNOWN"):
        ways.see(told.office, told.by, ["no_0000000000000000"])


def test_another_district_sees_nothing_of_it(told, addresses, settings, clock):
    from tests.conftest import world_on

    tell(told)
    with world_on(addresses, settings, clock) as other:
        assert listed(other) == []
        with pytest.raises(Refused, match="REQ_UNKNOWN"):
            ways.see(other.office, other.by, [listed(told)[0].notification])


# --- the webhook -----------------------------------------------------------------------------------


def test_it_is_posted_signed_with_its_time_and_holds_references_and_counts_only(told, wire):
    secret = ways.set_webhook(told.office, told.by, HOOK)
    wire.post(HOOK, status=204)
    tell(told, run="run_0000000000000000", said={"guards": 2})
    assert sending.send_due(told.parts, told.by.district) == 1
    (call,) = wire.calls
    stamp = call.request.headers["Schoolgate-Timestamp"]
    expected = hmac.new(secret.encode(), f"{stamp}.".encode() + call.request.body, hashlib.sha256).hexdigest()
    assert call.request.headers["Schoolgate-Signature"] == f"v1={expected}"
    assert int(stamp) == int(told.clock.at.timestamp())
    assert "Authorization" not in call.request.headers
    said = json.loads(call.request.body)
    assert set(said) == {"id", "cause", "source", "source_name", "district", "run", "day", "at", "code", "sentence",
                         "remedy", "said"}  # fmt: skip
    assert (said["cause"], said["code"], said["said"]) == ("held", "SRC_HELD", {"guards": 2})
    assert sending.send_due(told.parts, told.by.district) == 0
    assert [row.sends for row in listed(told)] == [["webhook sent"]]


@pytest.mark.parametrize("answer", [500, 404, 302, requests.ConnectionError("x"), requests.ReadTimeout("x")], ids=str)
def test_what_does_not_arrive_is_sent_again_less_and_less_often_and_not_for_ever(told, wire, answer):
    ways.set_webhook(told.office, told.by, HOOK)
    said = {"status": answer} if isinstance(answer, int) else {"body": answer}
    wire.post(HOOK, **said)
    tell(told)
    began, tried_at = told.clock.at, []
    for _ in range(3000):
        before = len(wire.calls)
        sending.send_due(told.parts, told.by.district)
        tried_at += [told.clock.at] * (len(wire.calls) - before)
        told.clock.forward(minutes=1)
        if [row.sends for row in listed(told)] == [["webhook given_up"]]:
            break
    assert len(tried_at) == sending.TRIES
    assert timedelta(hours=12) < tried_at[-1] - began < timedelta(days=1)
    assert len({json.dumps(json.loads(call.request.body)) for call in wire.calls}) == 1


def test_what_failed_once_arrives_the_next_time(told, wire):
    ways.set_webhook(told.office, told.by, HOOK)
    wire.post(HOOK, status=503)
    wire.post(HOOK, status=200)
    tell(told)
    assert sending.send_due(told.parts, told.by.district) == 0
    told.clock.forward(minutes=2)
    assert sending.send_due(told.parts, told.by.district) == 1


def test_one_that_hangs_holds_up_no_other_and_nobody_sends_it_twice_at_once(told):
    ways.set_webhook(told.office, told.by, HOOK)
    tell(told)
    tell(told, "missing")
    now = told.clock.at
    with told.office.database.open_intake(told.by.district) as session:
        first = kept.take(session, now, now + timedelta(minutes=5))
        second = kept.take(session, now, now + timedelta(minutes=5))
        assert kept.take(session, now, now + timedelta(minutes=5)) is None
    assert {first.cause, second.cause} == {"held", "missing"}


def test_a_webhook_that_was_removed_hears_nothing_more(told, wire):
    ways.set_webhook(told.office, told.by, HOOK)
    tell(told)
    assert ways.stop(told.office, told.by, "webhook")
    assert not ways.stop(told.office, told.by, "webhook")
    assert sending.send_due(told.parts, told.by.district) == 0
    assert [row.sends for row in listed(told)] == [["webhook stopped"]]
    assert len(wire.calls) == 0


@pytest.mark.parametrize("url", ["http://hooks.example/x", "ftp://hooks.example/", "https://", "javascript:alert(1)"])
def test_a_webhook_is_https(told, url):
    with pytest.raises(Refused, match=r"SRC_ADDRESS_REFUSED|REQ_INVALID"):
        ways.set_webhook(told.office, told.by, url)


def test_an_inner_address_is_never_called(told):
    """A name that leads inside: the line judges the address, nothing is connected."""
    ways.set_webhook(told.office, told.by, "https://169.254.169.254/latest")
    tell(told)
    assert sending.send_due(told.parts, told.by.district) == 0
    with told.office.database.open_intake(told.by.district) as session:
        row = session.row("SELECT code FROM notification_send WHERE district = %(district)s")
    assert row.code == "SRC_ADDRESS_REFUSED"


def test_the_secret_is_sealed_at_rest(told):
    secret = ways.set_webhook(told.office, told.by, HOOK)
    with told.office.database.open_district(told.by.district) as session:
        (way,) = kept.ways(session)
    assert secret.encode() not in bytes(way.secret)


# --- e-mail ----------------------------------------------------------------------------------------


class Server(socketserver.ThreadingTCPServer):
    """A mail server of one's own machine that takes everything, or says no."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self, refuse: bytes = b"") -> None:
        self.letters: list[tuple[list[bytes], bytes]] = []
        self.refuse = refuse
        super().__init__(("127.0.0.1", 0), Talk)


class Talk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        to: list[bytes] = []
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b""
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    text += part
                self.server.letters.append((to, text))
            if word == b"RCPT":
                to.append(line.strip().upper())
            refused = self.server.refuse if word == b"RCPT" else b""
            self.wfile.write(refused or (b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n"))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def mailer(server: Server) -> Mailer:
    return Mailer(f"smtp://127.0.0.1:{server.server_address[1]}", "gateway@schoolgate.example")


def test_a_letter_says_what_became_of_the_source(told, server):
    from dataclasses import replace

    ways.set_mail(told.office, told.by, "it@district.example")
    tell(told, "failed", code="SRC_UNREACHABLE", run="run_0000000000000000")
    port = server.server_address[1]
    parts = replace(told.parts, settings=replace(told.parts.settings, smtp_url=f"smtp://127.0.0.1:{port}",
                                                 mail_from="gateway@schoolgate.example"))  # fmt: skip
    assert sending.send_due(parts, told.by.district) == 1
    ((to, text),) = server.letters
    letter = message_from_bytes(text, policy=policy.default)
    assert to == [b"RCPT TO:<IT@DISTRICT.EXAMPLE>"]
    assert letter["Subject"] == "Roster source sis: failed"
    assert letter["Auto-Submitted"] == "auto-generated"
    for word in ("SRC_UNREACHABLE", "run_0000000000000000", told.source):
        assert word in letter.get_content()


def test_without_a_mail_server_a_letter_waits(told):
    ways.set_mail(told.office, told.by, "it@district.example")
    tell(told)
    assert sending.send_due(told.parts, told.by.district) == 0
    assert [row.sends for row in listed(told)] == [["mail waiting"]]


HOSTILE = [
    "a\r\nBcc: x@evil.example",
    "a\nTo: x@evil.example",
    "a\r\n\r\nbody",
    "a\0b",
    "a\x0bb",
    "a\u2028Bcc: x",
    "a\x85b",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_districts_words_becomes_a_header(server, text):
    letter = Letter(
        "it@district.example", f"Roster source {text}: failed", f"source {text}", "no_1@gateway.example", AT
    )
    mailer(server).send(letter)
    ((to, wire),) = server.letters
    heard = message_from_bytes(wire, policy=policy.default)
    assert to == [b"RCPT TO:<IT@DISTRICT.EXAMPLE>"]
    assert sorted(heard.keys()) == ["Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From",
                                    "MIME-Version", "Message-ID", "Subject", "To"]  # fmt: skip
    assert "evil" not in str(heard["To"])


ADDRESSES = [
    "a@b.example, c@evil.example", "a@b.example\r\nBcc: c@evil.example", "<a@b.example>", "a b@c.example", "a@", "@b.c",
    "a@localhost", '"a b"@c.example', "a@b.example;c@evil.example", "a\0@b.example", "a@b..example", "ä@b.example",
    "a@[127.0.0.1]", "a@b.example>\r\nRCPT TO:<c@evil.example",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_mailbox_is_one_plain_address(told, address):
    with pytest.raises(Refused, match="REQ_INVALID"):
        ways.set_mail(told.office, told.by, address)


@pytest.mark.parametrize("address", [one for one in ADDRESSES if any(m in one for m in ',;<>" \r\n')])
def test_the_line_itself_takes_one_mailbox_only(server, address):
    with pytest.raises(ConnectorError):
        mailer(server).send(Letter(address, "x", "x", "no_1@gateway.example", AT))
    assert server.letters == []


@pytest.mark.parametrize(
    ("url", "code"),
    [("smtp://127.0.0.1:1", "SRC_UNREACHABLE"), ("smtps://127.0.0.1:1", "SRC_UNREACHABLE")],
)
def test_a_mail_server_that_is_not_there_is_named(url, code):
    with pytest.raises(ConnectorError) as failed:
        Mailer(url, "a@b.example").send(Letter("it@district.example", "x", "x", "no_1@g.example", AT))
    assert failed.value.code == code


def test_a_mail_server_that_says_no_is_told_apart(server):
    server.refuse = b"550 no such mailbox\r\n"
    with pytest.raises(ConnectorError) as failed:
        mailer(server).send(Letter("it@district.example", "x", "x", "no_1@g.example", AT))
    assert failed.value.code == "SRC_ANSWER"
    assert server.letters == []


def test_a_mail_server_elsewhere_is_not_told_anything_in_the_clear(server, monkeypatch):
    """A server that offers no STARTTLS, reached under another name than this machine's."""
    real = smtplib.SMTP

    def here(host: str, port: int, **more: Any) -> smtplib.SMTP:
        return real("127.0.0.1", server.server_address[1], **more)

    monkeypatch.setattr(smtplib, "SMTP", here)
    with pytest.raises(ConnectorError):
        Mailer("smtp://us:secret@mail.example:587", "a@b.example").send(
            Letter("it@district.example", "x", "x", "no_1@g.example", AT)
        )
    assert server.letters == []
