"""When a source is due: one night a day in the district's own time, on its school days, outside its peak windows.

Pure: the same plan and the same moment give the same answer on every machine, so that nobody has to agree on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60
# Without a time of its own a source is due between 01:00 and 05:00, each at its own minute: a hundred sources of one
# machine do not begin at once, and an export of midnight is written by then.
FIRST, SPREAD = 60, 240
AGAIN = tuple(timedelta(minutes=m) for m in (15, 30, 60))  # after a first, second and third run that failed
TRIES = len(AGAIN) + 1
CLOCK_STEP = timedelta(minutes=5)  # a plan reckoned later than this from now was reckoned by another clock
_FAR = 800  # days: beyond any list of holidays
Dates = tuple[date, date]
Window = tuple[int, int]
Peak = tuple[Window, ZoneInfo]


def own_minute(source: str) -> int:
    """Return the minute of the night of a source that was given none: always the same one."""
    return FIRST + int.from_bytes(hashlib.sha256(source.encode()).digest()[:4]) % SPREAD


@dataclass(frozen=True, slots=True)
class Plan:
    """When one source may run. `minute` and `peaks` are local minutes of a day, `theirs` are peaks where the source
    stands; outside `terms`, where any are known, one night a week is left: the next school year comes in a delivery."""

    zone: ZoneInfo
    minute: int
    weekdays: frozenset[int] = frozenset(range(7))
    holidays: tuple[Dates, ...] = ()
    peaks: tuple[Window, ...] = ()
    terms: tuple[Dates, ...] = ()
    theirs: tuple[Peak, ...] = ()

    def next_due(self, after: datetime) -> datetime:
        """Return the first moment after this one at which the source is due."""
        day = after.astimezone(self.zone).date() - timedelta(days=1)
        for ahead in range(_FAR):
            one = day + timedelta(days=ahead)
            at = _moment(one, self.minute, self.zone)
            if at > after and self._open(one):
                break
        return self.free(at)

    def free(self, at: datetime) -> datetime:
        """Return this moment, or the end of the peak windows that it lies in."""
        peaks = [*((peak, self.zone) for peak in self.peaks), *self.theirs]
        for _ in range(2 * len(peaks)):
            ends = [end for peak, zone in peaks if (end := _end(peak, zone, at))]
            if not ends:
                break
            at = max(ends)
        return at

    def _open(self, day: date) -> bool:
        if day.weekday() not in self.weekdays or any(first <= day <= last for first, last in self.holidays):
            return False
        in_term = not self.terms or any(first <= day <= last for first, last in self.terms)
        return in_term or day.weekday() == min(self.weekdays)


def _end(peak: Window, zone: ZoneInfo, at: datetime) -> datetime | None:
    """When the peak window that a moment lies in is over; one that ends before it begins ends the next day."""
    local = at.astimezone(zone)
    minute, (begin, end) = local.hour * 60 + local.minute, peak
    if not (begin <= minute < end if begin < end else minute >= begin or minute < end):
        return None
    later = begin >= end and minute >= begin
    return max(_moment(local.date() + timedelta(days=later), end, zone, fold) for fold in (0, 1))


def _moment(day: date, minute: int, zone: ZoneInfo, fold: int = 0) -> datetime:
    """A local time as a moment: of an hour that comes twice the first, of one that does not come the hour after."""
    day, minute = (day + timedelta(days=1), 0) if minute == DAY else (day, minute)
    local = datetime.combine(day, time(minute // 60, minute % 60, fold=fold), zone)
    return local.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is done about a source now: `run` it or not, when it is looked at again, and the word that says why not."""

    run: bool
    due_at: datetime
    said: str | None = None


def judge(
    plan: Plan, due_at: datetime, set_at: datetime | None, paused_until: datetime | None, paused: bool, now: datetime
) -> Verdict | None:
    """Say what is done about a source now; None where there is nothing to do. However many nights were missed, and
    however far a clock has jumped, it is one run."""
    if set_at is None or set_at > now + CLOCK_STEP:
        return Verdict(False, plan.next_due(now))
    if due_at > now:
        return None
    if paused:
        return Verdict(False, paused_until or plan.next_due(now), "SRC_PAUSED")
    free = plan.free(now)
    if free > now:
        return Verdict(False, free, "SRC_PEAK")
    return Verdict(True, plan.next_due(now))


def again(plan: Plan, attempt: int, due_at: datetime, now: datetime) -> datetime | None:
    """When a run that failed for the `attempt`th time is tried again; None when it waits for the next night."""
    if attempt >= TRIES:
        return None
    at = plan.free(now + AGAIN[attempt - 1])
    return at if at < due_at else None


def read_window(text: str) -> Window:
    """Read `HH:MM-HH:MM`. Raises ValueError."""
    begin, _, end = text.partition("-")
    window = read_minute(begin), read_minute(end)
    if window[0] == window[1]:
        raise ValueError("a window has a length")
    return window


def read_peaks(texts: Iterable[str]) -> list[str]:
    """Read windows of a day, and spell them as they are kept. Raises ValueError, also where no hour is left."""
    windows = sorted(map(read_window, texts))
    if sum((end - begin) % DAY for begin, end in windows) > DAY - 60:
        raise ValueError("an hour of the day is left to run in")
    return ["-".join(map(spell_minute, window)) for window in windows]


def read_minute(text: str) -> int:
    """Read `HH:MM`. Raises ValueError."""
    at = time.fromisoformat(text.strip())
    if len(text.strip()) != 5 or at.tzinfo:
        raise ValueError("a time is HH:MM")
    return at.hour * 60 + at.minute


def spell_minute(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def read_dates(text: str) -> Dates:
    """Read a day, or the first and last of several: `2026-12-21/2027-01-03`. Raises ValueError."""
    first, _, last = text.partition("/")
    span = date.fromisoformat(first.strip()), date.fromisoformat((last or first).strip())
    if span[0] > span[1]:
        raise ValueError("the last day is before the first")
    return span


def read_plan(
    zone: str, minute: int, weekdays: Sequence[str], holidays: Sequence[str], peaks: Sequence[str],
    terms: Sequence[Dates], theirs: Sequence[str] = (), there: str | None = None,
) -> Plan:  # fmt: skip
    """Return the plan of what is kept of a source, with the peaks of its own in its own zone. Raises ValueError."""
    elsewhere = tuple((read_window(one), ZoneInfo(there or zone)) for one in theirs)
    return Plan(
        ZoneInfo(zone), minute, frozenset(map(WEEKDAYS.index, weekdays)), tuple(map(read_dates, holidays)),
        tuple(map(read_window, peaks)), tuple(terms), elsewhere,
    )  # fmt: skip
