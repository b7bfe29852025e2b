"""Profiles of makes of SIS: each line says how it is known, and one that is not of the shape is found here."""

from __future__ import annotations

import pytest

from mappings.products import sis as makes
from mappings.products.lines import EVIDENCE, Line, ProfileError
from mappings.products.sis.shape import ASKED, HABITS, METHODS, read
from tests.mappings.spoiling import FACT, document, said


def lines(name: str) -> list[Line]:
    one = makes.sis(name)
    return [line for part in (one.setup, one.service, one.habits) for line in part.values()]


def test_the_makes_that_districts_run_are_known():
    wanted = {"classlink", "powerschool", "infinitecampus", "skyward", "aeries", "synergy", "aspen", "clever", "edfi"}
    assert makes.names() == wanted | {"oneroster", "oneroster11"}


@pytest.mark.parametrize("name", sorted(makes.names()))
def test_each_line_says_how_it_is_known_and_where(name):
    assert lines(name)
    assert {line.evidence for line in lines(name)} <= set(EVIDENCE)
    assert [line for line in lines(name) if len(line.source) < 12] == []


@pytest.mark.parametrize("name", sorted(makes.names()))
def test_nobody_types_more_than_three_fields(name):
    known = makes.sis(name)
    assert not known.pulled or 1 <= len(known.asks) <= 3
    assert set(known.asks if known.pulled else []) <= set(ASKED)
    assert set(known.says("methods", [])) <= set(METHODS)


def test_a_make_nobody_knows_is_treated_as_the_standard_says():
    assert makes.sis("frogos") is makes.sis("frogos")
    assert makes.sis("frogos").service == makes.sis(makes.DEFAULT).service


def test_every_habit_has_a_sentence_that_takes_what_is_said():
    for name in makes.names():
        for key, line in makes.sis(name).habits.items():
            assert "{}" not in HABITS[key].say(line)


SPOILED = {
    "unknown section": said("colour", {}),
    "missing section": said("habits", None),
    "empty label": said("label", " "),
    "no evidence": said("service.version.evidence", None),
    "another evidence word": said("service.version.evidence", "assumed"),
    "another version": said("service.version.value", "1.0"),
    "no method": said("service.methods", None),
    "another method": said("service.methods.value", ["kerberos"]),
    "no number": said("service.page_size.value", True),
    "neither yes nor no": said("service.sort.value", "yes"),
    "unknown service line": said("service.mood", {"value": 1, **FACT}),
    "asks nothing": said("setup.asks", None),
    "asks what there is no option for": said("setup.asks.value", ["site", "shoe_size"]),
    "asks twice": said("setup.asks.value", ["site", "site"]),
    "asked and known": said("setup.asks.value", ["site", "url"]),
    "neither asked nor known": said("setup.url", None),
    "a template nobody is asked for": said("setup.token_url.value", "{origin}/token"),
    "no address": said("setup.url.value", "http://x.example"),
    "a habit there is no sentence for": said("habits.hums", {"value": True, **FACT}),
    "a habit denied": said("habits.off_peak.value", False),
    "no service and no reason": said("service", {}),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_profile_that_is_not_of_the_shape_is_refused(how):
    profile = document("mappings.products.sis", "aeries")
    SPOILED[how](profile)
    with pytest.raises(ProfileError, match="aeries"):
        read("aeries", profile)
