"""Tries the connection to a OneRoster service, step by step: eight named checks, what each saw, and who must mend it.

    address ── tls ── credentials ── collections ── people ── paging ── changes ── clock

Nothing is written there. Of what is read a count is said, what the service offers is kept, and no name is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from connectors.errors import CredentialsRefused
from connectors.oneroster_rest import Look, RestSource
from gateway import errors
from gateway.errors import Owner, Refused
from gateway.flows import checks
from gateway.flows.checks import Check, Skipped, Unlike, many
from gateway.flows.parts import Parts
from gateway.flows.rosters import services
from gateway.flows.rosters.kinds import REST
from gateway.identity.staff import Person
from gateway.store import sources
from mappings.oneroster.incoming import COLLECTIONS, Notes, rows

_AHEAD_SECONDS = 300  # clocks differ


@dataclass(slots=True)
class _Trial(checks.Trial):
    """One test under way: the source, the line to its service, and what was found so far."""

    parts: Parts
    by: Person
    source: Any
    service: RestSource
    looks: dict[str, Look] = field(default_factory=dict)
    sort: bool = False
    filter: bool = False

    @property
    def urls(self) -> dict[str, str]:
        addresses = [self.source.url, *([self.source.token_url] if self.source.token_url else [])]
        return {urlsplit(url).netloc.lower(): url for url in addresses}

    @property
    def people(self) -> Look:
        return self.looks["users"]


def run(parts: Parts, by: Person, name: str) -> list[Check]:
    """Run the checks in their order, and keep what is offered. Raises Refused: no such source, or none to test."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        source = sources.find(session, name)
    if source is None:
        raise Refused(errors.REQ_UNKNOWN, f"there is no source {name} in this district")
    if source.kind != REST:
        raise Refused(errors.REQ_INVALID, "only a source of --kind rest is tested; plan a delivery of the others")
    trial = _Trial(parts, by, source, services.open_service(parts, by.district, source))
    found = checks.run_all(trial, _CHECKS)
    if trial.looks and not {"collections", "paging"} & trial.failed:
        statuses = {path: look.status for path, look in trial.looks.items()}
        offer = services.Offer(statuses, trial.people, trial.sort, trial.filter)
        services.note(parts, by.district, source, offer.as_dict())
    return found


# --- the eight -------------------------------------------------------------------------------------------


def _address(trial: _Trial) -> str:
    with trial.parts.open_line(frozenset(trial.urls)) as line:
        return checks.leads_somewhere(line, trial.urls.values(), trial.urls)


def _tls(trial: _Trial) -> str:
    trial.needs("address")
    with trial.parts.open_line(frozenset(trial.urls)) as line:
        return checks.certified(line, trial.urls)


def _credentials(trial: _Trial) -> str:
    """Whoever we are, one collection is shown to us."""
    trial.needs("address", "tls")
    try:
        look = trial.service.look("orgs", limit="1")
    except CredentialsRefused as refused:
        said = f" ({refused.said})" if refused.said else ""
        raise Unlike(f"{refused}{said}; tried as {trial.source.method}") from refused
    if look.status == 403:
        raise Unlike("we are known there, and may read no organisations: a scope or a permission is missing")
    return f"accepted as {trial.source.method}"


def _collections(trial: _Trial) -> str:
    """What a roster needs is offered; what else is not is said, and not asked for again. What no agreement names is not
    looked at."""
    trial.needs("address", "tls", "credentials")
    trial.looks = {
        path: trial.service.look(path, limit="1")
        for path in services.wanted(trial.parts, trial.by.district, trial.source)
    }
    missing = {path: look.status for path, look in trial.looks.items() if look.status != 200}
    said = ", ".join(f"{path} ({status})" for path, status in missing.items())
    if any(not COLLECTIONS[path].optional for path in missing):
        raise Unlike(f"not offered: {said}; license or allow them there")
    return (
        f"all that a roster needs; not {said}" if missing else f"all {len(trial.looks)} that are asked for are offered"
    )


def _people(trial: _Trial) -> str:
    """The first person can be read, in words of the version that was said."""
    trial.needs("address", "tls", "credentials", "collections")
    if not trial.people.objects:
        raise Unlike("there is nobody: is the active school year set there?")
    shape, said = services.shape_of(trial.people), trial.source.version
    if not shape:
        raise Unlike("the first person has neither roles (1.2) nor a role (1.1), so nobody belongs to a school")
    other = "" if shape == said else f", though the service was said to be of {said}; both are understood"
    count = f"; it says there are {trial.people.total}" if trial.people.total is not None else ""
    return f"the first person is of {shape}{other}{count}"


def _paging(trial: _Trial) -> str:
    """How it will be known that nothing is missing."""
    trial.needs("address", "tls", "credentials", "collections")
    came = len(trial.people.objects or ())
    if came > 1:
        raise Unlike(f"one person was asked for and {came} came: it does not make pages")
    trial.sort = trial.service.look("users", **services.ORDERED).status == 200
    total = "it says how many there are" if trial.people.total is not None else "it does not say how many there are"
    links = "links its pages" if trial.people.linked else "does not link its pages"
    order = "in the order of ids" if trial.sort else "in no order that can be asked for"
    return f"{total}, {links}, and gives them {order}"


def _changes(trial: _Trial) -> str:
    """Whether what changed can be asked for."""
    trial.needs("address", "tls", "credentials", "collections")
    look = trial.service.look("users", **services.SINCE_EVER)
    trial.filter = services.filters(trial.people, look)
    return (
        "it says what changed since a day" if trial.filter else "it does not say what changed: every pull is a full one"
    )


def _clock(trial: _Trial) -> str:
    """Stamps say their zone, and none is of tomorrow."""
    trial.needs("address", "tls", "credentials", "collections")
    notes = Notes()
    for path, look in trial.looks.items():
        for found in look.objects or ():
            list(rows(COLLECTIONS[path], found, notes, changes=True))
    if notes.latest is None:
        raise Skipped("nothing that came says when it was modified")
    ahead = (notes.latest - trial.parts.clock.now()).total_seconds()
    if ahead > _AHEAD_SECONDS:
        raise Unlike(f"something was modified {many(int(ahead // 60), 'minute')} from now: its clock or zone is wrong")
    return _zones(notes, notes.latest)


def _zones(notes: Notes, latest: datetime) -> str:
    zones = "stamps say no zone and are taken for UTC" if "local-time" in notes.repairs else "stamps say their zone"
    return f"{zones}; the latest that was seen is of {latest:%Y-%m-%d}"


_CHECKS: dict[str, tuple[Callable[[_Trial], str], Owner]] = {
    "address": (_address, Owner.SCHOOL),
    "tls": (_tls, Owner.REGISTRAR),
    "credentials": (_credentials, Owner.SCHOOL),
    "collections": (_collections, Owner.REGISTRAR),
    "people": (_people, Owner.REGISTRAR),
    "paging": (_paging, Owner.REGISTRAR),
    "changes": (_changes, Owner.REGISTRAR),
    "clock": (_clock, Owner.REGISTRAR),
}
