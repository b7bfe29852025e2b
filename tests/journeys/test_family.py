"""A family asks what left about its child, refuses, and asks for deletion, with a code from the school."""

from __future__ import annotations

import re
from html import unescape

import pytest

from gateway.errors import Refused
from gateway.flows import on_file, rights_request
from gateway.identity import staff
from mappings.elements import label
from tests.worlds import World


class Parent:
    """The parent of one pupil of school A, with a code."""

    def __init__(self, world: World, pupil: str = "p0", school: str = "A") -> None:
        self.world = world
        self.code, _ = rights_request.issue_code(world.office, world.by, world.places[school], pupil)

    def ask(self, do: str = "look", status: int = 200, **form: str) -> str:
        answer = self.world.client.post("/family", data={"code": self.code, "do": do, **form})
        assert answer.status_code == status, answer.text
        return answer.text


def test_nothing_has_left_at_first(world):
    page = Parent(world.standing()).ask()
    assert "Nothing has left the school about your child" in page
    assert "Givenp0 Familyp0" in page
    assert "School A" in page


def test_who_got_what_when_and_under_which_agreement(world):
    world.standing()
    world.reader("A").read("students")
    world.reader("A", name="Second", schedule=("SNM",)).read("students?limit=1&offset=99")
    page = Parent(world).ask()
    assert "Reader" in page
    assert world.agreements["Reader"] in page
    assert "first name" in page
    assert "e-mail address" not in page
    assert "privacy@assessment.example" in page
    assert "Second" not in page  # its page held nobody


def test_every_read_is_counted_and_others_children_are_not(world):
    reader = world.standing().reader("A")
    for _ in range(3):
        reader.read("students")
    assert "3 times" in Parent(world).ask()
    assert "Nothing has left" in Parent(world, "p1", "B").ask()


def test_the_report_itself_is_in_the_ledger_but_not_in_the_report(world):
    parent = Parent(world.standing())
    parent.ask()
    assert "Nothing has left" in parent.ask()
    reports = [e for e in world.ledger("A") if e.get("operation") == "family.report"]
    assert [e["basis"] for e in reports] == ["family_request"] * 2


def test_a_code_opens_one_child_at_one_school_for_a_while(world):
    world.standing()
    parent = Parent(world)
    assert "School B" not in parent.ask()
    world.clock.forward(days=30, seconds=1)
    assert "ACT_FAMILY_UNVERIFIED" in parent.ask(status=403)


@pytest.mark.parametrize("code", ["", "x", "x" * 43, "' OR 1=1", "\u202e"])
def test_a_wrong_code_says_nothing(world, code):
    parent = Parent(world.standing())
    parent.code = code
    page = parent.ask(status=403)
    assert "ACT_FAMILY_UNVERIFIED" in page
    assert "Given" not in page


def test_a_deed_that_does_not_exist_is_refused(world):
    assert "REQ_INVALID" in Parent(world.standing()).ask("sell", status=422)


def test_a_deletion_makes_a_task_for_every_past_recipient(world):
    world.standing()
    world.reader("A").read("students")
    world.reader("A", name="Second").read("enrollments")
    world.reader("A", name="Third")
    parent = Parent(world)
    assert "2 companies were given the task" in parent.ask("delete")
    with world.office.database.open_school(world.places["A"]) as session:
        from gateway.store import rights

        assert sorted(t.vendor_name for t in rights.tasks(session)) == ["Reader", "Second"]
        (request,) = rights.requests(session)
    assert (request.kind, request.state) == ("delete", "open")
    assert (request.due_at - request.opened_at).days == 30
    kinds = [e["type"] for e in world.ledger("A")]
    assert kinds.count("task") == 2
    assert kinds.count("rights") == 1


def test_a_refusal_is_shown_and_dated(world):
    parent = Parent(world.standing())
    parent.ask("refuse")
    page = parent.ask()
    assert "You refused: no further use of your child" in page
    assert world.clock.at.date().isoformat() in page


def test_a_refusal_of_one_company_names_its_agreement(world):
    world.standing()
    world.reader("A").read("students")
    parent = Parent(world)
    page = parent.ask()
    agreement = re.search(r'name="agreement" value="([^"]+)"', page)[1]
    assert agreement == world.agreements["Reader"]
    assert f"nothing more under {agreement}" in parent.ask("refuse", agreement=agreement)


@pytest.mark.parametrize("scope", ["use", "disclose"])
def test_a_family_takes_its_refusal_back_by_an_answer_of_a_later_day(world, scope):
    reader = world.standing().reader("A")
    count = len(reader.read("students").json["users"])
    agreement = {"agreement": world.agreements["Reader"]} if scope == "disclose" else {}
    parent = Parent(world)
    parent.ask("refuse", **agreement)
    assert len(reader.read("students").json["users"]) == count - 1
    (no,) = on_file.latest(world.office, world.by, "consent")
    world.clock.forward(hours=30)
    said = {"number": no.consent, "school": "School A", "pupil": "p0", "scope": scope, "status": "given",
            "grantor": "parent", "method": "signed form", "answered": world.clock.at.date().isoformat(),
            "document": "0" * 64} | agreement  # fmt: skip
    assert on_file.record(world.office, world.by, "consent", said) == no.consent
    assert len(reader.sign_in().read("students").json["users"]) == count
    assert "You refused" not in parent.ask()


def test_only_the_schools_own_staff_issue_codes(world):
    from gateway.flows import onboarding

    world.standing()
    _, token = onboarding.add_staff(world.office, world.by, "S. Bee", "school_admin", world.refs["B"])
    bee = staff.person(world.office.database, token, world.clock.at)
    assert rights_request.issue_code(world.office, bee, world.places["B"], "p1")[1] == "Givenp1 Familyp1"
    for place, pupil, code in (
        ("A", "p0", "ACT_NOT_STAFF"),
        ("B", "p2", "OWN_NOT_ASSOCIATED"),
        ("B", "tB", "OWN_NOT_ASSOCIATED"),
    ):
        with pytest.raises(Refused) as refused:
            rights_request.issue_code(world.office, bee, world.places[place], pupil)
        assert refused.value.reason.code == code


def test_after_the_child_has_left_the_school_the_report_still_answers_nothing_of_others(world):
    parent = Parent(world.standing(40), "p2")
    from tests.deliveries import two_schools

    night = two_schools(40).without("users.csv", "p2").without("roles.csv", "r.p2.A").without("demographics.csv", "p2")
    assert world.deliver(night.without("enrollments.csv", "e.kA.p2")).state == "published"
    assert "OWN_NOT_ASSOCIATED" in parent.ask(status=404)


def test_every_answer_and_opting_out_is_shown_in_words(world):
    world.standing()
    at = {"school": "School A", "pupil": "p0"}
    told = {"method": "form", "answered": world.clock.at, "document": "0" * 64}
    for status in ("pending", "given", "refused", "withdrawn"):
        for scope in ("use", "disclose"):
            world.file("consent", **at, scope=scope, status=status, grantor="parent", **told)
    world.file("opt_out", **at, category="lms")
    world.file("opt_out", **at, status="ended")
    page = Parent(world).ask()
    for said in (
        "You were asked: use of your child&#39;s data here", "You agreed: disclosure to any company",
        "You refused: nothing more to any company", "You withdrew: no further use of your child&#39;s data",
        "You opted out of companies of the kind lms", "You no longer opt out of any company",
    ):  # fmt: skip
        assert said in page


def test_a_parent_reads_of_each_company_what_it_got_and_nothing_it_did_not(world):
    """The words of the page are those of the elements that left, for each agreement, and no others."""
    world.standing()
    schedules = {"Reader": ("person.name.given", "person.name.family", "ENR"), "Second": ("SNM", "ENR", "DEM")}
    for name, schedule in schedules.items():
        world.reader("A", name=name, schedule=schedule).read("students")
    _, *cards = Parent(world).ask().split('<section class="card">')
    sent = [set(e["elements"]) for e in world.ledger("A") if e.get("operation") == "roster.read"]
    told = [set(unescape(re.search("What it got: (.*)[.]</p>", card)[1]).split("; ")) for card in cards]
    assert len(told) == 2
    assert sorted(map(sorted, told)) == sorted(sorted({label(e) for e in elements}) for elements in sent)
    assert told[0] != told[1]
