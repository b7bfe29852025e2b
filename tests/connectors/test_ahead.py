"""Lines hashed ahead in another process: the same lines and hashes, whatever becomes of that process."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
from array import array
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import ahead
from connectors.oneroster_csv import open_delivery
from gateway.store.staging import Seen
from mappings.oneroster.csv import FILES, Unreadable
from mappings.oneroster.heads import read_header
from mappings.oneroster.lines import MAX_LINE, Block, answer, asked, hash_lines, split, take_answer
from mappings.oneroster.rows import Fault, FileReader, Plain, Row
from tests.deliveries import HEADERS, two_schools
from tests.refused.spoil import packed

TEXTS = [b"".join(b"%d,%d\r\n" % (n, k) for k in range(400)) for n in range(40)]
ORGS = [f"o{n},,,School {n},school,{n},\r\n".encode() for n in range(30)]


def told(text: bytes) -> array[int] | None:
    """What the other process says of a text."""
    said = io.BytesIO()
    answer(io.BytesIO(asked(text)), said)
    return take_answer(bytearray(said.getvalue()))


@given(st.lists(st.binary(max_size=40), max_size=30).map(b"\n".join))
def test_it_says_the_hashes_of_the_very_lines(text: bytes) -> None:
    assert told(text) == array("q", hash_lines(split(text)))


def test_it_says_nothing_of_a_line_that_is_too_long() -> None:
    longest = b"x" * (MAX_LINE - 1) + b"\n"
    assert told(longest) == array("q", hash_lines([longest]))
    assert told(b"a\n" + b"x" * MAX_LINE + b"\n") == array("q")


def test_an_answer_is_taken_when_it_is_there_as_a_whole() -> None:
    said, heard = io.BytesIO(), bytearray()
    answer(io.BytesIO(asked(b"a\nb\n") + asked(b"c\n") + b"\0"), said)
    taken = []
    for byte in said.getvalue():
        heard.append(byte)
        taken += [found] if (found := take_answer(heard)) is not None else []
    assert taken == [array("q", hash_lines([b"a", b"b"])), array("q", hash_lines([b"c"]))]


def test_blocks_come_in_their_order_with_their_hashes() -> None:
    blocks = list(ahead.hashed(iter(TEXTS)))
    assert [block.raw for block in blocks] == TEXTS
    assert [list(block.hashes or ()) for block in blocks] == [list(hash_lines(split(text))) for text in TEXTS]


def test_whoever_stops_looking_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = noted(monkeypatch)
    blocks = ahead.hashed(chain.from_iterable(iter(TEXTS) for _ in range(1000)))
    next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    assert [process.returncode for process in begun] == [-signal.SIGKILL]


def test_what_the_texts_raise_is_raised_where_they_are_looked_at() -> None:
    def texts() -> Iterator[bytes]:
        yield from TEXTS[:3]
        raise OSError("the disk is gone")

    found = []
    with pytest.raises(OSError, match="the disk is gone"):
        for block in ahead.hashed(texts()):
            found.append(block.raw)
    assert found == TEXTS[:3]


def test_lines_of_which_the_hashes_are_more_than_themselves_stop_nobody() -> None:
    texts = [b"\n" * 200_000, b"a\n" * 100_000, b"\n" * 200_000]
    assert [len(block.hashes or ()) for block in ahead.hashed(iter(texts))] == [200_000, 100_000, 200_000]


def test_without_the_other_process_lines_come_without_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead.sys, "executable", "/nowhere/python")
    blocks = list(ahead.hashed(iter(TEXTS)))
    assert [(block.raw, block.hashes) for block in blocks] == [(text, None) for text in TEXTS]


@pytest.mark.parametrize("fails", ["__new__", "register"])
def test_where_no_more_files_can_be_open_lines_come_without_hashes(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    def full(*_said: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    begun = noted(monkeypatch)
    monkeypatch.setattr(ahead.selectors.DefaultSelector, fails, full)
    blocks = list(ahead.hashed(iter(TEXTS)))
    assert [(block.raw, block.hashes) for block in blocks] == [(text, None) for text in TEXTS]
    assert all(process.returncode is not None for process in begun)


def test_a_process_that_goes_costs_its_hashes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = noted(monkeypatch)
    blocks = ahead.hashed(iter(TEXTS))
    found = [next(blocks) for _ in range(5)]
    os.kill(begun[0].pid, signal.SIGKILL)
    found += blocks
    assert [block.raw for block in found] == TEXTS
    assert all(block.hashes is None or list(block.hashes) == list(hash_lines(split(block.raw))) for block in found)
    assert found[0].hashes
    assert found[-1].hashes is None


def noted(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that are begun from here on."""
    begun: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def note(*words: Any, **said: Any) -> subprocess.Popen[bytes]:
        begun.append(begin(*words, **said))
        return begun[-1]

    monkeypatch.setattr(ahead.subprocess, "Popen", note)
    return begun


# --- what is read is the same --------------------------------------------------------------------------


def read(blocks: list[Block], known: list[int]) -> tuple[list[Row], list[Fault], object]:
    faults = list[Fault]()
    header = read_header(FILES["1.2"]["orgs.csv"], ",".join(HEADERS["1.2"]["orgs.csv"]).encode())
    seen = Seen({"org": array("q", known)})
    reader = FileReader(header, seen, faults.append)
    rows = [row for batch in reader.batches(blocks) for row in (batch.rows() if isinstance(batch, Plain) else batch)]
    return rows, faults, (reader.tally, sorted(seen.unmet("org")))


@given(st.data())
def test_a_file_reads_the_same_with_hashes_and_without(data: st.DataObject) -> None:
    known = data.draw(st.lists(st.sampled_from(ORGS), unique=True))
    bad = [b"o1,,,twice,school,,\r\n", b"o 2,,,School,school,,\r\n", b"o3\r\n", b"\r\n", b'o4,,,"A, B",school,,\n']
    spelled = data.draw(st.lists(st.lists(st.sampled_from(ORGS + bad), min_size=1), max_size=4))
    hashes = list(hash_lines(known))
    plain = [Block(b"".join(lines)) for lines in spelled]
    hashed = [Block(b"".join(lines), hash_lines(lines)) for lines in spelled]
    assert read(hashed, hashes) == read(plain, hashes)


@pytest.mark.parametrize("size", [None, 3000])
def test_a_delivery_reads_the_same_and_is_refused_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    path = tmp_path / "d.zip"
    path.write_bytes(packed(two_schools(60).files())[:size])

    def lines() -> list[list[bytes]] | str:
        try:
            with open_delivery(path, 1 << 24) as delivery:
                found = [list(delivery.blocks(name, hashed=True)) for name in delivery.files()]
                assert all((block.hashes is not None) == (ahead.LARGE == 0) for one in found for block in one)
                return [[line for block in one for line in block] for one in found]
        except Unreadable as bad:
            return bad.code

    here = lines()
    monkeypatch.setattr(ahead, "LARGE", 0)
    monkeypatch.setattr(ahead.os, "sched_getaffinity", lambda _pid: {0, 1}, raising=False)
    assert lines() == here
    assert isinstance(here, str) == (size is not None)


def test_a_cut_file_of_a_whole_bundle_is_said_to_be_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(packed(two_schools(400).files()))
    at = data.index(b"users.csv") + 200
    data[at : at + 40] = bytes(40)
    (tmp_path / "d.zip").write_bytes(data)
    monkeypatch.setattr(ahead, "LARGE", 0)
    monkeypatch.setattr(ahead.os, "sched_getaffinity", lambda _pid: {0, 1}, raising=False)
    with open_delivery(tmp_path / "d.zip", 1 << 24) as delivery, pytest.raises(Unreadable) as bad:
        for _ in delivery.blocks("users.csv", hashed=True):
            pass
    assert bad.value.code == "CSV_ZIP_DAMAGED"
