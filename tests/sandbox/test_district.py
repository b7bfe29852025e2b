import csv
import io
import json
import subprocess
import sys
import zipfile
from collections import Counter

import pytest

from gateway.sandbox.district import ALDER, BIRCH, CAST, delivery, district


def rows_of(data, name):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return list(csv.DictReader(io.StringIO(archive.read(name).decode(), newline="")))


@pytest.fixture(scope="module")
def clean():
    return delivery(clean=True)


def test_the_district_has_the_size_and_the_people_it_promises():
    d = district()
    pupils = [p for p in d.people.values() if p.role == "student"]
    teachers = {p.sourced_id for p in d.people.values() if p.role == "teacher"}
    teaching = Counter(t for c in d.classes for t in c.teachers)
    assert len(pupils) == 1200
    assert sum(len(p.schools) == 2 for p in pupils) == 25
    assert len(teachers) == 60
    assert teachers - set(teaching)
    assert any(len(c.teachers) == 2 for c in d.classes)
    assert sum(not p.email for p in pupils) == 1
    seats = Counter(p for c in d.classes for p in c.pupils)
    assert min(seats[p.sourced_id] for p in pupils) == 3


def test_the_cast_is_where_the_story_needs_it():
    d = district()
    room = next(c for c in d.classes if c.sourced_id == CAST["class"])
    teacher, amara = d.people[CAST["teacher"]], d.people[CAST["amara"]]
    assert (room.title, len(room.pupils)) == ("Algebra 1 - P3", 24)
    assert room.teachers == (teacher.sourced_id,)
    assert f"{teacher.given} {teacher.family}" == "R. Okafor"
    assert amara.sourced_id in room.pupils
    assert amara.agents == (CAST["amara_guardian"],)
    assert d.people[CAST["both_schools"]].schools == (BIRCH, ALDER)
    families = " ".join(d.people[p].family for p in room.pupils)
    assert all(name in families for name in ("O'Neill", "欧阳", "الحداد", "Wójcik"))


def test_the_zip_is_the_same_bytes_every_time_and_says_what_it_holds(clean):
    assert clean.zipped() == delivery(clean=True).zipped()
    with zipfile.ZipFile(io.BytesIO(clean.zipped())) as archive:
        manifest = archive.read("manifest.csv").decode()
        assert set(archive.namelist()) == {f"{name}.csv" for name in clean.files}
    said = dict(line.split(",") for line in manifest.splitlines())
    bulk = {f"{k.removeprefix('file.')}.csv" for k, v in said.items() if v == "bulk"}
    assert bulk == set(clean.rows)
    assert (len(said), said["oneroster.version"]) == (26, "1.2")


def test_every_reference_of_a_clean_night_resolves(clean):
    data = clean.zipped()
    ids = {name: {r["sourcedId"] for r in rows_of(data, name)} for name in clean.rows}
    assert all(len(ids[name]) == count for name, count in clean.rows.items())
    for file, column, target in (
        ("classes.csv", "courseSourcedId", "courses.csv"),
        ("courses.csv", "orgSourcedId", "orgs.csv"),
        ("demographics.csv", "sourcedId", "users.csv"),
        ("enrollments.csv", "classSourcedId", "classes.csv"),
        ("enrollments.csv", "userSourcedId", "users.csv"),
        ("roles.csv", "userSourcedId", "users.csv"),
        ("users.csv", "agentSourcedIds", "users.csv"),
    ):
        found = {v for r in rows_of(data, file) for v in r[column].split(",") if v}
        assert found <= ids[target], (file, column)
    assert not any(r["status"] or r["dateLastModified"] for r in rows_of(data, "users.csv"))


@pytest.mark.parametrize("night", [1, 2])
def test_each_planted_row_is_on_the_line_it_is_said_to_be(night):
    made = delivery(night)
    lines = {name: data.split(b"\r\n") for name, data in made.files.items()}
    by_column = {}
    for file, line, column, what in made.planted:
        text = lines[file.removesuffix(".csv")][line - 1]
        header = lines[file.removesuffix(".csv")][0].decode().split(",")
        cells = next(csv.reader([text.decode("latin-1")]))
        by_column[file, column] = text if "not UTF-8" in what or "quote" in what else cells[header.index(column)]
    seats = delivery(night, clean=True)
    ids = {r["sourcedId"] for r in rows_of(seats.zipped(), "classes.csv")}
    enrollments = Counter(line.split(b",")[0] for line in lines["enrollments"])
    assert len(made.planted) == 7
    assert by_column["users.csv", "grades"] == "13th"
    assert by_column["enrollments.csv", "classSourcedId"] not in ids
    assert enrollments[by_column["enrollments.csv", "sourcedId"].encode()] == 2
    assert by_column["enrollments.csv", "role"] == "Student"
    assert by_column["classes.csv", "title"] == ""
    assert by_column["courses.csv", "title"].count(b'"') == 1
    with pytest.raises(UnicodeDecodeError):
        by_column["users.csv", "givenName"].decode()
    bad = [n for n, line in enumerate(lines["users"], 1) if b"\xeb," in line]
    assert bad == [line for file, line, column, _ in made.planted if column == "givenName"]


def test_night_two_lacks_a_third_of_birch_and_changes_little_else(clean):
    cut = delivery(2, clean=True)
    before = {r["sourcedId"] for r in rows_of(clean.zipped(), "users.csv")}
    after = {r["sourcedId"] for r in rows_of(cut.zipped(), "users.csv")}
    people = district().people
    birch = [p for p in people.values() if p.role == "student" and p.schools[0] == BIRCH]
    assert before - after == set(cut.missing)
    assert all(people[key].schools == (BIRCH,) for key in cut.missing)
    assert len(cut.missing) * 3 == len(birch)
    assert len(after - before) == 1
    for file, column in (
        ("roles", "userSourcedId"),
        ("enrollments", "userSourcedId"),
        ("demographics", "sourcedId"),
    ):
        assert not {r[column] for r in rows_of(cut.zipped(), f"{file}.csv")} & set(cut.missing)
    for same in ("orgs", "courses", "academicSessions"):
        assert clean.files[same] == cut.files[same]
    assert len(cut.changes) == 4


def test_the_command_writes_the_zip_and_prints_what_is_in_it(tmp_path):
    out = tmp_path / "night.zip"
    command = [sys.executable, "-m", "gateway.sandbox.district", str(out), "--night", "2"]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert out.read_bytes() == delivery(2).zipped()
    assert said["cast"] == CAST
    assert len(said["planted"]) == 7
    assert said["rows"]["orgs.csv"] == 3
