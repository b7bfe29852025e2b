"""Sync of a district: the product's whole flow in a process of its own, beside a bare COPY of what it published.

The floor copies, into empty tables of the same columns, keys and indexes in the same server, the rows the product
published, in the order they lie there (which suits the floor: its first key grows at its end), rendered beforehand.
It reads no CSV, checks nothing and keeps no copy to compare the next night with.
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from time import perf_counter

import psycopg

from tests.benchmarks.district import FILES, PUPILS, Night
from tests.benchmarks.table import Row, Target, require
from tests.benchmarks.town import Applied, Town

MOST_MEBIBYTES = 512
NIGHTLY = Target("<", 1 / 3)


def measure(town: Town) -> list[Row]:
    """Load the district, sync two nights, and copy the same rows before and after them."""
    district = town.district
    first = town.load(Night.FIRST)
    require(_rows(first, "accepted") == district.counts(), "first load: not all rows were read")
    require(_live(town, "public") == district.published(), "first load: other rows were published than delivered")
    files = _render(town)
    floors = [_copy(town, files)]
    same = town.load(Night.SHUFFLED)
    require(_rows(same, "unchanged") == district.counts(), "no-change night: rows were not recognised")
    moved = town.load(Night.MOVED)
    require(_moves(moved) == district.moves(), "1 % night: other rows moved than were delivered so")
    floors.append(_copy(town, files))
    floor, nights = mean(floors), (first, same, moved)
    what = f"first load: {district.size * PUPILS:,} pupils, {district.counts()['enrollment']:,} enrollments"
    peaks = [night.mebibytes for night in nights]
    return [
        Row(what, f"{first.seconds:.1f} s", f"bare COPY of what was published: {floor:.1f} s", first.seconds / floor,
            Target("≤", 3)),
        *(Row(name, f"{night.seconds:.1f} s", f"first load: {first.seconds:.1f} s", night.seconds / first.seconds,
              NIGHTLY) for name, night in (("no-change night, rows shuffled", same), ("1 % night", moved))),
        Row("peak resident memory of a sync", ", ".join(f"{peak:.0f}" for peak in peaks) + " MiB",
            f"{MOST_MEBIBYTES} MiB", max(peaks) / MOST_MEBIBYTES, Target("<", 1)),
    ]  # fmt: skip


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
