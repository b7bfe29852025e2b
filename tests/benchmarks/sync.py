"""Sync of a district: the product's whole flow in a process of its own, beside a bare COPY of what it published.

The floor copies, into empty tables of the same columns, keys and indexes in the same server, the rows the product
published, in the order they lie there (which suits the floor: its first key grows at its end), rendered beforehand.
It reads no CSV, checks nothing and keeps no copy to compare the next night with. The naive path (`naive.py`) reads and
checks the same deliveries into tables of the same kind.
"""

from __future__ import annotations

import hashlib
from array import array
from itertools import chain
from pathlib import Path
from statistics import mean, median
from time import perf_counter

import psycopg

from connectors.oneroster_csv import open_delivery
from gateway.store.staging import Seen
from mappings.oneroster.records import KINDS
from mappings.oneroster.rows import Fault, FileReader
from tests.benchmarks import naive
from tests.benchmarks.district import FILES, PUPILS, Night
from tests.benchmarks.table import Row, Target, require
from tests.benchmarks.town import Applied, Town

MOST_MEBIBYTES = 512
NIGHTLY = Target("<", 1 / 3)


def measure(town: Town) -> list[Row]:
    """Load the district, sync two nights and one delivery again; copy the same rows before and after them, and go the
    naive way each time."""
    district = town.district
    first = town.load(Night.FIRST)
    require(_rows(first, "accepted") == district.counts(), "first load: not all rows were read")
    require(_live(town, "public") == district.published(), "first load: other rows were published than delivered")
    files = _render(town)
    floors = [_copy(town, files)]
    naive_first = _naive(town, sum(district.published().values()), 0)
    checked = _validation(town)
    same = town.load(Night.SHUFFLED)
    require(_rows(same, "unchanged") == district.counts(), "no-change night: rows were not recognised")
    naive_same = _naive(town, 0, 0)
    again, hashing = _again(town)
    moved = town.load(Night.MOVED)
    require(_moves(moved) == district.moves(), "1 % night: other rows moved than were delivered so")
    told = district.moves().values()
    naive_moved = _naive(town, sum(n["added"] for n in told), sum(n["changed"] for n in told))
    floors.append(_copy(town, files))
    floor, nights = mean(floors), (first, same, moved)
    what = f"first load: {district.size * PUPILS:,} pupils, {district.counts()['enrollment']:,} enrollments"
    peaks = [night.mebibytes for night in nights]
    loaded, by_naive = f"{first.seconds:.1f} s", ("no-change night, rows shuffled", "1 % night")
    return [
        Row(what, loaded, f"bare COPY of what was published: {floor:.1f} s", first.seconds / floor, Target("≤", 2)),
        Row(what, loaded, f"naive path: {naive_first:.1f} s", naive_first / first.seconds, Target("≥", 6)),
        *(Row(name, f"{night.seconds:.1f} s", f"first load: {loaded}", night.seconds / first.seconds, NIGHTLY)
          for name, night in zip(by_naive, (same, moved), strict=True)),
        Row(by_naive[0], f"{same.seconds:.1f} s", f"naive path: {naive_same:.1f} s", naive_same / same.seconds,
            Target("≥", 20)),
        Row(by_naive[1], f"{moved.seconds:.1f} s", f"naive path: {naive_moved:.1f} s", naive_moved / moved.seconds,
            Target("≥", 15)),
        Row("the same bytes again, in one process", f"{again * 1000:.0f} ms", f"hashing them: {hashing * 1000:.0f} ms",
            again / hashing, Target("≤", 3)),
        checked,
        Row("peak resident memory of a sync", ", ".join(f"{peak:.0f}" for peak in peaks) + " MiB",
            f"{MOST_MEBIBYTES} MiB", max(peaks) / MOST_MEBIBYTES, Target("<", 1)),
    ]  # fmt: skip


def _naive(town: Town, added: int, changed: int) -> float:
    """Go the naive way with this night's delivery; return the seconds. It, too, has to bring in what was delivered."""
    if not town.sql(f"SELECT to_regclass('{naive.SCHEMA}.roster_org') IS NOT NULL")[0][0]:
        for kind in town.district.published():
            town.sql(f"CREATE TABLE {naive.SCHEMA}.roster_{kind} (LIKE roster_{kind} INCLUDING ALL)")
    else:
        town.sql("VACUUM ANALYZE")
    done = town.naive()
    found = {word: done.report[word] for word in ("added", "changed")}
    require(found == {"added": added, "changed": changed}, f"naive path: {done.report}")
    return done.seconds


def _again(town: Town) -> tuple[float, float]:
    """Return the seconds of a sync of the bytes that were taken last, and of hashing them: medians of several."""
    hashed, taken = [], []
    for _ in range(7):
        began = perf_counter()
        hashlib.sha256(town.delivery.read_bytes()).digest()
        hashed.append(perf_counter() - began)
        began = perf_counter()
        report = town.world.sync(town.delivery)
        taken.append(perf_counter() - began)
        require(report.state == "unchanged" and bool(report.same_as), "the same bytes were read again")
    return median(taken), median(hashed)


def _validation(town: Town) -> Row:
    """Reading and checking alone, row by row of every file, and the same by csv.DictReader and marshmallow."""
    counts, seconds = town.district.counts(), []
    for count in (_checked, _checked_naively):
        began = perf_counter()
        require(count(town) == counts, "validation: not all rows are good")
        seconds.append(perf_counter() - began)
    rows = sum(counts.values())
    ours, theirs = (rows / spent for spent in seconds)
    return Row("validation alone", f"{ours:,.0f} rows/s", f"csv.DictReader, marshmallow: {theirs:,.0f} rows/s",
               ours / theirs, Target("≥", 8))  # fmt: skip


def _checked(town: Town) -> dict[str, int]:
    faults, found = list[Fault](), {}
    with open_delivery(town.delivery, 4 << 30) as delivery:
        for name in delivery.files():
            header = delivery.header(name)
            reader = FileReader(header, Seen({kind: array("q") for kind in KINDS}), faults.append)
            blocks = delivery.blocks(name, hashed=reader.recognises_lines)
            first = next(blocks)
            for _ in reader.batches(chain([first[1:]], blocks)):
                pass
            found[header.file.kind] = reader.tally.accepted
    require(not faults, "validation: faults in a clean delivery")
    return found


def _checked_naively(town: Town) -> dict[str, int]:
    return {kind: sum(1 for _ in naive.rows(town.delivery, kind)) for kind in naive.SCHEMAS}


def _rows(applied: Applied, what: str) -> dict[str, int]:
    """How many rows of each kind the product read, or knew again."""
    said = {file["file"]: file[what] for file in applied.report["files"]}
    return {kind: said[name] for kind, name in FILES.items()}


def _moves(applied: Applied) -> dict[str, dict[str, int]]:
    """What the product says moved, by kind, over all schools."""
    found: dict[str, dict[str, int]] = {}
    for school in applied.report["schools"]:
        for kind, said in school["kinds"].items():
            moved = found.setdefault(kind, dict.fromkeys(("changed", "removed", "added"), 0))
            found[kind] = {word: n + said[word] for word, n in moved.items()}
    return {kind: moved for kind, moved in found.items() if any(moved.values())}


def _live(town: Town, schema: str) -> dict[str, int]:
    kinds = town.district.published()
    return {k: town.sql(f"SELECT count(*) FROM {schema}.roster_{k} WHERE until IS NULL")[0][0] for k in kinds}


def _render(town: Town) -> dict[str, Path]:
    """Write the published rows as COPY text, one file for each table, and make the floor's tables."""
    files = {kind: town.folder / f"{kind}.copy" for kind in town.district.published()}
    with psycopg.connect(town.admin) as admin:
        for kind, path in files.items():
            admin.execute(f"CREATE TABLE floor.roster_{kind} (LIKE roster_{kind} INCLUDING ALL)")
            query = f"COPY (SELECT * FROM roster_{kind} WHERE until IS NULL) TO STDOUT"
            with path.open("wb") as file, admin.cursor().copy(query) as rows:
                for chunk in rows:
                    file.write(chunk)
    return files


def _copy(town: Town, files: dict[str, Path]) -> float:
    """Copy all files into the empty tables in one transaction; return the seconds to its commit."""
    town.sql(f"TRUNCATE {', '.join(f'floor.roster_{kind}' for kind in files)}")
    town.sql("CHECKPOINT")
    with psycopg.connect(town.admin) as admin:
        began = perf_counter()
        for kind, path in files.items():
            with path.open("rb") as file, admin.cursor().copy(f"COPY floor.roster_{kind} FROM STDIN") as rows:
                while chunk := file.read(1 << 20):
                    rows.write(chunk)
        admin.commit()
        seconds = perf_counter() - began
    require(_live(town, "floor") == town.district.published(), "floor: not all rows were copied")
    return seconds
