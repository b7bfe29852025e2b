"""Fetches a source's delivery into a private file and hands it to the sync; a fetch that fails is a refused run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from connectors.errors import ConnectorError
from connectors.oneroster_bulk import BulkSource
from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows.onboarding.sources import REST
from gateway.flows.parts import Parts
from gateway.flows.rosters import services
from gateway.flows.rosters.report import Report
from gateway.flows.rosters.sync import refuse, sync
from gateway.identity.staff import Person
from gateway.store import sources


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
    """Yield a fresh delivery; its file is gone afterwards. Raises Refused."""
    if not source.url:
        raise Refused(errors.REQ_INVALID, "this source has no address; name the delivery's file or folder")
    if not asked.in_peak and services.in_peak(source, parts.clock.now()):
        raise Refused(errors.SRC_PEAK, f"{', '.join(source.peak)} in {source.zone}")
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
    secret = parts.vault.open(bytes(source.secret), f"source:{source.source}").decode() if source.secret else ""
    bulk = BulkSource(
        str(district), source.source, source.url, source.token_url, source.client_id or "", secret,
        parts.settings.max_delivery_mb << 20, parts.broker, parts.open_line,
    )  # fmt: skip
    bulk.pull_roster(path)
    return Fetched(path)


def _read(parts: Parts, district: int, source: Any, asked: Asked, path: Path) -> Fetched:
    """Read a service page by page. What it offers is found first where nobody looked yet."""
    if source.capabilities is None:
        services.probe_and_note(parts, district, source)
        source = reloaded(parts, district, source.source)
    line = services.open_service(parts, district, source, changes=asked.changes)
    line.pull_roster(path)
    told = {"mode": "changes" if asked.changes else "everything", "requests": line.asked,
            "since": line.service.since and line.service.since.isoformat(),
            "collections": [one.as_dict() for one in line.told]}  # fmt: skip
    return Fetched(path, told, line.latest)


def reloaded(parts: Parts, district: int, source: str) -> Any:
    """Return a source as it is now."""
    with parts.database.open_district(district) as session:
        return sources.find(session, source)


def pull(parts: Parts, by: Person, source: Any, asked: Asked = WHOLE, *, publish: bool) -> Report:
    """Fetch a source's delivery and bring it in, or say what it would do. One that cannot be had is a refused run."""
    by.acts_for_district()
    try:
        with fetched(parts, by.district, source, asked) as found:
            report = sync(parts, by.district, source.source, found.path, by.ref, publish=publish, pulled=found.told)
            if report.state in ("published", "unchanged") and source.kind == REST:
                note_read(parts, by.district, source, asked, found.latest)
            return report
    except Refused as refused:
        return refuse(parts, by.district, source.source, refused, source.url or source.name, by.ref)


def note_read(parts: Parts, district: int, source: Any, asked: Asked, latest: datetime | None) -> None:
    """Keep how far the source was read, never ahead of our clock: what changes there until then would be missed."""
    now = parts.clock.now()
    with parts.database.open_district(district) as session:
        sources.note_pull(session, source.source, min(latest, now) if latest else None, None if asked.changes else now)


def reconcile(parts: Parts, by: Person, source: Any, *, in_peak: bool = False) -> tuple[Report | None, Report]:
    """Bring in what changed, then everything: what everything still changes is how far the changes had drifted."""
    changes = None
    if source.cursor is not None and (source.capabilities or {}).get("filter", True):
        changes = pull(parts, by, source, Asked(changes=True, in_peak=in_peak), publish=True)
    everything = pull(parts, by, reloaded(parts, by.district, source.source), Asked(in_peak=in_peak), publish=True)
    if changes and changes.state in ("published", "unchanged") and everything.state != "refused":
        with parts.database.open_district(by.district) as session:
            sources.note_drift(session, source.source, _changed(everything))
    return changes, everything


def _changed(report: Report) -> int:
    kinds = (counts for school in report.schools for counts in school["kinds"].values())
    return sum(counts["added"] + counts["changed"] + counts["removed"] for counts in kinds)
