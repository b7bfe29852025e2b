"""A person is erased at one school: nothing there leads back to them, old proofs stand, and no other school shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from gateway.embedded import Addresses
from gateway.errors import Refused
from gateway.flows import disclosure, erasure, on_file, onboarding, refusals, replay, rights_request
from gateway.identity import staff
from gateway.ledger import log, proof
from gateway.store.erasure import EMPTIED, HELD, LINKS
from gateway.store.tables import HAS_SCHOOL
from tests.conftest import world_on
from tests.deliveries import two_schools
from tests.journeys.term import Term
from tests.journeys.test_family import Parent
from tests.test_cli import desk, refusal

__all__ = ["desk"]


class Alone:
    """A term in a database of its own, in which everything can be looked through."""

    def __init__(self, term: Term, addresses: Addresses) -> None:
        self.term, self.world, self.addresses = term, term.world, addresses

    def dump(self) -> Iterator[tuple[str, str]]:
        """Every value of every row, as text, with its table; bytes in hex, and as text where they are one."""
        name = self.addresses.owner.rpartition("/")[2].partition("?")[0]
        with psycopg.connect(make_conninfo(self.addresses.admin, dbname=name)) as admin:
            tables = admin.execute(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'staging')"
            ).fetchall()
            for schema, table in tables:
                for row in admin.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table))):
                    yield table, " ".join(map(_text, row))

    def naming(self, *words: str) -> set[str]:
        """The tables that hold one of these words."""
        pattern = re.compile("|".join(rf"(?<![0-9A-Za-z]){re.escape(word)}(?![0-9A-Za-z])" for word in words))
        return {table for table, text in self.dump() if pattern.search(text)}

    def words_of(self, pupil: str) -> list[str]:
        """Everything that leads to a pupil: ids, names, the LMS's and the vendors' names for them, their salt."""
        with self.world.office.database.open_school(self.world.places["A"]) as session:
            aliases = session.rows("SELECT alias FROM alias WHERE district = %(district)s AND sourced_id = %(p)s "
                                   "AND school = %(school)s", p=pupil)  # fmt: skip
            salts = session.rows("SELECT salt FROM subject_key WHERE district = %(district)s AND person_id = %(p)s "
                                 "AND school = %(school)s", p=pupil)  # fmt: skip
        assert aliases
        assert salts
        known = [pupil, f"Given{pupil}", f"Family{pupil}", f"u.{pupil}", f"lms-{pupil}", f"r-{pupil}"]
        found = [*(repr(a.alias) for a in aliases), *(a.alias.hex for a in aliases)]
        return [*known, *found, *(bytes(s.salt).hex() for s in salts)]

    def erase(self, pupil: str, org: str = "A") -> erasure.Erasure:
        place = self.world.places[org]
        self.world.canaries.check()  # who might see what is read from papers that go now
        request, person = erasure.ask(self.world.office, self.world.by, place, pupil)
        assert person == pupil
        return erasure.erase(self.world.office, self.world.by, place, request)

    def bundle(self, folder: Path, name: str) -> Path:
        with self.world.office.database.open_school(self.world.places["A"]) as session:
            note, key = self.world.sign(session)
            proof.write(folder / name, key, note, log.bodies(session))
        return folder / name


def _text(value: Any) -> str:
    if not isinstance(value, bytes):
        return repr(value)
    return f"{value.decode() if value.isascii() else ''} {value.hex()}"


@pytest.fixture
def alone(fresh_database: Any, settings: Any, clock: Any, wire: Any) -> Iterator[Any]:
    """Makes a term for a pupil, in a database of its own."""
    addresses = fresh_database()
    with world_on(addresses, settings, clock) as world:
        yield lambda pupil: Alone(Term(world, wire, pupil), addresses)


def test_nothing_in_the_database_leads_back(alone, tmp_path):
    """p2 is a pupil of school A alone, launched, was graded, read, had a transcript, and left."""
    house = alone("p2")
    words, before = house.words_of("p2"), house.bundle(tmp_path, "before.zip")
    assert {"roster_user", "alias", "launch", "lms_identity", "outbox", "result", "transcript", "decision",
            "subject_key", "idempotency", "user"} <= house.naming(*words)  # fmt: skip
    house.world.leaves("p2")
    done = house.erase("p2")
    assert (done.erased, done.rows > 10) == (True, True)
    assert house.naming(*words) == set()
    after = proof.verify(house.bundle(tmp_path, "after.zip"))
    assert after.size > proof.verify(before).size


def test_what_was_decided_about_them_is_erased_and_the_rest_is_the_same(alone):
    house = alone("p2")
    world = house.world
    decided = [one for one in world.ledger("A") if "facts" in one]
    world.leaves("p2")
    house.erase("p2")
    verdicts = {one["id"]: replay.replay(world.office, world.by, one["id"]).verdict for one in decided}
    about = {one["id"] for one in decided
             if one["operation"] in ("grade.passback", "transcript.deliver", "family.report")}  # fmt: skip
    assert {verdicts[one] for one in about} == {"erased"}
    assert set(verdicts.values()) == {"erased", "same"}


def test_every_recipient_is_told_first(alone):
    house = alone("p2")
    house.world.leaves("p2")
    house.erase("p2")
    entries = house.world.ledger("A")
    tasks = [one for one in entries if one["type"] == "task"]
    assert {one["vendor"] for one in tasks} >= {one["vendor"] for one in entries if one["type"] == "intent"
                                               and one["operation"] == "transcript.deliver"}  # fmt: skip
    assert len(tasks) >= 5
    assert entries[-1]["type"] == "erasure"
    assert (entries[-1]["outcome"], entries[-1].get("reason")) == ("erased", None)


def test_a_record_the_school_keeps_is_deferred_and_erased_two_weeks_after_it_went(alone):
    house = alone("p2")
    words, place, world = house.words_of("p2"), house.world.places["A"], house.world
    done = house.erase("p2")
    assert (done.erased, done.reason.code, done.rows) == (False, "RET_RECORD_KEPT", 0)
    last = world.ledger("A")[-1]
    assert (last["type"], last["outcome"], last["reason"]) == ("erasure", "deferred", "RET_RECORD_KEPT")
    assert house.term.reader.sign_in().read("students").json["users"]
    again = erasure.erase(world.office, world.by, place, done.request)
    assert again.reason is done.reason
    world.leaves("p2")
    world.clock.forward(days=13)
    world.leaves("p2")
    assert "roster_user" in house.naming(*words)  # a night may leave somebody out by mistake
    world.canaries.check()
    world.clock.forward(days=2)
    world.leaves("p2")
    assert house.naming(*words) == set()
    last = world.ledger("A")[-1]
    assert (last["type"], last["outcome"], last["id"]) == ("erasure", "erased", done.request)
    with pytest.raises(Refused, match="REQ_UNKNOWN"):
        erasure.erase(world.office, world.by, place, done.request)


def test_somebody_left_out_for_a_night_keeps_what_the_family_said(world):
    """The family refused, and asked for deletion; the next night the pupil is there again: nothing is forgotten."""
    world.standing()
    reader = world.reader("A")
    rights_request.refuse(world.office, Parent(world, "p2").code)
    request, _ = erasure.ask(world.office, world.by, world.places["A"], "p2")
    assert not erasure.erase(world.office, world.by, world.places["A"], request).erased
    world.leaves("p2")
    world.bring(two_schools(12))
    assert "Givenp2" not in reader.read("students?limit=100").text


def test_a_record_of_the_same_id_stays(world):
    """A SIS may number pupils and classes from 1 each: with pupil 77 not class 77 goes, nor its enrollments."""
    delivery = two_schools(12).class_("77", "A").enroll("p0", "77", "A").enroll("p4", "77", "A")
    world.onboard("A", "B").bring(delivery)
    reader = world.reader("A", schedule=("SNM", "ENR", "SCH", "PGI"))
    before = [reader.read(f"{what}?limit=100").json for what in ("classes", "enrollments")]
    delivery.person("77", "student", "A", born="2010-03-04").enroll("77", "kA", "A")
    world.bring(delivery)
    for name in ("users.csv", "roles.csv", "demographics.csv"):
        delivery.rows[name] = [row for row in delivery.rows[name] if "77" not in row.values()]
    world.bring(delivery.without("enrollments.csv", "e.kA.77"))
    request, _ = erasure.ask(world.office, world.by, world.places["A"], "77")
    assert erasure.erase(world.office, world.by, world.places["A"], request).erased
    after = [reader.sign_in().read(f"{what}?limit=100").json for what in ("classes", "enrollments")]
    assert after == before


def test_one_who_left_is_not_taken_for_another_of_that_number(world):
    """1004 has left; another pupil's local number is 1004: it is not guessed who is meant."""
    gone = two_schools(12).person("1004", "student", "A", born="2010-03-04").enroll("1004", "kA", "A")
    world.onboard("A", "B").bring(gone)
    delivery = two_schools(12)
    delivery.row("users.csv", "p4")["identifier"] = "1004"
    world.bring(delivery)
    with pytest.raises(Refused, match="several"):
        erasure.ask(world.office, world.by, world.places["A"], "1004")


def test_a_mark_of_one_whose_family_refused_goes_too(alone):
    house = alone("p2")
    rights_request.refuse(house.world.office, Parent(house.world, "p2").code)
    batch = house.term.hand_in(p2="proficient", p4="proficient")
    words = house.words_of("p2")
    house.world.leaves("p2")
    house.erase("p2")
    assert house.naming(*words) == set()
    assert house.term.stands(batch).keys() == {"p4"}


@pytest.fixture
def erased(world):
    """Erases a pupil of school A who has left, after their family said something."""

    def erase(pupil: str, say: Callable[[dict[str, str]], Any]) -> Any:
        say({"school": "School A", "pupil": pupil})
        world.leaves(pupil)
        request, _ = erasure.ask(world.office, world.by, world.places["A"], pupil)
        assert erasure.erase(world.office, world.by, world.places["A"], request).erased
        return world

    world.standing()
    return erase


def kept(world: Any, table: str) -> list[Any]:
    with world.office.database.open_school(world.places["A"]) as session:
        return list(session.rows(f"SELECT * FROM {table} WHERE district = %(district)s AND school = %(school)s"))


def test_what_a_family_refused_stays_refused_for_a_pupil_who_comes_again_after_an_erasure(world, erased):
    reader = world.reader("A")
    assert "Givenp2" in reader.read("students?limit=100").text
    erased("p2", lambda p2: world.file("consent", **p2, scope="use", status="refused", grantor="parent"))
    assert kept(world, "consent") == []
    world.bring(two_schools(12))
    seen = reader.sign_in().read("students?limit=100").text
    assert ("Givenp2" in seen, "Givenp4" in seen) == (False, True)
    (again,) = on_file.listing(world.office, world.by, "consent")
    assert (again["person_id"], again["scope"], again["status"], again["version"]) == ("p2", "use", "refused", 1)
    assert kept(world, "kept_refusal") == []
    last = [one for one in world.ledger("A") if one["type"] in ("consent", "import")][-2:]
    assert [(one["type"], one["outcome"]) for one in last] == [("consent", "recorded"), ("import", "published")]
    assert last[0]["id"] == again["consent"]
    world.leaves("p2")
    world.bring(two_schools(12))
    assert len(kept(world, "consent")) == 1


def test_a_pupil_who_comes_again_while_they_are_erased_is_kept_with_what_was_refused(world, monkeypatch):
    world.standing()
    world.file("consent", school="School A", pupil="p2", scope="use", status="refused", grantor="parent")
    world.leaves("p2")
    request, _ = erasure.ask(world.office, world.by, world.places["A"], "p2")
    real = refusals.give_back

    def give_back(*said: Any) -> None:
        """The roster has p2 again, and nobody sees it yet."""
        real(*said)
        erasing.append(pool.submit(erasure.erase, world.office, world.by, world.places["A"], request))
        wait([erasing[0]], timeout=1)

    monkeypatch.setattr(refusals, "give_back", give_back)
    erasing: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as pool:
        world.bring(two_schools(12))
        assert isinstance(erasing[0].exception(10), Refused)
    assert [row.status for row in kept(world, "consent")] == ["refused"]
    assert not erasure.erase(world.office, world.by, world.places["A"], request).erased


def test_refusals_of_one_company_and_of_a_kind_of_them_stay_too_and_a_yes_does_not(world, erased):
    both, until = world.reader("A", name="Both"), world.clock.at + timedelta(days=30)
    agreement = world.agreements["Both"]

    def say(p2: dict[str, str]) -> None:
        for status in ("given", "refused"):
            world.file("consent", **p2, scope="disclose", status=status, grantor="parent", agreement=agreement,
                       method="form", document="0" * 64, answered=world.clock.at, number=f"paper-{status}")  # fmt: skip
        world.file("consent", **p2, scope="disclose", status="given", grantor="parent", method="form",
                   document="0" * 64, answered=world.clock.at)  # fmt: skip
        world.file("opt_out", **p2, category="higher_ed", until=until)
        over = world.file("opt_out", **p2, category="employer")
        on_file.end(world.office, world.by, "opt_out", over)

    erased("p2", say)
    (mark,) = kept(world, "kept_refusal")
    assert [sorted(one) for one in mark.refusals] == [
        ["agreement", "grantor", "kind", "scope", "status", "until"], ["category", "kind", "status", "until"]
    ]  # fmt: skip
    world.bring(two_schools(12))
    said = [(c.status, c.scope, c.agreement, c.evidenced) for c in kept(world, "consent")]
    assert said == [("refused", "disclose", agreement, False)]
    assert [(o.category, o.status, o.valid_until) for o in kept(world, "opt_out")] == [("higher_ed", "active", until)]
    assert "Givenp2" not in both.sign_in().read("students?limit=100").text


def test_of_a_pupil_whose_family_refused_nothing_no_mark_is_kept(world, erased):
    erased("p2", lambda p2: world.file("consent", **p2, scope="use", status="given", grantor="parent", method="form",
                                       document="0" * 64, answered=world.clock.at))  # fmt: skip
    assert kept(world, "kept_refusal") == []


def test_a_mark_says_nothing_at_another_school_and_nothing_of_another_pupil(world, erased):
    """p0 is a pupil of both schools: each keeps what was refused there, under a mark of its own."""
    for org in ("A", "B"):
        world.file("consent", school=f"School {org}", pupil="p0", scope="use", status="refused", grantor="parent")
    world.leaves("p0")
    marks = set()
    for org in ("A", "B"):
        request, _ = erasure.ask(world.office, world.by, world.places[org], "p0")
        assert erasure.erase(world.office, world.by, world.places[org], request).erased
        with world.office.database.open_school(world.places[org]) as session:
            marks |= {
                bytes(row.mark) for row in session.rows("SELECT mark FROM kept_refusal WHERE school = %(school)s")
            }
    assert len(marks) == 2
    only_b = two_schools(12)
    for name in ("roles.csv", "enrollments.csv"):
        only_b.rows[name] = [row for row in only_b.rows[name] if not {"p0", "A"} <= {*row.values()}]
    world.bring(only_b)
    assert len(kept(world, "kept_refusal")) == 1
    assert [one["person_id"] for one in on_file.listing(world.office, world.by, "consent")] == ["p0"]


def test_a_teacher_is_erased_too(alone):
    house = alone("p2")
    house.world.leaves("tA")
    house.erase("tA")
    assert house.naming("tA", "GiventA", "FamilytA", "u.tA", "lms-tA") == set()


@pytest.mark.parametrize("what", ["page", "report"])
def test_who_has_read_of_the_person_meanwhile_writes_nothing(alone, monkeypatch, what):
    """A page or report read before an erasure does not leave after it: it would bring the person back into the log, and
    its recipient would never be told."""
    house, done = alone("p2"), []
    world = house.world
    words = house.words_of("p2")
    late = world.reader("A", name="Late").sign_in()
    world.canaries.check()
    real = disclosure.handles.handles_of_each if what == "page" else disclosure.handles.handles_of

    def meanwhile(*given: Any) -> Any:
        if not done:
            done.append(True)
            world.leaves("p2")
            house.erase("p2")
        return real(*given)

    name = "handles_of_each" if what == "page" else "handles_of"
    monkeypatch.setattr(disclosure.handles, name, meanwhile)
    if what == "page":
        assert late.read("students?limit=100").status_code == 503
    else:
        house.term.parent.ask(status=503)
    assert house.naming(*words) == set()


def test_one_that_cannot_be_carried_out_keeps_no_other_waiting(alone, monkeypatch):
    house = alone("p2")
    world = house.world
    for org, pupil in (("A", "p2"), ("B", "p1")):
        request, _ = erasure.ask(world.office, world.by, world.places[org], pupil)
        assert not erasure.erase(world.office, world.by, world.places[org], request).erased
    world.leaves("p2", "p1")
    world.canaries.check()
    with psycopg.connect(house.addresses.owner) as owner:
        owner.execute("ALTER TABLE ledger_head DISABLE TRIGGER USER")
        owner.execute("ALTER TABLE ledger_head NO FORCE ROW LEVEL SECURITY")
        owner.execute("UPDATE ledger_head SET frontier = '' WHERE school = %s", [world.places["A"].school])
        owner.execute("ALTER TABLE ledger_head FORCE ROW LEVEL SECURITY")
    assert erasure.finish(world.office, world.by.district, world.by.ref) == (0, 0)
    world.clock.forward(days=15)
    assert erasure.finish(world.office, world.by.district, world.by.ref) == (1, 1)


def test_a_pupil_of_two_schools_is_erased_at_one_and_the_other_shows_nothing(alone):
    """p0 leaves school A and stays at B: at A all is gone; at B nothing changed; and A cannot see that there is a B."""
    house = alone("p0")
    world, at_b = house.world, house.term.both

    def of_b() -> list[Any]:
        rows = at_b.sign_in().read("students?limit=100").json["users"]
        return [row for row in rows if row["givenName"] == "Givenp0"]

    def rows_of(org: str) -> dict[str, int]:
        found = {}
        with world.office.database.open_erasure(world.places[org]) as session:
            for table, clause in HELD.items():
                rows = session.rows(f"SELECT 1 FROM {table} WHERE district = %(district)s AND school = %(school)s "
                                    f"AND ({clause})", person="p0")  # fmt: skip
                found[table] = len(rows)
        return found

    world.leaves("p0", at="A")
    kept_b = rows_of("B")
    before = of_b()
    done = house.erase("p0")
    assert done.erased
    assert set(rows_of("A").values()) == {0}
    assert {name: n for name, n in rows_of("B").items() if name != "decision"} == {
        name: n for name, n in kept_b.items() if name != "decision"
    }
    assert of_b() == before
    assert [row["givenName"] for row in before] == ["Givenp0"]


def test_who_is_erased_is_absent_to_everybody(alone):
    house = alone("p2")
    alias = next(row["sourcedId"] for row in house.term.reader.read("students?limit=100").json["users"]
                 if row["givenName"] == "Givenp2")  # fmt: skip
    house.world.leaves("p2")
    house.erase("p2")
    reader = house.term.reader.sign_in()
    absent, erased = reader.read("students/00000000-0000-4000-8000-000000000000"), reader.read(f"students/{alias}")
    same = [{k: v for k, v in one.json.items() if k != "imsx_messageRefIdentifier"} for one in (absent, erased)]
    assert (absent.status_code, erased.status_code) == (404, 404)
    assert same[0].keys() == same[1].keys()
    college = house.world.connect("College", "transcripts.read", schools=["A"]).sign_in()
    assert college.get(f"/v1/transcripts/{house.term.transcript}").json["code"] == "RCP_NOT_ADDRESSEE"


@pytest.mark.parametrize("what", ["a stranger", "another school's staff", "a request of another school", "no request"])
def test_what_cannot_be_erased_is_refused(alone, what):
    house = alone("p2")
    world, place = house.world, house.world.places["A"]
    request, _ = erasure.ask(world.office, world.by, place, "p2")
    _, token = onboarding.add_staff(world.office, world.by, "B. Admin", "school_admin", "School B")
    of_b = staff.person(world.office.database, token, world.clock.at)
    code, act = {
        "a stranger": ("OWN_NOT_ASSOCIATED", lambda: erasure.ask(world.office, world.by, place, "p99")),
        "another school's staff": ("ACT_NOT_STAFF", lambda: erasure.erase(world.office, of_b, place, request)),
        "a request of another school": (
            "REQ_UNKNOWN", lambda: erasure.erase(world.office, world.by, world.places["B"], request)
        ),
        "no request": ("REQ_UNKNOWN", lambda: erasure.erase(world.office, world.by, place, "rq_00000000")),
    }[what]  # fmt: skip
    with pytest.raises(Refused) as refused:
        act()
    assert refused.value.reason.code == code


def test_from_the_command_line(public_world, desk):
    world = public_world.standing()

    def run(*words: str) -> Any:
        return desk.run("family", *words, "--school", "School A", token=world.token)

    said = run("delete", "p2")
    ref = said.stdout.split()[1]
    assert f"Next: schoolgate family erase {ref}" in said.stdout
    deferred = run("erase", ref)
    assert (deferred.exit_code, "Deferred: The school still keeps" in deferred.stdout) == (0, True)
    assert "deferred" in run("requests").stdout
    world.leaves("p2")
    erased = run("erase", ref)
    assert (erased.exit_code, erased.stdout.startswith("Erased: ")) == (0, True)
    assert refusal(run("erase", ref)) == (1, "REQ_UNKNOWN")
    assert refusal(run("delete", "p2")) == (1, "OWN_NOT_ASSOCIATED")


# What of the tables with a school names no person, by column.
NOBODY = {
    "roster_class": "sourced_id", "roster_course": "sourced_id", "roster_org": "sourced_id",
    "roster_session": "sourced_id",
}  # fmt: skip
NAMES = {
    "person_id", "sourced_id", "user", "sub", "subs", "people", "agents", "handles", "payload_key", "holder",
    "directed_by",
}  # fmt: skip


def test_every_column_that_could_name_a_person_is_looked_after():
    """A new table or column that names one fails here until it is erased too, or said to name nobody."""
    named = {(table.name, column.name) for table in HAS_SCHOOL for column in table.c if column.name in NAMES}
    erased = {*HELD, *LINKS}
    looked_after = {(name, column) for name in erased for column in NAMES} | set(EMPTIED.items())
    nobody = set(NOBODY.items()) | {("transfer", "handles")}  # handles lead nowhere without the salt
    assert {one for one in named if one not in looked_after | nobody} == set()
    assert {name for name, _ in named if name in erased} == erased
