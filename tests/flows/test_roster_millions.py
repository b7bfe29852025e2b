"""A million pupils: the sync of the benchmarks, ten times as large, and readers beside it."""

from __future__ import annotations

import logging
import threading
from time import perf_counter

import pytest

from gateway import logs
from tests.benchmarks.district import District, Night
from tests.benchmarks.town import Applied, Town, built

SCHOOLS, TIMES, MEBIBYTES, BLOCKED = 100, 10, 512, 1.0  # schools of 1,000 pupils; seconds


def rows(applied: Applied) -> int:
    return sum(file["rows"] for file in applied.report["files"])


class Reader:
    """A vendor that reads a school's roster again and again, and notes how long it waited."""

    def __init__(self, town: Town) -> None:
        school = town.district.schools[0]
        self.caller = town.world.reader(school)
        self.waited: list[float] = []
        self.answers: set[tuple[int, int]] = set()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while not self.stop.is_set():
            began = perf_counter()
            answer = self.caller.read("students?limit=100")
            self.waited.append(perf_counter() - began)
            self.answers.add((answer.status_code, len(answer.json["users"])))
            self.stop.wait(0.02)

    def __enter__(self) -> Reader:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


@pytest.mark.invariants
def test_a_million_pupils_cost_what_ten_times_a_tenth_costs_and_readers_go_on() -> None:
    logs.configure(logging.ERROR)
    with built(District(SCHOOLS)) as town:
        tenth = town.load(Night.FIRST)
    with built(District(SCHOOLS * TIMES)) as town:
        whole = town.load(Night.FIRST)
        each, of_a_tenth = whole.seconds / rows(whole), tenth.seconds / rows(tenth)
        print(f"{rows(whole):,} rows, {whole.seconds:.0f} s, {whole.mebibytes:.0f} MiB, {each / of_a_tenth:.2f} a row")
        assert rows(whole) > 11_000_000
        assert whole.mebibytes < MEBIBYTES
        with Reader(town) as reader:
            night = town.load(Night.MOVED)
        print(f"1 % night: {night.seconds:.0f} s, {night.mebibytes:.0f} MiB, longest wait {max(reader.waited):.2f} s")
        assert reader.answers == {(200, 100)}
        assert len(reader.waited) > 100
        assert max(reader.waited) < BLOCKED
        assert night.mebibytes < MEBIBYTES
    assert each < 1.3 * of_a_tenth
