"""What is brought in: elements that an agreement names, pupils whom it lets in; the rest is read past and counted."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.flows import on_file, onboarding, rosters
from gateway.report_text import lines
from gateway.store import sources
from tests.deliveries import Delivery, two_schools
from tests.refused.spoil import content, live
from tests.worlds import COLLECTED, World

PEOPLE = 12
SECRET, ADDRESS = "0x5ec2e7-passw0rd", "p1@pupils.example"
FRAME = {"sourced_id", "enabled", "roles", "is_pupil"}


def delivery(**pupil: str) -> Delivery:
    """Two schools whose source sends more than anybody asked for."""
    made = two_schools(PEOPLE)
    told = {"phone": "555-0100", "sms": "555-0101", "identifier": "77", "password": SECRET, "pronouns": "they"}
    made.row("users.csv", "p1").update(told | pupil)
    return made


def agreed(world: World, *schedule: str, at: tuple[str, ...] = ("A", "B"), **more: Any) -> World:
    for org in at:
        if org not in world.refs:
            world.onboard(org, covered=False)
    world.agree(f"SIS {len(world.agreements)}", "sis", schedule, ("roster.import",), ("rostering",), at, directed=False,
                **more)  # fmt: skip
    return world


def renewed(world: World, *schedule: str, at: tuple[str, ...] = ("A", "B"), **more: Any) -> None:
    """The agreement in force ends; another begins."""
    on_file.end(world.office, world.by, "agreement", list(world.agreements.values())[-1])
    agreed(world, *schedule, at=at, **more)


def taken(world: World, path: Any) -> rosters.Report:
    """Bring a package in; a second person releases what a guard holds."""
    report = world.sync(path)
    if report.state == "held":
        second, _ = onboarding.add_staff(world.office, world.by, "S. Second", "district_admin", None)
        report = rosters.release(world.office, world.by.district, report.run, second)
        assert world.sync(path).state == "unchanged"
    return report


def of(world: World, org: str, person: str) -> dict[str, Any]:
    return {name: value for name, value in content(live(world)[org, "user", person]).items() if value is not None}


# --- elements --------------------------------------------------------------------------------------


def test_only_what_an_agreement_names_is_brought_in(world: World) -> None:
    agreed(world.unseeded(), "SNM").deliver(delivery())
    assert set(of(world, "B", "p1")) == {"given_name", "family_name"} | FRAME
    assert not [at for at in live(world) if at[1] == "demographics"]


def test_the_frame_of_a_roster_needs_no_other_word(world: World) -> None:
    """Who belongs where, without a name: an agreement to import is one for that."""
    report = agreed(world.unseeded(), "ASM").deliver(delivery())
    assert report.state == "published"
    assert set(of(world, "B", "p1")) == FRAME
    assert live(world)["B", "class", "kB"].title == "Class kB"


def test_what_is_read_past_is_counted_and_said(world: World) -> None:
    report = agreed(world.unseeded(), "SNM", "ENR", "SCH", "SID").deliver(delivery())
    dropped = {(d["file"], d["column"]): (d["element"], d["lines"]) for d in report.dropped}
    people = len(delivery().rows["users.csv"])
    assert dropped["users.csv", "email"] == ("person.email", people)
    assert dropped["users.csv", "pronouns"] == ("person.pronouns", people)
    assert dropped["demographics.csv", "birthDate"] == ("demographics.birth_date", PEOPLE)
    assert ("users.csv", "username") not in dropped
    text = "\n".join(lines(report, "sis"))
    assert "person.email: users.csv email" in text
    assert "no agreement names them" in text


def test_what_is_read_past_is_not_judged(world: World) -> None:
    """Nobody looks at a value that nobody agreed to collect, however wrong it is."""
    bad = delivery(phone="5" * 5000)
    other = World(world.office, world.clock).unseeded().onboard("A", "B")
    assert "CSV_VALUE_LENGTH" in {fault.code for fault in other.deliver(bad).faults}
    assert agreed(world.unseeded(), "SNM").deliver(bad).faults == []


def test_nothing_of_what_is_read_past_is_in_the_database(world: World) -> None:
    agreed(world.unseeded(), "SNM").deliver(delivery())
    whole = world.office.database
    with whole.open_intake(world.by.district) as session:
        number = sources.number(session, world.source)
        said = session.rows("SELECT u::text AS row FROM staging.user u WHERE source = %(n)s", n=number)
    text = "".join(row.row for row in said)
    assert "Givenp1" in text
    assert ADDRESS not in text
    assert SECRET not in text


def test_a_night_with_columns_read_past_knows_its_rows_again(world: World) -> None:
    agreed(world.unseeded(), "SNM").deliver(delivery())
    again = world.deliver(delivery(email="changed@pupils.example", phone="555-0199"))
    assert again.state == "unchanged"
    assert all(file["unchanged"] == file["rows"] for file in again.files)


@pytest.mark.parametrize("quoted", [False, True], ids=["plain", "quoted"])
def test_a_wider_agreement_brings_in_what_was_read_past_and_a_narrower_one_lets_go(world: World, quoted: bool) -> None:
    made = delivery(**({"givenName": 'Ann "A"'} if quoted else {}))
    path = made.zip(world.office.settings.instance.parent / "one.zip")
    agreed(world.unseeded(), "SNM").sync(path)
    renewed(world, *COLLECTED)
    assert taken(world, path).state == "published"
    assert of(world, "B", "p1")["email"] == ADDRESS
    assert live(world)["B", "demographics", "p1"].birth_date == date(2010, 3, 4)
    renewed(world, "SNM")
    assert taken(world, path).state == "published"
    assert "email" not in of(world, "B", "p1")
    assert not [at for at in live(world) if at[1] == "demographics"]


def test_one_schools_agreement_collects_nothing_at_another(world: World) -> None:
    agreed(world.unseeded(), *COLLECTED, at=("A",))
    agreed(world, "SNM", at=("B",)).deliver(delivery())
    assert of(world, "A", "p0")["email"] == "p0@pupils.example"  # a pupil of both
    assert "email" not in of(world, "B", "p0")
    assert ("A", "demographics", "p0") in live(world)
    assert ("B", "demographics", "p0") not in live(world)


# --- children --------------------------------------------------------------------------------------


def ages() -> Delivery:
    """Of school A: one of 16, one of 13 (the last year of a child under *strictest*), one who turns 14 tomorrow, one
    whose birth date nobody knows."""
    made = two_schools(PEOPLE)
    for who, born in (("old", "2010-01-01"), ("child", "2013-01-01"), ("soon", "2012-11-03"), ("unknown", "")):
        made.person(who, "student", "A", born=born).enroll(who, "kA", "A")
    return made


def pupils(world: World, org: str = "A") -> set[str]:
    return {at[2] for at in live(world, org) if at[1] == "user"} & {"old", "child", "soon", "unknown"}


def test_children_come_in_only_where_the_school_agreed_for_them(world: World) -> None:
    agreed(world.unseeded(), *COLLECTED, school_agent=False)
    report = world.deliver(ages())
    assert (report.state, pupils(world)) == ("published", {"old"})
    assert report.children == [{"school": world.refs["A"], "pupils": 3, "relatives": 0}]
    assert "AGE_CHILD_NO_SCHOOL_AGREEMENT" in "\n".join(lines(report, "sis"))
    mine = {at[2] for at in live(world, "A") if at[1] == "enrollment"}
    assert "e.kA.old" in mine
    assert not mine & {"e.kA.child", "e.kA.soon", "e.kA.unknown"}
    assert "child" not in {at[2] for at in live(world, "A") if at[1] == "demographics"}
    assert ("A", "user", "tA") in live(world)


def test_a_pupil_grows_up_without_a_word_of_the_source(world: World) -> None:
    agreed(world.unseeded(), *COLLECTED, school_agent=False).deliver(ages())
    world.clock.forward(days=1)
    assert world.deliver(ages()).state == "published"
    assert pupils(world) == {"old", "soon"}


def test_without_birth_dates_every_pupil_is_a_child(world: World) -> None:
    """Also where another school of the source collects them."""
    agreed(world.unseeded(), "SNM", "ENR", at=("A",), school_agent=False)
    agreed(world, *COLLECTED, at=("B",)).deliver(ages())
    assert not [at for at in live(world, "A") if at[1] == "user" and at[2].startswith("p")]
    assert ("B", "user", "p0") in live(world)  # a pupil of both


def test_the_age_is_that_of_the_policy_that_governs(world: World) -> None:
    agreed(world.unseeded(), *COLLECTED, school_agent=False)
    on_file.record_policy(world.office, world.by, "source_policy", {"policy": "mastery_track"})  # children up to 12
    world.deliver(ages())
    assert pupils(world) == {"old", "child", "soon"}


def test_an_agreement_for_children_lets_them_in_and_its_end_out(world: World) -> None:
    path = ages().zip(world.office.settings.instance.parent / "one.zip")
    agreed(world.unseeded(), *COLLECTED, school_agent=False).sync(path)
    renewed(world, *COLLECTED)
    assert taken(world, path).state == "published"
    assert pupils(world) == {"old", "child", "soon", "unknown"}
    renewed(world, *COLLECTED, school_agent=False)
    assert taken(world, path).state == "published"
    assert pupils(world) == {"old"}
