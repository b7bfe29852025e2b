"""A district of any size as OneRoster 1.2 bulk deliveries: deterministic, written as a stream, one night after another.

Schools of 1,000 pupils; each pupil in eight classes of 25, each class with a teacher and every fourth with a second:
8.4 enrollments for each pupil. Ids look random, so that no index grows at its end only.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from tests.deliveries import HEADERS, Delivery

PUPILS, SLOTS, GROUPS, COURSES = 1000, 8, 40, 120  # of a school; classes at one hour; of the district
CLASSES = SLOTS * GROUPS
TEACHERS = SECONDS = CLASSES // 4
PEOPLE, SEATS = PUPILS + TEACHERS, PUPILS * SLOTS + CLASSES + SECONDS
FILES = {"org": "orgs.csv", "session": "academicSessions.csv", "course": "courses.csv", "user": "users.csv",
         "role": "roles.csv", "class": "classes.csv", "enrollment": "enrollments.csv",
         "demographics": "demographics.csv"}  # fmt: skip
MOVING = ("user", "role", "class", "enrollment", "demographics")
GIVEN = ("Ada", "Björn", "Chloé", "Dmitri", "Ève", "Farid", "Hana", "José", "Noor", "Tariq")
FAMILY = (
    "Brown",
    "Díaz",
    "Ekwueme",
    "García",
    "Ito",
    "Kowalski",
    "Müller",
    "Nguyen",
    "O'Neil",
    "Patel",
    "van der Berg",
)
SESSIONS = (("y", "schoolYear", "", "08-01"), ("s1", "semester", "y", "08-01"), ("s2", "semester", "y", "11-01"),
            ("t1", "term", "s1", "08-01"), ("t2", "term", "s1", "10-01"))  # fmt: skip
Cells = dict[str, object]


class Night(Enum):
    """What a delivery is like: the first one, the same rows in another order, or one row in a hundred moved.

    The value is one or a prime: in its steps a night walks through the rows.
    """

    FIRST = 1
    SHUFFLED = 1_000_003
    MOVED = 7_368_787


def ident(kind: str, number: int) -> str:
    return blake2b(f"{kind}{number}".encode(), digest_size=16).hexdigest()


def move(kind: str, number: int, night: Night) -> str:
    """What becomes of a row: one in a hundred is changed; of enrollments a third each changed, removed, added to."""
    if night is not Night.MOVED or number % 100 != 37 or kind not in MOVING:
        return ""
    return ("changed", "removed", "added")[number // 100 % 3] if kind == "enrollment" else "changed"


@dataclass(frozen=True)
class District:
    """The rows of a district of so many schools."""

    size: int

    def counts(self) -> dict[str, int]:
        """Return how many rows of each kind the first delivery holds."""
        each = {"org": 1, "user": PEOPLE, "role": PEOPLE, "class": CLASSES, "enrollment": SEATS, "demographics": PUPILS}
        all_ = {kind: n * self.size for kind, n in each.items()}
        return all_ | {"org": self.size + 1, "session": len(SESSIONS), "course": COURSES}

    def published(self) -> dict[str, int]:
        """Return how many rows the schools hold together: each its own, and of the district what it shares."""
        shared = {"org": 2 * self.size, "session": len(SESSIONS) * self.size, "course": COURSES * self.size}
        return {kind: n for kind, n in (self.counts() | shared).items() if kind != "role"}

    def moves(self) -> dict[str, dict[str, int]]:
        """Return, for each published kind that moves on the third night, how many of its rows do what."""
        found = {}
        for kind in MOVING:
            seen = Counter(move(kind, n, Night.MOVED) for n in range(37, self.counts()[kind], 100))
            found[kind] = {what: seen[what] for what in ("changed", "removed", "added")}
        found.pop("role")  # the role of a user moves with the user of the same number
        return found

    def group(self, school: int, group: int) -> tuple[str, list[str]]:
        """Return a class of a school's first hour and its pupils."""
        pupils = [self._users[school * PEOPLE + n] for n in range(PUPILS) if n * 7 % GROUPS == group]
        return self._classes[school * CLASSES + group], pupils

    @cached_property
    def schools(self) -> list[str]:
        return [ident("school", n) for n in range(self.size)]

    @cached_property
    def _users(self) -> list[str]:
        return [ident("user", n) for n in range(self.size * PEOPLE)]

    @cached_property
    def _classes(self) -> list[str]:
        return [ident("class", n) for n in range(self.size * CLASSES)]

    # --- one row each: its number, and whether it is the changed one of the third night ------------

    def _org(self, n: int, _changed: bool) -> Cells:
        if n == self.size:
            return {"sourcedId": "d", "name": "District", "type": "district", "parentSourcedId": ""}
        return {"sourcedId": self.schools[n], "name": f"School {n}", "type": "school", "parentSourcedId": "d"}

    def _session(self, n: int, _changed: bool) -> Cells:
        name, type_, parent, begin = SESSIONS[n]
        return {"sourcedId": name, "title": f"Session {name}", "type": type_, "startDate": f"2026-{begin}",
                "endDate": "2027-06-30", "parentSourcedId": parent, "schoolYear": "2027"}  # fmt: skip

    def _course(self, n: int, _changed: bool) -> Cells:
        return {"sourcedId": ident("course", n), "schoolYearSourcedId": "y", "title": f"Course {n}",
                "courseCode": f"C{n:03}", "grades": f"{6 + n % 7:02}", "orgSourcedId": "d"}  # fmt: skip

    def _user(self, n: int, changed: bool) -> Cells:
        return {"sourcedId": self._users[n], "enabledUser": "true", "username": f"user.{n}", "givenName": GIVEN[n % 10],
                "familyName": FAMILY[n % 11] + ("-New" if changed else ""), "email": f"user.{n}@schools.example",
                "grades": f"{6 + n % 7:02}" if n % PEOPLE < PUPILS else "",
                "primaryOrgSourcedId": self.schools[n // PEOPLE]}  # fmt: skip

    def _role(self, n: int, changed: bool) -> Cells:
        return {"sourcedId": ident("role", n), "userSourcedId": self._users[n], "roleType": "primary",
                "role": "student" if n % PEOPLE < PUPILS else "teacher", "orgSourcedId": self.schools[n // PEOPLE],
                "beginDate": "2026-11-01" if changed else "2026-08-01"}  # fmt: skip

    def _class(self, n: int, changed: bool) -> Cells:
        return {"sourcedId": self._classes[n], "title": f'"Class {n}, {n % 8 + 1}"', "grades": f"{6 + n % 7:02}",
                "courseSourcedId": ident("course", n % COURSES), "classType": "scheduled",
                "location": "Annex" if changed else f"Room {n % 90}", "schoolSourcedId": self.schools[n // CLASSES],
                "termSourcedIds": '"t1,t2"'}  # fmt: skip

    def _enrollment(self, n: int, changed: bool) -> Cells:
        school, place = divmod(n, SEATS)
        pupil, slot = divmod(place, SLOTS)
        more = place - PUPILS * SLOTS  # from 0: a class's teacher; from CLASSES: the second of every fourth class
        if more < 0:
            class_, person = slot * GROUPS + (pupil * 7 + slot * 13) % GROUPS, pupil
        else:
            class_ = more if more < CLASSES else 4 * (more - CLASSES)
            person = PUPILS + (class_ + (more >= CLASSES)) % TEACHERS
        return {"sourcedId": ident("enrollment", n), "classSourcedId": self._classes[school * CLASSES + class_],
                "schoolSourcedId": self.schools[school], "userSourcedId": self._users[school * PEOPLE + person],
                "role": "student" if more < 0 else "teacher", "primary": "true" if 0 <= more < CLASSES else "false",
                "beginDate": "2026-11-01" if changed else "2026-08-15", "endDate": "2027-06-15"}  # fmt: skip

    def _demographics(self, n: int, changed: bool) -> Cells:
        born = f"20{9 + n % 7:02}-{1 + n % 12:02}-{11 if changed else 12 + n % 15:02}"
        return {"sourcedId": self._users[n // PUPILS * PEOPLE + n % PUPILS], "birthDate": born,
                "sex": ("female", "male")[n % 2], "asian": "true" if n % 7 == 0 else "false"}  # fmt: skip

    # --- written ---------------------------------------------------------------------------------

    def write(self, path: Path, night: Night) -> Path:
        """Write the night's delivery as a zip, row by row, and return its path."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
            bundle.writestr("manifest.csv", Delivery().manifest(FILES.values()))
            for kind, name in FILES.items():
                with bundle.open(name, "w") as file:
                    file.write((",".join(HEADERS["1.2"][name]) + "\r\n").encode())
                    for line in self._lines(kind, night):
                        file.write(line)
        return path

    def _lines(self, kind: str, night: Night) -> Iterator[bytes]:
        """Yield a file's lines in the night's own order, some thousand at a time."""
        make, count, batch = getattr(self, f"_{kind}"), self.counts()[kind], list[str]()
        given = make(0, False)
        template = ",".join(f"{{{h}}}" if h in given else "" for h in HEADERS["1.2"][FILES[kind]]) + "\r\n"
        for step in range(count):
            n = step * night.value % count
            what = move(kind, n, night)
            if what != "removed":
                batch.append(template.format_map(make(n, what == "changed")))
            if what == "added":
                batch.append(template.format_map(make(n, True) | {"sourcedId": ident("second", n)}))
            if len(batch) > 2000:
                yield "".join(batch).encode()
                batch.clear()
        yield "".join(batch).encode()
