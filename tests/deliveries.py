"""OneRoster bulk deliveries for tests, built row by row, written as zip or folder and spoiled at will.

The headers are those of the official field tables of OneRoster CSV 1.2.1 and 1.1, and those of 1.0 as its importers
have them; they are written out here so that a mistake in our own tables shows.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_COMMON = "sourcedId status dateLastModified"
HEADERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "1.2": {
        name: tuple(f"{_COMMON} {rest}".split())
        for name, rest in {
            "orgs.csv": "name type identifier parentSourcedId",
            "academicSessions.csv": "title type startDate endDate parentSourcedId schoolYear",
            "courses.csv": "schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes",
            "users.csv": (
                "enabledUser username userIds givenName familyName middleName identifier email sms phone "
                "agentSourcedIds grades password userMasterIdentifier preferredGivenName "
                "preferredMiddleName preferredFamilyName primaryOrgSourcedId pronouns"
            ),
            "roles.csv": "userSourcedId roleType role beginDate endDate orgSourcedId userProfileSourcedId",
            "classes.csv": (
                "title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds subjects "
                "subjectCodes periods"
            ),
            "enrollments.csv": "classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate",
            "demographics.csv": (
                "birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican "
                "nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces hispanicOrLatinoEthnicity "
                "countryOfBirthCode stateOfBirthAbbreviation cityOfBirth publicSchoolResidenceStatus"
            ),
        }.items()
    },
    "1.1": {
        name: tuple(f"{_COMMON} {rest}".split())
        for name, rest in {
            "orgs.csv": "name type identifier parentSourcedId",
            "academicSessions.csv": "title type startDate endDate parentSourcedId schoolYear",
            "courses.csv": "schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes",
            "users.csv": (
                "enabledUser orgSourcedIds role username userIds givenName familyName middleName identifier email "
                "sms phone agentSourcedIds grades password"
            ),
            "classes.csv": (
                "title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds subjects "
                "subjectCodes periods"
            ),
            "enrollments.csv": "classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate",
        }.items()
    },
    "1.0": {
        name: tuple(names.split())
        for name, names in {
            "orgs.csv": f"{_COMMON} name type identifier parentSourcedId",
            "academicSessions.csv": f"{_COMMON} title type startDate endDate parentSourcedId",
            "courses.csv": f"{_COMMON} schoolYearId title courseCode grade orgSourcedId subjects",
            "users.csv": (
                f"{_COMMON} orgSourcedIds role username userId givenName familyName identifier email sms phone agents"
            ),
            "classes.csv": (
                f"{_COMMON} title grade courseSourcedId classCode classType location schoolSourcedId termSourcedId "
                "subjects"
            ),
            "enrollments.csv": (
                "sourcedId classSourcedId schoolSourcedId userSourcedId role status dateLastModified primary"
            ),
            "demographics.csv": (
                "userSourcedId status dateLastModified birthdate sex americanIndianOrAlaskaNative asian "
                "blackOrAfricanAmerican nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces "
                "hispanicOrLatinoEthnicity countryOfBirthCode stateOfBirthAbbreviation cityOfBirth "
                "publicSchoolResidenceStatus"
            ),
        }.items()
    },
}
# What 1.0 calls columns that were called otherwise since.
_IN_1P0 = {
    "courses.csv": {"schoolYearSourcedId": "schoolYearId", "grades": "grade"},
    "users.csv": {"userIds": "userId", "agentSourcedIds": "agents"},
    "classes.csv": {"termSourcedIds": "termSourcedId", "grades": "grade"},
    "demographics.csv": {"sourcedId": "userSourcedId", "birthDate": "birthdate"},
}
# Files that are checked and not kept, per version.
UNKEPT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "1.2": {
        name: tuple(f"{_COMMON} {rest}".split())
        for name, rest in {
            "categories.csv": "title weight",
            "classResources.csv": "title classSourcedId resourceSourcedId",
            "courseResources.csv": "title courseSourcedId resourceSourcedId",
            "lineItemLearningObjectiveIds.csv": "lineItemSourcedId source learningObjectiveId",
            "lineItems.csv": (
                "title description assignDate dueDate classSourcedId categorySourcedId academicSessionSourcedId "
                "resultValueMin resultValueMax schoolSourcedId"
            ),
            "lineItemScoreScales.csv": "title lineItemSourcedId scoreScaleSourcedId",
            "resources.csv": "vendorResourceId title roles importance vendorId applicationId",
            "resultLearningObjectiveIds.csv": "resultSourcedId source learningObjectiveId score textScore",
            "results.csv": (
                "lineItemSourcedId studentSourcedId scoreStatus score scoreDate comment textScore classSourcedId "
                "inProgress incomplete late missing"
            ),
            "resultScoreScales.csv": "title resultSourcedId scoreScaleSourcedId",
            "scoreScales.csv": "title type orgSourcedId courseSourcedId classSourcedId scoreScaleValue",
            "userProfiles.csv": (
                "userSourcedId profileType vendorId applicationId description credentialType username password"
            ),
            "userResources.csv": "userSourcedId orgSourcedId classSourcedId resourceSourcedId",
        }.items()
    },
    "1.1": {
        name: tuple(f"{_COMMON} {rest}".split())
        for name, rest in {
            "categories.csv": "title",
            "classResources.csv": "title classSourcedId resourceSourcedId",
            "courseResources.csv": "title courseSourcedId resourceSourcedId",
            "lineItems.csv": (
                "title description assignDate dueDate classSourcedId categorySourcedId gradingPeriodSourcedId "
                "resultValueMin resultValueMax"
            ),
            "resources.csv": "vendorResourceId title roles importance vendorId applicationId",
            "results.csv": "lineItemSourcedId studentSourcedId scoreStatus score scoreDate comment",
        }.items()
    },
    "1.0": {},
}
Row = dict[str, str]


@dataclass
class Delivery:
    """Rows by file, and bytes that replace a file as a whole."""

    version: str = "1.2"
    rows: dict[str, list[Row]] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in HEADERS[self.version]:
            self.rows.setdefault(name, [])

    def add(self, file: str, **cells: str) -> Delivery:
        self.rows.setdefault(file, []).append(cells)
        return self

    def without(self, file: str, sourced_id: str) -> Delivery:
        self.rows[file] = [row for row in self.rows[file] if row["sourcedId"] != sourced_id]
        return self

    def as_delta(self, *files: str) -> Delivery:
        """Let the manifest call these files deltas."""
        self.modes |= dict.fromkeys(files, "delta")
        return self

    def row(self, file: str, sourced_id: str) -> Row:
        return next(row for row in self.rows[file] if row["sourcedId"] == sourced_id)

    # --- what a district is made of --------------------------------------------------------------

    def frame(self, *schools: str) -> Delivery:
        """A district with these schools, a year, a term, and a course of the district."""
        self.add("orgs.csv", sourcedId="d", name="District", type="district")
        for school in schools:
            self.add("orgs.csv", sourcedId=school, name=f"School {school}", type="school", parentSourcedId="d")
        year = {"startDate": "2026-08-01", "endDate": "2027-06-30", "schoolYear": "2027"}
        self.add("academicSessions.csv", sourcedId="y", title="2026-27", type="schoolYear", **year)
        self.add("academicSessions.csv", sourcedId="t", title="Fall", type="term", parentSourcedId="y", **year)
        self.add("courses.csv", sourcedId="c", title="Algebra", orgSourcedId="d", schoolYearSourcedId="y")
        return self

    def class_(self, sourced_id: str, school: str, **more: str) -> Delivery:
        cells = {"title": f"Class {sourced_id}", "courseSourcedId": "c", "classType": "scheduled", "grades": "09"}
        return self.add(
            "classes.csv", sourcedId=sourced_id, schoolSourcedId=school, termSourcedIds="t", **(cells | more)
        )

    def person(self, sourced_id: str, role: str, *schools: str, born: str = "", **more: str) -> Delivery:
        """A person with a role at each of these schools; the first is primary."""
        cells = {"enabledUser": "true", "username": f"u.{sourced_id}", "givenName": f"Given{sourced_id}",
                 "familyName": f"Family{sourced_id}"}  # fmt: skip
        if self.version != "1.2":
            cells |= {"orgSourcedIds": ",".join(schools), "role": role}
        self.add("users.csv", sourcedId=sourced_id, **(cells | more))
        for place, school in enumerate(schools if self.version == "1.2" else ()):
            self.add(
                "roles.csv", sourcedId=f"r.{sourced_id}.{school}", userSourcedId=sourced_id, role=role,
                roleType="secondary" if place else "primary", orgSourcedId=school,
            )  # fmt: skip
        if born:
            self.add("demographics.csv", sourcedId=sourced_id, birthDate=born, sex="unspecified")
        return self

    def enroll(self, person: str, class_id: str, school: str, role: str = "student", **more: str) -> Delivery:
        return self.add(
            "enrollments.csv", sourcedId=f"e.{class_id}.{person}", classSourcedId=class_id, schoolSourcedId=school,
            userSourcedId=person, role=role, **more,
        )  # fmt: skip

    # --- written ---------------------------------------------------------------------------------

    def files(self) -> dict[str, bytes]:
        """Return the bytes of every file, manifest included."""
        made = {}
        for name, rows in self.rows.items():
            if rows or name != "demographics.csv":
                made[name] = self._file(name, rows)
        if self.version != "1.0":
            made["manifest.csv"] = self.manifest(made)
        return made | self.raw

    def as_1p0(self) -> Delivery:
        """The same district as OneRoster 1.0 tells of it, of one that 1.1 told of."""
        rows = {
            name: [{_IN_1P0.get(name, {}).get(column, column): cell for column, cell in row.items()} for row in found]
            for name, found in self.rows.items()
        }
        return Delivery("1.0", rows)

    def header(self, name: str) -> tuple[str, ...]:
        known = {**HEADERS[self.version], **UNKEPT[self.version]}
        return self.headers.get(name, known.get(name, ()))

    def _file(self, name: str, rows: Iterable[Row]) -> bytes:
        out = io.StringIO()
        writer = csv.DictWriter(out, self.header(name), restval="", lineterminator="\r\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue().encode()

    def manifest(self, present: Iterable[str]) -> bytes:
        there = {name.removesuffix(".csv") for name in present}
        names = {name.removesuffix(".csv") for name in HEADERS[self.version]}
        names |= {"categories", "lineItems", "results"} | there
        names -= {"manifest"}
        mode = {name: self.modes.get(f"{name}.csv", "bulk") for name in there}
        lines = ["propertyName,value", "manifest.version,1.0", f"oneroster.version,{self.version}"]
        lines += [f"file.{name},{mode.get(name, 'absent')}" for name in sorted(names)]
        return ("\r\n".join([*lines, "source.systemName,Test SIS", "source.systemCode,1", ""])).encode()

    def zip(self, path: Path) -> Path:
        """Write the delivery as a zip and return its path."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
            for name, data in self.files().items():
                bundle.writestr(name, data)
        return path

    def folder(self, path: Path) -> Path:
        path.mkdir(exist_ok=True)
        for name, data in self.files().items():
            (path / name).write_bytes(data)
        return path


def two_schools(pupils: int = 12) -> Delivery:
    """Schools A and B, a class and a teacher each, pupils in turn at A, B and both (every fifth)."""
    made = Delivery().frame("A", "B").class_("kA", "A").class_("kB", "B")
    for school in "AB":
        made.person(f"t{school}", "teacher", school, email=f"t{school}@schools.example")
        made.enroll(f"t{school}", f"k{school}", school, "teacher")
    for n in range(pupils):
        schools = ("A", "B") if n % 5 == 0 else ("AB"[n % 2],)
        made.person(f"p{n}", "student", *schools, born="2010-03-04", grades="09", email=f"p{n}@pupils.example")
        for school in schools:
            made.enroll(f"p{n}", f"k{school}", school)
    return made
