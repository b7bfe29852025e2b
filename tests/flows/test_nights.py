"""When a source is due: every night once, whatever the clock does."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flows.rosters import nights
from gateway.flows.rosters.nights import TRIES, Plan, judge

CHICAGO = ZoneInfo("America/Chicago")
ZONES = ("UTC", "America/Chicago", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia",
         "America/St_Johns", "Africa/Casablanca")  # fmt: skip
minutes = st.integers(0, 1439)
moments = st.integers(0, 6 * 365 * 86_400).map(lambda s: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=s))
windows = st.tuples(minutes, minutes).filter(lambda w: w[0] != w[1] and (w[1] - w[0]) % 1440 < 600)
plans = st.builds(
    Plan, st.sampled_from(ZONES).map(ZoneInfo), minutes, st.frozensets(st.integers(0, 6), min_size=1), st.just(()),
    st.lists(windows, max_size=2).map(tuple),
)  # fmt: skip


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local(at: datetime, zone: ZoneInfo = CHICAGO) -> str:
    return at.astimezone(zone).strftime("%a %Y-%m-%d %H:%M")


def nights_of(plan: Plan, first: datetime, count: int) -> list[datetime]:
    found = []
    for _ in range(count):
        first = plan.next_due(first)
        found.append(first)
    return found


@given(plan=plans, after=moments)
def test_the_next_night_is_later_open_and_outside_every_peak(plan, after):
    at = plan.next_due(after)
    assert at > after
    assert plan.free(at) == at


@given(zone=st.sampled_from(ZONES).map(ZoneInfo), minute=minutes, after=moments)
def test_every_day_has_one_night_whatever_the_zone_does(zone, minute, after):
    """Pacific/Apia has lost a whole day once; the years looked at here have all of theirs."""
    found = nights_of(Plan(zone, minute), after, 400)
    assert set(Counter(at.astimezone(zone).date() for at in found).values()) == {1}
    assert all(timedelta(hours=22) <= b - a <= timedelta(hours=26) for a, b in pairwise(found))


@given(plan=plans, after=moments, wait=st.integers(0, 10**6))
def test_asking_again_before_it_is_due_gives_the_same_night(plan, after, wait):
    at = plan.next_due(after)
    between = after + (at - after) * (wait / 10**6)
    if not plan.peaks:
        assert between >= at or plan.next_due(between) == at


def test_an_hour_that_is_skipped_is_run_once_and_one_that_comes_twice_is_run_once():
    spring = nights_of(Plan(CHICAGO, 150), utc("2027-03-13T12:00-06:00"), 2)
    assert [local(at) for at in spring] == ["Sun 2027-03-14 03:30", "Mon 2027-03-15 02:30"]
    autumn = nights_of(Plan(CHICAGO, 90), utc("2026-10-31T12:00-05:00"), 2)
    assert [local(at) for at in autumn] == ["Sun 2026-11-01 01:30", "Mon 2026-11-02 01:30"]
    assert autumn[0] == utc("2026-11-01T01:30-05:00")


def test_a_peak_that_ends_in_the_hour_that_comes_twice_ends_after_both():
    plan = Plan(CHICAGO, 0, peaks=((0, 90),))
    assert plan.free(utc("2026-11-01T00:30-05:00")) == utc("2026-11-01T01:30-06:00")


def test_a_peak_over_midnight_holds_on_both_sides():
    plan = Plan(CHICAGO, 23 * 60, peaks=((22 * 60, 6 * 60),))
    assert local(plan.next_due(utc("2026-09-01T12:00-05:00"))) == "Wed 2026-09-02 06:00"
    assert local(plan.free(utc("2026-09-01T03:00-05:00"))) == "Tue 2026-09-01 06:00"


def test_school_days_holidays_and_terms():
    school = Plan(
        CHICAGO, 120, frozenset(range(5)), holidays=(nights.read_dates("2026-11-26/2026-11-27"),),
        terms=((date(2026, 8, 17), date(2026, 12, 18)),),
    )  # fmt: skip
    week = nights_of(school, utc("2026-11-24T12:00-06:00"), 3)
    assert [local(at)[:3] for at in week] == ["Wed", "Mon", "Tue"]
    out = nights_of(school, utc("2026-12-18T12:00-06:00"), 3)
    assert [local(at) for at in out] == [f"Mon 2026-12-{d} 02:00" for d in (21, 28)] + ["Mon 2027-01-04 02:00"]


def test_sources_are_spread_over_the_night_and_each_keeps_its_minute():
    found = [nights.own_minute(f"src_{n:016d}") for n in range(2000)]
    assert min(found) >= 60
    assert max(found) < 300
    assert max(Counter(found).values()) < 40
    assert nights.own_minute("src_0000000000000001") == found[1]


# --- what is done now ------------------------------------------------------------------------------

NIGHTLY = Plan(CHICAGO, 120)
NOW = utc("2026-11-10T12:00-06:00")


def judged(due: str, now: datetime = NOW, plan: Plan = NIGHTLY, **more) -> nights.Verdict | None:
    said = {"set_at": now - timedelta(hours=1), "paused_until": None, "paused": False} | more
    return judge(plan, utc(due), now=now, **said)


def test_what_is_not_due_waits():
    assert judged("2026-11-11T02:00-06:00") is None


@pytest.mark.parametrize("due", ["2026-11-10T02:00-06:00", "2026-11-01T02:00-06:00", "2019-01-01T02:00-06:00"])
def test_however_many_nights_were_missed_it_is_one_run(due):
    verdict = judged(due)
    assert verdict.run
    assert local(verdict.due_at) == "Wed 2026-11-11 02:00"


@pytest.mark.parametrize("jump", [timedelta(hours=2), timedelta(days=1), timedelta(days=400)])
def test_a_clock_that_was_set_back_does_not_leave_a_source_waiting(jump):
    verdict = judged("2027-12-15T02:00-06:00", set_at=NOW + jump)
    assert (verdict.run, local(verdict.due_at)) == (False, "Wed 2026-11-11 02:00")


def test_a_clock_that_is_a_little_off_changes_nothing():
    assert judged("2026-11-11T02:00-06:00", set_at=NOW + timedelta(minutes=4)) is None


def test_a_clock_that_jumped_ahead_runs_once():
    now = NOW + timedelta(days=400)
    verdict = judged("2026-11-11T02:00-06:00", now=now)
    assert verdict.run
    assert judge(NIGHTLY, verdict.due_at, now, None, False, now + timedelta(minutes=1)) is None


def test_a_source_that_is_paused_does_nothing_until_the_pause_is_over():
    until = NOW + timedelta(days=3)
    assert judged("2026-11-10T02:00-06:00", paused=True, paused_until=until) == nights.Verdict(
        False, until, "SRC_PAUSED"
    )
    assert local(judged("2026-11-10T02:00-06:00", paused=True).due_at) == "Wed 2026-11-11 02:00"


def test_a_night_that_was_missed_does_not_run_in_the_peak():
    plan = Plan(CHICAGO, 120, peaks=((7 * 60, 17 * 60),))
    verdict = judged("2026-11-10T02:00-06:00", plan=plan)
    assert (verdict.run, local(verdict.due_at), verdict.said) == (False, "Tue 2026-11-10 17:00", "SRC_PEAK")


def test_a_run_that_failed_is_tried_again_less_often_and_not_for_ever():
    due, at, waits = NIGHTLY.next_due(NOW), NOW, []
    for attempt in range(1, TRIES + 1):
        later = nights.again(NIGHTLY, attempt, due, at)
        waits.append(later and later - at)
        at = later or at
    assert waits == [timedelta(minutes=15), timedelta(minutes=30), timedelta(hours=1), None]


def test_a_run_is_not_tried_again_in_the_peak_nor_after_the_next_night():
    plan = Plan(CHICAGO, 120, peaks=((7 * 60, 17 * 60),))
    before = utc("2026-11-10T06:50-06:00")
    assert local(nights.again(plan, 1, plan.next_due(before), before)) == "Tue 2026-11-10 17:00"
    shortly = utc("2026-11-11T01:50-06:00")
    assert nights.again(NIGHTLY, 1, NIGHTLY.next_due(shortly), shortly) is None


@pytest.mark.parametrize("text", ["25:00-26:00", "07:00", "7-8", "07:00-07:00", "", "07:00+02:00-08:00"])
def test_a_window_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        nights.read_window(text)


@pytest.mark.parametrize("text", ["2026-13-01", "2027-01-03/2026-12-21", "", "monday"])
def test_days_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        nights.read_dates(text)
