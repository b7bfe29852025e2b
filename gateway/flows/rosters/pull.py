"""Fetches a source's delivery into a private file and hands it to the sync; a fetch that fails is a refused run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from connectors.contract import PullsRoster
from connectors.egress import dial
from connectors.errors import ConnectorError
from connectors.oneroster_bulk import BulkSource
from connectors.sftp import SftpSource
from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows import notifications
from gateway.flows.parts import Office, Parts
from gateway.flows.rosters import services, timetable
from gateway.flows.rosters.kinds import FETCHED, REST, SFTP
from gateway.flows.rosters.progress import Listener
from gateway.flows.rosters.report import Report
from gateway.flows.rosters.sync import refuse, sync
from gateway.identity.staff import Person
from gateway.store import sources
from mappings.oneroster.incoming import COLLECTIONS


@dataclass(frozen=True, slots=True)
class Asked:
    """How a source is pulled: whole or only what changed, and whether in the hours that are kept free."""

    changes: bool = False
    in_peak: bool = False


@dataclass(slots=True)
class Fetched:
    """A delivery that was fetched, and what was met on the way."""

    path: Path
    told: dict[str, Any] | None = None
    latest: datetime | None = None


WHOLE = Asked()


@contextmanager
def fetched(parts: Parts, district: int, source: Any, asked: Asked = WHOLE) -> Iterator[Fetched]:
    """Yield a fresh delivery; its file is gone afterwards. Nothing is asked of a source that is paused. Raises
    Refused."""
    if not source.url or source.kind not in FETCHED:
        raise Refused(errors.REQ_INVALID, "this source has no address; name the delivery's file or folder")
    with parts.database.open_intake(district) as session:
        timetable.require_open(session, source, parts.clock.now(), in_peak=asked.in_peak)
    with tempfile.TemporaryDirectory(prefix="schoolgate-") as folder:
        path = Path(folder) / "delivery.zip"
        try:
            read = _read if source.kind == REST else _zip
            yield read(parts, district, source, asked, path)
        except ConnectorError as error:
            raise Refused(VOCABULARY[error.code], str(error)) from error


def _zip(parts: Parts, district: int, source: Any, asked: Asked, path: Path) -> Fetched:
    if asked.changes:
        raise Refused(errors.REQ_INVALID, "this source gives whole deliveries only")
    _line(parts, district, source).pull_roster(path)
    return Fetched(path)


def _line(parts: Parts, district: int, source: Any) -> PullsRoster:
    """Return the line to where a source keeps its zip."""
    secret = parts.vault.open(bytes(source.secret), f"source:{source.source}").decode() if source.secret else ""
    limit = parts.settings.max_delivery_mb << 20
    if source.kind == SFTP:
        return sftp(parts, source.url, secret, source.host_key or "", limit)
    return BulkSource(
        str(district), source.source, source.url, source.token_url, source.client_id or "", secret, limit, parts.broker,
        parts.open_line,
    )  # fmt: skip


def sftp(parts: Office, url: str, secret: str, host_key: str, limit: int) -> SftpSource:
    """Return the line to an SFTP server; in a sandbox to this machine only, else to public addresses only."""
    loopback = parts.settings.sandbox
    return SftpSource(url, secret, host_key, limit, lambda host, port: dial(host, port, loopback=loopback))


def _read(parts: Parts, district: int, source: Any, asked: Asked, path: Path) -> Fetched:
    """Read a service page by page, but for what no agreement names. What it offers is found out first."""
    paths = services.wanted(parts, district, source)
    if not services.is_probed(source, paths):
        services.probe_and_note(parts, district, source)
        source = reloaded(parts, district, source.source)
    line = services.open_service(parts, district, source, changes=asked.changes)
    line.pull_roster(path)
    told = {"mode": "changes" if asked.changes else "everything", "requests": line.asked,
            "since": line.service.since and line.service.since.isoformat(),
            "collections": [one.as_dict() for one in line.told],
            "unasked": [path for path in COLLECTIONS if path not in paths]}  # fmt: skip
    return Fetched(path, told, line.latest)


def reloaded(parts: Parts, district: int, source: str) -> Any:
    """Return a source as it is now."""
    with parts.database.open_district(district) as session:
        return sources.find(session, source)


# --- brought in: by a person, or by the timetable ----------------------------------------------------------


def pull(
    parts: Parts, by: Person, source: Any, asked: Asked = WHOLE, *, publish: bool, listeners: Iterable[Listener] = ()
) -> Report:
    """Fetch a source's delivery and bring it in, or say what it would do. One that cannot be had is a refused run."""
    by.acts_for_district()
    return bring(parts, by.district, source, by.ref, asked, publish=publish, listeners=listeners)


def bring(
    parts: Parts, district: int, source: Any, by: str, asked: Asked = WHOLE, *, publish: bool = True,
    listeners: Iterable[Listener] = (),
) -> Report:  # fmt: skip
    """The same as whoever `by` names: a person whose right was seen to, or the timetable."""
    try:
        with fetched(parts, district, source, asked) as found:
            report = sync(
                parts, district, source.source, found.path, by, publish=publish, pulled=found.told, listeners=listeners
            )
            if report.state in ("published", "unchanged") and source.kind == REST:
                note_read(parts, district, source, asked, found.latest)
            return report
    except Refused as refused:
        return refuse(parts, district, source.source, refused, source.url or source.name, by)


def note_read(parts: Parts, district: int, source: Any, asked: Asked, latest: datetime | None) -> None:
    """Keep how far the source was read, never ahead of our clock: what changes there until then would be missed."""
    now = parts.clock.now()
    with parts.database.open_district(district) as session:
        sources.note_pull(session, source.source, min(latest, now) if latest else None, None if asked.changes else now)


def reconcile(parts: Parts, by: Person, source: Any, *, in_peak: bool = False) -> tuple[Report | None, Report]:
    """Bring in what changed, then everything: what everything still changes is how far the changes had drifted."""
    by.acts_for_district()
    return bring_whole(parts, by.district, source, by.ref, in_peak=in_peak)


def bring_whole(
    parts: Parts, district: int, source: Any, by: str, *, in_peak: bool = False
) -> tuple[Report | None, Report]:
    """The same as whoever `by` names. A district is told of what drifted."""
    changes = None
    if source.cursor is not None and (source.capabilities or {}).get("filter", True):
        changes = bring(parts, district, source, by, Asked(changes=True, in_peak=in_peak))
    everything = bring(parts, district, reloaded(parts, district, source.source), by, Asked(in_peak=in_peak))
    drift = drift_of(changes, everything)
    if drift is not None:
        note_drift(parts, district, everything, drift)
    return changes, everything


def drift_of(changes: Report | None, everything: Report) -> int | None:
    """Return how much everything changed after the changes had been brought in; None where one of them was not."""
    if changes is None or changes.state not in ("published", "unchanged") or everything.state == "refused":
        return None
    return _changed(everything)


def note_drift(parts: Parts, district: int, everything: Report, drift: int) -> None:
    """Keep how far a source had drifted; where it had, the district is told."""
    with parts.database.open_district(district) as session:
        sources.note_drift(session, everything.source, drift)
    if drift:
        with parts.database.open_intake(district) as session:
            notifications.tell(parts, session, "drifting", everything.source, run=everything.run, said={"rows": drift})


def _changed(report: Report) -> int:
    kinds = (counts for school in report.schools for counts in school["kinds"].values())
    return sum(counts["added"] + counts["changed"] + counts["removed"] for counts in kinds)
