"""A row plan as SQL, under the ownership filter. The rows it keeps are those `policy.rowplan.judge` keeps.

A plan about people is compiled against a query that offers `r.school`, the person's id and whether it is a pupil.
"""

from __future__ import annotations

from typing import Any

from gateway.policy.rowplan import NotRefused, NotRestricted, OfAge, Owned, RowPlan

# The latest version of every answer a family gave at these schools, those that bar somebody.
BARRED = """
SELECT school, person_id, CASE WHEN scope = 'use' THEN 'RET_RESTRICTED' WHEN status = 'refused' THEN 'CON_REFUSED'
    ELSE 'CON_WITHDRAWN' END AS code
FROM (SELECT DISTINCT ON (school, consent) * FROM consent WHERE district = %(district)s
    AND school = ANY(%(schools)s) ORDER BY school, consent, version DESC) c
WHERE status IN ('refused', 'withdrawn') AND valid_from <= %(plan_at)s
    AND (valid_until IS NULL OR valid_until > %(plan_at)s)
    AND (scope = 'use' OR (scope = 'disclose' AND (agreement IS NULL OR agreement = %(plan_agreement)s)))
"""


def compile_plan(plan: RowPlan, person: str, is_pupil: str) -> tuple[str, dict[str, Any]]:
    """Return (condition, values) for rows about a person. A plan without parts keeps nothing.

    The condition names the CTE `barred`, which is BARRED.
    """
    if not plan.parts:
        return "FALSE", {"plan_at": None, "plan_agreement": None}
    conditions, values = [], dict[str, Any]()
    for part in plan.parts:
        match part:
            case Owned():
                conditions.append("r.district = %(district)s AND r.school = ANY(%(schools)s)")
            case OfAge(by):
                conditions.append(
                    f"(NOT {is_pupil} OR EXISTS (SELECT FROM roster_demographics g WHERE g.district = r.district "
                    f"AND g.school = r.school AND g.sourced_id = {person} AND g.until IS NULL "
                    "AND g.birth_date <= %(plan_born_by)s))"
                )
                values["plan_born_by"] = by
            case NotRefused(agreement, at):
                conditions.append(_not_barred(person, "<>"))
                values |= {"plan_agreement": agreement, "plan_at": at}
            case NotRestricted(at):
                conditions.append(_not_barred(person, "="))
                values["plan_at"] = at
    return " AND ".join(conditions), values


def _not_barred(person: str, sign: str) -> str:
    """A set that is hashed once, however many families answered."""
    return f"(r.school, {person}) NOT IN (SELECT school, person_id FROM barred WHERE code {sign} 'RET_RESTRICTED')"
