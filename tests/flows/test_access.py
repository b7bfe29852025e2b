"""A school's own people look at its pupils: the school's log says who did, at what and at how many, and not at whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure, explain, on_file, receipts, rights_request, rosters
from gateway.flows.rosters import looking
from tests.flows.test_roster_holds import years_roll
from tests.flows.test_roster_sync import PUPILS, THREE_GONE, gone, night
from tests.refused import spoil as to
from tests.worlds import World


@pytest.fixture
def school(world: World) -> World:
    """Schools A and B; of A two pupils' families have answered, of B one."""
    world.standing()
    world.reader("A").read("students")
    for org, pupil in (("A", "p2"), ("A", "p4"), ("B", "p1")):
        world.file("consent", school=f"School {org}", pupil=pupil, scope="use", status="refused", grantor="parent")
    world.file("opt_out", school="School A", pupil="p2", category="employer")
    return world


def looks(world: World, org: str = "A") -> list[dict[str, Any]]:
    return [one for one in world.ledger(org) if one["type"] == "access"]


def _transfer(world: World) -> str:
    return next(one["id"] for one in world.ledger("A") if one["type"] == "intent")


def as_it_is(world: World, kind: str) -> looking.Look:
    return looking.as_it_was(world.office, world.by, world.places["A"], kind, world.clock.at.date())


LOOKED: dict[str, tuple[Callable[[World], Any], tuple[str, int] | None, tuple[str, int] | None]] = {
    "consents": (lambda w: on_file.listing(w.office, w.by, "consent"), ("answers", 2), ("answers", 1)),
    "opt-outs": (lambda w: on_file.latest(w.office, w.by, "opt_out"), ("answers", 1), None),
    "agreements": (lambda w: on_file.latest(w.office, w.by, "agreement"), None, None),
    "why": (
        lambda w: explain.explain(w.office, w.by, "Reader", "p0", "person.email"), ("decision", 1), ("decision", 1)
    ),
    "whom": (lambda w: explain.pupil_called(w.office, w.by, "p2"), ("decision", 1), None),
    "how many": (lambda w: explain.what_if(w.office, w.by, explain.refusing("p0", None)), None, None),
    "code": (lambda w: rights_request.issue_code(w.office, w.by, w.places["A"], "p2"), ("family", 1), None),
    "receipt": (lambda w: receipts.issue(w.office, w.by, w.places["A"], "p0", _transfer(w)), ("receipt", 1), None),
    "roster": (lambda w: as_it_is(w, "user"), ("roster", 8), None),
    "who is in which class": (lambda w: as_it_is(w, "enrollment"), ("roster", 8), None),
    "classes": (lambda w: as_it_is(w, "class"), None, None),
}  # fmt: skip


@pytest.mark.parametrize(("look", "at_a", "at_b"), LOOKED.values(), ids=list(LOOKED))
def test_who_looks_at_pupils_is_in_the_log_of_each_school_whose_they_are(school, look, at_a, at_b):
    assert look(school)
    for org, wanted in (("A", at_a), ("B", at_b)):
        said = [(one["looked_at"], one["subjects"], one["actor"]) for one in looks(school, org)]
        assert said == ([(*wanted, {"kind": "staff", "ref": school.by.ref})] if wanted else []), org


def test_who_looks_in_vain_has_seen_nobody(school):
    with pytest.raises(Refused):
        explain.explain(school.office, school.by, "Reader", "nobody", "person.email")
    with pytest.raises(Refused):
        explain.pupil_called(school.office, school.by, "nobody")
    assert looks(school) == looks(school, "B") == []


# --- what is shown of a run ------------------------------------------------------------------------


@pytest.fixture
def standing(world: World) -> World:
    return world.unseeded().standing(PUPILS)


def shown(world: World, look: Callable[[], Any]) -> dict[str, list[tuple[str, int]]]:
    """What a look adds to the logs of A and B."""
    before = {org: len(looks(world, org)) for org in "AB"}
    assert look()
    return {org: [(one["looked_at"], one["subjects"]) for one in looks(world, org)[before[org] :]] for org in "AB"}


def test_who_looks_at_a_hold_is_in_the_log_of_each_school_whose_people_are_shown(standing: World) -> None:
    report = standing.deliver(night(THREE_GONE, gone("p1", "p3", "p7", "p9", "p5")))
    assert [school["waiting"]["user"] for school in report.schools] == [4, 5]
    look = lambda: rosters.show(standing.office, standing.by, report.run)  # noqa: E731 - it is called once
    assert shown(standing, look) == {"A": [("roster", 4)], "B": [("roster", 5)]}
    no_rows = lambda: rosters.show(standing.office, standing.by, report.run, 0)  # noqa: E731
    assert shown(standing, no_rows) == {"A": [], "B": []}


def test_who_looks_at_what_would_come_is_in_the_log_of_the_school_it_comes_to(standing: World) -> None:
    arrives = night(years_roll).person("new", "student", "B").enroll("new", "kB.27", "B")
    report = standing.deliver(arrives)
    found, _, rows = rosters.show(standing.office, standing.by, report.run)
    assert (found.kind, {row.person for row in rows if row.sourced_id == "e.kB.27.new"}) == ("everything", {"new"})
    people = {org: {row.person for row in rows if row.person and standing.places[org].school in row.at} for org in "AB"}
    assert people["B"] - people["A"] >= {"new"}
    assert [one["subjects"] for one in looks(standing)] == [len(people["A"])]
    assert [one["subjects"] for one in looks(standing, "B")] == [len(people["B"])]


def test_who_looks_at_what_was_wrong_is_in_the_log_of_each_school_whose_people_are_named(standing: World) -> None:
    bad = [to.cells(file, id_, **cells) for file, id_, cells in (
        ("users.csv", "p2", {"givenName": ""}), ("demographics.csv", "p2", {"birthDate": "soon"}),
        ("enrollments.csv", "e.kA.p5", {"role": "frog"}), ("classes.csv", "kB", {"title": ""}),
    )]  # fmt: skip
    run = standing.deliver(night(*bad).person("stranger", "frog", "B")).run
    office, by = standing.office, standing.by
    assert shown(standing, lambda: looking.faults(office, by, run, 100)) == {"A": [("roster", 2)], "B": [("roster", 1)]}
    assert shown(standing, lambda: looking.faults(office, by, run, 0)) == {"A": [], "B": []}


def test_who_looks_at_who_is_missing_is_in_the_log_of_each_school_whose_they_were(standing: World) -> None:
    run = standing.deliver(night(gone("p5", "p1"))).run
    assert shown(standing, lambda: looking.missing(standing.office, standing.by, run, 100)) == {
        "A": [("roster", 1)], "B": [("roster", 2)],
    }  # fmt: skip


def test_a_look_at_a_run_that_cannot_be_written_down_is_not_shown(standing: World, monkeypatch: Any) -> None:
    report = standing.deliver(night(THREE_GONE))
    office, by = standing.office, standing.by

    def broken(*_: Any, **__: Any) -> None:
        raise Refused(errors.LED_UNAVAILABLE)

    monkeypatch.setattr(disclosure, "event", broken)
    for look in (
        lambda: rosters.show(office, by, report.run),
        lambda: looking.missing(office, by, report.run, 100),
    ):
        with pytest.raises(Refused, match="ledger"):
            look()


def test_a_run_that_is_not_there_is_not_looked_at(standing: World) -> None:
    for look in (looking.faults, looking.missing):
        with pytest.raises(Refused, match="there is no run run_frog"):
            look(standing.office, standing.by, "run_frog", 10)
