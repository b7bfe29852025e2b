"""The command line over the timetable: three commands to a first plan, pauses, progress, what is told."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import click
import pytest

from gateway.cli import main
from gateway.store import runs
from gateway.store.tenant import Database
from tests.deliveries import two_schools
from tests.test_cli import desk

__all__ = ["desk"]


def refusal(done: Any) -> tuple[int, str]:
    return done.exit_code, next(line.split()[1] for line in done.stderr.splitlines() if line.startswith("  code"))


def test_a_new_district_sees_its_first_plan_with_three_commands(desk, tmp_path):
    delivery = two_schools().zip(tmp_path / "delivery.zip")
    made = json.loads(desk.run("district", "add", "New District", "--admin", "N. Admin", "--json").stdout)
    desk.environment = desk.environment | {"SCHOOLGATE_TOKEN": made["token"]}
    assert desk.run("source", "add", "sis").exit_code == 0
    planned = desk.run("sync", "plan", "sis", delivery)
    assert planned.exit_code == 0
    for word in ("Plan: nothing was changed.", "proposed, not onboarded: School A (A)", "School B (B)",
                 "Next: schoolgate school add --source sis --all-in"):  # fmt: skip
        assert word in planned.stdout
    assert json.loads(desk.run("sync", "plan", "sis", delivery, "--json").stdout)["state"] == "planned"
    assert desk.run("sync", "apply", "sis", delivery).exit_code == 1


def test_the_timetable_is_shown_and_set(desk):
    desk.said("source", "add", "sis")
    assert "none is expected" in desk.run("sync", "timetable", "sis").stdout
    desk.said("source", "add", "web", "--url", "https://sis.example/x.zip")
    shown = desk.said("sync", "timetable", "web", "show")
    assert (shown["nightly"], shown["expects"], shown["zone"], shown["paused"]) == (True, False, "UTC", None)
    assert "01:00" <= shown["at"] < "05:00"
    assert desk.said("district", "zone", "America/Chicago") == {"zone": "America/Chicago"}
    done = desk.run(
        "sync", "timetable", "web", "set", "--at", "03:15", "--weekday", "mon", "--weekday", "fri", "--holiday",
        "2026-12-21/2027-01-03", "--peak", "07:00-17:00", "--terms",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for word in ("runs at 03:15 (America/Chicago)", "mon fri, in the terms of the roster", "2026-12-21/2027-01-03",
                 "07:00-17:00", "next "):  # fmt: skip
        assert word in done.stdout
    said = desk.said("sync", "timetable", "web", "set", "--no-peaks", "--no-holidays", "--no-terms")
    assert (said["peaks"], said["holidays"], said["terms"], said["at"]) == ([], [], False, "03:15")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("timetable", "sis", "set"), 2), (("timetable", "sis", "--at", "03:00"), 2), (("timetable", "sis", "burn"), 2),
        (("timetable", "sis", "set", "--at", "3"), 1), (("timetable", "none"), 1), (("pause", "sis"), 2),
        (("pause", "sis", "--reason", "x", "--until", "soon"), 2), (("pause", "sis", "--reason", " "), 1),
        (("pause", "sis", "--reason", "x", "--until", "2020-01-01"), 1), (("resume", "sis"), 1),
        (("progress", "none"), 1),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_words(desk, words, code):
    desk.said("source", "add", "sis")
    done = desk.run("sync", *words)
    assert (done.exit_code, "Traceback" in done.output) == (code, False)
    assert code == 2 or refusal(done)[1] in ("REQ_INVALID", "REQ_UNKNOWN", "REQ_CONTRADICTORY", "REQ_CONFLICT")


def test_a_paused_source_says_so_until_it_is_resumed(desk):
    delivery = desk.onboard()
    done = desk.run("sync", "pause", "sis", "--reason", "year end", "--until", "3d")
    assert done.exit_code == 0
    assert "Paused until" in done.stdout
    assert "year end" in done.stdout
    refused = desk.run("sync", "apply", "sis", delivery)
    assert (refused.exit_code, "SRC_PAUSED" in refused.stdout, "year end" in refused.stdout) == (1, True, True)
    assert desk.run("sync", "plan", "sis", delivery).exit_code == 0
    assert "not paused any more" in desk.run("sync", "resume", "sis").stdout
    assert desk.run("sync", "apply", "sis", delivery).exit_code == 0


def test_a_pause_that_begins_later_is_no_pause_yet(desk):
    delivery = desk.onboard()
    assert "will be paused" in desk.run("sync", "pause", "sis", "--reason", "x", "--from", "2d", "--until", "4d").stdout
    assert desk.run("sync", "apply", "sis", delivery).exit_code == 0


def test_the_progress_of_a_run_elsewhere_is_shown(desk):
    ref = desk.said("source", "add", "sis")["source"]
    assert "No run of sis is going on." in desk.run("sync", "progress", "sis").stdout
    assert desk.said("sync", "progress", "sis") == {}
    database = Database(desk.environment["DATABASE_URL"])
    try:
        with database.open_identity() as session:
            (row,) = session.rows("SELECT max(district) AS district FROM district")
        with database.open_intake(row.district) as session:
            now, run = datetime.now(UTC), "run_0000000000000000"
            runs.begin(session, run, ref, now, "staff_0000000000000000")
            runs.beat(session, run, "read", 1000, 4000, None, now)
    finally:
        database.close()
    done = desk.run("sync", "progress", "sis")
    assert "run_0000000000000000 was lost at read" in done.stdout


def test_on_a_terminal_the_rows_are_shown_and_on_a_pipe_nothing(desk, tmp_path):
    delivery = desk.onboard()
    piped = desk.run("sync", "plan", "sis", delivery)
    assert piped.stderr == ""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "gateway.cli", "sync", "plan", "sis", str(delivery), "--json"]
    with (tmp_path / "out.json").open("wb") as out:
        environment = os.environ | desk.environment | {"TERM": "xterm", "COLUMNS": "120"}
        environment.pop("NO_COLOR")
        run = subprocess.Popen(command, stdin=follower, stdout=out, stderr=follower, env=environment)
    os.close(follower)
    shown = heard(leader)
    assert run.wait() == 0, shown
    assert b"rows/s" in shown
    assert json.loads((tmp_path / "out.json").read_text())["state"] == "planned"


def heard(terminal: int) -> bytes:
    """All that is written to a terminal until nobody writes any more."""
    said = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            piece = b""
        if not piece:
            return said
        said += piece


def test_what_is_told_is_listed_seen_and_sent_where_it_is_wanted(desk):
    desk.run("sync", "apply", "sis", desk.onboard())
    assert desk.said("notifications", "list") == []
    small = two_schools(6).zip(desk.folder / "small.zip")
    assert desk.run("sync", "apply", "sis", small).exit_code == 3
    (one,) = desk.said("notifications", "list")
    assert (one["cause"], one["code"], one["source"]) == ("held", "SRC_HELD", "sis")
    assert one["run"] == desk.said("sync", "history", "sis")[0]["run"]
    assert desk.said("notifications", "seen", one["ref"]) == {"seen": 1}
    assert desk.said("notifications", "list") == []
    assert len(desk.said("notifications", "list", "--all")) == 1
    assert desk.run("notifications", "seen").exit_code == 2
    assert refusal(desk.run("notifications", "seen", "no_x")) == (1, "REQ_UNKNOWN")


def test_where_it_is_sent_is_set_and_removed(desk):
    done = desk.run("notifications", "webhook", "set", "https://hooks.example/x")
    assert (done.exit_code, "shown once" in done.stdout) == (0, True)
    assert set(desk.said("notifications", "webhook", "set", "https://hooks.example/x")) == {"url", "secret"}
    assert refusal(desk.run("notifications", "webhook", "set", "http://hooks.example/x")) == (1, "SRC_ADDRESS_REFUSED")
    assert desk.said("notifications", "webhook", "remove") == {"removed": True}
    assert "There was none." in desk.run("notifications", "webhook", "remove").stdout
    done = desk.run("notifications", "mail", "set", "it@district.example")
    assert (done.exit_code, "SCHOOLGATE_SMTP_URL" in done.stdout) == (0, True)
    assert refusal(desk.run("notifications", "mail", "set", "it@x\r\nBcc: y")) == (1, "REQ_INVALID")
    assert desk.said("notifications", "mail", "remove") == {"removed": True}


def test_a_hold_that_the_timetable_ran_into_waits_for_two_people_with_exit_code_3(desk):
    desk.run("sync", "apply", "sis", desk.onboard())
    small = two_schools(6).zip(desk.folder / "small.zip")
    desk.run("sync", "apply", "sis", small)
    run = desk.said("sync", "history", "sis")[0]["run"]
    database = Database(desk.environment["DATABASE_URL"])
    try:
        with database.open_identity() as session:
            (row,) = session.rows("SELECT max(district) AS district FROM district")
        with database.open_intake(row.district) as session:
            assert session.run("UPDATE sync_hold SET acted_by = 'sys_timetable' WHERE run = %(run)s", run=run) == 1
    finally:
        database.close()
    first = desk.run("sync", "hold", "release", run)
    assert (first.exit_code, "second person" in first.stdout) == (3, True)
    assert refusal(desk.run("sync", "hold", "release", run)) == (4, "ACT_SECOND_PERSON")
    second = desk.said("staff", "add", "S. Second", "--role", "district_admin")["token"]
    assert (
        json.loads(desk.run("sync", "hold", "release", run, "--json", token=second).stdout)["hold"]["released"] is True
    )
    assert desk.run("sync", "apply", "sis", small).exit_code == 0


# --- sources ---------------------------------------------------------------------------------------


def test_a_folder_is_added_where_the_operator_lets_it_be_watched(desk, tmp_path):
    drop = tmp_path / "drops" / desk.district / "sis"
    drop.mkdir(parents=True)
    assert refusal(desk.run("source", "add", "drop", "--kind", "folder", "--path", drop)) == (1, "SRC_FOLDER")
    desk.environment = desk.environment | {"SCHOOLGATE_WATCH_ROOTS": str(tmp_path / "drops")}
    assert desk.said("source", "add", "drop", "--path", drop)["kind"] == "folder"
    assert desk.said("sync", "timetable", "drop")["expects"] is True


def test_no_host_key_is_trusted_because_it_was_shown_once(desk):
    """On a pipe nobody can compare: the key is named, with what to add; here the server is not there at all."""
    where = ("--host", "127.0.0.1", "--port", 1, "--user", "us", "--path", "/x.zip")
    desk.environment = desk.environment | {"SCHOOLGATE_SOURCE_SECRET": "word"}
    done = desk.run("source", "add", "far", "--kind", "sftp", *where)
    assert refusal(done)[1] in ("SRC_UNREACHABLE", "SRC_EXTRA")
    made = desk.said("source", "add", "far", *where, "--host-key", "SHA256:" + "A" * 43)
    assert made["kind"] == "sftp"
    assert desk.said("source", "list")[0]["url"] == "sftp://us@127.0.0.1:1/x.zip"


def test_a_host_key_that_is_shown_is_named_with_what_to_add(desk, tmp_path):
    from tests.connectors.test_sftp import Server, fingerprint

    server = Server(tmp_path)
    try:
        where = ("--host", "127.0.0.1", "--port", server.port, "--user", "us", "--path", "/x.zip")
        done = desk.run("source", "add", "far", *where)
        shown = fingerprint(server.key.asbytes())
        assert refusal(done) == (1, "SRC_HOST_KEY")
        assert f"--host-key {shown}" in done.stderr
        assert (desk.said("source", "list"), server.asked) == ([], [])
    finally:
        server.close()


@pytest.mark.parametrize(
    "words",
    [("--kind", "folder"), ("--kind", "sftp", "--host", "h"), ("--kind", "https"), ("--kind", "file", "--path", "/x"),
     ("--host", "h", "--user", "u", "--path", "/x", "--url", "https://x/"), ("--kind", "carrier-pigeon")],
)  # fmt: skip
def test_a_source_takes_what_belongs_to_its_kind(desk, words):
    assert desk.run("source", "add", "sis", *words).exit_code == 2


def test_a_token_for_a_machine_is_shown_once_with_the_door(desk):
    ref = desk.said("source", "add", "sis")["source"]
    made = desk.said("source", "token", "sis")
    assert made["url"].endswith(f"/district/v1/sources/{ref}/delivery")
    assert made["token"] not in str(desk.said("source", "list"))
    assert refusal(desk.run("source", "token", "none")) == (1, "REQ_UNKNOWN")


# --- all commands ----------------------------------------------------------------------------------

WITHOUT = {
    "batch": "runs others", "serve": "runs", "worker": "runs", "db upgrade": "before there is anybody",
    "db bootstrap": "before there is anybody", "db remove": "after everybody", "docs": "writes pages",
    "ledger export": "writes a file", "ledger receipt": "writes a file",
}  # fmt: skip


def leaves(command: click.Command, path: str = "") -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    return [leaf for name, inner in command.commands.items() for leaf in leaves(inner, f"{path} {name}".strip())]


def test_every_command_speaks_json_or_says_why_not():
    without = {name for name, one in leaves(main) if not any(option.name == "as_json" for option in one.params)}
    assert without == set(WITHOUT)
