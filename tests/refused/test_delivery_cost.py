"""What a bad file costs: little memory, little time, and never the version before."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.benchmarks.district import District, Night
from tests.benchmarks.town import Town, built

MEBIBYTES, SECONDS = 300, 60
MANY = 250_000  # rows
USER = "{id},,,{enabled},u{n},,G,F,,,,,,,{grades},,,,,,,\r\n"
SEAT = "{id},,,{class_},{school},{user},student,false,,\r\n"


def users(enabled: str = "true", grades: str = "09", start: str = "bad") -> Iterator[bytes]:
    return (USER.format(id=f"{start}{n}", n=n, enabled=enabled, grades=grades).encode() for n in range(MANY))


def seats(town: Town, name: str, user: str = "") -> Iterator[bytes]:
    class_, people = town.district.group(0, 0)
    cells = {"class_": class_, "school": town.district.schools[0], "user": user or people[0]}
    return (SEAT.format(id=name.format(n), **cells).encode() for n in range(MANY))


# What is put at the end of a file, and what becomes of it.
BAD: dict[str, tuple[str, Callable[[Town], Iterable[bytes]], str]] = {
    "every row is bad": ("users.csv", lambda _: users(enabled="perhaps"), "CSV_FAULT_BUDGET"),
    "a value of every row is bad": ("users.csv", lambda _: users(grades="fourth"), "CSV_FAULT_BUDGET"),
    "rows nobody can decode": ("users.csv", lambda _: (b"\xff\xfe,x\r\n" for _ in range(MANY)), "CSV_FAULT_BUDGET"),
    "one id on every row": ("enrollments.csv", lambda town: seats(town, "same"), ""),
    "rows that lead nowhere": ("enrollments.csv", lambda town: seats(town, "e{}", user="nobody"), ""),
    "nothing but ends of lines": ("users.csv", lambda _: (b"\n" * 1000 for _ in range(60_000)), ""),
    "a line without end": ("users.csv", lambda _: (b"x" * 100_000 for _ in range(1000)), "CSV_VALUE_LENGTH"),
    "long lines": ("users.csv", lambda _: (b"x" * 60_000 + b"\r\n" for _ in range(3000)), "CSV_FAULT_BUDGET"),
    "nothing but commas": ("users.csv", lambda _: (b"," * 60_000 + b"\r\n" for _ in range(3000)), "CSV_FAULT_BUDGET"),
    "nothing but quotes": ("users.csv", lambda _: (b'"' * 60_001 + b"\r\n" for _ in range(3000)), "CSV_FAULT_BUDGET"),
}  # fmt: skip


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with built(District(2)) as made:
        made.load(Night.FIRST)
        yield made


@pytest.mark.invariants
@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_costs_little(town: Town, what: str, tmp_path: Path) -> None:
    name, lines, code = BAD[what]
    before = town.sql("SELECT school, max(version) FROM roster_version GROUP BY school ORDER BY school")
    sound = town.district.write(tmp_path / "sound.zip", Night.FIRST)
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(sound) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bundle:
        for one in whole.namelist():
            with bundle.open(one, "w", force_zip64=True) as file:
                file.write(whole.read(one))
                for line in lines(town) if one == name else ():
                    file.write(line)
    exit_code, applied = town.brought(path)
    print(f"{what}: {applied.report['state']}, {applied.seconds:.1f} s, {applied.mebibytes:.0f} MiB")
    assert applied.mebibytes < MEBIBYTES
    assert applied.seconds < SECONDS
    assert (applied.report["refusal"] or {}).get("code", "") == code
    assert (exit_code != 0) == (applied.report["state"] in ("refused", "held"))
    if exit_code:
        assert town.sql("SELECT school, max(version) FROM roster_version GROUP BY school ORDER BY school") == before
    (live,) = town.sql("SELECT count(*) FROM roster_enrollment WHERE until IS NULL")
    assert live[0] >= town.district.published()["enrollment"]
