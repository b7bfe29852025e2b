"""A row plan as SQL, under the ownership filter. The rows it keeps are those `policy.rowplan.judge` keeps.

A plan about people is compiled against a query that offers `r.school`, the person's id and whether it is a pupil. Both
ways of asking name the CTE `said`, which is SAID: what families and pupils answered at these schools.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.policy.rowplan import (
    FOR_A_CHILD,
    OWN_WORD,
    CollectedSince,
    Consented,
    Grown,
    NotOptedOut,
    NotRefused,
    NotRestricted,
    OfAge,
    Owned,
    Part,
    RowPlan,
)

# The latest version of every answer and of every opting out. What one is about is its agreement, or its category.
_LATEST = """
SELECT school, person_id, {scope} AS scope, status, {about} AS about, valid_from, valid_until, {grantor} AS grantor,
    {evidenced} AS evidenced
FROM (SELECT DISTINCT ON (school, {table}) * FROM {table} WHERE district = %(district)s AND school = ANY(%(schools)s)
    ORDER BY school, {table}, version DESC) c
"""
SAID = (
    _LATEST.format(table="consent", scope="scope", about="agreement", grantor="grantor", evidenced="evidenced")
    + "UNION ALL"
    + _LATEST.format(table="opt_out", scope="'out'", about="category", grantor="''", evidenced="FALSE")
)


@dataclass(slots=True)
class _Compiler:
    """Values of a statement, named as its parts come."""

    values: dict[str, Any] = field(default_factory=dict)

    def value(self, value: Any) -> str:
        name = f"plan_{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"

    # --- what holds of an answer `b` ---------------------------------------------------------------

    def stands(self, at: Any) -> str:
        moment = self.value(at)
        return f"b.valid_from <= {moment} AND (b.valid_until IS NULL OR b.valid_until > {moment})"

    def about(self, what: str) -> str:
        return f"(b.about IS NULL OR b.about = {self.value(what)})"

    def bars(self, part: NotRefused | NotOptedOut | NotRestricted) -> str:
        """What holds of an answer that bars its person under this part."""
        match part:
            case NotRefused(agreement, at):
                return f"b.scope = 'disclose' AND b.status IN {_NO} AND {self.about(agreement)} AND {self.stands(at)}"
            case NotOptedOut(category, at):
                return f"b.scope = 'out' AND b.status = 'active' AND {self.about(category)} AND {self.stands(at)}"
            case NotRestricted(at):
                return f"b.scope = 'use' AND b.status IN {_NO} AND {self.stands(at)}"

    # --- what holds of a row `r` about a person ------------------------------------------------------

    def born_by(self, person: str, day: Any) -> str:
        return (
            "EXISTS (SELECT FROM roster_demographics g WHERE g.district = r.district AND g.school = r.school "
            f"AND g.sourced_id = {person} AND g.until IS NULL AND g.birth_date <= {self.value(day)})"
        )

    def consented(self, person: str, part: Consented) -> str:
        """Somebody entitled agreed: a set that is hashed once, of those who answered for a child or for themselves."""
        good = (
            f"SELECT b.school, b.person_id FROM said b WHERE b.scope = 'disclose' AND b.status = 'given' AND b.evidenced "
            f"AND {self.about(part.agreement)} AND {self.stands(part.at)} AND b.grantor = ANY({{}})"
        )
        child, own = (
            f"(r.school, {person}) IN ({good.format(self.value(sorted(w)))})" for w in (FOR_A_CHILD, OWN_WORD)
        )
        adult = self.born_by(person, part.adult_by)
        return f"(({child} AND NOT {adult}) OR ({own} AND {adult}))"

    def passes(self, part: Part, person: str, is_pupil: str) -> str:
        """What holds of a row that this part lets go."""
        match part:
            case Owned():
                return "r.district = %(district)s AND r.school = ANY(%(schools)s)"
            case OfAge(day, consent):
                permitted = f" OR {self.consented(person, consent)}" if consent else ""
                return f"(NOT {is_pupil} OR {self.born_by(person, day)}{permitted})"
            case Grown(day):
                return f"(NOT {is_pupil} OR {self.born_by(person, day)})"
            case Consented():
                return f"(NOT {is_pupil} OR {self.consented(person, part)})"
            case CollectedSince(at):
                return (
                    "NOT EXISTS (SELECT FROM roster_user x JOIN roster_version v ON v.district = x.district AND v.school "
                    f"= x.school AND v.version = x.since WHERE x.district = r.district AND x.school = r.school "
                    f"AND x.sourced_id = {person} AND v.published_at < {self.value(at)})"
                )
            case _:  # a set that is hashed once, however many families answered
                return f"(r.school, {person}) NOT IN (SELECT school, person_id FROM said b WHERE {self.bars(part)})"

    # --- who is withheld, and why ----------------------------------------------------------------------

    def withheld(self, part: Part, step: int) -> Iterator[str]:
        """Queries for the people of the schools whom this part withholds: school, person, step and code."""
        match part:
            case Owned():
                return
            case NotRefused() | NotOptedOut() | NotRestricted():
                yield (
                    f"SELECT b.school, b.person_id AS person, {step} + {_SECOND} AS step, {_CODES} AS code FROM said b JOIN "
                    "roster_user r ON r.district = %(district)s AND r.school = b.school AND r.sourced_id = b.person_id "
                    f"AND r.until IS NULL WHERE {self.bars(part)}"
                )
            case _:
                passes = self.passes(part, "r.sourced_id", "r.is_pupil")
                code, source = self.why(part)
                yield (
                    f"SELECT r.school, r.sourced_id, {step}, {code} FROM roster_user r {source} WHERE r.district = "
                    f"%(district)s AND r.school = ANY(%(schools)s) AND r.until IS NULL AND NOT {passes}"
                )

    def why(self, part: Part) -> tuple[str, str]:
        """The code with which a part withholds a person, and what to join for it."""
        match part:
            case Consented():
                return self.unconsented(part)
            case OfAge(_, consent) if consent:
                return self.unconsented(consent)
            case OfAge():
                return "'AGE_CHILD_NO_SCHOOL_AGREEMENT'", ""
            case Grown():
                return "'POL_RECONSENT_REQUIRED'", ""
            case _:
                return "'POL_LESS_RESTRICTIVE_OLD_DATA'", ""

    def unconsented(self, part: Consented) -> tuple[str, str]:
        """What comes nearest to a consent, as `Consented.fault` says it."""
        given, about, stands = (
            "b.scope = 'disclose' AND b.status = 'given'",
            self.about(part.agreement),
            self.stands(part.at),
        )
        started = f"b.valid_from <= {self.value(part.at)}"
        facts = {
            "child": f"{given} AND {about} AND {stands} AND b.grantor = ANY({self.value(sorted(FOR_A_CHILD))})",
            "own": f"{given} AND {about} AND {stands} AND b.grantor = ANY({self.value(sorted(OWN_WORD))})",
            "standing": f"{given} AND {about} AND {stands}",
            "pending": f"b.scope = 'disclose' AND b.status = 'pending' AND {about} AND {stands}",
            "over": f"{given} AND {about} AND {started}",
            "used": f"b.scope = 'use' AND b.status = 'given' AND {stands}",
        }
        listed = ", ".join(f"bool_or({what}) AS {name}" for name, what in facts.items())
        adult = self.born_by("r.sourced_id", part.adult_by)
        code = (
            f"CASE WHEN a.standing AND CASE WHEN {adult} THEN a.own ELSE a.child END THEN 'CON_EVIDENCE_MISSING' "
            f"WHEN a.standing AND {adult} THEN 'AGE_RIGHTS_TRANSFERRED' WHEN a.standing THEN 'CON_GRANTOR_NOT_ENTITLED' "
            "WHEN a.pending THEN 'CON_PENDING' WHEN a.over THEN 'CON_EXPIRED' "
            "WHEN a.used THEN 'CON_THIRD_PARTY_NOT_SEPARATE' ELSE 'CON_REQUIRED' END"
        )
        return code, (
            f"LEFT JOIN (SELECT b.school, b.person_id, {listed} FROM said b GROUP BY b.school, b.person_id) a "
            "ON a.school = r.school AND a.person_id = r.sourced_id"
        )


_NO = "('refused', 'withdrawn')"
_SECOND = "CASE WHEN b.scope = 'disclose' AND b.status = 'withdrawn' THEN 1 ELSE 0 END"
_CODES = (
    "CASE b.scope WHEN 'use' THEN 'RET_RESTRICTED' WHEN 'out' THEN 'CON_OPT_OUT' ELSE "
    "CASE b.status WHEN 'refused' THEN 'CON_REFUSED' ELSE 'CON_WITHDRAWN' END END"
)


def compile_plan(plan: RowPlan, person: str, is_pupil: str) -> tuple[str, dict[str, Any]]:
    """Return (condition, values) for rows about a person. A plan without parts keeps nothing."""
    compiler = _Compiler()
    conditions = [compiler.passes(part, person, is_pupil) for part in plan.parts]
    return " AND ".join(conditions) or "FALSE", compiler.values


def withholding(plan: RowPlan) -> tuple[str, dict[str, Any]]:
    """Return (query, values) for who is withheld by the plan: `school` and `code`, the first reason that holds, a row for
    each person. It looks at people of the schools as their rosters stand."""
    compiler = _Compiler()
    nobody = "SELECT 0 AS school, NULL::text AS person, 0 AS step, NULL::text AS code WHERE FALSE"
    found = [query for n, part in enumerate(plan.parts) for query in compiler.withheld(part, 2 * n)]
    every = " UNION ALL ".join([nobody, *found])
    query = f"SELECT DISTINCT ON (school, person) school, code FROM ({every}) w ORDER BY school, person, step"
    return query, compiler.values
