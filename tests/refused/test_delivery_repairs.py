"""Named repairs: off until somebody turns one on for a source, kept with it, and said in every run."""

from __future__ import annotations

import pytest

from gateway.errors import Refused
from gateway.flows import onboarding
from mappings.oneroster.repairs import RULES, Repairs, repairs_of, same_but_case
from tests.deliveries import Delivery, two_schools
from tests.refused import spoil as to
from tests.refused.spoil import Spoil, bring, content, live
from tests.worlds import World

CLASSES = "classes.csv"


def semicolons(delivery: Delivery) -> None:
    for name, data in list(delivery.files().items()):
        delivery.raw[name] = data.replace(b",", b";")


def tabs(delivery: Delivery) -> None:
    delivery.row(CLASSES, "kA")["title"] = "Art and Music"
    delivery.raw[CLASSES] = delivery.files()[CLASSES].replace(b",", b"\t").replace(b"Art and", b"Art,")


def cases(delivery: Delivery) -> None:
    for row in delivery.rows["roles.csv"]:
        row["role"] = row["role"].title()
    for row in delivery.rows["users.csv"]:
        row["enabledUser"] = "TRUE"


def marked(delivery: Delivery) -> None:
    for rows in delivery.rows.values():
        for row in rows:
            row |= {"status": "active", "dateLastModified": "2026-10-01T00:00:00Z"}


STARS = to.whole("manifest.csv", lambda data: data.replace(b"roles,", b"roles*,"))
REPAIRED = [
    pytest.param(to.titles(CLASSES, "courseSourcedId", "CourseSourcedID"), "header-case", CLASSES, id="header case"),
    pytest.param(to.titles(CLASSES, "location", "Location"), "header-case", CLASSES, id="optional header"),
    pytest.param(semicolons, "delimiter", CLASSES, id="semicolons"),
    pytest.param(tabs, "delimiter", CLASSES, id="tabs"),
    pytest.param(to.titles(CLASSES, "periods", "periods*"), "starred-names", CLASSES, id="starred column"),
    pytest.param(STARS, "starred-names", "manifest.csv", id="starred file"),
]


def add(world: World, *names: str) -> None:
    for name in names:
        onboarding.repair_source(world.office, world.by, "sis", add=name)


@pytest.mark.parametrize(("spoil", "rule", "file"), REPAIRED)
def test_what_a_repair_would_understand_is_refused_without_it_naming_it(
    world: World, spoil: Spoil, rule: str, file: str
) -> None:
    world.unseeded().standing(12)
    delivery = two_schools(12)
    spoil(delivery)
    report = bring(world, to.packed(delivery.files()))
    assert report.state == "refused"
    assert (report.refusal or {})["repair"] == rule
    before = {at: content(row) for at, row in live(world).items() if at[2] != "kA"}
    add(world, rule)
    repaired = bring(world, to.packed(delivery.files()))
    assert (repaired.state in ("unchanged", "published"), repaired.faults, repaired.repairs) == (True, [], [rule])
    assert [rule in f["repairs"] for f in repaired.files if f["file"] == file] == [True]
    assert {at: content(row) for at, row in live(world).items() if at[2] != "kA"} == before


def test_words_in_another_case_are_read_and_said_every_night(world: World) -> None:
    world.unseeded().standing(12)
    before = {at: content(row) for at, row in live(world).items()}
    delivery = two_schools(12)
    cases(delivery)
    package = to.packed(delivery.files())
    assert bring(world, package).state == "refused"
    add(world, "value-case")
    for _ in range(2):
        report = bring(world, package)
        assert (report.state, report.faults) == ("unchanged", [])
        assert {f["file"] for f in report.files if "value-case" in f["repairs"]} == {"roles.csv", "users.csv"}
    assert {at: content(row) for at, row in live(world).items()} == before
    onboarding.repair_source(world.office, world.by, "sis", remove="value-case")
    assert bring(world, package).state == "refused"


def test_a_source_that_marks_bulk_rows_is_read_as_bulk_where_it_says_so(world: World) -> None:
    world.unseeded().standing(40)
    add(world, "bulk-status")
    delivery = two_schools(40).without("demographics.csv", "p4")
    marked(delivery)
    report = bring(world, to.packed(delivery.files()))
    assert (report.state, {f["mode"] for f in report.files}) == ("published", {"bulk"})
    assert ("A", "demographics", "p4") not in live(world)


def test_local_time_stamps_are_those_of_the_zone_that_is_named(world: World) -> None:
    world.unseeded().standing(12)
    row = two_schools(12).row("users.csv", "p4") | {"status": "active", "dateLastModified": "2026-10-01 08:00:00"}
    delivery = Delivery()
    delivery.rows = {"users.csv": [row | {"givenName": "Renée"}]}
    package = to.packed(delivery.as_delta("users.csv").files())
    assert [f.code for f in bring(world, package).faults] == ["CSV_VALUE_TYPE"]
    add(world, "local-timestamps=America/Denver")
    report = bring(world, package)
    assert (report.state, report.repairs) == ("published", ["local-timestamps=America/Denver"])
    utc = row | {"givenName": "Older", "dateLastModified": "2026-10-01T13:59:59Z"}
    delivery.rows = {"users.csv": [utc]}
    report = bring(world, to.packed(delivery.files()))
    assert [f.code for f in report.faults] == ["CSV_DELTA_OUTDATED"]


def test_a_role_in_another_case_is_that_role_and_no_other() -> None:
    assert same_but_case("TEACHER", ["teacher", "student"]) == "teacher"
    assert same_but_case("teachers", ["teacher", "student"]) is None
    assert same_but_case("x", ["X", "x"]) is None


@pytest.mark.parametrize("spelled", ["bom", " ", "header-case=x", "local-timestamps", "local-timestamps=Mars/Olympus"])
def test_what_is_no_repair_is_refused(world: World, spelled: str) -> None:
    world.onboard("A")
    with pytest.raises(Refused, match="REQ_INVALID"):
        add(world, spelled)
    assert onboarding.repair_source(world.office, world.by, "sis") == []


def test_repairs_are_kept_once_each(world: World) -> None:
    world.onboard("A")
    add(world, "local-timestamps=America/Denver", "header-case", "local-timestamps=Europe/Paris", "header-case")
    assert onboarding.repair_source(world.office, world.by, "sis") == ["header-case", "local-timestamps=Europe/Paris"]
    assert onboarding.repair_source(world.office, world.by, "sis", remove="header-case") == [
        "local-timestamps=Europe/Paris"
    ]
    assert repairs_of(RULES.keys() - {"local-timestamps"}) == Repairs(frozenset(RULES) - {"local-timestamps"})
