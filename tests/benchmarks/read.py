"""Vendor read: pages of 1,000 enrollments with policy, aliases and ledger, beside the obvious design, over HTTP.

The floor is the same rows by limit and offset as SQLAlchemy objects through the marshmallow schema of the very record:
nobody is asked whether they may leave, ids are the source's own, nothing is written down, nothing is counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from statistics import median

from tests.benchmarks.client import Answer, Connection, get
from tests.benchmarks.table import Row, Target, require
from tests.benchmarks.town import Town
from tests.worlds import READ

ROUNDS, PAGE, MOST_PAGES = 3, 1000, 8
Walk = tuple[float, list[str]]  # seconds, and the members of a record


def measure(town: Town) -> list[Row]:
    """Read as a vendor of one school, and as one of several."""
    with town.serving():
        return [_vendor(town, count) for count in sorted({1, min(10, town.district.size)})]


def _vendor(town: Town, count: int) -> Row:
    """Both sides walk the same number of whole pages in turn; the first walk of each only warms it."""
    schools = town.district.schools[:count]
    token = town.world.reader(*schools, name=f"Reader of {count}").sign_in().token
    numbers = ",".join(str(town.world.places[school].school) for school in schools)
    (total,) = town.sql(f"SELECT count(*) FROM roster_enrollment WHERE school IN ({numbers}) AND until IS NULL")[0]
    pages = min(MOST_PAGES, total // PAGE)
    path = f"/enrollments?district={town.world.by.district}&schools={numbers}&limit={PAGE}&offset="

    def link(_page: int, answer: Answer) -> str:
        require(answer.header("X-Total-Count") == str(total), f"gateway: {answer.header('X-Total-Count')} of {total}")
        return READ + answer.header("Link").rpartition("<")[2].partition(">")[0].partition(READ)[2]

    ours, floors = [], []
    for _ in range(ROUNDS + 1):
        start = f"{READ}/enrollments?limit={PAGE}"
        ours.append(_walk(town.ports[0], start, pages, link, Authorization=f"Bearer {token}"))
        floors.append(_walk(town.ports[1], f"{path}0", pages, lambda page, _answer: f"{path}{page * PAGE}"))
        require(ours[-1][1] == floors[-1][1], f"the sides show different members: {ours[-1][1]}, {floors[-1][1]}")
    rates = [pages / median(seconds for seconds, _ in side[1:]) for side in (ours, floors)]
    ratio = median(floor[0] / own[0] for own, floor in zip(ours[1:], floors[1:], strict=True))
    what = f"pages of {PAGE:,} enrollments, vendor of {count} school{'s' * (count > 1)}"
    return Row(what, f"{rates[0]:.1f} pages/s", f"SQLAlchemy objects, marshmallow {rates[1]:.1f} pages/s", ratio,
               Target("≥", 3))  # fmt: skip


def _walk(port: int, path: str, pages: int, following: Callable[[int, Answer], str], **headers: str) -> Walk:
    """Read so many whole pages one after another; `following` says where the next is."""
    seconds, seen, members = 0.0, set[str](), list[str]()
    with Connection(port) as connection:
        for page in range(1, pages + 1):
            answer = connection.ask(get(path, **headers))
            found = json.loads(answer.body)["enrollments"] if answer.status == 200 else []
            seen |= {record["sourcedId"] for record in found}
            require(len(seen) == page * PAGE, f"{path[:40]} answered {answer.status}, {len(found)} rows")
            seconds, members, path = seconds + answer.seconds, sorted(found[0]), following(page, answer)
    return seconds, members
