"""Alder Valley USD, a made-up district: its people, classes and nightly OneRoster 1.2 export."""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

Row = dict[str, str]
Planted = tuple[str, int, str, str]

_PEOPLE = uuid.uuid5(uuid.NAMESPACE_URL, "https://sis.alder-valley.example/")
_GIVEN = (
    "Ana|Bilal|Chidi|Dagny|Émile|Farah|Gwen|Hana|Idris|Jokūbas|Kavya|Leila|Mateus|Niamh|Oisín|"
    "Paloma|Quynh|Rhys|Sanna|Tomasz|Uma|Viggo|Wren|Ximena|Yusuf|Zsófia|Ngozi|Ingrid|Malia"
)
_FAMILY = (
    "Abara|Brankov|Castellón|D'Amico|Eriksen|Fofana|Gallagher|Hosseini|Ibáñez|Jansone|Kapoor|"
    "Lindqvist|Mbeki-Rowe|Nakagawa|O'Neill|Pérez Luna|Quispe|Rahmani|Sørensen|Tran|Ustinov|"
    "van der Veen|Whitlock|Xiong|Yilmaz|Zając|Ó Briain|Kealoha|Obi|Marchetti"
)
_UNUSUAL = {
    1: ("Siobhán", "O'Neill"),
    2: ("子涵", "欧阳"),
    3: ("ياسمين", "الحداد"),
    4: ("Łukasz", "Wójcik"),
    5: ("נועה", "בן־עמי"),
}
_YEAR = ("2026-08-10", "2027-06-12")


def sid(*key: object) -> str:
    """Return the stable sourcedId of a thing."""
    return str(uuid.uuid5(_PEOPLE, "/".join(map(str, key))))


DISTRICT, ALDER, BIRCH = sid("org", "district"), sid("org", "alder"), sid("org", "birch")
# school, grade, sections of 24 pupils, the three courses of that grade: 50 sections, 1,200 pupils
_PLAN = (
    (ALDER, "09", 8, ("Algebra 1", "English 9", "Biology")),
    (ALDER, "10", 7, ("Geometry", "English 10", "Chemistry")),
    (ALDER, "11", 7, ("Algebra 2", "English 11", "Physics")),
    (ALDER, "12", 7, ("Statistics", "English 12", "Environmental Science")),
    (BIRCH, "06", 7, ("Mathematics 6", "English 6", "Earth Science")),
    (BIRCH, "07", 7, ("Mathematics 7", "English 7", "Life Science")),
    (BIRCH, "08", 7, ("Mathematics 8", "English 8", "Physical Science")),
)
_SUBJECTS = ("Mathematics", "English", "Science")
_SIZE = 24
_TEACHERS = {ALDER: 34, BIRCH: 26}
CAST = {
    "district": DISTRICT,
    "alder_high": ALDER,
    "birch_middle": BIRCH,
    "teacher": sid("teacher", ALDER, 0),
    "class": sid("class", ALDER, "Algebra 1", 3),
    "amara": sid("pupil", "09", 48),
    "amara_guardian": sid("guardian", "09", 48),
    "both_schools": sid("pupil", "08", 0),
    "birch_teacher": sid("teacher", BIRCH, 0),
    "birch_class": sid("class", BIRCH, "Mathematics 6", 1),
}


@dataclass(frozen=True, slots=True)
class Person:
    """One user of the SIS; `schools` holds the home school first."""

    sourced_id: str
    role: str
    given: str
    family: str
    username: str
    schools: tuple[str, ...]
    grade: str = ""
    email: str = ""
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Course:
    sourced_id: str
    title: str
    code: str
    grade: str
    school: str
    subject: str


@dataclass(frozen=True, slots=True)
class SchoolClass:
    sourced_id: str
    title: str
    course: Course
    period: int
    teachers: tuple[str, ...]
    pupils: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class District:
    people: dict[str, Person]
    courses: tuple[Course, ...]
    classes: tuple[SchoolClass, ...]


@cache
def district() -> District:
    """Return the district as it truly is, before any export spoils it."""
    pupils = [p for school, grade, sections, _ in _PLAN for p in _pupils(school, grade, sections)]
    everyone = [*_staff(), *pupils, *_guardians(pupils)]
    classes = tuple(_classes())
    courses = tuple({c.course.sourced_id: c.course for c in classes}.values())
    idle = _course(ALDER, "12", "Journalism", "English")
    courses = (*courses[:4], idle, *courses[4:])
    return District({p.sourced_id: p for p in everyone}, courses, classes)


def _pupils(school: str, grade: str, sections: int) -> Iterator[Person]:
    rnd = random.Random(f"pupils/{grade}")
    for n in range(sections * _SIZE):
        given, family = _pick(rnd, _GIVEN), _pick(rnd, _FAMILY)
        if grade == "09" and 48 <= n < 72:
            given, family = _UNUSUAL.get(n - 48, (given, family))
        if (grade, n) == ("09", 48):
            given, family = "Amara", "Osei-Lind"
        username = f"s{grade}{n:03d}"
        email = "" if (grade, n) == ("09", 54) else f"{username}@pupils.alder-valley.example"
        both = (BIRCH, ALDER) if _visits(grade, n) else (school,)
        agents = (sid("guardian", grade, n),) if _has_guardian(grade, n) else ()
        key = sid("pupil", grade, n)
        yield Person(key, "student", given, family, username, both, grade, email, agents)


def _pick(rnd: random.Random, names: str) -> str:
    return rnd.choice(names.split("|"))


def _visits(grade: str, n: int) -> bool:
    """25 eighth-graders of Birch also learn geometry at Alder."""
    return grade == "08" and n < 25


def _has_guardian(grade: str, n: int) -> bool:
    return (grade, n) == ("09", 48) or (grade in ("08", "11") and n % 40 == 0)


def _guardians(pupils: list[Person]) -> Iterator[Person]:
    rnd = random.Random("guardians")
    for n, child in enumerate(p for p in pupils if p.agents):
        name = f"g{n:03d}"
        mail = f"{name}@families.example"
        given, home = _pick(rnd, _GIVEN), child.schools[:1]
        me, kids = child.agents[0], (child.sourced_id,)
        yield Person(me, "guardian", given, child.family, name, home, "", mail, kids)


def _staff() -> Iterator[Person]:
    rnd = random.Random("staff")
    for school, count in _TEACHERS.items():
        for n in range(count):
            names = (_pick(rnd, _GIVEN), _pick(rnd, _FAMILY))
            names = ("R.", "Okafor") if (school, n) == (ALDER, 0) else names
            yield _worker("teacher", school, n, *names)
    yield _worker("principal", ALDER, 0, "Marguerite", "Vance-Hollis")
    yield _worker("principal", BIRCH, 0, "Teodor", "Anghelescu")
    yield _worker("counselor", ALDER, 0, "Zoë", "Brightwater")


def _worker(role: str, school: str, n: int, given: str, family: str) -> Person:
    username = f"{role[0]}{'a' if school == ALDER else 'b'}{n:02d}"
    mail = f"{username}@staff.alder-valley.example"
    return Person(sid(role, school, n), role, given, family, username, (school,), "", mail)


def _course(school: str, grade: str, title: str, subject: str) -> Course:
    code = "".join(w[:3].upper() for w in title.split())
    return Course(sid("course", school, title), title, code, grade, school, subject)


def _classes() -> Iterator[SchoolClass]:
    for school, staff in _TEACHERS.items():
        plan = [line for line in _PLAN if line[0] == school]
        total = 3 * sum(sections for _, _, sections, _ in plan)
        n = 0
        for group in range(3):
            for _, grade, sections, titles in plan:
                course = _course(school, grade, titles[group], _SUBJECTS[group])
                for section in range(sections):
                    # The last teacher of each school is left without a class.
                    teacher = sid("teacher", school, n * (staff - 1) // total)
                    yield _class(course, group, sections, section, teacher)
                    n += 1
    robotics = _course(ALDER, "12", "Robotics", "Science")
    yield SchoolClass(sid("class", ALDER, "Robotics", 7), "Robotics - P7", robotics, 7, (), ())


def _class(course: Course, group: int, sections: int, section: int, teacher: str) -> SchoolClass:
    everyone = list(range(sections * _SIZE))
    if group:
        random.Random(f"mix/{course.title}").shuffle(everyone)
    seats = everyone[section * _SIZE : (section + 1) * _SIZE]
    pupils = [sid("pupil", course.grade, n) for n in seats]
    if course.title == "Geometry":
        pupils += [sid("pupil", "08", n) for n in range(25) if n % sections == section]
    taught = (course.title, section) == ("English 9", 0)
    teachers = (teacher, sid("teacher", ALDER, 20)) if taught else (teacher,)
    key = sid("class", course.school, course.title, section + 1)
    title = f"{course.title} - P{section + 1}"
    return SchoolClass(key, title, course, section + 1, teachers, tuple(pupils))


_START = "sourcedId,status,dateLastModified,"
_HEADERS = {
    "academicSessions": "title,type,startDate,endDate,parentSourcedId,schoolYear",
    "classes": "title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,"
    "termSourcedIds,subjects,subjectCodes,periods",
    "courses": "schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,subjectCodes",
    "demographics": "birthDate,sex,americanIndianOrAlaskaNative,asian,blackOrAfricanAmerican,"
    "nativeHawaiianOrOtherPacificIslander,white,demographicRaceTwoOrMoreRaces,"
    "hispanicOrLatinoEthnicity,countryOfBirthCode,stateOfBirthAbbreviation,cityOfBirth,"
    "publicSchoolResidenceStatus",
    "enrollments": "classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate",
    "orgs": "name,type,identifier,parentSourcedId",
    "roles": "userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId",
    "users": "enabledUser,username,userIds,givenName,familyName,middleName,identifier,email,sms,"
    "phone,agentSourcedIds,grades,password,userMasterIdentifier,preferredGivenName,"
    "preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns",
}
_MANIFEST_FILES = (
    "academicSessions categories classes classResources courses courseResources demographics "
    "enrollments lineItemLearningObjectiveIds lineItems lineItemScoreScales orgs resources "
    "resultLearningObjectiveIds results resultScoreScales roles scoreScales userProfiles "
    "userResources users"
)


@dataclass(slots=True)
class Delivery:
    """One night's zip: its rows, what was planted, what changed and who is missing."""

    files: dict[str, bytes]
    rows: dict[str, int]
    planted: list[Planted]
    changes: list[str]
    missing: list[str]

    def zipped(self) -> bytes:
        """Return the same bytes for the same night."""
        box = io.BytesIO()
        with zipfile.ZipFile(box, "w") as archive:
            for name, data in self.files.items():
                entry = zipfile.ZipInfo(f"{name}.csv", (2026, 9, 1, 2, 0, 0))
                archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
        return box.getvalue()


def delivery(night: int = 1, *, clean: bool = False) -> Delivery:
    """Return night 1 (complete) or night 2 (cut off); `clean` leaves the bad rows out."""
    tables = _tables(district())
    changes = _live_a_day(tables) if night == 2 else []
    missing = _cut_off(tables) if night == 2 else []
    marks = [] if clean else _plant(tables)
    planted = [(f"{f}.csv", _line(tables[f], row), column, what) for f, row, column, what in marks]
    files = {"manifest": _manifest()} | {f: _csv(f, rows) for f, rows in tables.items()}
    if not clean:
        planted += _plant_bytes(files)
    counts = {f"{f}.csv": len(rows) for f, rows in tables.items()}
    return Delivery(files, counts, planted, changes, missing)


def _row(file: str, sourced_id: str, **values: str) -> Row:
    blank = dict.fromkeys((_START + _HEADERS[file]).split(","), "")
    return blank | {"sourcedId": sourced_id} | values


def _tables(d: District) -> dict[str, list[Row]]:
    return {
        "academicSessions": list(_session_rows()),
        "classes": [_class_row(c) for c in d.classes],
        "courses": [_course_row(c) for c in d.courses],
        "demographics": list(_demographic_rows(d)),
        "enrollments": [row for c in d.classes for row in _enrollment_rows(c)],
        "orgs": list(_org_rows()),
        "roles": [row for p in d.people.values() for row in _role_rows(p)],
        "users": [_user_row(p) for p in d.people.values()],
    }


def _org_rows() -> Iterator[Row]:
    for key, name, kind, nces, parent in (
        (DISTRICT, "Alder Valley USD", "district", "0600042", ""),
        (ALDER, "Alder High School", "school", "060004201", DISTRICT),
        (BIRCH, "Birch Middle School", "school", "060004202", DISTRICT),
    ):
        yield _row("orgs", key, name=name, type=kind, identifier=nces, parentSourcedId=parent)


def _session_rows() -> Iterator[Row]:
    year, fall, spring = (sid("session", k) for k in ("year", "fall", "spring"))
    for key, title, kind, start, end, parent in (
        (year, "2026-2027", "schoolYear", *_YEAR, ""),
        (fall, "Fall 2026", "term", "2026-08-10", "2026-12-19", year),
        (spring, "Spring 2027", "term", "2027-01-05", "2027-06-12", year),
        (sid("session", "q1"), "Quarter 1", "gradingPeriod", "2026-08-10", "2026-10-17", fall),
        (sid("session", "q2"), "Quarter 2", "gradingPeriod", "2026-10-19", "2026-12-19", fall),
    ):
        dates = {"startDate": start, "endDate": end, "schoolYear": "2027"}
        values = {"title": title, "type": kind, "parentSourcedId": parent} | dates
        yield _row("academicSessions", key, **values)


def _course_row(c: Course) -> Row:
    values = {"courseCode": c.code, "grades": c.grade, "orgSourcedId": c.school}
    values |= {"schoolYearSourcedId": sid("session", "year"), "subjects": c.subject}
    return _row("courses", c.sourced_id, title=c.title, **values)


def _class_row(c: SchoolClass) -> Row:
    return _row(
        "classes",
        c.sourced_id,
        title=c.title,
        grades=c.course.grade,
        courseSourcedId=c.course.sourced_id,
        classCode=f"{c.course.code}-{c.period}",
        classType="scheduled",
        location=f"Room {100 + c.period}",
        schoolSourcedId=c.course.school,
        termSourcedIds=f"{sid('session', 'fall')},{sid('session', 'spring')}",
        subjects=c.course.subject,
        periods=str(c.period),
    )


def _enrollment_rows(c: SchoolClass) -> Iterator[Row]:
    for n, key in enumerate(c.teachers):
        yield _enrollment(c, key, "teacher", "false" if n else "true")
    for key in c.pupils:
        yield _enrollment(c, key, "student")


def _enrollment(c: SchoolClass, user: str, role: str, primary: str = "") -> Row:
    return _row(
        "enrollments",
        sid("enrollment", c.sourced_id, user),
        classSourcedId=c.sourced_id,
        schoolSourcedId=c.course.school,
        userSourcedId=user,
        role=role,
        primary=primary,
        beginDate=_YEAR[0],
        endDate=_YEAR[1],
    )


def _user_row(p: Person) -> Row:
    return _row(
        "users",
        p.sourced_id,
        enabledUser="true",
        username=p.username,
        userIds=f"{{Local:{p.username}}}",
        givenName=p.given,
        familyName=p.family,
        identifier=p.username,
        email=p.email,
        agentSourcedIds=",".join(p.agents),
        grades=p.grade,
        primaryOrgSourcedId=p.schools[0],
    )


def _role_rows(p: Person) -> Iterator[Row]:
    for school in p.schools:
        key = sid("role", p.sourced_id, school)
        values = {"userSourcedId": p.sourced_id, "roleType": "primary", "orgSourcedId": school}
        yield _row("roles", key, role=p.role, beginDate=_YEAR[0], endDate=_YEAR[1], **values)


def _demographic_rows(d: District) -> Iterator[Row]:
    rnd = random.Random("demographics")
    for n, p in enumerate(p for p in d.people.values() if p.role == "student"):
        first = date(2020 - int(p.grade), 9, 2)
        born = (first + timedelta(days=rnd.randrange(365))).isoformat()
        yield _row(
            "demographics",
            p.sourced_id,
            birthDate="" if n % 250 == 17 else born,
            sex=rnd.choice(("male", "female", "other", "unspecified")),
            asian=rnd.choice(("true", "false")),
            white=rnd.choice(("true", "false")),
            hispanicOrLatinoEthnicity=rnd.choice(("true", "false")),
        )


def _manifest() -> bytes:
    rows = [("propertyName", "value"), ("manifest.version", "1.0"), ("oneroster.version", "1.2")]
    rows += [(f"file.{f}", "bulk" if f in _HEADERS else "absent") for f in _MANIFEST_FILES.split()]
    rows += [("source.systemName", "Alder Valley SIS"), ("source.systemCode", "alder-sis")]
    return "".join(f"{name},{value}\r\n" for name, value in rows).encode()


def _csv(file: str, rows: list[Row]) -> bytes:
    text = io.StringIO()
    names = (_START + _HEADERS[file]).split(",")
    writer = csv.DictWriter(text, names, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _line(rows: list[Row], row: Row) -> int:
    """Return the line of a row in its file; the header is line 1."""
    return next(n for n, other in enumerate(rows, 2) if other is row)


def _find(rows: list[Row], **values: str) -> Row:
    return next(r for r in rows if all(r[k] == v for k, v in values.items()))


def _plant(tables: dict[str, list[Row]]) -> list[tuple[str, Row, str, str]]:
    """Spoil five rows, none of the cast's; two are extra enrollments, so that no seat is lost."""
    seats = tables["enrollments"]
    in_class = sid("class", ALDER, "Statistics", 1)
    at = seats.index(_find(seats, classSourcedId=in_class, role="student"))
    dangling = seats[at] | {"sourcedId": sid("lost"), "classSourcedId": sid("no such class")}
    twin = seats[at + 2] | {"endDate": "2027-06-01"}
    role = seats[at + 5]
    role["role"] = "Student"
    seats.insert(at + 1, dangling)
    seats.insert(at + 9, twin)
    pupil = _find(tables["users"], sourcedId=sid("pupil", "10", 100))
    pupil["grades"] = "13th"
    robotics = _find(tables["classes"], title="Robotics - P7")
    robotics["title"] = ""
    return [
        ("users", pupil, "grades", "unknown grade 13th"),
        ("enrollments", dangling, "classSourcedId", "class does not exist"),
        ("enrollments", twin, "sourcedId", "duplicate sourcedId"),
        ("enrollments", role, "role", "role written Student"),
        ("classes", robotics, "title", "title is missing"),
    ]


def _plant_bytes(files: dict[str, bytes]) -> list[Planted]:
    """Spoil two lines as bytes: a course no class uses, a counselor with no enrollment."""
    quote = _respell(files, "courses", b",Journalism,", b',"Journalism,')
    latin = _respell(files, "users", "Zoë,Brightwater".encode(), b"Zo\xeb,Brightwater")
    return [
        ("courses.csv", quote, "title", "stray quote, line unreadable"),
        ("users.csv", latin, "givenName", "a byte that is not UTF-8"),
    ]


def _respell(files: dict[str, bytes], file: str, old: bytes, new: bytes) -> int:
    line = files[file][: files[file].index(old)].count(b"\r\n") + 1
    files[file] = files[file].replace(old, new)
    return line


def _live_a_day(tables: dict[str, list[Row]]) -> list[str]:
    """One pupil arrives, one changes class, a teacher's address and a room change."""
    d, seats = district(), tables["enrollments"]
    stats = [c for c in d.classes if c.course.title == "Statistics"]
    new = sid("pupil", "12", "new")
    mail = "s12new@pupils.alder-valley.example"
    comer = Person(new, "student", "Ilse", "Vandermolen", "s12new", (ALDER,), "12", mail)
    tables["users"].append(_user_row(comer))
    tables["roles"] += _role_rows(comer)
    tables["demographics"].append(_row("demographics", new, birthDate="2009-02-03", sex="female"))
    seats.append(_enrollment(stats[1], new, "student"))
    mover = stats[2].pupils[0]
    seats.remove(_find(seats, classSourcedId=stats[2].sourced_id, userSourcedId=mover))
    seats.append(_enrollment(stats[3], mover, "student"))
    teacher, room = sid("teacher", ALDER, 3), stats[4].sourced_id
    _find(tables["users"], sourcedId=teacher)["email"] = "new@staff.alder-valley.example"
    _find(tables["classes"], sourcedId=room)["location"] = "Room 212"
    return [f"new pupil {new}", f"pupil {mover} changed class", f"e-mail {teacher}", f"room {room}"]


def _cut_off(tables: dict[str, list[Row]]) -> list[str]:
    """Lose all rows of Birch's sixth grade, 168 of its 504 pupils, as an export that stopped."""
    people = district().people.values()
    gone = {p.sourced_id for p in people if p.grade == "06"}
    for file, column in (("users", "sourcedId"), ("roles", "userSourcedId")):
        tables[file] = [r for r in tables[file] if r[column] not in gone]
    for file, column in (("enrollments", "userSourcedId"), ("demographics", "sourcedId")):
        tables[file] = [r for r in tables[file] if r[column] not in gone]
    return sorted(gone)


def live(night: int = 1, *, few: bool = False) -> dict[str, list[Row]]:
    """Return what the SIS itself holds in a night, nothing spoiled or cut off: each row says its status and when it was
    modified, and what is gone since the night before stays, to be deleted. `few`: five classes and who is in them."""
    before, now = _tables(district()), _tables(district())
    if night == 2:
        _live_a_day(now)
    if few:
        before, now = _few(before), _few(now)
    found = {}
    for file, rows in now.items():
        old = {row["sourcedId"]: row for row in before[file]}
        ids = {row["sourcedId"] for row in rows}
        gone = [_stamped(row, 2, "tobedeleted") for key, row in old.items() if key not in ids]
        found[file] = [_stamped(row, 1 if old.get(row["sourcedId"]) == row else 2) for row in rows] + gone
    return found


def _few(tables: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The classes in which a day brings something new, one of Birch, and whoever is in them."""
    stats = [c.sourced_id for c in district().classes if c.course.title == "Statistics"][1:5]
    classes = {*stats, CAST["birch_class"]}
    seats = [row for row in tables["enrollments"] if row["classSourcedId"] in classes]
    people = {row["userSourcedId"] for row in seats} | {sid("teacher", ALDER, 3)}
    people |= {
        row["agentSourcedIds"] for row in tables["users"] if row["sourcedId"] in people and row["agentSourcedIds"]
    }
    keep = {"classes": ("sourcedId", classes), "users": ("sourcedId", people), "roles": ("userSourcedId", people),
            "enrollments": ("classSourcedId", classes), "demographics": ("sourcedId", people)}  # fmt: skip
    return {file: [r for r in rows if file not in keep or r[keep[file][0]] in keep[file][1]]
            for file, rows in tables.items()}  # fmt: skip


def _stamped(row: Row, night: int, status: str = "active") -> Row:
    return row | {"status": status, "dateLastModified": f"2026-09-0{night}T06:30:00.000Z"}


def truth() -> dict[str, Any]:
    """Return what a receiver of night 1 should end up with at Alder High, and who is not its business."""
    d, planted = district(), delivery(1).planted
    lost = sid("pupil", "10", 100)
    classes = [c for c in d.classes if c.course.school == ALDER and c.title != "Robotics - P7"]
    seats = [user for c in classes for user in (*c.teachers, *c.pupils) if user != lost]
    pupils = [p for p in d.people.values() if p.role == "student" and ALDER in p.schools and p.sourced_id != lost]
    wrong_role = 1
    return {
        "planted": planted,
        "alder": {"students": len(pupils), "classes": len(classes), "enrollments": len(seats) - wrong_role},
        "birch_pupil": next(p.sourced_id for p in d.people.values() if p.schools == (BIRCH,) and p.role == "student"),
        "source_ids": [p.sourced_id for p in d.people.values()],
    }


def main() -> None:
    """Write one night's zip and print what is in it as JSON."""
    asked = argparse.ArgumentParser(description=main.__doc__)
    asked.add_argument("out", type=Path)
    asked.add_argument("--night", type=int, choices=(1, 2), default=1)
    asked.add_argument("--clean", action="store_true", help="leave the planted rows out")
    given = asked.parse_args()
    made = delivery(given.night, clean=given.clean)
    given.out.write_bytes(made.zipped())
    story = {"rows": made.rows, "planted": made.planted, "changes": made.changes}
    print(json.dumps(story | {"missing": made.missing, "cast": CAST}, indent=1))


if __name__ == "__main__":
    main()
