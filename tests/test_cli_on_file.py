"""What schools have on file, from the command line: files, single papers, and questions about them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import UNTIL, Desk, desk, refusal

__all__ = ["desk"]
TODAY = datetime.now(UTC).date()
DOCUMENT = "0" * 64


@pytest.fixture
def standing(desk: Desk) -> Desk:
    """Two schools with a roster, and a vendor Quiz with an agreement and a direction at School A."""
    desk.run("sync", "apply", "sis", desk.onboard())
    desk.said("vendor", "add", "Quiz", "--category", "assessment", "--contact", "q@example.org")
    ref = desk.agree("Quiz", "roster.read", "--school", "School A", "--number", "A-7")
    desk.said("direction", "add", "--agreement", "A-7", "--operation", "roster.read", "--until", UNTIL,
              "--school", "School A")  # fmt: skip
    desk.said("vendor", "connect", "Quiz", "--agreement", ref, "--scope",
              "https://purl.imsglobal.org/spec/or/v1p2/scope/roster.readonly")  # fmt: skip
    return desk


def file(desk: Desk, *lines: dict[str, Any]) -> Path:
    path = desk.folder / "papers.json"
    path.write_text(json.dumps(lines))
    return path


def agreement(number: str, **changes: Any) -> dict[str, Any]:
    return {"number": number, "vendor": "Quiz", "schools": ["School B"], "schedule": ["SNM"], "until": UNTIL,
            "purposes": ["rostering"], "operations": ["roster.read"], "retention_days": 30, "commitments": ["all"],
            "assured": TODAY.isoformat(), "document": DOCUMENT} | changes  # fmt: skip


def test_a_file_is_planned_and_then_applied(standing):
    path = file(standing, agreement("B-1"), agreement("B-2", operations=["members.read"]))
    planned = standing.run("agreement", "import", path)
    assert (planned.exit_code, "line 2: new B-2" in planned.stdout) == (0, True)
    assert "Plan: 2 new, 0 changed, 0 unchanged. Nothing was changed." in planned.stdout
    assert f"Next: the same with --apply ({path})" in planned.stdout
    numbers = [row["number"] for row in standing.said("agreement", "list")]
    assert "B-1" not in numbers
    done = standing.said("agreement", "import", path, "--apply")
    assert (done["new"], done["applied"], [line["action"] for line in done["lines"]]) == (2, True, ["new", "new"])
    assert "On file: 0 new, 0 changed, 2 unchanged." in standing.run("agreement", "import", path, "--apply").stdout
    assert {"B-1", "B-2"} <= {row["number"] for row in standing.said("agreement", "list")}


def test_a_file_with_a_fault_changes_nothing_and_names_its_line(standing):
    path = file(standing, agreement("B-1"), agreement("B-2", operations=["members.read"], document=None))
    for more in ((), ("--apply",)):
        done = standing.run("agreement", "import", path, *more)
        assert done.exit_code == 1
        assert "line 2: The agreement names no signed document" in done.stdout
        assert "  code    AGR_UNSIGNED" in done.stdout
        assert "Nothing was changed: 1 lines cannot be put on file." in done.stdout
    assert "B-1" not in [row["number"] for row in standing.said("agreement", "list")]
    (standing.folder / "x.csv").write_text("a,a\n1,2\n")
    assert refusal(standing.run("consent", "import", standing.folder / "x.csv")) == (1, "REQ_INVALID")


def test_an_agreement_that_waits(standing):
    ref = standing.said(
        "agreement", "add", "Quiz", "--element", "SNM", "--purpose", "rostering", "--operation", "members.read",
        "--until", UNTIL, "--draft",
    )["agreement"]  # fmt: skip
    assert refusal(standing.run("agreement", "activate", ref)) == (4, "AGR_COMMITMENTS_INCOMPLETE")
    (whole,) = (r for r in standing.said("agreement", "list") if r["number"] == "A-7")
    ref = whole["ref"].partition("@")[0]
    assert "Suspended at 1 schools" in standing.run("agreement", "suspend", ref).stdout
    assert "In force at 1 schools." in standing.run("agreement", "activate", ref).stdout


def test_families_answers_and_why(standing):
    asked = ("explain", "--vendor", "Quiz", "--student", "p2", "--element", "person.name.given")
    yes = standing.run(*asked)
    assert (yes.exit_code, "Yes: an agreement, a direction" in yes.stdout) == (0, True)
    who = ("--school", "School A", "--pupil", "p2")
    out = standing.said("opt-out", "add", *who, "--category", "assessment")["opt_out"]
    assert standing.said(*asked)["answers"][0]["code"] == "CON_OPT_OUT"
    assert [row["pupil"] for row in standing.said("opt-out", "list")] == ["p2"]
    assert "Ended at 1 schools." in standing.run("opt-out", "end", out).stdout
    no = ("consent", "add", *who, "--scope", "disclose", "--grantor", "parent", "--agreement", "A-7")
    assert refusal(standing.run(*no, "--status", "given")) == (1, "CON_EVIDENCE_MISSING")
    evidence = ("--method", "signed form", "--answered", TODAY - timedelta(days=1), "--document", standing.paper)
    ref = standing.said(*no, "--status", "given", *evidence)["consent"]
    assert standing.said(*asked)["answers"][0]["permitted"]
    assert "Withdrawn at 1 schools" in standing.run("consent", "withdraw", ref).stdout
    refused = standing.run(*asked)
    assert "CON_WITHDRAWN" in refused.stdout
    assert f"{ref}@2 (withdrawn, disclose)" in refused.stdout
    assert [row["status"] for row in standing.said("consent", "list")] == ["withdrawn"]


def test_policies(standing):
    assert "class_trak governs 2 schools" in standing.run("policy", "govern", "class_trak").stdout
    assert "governs already" in standing.run("policy", "govern", "class_trak").stdout
    assert [row["policy"] for row in standing.said("district", "list")] == ["class_trak"]
    assert standing.run("policy", "list").stdout.startswith("class_trak governs.")
    path = file(standing, {"policy": "class_trak", "version": 2, "change": "material", "document": DOCUMENT,
                           "effective": TODAY.isoformat()})  # fmt: skip
    assert "Plan: 1 new" in standing.run("policy", "import", path).stdout
    assert "On file: 1 new" in standing.run("policy", "import", path, "--apply").stdout
    words = file(standing, {"policy": "class_trak", "version": 2, "word": "noticed"})
    assert "On file: 1 new" in standing.run("policy", "import-words", words, "--apply").stdout
    assert "On file: 0 new, 0 changed, 1 unchanged" in standing.run("policy", "import-words", words, "--apply").stdout
    (row,) = standing.said("policy", "list")
    assert (row["told"], row["agreed"]) == (2, 0)


def test_what_if(standing):
    (row,) = (r for r in standing.said("agreement", "list") if r["number"] == "A-7")
    for name in (row["ref"].partition("@")[0], "A-7"):
        said = standing.said("what-if", "--end-agreement", name)["effects"]
        assert [(e["vendor"], e["pupils"], e["code"]) for e in said] == [("Quiz", [7, 0], "AGR_REVOKED")]
    for nothing in (("--end-agreement", "A-8"), ("--refuse", "p99"), ("--refuse", "p2", "--under", "A-8")):
        assert refusal(standing.run("what-if", *nothing)) == (1, "REQ_UNKNOWN")
    text = standing.run("what-if", "--refuse", "p2").stdout
    assert "pupils 7 → 6" in text
    assert standing.run("what-if", "--policy", "strictest").stdout == "Nothing that leaves would change.\n"
    for wrong in ((), ("--refuse", "p2", "--policy", "strictest"), ("--under", "A-7")):
        assert standing.run("what-if", *wrong).exit_code == 2


def test_a_version_of_the_policy(standing):
    add = ("policy", "add", "strictest", 2, "--change", "material", "--effective", TODAY, "--document", standing.paper)
    assert "On file. Next: schoolgate policy notice strictest 2" in standing.run(*add).stdout
    assert standing.run(*add).exit_code == 0
    other = [word if word != "material" else "editorial" for word in add]
    assert refusal(standing.run(*other)) == (1, "REQ_TWICE")
    assert "Told at 2 schools." in standing.run("policy", "notice", "strictest", 2, "--channel", "e-mail").stdout
    assert "Accepted for 1 schools." in standing.run("policy", "accept", "strictest", 2, "--school", "School A").stdout
    (row,) = standing.said("policy", "list")
    assert (row["told"], row["agreed"]) == (2, 1)
    (answer,) = standing.said("explain", "--vendor", "Quiz", "--student", "p2", "--element", "person.name.given")[
        "answers"
    ]
    assert answer["permitted"]
