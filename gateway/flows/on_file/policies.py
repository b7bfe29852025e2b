"""Privacy policies: which one governs a district, its versions, who was told of them, who agreed.

Nothing of it is changed or taken back: what governs, or a version, is followed by the next; a word stands once said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.on_file.desk import Desk
from gateway.flows.on_file.filing import Fault, Line, Plan, loaded, opened
from gateway.flows.parts import Office
from gateway.identity.staff import SCHOOL_ROLES, Person
from gateway.policy.request import COMMERCIAL, Purpose
from gateway.policy.source_policies import PROFILES, STRICTEST
from gateway.store import on_file, roles
from mappings import on_file as words

_ABOUT = ("change", "effective_at", "opens", "document")  # what a version says


@dataclass(slots=True)
class _Book:
    """What is on file about policies, with what the lines so far would add; and what is to be written."""

    desk: Desk
    versions: dict[tuple[str, int], dict[str, Any]]
    said: set[tuple[str, int, int, str]]
    governing: list[str]
    of_district: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    of_schools: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    entries: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def note(self, school: int, outcome: str, policy: str, version: int) -> None:
        """A word on the policy changes what leaves at a school: its ledger has it."""
        self.entries[school].append(
            {"type_": "policy", "ref": self.desk.parts.ids.new("pw"), "outcome": outcome,
             "actor": {"kind": "staff", "ref": self.desk.by.ref}, "policy": f"{policy}@{version}"}
        )  # fmt: skip


def _book(desk: Desk) -> _Book:
    versions = {
        (r.policy, r.version): {n: getattr(r, n) for n in _ABOUT} for r in on_file.policy_versions(desk.session)
    }
    said = {(row.policy, row.version, row.school, row.word) for row in on_file.policy_words(desk.session)}
    return _Book(desk, versions, said, [row.policy for row in on_file.source_policies(desk.session)])


# --- one line --------------------------------------------------------------------------------------


def _version(book: _Book, said: dict[str, Any]) -> bool:
    """Add a version of a policy; False when it is on file already. Raises Refused."""
    book.desk.by.acts_for_district()
    opens = said["opens"]
    _known(said["policy"])
    if set(opens) - {str(p) for p in Purpose}:
        raise Refused(errors.REQ_INVALID, f"purposes are {', '.join(str(p) for p in Purpose)}")
    if set(opens) & {*map(str, COMMERCIAL), str(Purpose.PROFILING)}:
        raise Refused(errors.PUR_COMMERCIAL)
    if opens and said["change"] != "less_restrictive":
        raise Refused(errors.REQ_CONTRADICTORY, "what opens a purpose is less restrictive")
    key = said["policy"], said["version"]
    about = {"change": said["change"], "effective_at": said["effective"], "opens": sorted(opens),
             "document": said["document"]}  # fmt: skip
    if key in book.versions:
        if book.versions[key] != about:
            raise Refused(errors.REQ_TWICE, f"version {key[1]} of {key[0]} is on file already, and says something else")
        return False
    book.versions[key] = about
    book.of_district.append(("policy_version", {"policy": key[0], "version": key[1]} | about))
    for school in book.desk.schools(()):
        book.note(school.school, "recorded", *key)
    return True


def _word(book: _Book, said: dict[str, Any]) -> bool:
    """Add that schools were told of a version, or agreed to it; False where all had. Raises Refused."""
    policy, version, word = said["policy"], said["version"], said["word"]
    if (policy, version) not in book.versions:
        raise Refused(errors.REQ_UNKNOWN, f"version {version} of {policy} is not on file")
    at = said.get("at", book.desk.now)
    if at > book.desk.now:
        raise Refused(errors.REQ_CONTRADICTORY, "it lies in the future")
    if word == "accepted" and not PROFILES[policy].directors & SCHOOL_ROLES:
        book.desk.by.acts_for_district()  # where no school may direct, none agrees for itself
    new = False
    for school in book.desk.schools(said["schools"]):
        book.desk.by.acts_for(school.school)
        if (policy, version, school.school, word) in book.said:
            continue
        book.said.add((policy, version, school.school, word))
        columns = {"policy": policy, "version": version, "word": word, "at": at,
                   "body": {"channel": said.get("channel")}}  # fmt: skip
        book.of_schools.append((school.school, columns))
        book.note(school.school, word, policy, version)
        new = True
    return new


def _govern(book: _Book, said: dict[str, Any]) -> bool:
    """Let a policy govern the district from now on; False when it does. Raises Refused."""
    book.desk.by.acts_for_district()
    policy = said["policy"]
    _known(policy)
    if book.governing[-1:] == [policy]:
        return False
    book.governing.append(policy)
    number = len(book.governing)
    book.of_district.append(("source_policy", {"version": number, "policy": policy}))
    for school in book.desk.schools(()):
        book.note(school.school, "governs", policy, number)
    return True


def _known(policy: str) -> None:
    if policy not in PROFILES:
        raise Refused(errors.REQ_INVALID, f"source policies are {', '.join(sorted(PROFILES))}")


KINDS: dict[str, tuple[type[Schema], Callable[[_Book, dict[str, Any]], bool]]] = {
    "source_policy": (words.SourcePolicy, _govern),
    "policy_version": (words.PolicyVersion, _version),
    "policy_word": (words.PolicyWord, _word),
}


# --- a file, or one line -----------------------------------------------------------------------------


def plan(parts: Office, by: Person, kind: str, lines: Sequence[Mapping[str, Any]]) -> Plan:
    """Say what these lines would change, and change nothing."""
    with opened(parts, by, imports=True) as desk:
        return _planned(_book(desk), kind, lines)


def apply(parts: Office, by: Person, kind: str, lines: Sequence[Mapping[str, Any]]) -> Plan:
    """Put these lines on file: all of them, or none when a line is at fault. Return what was done."""
    with opened(parts, by, imports=True, writes=True) as desk:
        book = _book(desk)
        found = _planned(book, kind, lines)
        if not found.faults:
            _write(book)
    return found


def record(parts: Office, by: Person, kind: str, said: Mapping[str, Any]) -> int:
    """Put one line on file. Return at how many schools something changed. Raises Refused."""
    schema, judge = KINDS[kind]
    with opened(parts, by, writes=True) as desk:
        book = _book(desk)
        judge(book, loaded(schema, said))
        _write(book)
    return len(book.entries)


def strictest(parts: Office, by: Person) -> int:
    """End what governs: the strictest policy does from now on. Return at how many schools. Raises Refused."""
    changed = record(parts, by, "source_policy", {"policy": STRICTEST})
    if not changed:
        raise Refused(errors.REQ_CONFLICT, "the strictest policy governs already, and some policy always does")
    return changed


def _planned(book: _Book, kind: str, lines: Sequence[Mapping[str, Any]]) -> Plan:
    schema, judge = KINDS[kind]
    good, faults = list[Line](), list[Fault]()
    for row, said in enumerate(lines, 1):
        try:
            new = judge(book, loaded(schema, said))
        except Refused as refused:
            faults.append(Fault(row, refused.reason, refused.detail))
        else:
            good.append(Line(row, str(said.get("number") or ""), "new" if new else "unchanged", "", ()))
    return Plan(tuple(good), tuple(faults))


def _write(book: _Book) -> None:
    """What is the district's first, then each school's own; the logs last, in the order in which they are locked."""
    desk, session = book.desk, book.desk.session
    schools, by = session.schools, desk.by.ref
    session.enter(roles.ONBOARDING, session.district, ())
    for table, columns in book.of_district:
        on_file.add_of_district(session, table, desk.now, by, **columns)
    session.enter(roles.SCHOOL, session.district, schools)
    for school, columns in book.of_schools:
        on_file.add_policy_word(session.at(school), desk.now, by, **columns)
    for school, own in sorted(book.entries.items()):
        disclosure.events(desk.parts, session.at(school), own)


def listing(parts: Office, by: Person, kind: str) -> list[dict[str, Any]]:
    """Return what is on file of a kind, oldest first; of words those of the schools the person may look at."""
    with opened(parts, by) as desk:
        if kind == "source_policy":
            rows = on_file.source_policies(desk.session)
        elif kind == "policy_version":
            rows = on_file.policy_versions(desk.session)
        else:
            rows = [row for row in on_file.policy_words(desk.session) if by.may_read(row.school)]
    hidden = {"district", "school", "body"}
    return [
        {name: value for name, value in row._asdict().items() if name not in hidden} | getattr(row, "body", {})
        for row in rows
    ]
