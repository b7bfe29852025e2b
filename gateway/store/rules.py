"""The semantic rules of the bindings: what records say together that each by itself may say.

A fault in a value that must be there costs the row, in one that may be missing the value. Where a rule is broken by
packages that certification accepts, or where leaving the value out would say more than was said (an enrollment without
its end), the row stands and the fault is noted when it is new.

Source: OneRoster 1.2.1 CSV binding, the notes of the field tables, and the rostering and gradebook information models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.store.checks import Checks
from gateway.store.staging import Staging, mirror, quoted
from mappings.oneroster.columns import Effect
from mappings.oneroster.records import KINDS, RECORDS

MOST_NOTED = 1000  # of one rule in one run
_UUID_URN = "^urn:uuid:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule about one kind of record. `broken` selects `i.sourced_id` of staged rows `i` that break it; `{kind}` in
    it is every record of that kind as it stands now. `cut` are the columns whose value is left out."""

    code: str
    kind: str
    column: str
    effect: Effect
    broken: str
    cut: tuple[str, ...] = ()
    hint: str = ""


_RULES = (
    Rule("CSV_SUBJECT_CODES", "course", "subjectCodes", "value",
         "WHERE cardinality(i.subjects) <> cardinality(i.subject_codes)", ("subject_codes",)),
    Rule("CSV_SUBJECT_CODES", "class", "subjectCodes", "value",
         "WHERE cardinality(i.subjects) <> cardinality(i.subject_codes)", ("subject_codes",)),
    Rule("CSV_SESSION_TYPE", "course", "schoolYearSourcedId", "value",
         "JOIN {session} s ON s.sourced_id = i.school_year WHERE s.type <> 'schoolYear'", ("school_year",),
         "a session of type schoolYear"),
    Rule("CSV_ROLE_PRIMARY_TWICE", "role", "roleType", "row",
         'JOIN {role} r ON r."user" = i."user" AND r.org = i.org AND r.role_type = i.role_type '
         "AND r.sourced_id <> i.sourced_id WHERE i.role_type = 'primary' AND r.line < i.line"),
    Rule("CSV_PRIMARY_ORG", "user", "primaryOrgSourcedId", "value",
         'LEFT JOIN {role} r ON r."user" = i.sourced_id AND r.org = i.primary_org '
         "WHERE i.primary_org IS NOT NULL AND r.sourced_id IS NULL", ("primary_org",)),
    Rule("CSV_PROFILE_USER", "role_profile", "userProfileSourcedId", "value",
         'JOIN {profile} p ON p.sourced_id = i.profile WHERE p."user" <> i."user"', ("profile",)),
    # Official packages break the next two and are accepted: they are noted.
    Rule("CSV_TERM_YEAR", "class", "termSourcedIds", "noted",
         "JOIN {course} c ON c.sourced_id = i.course WHERE c.school_year IS NOT NULL AND EXISTS (SELECT FROM "
         "unnest(i.terms) t WHERE NOT EXISTS (SELECT FROM ancestor a WHERE a.of = t AND a.sourced_id = c.school_year))"),
    Rule("CSV_ROLE_DIFFERS", "enrollment", "role", "noted",
         'LEFT JOIN {role} r ON r."user" = i."user" AND r.role = i.role WHERE i.role IN (\'student\', \'teacher\') '
         "AND r.sourced_id IS NULL"),
    # Without its dates, an enrollment would last longer than was said.
    Rule("CSV_DATES_OUTSIDE", "enrollment", "beginDate", "noted",
         'JOIN span s ON s.class = i."class" WHERE i.begin_date < s.start_date OR i.end_date > s.end_date'),
    Rule("CSV_SESSION_TYPE", "line_item", "academicSessionSourcedId", "row",
         "JOIN {session} s ON s.sourced_id = i.session WHERE s.type = 'schoolYear'", (), "no schoolYear"),
    Rule("CSV_SESSION_TYPE", "line_item", "gradingPeriodSourcedId", "row",
         "JOIN {session} s ON s.sourced_id = i.period WHERE s.type <> 'gradingPeriod'", (),
         "a session of type gradingPeriod"),
    Rule("CSV_SCHOOL_MISMATCH", "line_item", "schoolSourcedId", "value",
         'JOIN {class} c ON c.sourced_id = i."class" WHERE c.org <> i.org', ("org",)),
    Rule("CSV_RANGE", "line_item", "resultValueMin", "value", "WHERE i.minimum > i.maximum", ("minimum", "maximum")),
    Rule("CSV_SCORE_RANGE", "result", "score", "value",
         "JOIN {line_item} l ON l.sourced_id = i.line_item WHERE i.score < l.minimum OR i.score > l.maximum",
         ("score",)),
    Rule("CSV_RESULT_CLASS", "result", "classSourcedId", "value",
         'JOIN {line_item} l ON l.sourced_id = i.line_item WHERE i."class" <> l."class"', ("class",)),
    Rule("CSV_RESULT_STUDENT", "result", "studentSourcedId", "row",
         'JOIN {line_item} l ON l.sourced_id = i.line_item LEFT JOIN {enrollment} e ON e."user" = i.student '
         'AND e."class" = l."class" WHERE e.sourced_id IS NULL'),
    Rule("CSV_SCORE_SCALE", "result", "textScore", "value",
         "JOIN scaled x ON x.result = i.sourced_id JOIN {scale} c ON c.sourced_id = x.scale "
         "WHERE i.text_score IS NOT NULL AND NOT EXISTS (SELECT FROM unnest(c.steps) s "
         "WHERE split_part(ltrim(s, '{{'), ':', 1) = i.text_score)", ("text_score",)),
    *(Rule("CSV_OBJECTIVE_ID", kind, "learningObjectiveId", "row",
           f"WHERE i.source = 'case' AND i.objective !~ '{_UUID_URN.replace('{', '{{').replace('}', '}}')}'")
      for kind in ("line_item_objective", "result_objective")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules between the records of one delivery, and those that were accepted before."""

    checks: Checks

    @property
    def staging(self) -> Staging:
        return self.checks.staging

    def run(self) -> None:
        """Apply every rule to what is new or changed, and to what it hangs on."""
        self._look_again()
        self._help_tables()
        for rule in _RULES:
            if rule.kind in self.staging.kinds and self.staging.holds(rule.kind):
                self._apply(rule)

    def _apply(self, rule: Rule) -> None:
        kind, staging = RECORDS[rule.kind], self.staging
        names = {name: self._now(name) for name in RECORDS if f"{{{name}}}" in rule.broken}
        broken = f"SELECT i.sourced_id FROM in_{rule.kind} i {rule.broken.format(**names)}"
        hint = f"'{rule.hint}'"
        if rule.effect == "row":
            self.checks.quarantine(kind, rule.column, rule.code, f"i.sourced_id IN ({broken})", hint)
        elif rule.effect == "value":
            change = ", ".join(f'"{column}" = NULL' for column in rule.cut)
            self.checks.cut(kind, rule.column, change, f"i.sourced_id IN ({broken})", rule.code, hint)
        else:
            staging.run(
                f"INSERT INTO fault SELECT '{staging.file_of(rule.kind)}', line, '{rule.column}', '{rule.code}', "
                f"'noted', '', {hint}, sourced_id FROM in_{rule.kind} WHERE line > 0 AND sourced_id IN ({broken}) "
                f"ORDER BY line LIMIT {MOST_NOTED}"
            )

    def _now(self, name: str) -> str:
        """A relation: every record of a kind as it stands with this delivery; one accepted before has line 0."""
        columns = quoted(column.name for column in RECORDS[name].columns)
        columns = f"sourced_id, {columns}" if columns else "sourced_id"
        staged = f"SELECT line, {columns} FROM in_{name}"
        if name in self.staging.fresh:
            return f"({staged})"
        return (
            f"({staged} UNION ALL SELECT 0, {columns} FROM {mirror(name)} m WHERE m.source = %(source)s "
            f"AND NOT EXISTS (SELECT FROM in_{name} n WHERE n.sourced_id = m.sourced_id) "
            f"AND NOT EXISTS (SELECT FROM gone_{name} g WHERE g.sourced_id = m.sourced_id))"
        )

    def _look_again(self) -> None:
        """Stage accepted rows that a rule ties to what changed beside them."""
        if self.staging.moves("role"):
            moved = (
                f'SELECT "user" FROM in_role UNION SELECT m."user" FROM {mirror("role")} m '
                "JOIN gone_role g USING (sourced_id) WHERE m.source = %(source)s"
            )
            self._stage_again("user", f"m.primary_org IS NOT NULL AND m.sourced_id IN ({moved})")
        if self.staging.holds("session"):
            self._stage_again("course", "m.school_year IN (SELECT sourced_id FROM in_session)")

    def _stage_again(self, name: str, where: str) -> None:
        if name in self.staging.fresh:
            return
        columns = quoted(column.name for column in KINDS[name].columns)
        self.staging.run(
            f"INSERT INTO in_{name} (line, sourced_id, hash, modified, {columns}) SELECT 0, m.sourced_id, m.hash, "
            f"m.modified, {columns} FROM {mirror(name)} m WHERE m.source = %(source)s AND {where} "
            f"AND NOT EXISTS (SELECT FROM in_{name} i WHERE i.sourced_id = m.sourced_id) "
            f"AND NOT EXISTS (SELECT FROM gone_{name} g WHERE g.sourced_id = m.sourced_id)"
        )

    def _help_tables(self) -> None:
        """What several rows of a rule's own have to be worked out from once."""
        for statement in self._made():
            self.staging.run(statement)

    def _made(self) -> Iterator[str]:
        if self.staging.holds("class"):
            session = self._now("session")
            yield (
                "CREATE TEMP TABLE ancestor ON COMMIT DROP AS WITH RECURSIVE up(of, sourced_id) AS (SELECT sourced_id, "
                f"sourced_id FROM {session} s UNION SELECT u.of, s.parent FROM up u JOIN {session} s "
                "ON s.sourced_id = u.sourced_id WHERE s.parent IS NOT NULL) SELECT * FROM up"
            )
        if self.staging.holds("enrollment"):
            yield (
                "CREATE TEMP TABLE span ON COMMIT DROP AS SELECT c.sourced_id AS class, min(s.start_date) AS start_date, "
                f"max(s.end_date) AS end_date FROM {self._now('class')} c JOIN {self._now('session')} s "
                "ON s.sourced_id = ANY(c.terms) GROUP BY c.sourced_id"
            )
        if "result" in self.staging.kinds and self.staging.holds("result"):
            yield (
                "CREATE TEMP TABLE scaled ON COMMIT DROP AS SELECT result, scale FROM in_result_scale UNION SELECT "
                "r.sourced_id, x.scale FROM in_result r JOIN in_line_item_scale x ON x.line_item = r.line_item"
            )
