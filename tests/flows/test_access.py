"""A school's own people look at its pupils: the school's log says who did, at what and at how many, and not at whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import Refused
from gateway.flows import explain, on_file, receipts, rights_request
from gateway.flows.rosters import looking
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
