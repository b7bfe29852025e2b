"""A row plan as SQL, under the ownership filter. The rows it keeps are those `policy.rowplan.judge` keeps.

A plan about people is compiled against a query that offers `r.school`, the person's id and whether it is a pupil.
"""

from __future__ import annotations

from typing import Any

from gateway.policy.rowplan import NotRefused, NotRestricted, OfAge, Owned, RowPlan

# The latest version of every answer a family gave at these schools, those that may bar somebody.
BARRED = """
SELECT school, person_id, scope, status, agreement, valid_from, valid_until
FROM (SELECT DISTINCT ON (school, consent) * FROM consent WHERE district = %(district)s
    AND school = ANY(%(schools)s) ORDER BY school, consent, version DESC) c
WHERE status IN ('refused', 'withdrawn') AND scope IN ('use', 'disclose')
"""


def compile_plan(plan: RowPlan, person: str, is_pupil: str) -> tuple[str, dict[str, Any]]:
    """Return (condition, values) for rows about a person. A plan without parts keeps nothing.

    The condition names the CTE `barred`, which is BARRED.
    """
    if not plan.parts:
        return "FALSE", {}
    conditions, values = [], dict[str, Any]()
    for n, part in enumerate(plan.parts):
        match part:
            case Owned():
                conditions.append("r.district = %(district)s AND r.school = ANY(%(schools)s)")
            case OfAge(by):
                conditions.append(f"(NOT {is_pupil} OR {_born_by(person, n)})")
                values[f"plan_by_{n}"] = by
            case NotRefused() | NotRestricted():
                # A set that is hashed once, however many families answered.
                barring = f"SELECT school, person_id FROM barred b WHERE {_bars(part, n, values)}"
                conditions.append(f"(r.school, {person}) NOT IN ({barring})")
    return " AND ".join(conditions), values


def withholding(plan: RowPlan) -> tuple[str, dict[str, Any]]:
    """Return (query, values) for who is withheld by the plan: `school`, `person`, and `code`, the first reason that holds.

    The query names the CTE `barred`. It looks at people of the schools as their rosters stand.
    """
    found, values = [], dict[str, Any]()
    for n, part in enumerate(plan.parts):
        match part:
            case Owned():
                pass
            case OfAge(by):
                values[f"plan_by_{n}"] = by
                found.append(
                    "SELECT r.school, r.sourced_id AS person, 0 AS step, 'AGE_CHILD_NO_SCHOOL_AGREEMENT' AS code FROM "
                    "roster_user r WHERE r.district = %(district)s AND r.school = ANY(%(schools)s) "
                    f"AND r.until IS NULL AND r.is_pupil AND NOT {_born_by('r.sourced_id', n)}"
                )
            case NotRefused() | NotRestricted():
                found.append(
                    f"SELECT b.school, b.person_id, {_STEP}, {_CODE} FROM barred b JOIN roster_user r ON r.district = %(district)s "
                    "AND r.school = b.school AND r.sourced_id = b.person_id AND r.until IS NULL "
                    f"WHERE {_bars(part, n, values)}"
                )
    nobody = "SELECT 0 AS school, NULL::text AS person, 0 AS step, NULL::text AS code WHERE FALSE"
    every = " UNION ALL ".join([nobody, *found])
    return f"SELECT DISTINCT ON (school, person) school, code FROM ({every}) w ORDER BY school, person, step", values


_STEP = "CASE WHEN b.scope = 'use' THEN 3 WHEN b.status = 'refused' THEN 1 ELSE 2 END"
_CODE = (
    "CASE WHEN b.scope = 'use' THEN 'RET_RESTRICTED' WHEN b.status = 'refused' THEN 'CON_REFUSED' "
    "ELSE 'CON_WITHDRAWN' END"
)


def _born_by(person: str, n: int) -> str:
    return (
        "EXISTS (SELECT FROM roster_demographics g WHERE g.district = r.district AND g.school = r.school "
        f"AND g.sourced_id = {person} AND g.until IS NULL AND g.birth_date <= %(plan_by_{n})s)"
    )


def _bars(part: NotRefused | NotRestricted, n: int, values: dict[str, Any]) -> str:
    """What holds of an answer `b` that bars its person under this part."""
    values[f"plan_at_{n}"] = part.at
    stands = f"b.valid_from <= %(plan_at_{n})s AND (b.valid_until IS NULL OR b.valid_until > %(plan_at_{n})s)"
    if isinstance(part, NotRestricted):
        return f"b.scope = 'use' AND {stands}"
    values[f"plan_agreement_{n}"] = part.agreement
    return f"b.scope = 'disclose' AND (b.agreement IS NULL OR b.agreement = %(plan_agreement_{n})s) AND {stands}"
