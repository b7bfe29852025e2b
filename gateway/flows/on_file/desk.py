"""What somebody who puts papers on file has before them: the schools they act for, vendors, what is on file already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.store import on_file, roster
from gateway.store.tenant import Session


@dataclass(frozen=True, slots=True)
class Paper:
    """What a line says of one school: the columns of its next version. `body` holds what only people read."""

    kind: str
    school: int
    columns: dict[str, Any]

    @property
    def number(self) -> str:
        return str(self.columns["body"].get("number") or "")


@dataclass(slots=True)
class Desk:
    """One session over the schools of a district, and the person who sits there. `imports` says that a file is being
    read, in which nothing is over already and nothing overlaps what is on file."""

    parts: Office
    by: Person
    session: Session
    now: datetime
    imports: bool = False
    _latest: dict[str, Sequence[Any]] = field(default_factory=dict)
    _schools: Sequence[Any] = ()
    _vendors: Sequence[Any] = ()
    _numbers: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    _pupils: dict[int, dict[str, set[str]]] = field(default_factory=dict)

    def latest(self, kind: str) -> Sequence[Any]:
        """The latest version of each paper of a kind at each school."""
        if kind not in self._latest:
            self._latest[kind] = on_file.latest(self.session, kind)
        return self._latest[kind]

    def mine(self, kind: str) -> list[Any]:
        """The latest version of each paper at the schools the person acts for; of others nothing is said."""
        return [row for row in self.latest(kind) if self.by.may_act(row.school)]

    def numbers(self, kind: str) -> dict[str, list[Any]]:
        """The papers of `mine` by their number."""
        if kind not in self._numbers:
            found = self._numbers[kind] = {}
            for row in self.mine(kind):
                if row.body.get("number"):
                    found.setdefault(row.body["number"], []).append(row)
        return self._numbers[kind]

    def numbered(self, kind: str, text: str) -> list[Any]:
        """Return the papers of `mine` with this reference, or this number. Raises Refused for none."""
        found = self.numbers(kind).get(text) or [row for row in self.mine(kind) if getattr(row, kind) == text]
        if not found:
            raise Refused(errors.REQ_UNKNOWN, f"there is no {kind} {text} on file here")
        return found

    def schools(self, names: Sequence[str]) -> list[Any]:
        """Return the schools of these references, names or orgs; all of the district for none. Raises Refused."""
        self._schools = self._schools or on_file.schools(self.session)
        return [self._school(name) for name in names] if names else list(self._schools)

    def _school(self, text: str) -> Any:
        found = [s for s in self._schools if text in (s.ref, s.org_id)] or [s for s in self._schools if s.name == text]
        if len(found) != 1:
            reason = errors.REQ_AMBIGUOUS if found else errors.REQ_UNKNOWN
            raise Refused(reason, f"there {'are several schools' if found else 'is no school'} {text} in this district")
        return found[0]

    def vendor(self, text: str) -> Any:
        """Return the vendor of this reference or name. Raises Refused."""
        self._vendors = self._vendors or on_file.vendors(self.session)
        found = next((v for v in self._vendors if text in (v.vendor, v.name)), None)
        if found is None:
            raise Refused(errors.REQ_UNKNOWN, f"there is no vendor {text} in this district")
        return found

    def pupil(self, school: int, text: str) -> str:
        """Return the id of the school's pupil with this id, number or full name. Raises Refused."""
        if school not in self._pupils:
            self._pupils[school] = roster.pupils_by_name(self.session.at(school))
        found = self._pupils[school].get(text, set())
        if len(found) != 1:
            reason = errors.REQ_AMBIGUOUS if found else errors.REQ_UNKNOWN
            raise Refused(reason, "there is no pupil, or several, of that id, number or name at this school")
        return next(iter(found))

    def begun(self, kind: str, values: dict[str, Any], column: str) -> datetime:
        """Since when the paper of this number stands, else now: a line that does not say it changes nothing of it."""
        known = self.numbers(kind).get(values.get("number", ""), [])
        begun: datetime = getattr(known[0], column) if known else self.now
        return begun

    def period(self, values: dict[str, Any], begins: datetime) -> tuple[datetime, Any]:
        """Return when a paper begins, and ends (None: it does not). Raises Refused for an end before its beginning."""
        ends: datetime | None = values.get("expires")
        begins = values.get("begins", begins)
        if ends is not None and ends <= begins:
            raise Refused(errors.REQ_CONTRADICTORY, "it ends before it begins (today, unless its first day is named)")
        return begins, ends
