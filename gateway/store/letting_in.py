"""What of a roster a school does not let in: pupils that nobody there agreed to let in, whoever is there for their sake
alone, and the elements that its agreements do not name.

Asked of what a source says, and in the same words of what a school holds already: what an agreement of ours takes away
is told from what a delivery takes away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from gateway.policy.collection import Collection
from gateway.store.staging import ID
from mappings.oneroster.records import KINDS, Column, Kind
from mappings.vocabulary import RELATIVES

_BIRTH_DATE, _GUARDIANS = "demographics.birth_date", "person.guardians"
_LISTED = ", ".join(f"'{role}'" for role in sorted(RELATIVES))
IS_RELATIVE = f"IN ({_LISTED})"  # of a role or an enrollment: they are there for somebody else's sake
_ALL_RELATIVE = (  # of a stored person's roles
    "jsonb_array_length(coalesce({0}.roles, '[]')) > 0 AND NOT EXISTS "
    f"(SELECT FROM jsonb_array_elements({{0}}.roles) o WHERE o ->> 'role' NOT IN ({_LISTED}))"
)
Run = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Seat:
    """A school of ours that a source delivers, and what may be brought in there: of its pupils only those born by
    `born_by`, where that is given."""

    school: int
    ref: str
    name: str
    org_id: str
    elements: frozenset[str] = frozenset()
    born_by: date | None = None

    def letting_in(self, what: Collection) -> Seat:
        return replace(self, elements=what.elements, born_by=what.born_by)


def closed(seats: Iterable[Seat], column: Column) -> list[int]:
    """Return the schools that do not collect what a column holds."""
    return [seat.school for seat in seats if column.element not in seat.elements]


def told_of_people(seats: Iterable[Seat]) -> list[int]:
    """Return the schools that collect anything of demographics; at the others nobody has a row of them."""
    return [s.school for s in seats if any(c.element in s.elements for c in KINDS["demographics"].columns)]


def bars(seats: Iterable[Seat]) -> bool:
    """Whether a school does not let children in."""
    return any(seat.born_by for seat in seats)


def bar(run: Run, table: str, seats: Sequence[Seat], people: str) -> None:
    """Make `table` (school, user_id, relative): of people (school, user_id, is_pupil, is_relative, birth_date, agents)
    those whom their school does not let in.

    They are the pupils who are not known to be older than a child; and those who are somebody's guardian, parent or
    relative and nothing else, of nobody who is let in. A school that does not collect birth dates knows of nobody's
    age, and one that does not collect guardians of nobody whose they are.
    """
    run(
        f"CREATE TEMP TABLE gate_{table} ON COMMIT DROP AS SELECT * FROM unnest(%(_schools)s::int[], %(_born_by)s::date[], "
        "%(_dated)s::boolean[], %(_tied)s::boolean[]) g(school, born_by, dated, tied)",
        **_gates([seat for seat in seats if seat.born_by]),
    )
    run(f"CREATE TEMP TABLE people_{table} ON COMMIT DROP AS SELECT p.*, g.born_by, g.dated, g.tied "
        f"FROM ({people}) p JOIN gate_{table} g USING (school)")  # fmt: skip
    run(f"CREATE TEMP TABLE {table} (school int, user_id {ID}, relative boolean, PRIMARY KEY (school, user_id)) "
        "ON COMMIT DROP")  # fmt: skip
    run(f"INSERT INTO {table} SELECT school, user_id, FALSE FROM people_{table} "
        "WHERE is_pupil AND NOT (dated AND coalesce(birth_date <= born_by, FALSE))")  # fmt: skip
    run(
        f"INSERT INTO {table} WITH let_in AS (SELECT p.school, p.user_id, p.agents FROM people_{table} p WHERE p.is_pupil "
        f"AND p.tied AND NOT EXISTS (SELECT FROM {table} b WHERE b.school = p.school AND b.user_id = p.user_id)), "
        "theirs AS (SELECT school, unnest(agents) AS user_id FROM let_in UNION SELECT r.school, r.user_id FROM "
        f"(SELECT school, user_id, unnest(agents) AS of FROM people_{table} WHERE is_relative) r "
        "JOIN let_in i ON i.school = r.school AND i.user_id = r.of) "
        f"SELECT p.school, p.user_id, TRUE FROM people_{table} p WHERE p.is_relative AND NOT EXISTS "
        "(SELECT FROM theirs t WHERE t.school = p.school AND t.user_id = p.user_id)"
    )
    run(f"ANALYZE {table}")


def _gates(seats: Sequence[Seat]) -> dict[str, list[object]]:
    return {
        "_schools": [seat.school for seat in seats], "_born_by": [seat.born_by for seat in seats],
        "_dated": [_BIRTH_DATE in seat.elements for seat in seats],
        "_tied": [_GUARDIANS in seat.elements for seat in seats],
    }  # fmt: skip


def held_people(true_then: str, at: str) -> str:
    """Return the query of the people whom schools hold, for `bar`. `true_then` is a condition on the versions of a row
    `{0}`, `at` what else is read and joined by `g.school`."""
    here = "{0}.district = %(district)s AND {0}.school = g.school AND " + true_then
    user, enrolled, born = (here.format(side) for side in "ued")
    return (
        f"SELECT g.school, u.sourced_id AS user_id, u.is_pupil, NOT u.is_pupil AND {_ALL_RELATIVE.format('u')} "
        f'AND NOT EXISTS (SELECT FROM roster_enrollment e WHERE {enrolled} AND e."user" = u.sourced_id '
        f"AND NOT e.role {IS_RELATIVE}) AS is_relative, d.birth_date, u.agents FROM {at} g JOIN roster_user u ON {user} "
        f"LEFT JOIN roster_demographics d ON {born} AND d.sourced_id = u.sourced_id"
    )


# --- of a stored row -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What schools hold, cut to what they let in now. `barred` is the table of the people whom they do not, "" where
    everybody is let in."""

    seats: Sequence[Seat]
    barred: str = ""

    def left_out(self, kind: Kind, row: str) -> str:
        """A condition on a stored row: it is not let in any more."""
        parts = []
        if kind.person and self.barred:
            parts.append(self._is_barred(row, f'{row}."{kind.person}"'))
        if kind.name == "demographics":
            parts.append(f"{row}.school <> ALL (ARRAY{told_of_people(self.seats)}::int[])")
        return f"({' OR '.join(parts)})" if parts else "FALSE"

    def cuts(self, kind: Kind) -> bool:
        """Whether a stored row of a kind may hold what its school does not collect."""
        return any(closed(self.seats, column) for column in kind.columns) or bool(kind.name == "user" and self.barred)

    def cut(self, kind: Kind, row: str, name: str) -> str:
        """A column of a stored row, without what is not let in any more."""
        column = next((column for column in kind.columns if column.name == name), None)
        value = f'{row}."{name}"'
        if column is None:
            return value
        if (kind.name, name) == ("user", "agents") and self.barred:
            barred = self._is_barred(row, "a.id")
            value = (f"nullif(ARRAY(SELECT a.id FROM unnest({value}) WITH ORDINALITY a(id, n) WHERE NOT {barred} "
                     "ORDER BY a.n), ARRAY[]::text[])")  # fmt: skip
        there = closed(self.seats, column)
        return f"CASE WHEN {row}.school <> ALL (ARRAY{there}) THEN {value} END" if there else value

    def _is_barred(self, row: str, whom: str) -> str:
        return f"EXISTS (SELECT FROM {self.barred} b WHERE b.school = {row}.school AND b.user_id = {whom})"
