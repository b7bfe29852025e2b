"""The register of data elements: what may leave at all, in words a parent reads."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import elements
from mappings.elements import CATEGORIES, OTHER, REGISTER, Sensitivity, element, expand, label

every_element = pytest.mark.parametrize("one", [pytest.param(e, id=e.id) for e in REGISTER.values()])
CALM = settings(max_examples=100, deadline=None, derandomize=True)
by_category = [category for category in CATEGORIES if category != OTHER]
names = st.sampled_from([*REGISTER, *by_category])


def test_ids_are_unique():
    listed = [one.id for one in elements._ALL]
    assert sorted(listed) == sorted(set(listed))
    assert list(REGISTER) == listed


@every_element
def test_an_element_is_well_formed(one):
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+)+", one.id)
    assert one.category in CATEGORIES
    assert one.sensitivity in Sensitivity


@every_element
def test_a_parent_can_read_what_an_element_is_called(one):
    """Words only: no underscores, no identifiers, no capitals but those of an abbreviation."""
    assert label(one.id) == one.label
    assert re.fullmatch(r"[^\W_](?:[^\W_]|[ ,:'\-])+", one.label)
    assert not re.search(r"[a-z][A-Z]|\b[A-Z][a-z]", one.label)


def test_no_two_elements_are_called_the_same():
    assert len({one.label for one in REGISTER.values()}) == len(REGISTER)


@every_element
def test_nothing_is_kept_for_ever(one):
    assert type(one.retention_days) is int
    assert 0 < one.retention_days <= 3653


@every_element
def test_what_an_element_is_derived_from_exists_and_is_not_derived_itself(one):
    for source in one.derived_from:
        assert source in REGISTER
        assert not REGISTER[source].derived_from
        assert one.sensitivity >= REGISTER[source].sensitivity
        assert one.never_export or not REGISTER[source].never_export


@every_element
def test_technical_and_usage_data_never_leave(one):
    assert one.never_export or not one.technical
    assert one.technical == (one.category in ("ATM", "AUS"))


@pytest.mark.parametrize("name", ["person.password", "person.national_id", "result.private_note", "technical.address",
                                  "technical.usage", "record.extension"])  # fmt: skip
def test_what_has_no_path_out_at_all(name):
    assert REGISTER[name].never_export


@pytest.mark.parametrize("category", by_category)
def test_a_category_unlocks_all_of_it_but_what_may_never_leave(category):
    inside = {one.id for one in REGISTER.values() if one.category == category}
    assert expand([category]) == {name for name in inside if not REGISTER[name].never_export}


def test_what_is_other_is_unlocked_by_its_own_name_only():
    others = {one.id for one in REGISTER.values() if one.category == OTHER}
    assert {"person.picture", "launch.custom", "activity.description"} <= others
    for one in others:
        assert expand([one]) == {one}
    with pytest.raises(KeyError, match=OTHER):
        expand([OTHER])


USED = "ATM AUS ASM COM DEM ENR PGI SCH SCI SID SNM SAP TRN OTH NON"
UNUSED = "ATT CON PGC PGN SPI SPM SSR SWK TRP"


def test_the_categories_are_those_of_a_schedule_of_data():
    """Codes and names of the categories of the NDPA's schedule; one without an element of ours unlocks nothing."""
    used = {one.category for one in REGISTER.values()}
    assert used == set(USED.split())
    assert set(CATEGORIES) - used == set(UNUSED.split())
    assert expand(set(CATEGORIES) - used) == frozenset()


# What agreements, decisions and ledgers have named: never taken out.
KEPT = """
class.section course.catalogue demographics.birth_date demographics.birth_place demographics.race demographics.residence
demographics.sex enrollment.dates enrollment.membership family.child family.disclosures launch.context org.directory
activity.title person.email person.enabled person.grade person.guardians person.identifier person.identifiers
person.locale person.lti_subject person.name.family person.name.full person.name.given person.name.middle
person.name.preferred person.national_id person.password person.phone person.pronouns person.role person.username
record.alias record.source_id record.version result.comment result.level result.private_note result.progress
result.score result.time session.calendar technical.address technical.usage transcript.competencies
transcript.identity
"""


def test_no_id_that_was_ever_written_down_is_gone():
    assert [name for name in KEPT.split() if name not in REGISTER] == []


def test_what_leaves_without_an_agreement_is_about_no_pupil():
    """The category "no student data" is free: nothing of any sensitivity is in it but a family's own report."""
    free = {one.id for one in REGISTER.values() if one.category == "NON" and one.sensitivity > Sensitivity.NONE}
    assert free == {"family.disclosures"}


@every_element
def test_what_never_leaves_is_kept_shortest_and_what_is_delicate_no_longer_than_the_rest(one):
    if one.never_export:
        assert one.retention_days <= 30
    if one.sensitivity is Sensitivity.HIGH and one.category != "ASM":
        assert one.retention_days <= 180


@CALM
@given(st.lists(names))
def test_a_schedule_unlocks_what_each_of_its_names_does(schedule):
    assert expand(schedule) == frozenset().union(*(expand([name]) for name in schedule))
    assert expand(schedule) <= set(REGISTER)


@CALM
@given(st.lists(names), st.text(max_size=12).filter(lambda text: text not in REGISTER and text not in by_category))
def test_an_unknown_name_unlocks_nothing_and_says_which(schedule, unknown):
    with pytest.raises(KeyError, match=re.escape(repr(unknown))):
        expand([*schedule, unknown])


@pytest.mark.parametrize(
    "unknown", ["", "OTH", "other", "person", "person.name", "snm", "PERSON.EMAIL", "person.email "]
)
def test_no_field_and_no_label_for_an_unknown_element(unknown):
    for look in (element, label, lambda name: expand([name])):
        with pytest.raises(KeyError):
            look(unknown)


@every_element
def test_a_field_names_exactly_one_element(one):
    assert element(one.id) == {"element": one.id}
    assert element(one.id, column="x", shape="text") == {"element": one.id, "column": "x", "shape": "text"}


def test_the_register_cannot_be_changed():
    with pytest.raises(TypeError):
        REGISTER["person.shoe"] = REGISTER["person.email"]
    with pytest.raises(AttributeError):
        REGISTER["person.password"].never_export = False
