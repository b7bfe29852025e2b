"""The command line as a newcomer uses it: from nothing to a published roster, and what each no looks like."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from typing import Any

import click
import psycopg
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.store import roles
from gateway.store.secrets import open_vault
from mappings import products
from tests.deliveries import two_schools
from tests.worlds import OR

UNTIL = "2031-07-01"


class Desk:
    """A person at the command line of one installation."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment, self.folder, self.paper = environment, folder, folder / "signed.txt"
        self.district = ""
        self.paper.write_text("signed")

    def run(self, *words: Any, token: str | None = None) -> Result:
        environment = self.environment | ({"SCHOOLGATE_TOKEN": token} if token is not None else {})
        return CliRunner(env=environment).invoke(main, [str(w) for w in words], prog_name="schoolgate")

    def said(self, *words: Any) -> Any:
        done = self.run(*words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def begin(self) -> Desk:
        made = self.said("district", "add", "Test District", "--admin", "D. Admin")
        self.environment = self.environment | {"SCHOOLGATE_TOKEN": made["token"]}
        self.district = made["district"]
        return self

    def onboard(self) -> Path:
        """A source, its two schools and the agreement to import; returns a delivery."""
        delivery = two_schools().zip(self.folder / "delivery.zip")
        self.said("source", "add", "sis")
        self.said("school", "add", "--source", "sis", "--all-in", delivery)
        self.said("vendor", "add", "SIS Inc", "--category", "sis", "--contact", "sis@example.org")
        self.agree("SIS Inc", "roster.import")
        return delivery

    def agree(self, vendor: str, operation: str, *more: str) -> str:
        return self.said(
            "agreement", "add", vendor, "--element", "SNM", "--element", "ENR", "--purpose", "rostering",
            "--operation", operation, "--from", "2025-01-01", "--until", UNTIL, "--retention-days", 365,
            "--school-agent", *self.signed(), *more,
        )["agreement"]  # fmt: skip

    def signed(self) -> tuple[Any, ...]:
        """What makes an agreement one that can be enforced."""
        return "--commitment", "all", "--assured", datetime.now(UTC).date(), "--document", self.paper


@pytest.fixture
def desk(addresses, tmp_path, monkeypatch) -> Desk:
    for name in ("SCHOOLGATE_TOKEN", "SCHOOLGATE_SOURCE_SECRET", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    open_vault(tmp_path / "instance" / "keys")  # the tests share a database, which is not new
    environment = {
        "SCHOOLGATE_INSTANCE": str(tmp_path / "instance"), "DATABASE_URL": addresses.application,
        "SCHOOLGATE_URL": "http://127.0.0.1:8080", "SCHOOLGATE_SANDBOX": "1", "NO_COLOR": "1",
    }  # fmt: skip
    return Desk(environment, tmp_path).begin()


def test_a_new_district_plans_and_publishes(desk):
    delivery = desk.onboard()
    planned = desk.run("sync", "plan", "sis", delivery)
    assert planned.exit_code == 0
    assert "Plan: nothing was changed." in planned.stdout
    assert "Next: schoolgate sync apply sis" in planned.stdout
    assert "Published." in desk.run("sync", "apply", "sis", delivery).stdout
    assert "Nothing changed" in desk.run("sync", "apply", "sis", delivery).stdout
    runs = desk.said("sync", "history", "sis")
    assert [r["state"] for r in runs] == ["unchanged", "published", "planned"]


def test_a_held_delivery_exits_with_3_and_needs_a_second_person(desk):
    desk.run("sync", "apply", "sis", desk.onboard())
    small = two_schools(6).zip(desk.folder / "small.zip")
    held = desk.run("sync", "apply", "sis", small)
    assert held.exit_code == 3
    assert "HELD: the last version keeps serving." in held.stdout
    assert "of 8 people would be removed" in held.stdout
    assert "SRC_HELD" in held.stdout
    run = desk.said("sync", "history", "sis")[0]["run"]
    refused = desk.run("sync", "hold", "release", run)
    assert (refused.exit_code, "ACT_SECOND_PERSON" in refused.stderr) == (4, True)
    second = desk.said("staff", "add", "S. Second", "--role", "district_admin")["token"]
    assert desk.run("sync", "hold", "release", run, token=second).exit_code == 0
    assert desk.run("sync", "apply", "sis", small).exit_code == 0
    assert desk.run("sync", "hold", "release", run, token=second).exit_code != 0


def test_a_hold_is_looked_at_and_released_in_part(desk):
    desk.run("sync", "apply", "sis", desk.onboard())
    small = two_schools(6).person("new", "student", "A").zip(desk.folder / "small.zip")
    planned = desk.run("sync", "plan", "sis", small)
    assert (planned.exit_code, "Plan: nothing was changed." in planned.stdout) == (3, True)
    held = desk.run("sync", "apply", "sis", small)
    assert "HELD in part" in held.stdout
    (hold,) = desk.said("sync", "hold", "list")
    assert (hold["what waits"], hold["why"], hold["state"]) == ("removals", "SRC_HELD", "open")
    shown = desk.said("sync", "hold", "show", hold["hold"])
    assert {row["cause"] for row in shown["rows"]} == {"source-deleted"}
    text = desk.run("sync", "hold", "show", hold["hold"]).stdout
    assert "user goes at School A" in text
    assert f"schoolgate sync hold release {hold['hold']}" in text
    second = desk.said("staff", "add", "S. Second", "--role", "district_admin")["token"]
    released = desk.run("sync", "hold", "release", hold["hold"], "--school", "School A", token=second)
    assert released.exit_code == 3
    assert desk.run("sync", "hold", "release", hold["hold"], "--row", "p7", token=second).exit_code == 2
    discarded = desk.run("sync", "hold", "discard", hold["hold"])
    assert (discarded.exit_code, "0 rows of it wait on" in discarded.stdout) == (0, True)
    assert desk.said("sync", "hold", "list") == []
    assert desk.said("sync", "hold", "list", "--all")[0]["state"] == "discarded"
    missing = desk.said("sync", "absences", hold["run"])
    assert {row["cause"] for row in missing} == {"source-deleted"}
    assert refusal(desk.run("sync", "absences", "run_0000000000000000")) == (1, "REQ_UNKNOWN")


def test_an_undo_is_planned_then_applied(desk):
    desk.run("sync", "apply", "sis", desk.onboard())
    more = two_schools().class_("new", "A").zip(desk.folder / "more.zip")
    desk.run("sync", "apply", "sis", more)
    planned = desk.run("sync", "undo", "sis")
    assert (planned.exit_code, "version 1" in planned.stdout) == (0, True)
    assert "Next: schoolgate sync undo sis --apply" in planned.stdout
    assert "Published." in desk.run("sync", "undo", "sis", "--apply").stdout
    today = datetime.now(UTC).date().isoformat()
    (shown,) = desk.said("roster", "show", "--school", "School A", "--on", today, "--kind", "class")
    assert (shown["id"], shown["title"]) == ("kA", "Class kA")
    people = desk.said("roster", "show", "--school", "School A", "--on", today)
    assert {row["roles"] for row in people} == {"student", "teacher"}
    seats = desk.said("roster", "show", "--school", "School A", "--on", today, "--kind", "enrollment")
    assert {row["class"] for row in seats} == {"kA"}
    assert desk.said("roster", "changes", "--school", "School A", "--since", today, "--kind", "class") == []
    old = desk.run("roster", "show", "--school", "School A", "--on", "2001-01-01")
    assert refusal(old) == (1, "SRC_HISTORY")


def test_how_much_a_source_may_change_is_set_within_bounds(desk):
    delivery = desk.onboard()
    desk.run("sync", "apply", "sis", delivery)
    said = desk.run("source", "guard", "sis", "--removed", "0.5", "--remaining", "0.5", "--reason", "a moving school")
    assert (said.exit_code, "50% may go" in said.stdout) == (0, True)
    assert refusal(desk.run("source", "guard", "sis", "--removed", "0.9", "--reason", "x")) == (1, "REQ_INVALID")
    assert refusal(desk.run("source", "guard", "nobody", "--reason", "x")) == (1, "REQ_UNKNOWN")


def test_a_refused_delivery_exits_with_1_and_names_file_line_and_reason(desk):
    desk.run("sync", "apply", "sis", desk.onboard())
    cut = two_schools()
    whole = cut.files()["users.csv"]
    cut.raw["users.csv"] = whole[: len(whole) - 30]
    done = desk.run("sync", "apply", "sis", cut.zip(desk.folder / "cut.zip"))
    assert done.exit_code == 1
    for word in ("Refused: the last version keeps serving.", "users.csv, line", "CSV_FILE_CUT", "remedy", "who"):
        assert word in done.stdout


def test_what_is_not_wrong_with_a_delivery_is_not_blamed_on_it(desk):
    delivery = two_schools().zip(desk.folder / "delivery.zip")
    desk.said("source", "add", "sis")
    done = desk.run("sync", "apply", "sis", delivery)
    assert (done.exit_code, "SRC_NO_SCHOOL" in done.stdout) == (1, True)
    assert "Next: Add the schools with `schoolgate school add`" in done.stdout
    desk.said("school", "add", "--all-in", delivery)
    done = desk.run("sync", "plan", "sis", delivery)
    assert (done.exit_code, "SRC_AGREEMENT_MISSING" in done.stdout) == (4, True)
    assert "Next: Record the agreement with `schoolgate agreement add" in done.stdout
    assert desk.run("sync", "plan", "sis", delivery, "--json").exit_code == 4
    (row,) = desk.said("source", "list")
    with psycopg.connect(desk.environment["DATABASE_URL"]) as other:
        other.execute("SELECT pg_advisory_lock(hashtext(%s))", (f"source:{row['ref']}",))
        done = desk.run("sync", "plan", "sis", delivery)
    assert (done.exit_code, "SRC_BUSY" in done.stdout) == (1, True)
    assert "Next: Wait until it ends. Then plan it again." in done.stdout
    assert "correct the delivery" not in done.stdout


def test_a_delivery_that_is_not_there_is_for_whoever_named_it(desk):
    desk.onboard()
    done = desk.run("sync", "plan", "sis", desk.folder / "nothing.zip")
    assert (done.exit_code, done.stdout.count("REQ_INVALID")) == (1, 1)
    assert "there is no file or folder" in done.stdout
    assert "who     the caller" in done.stdout
    (desk.folder / "folder").mkdir()
    done = desk.run("sync", "plan", "sis", desk.folder / "folder")
    assert (done.exit_code, "CSV_MANIFEST_MISSING" in done.stdout) == (1, True)


@pytest.mark.parametrize("name", ["manifest.csv", "orgs.csv", "users.csv"])
def test_a_file_that_may_not_be_read_is_named(desk, name, monkeypatch):
    desk.onboard()
    folder, opened = two_schools().folder(desk.folder / "folder"), Path.open

    def without_rights(path: Path, *mode: Any, **more: Any) -> Any:
        if path == folder / name:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *mode, **more)

    monkeypatch.setattr(Path, "open", without_rights)  # root may read everything
    done = desk.run("sync", "plan", "sis", folder)
    assert refusal(done)[0] == 1
    assert f"{name} cannot be read: Permission denied" in done.stdout
    assert "REQ_INVALID" in done.stdout


def test_quarantined_rows_are_named_for_the_registrar(desk):
    desk.onboard()
    bad = two_schools()
    bad.row("users.csv", "p3")["givenName"] = ""
    bad.row("classes.csv", "kB")["grades"] = "Grade 9"
    done = desk.run("sync", "plan", "sis", bad.zip(desk.folder / "bad.zip"))
    assert "users.csv line" in done.stdout
    assert "[CSV_VALUE_MISSING]" in done.stdout
    assert "did you mean 09?" in done.stdout
    report = desk.said("sync", "plan", "sis", desk.folder / "bad.zip")
    assert {(f["file"], f["column"], f["code"]) for f in report["faults"]} >= {
        ("users.csv", "givenName", "CSV_VALUE_MISSING"), ("classes.csv", "grades", "CSV_VALUE_VOCABULARY"),
        ("enrollments.csv", "userSourcedId", "CSV_REFERENCE_BAD"),
    }  # fmt: skip


def spoilt() -> Any:
    bad = two_schools()
    for pupil in ("p3", "p4"):
        bad.row("users.csv", pupil)["givenName"] = ""
    return bad


def test_every_fault_of_a_run_is_listed(desk):
    desk.onboard()
    done = desk.run("sync", "plan", "sis", spoilt().zip(desk.folder / "bad.zip"))
    run = desk.said("sync", "history", "sis")[0]["run"]
    assert f"each of them: schoolgate sync errors {run}" in done.stdout
    listed = desk.said("sync", "errors", run)
    names = {"file", "line", "record", "column", "code", "costs", "shape", "rule", "fix", "owner"}
    assert [set(row) for row in listed] == [names] * len(listed)
    report = desk.said("sync", "plan", "sis", desk.folder / "bad.zip")
    assert len(listed) > 2
    told = ("file", "line", "column", "code", "shape")
    assert [[row[n] for n in told] for row in listed] == [[fault[n] for n in told] for fault in report["faults"]]
    assert len(desk.said("sync", "errors", run, "--limit", 1)) == 1
    text = desk.run("sync", "errors", run, "--limit", "1").stdout
    assert "CSV_VALUE_MISSING" in text
    assert f"… and {len(listed) - 1} more" in text
    clean = desk.run("sync", "plan", "sis", desk.folder / "delivery.zip").stdout
    assert "sync errors" not in clean


def test_the_faults_of_a_run_are_a_list_for_the_registrar_and_a_form_for_certification(desk):
    desk.onboard()
    bad = spoilt()
    bad.row("users.csv", "p5")["familyName"] = "=cmd()" + "x" * 2000
    desk.run("sync", "plan", "sis", bad.zip(desk.folder / "bad.zip"))
    run = desk.said("sync", "history", "sis")[0]["run"]
    rows = list(csv.DictReader(io.StringIO(desk.run("sync", "errors", run, "--format", "csv").stdout)))
    first = next(row for row in rows if row["code"] == "CSV_VALUE_MISSING")
    assert (first["file"], first["column"], first["costs"]) == ("users.csv", "givenName", "row")
    assert (first["rule"], first["owner"]) == (
        "required; at most 2000 characters",
        "the registrar who exports the roster",
    )
    shapes = [row["shape"] for row in rows if row["code"] == "CSV_VALUE_LENGTH"]
    assert [shape[:6] for shape in shapes] == ["'=aaa("]
    form = desk.said("sync", "errors", run, "--format", "certification")
    users = next(file for file in form["files"] if file["file"] == "users.csv")
    assert (form["outcome"], users["outcome"], users["rejected"]) == ("imported", "imported", 3)
    assert {reason["code"] for reason in users["reasons"]} == {"CSV_VALUE_MISSING", "CSV_VALUE_LENGTH"}
    text = desk.run("sync", "errors", run, "--format", "certification").stdout
    assert "users.csv bulk imported: " in text
    bad.raw["users.csv"] = b"sourcedId\r\n"
    desk.run("sync", "plan", "sis", bad.zip(desk.folder / "worse.zip"))
    refused = desk.said("sync", "errors", desk.said("sync", "history", "sis")[0]["run"], "--format", "certification")
    assert (refused["outcome"], refused["reasons"][0]["code"]) == ("rejected", "CSV_HEADER")
    run = desk.said("sync", "history", "sis")[0]["run"]
    (why,) = csv.DictReader(io.StringIO(desk.run("sync", "errors", run, "--format", "csv").stdout))
    told = tuple(why[name] for name in ("file", "line", "code", "costs", "owner"))
    assert told == ("users.csv", "1", "CSV_HEADER", "delivery", "the registrar who exports the roster")
    assert "column enabledUser is missing. " in why["fix"]
    (listed,) = desk.said("sync", "errors", run)
    assert (listed["line"], listed["fix"]) == (1, why["fix"])


def test_repairs_of_a_source_are_turned_on_and_off(desk):
    desk.onboard()
    on = desk.said("source", "repair", "add", "sis", "local-timestamps=America/Denver")
    assert [row["repair"] for row in on if row["is"] == "on"] == ["local-timestamps=America/Denver"]
    assert desk.said("source", "repair", "list", "sis") == on
    assert all(row["is"] == "off" for row in desk.said("source", "repair", "remove", "sis", "local-timestamps"))
    assert refusal(desk.run("source", "repair", "add", "sis", "magic")) == (1, "REQ_INVALID")
    assert refusal(desk.run("source", "repair", "remove", "sis", "magic")) == (1, "REQ_INVALID")
    assert refusal(desk.run("source", "repair", "list", "nope")) == (1, "REQ_UNKNOWN")


def test_a_run_that_was_refused_or_held_has_its_list_too(desk):
    desk.run("sync", "apply", "sis", desk.onboard())
    cut = spoilt()
    whole = cut.files()["enrollments.csv"]
    cut.raw["enrollments.csv"] = whole[: len(whole) - 3]
    small = two_schools(6)
    small.row("users.csv", "p1")["givenName"] = ""
    for delivery, state in ((cut, "refused"), (small, "held")):
        done = desk.run("sync", "apply", "sis", delivery.zip(desk.folder / f"{state}.zip"))
        last = desk.said("sync", "history", "sis")[0]
        assert last["state"] == state, done.output
        listed = desk.said("sync", "errors", last["run"])
        assert "CSV_VALUE_MISSING" in {row["code"] for row in listed}
        assert [row["costs"] for row in listed].count("delivery") == (state == "refused")


def test_runs_are_listed_for_who_acts_for_the_district(desk):
    delivery = desk.onboard()
    desk.run("sync", "apply", "sis", delivery)
    run = desk.said("sync", "history", "sis")[0]["run"]
    assert desk.said("sync", "errors", run) == []
    token = desk.said("staff", "add", "S. A", "--role", "school_admin", "--school", "School A")["token"]
    assert refusal(desk.run("sync", "errors", run, token=token)) == (4, "ACT_NOT_STAFF")
    other = Desk(desk.environment, desk.folder).begin()
    assert refusal(other.run("sync", "errors", run)) == (1, "REQ_UNKNOWN")
    assert refusal(desk.run("sync", "history", "nope")) == (1, "REQ_UNKNOWN")


def test_every_command_acts_as_a_named_person(desk):
    for token in ("", "wrong"):
        done = desk.run("school", "list", token=token)
        assert done.exit_code == 4
        assert "AUT_STAFF_UNKNOWN" in done.stderr
        assert "SCHOOLGATE_TOKEN" in done.stderr


def test_a_role_at_a_school_ends_at_its_wall(desk):
    desk.onboard()
    token = desk.said("staff", "add", "S. A", "--role", "school_admin", "--school", "School A")["token"]
    for words in (
        ("source", "add", "x"), ("vendor", "add", "x", "--category", "lms", "--contact", "x"),
        ("sync", "plan", "sis", "x"),
        ("family", "code", "p1", "--school", "School B"), ("ledger", "export", "--school", "School B", "--out", "x"),
        ("ledger", "receipt", "--school", "School B", "--pupil", "p1", "--transfer", "tr_00000000", "--out", "x"),
        ("staff", "add", "S", "--role", "district_admin"), ("family", "requests", "--school", "School B"),
        ("staff", "add", "S", "--role", "school_admin", "--school", "School B"),
    ):  # fmt: skip
        done = desk.run(*words, token=token)
        assert (done.exit_code, "ACT_NOT_STAFF" in done.stderr) == (4, True), (words, done.output)


def test_a_vendor_from_agreement_to_credentials(desk):
    desk.onboard()
    desk.said("vendor", "add", "Quiz", "--category", "assessment", "--contact", "q@example.org")
    ref = desk.agree("Quiz", "roster.read", "--school", "School A")
    desk.said(
        "direction", "add", "--agreement", ref, "--operation", "roster.read", "--until", UNTIL, "--school", "School A"
    )
    made = desk.said("vendor", "connect", "Quiz", "--agreement", ref, "--scope", OR + "roster.readonly")
    assert set(made) == {"client_id", "client_secret", "token_url"}
    assert made["client_secret"] not in desk.run("vendor", "list").stdout
    listed = desk.said("agreement", "list")
    assert {row["vendor"] for row in listed} == {"Quiz", "SIS Inc"}
    assert "Ended at 1 schools" in desk.run("agreement", "end", ref).stdout
    assert refusal(desk.run("agreement", "end", ref)) == (1, "REQ_UNKNOWN")
    (row,) = (r for r in desk.said("direction", "list") if r["agreement"] == ref)
    assert "Revoked at 1 schools." in desk.run("direction", "revoke", row["ref"].partition("@")[0]).stdout


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("--purpose", "advertising"), "PUR_COMMERCIAL"), (("--purpose", "sale"), "PUR_COMMERCIAL"),
        (("--purpose", "profiling"), "PUR_PROFILE"), (("--purpose", "anything"), "REQ_INVALID"),
        (("--operation", "everything"), "REQ_INVALID"), (("--element", "other"), "REQ_INVALID"),
        (("--until", "2020-01-01"), "REQ_CONTRADICTORY"), (("--until", "2025-01-01"), "REQ_CONTRADICTORY"),
        (("--element", "person.password"), "ELM_NEVER_EXPORT"), (("--element", "technical.usage"), "ELM_TECHNICAL"),
        (("--retention-days", "0"), "REQ_INVALID"), (("--retention-days", "-1"), "REQ_INVALID"),
        (("--retention-days", "99999999999999999999"), "REQ_INVALID"),
    ],
)  # fmt: skip
def test_an_agreement_that_could_not_be_enforced_is_refused(desk, change, code):
    desk.onboard()
    words = ["agreement", "add", "SIS Inc", "--element", "SNM", "--purpose", "rostering", "--operation", "roster.read",
             "--from", "2025-01-01", "--retention-days", "30", *desk.signed(), *change]  # fmt: skip
    done = desk.run(*words, *([] if "--until" in change else ["--until", UNTIL]))
    assert code in done.stderr, done.output


@pytest.mark.parametrize(("begins", "code"), [((), 1), (("--from", "2025-01-01"), 0)])
def test_an_agreement_that_is_over_is_written_down_where_its_first_day_is_named(desk, begins, code):
    desk.onboard()
    done = desk.run("agreement", "add", "SIS Inc", "--element", "SNM", "--purpose", "rostering", "--operation",
                    "roster.read", "--retention-days", "30", "--until", "2025-06-30", *desk.signed(),
                    *begins)  # fmt: skip
    assert (done.exit_code, "REQ_CONTRADICTORY" in done.stderr) == (code, bool(code))


def test_an_agreement_without_a_retention_term_is_refused(desk):
    desk.onboard()
    done = desk.run(
        "agreement", "add", "SIS Inc", "--element", "SNM", "--purpose", "rostering", "--operation", "roster.read",
        "--until", UNTIL,
    )  # fmt: skip
    assert (done.exit_code, "AGR_COMMITMENTS_INCOMPLETE" in done.stderr) == (4, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--element", "zzz"), "there is no data element zzz"), (("--record", "zzz"), "reference@version"),
        (("--record", "ts_1@0"), "reference@version"), (("--record", "@1"), "reference@version"),
    ],
)  # fmt: skip
def test_a_direction_for_what_is_not_there_is_refused(desk, words, said):
    desk.onboard()
    ref = desk.agree("SIS Inc", "roster.read")
    done = desk.run("direction", "add", "--agreement", ref, "--operation", "roster.read", "--until", UNTIL, *words)
    assert refusal(done) == (1, "REQ_INVALID")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--operation", "roster.import"), "AGR_OPERATION", "covers roster.read"),
        (("--element", "person.email"), "ELM_NOT_IN_SCHEDULE", "person.email: ag_"),
        (("--element", "SNM", "--element", "DEM"), "ELM_NOT_IN_SCHEDULE", "person.name.given"),
    ],
)  # fmt: skip
def test_a_direction_beyond_its_agreement_is_refused(desk, words, code, said):
    desk.onboard()
    words = (
        "--agreement",
        desk.agree("SIS Inc", "roster.read"),
        "--until",
        UNTIL,
        "--operation",
        "roster.read",
        *words,
    )
    done = desk.run("direction", "add", *words)
    assert refusal(done) == (4, code)
    assert said in done.stderr
    assert desk.said("direction", "list") == []
    desk.said("direction", "add", *words[:6], "--element", "SNM")


def test_nothing_is_directed_under_an_agreement_that_was_ended(desk):
    desk.onboard()
    ref = desk.agree("SIS Inc", "roster.read")
    desk.run("agreement", "end", ref)
    done = desk.run("direction", "add", "--agreement", ref, "--operation", "roster.read", "--until", UNTIL)
    assert refusal(done) == (4, "AGR_REVOKED")


@pytest.mark.parametrize(
    "contact",
    ["", " ", "x", "a@b", "@b.example", "a b@c.example", "http://v.example", "https://", "mailto:",
     "javascript:a@b.example", "a@b.example\n", "<a@b.example>", "https://a@b.example", "a@b.example" * 30],
)  # fmt: skip
def test_families_can_reach_a_vendor(desk, contact):
    words = ("vendor", "add", "V", "--category", "sis", "--contact")
    assert refusal(desk.run(*words, contact)) == (1, "REQ_INVALID")
    for number, good in enumerate(("a.b+c@v.example", "mailto:privacy@v.example", "https://v.example/privacy?a=b")):
        desk.said("vendor", "add", f"V{number}", *words[3:], good)


def test_an_address_that_cannot_be_read_is_refused(desk):
    for url in ("https://[::1", "https://x.example:many/"):
        assert refusal(desk.run("source", "add", "x", "--url", url)) == (1, "REQ_INVALID")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"kty": 7}', "[" * 100_000, b"\xff"])
def test_a_public_key_that_is_none_is_refused(desk, text):
    desk.onboard()
    ref, file = desk.agree("SIS Inc", "roster.read"), desk.folder / "key.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    words = ("vendor", "connect", "SIS Inc", "--agreement", ref, "--scope", OR + "roster.readonly", "--public-key")
    assert refusal(desk.run(*words, file)) == (1, "REQ_INVALID")
    assert desk.run(*words, desk.folder).exit_code == 2


def test_the_gateway_listens_on_a_port_that_is_free(desk):
    for wrong in (("--port", "99999999"), ("--port", "-1"), ("--port", "0"), ("--workers", "0")):
        assert desk.run("serve", *wrong).exit_code == 2
    with TCPServer(("127.0.0.1", 0), BaseRequestHandler) as taken:
        port = taken.server_address[1]
        done = desk.run("serve", "--port", port)
    assert refusal(done) == (1, "INT_PORT")
    assert f"port {port} on 127.0.0.1: Address already in use" in done.stderr


@pytest.mark.parametrize("folder", ["/proc/nothing", "/etc/passwd", "/etc/passwd/below"])
@pytest.mark.parametrize("embedded", [True, False])
def test_an_instance_folder_that_cannot_be_used_is_said(desk, fresh_database, folder, embedded):
    url = "" if embedded else fresh_database().application
    desk.environment |= {"SCHOOLGATE_INSTANCE": folder, "DATABASE_URL": url}
    for words in (("district", "add", "D", "--admin", "A"), ("serve", "--port", "1")):
        done = desk.run(*words)
        assert refusal(done) == (1, "INT_SETTINGS"), done.output
        assert f"the instance folder {folder}" in done.stderr


def test_a_lost_key_is_never_replaced_by_a_new_one(desk, fresh_database, tmp_path):
    kek = tmp_path / "own" / "keys" / "kek"
    desk.environment |= {"DATABASE_URL": fresh_database().application, "SCHOOLGATE_INSTANCE": str(tmp_path / "own")}
    desk.begin()
    key = kek.read_bytes()
    assert desk.run("school", "add", "Lincoln").exit_code == 0
    kek.unlink()
    for words in (("school", "list"), ("district", "add", "D", "--admin", "A"), ("serve",), ("worker", "--once")):
        done = desk.run(*words)
        assert refusal(done) == (1, "INT_SETTINGS"), words
        assert f"there is no key {kek}" in done.stderr
        assert "restore it from a copy" in done.stderr
    assert not kek.exists()
    kek.write_bytes(key)
    assert desk.run("ledger", "export", "--school", "Lincoln", "--out", tmp_path / "l.zip").exit_code == 0


def test_a_database_without_its_schema_is_said(desk, cluster, tmp_path):
    with psycopg.connect(cluster.template.admin, autocommit=True) as admin:
        roles.make_database(admin, "bare", "")
    try:
        desk.environment["DATABASE_URL"] = cluster.template.application.replace("template_schoolgate", "bare")
        for instance in ("instance", "other"):
            desk.environment["SCHOOLGATE_INSTANCE"] = str(tmp_path / instance)
            done = desk.run("district", "add", "D", "--admin", "A")
            assert refusal(done) == (1, "INT_SETTINGS")
            assert "schoolgate db upgrade" in done.stderr
    finally:
        cluster.drop("bare")


@pytest.mark.parametrize("words", [("staff", "list"), ("sync", "plan", "sis", "x"), ("school", "add", "S")])
@pytest.mark.parametrize("embedded", [True, False])
def test_only_set_up_makes_an_installation(desk, fresh_database, tmp_path, words, embedded):
    folder = tmp_path / "elsewhere"
    url = "" if embedded else fresh_database().application
    desk.environment |= {"SCHOOLGATE_INSTANCE": str(folder), "DATABASE_URL": url}
    done = desk.run(*words)
    assert refusal(done) == (1, "INT_NO_INSTALLATION")
    for said in (f"there is no installation in {folder}", "SCHOOLGATE_INSTANCE", "schoolgate district add"):
        assert said in done.stderr
    assert not folder.exists()


def test_a_folder_of_another_kind_gets_no_pages(desk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for more in ((), ("--check",)):
        done = desk.run("docs", *more)
        assert (done.exit_code, "docs/reference" in done.stderr) == (2, True)
    assert not (tmp_path / "docs").exists()


def test_an_embedded_database_is_removed_when_its_keys_are_gone(desk, tmp_path):
    folder = tmp_path / "own"
    desk.environment |= {"SCHOOLGATE_INSTANCE": str(folder), "DATABASE_URL": ""}
    desk.begin()
    shutil.rmtree(folder / "keys")
    for words in (("school", "list"), ("district", "add", "D", "--admin", "A"), ("db", "upgrade")):
        done = desk.run(*words)
        assert refusal(done) == (1, "INT_SETTINGS")
        assert "schoolgate db remove --yes" in done.stderr
    assert "Removed." in desk.run("db", "remove", "--yes").stdout
    assert "There is no embedded database" in desk.run("db", "remove", "--yes").stdout
    assert refusal(desk.run("school", "list")) == (1, "INT_NO_INSTALLATION")
    desk.begin()
    assert desk.run("school", "list").exit_code == 0
    assert "Removed." in desk.run("db", "remove", "--yes").stdout


@pytest.mark.parametrize("address", ["zzz", "postgresql://[::1/x"])
def test_the_address_of_an_administrator_is_one_of_a_database(desk, address):
    desk.environment |= {"SCHOOLGATE_OWNER_PASSWORD": "x", "SCHOOLGATE_LOGIN_PASSWORD": "y"}
    assert refusal(desk.run("db", "bootstrap", "--admin-url", address)) == (1, "REQ_INVALID")


def test_what_is_there_twice_is_said(desk):
    desk.onboard()
    for words in (("source", "add", "sis"),
                  ("vendor", "add", "SIS Inc", "--category", "sis", "--contact", "sis@example.org"),
                  ("school", "add", "Again", "--source", "sis", "--org", "A")):  # fmt: skip
        assert "REQ_CONFLICT" in desk.run(*words).stderr


def refusal(done: Result) -> tuple[int, str]:
    """Exit code and code of a refusal that is said in words."""
    assert "Traceback" not in done.output, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    codes = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("  code ")]
    return done.exit_code, codes[0] if codes else ""


def test_a_school_is_not_made_twice(desk):
    desk.said("school", "add", "Lincoln")
    assert refusal(desk.run("school", "add", "Lincoln")) == (1, "REQ_CONFLICT")
    desk.said("source", "add", "sis")
    assert refusal(desk.run("school", "add", "Lincoln", "--source", "sis", "--org", "L1")) == (1, "REQ_CONFLICT")
    for half in (("--source", "sis"), ("--org", "L1")):
        assert refusal(desk.run("school", "add", "Half", *half)) == (1, "REQ_INVALID")
    assert [row["name"] for row in desk.said("school", "list")] == ["Lincoln"]
    for _ in range(2):  # people may share a name
        desk.said("staff", "add", "A. Smith", "--role", "district_admin")


NAMED = {
    "district": ("district", "add", "{}", "--admin", "D. Admin"),
    "administrator": ("district", "add", "D", "--admin", "{}"),
    "school": ("school", "add", "{}"), "person": ("staff", "add", "{}", "--role", "district_admin"),
    "source": ("source", "add", "{}"),
    "vendor": ("vendor", "add", "{}", "--category", "sis", "--contact", "sis@example.org"),
}  # fmt: skip


@pytest.mark.parametrize("what", NAMED)
def test_a_name_is_one_that_a_person_can_read(desk, what):
    for name, why in (
        ("", "is empty"), (" \t ", "is empty"), ("\u200b\u00a0", "is empty"), ("a\x1b[31mb", "a control character"),
        ("a\nb", "a control character"), ("a\u202eb", "a control character"), ("a\u2028b", "a control character"),
        ("\udcff", "a control character"), ("x" * 201, "200 is the most"),
    ):  # fmt: skip
        done = desk.run(*(name if word == "{}" else word for word in NAMED[what]))
        assert refusal(done) == (1, "REQ_INVALID"), name
        assert f"the name of the {what}" in done.stderr
        assert why in done.stderr
    for name in (" Ōtāhuhu – St. Mary’s (№ 5) 👩‍🏫 ", "x" * 200):
        desk.said(*(name if word == "{}" else word for word in NAMED[what]))


def test_a_name_is_shown_as_it_is(desk):
    desk.said("school", "add", "Lincoln [/b] [red]High[/red]")
    assert "Lincoln [/b] [red]High[/red]" in desk.run("school", "list").stdout


def test_districts_of_one_name_are_told_apart_by_their_references(desk):
    desk.onboard()
    (mine,) = desk.said("district", "list")
    other = json.loads(desk.run("district", "add", f" {mine['name']} ", "--admin", "Bea", "--json").stdout)
    shown = desk.run("district", "list", "--json", token=other["token"]).stdout
    assert [(one["ref"], one["name"]) for one in json.loads(shown)] == [(other["district"], mine["name"])]
    assert other["district"] != mine["ref"]
    assert json.loads(desk.run("school", "list", "--json", token=other["token"]).stdout) == []
    assert f"District {mine['name']} is di_" in desk.run("district", "add", f"{mine['name']} ", "--admin", "C").stdout


def test_a_blank_school_is_no_school_and_not_all_of_them(desk):
    desk.onboard()
    before = desk.said("staff", "list")
    done = desk.run("staff", "add", "Zed", "--role", "privacy_officer", "--school", "")
    assert (refusal(done), desk.said("staff", "list")) == ((1, "REQ_UNKNOWN"), before)


@pytest.mark.parametrize(
    "words", [("--end-agreement", ""), ("--refuse", ""), ("--refuse", "p2", "--under", ""), ("--policy", "")]
)
def test_what_if_of_nothing_is_refused(desk, words):
    desk.run("sync", "apply", "sis", desk.onboard())
    assert refusal(desk.run("what-if", *words)) == (1, "REQ_INVALID" if "--policy" in words else "REQ_UNKNOWN")


def test_blanks_around_a_name_are_not_part_of_it(desk):
    assert desk.said("school", "add", " Lincoln ")["name"] == "Lincoln"
    assert [row["name"] for row in desk.said("school", "list")] == ["Lincoln"]
    assert refusal(desk.run("school", "add", "Lincoln")) == (1, "REQ_CONFLICT")


def test_what_cannot_be_kept_is_refused_in_words(desk):
    assert refusal(desk.run("source", "add", "s", "--url", "https://x.example", "--client-id", "\udcff")) == (
        1, "REQ_INVALID",
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("school", "add", "S", "--source", "X", "--org", "1"), ("sync", "plan", "X", "x.zip"),
        ("sync", "hold", "release", "X"), ("sync", "hold", "show", "X"), ("sync", "hold", "discard", "X"),
        ("sync", "undo", "X"), ("source", "guard", "X", "--reason", "x"),
        ("staff", "add", "S", "--role", "school_admin", "--school", "X"),
        ("family", "code", "p1", "--school", "X"), ("family", "requests", "--school", "X"),
        ("ledger", "export", "--school", "X", "--out", "x"),
        ("ledger", "receipt", "--school", "X", "--pupil", "x", "--transfer", "x", "--out", "x"),
        ("agreement", "end", "X"), ("direction", "revoke", "X"),
        ("agreement", "add", "X", "--element", "SNM", "--purpose", "rostering", "--operation", "roster.read",
         "--until", UNTIL, "--retention-days", "1"),
        ("vendor", "connect", "X", "--agreement", "ag_1", "--scope", OR + "roster.readonly"),
        ("direction", "add", "--agreement", "X", "--operation", "roster.read", "--until", UNTIL),
        ("lms", "agree", "X", "ag_1"), ("lms", "link", "X", "--context", "c", "--school", "School A", "--class", "kA"),
        ("school", "add", "--all-in", __file__, "--source", "X"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_name_that_nothing_has_is_for_whoever_typed_it(desk, words):
    desk.onboard()
    if __file__ in words:
        words = [str(desk.folder / "delivery.zip") if word == __file__ else word for word in words]
    done = desk.run(*words)
    assert refusal(done) == (1, "REQ_UNKNOWN")
    assert " X " in done.stderr
    assert "who     the caller" in done.stderr
    assert "schoolgate school list" in done.stderr


def test_a_kind_that_is_not_there_is_answered_with_those_that_are(desk):
    done = desk.run("vendor", "add", "V", "--category", "X", "--contact", "v@example.org")
    assert refusal(done) == (1, "REQ_INVALID")
    assert "gradebook, higher_ed, lms" in done.stderr
    done = desk.run("staff", "add", "S", "--role", "X")
    assert refusal(done) == (1, "REQ_INVALID")
    assert "roles at the district are district_admin, privacy_officer" in done.stderr


def two_lincolns(desk: Desk) -> Path:
    delivery = two_schools()
    for org in "AB":
        delivery.row("orgs.csv", org)["name"] = "Lincoln Elementary"
    return delivery.zip(desk.folder / "lincolns.zip")


def test_schools_that_share_a_name_are_told_apart_by_reference(desk):
    desk.said("source", "add", "sis")
    made = desk.said("school", "add", "--all-in", two_lincolns(desk))
    refs = [school["ref"] for school in made]
    assert [(school["name"], school["org"]) for school in made] == [("Lincoln Elementary", org) for org in "AB"]
    words = ["staff", "add", "S. A", "--role", "school_admin", "--school"]
    done = desk.run(*words, "Lincoln Elementary")
    assert refusal(done) == (1, "REQ_AMBIGUOUS")
    assert all(ref in done.stderr for ref in refs)
    desk.said(*words, refs[1])
    assert refusal(desk.run("school", "add", "Lincoln Elementary")) == (1, "REQ_CONFLICT")


def test_a_delivery_without_a_required_file_is_refused_in_words(desk):
    desk.said("source", "add", "sis")
    folder = two_schools().folder(desk.folder / "partial")
    (folder / "courses.csv").unlink()
    manifest = folder / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("file.courses,bulk", "file.courses,absent"))
    done = desk.run("school", "add", "--all-in", folder)
    assert refusal(done) == (1, "CSV_FILE_MISSING")
    assert "courses.csv: A required file is missing." in done.stderr


def test_a_school_that_stands_twice_in_a_delivery_is_made_once(desk):
    desk.said("source", "add", "sis")
    delivery = two_schools().add("orgs.csv", sourcedId="A", name="School A again", type="school")
    made = desk.said("school", "add", "--all-in", delivery.zip(desk.folder / "twice.zip"))
    assert [(school["name"], school["org"], school["new"]) for school in made] == [
        ("School A", "A", True), ("School B", "B", True),
    ]  # fmt: skip


def test_the_schools_of_a_delivery_are_made_once(desk):
    delivery = two_schools().zip(desk.folder / "delivery.zip")
    all_in = ("school", "add", "--all-in", delivery)
    done = desk.run(*all_in)
    assert refusal(done) == (1, "REQ_INVALID")
    assert "schoolgate source add" in done.stderr
    desk.said("source", "add", "sis")
    desk.said("school", "add", "School A", "--source", "sis", "--org", "A")
    assert [school["new"] for school in desk.said(*all_in)] == [False, True]
    done = desk.run(*all_in)
    assert (done.exit_code, "Nothing to add" in done.stdout) == (0, True)
    assert "School A is there already: sch_" in done.stdout
    assert len(desk.said("school", "list")) == 2
    desk.said("source", "add", "sis2")
    done = desk.run(*all_in)
    assert refusal(done) == (1, "REQ_INVALID")
    assert "sis, sis2" in done.stderr
    for words in (("X", *all_in[2:]), (*all_in[2:], "--org", "A"), ()):
        assert desk.run("school", "add", *words).exit_code == 2


def test_the_schools_of_a_delivery_are_made_together_or_not_at_all(desk):
    desk.said("source", "add", "sis")
    desk.said("school", "add", "School B")
    assert refusal(desk.run("school", "add", "--all-in", two_schools().zip(desk.folder / "d.zip"))) == (
        1, "REQ_CONFLICT",
    )  # fmt: skip
    assert [row["name"] for row in desk.said("school", "list")] == ["School B"]
    none = two_schools()
    for org in "AB":
        none.row("orgs.csv", org)["type"] = "department"
    assert refusal(desk.run("school", "add", "--all-in", none.zip(desk.folder / "none.zip"))) == (1, "REQ_INVALID")


def test_an_org_is_one_that_a_delivery_can_name(desk):
    desk.said("source", "add", "sis")
    for org in ("", "a b", "x" * 256, "ä"):
        done = desk.run("school", "add", "X", "--source", "sis", "--org", org)
        assert refusal(done) == (1, "REQ_INVALID"), org
        assert "a sourcedId" in done.stderr


def test_a_school_of_a_delivery_whose_name_cannot_be_kept_is_named_by_its_org(desk):
    desk.said("source", "add", "sis")
    long = two_schools()
    long.row("orgs.csv", "B")["name"] = "x" * 201
    done = desk.run("school", "add", "--all-in", long.zip(desk.folder / "long.zip"))
    assert refusal(done) == (1, "REQ_INVALID")
    assert "the name of the school B has 201 characters" in done.stderr


def test_addresses_are_https_outside_the_sandbox(desk):
    desk.environment["SCHOOLGATE_SANDBOX"] = "0"
    for url in ("http://sis.example/x.zip", "ftp://sis.example/x", "file:///etc/passwd", "http://127.0.0.1/x"):
        assert "SRC_ADDRESS_REFUSED" in desk.run("source", "add", "x", "--url", url).stderr


def test_the_ledger_is_exported_and_verified_offline(desk):
    desk.onboard()
    bundle = desk.folder / "a.zip"
    done = desk.run("ledger", "export", "--school", "School A", "--out", bundle)
    assert "Keep this key" in done.stdout
    key = done.stdout.splitlines()[0].rpartition(": ")[2]
    offline = Desk({"SCHOOLGATE_INSTANCE": "/nonexistent"}, desk.folder)
    checked = offline.run("ledger", "verify", bundle, "--key", key).stdout
    assert ("Valid: schoolgate/sch_" in checked, "agrees with itself" in checked) == (True, False)
    alone = offline.run("ledger", "verify", bundle).stdout
    assert ("It agrees with itself. Whose it is shows only against the key" in alone, key in alone) == (True, True)
    assert not offline.said("ledger", "verify", bundle)["key_checked"]
    with zipfile.ZipFile(bundle) as whole, zipfile.ZipFile(desk.folder / "b.zip", "w") as changed:
        for name in whole.namelist():
            changed.writestr(name, whole.read(name).replace(b'"type":"agreement"', b'"type":"direction"', 1))
    done = offline.run("ledger", "verify", desk.folder / "b.zip")
    assert done.exit_code == 1
    assert "NOT VALID: entry 1 was changed" in done.stdout
    assert "LED_INVALID" in done.stdout


def test_a_batch_goes_on_after_a_refusal(desk):
    lines = (
        f"as {desk.environment['SCHOOLGATE_TOKEN']}\nschool list --json\nschool add\nnonsense\ndistrict list --json\n"
    )
    done = CliRunner(env=desk.environment).invoke(main, ["batch"], input=lines)
    codes = [line for line in done.output.splitlines() if line.startswith("-- exit")]
    assert codes == [f"-- exit {n}" for n in (0, 0, 2, 2, 0)]
    assert done.exit_code == 2
    inner = CliRunner(env=desk.environment).invoke(main, ["batch"], input="batch\n")
    assert (inner.exit_code, "this is a batch already" in inner.output) == (2, True)


def test_a_batch_goes_on_after_a_line_that_cannot_be_read(desk):
    lines = (
        b"as %s\nschool list 'open\nschool list --json\nschool add \xff\xfe\n# nothing\n\n'' x\ndistrict list --json\n"
    )
    done = CliRunner(env=desk.environment).invoke(
        main, ["batch"], input=lines % desk.environment["SCHOOLGATE_TOKEN"].encode()
    )
    codes = [line for line in done.output.splitlines() if line.startswith("-- exit")]
    assert codes == [f"-- exit {n}" for n in (0, 2, 0, 1, 2, 0)], done.output
    assert "No closing quotation" in done.output
    assert refusal(done)[0] == 2


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(command, click.Group):
        return [path, *(p for name, sub in command.commands.items() for p in every_command(sub, (*path, name)))]
    return [path]


@pytest.mark.parametrize("path", every_command(main), ids=" ".join)
def test_every_command_says_what_it_does(path):
    done = CliRunner().invoke(main, [*path, "--help"])
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 3


@pytest.mark.parametrize(
    "path", ["district add", "sync plan", "vendor connect", "agreement add", "lms add", "ledger verify"]
)
def test_a_wrong_use_exits_with_2(desk, path):
    assert desk.run(*path.split()).exit_code == 2


def test_the_lms_paste_sheet(desk):
    desk.onboard()
    desk.run("sync", "apply", "sis", desk.folder / "delivery.zip")
    desk.said("vendor", "add", "Canvas Inc", "--category", "lms", "--contact", "c@example.org")
    words = [
        "lms", "add", "Canvas Inc", "--issuer", "https://canvas.example", "--client-id", f"c-{desk.folder.name}",
        "--deployment-id", "1", "--auth-url", "https://canvas.example/auth", "--token-url",
        "https://canvas.example/token", "--jwks-url", "https://canvas.example/jwks", "--school", "School A",
    ]  # fmt: skip
    done = desk.run(*words, "--product", "zz")
    assert refusal(done) == (1, "REQ_INVALID")
    assert "products are blackboard, brightspace, canvas, generic, moodle, openedx, sakai, schoology" in done.stderr
    done = desk.run(*words)
    for line in ("Type into the LMS:", "login_url", "/lti/login", "redirect_uri", "/lti/keys/re_"):
        assert line in done.stdout
    (row,) = desk.said("lms", "list")
    link = ["lms", "link", row["deployment"], "--context", "c1", "--class", "kA", "--school"]
    assert "Linked." in desk.run(*link, "School A").stdout
    assert "ACT_WRONG_SCHOOL" in desk.run(*link, "School B").stderr
    assert "OWN_NOT_ASSOCIATED" in desk.run(*link[:-2], "kB", "--school", "School A").stderr
    assert "REQ_CONFLICT" in desk.run(*words).stderr
    other = [w.replace("canvas.example", "moodle.example") for w in words]
    desk.said(*other)
    agreement = desk.agree("Canvas Inc", "roster.read")
    done = desk.run("lms", "agree", "1", agreement)
    assert refusal(done) == (1, "REQ_AMBIGUOUS")
    assert row["deployment"] in done.stderr
    assert desk.run("lms", "agree", row["deployment"], agreement).exit_code == 0


def test_a_known_make_needs_three_options(desk):
    desk.onboard()
    desk.said("vendor", "add", "Moodle HQ", "--category", "lms", "--contact", "m@example.org")
    words = ["lms", "add", "Moodle HQ", "--product", "moodle", "--school", "School A"]
    done = desk.run(*words, "--client-id", "c")
    assert refusal(done) == (1, "REQ_INVALID")
    assert "Moodle needs --site, --deployment-id" in done.stderr
    site = f"https://{desk.folder.name}.moodle.example".replace("_", "-")
    done = desk.run(*words, "--site", f"{site}/", "--client-id", " c ", "--deployment-id", "1")
    assert "schoolgate lms sheet moodle" in done.stdout, done.output
    (row,) = [r for r in desk.said("lms", "list") if r["product"] == "moodle"]
    assert (row["issuer"], row["client"], row["deployment id"]) == (site.lower(), "c", "1")


def test_the_sheet_needs_no_installation_and_says_how_each_line_is_known(tmp_path):
    environment = {"SCHOOLGATE_INSTANCE": str(tmp_path / "none"), "SCHOOLGATE_URL": "https://gate.example"}
    run = CliRunner(env=environment).invoke
    done = run(main, ["lms", "sheet", "moodle", "--site", "moodle.school.example"])
    assert done.exit_code == 0, done.output
    for line in (
        "Initiate login URL                     https://gate.example/lti/login  (reported)",
        "Platform ID    --site https://moodle.school.example  (reported)",
        "jwks_url   https://moodle.school.example/mod/lti/certs.php  (seen)",
        "Then: schoolgate lms add VENDOR --product moodle --site https://moodle.school.example --client-id CLIENT_ID",
    ):
        assert line in done.stdout
    for name in products.names():
        said = json.loads(run(main, ["lms", "sheet", name, "--json"]).stdout)
        rows = [*said["type"], *said["bring"], *said["filled"], *said["habits"], said["type_at"], said["look_at"]]
        assert {row["evidence"] for row in rows} <= {"seen", "documented", "reported"}
        assert [row for row in said["type"] if row["value"] == "https://gate.example/lti/launch"]
    assert refusal(run(main, ["lms", "sheet", "zz"])) == (1, "REQ_INVALID")
    assert not (tmp_path / "none").exists()


def test_families_get_codes_and_the_school_sees_their_requests(desk):
    desk.run("sync", "apply", "sis", desk.onboard())
    made = desk.said("family", "code", "Givenp0 Familyp0", "--school", "School A")
    assert (made["pupil"], made["url"]) == ("Givenp0 Familyp0", "http://127.0.0.1:8080/family")
    assert desk.run("family", "code", "nobody", "--school", "School A").exit_code == 1
    assert desk.run("family", "requests", "--school", "School A").exit_code == 0


def test_the_schema_is_brought_up_to_date(addresses, desk):
    desk.environment["DATABASE_OWNER_URL"] = addresses.owner
    assert "up to date" in desk.run("db", "upgrade").stdout


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("SCHOOLGATE_URL", "http://gateway.example", "INT_SETTINGS"),
        ("DATABASE_URL", "mysql://db/x", "INT_SETTINGS"),
        ("DATABASE_URL", "postgresql://nobody:x@127.0.0.1:1/x", "INT_UNAVAILABLE"),
    ],
)
def test_what_keeps_it_from_running_is_said_in_words(desk, name, value, code):
    desk.environment[name] = value
    for words in (("school", "list"), ("worker", "--once"), ("serve", "--port", "1")):
        done = desk.run(*words)
        assert (done.exit_code, "Traceback" in done.output) == (1, False), done.output
        for line in (f"code    {code}", "remedy  ", "who     the operator of this gateway"):
            assert line in done.stderr


def test_who_has_read_enough_ends_a_command_quietly(desk):
    """`schoolgate … | head -1`: no refusal is said about a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "district", "list"], env=os.environ | desk.environment, stdout=write,
        stderr=subprocess.PIPE, check=False, text=True,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, "Refused" in done.stderr, "Traceback" in done.stderr) == (1, False, False)


def test_an_lms_is_switched_off_and_on_and_granted_a_school(desk):
    desk.onboard()
    desk.said("vendor", "add", "An LMS", "--category", "lms", "--contact", "c@example.org")
    made = desk.said("lms", "add", "An LMS", "--product", "moodle", "--site", "https://lms.school.example",
                     "--client-id", "c1", "--deployment-id", "1", "--school", "School A")  # fmt: skip
    deployment = made["deployment"]
    assert desk.said("lms", "off", deployment) == {"deployment": deployment, "state": "off"}
    assert [row["state"] for row in desk.said("lms", "list")] == ["off"]
    assert "REQ_CONFLICT" in desk.run("lms", "off", deployment).stderr
    assert "is switched on." in desk.run("lms", "on", deployment).stdout
    assert len(desk.said("lms", "grant", deployment, "--school", "School B")["granted"]) == 1
    (row,) = desk.said("lms", "list")
    assert (row["state"], row["schools"]) == ("on", "School A, School B")
    assert "REQ_CONFLICT" in desk.run("lms", "grant", deployment, "--school", "School B").stderr
    assert desk.run("lms", "grant", deployment).exit_code == 2
    invited = desk.said("lms", "invite", "An LMS", "--school", "School A")
    assert desk.said("lms", "reject", invited["invite"]) == {"ref": invited["invite"], "state": "withdrawn"}
    assert desk.said("lms", "pending") == []
