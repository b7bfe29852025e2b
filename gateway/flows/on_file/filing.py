"""Putting papers on file: a whole file is planned before any of it is applied; what is there already is left alone."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from marshmallow import Schema, ValidationError

from gateway import errors
from gateway.errors import Reason, Refused
from gateway.flows import disclosure
from gateway.flows.on_file import agreements, answers
from gateway.flows.on_file.desk import Desk, Paper
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.store import directory, on_file
from mappings import on_file as words
from mappings.text import is_text

_MOST_BYTES, _MOST_LINES = 20 << 20, 100_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of paper: its words, how a line of them is judged, how it ends, and how the ledger calls it."""

    schema: type[Schema]
    judge: Callable[[Desk, dict[str, Any]], list[Paper]]
    ended: str
    ends_at: str
    entry: str
    prefix: str


KINDS = {
    "agreement": Kind(words.Agreement, agreements.agreement, "ended", "expires_at", "agreement", "ag"),
    "direction": Kind(words.Direction, agreements.direction, "revoked", "expires_at", "direction", "dr"),
    "consent": Kind(words.Consent, answers.consent, "withdrawn", "", "consent", "co"),
    "opt_out": Kind(words.OptOut, answers.opt_out, "ended", "valid_until", "consent", "oo"),
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
def opened(parts: Office, by: Person, *, imports: bool = False) -> Iterator[Desk]:
    with parts.database.open_district(by.district) as session:
        schools = [row.school for row in directory.schools(session)]
    if not schools:
        raise Refused(errors.REQ_INVALID, "the district has no school yet: `schoolgate school add` makes one")
    with parts.database.open_schools(by.district, schools) as session:
        on_file.one_at_a_time(session)
        yield Desk(parts, by, session, parts.clock.now(), imports)


def latest(parts: Office, by: Person, kind: str) -> list[Any]:
    """Return the latest version of each paper of a kind, at the schools the person may look at. Raises Refused."""
    with opened(parts, by) as desk:
        mine = {school.school for school in desk.schools(()) if by.may_read(school.school)}
        if not mine:
            raise Refused(errors.ACT_NOT_STAFF)
        return [row for row in desk.latest(kind) if row.school in mine]


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
    with opened(parts, by) as desk:
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
    for school in desk.schools(named if not isinstance(named, str) else named.split(";")):
        disclosure.event(desk.parts, desk.session.at(school.school), "denial", ref, "deny", reason=refused.reason.code,
                         actor={"kind": "staff", "ref": desk.by.ref})  # fmt: skip


def end(parts: Office, by: Person, kind: str, ref: str) -> int:
    """End a paper now, at every school it stands for, as its next version. Return how many. Raises Refused."""
    rule = KINDS[kind]
    with opened(parts, by) as desk:
        rows = [row for row in desk.latest(kind) if getattr(row, kind) == ref and row.status != rule.ended]
        if not rows:
            raise Refused(errors.REQ_UNKNOWN, f"there is no {kind.replace('_', '-')} {ref} here that has not ended")
        papers = []
        for row in rows:
            _require_may_end(desk, kind, row)
            columns = _columns(kind, row) | {"status": rule.ended}
            if rule.ends_at:
                ends = columns[rule.ends_at]
                columns[rule.ends_at] = desk.now if ends is None else min(ends, desk.now)
            papers.append(Paper(kind, row.school, columns))
        _write(desk, kind, [Line(1, "", "changed", ref, tuple(papers))], outcome="ended")
    return len(rows)


def _require_may_end(desk: Desk, kind: str, row: Any) -> None:
    if kind == "agreement":
        desk.by.acts_for_district()
    else:
        desk.by.acts_for(row.school)
    if kind == "consent" and row.status in ("refused", "withdrawn"):
        raise Refused(errors.REQ_CONFLICT, "it is a no already; a yes is an answer of its own")


# --- a file ----------------------------------------------------------------------------------------


Said = Sequence[Mapping[str, Any]]


def plan(parts: Office, by: Person, kind: str, lines: Said) -> Plan:
    """Say what these papers would change, and change nothing."""
    with opened(parts, by, imports=True) as desk:
        return _planned(desk, kind, lines)


def apply(parts: Office, by: Person, kind: str, lines: Said) -> Plan:
    """Put these papers on file: all of them, or none when a line is at fault. Return what was done."""
    with opened(parts, by, imports=True) as desk:
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
    try:
        values = KINDS[kind].schema().load({k: v for k, v in said.items() if v is not None})
    except ValidationError as error:
        raise Refused(errors.REQ_INVALID, readable(error)) from error
    number = values.get("number", "")
    if desk.imports and not number:
        raise Refused(errors.REQ_INVALID, "number: the district's own number of this paper is missing")
    papers = KINDS[kind].judge(desk, values)
    known = [one for one in desk.latest(kind) if number and one.body.get("number") == number]
    if not known:
        return Line(row, number, "new", desk.parts.ids.new(KINDS[kind].prefix), tuple(papers))
    there = {one.school: _columns(kind, one) for one in known}
    changed = [paper for paper in papers if there.get(paper.school) != paper.columns]
    changed += _left(desk, kind, known, {paper.school for paper in papers})
    return Line(row, number, "changed" if changed else "unchanged", getattr(known[0], kind), tuple(changed))


def _left(desk: Desk, kind: str, known: Sequence[Any], named: set[int]) -> list[Paper]:
    """An agreement that names a school no longer has ended there."""
    rule = KINDS[kind]
    gone = [row for row in known if row.school not in named and row.status != rule.ended]
    if kind in ("consent", "opt_out") and gone:
        raise Refused(errors.REQ_CONTRADICTORY, "this number is an answer at another school")
    ended = {"status": rule.ended}
    return [
        Paper(kind, row.school, _columns(kind, row) | ended | {rule.ends_at: min(row.expires_at, desk.now)})
        for row in gone
    ]


def _columns(kind: str, row: Any) -> dict[str, Any]:
    """What a version says, without who wrote it when."""
    beside = {"district", "school", kind, "version", "recorded_at", "recorded_by"}
    return {c.name: getattr(row, c.name) for c in on_file.VERSIONED[kind].columns if c.name not in beside}


def readable(error: ValidationError) -> str:
    """What does not fit, by field, without the values."""
    parts = []
    for name, problem in sorted(error.messages_dict.items()):
        field = name if is_text(str(name)) and str(name).isprintable() else "a column"
        said = problem if isinstance(problem, list) else list(problem.values())
        parts.append(f"{field}: {'; '.join(map(str, said)).rstrip('.')}")
    return ", ".join(parts)


def _among_themselves(lines: Sequence[Line]) -> Iterator[Fault]:
    """What no line shows by itself: a number that stands twice, agreements that overlap, answers that contradict."""
    numbers = Counter(line.number for line in lines)
    for line in lines:
        if line.number and numbers[line.number] > 1:
            yield Fault(line.row, errors.REQ_TWICE, f"the number {line.number} stands on {numbers[line.number]} lines")
    seen: dict[tuple[Any, ...], list[tuple[Line, Paper]]] = {}
    for line in lines:
        for paper in line.papers:
            for key in _claims(paper):
                others = seen.setdefault(key, [])
                clash = next((o for o, p in others if o is not line and _overlap(paper, p)), None)
                if clash:
                    yield Fault(line.row, _clash(paper), f"so does line {clash.row}, for the same time and school")
                others.append((line, paper))


def _claims(paper: Paper) -> Iterator[tuple[Any, ...]]:
    """What a paper says alone, at its school: an agreement each operation of a vendor, an answer its scope."""
    said = paper.columns
    if paper.kind == "agreement" and said["status"] == "active":
        yield from ((paper.school, said["vendor"], operation) for operation in said["body"]["operations"])
    elif paper.kind == "consent":
        yield paper.school, said["person_id"], said["scope"], said["agreement"], said["grantor"]


def _overlap(one: Paper, other: Paper) -> bool:
    begins, ends = ("effective_at", "expires_at") if one.kind == "agreement" else ("valid_from", "valid_until")
    if one.kind == "consent" and one.columns["status"] == other.columns["status"]:
        return False
    far = max(one.columns[begins], other.columns[begins]) + timedelta(days=1)
    until = [paper.columns[ends] or far for paper in (one, other)]
    return bool(one.columns[begins] < until[1] and other.columns[begins] < until[0])


def _clash(paper: Paper) -> Reason:
    return errors.REQ_OVERLAP if paper.kind == "agreement" else errors.REQ_CONTRADICTORY


def _write(desk: Desk, kind: str, lines: Iterable[Line], outcome: str = "recorded") -> None:
    """Write the next version of each paper, school by school in the order in which their logs are locked."""
    papers = sorted(((p, line.ref) for line in lines for p in line.papers), key=lambda one: one[0].school)
    for paper, ref in papers:
        here = desk.session.at(paper.school)
        version = on_file.record(here, kind, ref, desk.now, desk.by.ref, **paper.columns)
        about = [f"{ref}@{version}"] if kind == "direction" else f"{ref}@{version}"
        ended = outcome == "ended" or paper.columns["status"] in ("ended", "revoked", "withdrawn")
        disclosure.event(
            desk.parts, here, KINDS[kind].entry, ref, "ended" if ended else "recorded",
            actor={"kind": "staff", "ref": desk.by.ref}, **{_ABOUT[kind]: about},
        )  # fmt: skip


def activate(parts: Office, by: Person, ref: str) -> int:
    """Bring a draft or suspended agreement into force, at every school it covers. Return how many. Raises Refused."""
    by.acts_for_district()
    with opened(parts, by) as desk:
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
    with opened(parts, by) as desk:
        rows = [row for row in desk.latest("agreement") if row.agreement == ref and row.status == "active"]
        if not rows:
            raise Refused(errors.REQ_UNKNOWN, f"there is no agreement {ref} here that is in force")
        papers = [Paper("agreement", r.school, _columns("agreement", r) | {"status": "suspended"}) for r in rows]
        _write(desk, "agreement", [Line(1, "", "changed", ref, tuple(papers))])
    return len(rows)
