"""Putting papers on file: a whole file is planned before any of it is applied; what is there already is left alone."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from marshmallow import Schema, ValidationError

from gateway import errors
from gateway.errors import Reason, Refused
from gateway.flows import access, disclosure
from gateway.flows.on_file import agreements, answers
from gateway.flows.on_file.desk import Desk, Paper
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.policy.rowplan import NO
from gateway.store import directory, on_file
from mappings import on_file as words
from mappings.text import is_text

_MOST_BYTES, _MOST_LINES = 20 << 20, 100_000
_OF_PUPILS = frozenset({"consent", "opt_out"})


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of paper: its words, how a line of them is judged, how it ends, and how the ledger calls it."""

    schema: type[Schema]
    judge: Callable[[Desk, dict[str, Any]], list[Paper]]
    ended: str
    fixed: tuple[str, ...]  # what a paper of one number is about, in every version
    entry: str
    prefix: str


KINDS = {
    "agreement": Kind(words.Agreement, agreements.agreement, "ended", ("vendor",), "agreement", "ag"),
    "direction": Kind(words.Direction, agreements.direction, "revoked", ("agreement", "operation"), "direction", "dr"),
    "consent": Kind(words.Consent, answers.consent, "withdrawn", ("person_id", "scope", "agreement"), "consent", "co"),
    "opt_out": Kind(words.OptOut, answers.opt_out, "ended", ("person_id",), "consent", "oo"),
}
_ABOUT = {"agreement": "agreement", "direction": "directions", "consent": "consent", "opt_out": "consent"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file and what it would do: new, changed or unchanged, at so many schools, under which reference."""

    row: int
    number: str
    action: str
    ref: str
    papers: tuple[Paper, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a line cannot be put on file."""

    row: int
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A file, line by line. It is applied only when no line is at fault."""

    lines: tuple[Line, ...]
    faults: tuple[Fault, ...]

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(line.action for line in self.lines)
        return {action: found[action] for action in ("new", "changed", "unchanged")}


@contextmanager
def opened(parts: Office, by: Person, *, imports: bool = False, writes: bool = False) -> Iterator[Desk]:
    """A desk over the schools of the person's district. Those who write are there one at a time."""
    if not by.district_roles and not by.schools:
        raise Refused(errors.ACT_NOT_STAFF)
    with parts.database.open_district(by.district) as session:
        schools = [row.school for row in directory.schools(session)]
    if not schools:
        raise Refused(errors.REQ_INVALID, "the district has no school yet: `schoolgate school add` makes one")
    with parts.database.open_schools(by.district, schools) as session:
        if writes:
            on_file.one_at_a_time(session)
        yield Desk(parts, by, session, parts.clock.now(), imports)


def latest(parts: Office, by: Person, kind: str) -> list[Any]:
    """Return the latest version of each paper of a kind, at the schools the person may look at. Where it is about
    pupils, each school's log says that somebody looked. Raises Refused."""
    with opened(parts, by) as desk:
        mine = {school.school for school in desk.schools(()) if by.may_read(school.school)}
        if not mine:
            raise Refused(errors.ACT_NOT_STAFF)
        rows = [row for row in desk.latest(kind) if row.school in mine]
        if kind in _OF_PUPILS:
            for school, people in sorted(Counter(at for at, _ in {(r.school, r.person_id) for r in rows}).items()):
                access.looked(parts, desk.session.at(school), by, access.ANSWERS, people)
        return rows


def listing(parts: Office, by: Person, kind: str) -> list[dict[str, Any]]:
    """Return `latest` as it is shown: columns and body, without our numbers of schools."""
    hidden = {"district", "school", "body"}
    return [
        {name: value for name, value in row._asdict().items() if name not in hidden} | row.body
        for row in latest(parts, by, kind)
    ]


# --- one paper -------------------------------------------------------------------------------------


def record(parts: Office, by: Person, kind: str, said: Mapping[str, Any]) -> str:
    """Put one paper on file, in the words of its kind. Return its reference. Raises Refused.

    An agreement that cannot be activated is a denial in the ledger of each of its schools.
    """
    with opened(parts, by, writes=True) as desk:
        try:
            line = _line(desk, kind, 1, said)
        except Refused as refused:
            outcome: Line | Refused = refused
            _note_refusal(desk, kind, said, refused)
        else:
            _write(desk, kind, [line])
            outcome = line
    if isinstance(outcome, Refused):
        raise outcome
    return outcome.ref


def _note_refusal(desk: Desk, kind: str, said: Mapping[str, Any], refused: Refused) -> None:
    if kind != "agreement" or not refused.reason.code.startswith(("AGR_", "PUR_", "ELM_")):
        return
    named = said.get("schools") or ()
    ref = desk.parts.ids.new(KINDS[kind].prefix)
    schools = desk.schools(named if not isinstance(named, str) else named.split(";"))
    for school in sorted(schools, key=lambda one: one.school):
        disclosure.event(desk.parts, desk.session.at(school.school), "denial", ref, "deny", reason=refused.reason.code,
                         actor={"kind": "staff", "ref": desk.by.ref})  # fmt: skip


def end(parts: Office, by: Person, kind: str, ref: str) -> int:
    """End a paper now, at every school it stands for and the person acts for, as its next version. Return how many.
    Raises Refused."""
    rule = KINDS[kind]
    if kind == "agreement":
        by.acts_for_district()
    with opened(parts, by, writes=True) as desk:
        rows = [row for row in desk.mine(kind) if getattr(row, kind) == ref and row.status != rule.ended]
        if not rows:
            raise Refused(errors.REQ_UNKNOWN, f"there is no {kind.replace('_', '-')} {ref} here that has not ended")
        if any(row.status == "refused" for row in rows):
            raise Refused(errors.REQ_CONFLICT, f"it is a no already; a later yes is recorded under the number {ref}")
        papers = [Paper(kind, row.school, _ended(kind, row, desk.now)) for row in rows]
        _write(desk, kind, [Line(1, "", "changed", ref, tuple(papers))], outcome="ended")
    return len(rows)


def _ended(kind: str, row: Any, now: datetime) -> dict[str, Any]:
    """What the last version of a paper says. A withdrawal counts from now on, for good."""
    columns = _columns(kind, row) | {"status": KINDS[kind].ended}
    if kind == "consent":
        return columns | {"valid_from": min(row.valid_from, now), "valid_until": None}
    ends_at = "valid_until" if kind == "opt_out" else "expires_at"
    ends = columns[ends_at]
    return columns | {ends_at: now if ends is None else min(ends, now)}


# --- a file ----------------------------------------------------------------------------------------


Said = Sequence[Mapping[str, Any]]


def plan(parts: Office, by: Person, kind: str, lines: Said) -> Plan:
    """Say what these papers would change, and change nothing."""
    with opened(parts, by, imports=True) as desk:
        return _planned(desk, kind, lines)


def apply(parts: Office, by: Person, kind: str, lines: Said) -> Plan:
    """Put these papers on file: all of them, or none when a line is at fault. Return what was done."""
    with opened(parts, by, imports=True, writes=True) as desk:
        found = _planned(desk, kind, lines)
        if not found.faults:
            _write(desk, kind, found.lines)
    return found


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a JSON list of objects, or of a CSV with a header. Raises Refused."""
    data = path.read_bytes()
    if len(data) > _MOST_BYTES:
        raise Refused(errors.REQ_TOO_LARGE, f"{path.name} has more than {_MOST_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
        lines = _of_json(text) if text.lstrip()[:1] in ("[", "{") else _of_csv(text)
    except (ValueError, csv.Error) as error:
        raise Refused(errors.REQ_INVALID, f"{path.name} is neither JSON nor CSV in UTF-8: {error}") from error
    if len(lines) > _MOST_LINES:
        raise Refused(errors.REQ_TOO_LARGE, f"{path.name} has more than {_MOST_LINES:,} lines")
    if not lines:
        raise Refused(errors.REQ_INVALID, f"{path.name} holds no line")
    return lines


def _of_json(text: str) -> list[dict[str, Any]]:
    found = orjson.loads(text)
    lines = found if isinstance(found, list) else [found]
    if not all(isinstance(line, dict) for line in lines):
        raise ValueError("a list of objects is wanted")
    return lines


def _of_csv(text: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    names = reader.fieldnames or []
    if len(set(names)) < len(names):
        raise ValueError("a column stands twice")
    lines = []
    for cells in reader:
        if None in cells or None in cells.values():
            raise ValueError(f"line {reader.line_num} has another number of cells than the header")
        lines.append({name: value for name, value in cells.items() if value.strip()})
    return lines


def _planned(desk: Desk, kind: str, said: Said) -> Plan:
    lines, faults = list[Line](), list[Fault]()
    for row, words_ in enumerate(said, 1):
        try:
            lines.append(_line(desk, kind, row, words_))
        except Refused as refused:
            faults.append(Fault(row, refused.reason, refused.detail))
    faults += _among_themselves(lines)
    return Plan(tuple(lines), tuple(sorted(faults, key=lambda fault: fault.row)))


def _line(desk: Desk, kind: str, row: int, said: Mapping[str, Any]) -> Line:
    """Judge one line and compare it with what is on file. Raises Refused."""
    values = loaded(KINDS[kind].schema, said)
    number = values.get("number", "")
    if desk.imports and not number:
        raise Refused(errors.REQ_INVALID, "number: the district's own number of this paper is missing")
    papers = KINDS[kind].judge(desk, values)
    known = _known(desk, kind, number, papers)
    if not known:
        return Line(row, number, "new", desk.parts.ids.new(KINDS[kind].prefix), tuple(papers))
    there = {one.school: one for one in known}
    for paper in papers:
        if paper.school in there:
            _require_same(kind, there[paper.school], paper)
    changed = [p for p in papers if p.school not in there or _columns(kind, there[p.school]) != p.columns]
    gone = [one for one in known if one.school not in {paper.school for paper in papers}]
    changed += [Paper(kind, one.school, _ended(kind, one, desk.now)) for one in gone if one.status != KINDS[kind].ended]
    return Line(row, number, "changed" if changed else "unchanged", getattr(known[0], kind), tuple(changed))


def _known(desk: Desk, kind: str, number: str, papers: Sequence[Paper]) -> list[Any]:
    """The papers on file under this number: of answers those of the same school, else of the schools the person acts
    for. Another school's numbers are its own. What a family answered by itself has its reference for a number."""
    known = desk.numbers(kind).get(number, []) if number else []
    if kind in ("consent", "opt_out"):
        known = known or [one for one in desk.mine(kind) if getattr(one, kind) == number]
        return [one for one in known if one.school == papers[0].school]
    return list(known)


def _require_same(kind: str, known: Any, paper: Paper) -> None:
    """A number stands for one paper, which does not come back once it has ended."""
    for name in KINDS[kind].fixed:
        if getattr(known, name) != paper.columns[name]:
            raise Refused(errors.REQ_CONTRADICTORY, f"this number is another paper: its {name} is another")
    if kind == "consent" and known.status in NO:
        _require_later(known, paper)
    elif known.status == KINDS[kind].ended != paper.columns["status"]:
        raise Refused(errors.REQ_CONFLICT, "the paper of this number has ended: a new one has a number of its own")


def _require_later(known: Any, paper: Paper) -> None:
    """A no gives way to nothing but a yes that was said after it: what was answered before does not come back."""
    status, answered = paper.columns["status"], paper.columns["body"]["answered_at"]
    if status in NO:
        return
    if status != "given" or datetime.fromisoformat(answered) <= known.recorded_at:
        said = f"a no is on file since {known.recorded_at:%Y-%m-%d %H:%M} UTC"
        raise Refused(errors.REQ_CONFLICT, f"{said}: only a yes that was answered after it takes its place")


def _columns(kind: str, row: Any) -> dict[str, Any]:
    """What a version says, without who wrote it when."""
    beside = {"district", "school", kind, "version", "recorded_at", "recorded_by"}
    return {c.name: getattr(row, c.name) for c in on_file.VERSIONED[kind].columns if c.name not in beside}


def loaded(schema: type[Schema], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a line says, in our words. Raises Refused with what does not fit."""
    try:
        found: dict[str, Any] = schema().load({k: v for k, v in said.items() if v is not None})
    except ValidationError as error:
        raise Refused(errors.REQ_INVALID, _readable(error)) from error
    return found


def _readable(error: ValidationError) -> str:
    """What does not fit, by field, without the values."""
    parts = []
    for name, problem in sorted(error.messages_dict.items()):
        field = name if is_text(str(name)) and str(name).isprintable() else "a column"
        said = problem if isinstance(problem, list) else list(problem.values())
        parts.append(f"{field}: {'; '.join(map(str, said)).rstrip('.')}")
    return ", ".join(parts)


def _among_themselves(lines: Sequence[Line]) -> Iterator[Fault]:
    """What no line shows by itself: a number that stands twice, agreements that overlap, answers that contradict."""
    numbers = Counter((line.number, paper.school) for line in lines for paper in line.papers if line.number)
    for line in lines:
        times = max((numbers[line.number, paper.school] for paper in line.papers), default=1)
        if times > 1:
            yield Fault(line.row, errors.REQ_TWICE, f"the number {line.number} stands on {times} lines")
    claims: dict[tuple[Any, ...], list[tuple[Line, Paper]]] = {}
    for line in lines:
        for paper in line.papers:
            for key in _claims(paper):
                claims.setdefault(key, []).append((line, paper))
    for claimed in claims.values():
        yield from _clashes(claimed)


def _claims(paper: Paper) -> Iterator[tuple[Any, ...]]:
    """What a paper says alone, at its school: an agreement each operation of a vendor, an answer its scope."""
    said = paper.columns
    if paper.kind == "agreement" and said["status"] == "active":
        yield from ((paper.school, said["vendor"], operation) for operation in said["body"]["operations"])
    elif paper.kind == "consent":
        yield paper.school, said["person_id"], said["scope"], said["agreement"], said["grantor"]


def _clashes(claimed: list[tuple[Line, Paper]]) -> Iterator[Fault]:
    """Papers that claim the same for the same time, in the order in which they begin; answers only when they differ."""
    begins, ends = (
        ("effective_at", "expires_at") if claimed[0][1].kind == "agreement" else ("valid_from", "valid_until")
    )
    furthest: dict[str, tuple[datetime, Line]] = {}
    for line, paper in sorted(claimed, key=lambda one: (one[1].columns[begins], one[0].row)):
        said = paper.columns["status"] if paper.kind == "consent" else ""
        others = [one for status, one in furthest.items() if paper.kind == "agreement" or status != said]
        clash = next((other for end, other in others if end > paper.columns[begins]), None)
        if clash:
            first, last = sorted((line, clash), key=lambda one: one.row)
            yield Fault(last.row, _clash(paper), f"line {first.row} is about the same, at the same school and time")
        end = paper.columns[ends] or datetime.max.replace(tzinfo=UTC)
        furthest[said] = max(furthest.get(said, (end, line)), (end, line), key=lambda one: one[0])


def _clash(paper: Paper) -> Reason:
    return errors.REQ_OVERLAP if paper.kind == "agreement" else errors.REQ_CONTRADICTORY


def _write(desk: Desk, kind: str, lines: Iterable[Line], outcome: str = "recorded") -> None:
    """Write the next version of each paper, and then of each school all entries at once, in the order in which logs are
    locked: nothing else of a school waits longer than for that."""
    entries: dict[int, list[dict[str, Any]]] = {}
    for paper, ref in sorted(((p, line.ref) for line in lines for p in line.papers), key=lambda one: one[0].school):
        here = desk.session.at(paper.school)
        version = on_file.record(here, kind, ref, desk.now, desk.by.ref, **paper.columns)
        about = [f"{ref}@{version}"] if kind == "direction" else f"{ref}@{version}"
        ended = outcome == "ended" or paper.columns["status"] in ("ended", "revoked", "withdrawn")
        said = {"actor": {"kind": "staff", "ref": desk.by.ref}, _ABOUT[kind]: about}
        entries.setdefault(paper.school, []).append(
            {"type_": KINDS[kind].entry, "ref": ref, "outcome": "ended" if ended else "recorded"} | said
        )
    for school, own in sorted(entries.items()):
        disclosure.events(desk.parts, desk.session.at(school), own)


def activate(parts: Office, by: Person, ref: str) -> int:
    """Bring a draft or suspended agreement into force, at every school it covers. Return how many. Raises Refused."""
    by.acts_for_district()
    with opened(parts, by, writes=True) as desk:
        rows = [
            row for row in desk.latest("agreement") if row.agreement == ref and row.status in ("draft", "suspended")
        ]
        if not rows:
            raise Refused(errors.REQ_UNKNOWN, f"there is no agreement {ref} here that waits to be activated")
        try:
            agreements.require_active(desk, rows[0].body)
        except Refused as refused:
            outcome: Refused | None = refused
            for row in rows:
                disclosure.event(parts, desk.session.at(row.school), "denial", ref, "deny", reason=refused.reason.code,
                                 actor={"kind": "staff", "ref": by.ref})  # fmt: skip
        else:
            outcome = None
            papers = [Paper("agreement", r.school, _columns("agreement", r) | {"status": "active"}) for r in rows]
            _write(desk, "agreement", [Line(1, "", "changed", ref, tuple(papers))])
    if outcome:
        raise outcome
    return len(rows)


def suspend(parts: Office, by: Person, ref: str) -> int:
    """Let nothing flow under an agreement until it is activated again. Return at how many schools. Raises Refused."""
    by.acts_for_district()
    with opened(parts, by, writes=True) as desk:
        rows = [row for row in desk.latest("agreement") if row.agreement == ref and row.status == "active"]
        if not rows:
            raise Refused(errors.REQ_UNKNOWN, f"there is no agreement {ref} here that is in force")
        papers = [Paper("agreement", r.school, _columns("agreement", r) | {"status": "suspended"}) for r in rows]
        _write(desk, "agreement", [Line(1, "", "changed", ref, tuple(papers))])
    return len(rows)
