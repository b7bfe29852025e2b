"""The gateway's story in nine scenes, told over loopback HTTP between real processes; each scene is asserted.

`python -m gateway.sandbox.story [--serve] [--out demo-out]` exits non-zero when one scene is not true.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from gateway.sandbox import district
from gateway.sandbox.browser import Browser
from gateway.sandbox.stage import Desk, Stage, StageError, check
from gateway.sandbox.vendor import ROSTER, Vendor

_OR = "https://purl.imsglobal.org/spec/or/v1p2/scope/"
_DEMOGRAPHICS = _OR + "roster-demographics.readonly"
_UNTIL = "2036-07-01"
_ROSTER_PATH = "/ims/oneroster/rostering/v1p2/"
_APP_SCOPES = ("launch.read", "members.read", "results.write", "transfers.read", "transcripts.write")


@dataclass(slots=True)
class Story:
    """What the scenes share: the stage, who is who, and what has happened so far."""

    stage: Stage
    out: Path
    cast: dict[str, str]
    refs: dict[str, str] = field(default_factory=dict)
    credentials: dict[str, dict[str, str]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def desk(self) -> Desk:
        assert self.stage.desk is not None  # noqa: S101 - raised with the stage
        return self.stage.desk

    def url(self, path: str) -> str:
        return self.stage.gateway + path

    def vendor(self, name: str) -> Vendor:
        known = self.credentials[name]
        return Vendor(self.stage.gateway, known["client_id"], secret=known["client_secret"])

    def peer(self, name: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask one of the outside systems."""
        base = self.stage.peers[name][name]
        answer = requests.request("POST" if body is not None else "GET", base + path, json=body, timeout=30)
        return answer.json()

    def bearer(self, name: str, scope: str) -> dict[str, str]:
        known = self.credentials[name]
        answer = requests.post(
            self.url("/oauth2/token"), data={"grant_type": "client_credentials", "scope": scope},
            auth=(known["client_id"], known["client_secret"]), timeout=10,
        )  # fmt: skip
        check(answer.status_code == 200, f"{name} got no token: {answer.text}")
        return {"Authorization": "Bearer " + answer.json()["access_token"]}


# --- onboarding ------------------------------------------------------------------------------------


def onboard(story: Story) -> str:
    """A district and two schools come on board, with their vendors, agreements and directions."""
    desk, peers = story.desk, story.stage.peers
    made = desk.must("district", "add", "Alder Valley USD", "--admin", "D. Ruiz")
    desk.acts_as(made["token"])
    story.facts["admin"] = made["token"]
    sis = peers["sis"]
    desk.must(
        "source", "add", "sis", "--url", sis["export_url"], "--token-url", sis["token_url"], "--client-id",
        sis["client_id"],
    )  # fmt: skip
    for name, org in (("Alder High School", "alder_high"), ("Birch Middle School", "birch_middle")):
        story.refs[org] = desk.must("school", "add", name, "--source", "sis", "--org", story.cast[org])["ref"]
    _vendors(story)
    _agreements(story)
    return "D. Ruiz onboards a district, 2 schools, 7 vendors with 7 agreements, and directs who may receive what"


def _vendors(story: Story) -> None:
    launch_url = story.stage.peers["assessment"]["launch_url"]
    for name, category in (
        ("Alder SIS Inc", "sis"), ("SimCanvas", "lms"), ("BrightQuiz", "assessment"), ("OldTool", "assessment"),
        ("State College", "higher_ed"), ("Other College", "higher_ed"),
    ):  # fmt: skip
        contact = f"privacy@{name.lower().replace(' ', '-')}.example"
        story.desk.must("vendor", "add", name, "--category", category, "--contact", contact)
    story.desk.must(
        "vendor", "add", "Mastery App", "--category", "application", "--contact", "privacy@mastery.example",
        "--launch-url", launch_url,
    )  # fmt: skip


def _agree(story: Story, vendor: str, school: str | None, until: str = _UNTIL, **terms: tuple[str, ...]) -> str:
    words = ["agreement", "add", vendor, "--until", until, "--retention-days", "365", "--school-agent"]
    today = datetime.now(UTC).date().isoformat()
    words += ["--commitment", "all", "--assured", today, "--document", _signed(story, vendor)]
    words += ["--from", "2025-07-01"] + (["--school", school] if school else [])
    for option, values in terms.items():
        words += [w for value in values for w in (f"--{option}", value)]
    return str(story.desk.must(*words)["agreement"])


def _signed(story: Story, vendor: str) -> str:
    """A signed document, of which the gateway keeps the hash."""
    path = story.stage.folder / f"agreement with {vendor}.txt"
    path.write_text(f"Alder Valley USD and {vendor} have agreed.\n")
    return str(path)


def _agreements(story: Story) -> None:
    """Agreements by vendor: (element, purpose, operation, school or both, end, client scopes)."""
    alder = "Alder High School"
    roster = ("SNM", "person.grade", "person.role", "person.enabled", "ENR", "SCH")
    table: tuple[tuple[str, tuple[str, ...], str, tuple[str, ...], str | None, str, tuple[str, ...]], ...] = (
        ("Alder SIS Inc", ("SNM", "SID", "ENR", "SCH", "PGI", "DEM"), "rostering", ("roster.import",), None, _UNTIL,
         ()),
        ("Mastery App", ("SNM", "ENR", "SCH", "SAP"), "assessment_delivery",
         ("launch.handover", "members.read", "result.write"), alder, _UNTIL, _APP_SCOPES),
        ("SimCanvas", ("SAP", "person.lti_subject"), "grading", ("grade.passback",), alder, _UNTIL, ()),
        ("BrightQuiz", roster, "rostering", ("roster.read",), alder, _UNTIL, (ROSTER, _DEMOGRAPHICS)),
        ("OldTool", roster, "rostering", ("roster.read",), alder, "2026-06-30", (ROSTER,)),
        ("State College", ("TRN",), "transcript_delivery", ("transcript.deliver",), alder, _UNTIL,
         ("transcripts.read",)),
        ("Other College", ("TRN",), "transcript_delivery", ("transcript.deliver",), alder, _UNTIL,
         ("transcripts.read",)),
    )  # fmt: skip
    for vendor, elements, purpose, operations, school, until, scopes in table:
        ref = _agree(story, vendor, school, until, element=elements, purpose=(purpose,), operation=operations)
        story.refs[vendor] = ref
        where = ["--school", school] if school else []
        for operation in operations:
            if operation not in ("roster.import", "result.write", "transcript.deliver"):
                story.desk.must(
                    "direction", "add", "--agreement", ref, "--operation", operation, "--until", _UNTIL, *where
                )
        if scopes:
            words = ["vendor", "connect", vendor, "--agreement", ref, *where]
            story.credentials[vendor] = story.desk.must(*words, *(w for s in scopes for w in ("--scope", s)))


# --- the scenes ------------------------------------------------------------------------------------


def sync(story: Story) -> str:
    """A bulk zip is fetched, planned and published; bad rows are quarantined by file, line, column, reason."""
    planned = story.desk.run("sync", "plan", "sis", "--json")
    check(planned.code == 0 and planned.said["state"] == "planned", f"the plan failed: {planned.text[-800:]}")
    done = story.desk.run("sync", "apply", "sis", "--json")
    check(done.code == 0 and done.said["state"] == "published", f"the delivery was not published: {done.text[-800:]}")
    report = done.said
    named = {(f["file"], f["line"]) for f in report["faults"]}
    for file, line, _column, what in story.facts["planted"]:
        check((file, line) in named, f"the planted fault {what} ({file} line {line}) was not named")
    check(all(s["version"] == 1 for s in report["schools"]), "there is not exactly one version")
    people = sum(s["kinds"]["user"]["added"] for s in report["schools"])
    worst = report["causes"][0]
    return (
        f"Alder SIS delivers {people:,} people of 2 schools (some in both): version 1 published; "
        f"{len(report['faults'])} rows quarantined, e.g. {worst['file']} line {worst['line']} {worst['column']}: "
        f"{worst['sentence']}"
    )


def launch(story: Story) -> str:
    """A teacher's LTI 1.3 launch passes the gate; the application exchanges a one-time code for it."""
    lms = story.stage.peers["lms"]
    ours = story.desk.must(
        "lms", "add", "SimCanvas", "--issuer", lms["issuer"], "--client-id", lms["client_id"], "--deployment-id",
        lms["deployment_id"], "--auth-url", lms["auth_url"], "--token-url", lms["token_url"], "--jwks-url",
        lms["jwks_url"], "--agreement", story.refs["SimCanvas"], "--school", "Alder High School",
    )  # fmt: skip
    linked = story.desk.run(
        "lms", "link", ours["deployment"], "--context", lms["cast"]["course"], "--school", "Alder High School",
        "--class", story.cast["class"],
    )  # fmt: skip
    check(linked.code == 0, f"the course was not linked: {linked.text}")
    tool = {
        "client_id": lms["client_id"], "deployment_id": lms["deployment_id"], "login_url": ours["login_url"],
        "redirect_uris": [ours["redirect_uri"]], "jwks_url": ours["jwks_url"],
        "target_link_uri": ours["target_link_uri"], "custom": {"activity": "unit-4-check"},
    }  # fmt: skip
    story.peer("lms", "/_sandbox/tool", tool)
    story.peer(
        "assessment", "/_sandbox/configure", {"gateway_url": story.stage.gateway, **story.credentials["Mastery App"]}
    )
    browser = story.facts["browser"] = sign_in(story, lms["cast"]["teacher"])
    open_activity(story, browser)
    got = _launches(story)[-1]
    check(got["person"]["role"] == "teacher" and got["can"]["grades"], "the launch is not a teacher's who may grade")
    check("person.email" in got["withheld"] and "email" not in got["person"], "an element outside the agreement came")
    again = requests.post(
        story.url("/v1/launches/exchange"), json={"code": "x" * 43}, headers=story.bearer("Mastery App", "launch.read"),
        timeout=10,
    )  # fmt: skip
    check(again.status_code == 404 and again.json()["code"] == "LTI_CODE", "an unknown code was not refused")
    story.facts["launch"] = got
    return (
        f"{got['person']['name']} opens 'Unit 4 check' in SimCanvas: signature, nonce, deployment and course hold; "
        f"the application learns role and class for a code that works once; e-mail is withheld"
    )


def sign_in(story: Story, user: str) -> Browser:
    """Return a browser signed in to the LMS; each port counts as a site of its own, as on the real web."""
    browser = Browser(ports_are_sites=True)
    browser.get(story.stage.peers["lms"]["lms"] + "/login")
    browser.submit(user=user)
    return browser


def open_activity(story: Story, browser: Browser) -> None:
    lms = story.stage.peers["lms"]
    browser.get(f"{lms['lms']}/courses/{lms['cast']['course']}/open?tool={lms['client_id']}")


def _launches(story: Story) -> list[dict[str, Any]]:
    found = story.peer("assessment", "/_sandbox/launches")
    return list(found["launches"] if isinstance(found, dict) else found)


def grades(story: Story) -> str:
    """The teacher sends mastery results; they arrive by AGS and are read back; the rest say why they could not."""
    launched = story.facts["launch"]
    handed = story.peer(
        "assessment", "/_sandbox/hand_in",
        {"launch": launched["id"], "activity": "unit-4-check", "mode": "preview", "key": secrets.token_hex(16)},
    )  # fmt: skip
    check(handed.get("push_url"), f"the results were not taken in: {json.dumps(handed)[:500]}")
    stranger = Browser()
    stranger.get(handed["push_url"])
    check("Osei-Lind" not in stranger.text, "whoever holds the page's key sees pupils' names")
    browser = story.facts["browser"]
    browser.get(handed["push_url"])
    check("Send" in browser.text and "Osei-Lind" in browser.text, "the teacher's page has no button or no names")
    browser.save(story.out / "teacher-before.html")
    browser.submit()
    batch = _until_done(story, handed["id"])
    browser.get(handed["push_url"])
    browser.save(story.out / "teacher-after.html")
    arrived = [s for s in story.peer("lms", "/_sandbox/scores") if s["status"] < 300]
    counts = batch["counts"]
    check(counts["sent"] == len(arrived) > 15, f"{counts} sent, {len(arrived)} arrived")
    check(not any("comment" in s["body"] for s in arrived), "a comment left")
    reasons = {r["reason"] for r in batch["results"] if r["reason"]}
    expected = {"GRD_PUPIL", "GRD_LEVEL_UNMAPPED", "GRD_NOT_IN_COURSE", "GRD_REFUSED"}
    check(reasons == expected, f"the reasons are {sorted(reasons)}")
    check(all(r["fix"] for r in batch["results"] if r["reason"]), "a reason without a remedy")
    story.facts["sent"] = counts["sent"]
    return (
        f"{sum(counts.values())} results for Algebra 1: {counts['sent']} sent to the LMS and read back equal; "
        f"{counts['needs_teacher']} needs the teacher, {counts['needs_admin']} need the office, each with its remedy"
    )


def _until_done(story: Story, batch: str) -> Any:
    for _ in range(300):
        found = story.peer("assessment", f"/_sandbox/batch/{batch}")
        if found.get("state") == "done":
            return found
        time.sleep(0.1)
    raise StageError(f"the grades are not through after 30 s: {found.get('counts')}")


def vendor_read(story: Story) -> str:
    """A vendor reads students, classes and enrollments: one school's rows, the agreement's elements, aliases."""
    vendor = story.vendor("BrightQuiz")
    read = {name: vendor.read(name, "limit=200") for name in ("students", "classes", "enrollments")}
    truth = story.facts["alder"]
    for name, reading in read.items():
        check(not reading.faults, f"{name}: {reading.faults[:3]}")
        check(len(reading.rows) == truth[name], f"{name}: {len(reading.rows)} of {truth[name]}")
    students = read["students"].rows
    check(not any("email" in s or "username" in s for s in students), "an element outside the agreement left")
    everything = json.dumps([r.rows for r in read.values()])
    check(not any(sid in everything for sid in story.facts["source_ids"]), "a source's id left")
    story.facts["students"] = len(students)
    sizes = ", ".join(f"{len(r.rows):,} {n}" for n, r in read.items())
    return f"BrightQuiz reads {sizes} of Alder High: names and grades, no e-mail, random ids, nothing of Birch"


def denied(story: Story) -> str:
    """Another school, an element outside the agreement, an expired agreement, a refused pupil."""
    quiz = story.bearer("BrightQuiz", f"{ROSTER} {_DEMOGRAPHICS}")

    def ask(path: str, headers: dict[str, str]) -> requests.Response:
        return requests.get(story.url(_ROSTER_PATH + path), headers=headers, timeout=10)

    foreign, nothing = (ask(f"students/{sid}", quiz) for sid in (story.facts["birch_pupil"], "no-such-pupil"))
    check(foreign.status_code == nothing.status_code == 404, "a pupil of Birch is not simply not there")
    check(foreign.content == nothing.content, "Birch's pupil can be told apart from nobody")
    births = ask("demographics", quiz)
    check(births.status_code == 403 and "ELM_NOT_IN_SCHEDULE" in births.text, births.text)
    named = ask("students?fields=sourcedId,email", quiz)
    check(named.status_code == 400 and "REQ_FIELD_UNKNOWN" in named.text, named.text)
    expired = ask("students", story.bearer("OldTool", ROSTER))
    check(expired.status_code == 403 and "AGR_EXPIRED" in expired.text, expired.text)
    _refuse(story, story.cast["both_schools"], "BrightQuiz")
    left = story.vendor("BrightQuiz").read("students", "limit=1000").rows
    check(len(left) == story.facts["students"] - 1, "the refused pupil is still there")
    story.facts["students"] = len(left)
    return (
        "Birch's pupil: 404, byte for byte like nobody; birth dates: ELM_NOT_IN_SCHEDULE; OldTool: AGR_EXPIRED; "
        "one family refuses BrightQuiz: the next read has one pupil fewer"
    )


def _refuse(story: Story, pupil: str, vendor: str | None) -> Browser:
    """A family opens its page with the school's code and refuses one company, or everybody."""
    code = story.desk.must("family", "code", pupil, "--school", "Alder High School")
    browser = Browser()
    browser.get(code["url"])
    browser.submit(code=code["code"])
    browser.submit(f"Nothing more to {vendor}" if vendor else "Refuse any further use")
    check("Your refusal is recorded" in browser.text, "the refusal was not confirmed")
    return browser


def next_night(story: Story) -> str:
    """A cut-off delivery would remove a third of a school: it is held, the old version keeps serving."""
    story.peer("sis", "/_sandbox/night", {"night": 2})
    done = story.desk.run("sync", "apply", "sis", "--json")
    check(done.code == 3 and done.said["state"] == "held", f"the cut-off delivery was not held: {done.text[-500:]}")
    trip = next(t for t in done.said["held_by"] if t["kind"] == "user")
    left = story.vendor("BrightQuiz").read("students", "limit=1000").rows
    check(len(left) == story.facts["students"], "the old version does not serve")
    return (
        f"the export job was cut off: {trip['count']} of {trip['of']} people of Birch would go: HELD, version 1 serves"
    )


def parent(story: Story) -> str:
    """A parent asks what left, refuses further use, and asks for deletion."""
    browser = _refuse(story, story.cast["amara"], None)
    for company in ("BrightQuiz", "Mastery App", "SimCanvas"):
        check(company in browser.text, f"the report does not name {company}")
    check(story.refs["BrightQuiz"] in browser.text, "the report does not name the agreement")
    browser.save(story.out / "family.html")
    left = story.vendor("BrightQuiz").read("students", "limit=1000").rows
    check(len(left) == story.facts["students"] - 1, "the next read still has the child")
    browser.submit("Ask everybody to delete")
    check("3 companies were given the task" in browser.text, "not every past recipient has a task")
    tasks = story.desk.run("family", "requests", "--school", "Alder High School")
    check(tasks.text.count("open") >= 4, f"the school does not see the tasks: {tasks.text}")
    return (
        "Amara's parent sees what 3 companies got, when and under which agreement; refuses: the next read omits "
        "Amara; asks for deletion: all 3 have a task with a date"
    )


def transcript(story: Story) -> str:
    """A transcript goes to one addressee at the district's direction: those bytes, to nobody else."""
    member = _pupil_of_class(story)
    issued = story.peer("assessment", "/_sandbox/transcript", {"person": member})
    check("id" in issued, f"the transcript was not taken in: {issued}")
    ref, path = issued["id"], f"/v1/transcripts/{issued['id']}"
    state, other = (story.bearer(v, "transcripts.read") for v in ("State College", "Other College"))
    early = requests.get(story.url(path), headers=state, timeout=10)
    check(early.status_code == 404, "the transcript left without a direction")
    story.desk.must(
        "direction", "add", "--agreement", story.refs["State College"], "--operation", "transcript.deliver",
        "--record", f"{ref}@1", "--until", _UNTIL, "--school", "Alder High School",
    )  # fmt: skip
    got = requests.get(story.url(path), headers=state, timeout=10)
    check(got.status_code == 200, f"the addressee did not get it: {got.text}")
    check(
        set(got.json()) == {"title", "issued_on", "pupil", "school", "competencies"}, f"it holds {sorted(got.json())}"
    )
    refused = [
        requests.get(story.url(path), headers=h, timeout=10) for h in (other, state | {"Authorization": "Bearer x"})
    ]
    check([r.status_code for r in refused] == [404, 401], "somebody else got it")
    nobody = requests.get(story.url("/v1/transcripts/ts_0000000000000000"), headers=other, timeout=10)
    check(_shape(nobody) == _shape(refused[0]), "a document for somebody else can be told apart from none")
    return f"{len(got.content)} bytes to State College and nothing else; Other College: no such document"


def _shape(answer: requests.Response) -> tuple[int, dict[str, Any]]:
    return answer.status_code, {k: v for k, v in answer.json().items() if k not in ("request_id", "type")}


def _pupil_of_class(story: Story) -> str:
    class_id = story.facts["launch"]["class"]["id"]
    answer = requests.get(
        story.url(f"/v1/classes/{class_id}/members"), headers=story.bearer("Mastery App", "members.read"), timeout=20
    )
    pupils = [m for m in answer.json()["data"] if m["role"] == "student"]
    check(len(pupils) == 23, f"Amara is still in the list of {len(pupils)}")
    return str(pupils[0]["id"])


def ledger(story: Story) -> str:
    """Every transfer and denial is in the ledger; it verifies offline; one changed byte is found."""
    bundle = story.out / "alder-ledger.zip"
    done = story.desk.run("ledger", "export", "--school", "Alder High School", "--out", bundle)
    check(done.code == 0, done.text)
    entries = [json.loads(line) for line in zipfile.ZipFile(bundle).read("entries.jsonl").splitlines()]
    intents = [e for e in entries if e["type"] == "intent"]
    grades_sent = [e for e in intents if e["operation"] == "grade.passback"]
    delivered = [e for e in entries if e["type"] == "outcome" and e["outcome"] == "acknowledged"]
    check(len(delivered) == story.facts["sent"] <= len(grades_sent), "a grade is not in the ledger")
    told = {e["reason"] for e in entries if e["type"] == "denial"}
    expected = {"ELM_NOT_IN_SCHEDULE", "AGR_EXPIRED", "DIR_MISSING", "OWN_NOT_ASSOCIATED"}
    check(expected <= told, f"missing denials: {expected - told}")
    valid = story.desk.run("ledger", "verify", bundle)
    check(valid.code == 0 and valid.text.startswith("Valid"), valid.text)
    spoiled = _spoil(bundle, story.out / "alder-ledger-changed.zip")
    found = story.desk.run("ledger", "verify", spoiled)
    check(found.code == 1 and "entry" in found.text, "a changed byte was not found")
    kinds = len({e["operation"] for e in intents})
    return (
        f"{len(entries)} entries: {len(intents)} transfers of {kinds} kinds, "
        f"{sum(e['type'] == 'denial' for e in entries)} denials; the bundle verifies offline; "
        f"one changed byte: {found.text.strip().partition(': ')[2].splitlines()[0]}"
    )


def _spoil(bundle: Path, copy: Path) -> Path:
    """Write a copy of a bundle with one byte of one entry changed."""
    with zipfile.ZipFile(bundle) as whole, zipfile.ZipFile(copy, "w") as changed:
        for name in whole.namelist():
            data = bytearray(whole.read(name))
            if name == "entries.jsonl":
                at = data.index(b'"subjects":') + len(b'"subjects":')
                data[at] = ord("9") if data[at] != ord("9") else ord("8")
            changed.writestr(name, bytes(data))
    return copy


SCENES: tuple[tuple[str, Callable[[Story], str]], ...] = (
    ("Sync", sync), ("Launch", launch), ("Grades", grades), ("Vendor", vendor_read), ("Denied", denied),
    ("Night 2", next_night), ("Parent", parent), ("Transcript", transcript), ("Ledger", ledger),
)  # fmt: skip


# --- telling it ------------------------------------------------------------------------------------


def know(story: Story) -> None:
    """What is true of the made-up district, from its own generator and not from the gateway."""
    story.cast = dict(district.CAST)
    story.facts |= district.truth()


def tell(stage: Stage, out: Path) -> Story:
    """Play every scene. Raises StageError at the first that is not true."""
    story = Story(stage, out, {})
    know(story)
    began = time.perf_counter()
    _say("0", "Onboard", onboard(story), began)
    for number, (title, scene) in enumerate(SCENES, start=1):
        began = time.perf_counter()
        _say(str(number), title, scene(story), began)
    return story


def _say(number: str, title: str, text: str, began: float) -> None:
    print(f"{number} {title:11}{text}  ({time.perf_counter() - began:.1f} s)", flush=True)


def _invite(story: Story) -> None:
    lms = story.stage.peers["lms"]
    print("\nEverything stays up. Stop with Ctrl-C.")
    print(f"  gateway      {story.stage.gateway}")
    family = story.desk.must("family", "code", story.cast["amara"], "--school", "Alder High School")
    print(f"  family page  {family['url']}  enter the code {family['code']}")
    print(f"  LMS          {lms['lms']}/login  sign in as {lms['cast']['teacher']} (teacher)")
    print(f"  application  {story.stage.peers['assessment']['assessment']}")
    print(f"  SIS          {story.stage.peers['sis']['sis']}")
    print(f"  command line export SCHOOLGATE_INSTANCE={story.stage.folder}/instance SCHOOLGATE_SANDBOX=1 \\")
    print(f"               SCHOOLGATE_URL={story.stage.gateway} SCHOOLGATE_TOKEN={story.facts['admin']}")
    for name, known in story.credentials.items():
        print(f"  {name:12} client {known['client_id']} secret {known['client_secret']}")
    try:
        while all(p.poll() is None for p in story.stage.processes):
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("\nStopping.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="keep everything up afterwards")
    parser.add_argument("--out", type=Path, default=Path("demo-out"))
    said = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # whoever stops the demo stops all of it
    shutil.rmtree(said.out, ignore_errors=True)
    said.out.mkdir(parents=True)
    began = time.perf_counter()
    print("Schoolgate demo: Alder Valley USD, on loopback, with the embedded PostgreSQL\n", flush=True)
    stage = Stage()
    try:
        with stage:
            print(
                f"  gateway, worker, LMS, SIS and application are up  ({time.perf_counter() - began:.1f} s)", flush=True
            )
            story = tell(stage, said.out)
            print(f"\nAll nine scenes are true. {time.perf_counter() - began:.1f} s")
            print(f"Look: {said.out}/family.html  {said.out}/teacher-after.html  {said.out}/alder-ledger.zip")
            print("Next: make demo SERVE=1 · .venv/bin/schoolgate --help · docs/tutorial.md")
            if said.serve:
                _invite(story)
    except KeyboardInterrupt:
        return 130
    except StageError as wrong:
        print(f"\nNOT TRUE: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
