"""Fetches a source's delivery into a private file, and hands it to the sync."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connectors.contract import PullsRoster
from connectors.egress import dial
from connectors.errors import ConnectorError
from connectors.oneroster_bulk import BulkSource
from connectors.sftp import SftpSource
from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows.parts import Office, Parts
from gateway.flows.rosters.kinds import FETCHED
from gateway.flows.rosters.sync import timetable_says


@contextmanager
def fetched(parts: Parts, district: int, source: Any) -> Iterator[Path]:
    """Yield the path of a fresh delivery; it is gone afterwards. Nothing is fetched of a source that is paused. Raises
    Refused."""
    if not source.url or source.kind not in FETCHED:
        raise Refused(errors.REQ_INVALID, "this source has no address; name the delivery's file or folder")
    with parts.database.open_intake(district) as session:
        timetable_says(session, source.source, parts.clock.now())
    with tempfile.TemporaryDirectory(prefix="schoolgate-") as folder:
        path = Path(folder) / "delivery.zip"
        try:
            _line(parts, district, source).pull_roster(path)
        except ConnectorError as error:
            raise Refused(VOCABULARY[error.code], str(error)) from error
        yield path


def _line(parts: Parts, district: int, source: Any) -> PullsRoster:
    """Return the line to where a source keeps its delivery."""
    secret = parts.vault.open(bytes(source.secret), f"source:{source.source}").decode() if source.secret else ""
    limit = parts.settings.max_delivery_mb << 20
    if source.kind == "sftp":
        return sftp(parts, source.url, secret, source.host_key or "", limit)
    return BulkSource(
        str(district), source.source, source.url, source.token_url, source.client_id or "", secret, limit, parts.broker,
        parts.open_line,
    )  # fmt: skip


def sftp(parts: Office, url: str, secret: str, host_key: str, limit: int) -> SftpSource:
    """Return the line to an SFTP server; in a sandbox to this machine only, else to public addresses only."""
    loopback = parts.settings.sandbox
    return SftpSource(url, secret, host_key, limit, lambda host, port: dial(host, port, loopback=loopback))
