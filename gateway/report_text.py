"""A sync report as a person reads it on a terminal: what would change, what is bad and why, what comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.errors import AGE_CHILD_NO_SCHOOL_AGREEMENT, VOCABULARY

if TYPE_CHECKING:
    from gateway.flows.rosters import Report

_WORDS = {
    "org": "organisations", "session": "sessions", "course": "courses", "user": "people", "class": "classes",
    "enrollment": "enrollments", "demographics": "demographics", "role": "roles",
}  # fmt: skip
_HEADLINES = {
    "planned": "Plan: nothing was changed.",
    "published": "Published.",
    "unchanged": "Nothing changed; the last version keeps serving.",
    "held": "HELD: the last version keeps serving.",
    "refused": "Refused: the last version keeps serving.",
}
_IN_PART = "HELD in part: what comes and changes is published; what would go waits, and keeps being served."
_MOST = 15


def lines(report: Report, source: str) -> Iterator[str]:
    """Yield the report, line by line."""
    yield from _head(report)
    if report.refusal:
        yield from _refusal(report.refusal, source)
    yield from _pulled(report)
    if report.repairs:
        yield f"  repairs of this source: {', '.join(report.repairs)}"
    for file in report.files:
        if file["repairs"]:
            yield f"  {file['file']}: repaired by {', '.join(file['repairs'])}"
    yield from _changes(report)
    yield from _faults(report)
    yield from _absences(report)
    yield from _held(report)
    yield from _impact(report.impact)
    yield from _not_collected(report)
    if report.erased:
        yield f"  deletions carried out, whose records are gone: {report.erased}"
    if report.not_erased:
        yield f"  deletions that could not be carried out; they wait for the next night: {report.not_erased}"
    yield from _first([f"  proposed, not onboarded: {name}" for name in report.proposed], "schools")
    left_out = [f"  left out: {s['name']} {s['school']} ({VOCABULARY[s['code']].sentence})" for s in report.skipped]
    yield from _first(left_out, "schools")
    checked = [f"{f['file']} ({f['rows']:,} rows)" for f in report.files if not f["kept"] and f["rows"]]
    if checked:
        yield f"  checked, not kept: {', '.join(checked)}"
    yield _next(report, source)


def _first(lines: list[str], of_what: str) -> Iterator[str]:
    """Yield the first of many lines, and how many there are beside them."""
    yield from lines[:_MOST]
    if len(lines) > _MOST:
        yield f"    … and {len(lines) - _MOST:,} more {of_what}"


def _pulled(report: Report) -> Iterator[str]:
    """What a service was read of, where one was: what came, and what had to be respelt."""
    if report.pulled:
        found = report.pulled["collections"]
        came = ", ".join(f"{one['objects']:,} {one['collection']}" for one in found)
        yield f"  read {report.pulled['mode']} in {report.pulled['requests']} requests: {came}"
        if report.pulled["unasked"]:
            yield f"  not asked for, because no agreement names what they hold: {', '.join(report.pulled['unasked'])}"
        for one in found:
            if one["repairs"]:
                yield f"  {one['collection']}: respelt by {', '.join(one['repairs'])}"


def _head(report: Report) -> Iterator[str]:
    in_part = report.state == "held" and report.published
    yield f"{_IN_PART if in_part else _HEADLINES[report.state]} Run {report.run}."
    if report.same_as:
        yield f"  byte for byte the delivery of run {report.same_as}: nothing was read again"
    if report.resumed:
        yield f"  takes up the delivery of run {report.resumed}, which was killed"
    if report.undone is not None:
        yield f"  back to: {', '.join(f'{school} version {version}' for school, version in report.undone.items())}"


def _refusal(refusal: dict[str, str], source: str) -> Iterator[str]:
    where = refusal["file"] + (f", line {refusal['line']}" if refusal["line"] else "")
    detail = "" if refusal["detail"] == refusal["sentence"] else refusal["detail"]
    yield f"  {where}: {refusal['sentence']} {detail}".rstrip()
    yield f"  code    {refusal['code']}"
    yield f"  remedy  {refusal['remedy']}"
    yield f"  who     {refusal['owner']}"
    if "repair" in refusal:
        yield f"  repair  schoolgate source repair add {source} {refusal['repair']}"


def _changes(report: Report) -> Iterator[str]:
    if not report.schools:
        return
    totals = _summed(report, lambda school: school["kinds"].items())
    aside = _summed(
        report, lambda school: ((kind, {word: n}) for word in _ASIDE for kind, n in school.get(word, {}).items())
    )
    schools = f"{len(report.schools)} {'school' if len(report.schools) == 1 else 'schools'}"
    yield f"  {schools:14}     same    added  changed  removed  quarantined  waiting"
    for kind in _COUNTED:
        moves = {w: totals[kind, w] for w in _MOVES} | {w: aside[kind, w] for w in _STAND}
        yield f"  {_WORDS[kind]:14}{_row(moves)}"
    if len(report.schools) > 1:
        yield from _by_school(report)
    for what, words in _BY_US.items():
        counts = ", ".join(f"{n:,} {word}" for kind, word in _WORDS.items() if (n := aside[kind, what]))
        if counts:
            yield f"  {words}: {counts}"


_MOVES, _STAND = ("before", "added", "changed", "removed"), ("quarantined", "waiting")
_COUNTED = tuple(kind for kind in _WORDS if kind != "role")  # a role stands in the row of its person


def _row(n: Mapping[str, int]) -> str:
    """Counts as the columns of the table have them."""
    same = n["before"] - n["changed"] - n["removed"]
    moves = f"{n['added']:9,}{n['changed']:9,}{n['removed']:9,}"
    return f"{same:9,}{moves}{n['quarantined']:13,}{n['waiting']:9,}"


def _by_school(report: Report) -> Iterator[str]:
    """The schools at which something moves, all kinds together: those first that lose most. `--json` has each kind."""
    moving = []
    for school in report.schools:
        counts = Counter({w: sum(kind[w] for kind in school["kinds"].values()) for w in _MOVES})
        counts.update({w: sum(school.get(w, {}).get(kind, 0) for kind in _COUNTED) for w in _STAND})
        if any(n for word, n in counts.items() if word != "before"):
            moving.append((counts, school))
    moving.sort(key=lambda at: [-at[0][w] for w in ("removed", "waiting", "quarantined", "changed", "added")])
    rows = [f"  {'at each school' if n == 0 else '':14}{_row(c)}  {s['name']} {s['school']}"
            for n, (c, s) in enumerate(moving)]  # fmt: skip
    yield from _first(rows, "schools")


def _summed(
    report: Report, of: Callable[[dict[str, Any]], Iterable[tuple[str, dict[str, int]]]]
) -> Counter[tuple[str, str]]:
    """Counts by kind and word, of all schools together."""
    totals: Counter[tuple[str, str]] = Counter()
    for school in report.schools:
        for kind, counts in of(school):
            for what, n in counts.items():
                totals[kind, what] += n
    return totals


# Of what changes and goes: it does so whatever came, and no guard counts it.
_BY_US = {
    "narrowed": "of those that change, only lose elements which the agreement no longer names",
    "left_out": "of those that go, are no longer let in by the agreement",
}
_ASIDE = ("quarantined", "waiting", *_BY_US)
_ABSENT = {
    "source-deleted": "the source deleted them", "filtered": "of schools that are left out", "quarantined": "bad rows",
    "cut-off": "the delivery does not show that they are gone", "re-keyed": "come again under new ids",
    "roll-over": "of a school year that has ended",
}  # fmt: skip


def _absences(report: Report) -> Iterator[str]:
    for cause, kinds in sorted(report.absences.items()):
        counts = ", ".join(f"{n:,} {_WORDS.get(kind, kind)}" for kind, n in sorted(kinds.items()))
        yield f"  missing, {_ABSENT[cause]} ({cause}): {counts}"
    if report.absences and report.state != "planned":
        yield f"    each of them: schoolgate sync absences {report.run}"


def _impact(impact: dict[str, Any]) -> Iterator[str]:
    courses = impact.get("courses", ())
    for course in courses[:_MOST]:
        loses = "its class" if course["loses"] == "class" else f"{course['members']:,} members"
        yield f"  launches: course {course['course']} of class {course['class']} {course['school']} would lose {loses}"
    if len(courses) > _MOST:
        yield f"    … and {len(courses) - _MOST} more courses"
    for vendor in impact.get("vendors", ()):
        rows = f"at most {vendor['appear']:,} rows appear and {vendor['go']:,} go"
        yield f"  vendors: {vendor['vendor']} would see {rows}"


def _faults(report: Report) -> Iterator[str]:
    costs = Counter[str]()
    for cause in report.causes:
        costs[cause["costs"]] += cause["count"]
    if report.causes:
        left = f", {costs['removed']} rows gone with the record they belong to" if costs["removed"] else ""
        left += f", {costs['noted']} noted (the rows stand)" if costs["noted"] else ""
        left += f", {costs['file']} files set aside" if costs["file"] else ""
        quarantined = f"{costs['row']} rows quarantined (their last good version is kept)"
        yield f"  {quarantined}, {costs['value']} values left out{left}:"
    for cause in report.causes[:_MOST]:
        yield f"    {cause['count']:6} × {_cause(cause, named=bool(report.pulled))}"
    if len(report.causes) > _MOST:
        yield f"    … and {len(report.causes) - _MOST} more causes"
    if len(report.faults) > min(len(report.causes), _MOST):
        yield f"    each of them: schoolgate sync errors {report.run}"


def _cause(cause: dict[str, Any], *, named: bool) -> str:
    """A cause and its first example: the line of a file, or of what was read from a service the record."""
    where = f"{cause['file']} line {cause['line']}" if cause["line"] else cause["file"]
    if named:
        where = f"{cause['file'].removesuffix('.csv')} {cause['record'] or 'without an id'}"
    column = f" {cause['column']}" if cause["column"] else ""
    more = " ".join(part for part in (cause["shape"] and f"({cause['shape']})", cause["hint"]) if part)
    return f"{where}{column}: {cause['sentence']} {more} [{cause['code']}]".replace("  ", " ")


def _not_collected(report: Report) -> Iterator[str]:
    by_element: dict[str, set[str]] = {}
    for drop in report.dropped:
        by_element.setdefault(drop["element"], set()).add(f"{drop['file']} {drop['column']}")
    if by_element:
        lines = max(drop["lines"] for drop in report.dropped)
        yield f"  read past, because no agreement names them ({len(report.dropped)} columns, up to {lines:,} lines):"
    for name, columns in sorted(by_element.items()):
        yield f"    {name}: {', '.join(sorted(columns))}"
    names = {school["school"]: school["name"] for school in report.schools}
    for school in report.children:
        where = f"{names.get(school['school'], '')} {school['school']}".lstrip()
        if school["pupils"]:
            yield (
                f"  {where}: {school['pupils']:,} pupils not let in, who are children or of unknown age "
                f"[{AGE_CHILD_NO_SCHOOL_AGREEMENT.code}]"
            )
        if school["relatives"]:
            yield f"  {where}: {school['relatives']:,} guardians or relatives not let in, as no pupil of theirs is"


def _held(report: Report) -> Iterator[str]:
    yield from _first([f"  ■ {_trip(trip)}" for trip in report.held_by], "reasons")
    if report.held_by and report.code:
        yield f"  {VOCABULARY[report.code].sentence} [{report.code}]"
    hold = report.hold or {}
    waits = f"{hold['waiting']:,} rows wait" if hold.get("waiting") else "it waits"
    if "expires" in hold:
        yield f"  {waits} in hold {hold['hold']} until {hold['expires'][:10]}"
    elif _waits_on(report):
        yield f"  {waits} on in hold {hold['hold']}"


def _waits_on(report: Report) -> bool:
    """Whether something of a hold that was released in part waits on."""
    return bool(report.hold and report.hold.get("released") and report.hold["waiting"])


def _trip(trip: dict[str, Any]) -> str:
    """What a guard found."""
    word = _WORDS.get(trip["kind"], trip["kind"])
    what = {"shrunk": "removed", "emptied": "removed, none left"}.get(trip["guard"], trip["guard"])
    figures = f"{trip['count']:,} of {trip['of']:,}"
    return {
        "lost": f"{trip['kind']}: {figures} rows refer to records that are nowhere",
        "rekeyed": f"{figures} people come again under new ids",
        "paired": f"{trip['count']:,} people may have come again under new ids",
        "rollover": f"roll-over: {figures} school years end with this delivery, and another begins",
    }.get(trip["guard"], f"{trip['name']} {trip['school']}: {figures} {word} would be {what}")


def _next(report: Report, source: str) -> str:
    if report.state == "planned" and not report.schools:
        which = ("NAME", "--org ID for each of them") if report.pulled else ("", "--all-in DELIVERY")
        how = " ".join(word for word in (which[0], f"--source {source}", which[1]) if word)
        return f"Next: schoolgate school add {how}, and an agreement to import"
    if report.refusal and not report.refusal["code"].startswith("CSV_"):
        once_more = "" if report.refusal["file"] == "undo" else " Then plan it again."
        return f"Next: {report.refusal['remedy']}{once_more}"
    if report.undone is not None and report.state == "planned":
        return f"Next: schoolgate sync undo {source} --apply, and the --to of this plan if it had one"
    if report.hold and _waits_on(report):
        return f"Next: schoolgate sync hold show {report.hold['hold']}"
    again = "" if report.pulled else " with the same delivery"
    return {
        "planned": f"Next: schoolgate sync apply {source}{again}",
        "held": "Next: send a corrected delivery, or let a second person run: "
        f"schoolgate sync hold release {report.run}",
        "refused": "Next: correct the delivery and plan it again",
    }.get(report.state, f"Next: schoolgate sync history {source}")
