"""Limits per caller: one window counts all of a subscriber's addresses, and old windows are forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from gunicorn.http.message import MAX_REQUEST_LINE

from gateway import serve
from gateway.errors import Refused
from gateway.web import limits
from gateway.web.limits import Limits, ProcessCounts


@pytest.fixture
def app() -> Flask:
    made = Flask("limited")
    made.add_url_rule("/door", "door", lambda: "open")
    return made


def knocks(app: Flask, counted: Limits, address: str) -> bool:
    with app.test_request_context("/door", environ_base={"REMOTE_ADDR": address}):
        try:
            counted.check()
        except Refused as refused:
            return refused.reason.code != "RATE_LIMITED"
    return True


@pytest.mark.parametrize(
    ("addresses", "let_in"),
    [
        (["192.0.2.1"] * 4, [True, True, False, False]),
        (["192.0.2.1", "192.0.2.2", "192.0.2.3"], [True, True, True]),
        ([f"2001:db8::{n:x}" for n in range(4)], [True, True, False, False]),
        ([f"2001:db8:0:{n:x}::1" for n in range(4)], [True, True, True, True]),
        (["", "", ""], [True, True, False]),
    ],
    ids=["one address", "three addresses", "one subscriber's IPv6", "four subscribers' IPv6", "no address"],
)
def test_who_counts_as_one_caller(app, addresses, let_in):
    counted = Limits("", {"door": "2 per minute"})
    assert [knocks(app, counted, address) for address in addresses] == let_in


def test_windows_that_are_over_are_forgotten(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    counts = ProcessCounts()
    assert [counts.incr(f"k{n}", 60) for n in range(50)] == [1] * 50
    assert (counts.incr("k0", 60), counts.get("k0")) == (2, 2)
    now[0] += 61
    assert (counts.get("k0"), counts.incr("k0", 60)) == (0, 1)
    assert len(counts._counts) == 1


def test_a_flood_of_addresses_takes_no_more_memory_than_set(monkeypatch):
    monkeypatch.setattr(ProcessCounts, "_MOST", 100)
    counts = ProcessCounts()
    for n in range(1000):
        counts.incr(f"k{n}", 60)
        assert len(counts._counts) <= 100


def test_a_login_by_a_long_address_is_not_cut_off_before_the_gate(monkeypatch):
    """Two hints of an LMS are more than gunicorn takes unless it is told so."""
    begun: list[list[str]] = []
    monkeypatch.setattr(serve.subprocess, "Popen", lambda command, **_: begun.append(command))
    serve._web(8080, 1)
    service = (Path(serve.__file__).parent.parent / "deploy" / "schoolgate.service").read_text()
    for command in (" ".join(begun[0]), service):
        (said,) = re.findall(r"--limit-request-line (\d+)", command)
        assert int(said) == MAX_REQUEST_LINE
