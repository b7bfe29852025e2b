"""The pages of a pull that was stopped, sealed on this machine, so that the next one goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from gateway.clock import Clock
from gateway.errors import Refused
from gateway.store.secrets import Vault

# Half a roster of this morning and half of tonight are no roster.
KEPT = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class KeptPages:
    """The pages of one source, a file each under `folder`. What cannot be read or is too old is not there."""

    folder: Path
    source: str
    vault: Vault
    clock: Clock

    def get(self, collection: str, url: str) -> bytes | None:
        """Return a page that was kept, or None."""
        try:
            opened = self.vault.open(self._path(collection, url).read_bytes(), self._belongs(url))
        except (OSError, Refused):
            return None
        moment, _, page = opened.partition(b"\n")
        return page if self._fresh(datetime.fromisoformat(moment.decode())) else None

    def keep(self, collection: str, url: str, page: bytes) -> None:
        """Keep a page; where the disk is full the pull goes on without."""
        sealed = self.vault.seal(self.clock.now().isoformat().encode() + b"\n" + page, self._belongs(url))
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._path(collection, url)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(sealed)
            os.utime(path, (self.clock.now().timestamp(),) * 2)

    def forget(self, collection: str = "") -> None:
        """Remove the pages of a collection, or all."""
        for path in self._files(f"{collection}-*" if collection else "*"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def forget_old(self) -> None:
        """Remove what is too old to be read again."""
        for path in self._files("*"):
            with contextlib.suppress(OSError):
                written = datetime.fromtimestamp(path.stat().st_mtime, self.clock.now().tzinfo)
                if not self._fresh(written):
                    path.unlink()

    def _files(self, pattern: str) -> Iterator[Path]:
        return self.folder.glob(pattern)

    def _fresh(self, moment: datetime) -> bool:
        return abs(self.clock.now() - moment) < KEPT

    def _path(self, collection: str, url: str) -> Path:
        return self.folder / f"{collection}-{hashlib.sha256(url.encode()).hexdigest()}"

    def _belongs(self, url: str) -> str:
        return f"page:{self.source}:{url}"
