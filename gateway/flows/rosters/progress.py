"""How far a run is, written down beside its transaction: whoever looks sees it, and a killed run leaves it behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from gateway.flows.parts import Office
from gateway.flows.rosters.report import Report
from gateway.store import holds, runs, sources

EVERY = 1.0  # seconds between two words about the same step
T = TypeVar("T")


@dataclass(slots=True)
class Progress:
    """The record of one run under way, on connections of its own."""

    parts: Office
    district: int
    report: Report
    at: str = "open"
    rows: int = 0
    told: float = 0.0

    def begin(self, by: str) -> None:
        """Record that the run is under way."""
        with self.parts.database.open_intake(self.district) as session:
            runs.begin(session, self.report.run, self.report.source, self.parts.clock.now(), by)

    def take_up(self) -> None:
        """Say of this source's runs that ended without a word that they were killed, and end holds that have expired.
        The caller has the source's lock."""
        with self.parts.database.open_intake(self.district) as session:
            now, source = self.parts.clock.now(), self.report.source
            killed = runs.bury(session, source, self.report.run, now)
            holds.expire(session, source, sources.number(session, source), now)
        same = [row.run for row in killed if row.delivery_hash and row.delivery_hash == self.report.delivery]
        self.report.resumed = same[0] if same else None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A named step: it is on record when it begins, and how long it took is reported."""
        self.at, began = name, perf_counter()
        self.tell()
        yield
        self.report.seconds[name] = round(perf_counter() - began, 3)

    def counted(self, batches: Iterable[T], lines: Callable[[], int]) -> Iterator[T]:
        """Pass batches of a file on, and record from time to time how many lines have been read in all."""
        before = self.rows
        for batch in batches:
            if perf_counter() - self.told > EVERY:
                self.rows = before + lines()
                self.tell()
            yield batch
        self.rows = before + lines()

    def tell(self) -> None:
        """Record how far the run is."""
        self.told = perf_counter()
        with self.parts.database.open_intake(self.district) as session:
            runs.beat(session, self.report.run, self.at, self.rows, self.report.delivery, self.parts.clock.now())
