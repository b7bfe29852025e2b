"""Fetches a source's delivery into a private file, and hands it to the sync."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connectors.errors import ConnectorError
from connectors.oneroster_bulk import BulkSource
from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows.parts import Parts


@contextmanager
def fetched(parts: Parts, district: int, source: Any) -> Iterator[Path]:
    """Yield the path of a fresh delivery; it is gone afterwards. Raises Refused."""
    if not source.url:
        raise Refused(errors.REQ_INVALID, "this source has no address; name the delivery's file or folder")
    secret = parts.vault.open(bytes(source.secret), f"source:{source.source}").decode() if source.secret else ""
    bulk = BulkSource(
        str(district), source.source, source.url, source.token_url, source.client_id or "", secret,
        parts.settings.max_delivery_mb << 20, parts.broker, parts.open_line,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="schoolgate-") as folder:
        path = Path(folder) / "delivery.zip"
        try:
            bulk.pull_roster(path)
        except ConnectorError as error:
            raise Refused(VOCABULARY[error.code], str(error)) from error
        yield path
