"""What was staged, checked as sets: duplicates, references and types; and what is truly gone.

In the order of `RECORDS`, so that what a record refers to is judged before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.store import holds
from gateway.store.staging import Staging, mirror, quoted
from mappings.oneroster.csv import FILES
from mappings.oneroster.records import CHECKED, KINDS, Column, Kind
from mappings.oneroster.rows import NO_HASH

_BEGIN = ("begin_date", "beginDate")
# By what a record is known beside its id; `{0}` has it. All its columns together tell one of any kind.
_KNOWN_BY = {
    "user": ("lower({0}.username)", "{0}.identifier", "{0}.master_identifier", "lower({0}.email)"),
    "role": ('({0}."user", {0}.org, {0}.role)::text',),
    "enrollment": ('({0}."class", {0}."user")::text',),
}


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of one staged delivery."""

    staging: Staging

    def run(self, *, complete: bool, another: bool = True, skip: frozenset[str] = frozenset()) -> None:
        """Check duplicates, references and types; find what is gone. Kinds in `skip` were not delivered.

        A delivery that cannot show that it is complete removes a record only when it is missing twice, which it cannot
        be in one that is not `another` than the last.
        """
        for kind in KINDS.values():
            self._duplicates(kind)
            self._reversed(kind)
            self._leads_somewhere(kind)
            if kind.name not in skip | self.staging.delta:
                self._gone(kind, complete=complete, another=another)
            self._follow(kind)
        for kind in CHECKED.values():
            if kind.name in self.staging.kinds and self.staging.holds(kind.name):
                self._duplicates(kind)
                self._leads_somewhere(kind)

    def _follow(self, kind: Kind) -> None:
        """What is accepted and not in this delivery's changes follows what it hangs on."""
        self._orphaned(kind)
        if kind.name == "enrollment" and kind.name not in self.staging.fresh:
            self._follow_class()
        self._loosened(kind)

    def _leads_somewhere(self, kind: Kind) -> None:
        """What a row refers to is there, and of the type that it must be."""
        if kind.name == "role" and self.staging.roles_in_users:
            self._roles_of_users()
        if not self._all_stands(kind):
            for column in kind.references:
                self._references(kind, column)
            self._organisations(kind)
        if kind.name == "demographics":
            self._of_somebody(kind)

    def _reversed(self, kind: Kind) -> None:
        """Nothing ends before it begins."""
        begins = {"session": ("start_date", "startDate"), "role": _BEGIN, "enrollment": _BEGIN}.get(kind.name)
        if begins:
            self.quarantine(kind, begins[1], "CSV_DATES_REVERSED", f"i.{begins[0]} > i.end_date")

    def _all_stands(self, kind: Kind) -> bool:
        """Whether one look at a first delivery's records finds all that they cannot do without."""
        columns = kind.references
        if kind.name not in self.staging.straight or not all(
            column.hard and column.type == "text" for column in columns
        ):
            return False
        joined = "".join(
            f' LEFT JOIN in_{column.refers_to} "to_{column.name}" ON "to_{column.name}".sourced_id = i."{column.name}"'
            for column in columns
        )
        lost = [f'i."{column.name}" IS NOT NULL AND "to_{column.name}".sourced_id IS NULL' for column in columns]
        if kind.name == "enrollment":
            lost.append("to_org.type <> 'school' OR to_class.org <> i.org")
        where = " OR ".join(lost) or "FALSE"
        return self.staging.row(f"SELECT 1 FROM in_{kind.name} i{joined} WHERE {where} LIMIT 1") is None

    def quarantine(self, kind: Kind, column: str, code: str, where: str, hint: str = "''") -> int:
        """Take rows out of `in_<kind>` by a condition on `i`, and say why."""
        return self.staging.run(
            f"WITH out AS (DELETE FROM in_{kind.name} i WHERE {where} RETURNING i.*), "
            f"kept AS (INSERT INTO bad_{kind.name} SELECT sourced_id FROM out ON CONFLICT DO NOTHING) "
            f"INSERT INTO fault SELECT '{self.staging.file_of(kind.name)}', i.line, '{column}', '{code}', 'row', '', {hint}, "
            "i.sourced_id FROM out i"
        )

    def _duplicates(self, kind: Kind) -> None:
        """One row per id: the one equal to what was accepted before, else the first; the rest is quarantined."""
        name, took = kind.name, "'stands on line ' || {} || ' already'"
        # Its key saw to it; what is newest was chosen; it stands on the row of a role.
        if name in self.staging.straight or name in self.staging.delta or name == "role_profile":
            return
        if name not in self.staging.fresh:
            self._drop_twice(
                kind, f"NOT EXISTS (SELECT FROM unmet_{name} u WHERE u.sourced_id = i.sourced_id) AND EXISTS "
                f"(SELECT FROM {mirror(name)} m WHERE m.source = %(source)s AND m.sourced_id = i.sourced_id)",
                "'the accepted record of this id stands on another line'",
            )  # fmt: skip
        first = f"(SELECT min(line) FROM in_{name} f WHERE f.sourced_id = i.sourced_id)"
        twice = self.staging.row(
            f"SELECT 1 FROM (SELECT sourced_id FROM in_{name} GROUP BY sourced_id HAVING count(*) > 1 LIMIT 1) t"
        )
        if twice:
            self.staging.run(f"CREATE TEMP TABLE twice_{name} ON COMMIT DROP AS SELECT sourced_id, min(line) AS first "
                     f"FROM in_{name} GROUP BY sourced_id HAVING count(*) > 1")  # fmt: skip
            first = f"(SELECT first FROM twice_{name} t WHERE t.sourced_id = i.sourced_id)"
            self._drop_twice(kind, f"i.line > {first}", took.format(first))

    def _roles_of_users(self) -> None:
        """Roles derived from users stand and fall with their line."""
        self.staging.run(
            "DELETE FROM in_role r USING fault f WHERE f.file = 'users.csv' AND f.effect = 'row' AND f.line = r.line"
        )
        if "role" in self.staging.fresh:
            return
        self.staging.run(
            f'INSERT INTO bad_role SELECT m.sourced_id FROM {mirror("role")} m JOIN bad_user b ON b.sourced_id = m."user" '
            "WHERE m.source = %(source)s ON CONFLICT DO NOTHING"
        )

    def _drop_twice(self, kind: Kind, where: str, hint: str) -> None:
        if kind.name in KINDS and kind.name not in self.staging.fresh | self.staging.all_met:
            self._under_another_id(kind, where)
        self.staging.run(
            f"WITH out AS (DELETE FROM in_{kind.name} i WHERE {where} RETURNING i.*) "
            f"INSERT INTO fault SELECT '{kind.file}', i.line, 'sourcedId', 'CSV_ID_TWICE', 'row', '', {hint}, "
            "i.sourced_id FROM out i"
        )

    def _under_another_id(self, kind: Kind, where: str) -> None:
        """An accepted record that is missing is not gone where one of these rows is its own, under the id of another."""
        name = kind.name
        columns = ", ".join(f'{{0}}."{column.name}"' for column in kind.columns)
        told = (f"ROW({columns})::text", *_KNOWN_BY.get(name, ()))
        keys = ", ".join(f"({n}, {key})" for n, key in enumerate(told))
        known_by = f"CROSS JOIN LATERAL (VALUES {keys}) k(n, value)"
        lacks = f"NOT EXISTS (SELECT FROM in_{name} o WHERE o.sourced_id = m.sourced_id)"
        run = self.staging.run
        rows = f"SELECT DISTINCT k.n, k.value FROM in_{name} i {known_by.format('i')} WHERE {where}"
        if run(f"CREATE TEMP TABLE stray ON COMMIT DROP AS {rows}"):
            missing = f"SELECT m.sourced_id, k.n, k.value FROM unmet_{name} u JOIN {mirror(name)} m ON m.source = "
            missing += f"%(source)s AND m.sourced_id = u.sourced_id {known_by.format('m')} WHERE {lacks}"
            run(f"CREATE TEMP TABLE missing ON COMMIT DROP AS {missing}")
            self.staging.session.command("ANALYZE stray, missing")  # else each row is compared with each
            run(
                f"INSERT INTO bad_{name} SELECT DISTINCT m.sourced_id FROM stray s JOIN missing m USING (n, value) "
                "ON CONFLICT DO NOTHING"
            )
            self.staging.session.command("DROP TABLE missing")
        self.staging.session.command("DROP TABLE stray")

    def _references(self, kind: Kind, column: Column) -> None:
        target = column.refers_to
        if target in self.staging.elsewhere:
            return
        header = "orgSourcedIds" if self.staging.roles_in_users and kind.name == "role" else _header(kind, column)
        if column.type == "text[]":
            self._list_references(kind, column, header)
            return
        ref = f'i."{column.name}"'
        lost = f"{ref} IS NOT NULL AND NOT {self._stands(str(target), ref)}"
        bad = f"EXISTS (SELECT FROM bad_{target} b WHERE b.sourced_id = {ref})"
        if column.hard:
            if not column.tolerant:
                self.quarantine(kind, header, "CSV_REFERENCE_BAD", f"{lost} AND {bad}")
            self.quarantine(kind, header, "CSV_REFERENCE", f"{lost} AND NOT {bad}")
        else:
            self.cut(kind, header, f'"{column.name}" = NULL', f"{lost} AND NOT {bad}")

    def _list_references(self, kind: Kind, column: Column, header: str) -> None:
        target, ref = column.refers_to, f'i."{column.name}"'
        known = f"EXISTS (SELECT FROM bad_{target} b WHERE b.sourced_id = e)"
        element = f"NOT {self._stands(str(target), 'e')} AND NOT {known}"
        lost = f"{ref} IS NOT NULL AND EXISTS (SELECT FROM unnest({ref}) e WHERE {element})"
        if column.hard:  # one of them is enough
            self.quarantine(
                kind, header, "CSV_REFERENCE",
                f"{lost} AND NOT EXISTS (SELECT FROM unnest({ref}) e WHERE NOT ({element}))",
            )  # fmt: skip
        rest = f"ARRAY(SELECT e FROM unnest({ref}) e WHERE NOT ({element}))"
        self.cut(kind, header, f'"{column.name}" = {rest}', lost)

    def _stands(self, target: str, ref: str) -> str:
        """A condition: a record of this id is staged, or was accepted before and is not gone."""
        staged = f"EXISTS (SELECT FROM in_{target} t WHERE t.sourced_id = {ref})"
        if target in self.staging.fresh:
            return staged
        accepted = (
            f"EXISTS (SELECT FROM {mirror(target)} m WHERE m.source = %(source)s AND m.sourced_id = {ref} "
            f"AND NOT EXISTS (SELECT FROM gone_{target} g WHERE g.sourced_id = m.sourced_id))"
        )
        return f"({staged} OR {accepted})"

    def cut(
        self, kind: Kind, header: str, change: str, where: str, code: str = "CSV_REFERENCE", hint: str = "'left out'"
    ) -> None:
        """Drop values of `in_<kind>` by a condition on `i`, say why, and check the rows anew next time."""
        self.staging.run(
            f"WITH cut AS (UPDATE in_{kind.name} i SET {change}, hash = 0 WHERE {where} RETURNING i.*) "
            f"INSERT INTO fault SELECT '{self.staging.file_of(kind.name)}', line, '{header}', '{code}', 'value', '', "
            f"{hint}, sourced_id FROM cut"
        )

    def _organisations(self, kind: Kind) -> None:
        """Classes and enrollments belong to an org of type school; an enrollment to the school of its class."""
        if kind.name not in ("class", "enrollment", "line_item"):
            return
        school = "SELECT FROM {} o WHERE o.sourced_id = i.org AND o.type = 'school'"
        staged = school.format("in_org")
        accepted = (
            school.format(mirror("org")) + " AND o.source = %(source)s AND NOT EXISTS (SELECT FROM in_org n WHERE "
            "n.sourced_id = o.sourced_id) AND NOT EXISTS (SELECT FROM gone_org g WHERE g.sourced_id = o.sourced_id)"
        )
        where = f"i.org IS NOT NULL AND NOT EXISTS ({staged}) AND NOT EXISTS ({accepted})"
        self.quarantine(kind, "schoolSourcedId", "CSV_ORG_TYPE", where)
        if kind.name == "enrollment":
            self._seat_at_class()

    def _of_somebody(self, kind: Kind) -> None:
        """Demographics are those of a user of the same id."""
        lost, bad = (
            f"NOT {self._stands('user', 'i.sourced_id')}",
            "EXISTS (SELECT FROM bad_user b WHERE b.sourced_id = i.sourced_id)",
        )
        self.quarantine(kind, "sourcedId", "CSV_REFERENCE_BAD", f"{lost} AND {bad}")
        self.quarantine(kind, "sourcedId", "CSV_REFERENCE", f"{lost} AND NOT {bad}")

    def _seat_at_class(self) -> None:
        """An enrollment belongs to the school of its class, whatever school its row names."""
        older = "AND c.source = %(source)s AND NOT EXISTS (SELECT FROM in_class n WHERE n.sourced_id = c.sourced_id)"
        places = {"in_class": ""} if "class" in self.staging.fresh else {"in_class": "", mirror("class"): older}
        for classes, more in places.items():
            self.staging.run(
                f"WITH moved AS (UPDATE in_enrollment i SET org = c.org, hash = 0 FROM {classes} c "
                f'WHERE c.sourced_id = i."class" AND c.org <> i.org {more} RETURNING i.line, i.sourced_id) '
                "INSERT INTO fault SELECT 'enrollments.csv', line, 'schoolSourcedId', 'CSV_SCHOOL_MISMATCH', "
                "'value', '', '', sourced_id FROM moved"
            )

    def _follow_class(self) -> None:
        """An accepted enrollment that is not in this delivery's changes moves with its class."""
        moves = (
            f"SELECT 1 FROM {mirror('class')} m JOIN in_class c USING (sourced_id) "
            "WHERE m.source = %(source)s AND m.org <> c.org LIMIT 1"
        )
        if "class" in self.staging.fresh or self.staging.row(moves) is None:
            return
        columns = [c.name for c in KINDS["enrollment"].columns]
        moved = ", ".join("c.org" if name == "org" else f'm."{name}"' for name in columns)
        self.staging.run(
            f"INSERT INTO in_enrollment (line, sourced_id, hash, {quoted(columns)}) SELECT 0, m.sourced_id, 0, {moved} "
            f'FROM {mirror("enrollment")} m JOIN in_class c ON c.sourced_id = m."class" WHERE m.source = %(source)s '
            "AND m.org <> c.org AND NOT EXISTS (SELECT FROM in_enrollment i WHERE i.sourced_id = m.sourced_id) "
            "AND NOT EXISTS (SELECT FROM gone_enrollment g WHERE g.sourced_id = m.sourced_id)"
        )

    def _gone(self, kind: Kind, *, complete: bool, another: bool) -> None:
        name = kind.name
        hidden = self.staging.row(f"SELECT 1 FROM nameless WHERE kind = '{name}'")
        if name in self.staging.waits and name not in self.staging.fresh:
            holds.let_come_back(self.staging, name)
        if name in self.staging.fresh or name in self.staging.all_met or hidden:
            return
        self.staging.run(
            f"CREATE TEMP TABLE absent_{name} ON COMMIT DROP AS SELECT u.sourced_id FROM unmet_{name} u "
            f"WHERE NOT EXISTS (SELECT FROM in_{name} i WHERE i.sourced_id = u.sourced_id) "
            f"AND NOT EXISTS (SELECT FROM bad_{name} b WHERE b.sourced_id = u.sourced_id)"
        )
        if name in self.staging.waits:
            holds.leave_out_waiting(self.staging, name)
        self.staging.run(f"ANALYZE absent_{name}")
        absent = f"SELECT FROM absent_{name} a WHERE a.sourced_id = m.sourced_id"
        if complete:
            self.staging.run(f"INSERT INTO gone_{name} SELECT sourced_id FROM absent_{name}")
        elif another:
            self.staging.run(
                f"UPDATE {mirror(name)} m SET missed = m.missed + 1 WHERE m.source = %(source)s AND EXISTS ({absent})"
            )
            self.staging.run(
                f"INSERT INTO gone_{name} SELECT m.sourced_id FROM {mirror(name)} m "
                f"WHERE m.source = %(source)s AND EXISTS ({absent}) AND m.missed > 1"
            )
        if name not in self.staging.sure:
            self.staging.run(
                f"UPDATE {mirror(name)} m SET missed = 0 WHERE m.source = %(source)s AND m.missed > 0 "
                f"AND NOT EXISTS ({absent})"
            )

    def _loosened(self, kind: Kind) -> None:
        """An accepted row that is not in this delivery's changes lets go of what left with this delivery."""
        name, columns = kind.name, quoted(c.name for c in kind.columns)
        for column in kind.references:
            target, many = column.refers_to, column.type == "text[]"
            if (column.hard and not many) or target in self.staging.fresh or name in self.staging.fresh:
                continue
            if self.staging.row(f"SELECT 1 FROM gone_{target} LIMIT 1") is None:
                continue
            held = f'm."{column.name}"' if many else f'ARRAY[m."{column.name}"]'
            self.staging.run(
                f"INSERT INTO fault SELECT '{kind.file}', 0, '{_header(kind, column)}', 'CSV_REFERENCE', 'value', '', "
                f"'left out: its {target} left with this delivery', m.sourced_id FROM {mirror(name)} m "
                f"WHERE m.source = %(source)s AND EXISTS (SELECT FROM gone_{target} g WHERE g.sourced_id = ANY({held})) "
                f"AND NOT EXISTS (SELECT FROM in_{name} i WHERE i.sourced_id = m.sourced_id) "
                f"AND NOT EXISTS (SELECT FROM gone_{name} g WHERE g.sourced_id = m.sourced_id) "
                f"AND NOT EXISTS (SELECT FROM unmet_{name} u WHERE u.sourced_id = m.sourced_id)"
            )
            self.staging.run(
                f"INSERT INTO in_{name} (line, sourced_id, hash, {columns}) SELECT 0, m.sourced_id, 0, {columns} "
                f"FROM {mirror(name)} m WHERE m.source = %(source)s "
                f"AND EXISTS (SELECT FROM gone_{target} g WHERE g.sourced_id = ANY({held})) "
                f"AND NOT EXISTS (SELECT FROM in_{name} i WHERE i.sourced_id = m.sourced_id) "
                f"AND NOT EXISTS (SELECT FROM gone_{name} g WHERE g.sourced_id = m.sourced_id)"
            )
            gone, ref = f"EXISTS (SELECT FROM gone_{target} g WHERE g.sourced_id = {{}})", f'i."{column.name}"'
            rest = f"CASE WHEN NOT {gone.format(ref)} THEN {ref} END"
            if many:
                rest = f"nullif(ARRAY(SELECT e FROM unnest({ref}) e WHERE NOT {gone.format('e')}), ARRAY[]::text[])"
            self.staging.run(f'UPDATE in_{name} i SET "{column.name}" = {rest} WHERE line = 0')

    def _orphaned(self, kind: Kind) -> None:
        """An accepted row that is not in this delivery's changes goes with the record that carries it."""
        name = kind.name
        carried = [(c.name, str(c.refers_to), _header(kind, c)) for c in kind.references if c.hard and c.type == "text"]
        if name == "demographics":
            carried.append(("sourced_id", "user", "sourcedId"))
        for column, target, header in carried:
            if (
                target in self.staging.fresh
                or name in self.staging.fresh
                or self.staging.row(f"SELECT 1 FROM gone_{target} LIMIT 1") is None
            ):
                continue
            self.staging.run(
                f"WITH lost AS (INSERT INTO gone_{name} SELECT m.sourced_id FROM {mirror(name)} m "
                f'JOIN gone_{target} g ON g.sourced_id = m."{column}" WHERE m.source = %(source)s '
                f"AND NOT EXISTS (SELECT FROM in_{name} i WHERE i.sourced_id = m.sourced_id) "
                "ON CONFLICT DO NOTHING RETURNING sourced_id) "
                f"INSERT INTO fault SELECT '{kind.file}', 0, '{header}', 'CSV_REFERENCE', 'removed', "
                f"'', 'its {target} left with this delivery', sourced_id FROM lost l WHERE NOT EXISTS "
                f"(SELECT FROM unmet_{name} u JOIN {mirror(name)} m USING (sourced_id) "
                f"WHERE m.source = %(source)s AND m.hash <> {NO_HASH} AND u.sourced_id = l.sourced_id)"
            )


def _header(kind: Kind, column: Column) -> str:
    """Return how the binding spells a reference column."""
    for files in FILES.values():
        for file in files.values():
            for known in file.columns if file.name == kind.file else ():
                if (known.to or "").lstrip("+") == column.name:
                    return known.header
    return column.name
