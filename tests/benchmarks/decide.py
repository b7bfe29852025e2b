"""Deciding: the request as a whole and every row of a class, or of a roster, from facts in memory."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from statistics import median
from time import perf_counter

from gateway.policy import rowplan
from gateway.policy.agreements import COMMITMENTS
from gateway.policy.decide import decide
from gateway.policy.facts import Agreement, Consent, Credential, Direction, Facts, Person, PolicyVersion
from gateway.policy.request import ROSTER_SCOPE, RULES, Actor, ActorKind, Obligation, Operation, Purpose, Request
from mappings.elements import REGISTER
from tests.benchmarks.table import Row, Target, require
from tests.benchmarks.town import Town

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
CLASS, ROSTER, ROUNDS = 30, 50_000, 7
MOST_MS = {CLASS: 1.0, ROSTER: 250.0}
ASKED = frozenset(e for e in RULES[Operation.ROSTER_READ].ceiling if not e.startswith("demographics."))
REQUEST = Request(
    "tr_00000000", Operation.ROSTER_READ, Actor(ActorKind.VENDOR, "gr_00000000"), "sch_00000000", "ven_00000000",
    Purpose.ROSTERING, ASKED, meets=frozenset(Obligation),
)  # fmt: skip
SCHOOLS = frozenset({"sch_00000000"})
CREDENTIAL = Credential("gr_00000000", "ven_00000000", "ag_00000000", frozenset({ROSTER_SCOPE}), SCHOOLS)
AGREEMENT = Agreement(
    "ag_00000000", 1, "ven_00000000", "assessment", "active", SCHOOLS, frozenset(REGISTER), frozenset({"rostering"}),
    frozenset({"roster.read"}), NOW - DAY, NOW + DAY, False, "", frozenset(COMMITMENTS), NOW - DAY,
)  # fmt: skip
FACTS = Facts(
    True, CREDENTIAL, (AGREEMENT,),
    (Direction("dr_00000000", 1, "ag_00000000", "roster.read", "district_admin", "active", NOW - DAY, NOW + DAY),),
    "strictest", (PolicyVersion("strictest", 2, "material", NOW - DAY, True, True),),
)  # fmt: skip
REFUSED = (Consent("co_00000000", 1, "disclose", "refused", None, NOW - DAY, None),)


def _someone(number: int) -> Person:
    """A pupil in sixteen is too young, one in fifty has refused."""
    born = date(2015 if number % 16 == 0 else 2009, 3, 4)
    return Person(True, True, born, False, () if number % 50 else REFUSED, (), NOW - 30 * DAY, f"p{number}")


def measure(_town: Town) -> list[Row]:
    return [_row("a class of 30", CLASS), _row("a roster of 50,000 rows", ROSTER)]


def _row(what: str, size: int) -> Row:
    people, took = [_someone(number) for number in range(size)], []
    for _ in range(ROUNDS):
        began = perf_counter()
        decision = decide(REQUEST, FACTS, NOW)
        kept = sum(rowplan.judge(decision.plan, person) is None for person in people)
        took.append(1000 * (perf_counter() - began))
        require(decision.permits and size * 0.8 < kept < size, f"{kept} of {size} were kept")
    most = MOST_MS[size]
    return Row(f"deciding {what}", f"{median(took):.2f} ms", f"{most:.0f} ms", median(took) / most, Target("<", 1))
