"""People who act inside: known by a personal token kept as a hash, entitled by roles at a district or school."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from gateway.errors import Refused
from gateway.flows import onboarding
from gateway.identity import staff
from gateway.settings import Settings
from tests.conftest import world_on
from tests.worlds import Steered, World

ROLES = {
    "district administrator": ("district_admin", None), "privacy officer": ("privacy_officer", None),
    "administrator of A": ("school_admin", "A"), "privacy officer of A": ("privacy_officer", "A"),
    "administrator of B": ("school_admin", "B"),
}  # fmt: skip


@dataclass
class Offices:
    """A district with schools A and B and one person in each role; a second district beside it."""

    world: World
    stranger: World
    admin: psycopg.Connection[Any]
    tokens: dict[str, str] = field(default_factory=dict)

    def knows(self, token: str) -> staff.Person:
        return staff.person(self.world.office.database, token, self.world.clock.at)

    def person(self, who: str) -> staff.Person:
        return self.knows(self.tokens[who])

    def hire(
        self, role: str = "school_admin", org: str | None = "A", by: staff.Person | None = None
    ) -> tuple[str, str]:
        """Add somebody; return the reference and the token."""
        school = self.world.refs[org] if org else None
        return onboarding.add_staff(self.world.office, by or self.world.by, f"The {role}", role, school)


@pytest.fixture(scope="module")
def offices(addresses: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offices]:
    folder = tmp_path_factory.mktemp("staff") / "instance"
    settings = Settings(folder, "https://gateway.example", "", "", "", False, 0, 256)
    clock, database = Steered(datetime(2026, 11, 2, 9, 0, tzinfo=UTC)), conninfo_to_dict(addresses.owner)["dbname"]
    with (
        world_on(addresses, settings, clock) as world,
        psycopg.connect(addresses.admin, dbname=database, autocommit=True) as admin,
    ):
        made = Offices(world.onboard("A", "B"), World(world.office, clock).onboard("A"), admin)
        made.tokens = {who: made.hire(role, org)[1] for who, (role, org) in ROLES.items()}
        yield made


def refusal(act: Any, *arguments: Any) -> str:
    """How an act ends: with nothing, or with the code of a refusal."""
    try:
        act(*arguments)
    except Refused as refused:
        return refused.reason.code
    return ""


# --- tokens ------------------------------------------------------------------------------------------


def test_a_person_is_known_by_the_token_with_name_district_and_roles(offices: Offices) -> None:
    ref, token = offices.hire("privacy_officer", "B")
    known = offices.knows(token)
    assert (known.ref, known.name, known.district) == (ref, "The privacy_officer", offices.world.by.district)
    assert known.schools == {(offices.world.places["B"].school, "privacy_officer")}
    assert known.district_roles == frozenset()
    assert offices.person("district administrator").district_roles == {"district_admin"}


UNKNOWN = {"none": "", "made up": "x" * 43, "a space": " ", "a NUL": "\0", "very long": "x" * 100_000}


@pytest.mark.parametrize("token", UNKNOWN.values(), ids=UNKNOWN)
def test_a_token_that_nobody_was_given_is_nobodys(offices: Offices, token: str) -> None:
    assert refusal(offices.knows, token) == "AUT_STAFF_UNKNOWN"


def test_a_token_that_differs_a_little_or_is_the_hash_of_one_is_nobodys(offices: Offices) -> None:
    _, token = offices.hire()
    digest = hashlib.sha256(token.encode())
    for other in (token[:-1], token + "x", token.swapcase(), f" {token}", digest.hexdigest(), str(digest.digest())):
        assert refusal(offices.knows, other) == "AUT_STAFF_UNKNOWN"


@pytest.mark.parametrize(("days", "code"), [(364, ""), (365, "AUT_STAFF_UNKNOWN"), (366, "AUT_STAFF_UNKNOWN")])
def test_a_token_is_good_for_a_year(offices: Offices, days: int, code: str) -> None:
    _, token = offices.hire()
    later = offices.world.clock.at + timedelta(days=days)
    assert refusal(staff.person, offices.world.office.database, token, later) == code


def test_a_revoked_token_is_nobodys_and_other_tokens_stay(offices: Offices) -> None:
    (ref, token), (_, other) = offices.hire(), offices.hire()
    offices.admin.execute("UPDATE staff_token SET revoked_at = now() WHERE staff = %s", (ref,))
    assert (refusal(offices.knows, token), refusal(offices.knows, other)) == ("AUT_STAFF_UNKNOWN", "")


def test_somebody_who_left_is_nobody(offices: Offices) -> None:
    ref, token = offices.hire()
    offices.admin.execute("UPDATE staff SET status = 'left' WHERE staff = %s", (ref,))
    assert refusal(offices.knows, token) == "AUT_STAFF_UNKNOWN"


def test_somebody_without_a_role_is_known_and_may_do_nothing(offices: Offices) -> None:
    ref, token = offices.hire()
    offices.admin.execute("DELETE FROM school_role WHERE staff = %s", (ref,))
    known, school = offices.knows(token), offices.world.places["A"].school
    acts = (known.acts_for_district, lambda: known.acts_for(school), lambda: known.reads(school))
    assert [refusal(act) for act in acts] == ["ACT_NOT_STAFF"] * 3


def test_a_token_is_kept_as_its_hash_only(offices: Offices) -> None:
    _, token = offices.hire()
    kept = str(offices.admin.execute("SELECT string_agg(t::text, ' ') FROM staff_token t").fetchone()[0])
    assert token not in kept
    assert hashlib.sha256(token.encode()).hexdigest() in kept


# --- roles -------------------------------------------------------------------------------------------

# Who may: act for the district; act for A, for B (as what); look into A, into B.
MAY: dict[str, tuple[bool, str, str, bool, bool]] = {
    "district administrator": (True, "district_admin", "district_admin", True, True),
    "privacy officer": (False, "", "", True, True),
    "administrator of A": (False, "school_admin", "", True, False),
    "privacy officer of A": (False, "", "", True, False),
    "administrator of B": (False, "", "school_admin", False, True),
}


@pytest.mark.parametrize("who", MAY)
def test_a_role_lets_a_person_do_this_and_no_more(offices: Offices, who: str) -> None:
    district, *schools, reads_a, reads_b = MAY[who]
    person, places = offices.person(who), [offices.world.places[org].school for org in "AB"]
    assert refusal(person.acts_for_district) == ("" if district else "ACT_NOT_STAFF")
    for number, role, reads in zip(places, schools, (reads_a, reads_b), strict=True):
        assert refusal(person.acts_for, number) == ("" if role else "ACT_NOT_STAFF")
        assert not role or person.acts_for(number) == role
        assert refusal(person.reads, number) == ("" if reads else "ACT_NOT_STAFF")


def test_a_school_of_another_district_is_no_school_of_this_one(offices: Offices) -> None:
    by, ref = offices.world.by, offices.stranger.refs["A"]
    assert refusal(onboarding.places, offices.world.office, by, [ref]) == "REQ_UNKNOWN"
    assert refusal(onboarding.add_staff, offices.world.office, by, "X", "school_admin", ref) == "REQ_UNKNOWN"


@pytest.mark.parametrize(
    ("who", "role", "org", "code"),
    [
        ("administrator of A", "school_admin", "A", ""),
        ("administrator of A", "school_admin", "B", "ACT_NOT_STAFF"),
        ("administrator of A", "district_admin", None, "ACT_NOT_STAFF"),
        ("privacy officer", "school_admin", "A", "ACT_NOT_STAFF"),
        ("privacy officer", "district_admin", None, "ACT_NOT_STAFF"),
        ("privacy officer of A", "privacy_officer", "A", "ACT_NOT_STAFF"),
        ("district administrator", "district_admin", None, ""),
        ("district administrator", "district_admin", "A", "REQ_INVALID"),
        ("district administrator", "school_admin", None, "REQ_INVALID"),
        ("district administrator", "teacher", "A", "REQ_INVALID"),
    ],
)
def test_only_who_administers_a_place_gives_roles_there(
    offices: Offices, who: str, role: str, org: str | None, code: str
) -> None:
    people = "SELECT (SELECT count(*) FROM staff), (SELECT count(*) FROM staff_token)"
    before = offices.admin.execute(people).fetchone()
    assert refusal(offices.hire, role, org, offices.person(who)) == code
    more = 0 if code else 1
    assert offices.admin.execute(people).fetchone() == tuple(count + more for count in before)


@pytest.mark.parametrize("what", ["school", "source", "vendor"])
def test_two_who_add_one_name_at_once_make_it_once(offices, what):
    office, by, start = offices.world.office, offices.world.by, Barrier(4)
    make: dict[str, Callable[[], str]] = {
        "school": lambda: onboarding.add_school(office, by, "Lincoln", None, None),
        "source": lambda: onboarding.add_source(office, by, "Lincoln", None, None, None, ""),
        "vendor": lambda: onboarding.add_vendor(office, by, "Lincoln", "sis", "sis@example.org", None),
    }

    def add(_n: int) -> str:
        start.wait()
        try:
            return make[what]()[:2]
        except Refused as refused:
            return refused.reason.code

    with ThreadPoolExecutor(4) as pool:
        found = sorted(pool.map(add, range(4)))
    assert found[:3] == ["REQ_CONFLICT"] * 3
    assert found[3] != "REQ_CONFLICT"
