"""Versions: readers see exactly one, an undo is a new one, older ones are kept for as long as is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from gateway import errors
from gateway.errors import Refused
from gateway.flows import erasure, rosters
from gateway.flows.rosters import looking
from gateway.jobs import work
from gateway.report_text import lines
from gateway.store import absences, history, holds, roster, runs, sources
from mappings.oneroster.records import PROJECTED
from tests.flows.test_roster_holds import bodies, everybody_changed, hold_of, release
from tests.flows.test_roster_sync import PUPILS, THREE_GONE, gone, night, second_person, versions
from tests.refused import spoil as to
from tests.refused.spoil import content, holdings, live, loose_ends
from tests.worlds import World


@pytest.fixture
def standing(world: World) -> World:
    made = world.unseeded().standing(PUPILS)
    made.clock.forward(days=1)
    return made


def undo(world: World, *, publish: bool = True, to: str | None = None) -> rosters.Report:
    return rosters.undo(world.office, world.by.district, world.source, world.by.ref, to=to, publish=publish)


def changed(delivery: Any) -> None:
    gone("p2")(delivery)
    to.cells("users.csv", "p1", givenName="New")(delivery)
    delivery.person("new", "student", "A").enroll("new", "kA", "A").class_("kN", "B")


# --- going back ------------------------------------------------------------------------------------


def test_an_undo_is_a_plan_first(standing: World) -> None:
    standing.deliver(night(changed))
    before = holdings(standing)
    plan = undo(standing, publish=False)
    assert (plan.state, plan.undone) == ("planned", {standing.refs["A"]: 1, standing.refs["B"]: 1})
    assert plan.schools[0]["kinds"]["user"] == {"before": 25, "added": 1, "changed": 0, "removed": 1}
    assert holdings(standing) == before


def test_an_undo_is_a_new_version_that_equals_the_older_one(standing: World) -> None:
    before = bodies(standing)
    standing.deliver(night(changed))
    standing.clock.forward(days=1)
    then = holdings(standing)
    assert undo(standing).state == "published"
    assert bodies(standing) == before
    assert versions(standing) == {"A": 3, "B": 3}
    assert loose_ends(standing) == []
    now = holdings(standing)
    for at, rows in then.items():
        if at[1].startswith("roster_") and at[1] != "roster_version":
            kept = [row for row in now[at] if row.since < 3]
            assert [(r.sourced_id, r.since, content(r)) for r in kept] == [
                (r.sourced_id, r.since, content(r)) for r in rows
            ]
    assert [entry["outcome"] for entry in standing.ledger("A") if entry["type"] == "import"] == ["published"] * 3


def test_an_undo_can_be_undone(standing: World) -> None:
    standing.deliver(night(changed))
    after = bodies(standing)
    for _ in range(2):
        standing.clock.forward(days=1)
        undo(standing)
    assert bodies(standing) == after


def test_an_undo_goes_back_to_what_a_run_left(standing: World) -> None:
    first = standing.deliver(night(changed))
    there = bodies(standing)
    for name in ("Ana", "Bea"):
        standing.clock.forward(days=1)
        standing.deliver(night(changed, to.cells("users.csv", "p4", givenName=name)))
    standing.clock.forward(days=1)
    report = undo(standing, to=first.run)
    assert (report.state, bodies(standing)) == ("published", there)
    assert versions(standing) == {"A": 5, "B": 2}


def test_the_next_delivery_is_compared_with_what_an_undo_left(standing: World) -> None:
    standing.deliver(night(changed))
    there = bodies(standing)
    standing.clock.forward(days=1)
    undo(standing)
    assert standing.deliver(night(changed)).state == "published"
    assert bodies(standing) == there
    assert standing.deliver(night(changed)).state == "unchanged"


def test_what_was_erased_stays_erased(standing: World) -> None:
    report = standing.deliver(night(gone("p2"), to.cells("users.csv", "p4", givenName="New")))
    standing.clock.forward(days=15)
    request, _ = erasure.ask(standing.office, standing.by, standing.places["A"], "p2")
    assert erasure.erase(standing.office, standing.by, standing.places["A"], request).erased
    with standing.office.database.open_intake(standing.by.district) as session:
        assert "p2" not in {row.sourced_id for row in absences.of_run(session, report.run, 100)}
    undo(standing)
    assert live(standing)["A", "user", "p4"].given_name == "Givenp4"
    assert not [at for at in live(standing) if "p2" in at[2].split(".")]
    assert loose_ends(standing) == []


def test_an_undo_beyond_a_guard_waits_for_a_second_person(standing: World) -> None:
    hold = standing.deliver(night(everybody_changed)).hold["hold"]
    second = second_person(standing)
    release(standing, hold, second)
    there = bodies(standing)
    standing.clock.forward(days=1)
    report = undo(standing)
    assert (report.state, report.code, report.hold["kind"]) == ("held", "SRC_HELD", "undo")
    assert bodies(standing) == there
    with pytest.raises(Refused) as refused:
        release(standing, report.hold["hold"], standing.by.ref)
    assert refused.value.reason is errors.ACT_SECOND_PERSON
    assert release(standing, report.hold["hold"], second).state == "published"
    assert live(standing)["A", "user", "p2"].email == "p2@pupils.example"
    assert hold_of(standing, report.hold["hold"]).state == "released"


def test_an_undo_overtakes_what_waits(standing: World) -> None:
    report = standing.deliver(night(THREE_GONE, to.cells("users.csv", "p8", givenName="New")))
    standing.clock.forward(days=1)
    undo(standing)
    assert hold_of(standing, report.hold["hold"]).state == "superseded"
    assert live(standing)["A", "user", "p8"].given_name == "Givenp8"


@pytest.mark.parametrize(
    ("to_", "code"),
    [(None, "SRC_NOTHING_BEFORE"), ("run_0000000000000000", "REQ_UNKNOWN")],
    ids=["first version", "no run"],
)
def test_an_undo_to_nothing_is_refused(standing: World, to_: str | None, code: str) -> None:
    before, report = holdings(standing), undo(standing, to=to_)
    assert (report.state, report.code) == ("refused", code)
    assert holdings(standing) == before


def test_an_undo_to_nothing_says_why_there_is_nothing(standing: World, world: World) -> None:
    other = World(world.office, world.clock).unseeded().onboard("A")
    refused = other.deliver(night(to.dropped("users.csv"))).run
    assert why(undo(other)) == "Nothing of this source was published yet."
    other.clock.forward(days=1)
    other.deliver(night())
    assert why(undo(other)) == "What they have is the first one."
    assert why(undo(other, to=refused)).startswith(f"The schools had none after run {refused}")
    standing.deliver(night(changed))
    standing.clock.forward(days=standing.office.settings.history_days + 1)
    looking.forget(standing.office, standing.by.district)
    assert why(undo(standing)) == "The one before is not kept any more."


def why(report: rosters.Report) -> str:
    """What a refused undo says of itself, once, and what to do then."""
    text = list(lines(report, "sis"))
    assert report.refusal is not None
    assert (report.refusal["code"], text[-1]) == ("SRC_NOTHING_BEFORE", f"Next: {report.refusal['remedy']}")
    assert text[1] == f"  undo: There is no earlier roster to go back to. {report.refusal['detail']}"
    return report.refusal["detail"]


# --- as it was on that day -------------------------------------------------------------------------

FIRST = date(2026, 11, 2)


def as_it_was(world: World, kind: str, day: date, org: str = "A") -> dict[str, dict[str, Any]]:
    found = looking.as_it_was(world.office, world.by, world.places[org], kind, day)
    return {row.sourced_id: content_of(row) for row in found.rows}


def content_of(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row._asdict().items() if name not in to.BOOKKEEPING}


def test_a_roster_is_shown_as_it_was_on_a_day(standing: World) -> None:
    then = {at[2]: body for at, body in bodies(standing).items() if at[:2] == ("A", "user")}
    standing.deliver(night(changed))
    now = {at[2]: body for at, body in bodies(standing).items() if at[:2] == ("A", "user")}
    assert then != now
    assert as_it_was(standing, "user", FIRST) == then
    assert as_it_was(standing, "user", FIRST + timedelta(days=1)) == now


def test_what_changed_since_a_day_is_told_with_what_went(standing: World) -> None:
    standing.deliver(night(changed))
    since = looking.changes(standing.office, standing.by, standing.places["A"], "user", FIRST)
    assert {(row.sourced_id, row.gone) for row in since.rows} == {("new", False), ("p2", True)}


@pytest.mark.parametrize("look", [looking.as_it_was, looking.changes])
def test_what_is_older_than_is_kept_is_refused_and_not_half_answered(standing: World, look: Any) -> None:
    standing.deliver(night(changed))
    standing.clock.forward(days=standing.office.settings.history_days)
    standing.deliver(night())
    with pytest.raises(Refused) as refused:
        look(standing.office, standing.by, standing.places["A"], "user", FIRST)
    assert refused.value.reason is errors.SRC_HISTORY
    with pytest.raises(Refused) as refused:
        look(standing.office, standing.by, standing.places["A"], "user", date(2020, 1, 1))
    assert refused.value.reason is errors.SRC_HISTORY


@pytest.mark.parametrize("look", [looking.as_it_was, looking.changes])
def test_a_day_before_the_first_roster_is_told_from_one_that_is_not_kept(standing: World, look: Any) -> None:
    with pytest.raises(Refused, match=f"the first roster of this school is of {FIRST}") as refused:
        look(standing.office, standing.by, standing.places["A"], "user", FIRST - timedelta(days=1))
    assert refused.value.reason is errors.SRC_HISTORY
    with pytest.raises(Refused, match="rosters are kept for 400 days"):
        look(standing.office, standing.by, standing.places["A"], "user", FIRST - timedelta(days=500))


def test_older_versions_are_forgotten_and_the_one_that_serves_is_not(standing: World) -> None:
    standing.deliver(night(changed))
    standing.clock.forward(days=standing.office.settings.history_days + 1)
    standing.deliver(night(changed, to.cells("users.csv", "p4", givenName="Late")))
    before = live(standing)
    there = as_it_was(standing, "user", standing.clock.at.date() - timedelta(days=2))
    assert looking.forget(standing.office, standing.by.district) > 0
    assert live(standing) == before
    assert as_it_was(standing, "user", standing.clock.at.date() - timedelta(days=2)) == there
    with standing.office.database.open_school(standing.places["A"]) as session:
        assert history.kept_from(session) == 2
        assert roster.current_version(session) == 3
    assert undo(standing).state == "published"
    assert (undo(standing, to=None).state, looking.forget(standing.office, standing.by.district)) == ("published", 0)


def test_the_timetable_forgets_every_night_in_every_district(standing: World) -> None:
    other = World(standing.office, standing.clock).unseeded().standing(PUPILS)
    for world in (standing, other):
        world.deliver(night(changed))
    standing.clock.forward(days=standing.office.settings.history_days + 1)
    for world in (standing, other):
        world.deliver(night(changed, to.cells("users.csv", "p4", givenName="Late")))
    hold = hold_of(standing, standing.deliver(night(everybody_changed)).hold["hold"])
    standing.clock.at = hold.expires_at
    with standing.office.database.open_intake(standing.by.district) as session:
        standing.parts.defer(session, "forget_rosters", timestamp=0)
    work(standing.parts, once=True)
    for world in (standing, other):
        with world.office.database.open_school(world.places["A"]) as session:
            assert history.kept_from(session) == 2
    assert hold_of(standing, hold.hold).state == "expired"
    with standing.office.database.open_intake(standing.by.district) as session:
        assert holds.waiting(session, sources.number(session, standing.source), hold.hold) == 0


def test_what_a_hold_keeps_back_is_not_forgotten_under_a_run(standing: World) -> None:
    hold = hold_of(standing, standing.deliver(night(everybody_changed)).hold["hold"])
    standing.clock.at = hold.expires_at
    with standing.office.database.open_intake(standing.by.district) as session:
        assert sources.lock(session, standing.source)
        looking.forget(standing.office, standing.by.district)
    assert hold_of(standing, hold.hold).state == "open"
    looking.forget(standing.office, standing.by.district)
    assert hold_of(standing, hold.hold).state == "expired"


def test_a_walk_over_a_version_that_is_not_kept_any_more_is_refused(standing: World) -> None:
    reader = standing.reader("A")
    first = reader.read("students?limit=3")
    following = next(part for part in first.headers["Link"].split(", ") if 'rel="next"' in part)
    standing.deliver(night(changed))
    standing.clock.forward(days=31)
    month = replace(standing.office, settings=replace(standing.office.settings, history_days=30))
    looking.forget(month, standing.by.district)
    answer = reader.sign_in().get(following.partition("8080")[2].partition(">")[0])
    assert (answer.status_code, "SRC_HISTORY" in answer.text) == (422, True)


# --- the law of differences ------------------------------------------------------------------------


def test_a_version_and_its_changes_are_the_next_version(standing: World) -> None:
    standing.deliver(night(changed))
    standing.clock.forward(days=1)
    standing.deliver(night(gone("p4"), to.cells("users.csv", "p8", givenName="New")))
    for org, place in standing.places.items():
        with standing.office.database.open_school(place) as session:
            newest = versions(standing)[org]
            for kind in PROJECTED:
                for since in range(newest + 1):
                    for until in range(since, newest + 1):
                        assert applied(session, kind.name, since, until) == at_version(session, kind.name, until)


def at_version(session: Any, kind: str, version: int) -> dict[str, Any]:
    return {row.sourced_id: content_of(row) for row in history.rows(session, kind, version)}


def applied(session: Any, kind: str, since: int, version: int) -> dict[str, Any]:
    """A version with what changed up to another."""
    found = at_version(session, kind, since)
    for row in history.changes_since(session, kind, since, version):
        body = {k: v for k, v in row._asdict().items() if k not in ("gone", "modified")}
        found.pop(row.sourced_id, None)
        if not row.gone:
            found[row.sourced_id] = body
    return found


def test_the_run_that_counts_is_the_last_accepted_one(standing: World) -> None:
    accepted = standing.deliver(night(changed)).run
    standing.clock.forward(hours=1)
    standing.deliver(night(everybody_changed))
    with standing.office.database.open_intake(standing.by.district) as session:
        assert runs.last_accepted(session, standing.source).run == accepted
