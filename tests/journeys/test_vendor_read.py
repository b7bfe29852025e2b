"""Vendor read: one school's rows or several, decided, minimised, paged over one version, each page in the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from gateway.flows import on_file, onboarding, rights_request
from gateway.ledger import handles
from gateway.store import on_file as store
from gateway.store import transfers
from tests.deliveries import two_schools
from tests.worlds import OR, READ, Caller, World


def test_every_answer_says_what_its_reader_may_not_do_with_it(world):
    reader = world.standing().reader("A")
    for path in ("students", "students?limit=1"):
        assert "disclose to nobody else" in reader.read(path).headers["Redisclosure-Notice"]
    assert "Redisclosure-Notice" not in reader.read("students/nobody").headers


def walk(caller: Caller, what: str, limit: int = 3) -> list[dict[str, Any]]:
    """Follow `next` to the end."""
    path, rows = f"{READ}/{what}?limit={limit}", []
    while path:
        answer = caller.get(path)
        assert answer.status_code == 200, answer.text
        (page,) = answer.json.values()
        rows += page
        following = [part for part in answer.headers["Link"].split(", ") if 'rel="next"' in part]
        path = following[0].partition("8080")[2].partition(">")[0] if following else ""
    return rows


def refuse(world: World, school: str, pupil: str, agreement: str | None = None) -> None:
    code, _ = rights_request.issue_code(world.office, world.by, world.places[school], pupil)
    rights_request.refuse(world.office, code, agreement)


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["givenName"].removeprefix("Given") for row in rows}


def test_one_school_is_read_and_nothing_else(world):
    reader = world.standing().reader("A")
    assert names(walk(reader, "students")) == {"p0", "p2", "p4", "p5", "p6", "p8", "p10"}
    assert [c["title"] for c in walk(reader, "classes")] == ["Class kA"]
    assert len(walk(reader, "enrollments")) == 8


def test_only_agreed_elements_are_there(world):
    reader = world.standing().reader("A", schedule=("person.name.given", "person.name.family", "ENR"))
    (student, *_) = reader.read("students").json["users"]
    assert set(student) == {
        "sourcedId", "status", "dateLastModified", "enabledUser", "givenName", "familyName", "roles", "grades"
    }  # fmt: skip
    assert "@" not in reader.read("students").text


def test_ids_are_the_vendors_own_unless_its_agreement_lists_the_sources(world):
    world.standing()
    one, two = world.reader("A"), world.reader("A", name="Second")
    third = world.reader("A", name="Third", schedule=("SNM", "ENR", "record.source_id"))
    first, second = ({u["sourcedId"] for u in walk(c, "students")} for c in (one, two))
    assert first.isdisjoint(second)
    assert {u["sourcedId"] for u in walk(third, "students")} == {"p0", "p2", "p4", "p5", "p6", "p8", "p10"}
    assert first == {e["user"]["sourcedId"] for e in walk(one, "enrollments") if e["role"] == "student"}


def test_every_page_is_in_the_ledger_before_it_is_answered(world):
    reader = world.standing().reader("A")
    walk(reader, "students")
    intents = [e for e in world.ledger("A") if e["type"] == "intent"]
    assert [e["subjects"] for e in intents] == [3, 3, 1]
    assert {e["operation"] for e in intents} == {"roster.read"}
    assert not [e for e in world.ledger("B") if e["type"] in ("intent", "denial")]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_lose_nothing_and_repeat_nothing(world, limit):
    reader = world.standing(23).reader("A", "B")
    for what, count in (("students", 23), ("enrollments", 30), ("classes", 2)):
        ids = [row["sourcedId"] for row in walk(reader, what, limit)]
        assert len(ids) == len(set(ids)) == count
        assert ids == sorted(ids)


@pytest.mark.parametrize("schedule", [("SNM", "ENR", "SCH"), ("SNM", "ENR", "SCH", "record.source_id")])
def test_offsets_and_cursors_agree(world, schedule):
    reader = world.standing(23).reader("A", "B", schedule=schedule)
    walked = [row["sourcedId"] for row in walk(reader, "students", 4)]
    skipped = [u["sourcedId"] for n in range(0, 24, 4)
               for u in reader.read(f"students?limit=4&offset={n}").json["users"]]  # fmt: skip
    assert walked == skipped
    assert reader.read("students?limit=4").headers["X-Total-Count"] == "23"
    assert reader.read("students?offset=99").json == {"users": []}


def test_a_record_of_two_schools_stands_once_with_what_both_hold(world):
    reader = world.standing().reader("A", "B")
    (both,) = (u for u in walk(reader, "students") if u["givenName"] == "Givenp0")
    assert [role["roleType"] for role in both["roles"]] == ["primary", "secondary"]
    assert len({role["org"]["sourcedId"] for role in both["roles"]}) == 2
    alone = world.reader("A", name="Alone")
    (part,) = (u for u in walk(alone, "students") if u["givenName"] == "Givenp0")
    assert [role["roleType"] for role in part["roles"]] == ["primary"]


def test_what_two_schools_hold_together_is_more_than_either_alone(world):
    world.onboard("A", "B")
    night = two_schools().person("gA", "guardian", "A").person("gB", "guardian", "B")
    night.row("users.csv", "p0").update(agentSourcedIds="gA,gB", primaryOrgSourcedId="B")
    assert world.deliver(night).state == "published"
    seen = {}
    for schools in (("A",), ("B",), ("A", "B")):
        reader = world.reader(*schools, name=f"Reader {schools}", schedule=("SNM", "ENR", "PGI", "record.source_id"))
        (one,) = (u for u in walk(reader, "students") if u["sourcedId"] == "p0")
        seen[schools] = ([a["sourcedId"] for a in one.get("agents", [])], one.get("primaryOrg", {}).get("sourcedId"))
        aliased = world.reader(*schools, name=f"Aliased {schools}", schedule=("SNM", "ENR", "PGI"))
        (same,) = (u for u in walk(aliased, "students") if u["givenName"] == "Givenp0")
        assert len(same.get("agents", [])) == len(seen[schools][0])
        assert ("primaryOrg" in same) == (seen[schools][1] is not None)
    assert seen == {("A",): (["gA"], None), ("B",): (["gB"], "B"), ("A", "B"): (["gA", "gB"], "B")}


@pytest.mark.parametrize("what", ["students", "classes", "enrollments"])
def test_a_page_of_more_schools_takes_no_more_statements(world, what):
    counts = set()
    for schools in (("A",), ("A", "B")):
        caller = (world if world.source else world.standing()).reader(*schools, name=f"Reader {len(schools)}")
        assert caller.read(what).status_code == 200  # aliases and salts are made
        statements: list[str] = []
        world.office.database.watch = statements.append
        assert caller.read(what).status_code == 200
        world.office.database.watch = None
        counts.add(len(statements))
    assert len(counts) == 1


def test_each_schools_ledger_holds_its_own_share_of_a_page(world):
    reader = world.standing().reader("A", "B")
    (answer,) = reader.read("enrollments").json.values()
    for school in "AB":
        (intent,) = (e for e in world.ledger(school) if e["type"] == "intent")
        with world.office.database.open_school(world.places[school]) as session:
            (sent,) = transfers.of_school(session)
        assert (sent.transfer, sent.elements) == (intent["id"], intent["elements"])
        assert handles.root_of(sent.handles) == intent["subjects_root"]
        assert intent["subjects"] == len(sent.handles) // handles.SIZE == {"A": 8, "B": 9}[school]
        assert 0 < intent["payload_bytes"] < len(orjson.dumps(answer))


def test_a_walk_sees_one_version_from_beginning_to_end(world):
    reader = world.standing().reader("A")
    first = reader.read("students?limit=3")
    night = two_schools()
    for gone in ("p2", "p4"):
        night.without("users.csv", gone).without("roles.csv", f"r.{gone}.A").without("demographics.csv", gone)
        night.without("enrollments.csv", f"e.kA.{gone}")
    night.person("p99", "student", "A")
    report = world.deliver(night)
    onboarding.add_staff(world.office, world.by, "S. Second", "district_admin", None)
    assert report.state == "held"
    from gateway.flows import rosters

    rosters.release(world.office, world.by.district, report.run, "st_somebodyelse0")
    assert world.deliver(night).state == "unchanged"
    following = next(part for part in first.headers["Link"].split(", ") if 'rel="next"' in part)
    rest = reader.get(following.partition("8080")[2].partition(">")[0])
    assert rest.headers["X-Total-Count"] == first.headers["X-Total-Count"] == "7"
    assert len(rest.json["users"]) == 3


def test_a_refusal_counts_on_the_very_next_read(world):
    reader = world.standing().reader("A")
    refuse(world, "A", "p0")
    assert "p0" not in names(walk(reader, "students"))
    assert len(walk(reader, "enrollments")) == 7
    assert reader.read("students").headers["X-Total-Count"] == "6"


@pytest.mark.parametrize("schools", [("A",), ("A", "B")])
def test_a_walk_goes_on_where_more_are_withheld_than_its_reach_allows_for(world, schools):
    reader = world.standing().reader(*schools)
    everybody = names(walk(reader, "students"))
    enrolled = len(walk(reader, "enrollments"))
    gone = set[str]()
    for school in schools:
        here = sorted(names(walk(world.reader(school, name=f"Of {school}"), "students")))[:5]
        gone.update(here)
        for pupil in here:
            refuse(world, school, pupil)
    staying = names(walk(reader, "students"))
    assert everybody - gone <= staying < everybody
    for limit in (1, 2, 100):
        rows = walk(reader, "students", limit)
        assert [row["sourcedId"] for row in rows] == sorted(row["sourcedId"] for row in rows)
        assert names(rows) == staying
        assert len(rows) == len(staying)
        left = walk(reader, "enrollments", limit)
        assert len({row["sourcedId"] for row in left}) == len(left) < enrolled
        (one,) = reader.read("students?limit=1&offset=1").json.values()
        assert one == sorted(rows, key=lambda row: row["sourcedId"])[1:2]


def test_a_refusal_of_one_vendor_leaves_the_others(world):
    world.standing()
    one, two = world.reader("A"), world.reader("A", name="Second")
    refuse(world, "A", "p0", world.agreements["Reader"])
    assert "p0" not in names(walk(one, "students"))
    assert "p0" in names(walk(two, "students"))


def test_a_refusal_at_one_school_leaves_the_other_schools_own(world):
    reader = world.standing().reader("A", "B")
    refuse(world, "A", "p0")
    (left,) = (u for u in walk(reader, "students") if u["givenName"] == "Givenp0")
    assert [role["roleType"] for role in left["roles"]] == ["secondary"]


@pytest.mark.parametrize(
    "key",
    ["p0", "nobody", "00000000-0000-0000-0000-000000000000", "%00", "x" * 300, "{foreign}", "{refused}", "{upper}"],
)
def test_one_record_that_is_not_there_for_you_looks_like_none(world, key):
    reader = world.standing().reader("A")
    foreign = world.reader("B", name="Elsewhere").read("students").json["users"][0]["sourcedId"]
    own = {u["givenName"]: u["sourcedId"] for u in walk(reader, "students")}
    refuse(world, "A", "p2")
    asked = key.format(foreign=foreign, refused=own["Givenp2"], upper=own["Givenp4"].upper())
    answer, nothing = reader.read(f"students/{asked}"), reader.read("students/none")
    assert (answer.status_code, answer.data) == (nothing.status_code, nothing.data)
    assert answer.status_code == 404
    assert sorted(answer.headers.keys()) == sorted(nothing.headers.keys())


@pytest.mark.parametrize("key", ["nobody", "%00", "p1", "x" * 5000, "%ED%A0%80"])
def test_a_source_id_that_is_not_there_looks_like_none(world, key):
    reader = world.standing().reader("A", schedule=("SNM", "ENR", "record.source_id"))
    answer, nothing = reader.read(f"students/{key}"), reader.read("students/none")
    assert (answer.status_code, answer.data) == (nothing.status_code, nothing.data)


def test_the_reason_of_a_single_denial_is_in_the_schools_own_ledger(world):
    reader = world.standing().reader("A")
    (own,) = (u["sourcedId"] for u in walk(reader, "students") if u["givenName"] == "Givenp2")
    refuse(world, "A", "p2")
    reader.read(f"students/{own}")
    reader.read("students/none")
    assert world.denials("A") == ["RET_RESTRICTED", "OWN_NOT_ASSOCIATED"]


def test_one_record_is_what_the_list_holds(world):
    reader = world.standing().reader("A", "B")
    for what, member in (("students", "user"), ("classes", "class"), ("enrollments", "enrollment")):
        for row in walk(reader, what):
            assert reader.read(f"{what}/{row['sourcedId']}").json == {member: row}


def test_a_child_waits_for_the_school_to_act_for_the_family(world):
    world.standing()
    reader = world.reader("A", school_agent=False)
    night = two_schools()
    night.row("demographics.csv", "p2")["birthDate"] = "2016-05-05"
    night.without("demographics.csv", "p4")
    assert world.deliver(night).state == "published"
    assert names(walk(reader, "students")).isdisjoint({"p2", "p4"})
    assert {"p0", "p6"} <= names(walk(reader, "students"))
    assert names(walk(world.reader("A", name="Agent"), "students")) >= {"p2", "p4"}


def test_an_agreement_that_was_ended_gives_nothing(world):
    reader = world.standing().reader("A")
    on_file.end(world.office, world.by, "agreement", world.agreements["Reader"])
    answer = reader.read("students")
    assert (answer.status_code, "AGR_REVOKED" in answer.text) == (403, True)
    assert world.denials("A") == ["AGR_REVOKED"]


def test_an_agreement_gives_nothing_from_the_moment_it_expires(world):
    end = world.clock.at + timedelta(minutes=10)
    reader = world.standing().reader("A", expires_at=end)
    world.clock.at = end - timedelta(seconds=1)
    assert reader.read("students").status_code == 200
    world.clock.at = end
    assert "AGR_EXPIRED" in reader.read("students").text


def test_an_agreement_gives_nothing_before_it_begins(world):
    begin = world.clock.at + timedelta(minutes=10)
    reader = world.standing().reader("A", effective_at=begin)
    assert "AGR_NOT_EFFECTIVE" in reader.read("students").text
    world.clock.at = begin
    assert reader.read("students").status_code == 200


def test_without_a_direction_nothing_is_read(world):
    world.standing()
    world.agree("Reader", "assessment", ("SNM", "ENR"), ("roster.read",), ("rostering",), ["A"], directed=False)
    reader = world.connect("Reader", OR + "roster.readonly", schools=["A"])
    assert "DIR_MISSING" in reader.read("students").text
    ref = world.direct(world.agreements["Reader"], "roster.read", ["A"])
    assert reader.read("students").status_code == 200
    on_file.end(world.office, world.by, "direction", ref)
    assert "DIR_REVOKED" in reader.read("students").text
    world.direct(world.agreements["Reader"], "roster.read", ["A"], expires_at=world.clock.at + timedelta(days=1))
    assert reader.read("students").status_code == 200
    world.clock.forward(days=2)
    assert "DIR_EXPIRED" in reader.sign_in().read("students").text


def test_one_school_that_says_no_does_not_silence_the_other(world):
    world.standing()
    reader = world.reader("A", "B")
    ref = world.direct(world.agreements["Reader"], "roster.read", ["B"])
    rows = [d for d in directions(world, "B") if d != ref]
    for one in (ref, *rows):
        on_file.end(world.office, world.by, "direction", one)
    world.direct(world.agreements["Reader"], "roster.read", ["A"])
    assert names(walk(reader, "students")) == {"p0", "p2", "p4", "p5", "p6", "p8", "p10"}
    assert set(world.denials("B")) == {"DIR_REVOKED"}


def directions(world: World, school: str) -> list[str]:
    with world.office.database.open_school(world.places[school]) as session:
        return [row.direction for row in store.latest(session, "direction") if row.status == "active"
                and row.operation == "roster.read"]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "REQ_PARAMETER"), ("limit=-1", "REQ_PARAMETER"), ("limit=x", "REQ_PARAMETER"),
        ("limit=1&limit=2", "REQ_PARAMETER"), ("offset=-1", "REQ_PARAMETER"), ("limit=%D9%A3", "REQ_PARAMETER"),
        ("limit=99999999999999999999", "REQ_PARAMETER"), ("other=1", "REQ_PARAMETER"), ("fields=", "REQ_FIELD_UNKNOWN"),
        ("fields=nothing", "REQ_FIELD_UNKNOWN"), ("fields=sourcedId,email", "REQ_FIELD_UNKNOWN"),
        ("fields=password", "REQ_FIELD_UNKNOWN"), ("filter=role%3D%27student%27", "REQ_FILTER_WAITING"),
        ("sort=familyName", "REQ_FILTER_WAITING"), ("orderBy=asc", "REQ_FILTER_WAITING"), ("cursor=x", "REQ_CURSOR"),
    ],
)  # fmt: skip
def test_parameters_that_do_not_fit_are_refused(world, query, code):
    answer = world.standing().reader("A").read(f"students?{query}")
    assert answer.status_code == 400
    assert f"[{code}]" in answer.json["imsx_description"]


def test_a_withheld_field_answers_as_an_unknown_one(world):
    reader = world.standing().reader("A")
    withheld, unknown = reader.read("students?fields=sourcedId,email"), reader.read("students?fields=sourcedId,emial")
    assert (withheld.status_code, withheld.data) == (unknown.status_code, unknown.data)


def test_selected_fields_are_all_there_is(world):
    reader = world.standing().reader("A")
    assert {frozenset(u) for u in reader.read("students?fields=sourcedId,givenName").json["users"]} == {
        frozenset({"sourcedId", "givenName"})
    }


def test_a_cursor_is_good_for_its_own_grant_and_collection_only(world):
    world.standing()
    one, two = world.reader("A"), world.reader("A", name="Second")
    link = one.read("students?limit=2").headers["Link"].partition("cursor=")[2].partition(">")[0]
    assert one.read(f"students?limit=2&cursor={link}").status_code == 200
    for caller, what in ((two, "students"), (one, "classes")):
        assert "REQ_CURSOR" in caller.read(f"{what}?cursor={link}").text
    assert "REQ_CURSOR" in one.read(f"students?cursor={link[:-2]}").text


@pytest.mark.parametrize("asked", ["students?fields=roles", "enrollments?fields=user", "classes?fields=terms,course"])
def test_a_reference_asked_for_by_name_brings_what_it_holds(world, asked):
    what, _, names = asked.partition("?fields=")
    answer = world.standing().reader("A").read(asked)
    assert answer.status_code == 200, answer.text
    (rows,) = answer.json.values()
    assert {tuple(sorted(row)) for row in rows} == {tuple(sorted(names.split(",")))}, what
    assert all(row[name] for row in rows for name in names.split(","))


def test_demographics_need_their_own_scope_and_agreement(world):
    world.standing()
    reader = world.reader("A", schedule=("SNM", "ENR"))
    assert "ELM_NOT_IN_SCHEDULE" in reader.read("demographics").text
    agreed = world.reader("A", name="Agreed", schedule=("SNM", "ENR", "demographics.birth_date"))
    (row, *_) = agreed.read("demographics").json["demographics"]
    assert set(row) == {"sourcedId", "status", "dateLastModified", "birthDate"}
    agreed.sign_in(agreed.scopes[0])
    assert "SCP_MISSING" in agreed.read("demographics").text


def test_a_new_pupil_gets_an_id_and_a_gone_one_keeps_it(world):
    reader = world.standing(40).reader("A")
    before = {u["givenName"]: u["sourcedId"] for u in walk(reader, "students", 100)}
    assert world.deliver(two_schools(40).person("p77", "student", "A")).state == "published"
    after = {u["givenName"]: u["sourcedId"] for u in walk(reader, "students", 100)}
    assert before.items() < after.items()
    assert world.deliver(two_schools(40)).state == "published"
    assert {u["givenName"]: u["sourcedId"] for u in walk(reader, "students", 100)} == before
    assert world.deliver(two_schools(40).person("p77", "student", "A")).state == "published"
    assert {u["givenName"]: u["sourcedId"] for u in walk(reader, "students", 100)} == after


def test_a_class_names_its_course_and_terms_while_their_rows_are_quarantined(world):
    world.onboard("A", "B")
    spoilt, sound = two_schools(12).class_("kX", "A"), two_schools(12).class_("kX", "A")
    for delivery, date in ((spoilt, "someday"), (sound, "2026-08-01")):
        delivery.row("classes.csv", "kX").update(courseSourcedId="cX", termSourcedIds="tX")
        delivery.add("academicSessions.csv", sourcedId="tX", title="Fall", type="term", startDate=date,
                     endDate="2027-06-30", schoolYear="2027")  # fmt: skip
        grades = "" if delivery is sound else "x" * 2001
        delivery.add("courses.csv", sourcedId="cX", title="Latin" + grades, orgSourcedId="d")
    report = world.deliver(spoilt)
    assert (report.state, {f.sourced_id for f in report.faults}) == ("published", {"cX", "tX"})
    reader = world.reader("A", schedule=("ENR", "SCH"))
    (before,) = (c for c in walk(reader, "classes") if c["title"] == "Class kX")
    assert world.deliver(sound).state == "published"
    (after,) = (c for c in walk(reader, "classes") if c["title"] == "Class kX")
    assert {name: after[name] for name in ("course", "terms")} == {name: before[name] for name in ("course", "terms")}


def test_a_cursor_ends_where_the_agreement_changes_which_ids_are_shown(world):
    world.standing()
    reader = world.reader("A", schedule=("SNM", "SID", "ENR"), number="R-1")
    following = reader.read("students?limit=2").headers["Link"].rpartition("<")[2].partition(">")[0].partition("?")[2]
    assert reader.read(f"students?{following}").status_code == 200
    body = {"vendor": "Reader", "number": "R-1", "schedule": ["SNM", "ENR"], "operations": ["roster.read"],
            "purposes": ["rostering"], "schools": [world.refs["A"]], "until": "2030-01-01", "retention_days": 1,
            "commitments": ["all"], "document": "0" * 64, "assured": world.clock.at.isoformat()}  # fmt: skip
    assert on_file.apply(world.office, world.by, "agreement", [body]).counts["changed"] == 1
    refused = reader.read(f"students?{following}")
    assert (refused.status_code, "REQ_CURSOR" in refused.text) == (400, True)


def test_a_pupil_without_an_address_is_there_and_the_field_is_not(world):
    world.onboard("A", "B")
    night = two_schools()
    night.row("users.csv", "p2")["email"] = ""
    assert world.deliver(night).state == "published"
    reader = world.reader("A", schedule=("SNM", "ENR", "person.email"))
    addresses = {u["givenName"]: u.get("email") for u in walk(reader, "students")}
    assert (addresses["Givenp2"], addresses["Givenp4"]) == (None, "p4@pupils.example")
    assert '"email":""' not in reader.read("students").text
