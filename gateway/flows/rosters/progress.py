"""How far a run has come: its step, the rows it has read, and how long it still needs.

A run tells its `Progress`, which passes it on at most once a second: to the record of the run, through a connection of
its own because the run's transaction shows nobody anything before its end, and to whoever else listens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic, perf_counter
from typing import Any

from gateway.flows.parts import Office
from gateway.flows.rosters.report import Report
from gateway.store import holds, runs, sources
from gateway.store.tenant import UNREACHABLE, Session
from mappings.oneroster.lines import Block

EVERY = 1.0  # seconds between two words
STEPS = ("read", "check", "project", "publish")


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a run stands: rows read, and rows there will be as far as the sizes of the files tell."""

    step: str
    done: int = 0
    total: int | None = None


Listener = Callable[[Moment], None]


@dataclass
class Progress:
    """What a run says of itself while it goes on: on its record, which a killed process leaves behind, and to whoever
    listens."""

    parts: Office
    district: int
    report: Report
    listeners: tuple[Listener, ...] = ()
    every: float = EVERY
    at: str = "open"
    rows: int = 0
    _bytes: int = 0
    _all_bytes: int = 0
    _told_at: float = field(default=float("-inf"))

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

    def expect(self, sizes: Iterable[int]) -> None:
        """Say how many bytes the delivery has."""
        self._all_bytes = sum(sizes)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A named step: everybody hears when it begins, and how long it took is reported."""
        self.at, began = name, perf_counter()
        self._tell()
        yield
        self.report.seconds[name] = round(perf_counter() - began, 3)

    def counted(self, blocks: Iterable[Block]) -> Iterator[Sequence[bytes]]:
        """Pass blocks of lines on, and count them."""
        for block in blocks:
            self.rows += len(block)
            self._bytes += len(block.raw)
            if monotonic() - self._told_at >= self.every:
                self._tell()
            yield block

    def _tell(self) -> None:
        """A run does not fail because nobody can be told of it."""
        self._told_at, total = monotonic(), self._total()
        with contextlib.suppress(*UNREACHABLE), self.parts.database.open_intake(self.district) as session:
            now = self.parts.clock.now()
            runs.beat(session, self.report.run, self.at, self.rows, total, self.report.delivery, now)
        for listener in self.listeners:
            listener(Moment(self.at, self.rows, total))

    def _total(self) -> int | None:
        if self.at != "read":
            return self.rows
        return round(self.rows * max(self._all_bytes, self._bytes) / self._bytes) if self._bytes else None


def standing(session: Session, source: str, now: datetime) -> dict[str, Any] | None:
    """Return how a source's run stands; None when none is going on. One that was killed is `lost`: its lock is free."""
    row = runs.under_way(session, source)
    if row is None:
        return None
    lost, usual = sources.lock(session, source), runs.usual(session, source)
    seconds = max((row.beat_at - row.started_at).total_seconds(), 0.001)
    rate = round(row.rows_done / seconds) if row.rows_done and row.step == "read" else None
    total = row.rows_total or row.rows_expected or None
    return {
        "run": row.run, "step": row.step, "state": "lost" if lost else "running", "rows": row.rows_done, "of": total,
        "rows_per_second": rate, "seconds_left": None if lost else _left(row, total, rate, usual, now),
        "began_at": row.started_at, "updated_at": row.beat_at,
    }  # fmt: skip


def _left(row: Any, total: int | None, rate: int | None, usual: dict[str, float], now: datetime) -> int | None:
    """Seconds that are left: of reading by what it does, of the steps after it by what they took the last time."""
    here: float
    if row.step == "read":
        if not rate or total is None:
            return None
        here = max(0, total - row.rows_done) / rate
    elif row.step in usual:
        here = max(0.0, usual[row.step] - (now - row.stepped_at).total_seconds())
    else:
        return None
    after = STEPS[STEPS.index(row.step) + 1 :] if row.step in STEPS else ()
    return round(here + sum(usual.get(step, 0.0) for step in after))
