"""The kinds of source there are, and what the timetable does of itself for each."""

from __future__ import annotations

from datetime import datetime

from gateway.flows.rosters import nights
from gateway.store import timetable
from gateway.store.tenant import Session

HANDED_IN, WATCHED, ZIP, SFTP, REST = "file", "folder", "https", "sftp", "rest"
KINDS = (HANDED_IN, ZIP, REST, WATCHED, SFTP)
FETCHED = frozenset({ZIP, SFTP, REST})  # asked for their delivery


def begin(session: Session, source: str, kind: str, now: datetime, by: str) -> None:
    """A new source gets its night: of what is fetched, the run; of a folder, when a delivery should have come. Of what
    is handed in nothing is expected until somebody says so."""
    if kind != HANDED_IN:
        watched = kind == WATCHED
        timetable.begin(session, source, nights.own_minute(source), now, by, expects=watched, looks=watched)
