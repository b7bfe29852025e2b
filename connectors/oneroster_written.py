"""A delivery under way: the rows of a pull as files of the CSV binding, then as one zip with its manifest."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from connectors.egress import MIB
from connectors.errors import AnswerTooLarge
from mappings.oneroster.csv import NAMES
from mappings.oneroster.incoming import HEADERS, ROLES, VERSION

_STAMP = (1980, 1, 1, 0, 0, 0)  # the same roster is the same file, so that a released hold is found again


class Written:
    """The files of a delivery under way, in a private folder that is gone afterwards."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit, self._stack = folder, limit, ExitStack()
        self._rows: dict[str, int] = {}
        self._open: dict[str, TextIO] = {}
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> Written:
        self._folder.mkdir(mode=0o700)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()

    def begin(self, collection: str) -> None:
        """Begin the files of a collection, anew where they were begun."""
        for name in (f"{collection}.csv", *([ROLES] if collection == "users" else [])):
            if name in self._open:
                self._open[name].close()
            file = self._stack.enter_context((self._folder / name).open("w", encoding="utf-8", newline=""))
            self._open[name], self._rows[name] = file, 0
            self._writers[name] = csv.writer(file, lineterminator="\r\n")
            self._writers[name].writerow(HEADERS[name])

    def add(self, name: str, cells: Sequence[str]) -> None:
        self._writers[name].writerow(cells)
        self._rows[name] += 1

    def weigh(self) -> None:
        """Raises AnswerTooLarge where the files are larger than a delivery may be: pages may come without end."""
        if sum(path.stat().st_size for path in self._folder.iterdir()) > self._limit:
            raise AnswerTooLarge(f"the roster is over {self._limit >> 20} MiB")

    def zip(self, into: Path, mode: str) -> int:
        """Write the delivery, and return its size. A file without rows is left out of a delta delivery: the binding
        allows none."""
        for open_ in self._open.values():
            open_.close()
        self.weigh()
        names = sorted(name for name, rows in self._rows.items() if rows or mode == "bulk")
        # The last of an optional collection may be gone too: no rows is what the binding cannot say.
        names = [name for name in names if self._rows[name] or name != "demographics.csv"]
        with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as bundle:
            for name in names:
                with (self._folder / name).open("rb") as file, bundle.open(zipfile.ZipInfo(name, _STAMP), "w") as out:
                    while chunk := file.read(MIB):
                        out.write(chunk)
            bundle.writestr(zipfile.ZipInfo("manifest.csv", _STAMP), _manifest(names, mode))
        return into.stat().st_size


def _manifest(present: list[str], mode: str) -> str:
    lines = ["propertyName,value", "manifest.version,1.0", f"oneroster.version,{VERSION}"]
    for name in sorted(NAMES[VERSION]):
        lines.append(f"file.{name.removesuffix('.csv')},{mode if name in present else 'absent'}")
    return "\r\n".join([*lines, "source.systemName,OneRoster REST", "source.systemCode,", ""])
