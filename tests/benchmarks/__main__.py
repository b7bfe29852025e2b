"""Measures ratios against named floors, prints them as a table and writes it to bench-out/table.md.

    make bench                                   the promise: 100,000 pupils, 840,000 enrollments
    make bench ARGS="--pupils 5000 --only read"  a quick look (a process takes a second to start: small syncs look slow)

Figures of different runs, and of different machines, are not compared: only the ratios are, each within its run. The
exit code says whether the run may be believed, not whether targets are met.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import traceback
from pathlib import Path
from time import perf_counter

from gateway import logs
from tests.benchmarks import decide, launch, ledger, read, sync
from tests.benchmarks.district import PUPILS, District, Night
from tests.benchmarks.table import Row, Void, machine, markdown
from tests.benchmarks.town import Town, built

OUT = Path(__file__).parents[2] / "bench-out" / "table.md"
PARTS = {
    "sync": sync.measure, "launch": launch.measure, "read": read.measure, "ledger": ledger.measure,
    "decide": decide.measure,
}  # fmt: skip
ENOUGH = 10  # schools, where no sync is measured


def main() -> int:
    """Run what is asked for; return 1 when any of it is void."""
    said = _arguments()
    wanted = [name for name in PARTS if not said.only or name in said.only]
    schools = said.pupils // PUPILS
    district = District(schools if "sync" in wanted else min(schools, ENOUGH))
    logs.configure(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began, rows, voids = perf_counter(), list[Row](), list[str]()
    with built(district) as town:
        heading = machine(town.sql("SHOW server_version")[0][0], f"{district.size:,} schools of {PUPILS:,} pupils")
        for name in wanted if "sync" in wanted else ["load", *wanted]:
            rows += [] if voids else _attempt(name, town, voids)
    page = markdown(f"{heading} The run took {perf_counter() - began:.0f} s.", rows, voids)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(page)
    print(page)
    return 1 if voids else 0


def _attempt(name: str, town: Town, voids: list[str]) -> list[Row]:
    """Run one part; whatever goes wrong in it voids it. `load` only makes the district."""
    try:
        if name in PARTS:
            return PARTS[name](town)
        town.load(Night.FIRST)
    except Exception as void:
        if not isinstance(void, Void):
            traceback.print_exc()
        sys.stderr.write(town.log.read_text()[-2000:] if town.log.exists() else "")
        voids.append(f"{name}: {str(void) or type(void).__name__}".replace("|", "/").replace("\n", " "))
    return []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…")
    parser.add_argument("--pupils", type=int, default=100_000, help="size of the district, in whole schools of 1,000")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="measure this part only")
    said = parser.parse_args()
    if said.pupils < PUPILS:
        parser.error(f"a district has {PUPILS} pupils or more")
    return said


if __name__ == "__main__":
    sys.exit(main())
