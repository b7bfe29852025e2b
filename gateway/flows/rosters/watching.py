"""Folders that are watched: what lies there complete and has been still is taken once, and never what a link leads to.

A file that is being written looks like one that is whole. So a delivery is taken only after it has looked the same for
a while at two looks, is copied before it is read, and is left alone again where it changed under the copy.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway import errors
from gateway.errors import Refused
from gateway.flows.rosters.spool import copied, private
from gateway.settings import Settings

STILL = timedelta(seconds=60)
TAKEN = "taken"  # where a delivery is moved to once it was taken, if that may be
_MOST_ENTRIES = 1000  # of a folder; a drop folder is not an archive
_MANIFEST = "manifest.csv"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_ON_THE_WAY = _FOLDER | getattr(os, "O_PATH", 0)  # a folder that is only gone through need not be readable


def allowed(settings: Settings, path: str, district: str) -> Path:
    """Return a folder that may be watched: within the district's own (called as its reference) in a root of the
    settings, reached without a link. Another district's deliveries would be its pupils. Return it without links that
    lead to the root. Raises Refused."""
    roots = [Path(root) for root in settings.watch_roots.split(os.pathsep) if root]
    if not roots:
        raise Refused(errors.SRC_FOLDER, "no folder may be watched: the setting watch_roots is empty")
    folder = Path(path)
    within = [root for root in roots if root.is_absolute() and folder.is_relative_to(root / district)]
    if not within or ".." in folder.parts:
        raise Refused(errors.SRC_FOLDER, f"{path} is not within the folder {district} of a root of watch_roots")
    there = within[0].resolve() / folder.relative_to(within[0])
    if folder.resolve() != there or not folder.is_dir():
        raise Refused(errors.SRC_FOLDER, f"{path} is not a folder, or a link leads to it")
    return there


class NotWhole(Exception):  # noqa: N818 - a wish, not an error
    """A delivery is not whole, or not what it looked like before: it is looked at again."""


@dataclass(frozen=True, slots=True)
class Found:
    """A delivery that lies in a folder: a zip, the folder itself (""), or a folder within it."""

    name: str
    size: int
    modified: datetime


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """A folder held open, by its path without links: what is read through it is in it, whatever is put in its place, or
    on the way to it, meanwhile. Raises Refused."""
    try:
        descriptor = _reached(folder)
    except OSError as error:
        raise Refused(errors.SRC_FOLDER, f"{folder} is not a folder, or a link leads to it") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _reached(folder: Path) -> int:
    """Open a folder step by step: the system itself would follow a link anywhere but at the end."""
    at = os.open(folder.anchor, _ON_THE_WAY)
    for number, part in enumerate(folder.parts[1:], 2):
        try:
            inner = os.open(part, _FOLDER if number == len(folder.parts) else _ON_THE_WAY, dir_fd=at)
        finally:
            os.close(at)
        at = inner
    return at


def found_in(folder: Path) -> list[Found]:
    """Return what may be a delivery, links and hidden files aside: zips, and folders with a manifest."""
    with held(folder) as at:
        names = _names(at)[:_MOST_ENTRIES]
        if _MANIFEST in names and (whole := _folder(at, "")):
            return [whole]
        return [one for name in names if not name.startswith(".") and name != TAKEN and (one := _entry(at, name))]


def _entry(at: int, name: str) -> Found | None:
    state = os.stat(name, dir_fd=at, follow_symlinks=False)
    if stat.S_ISDIR(state.st_mode):
        with _within(at, name) as inner:
            return _folder(inner, name) if _MANIFEST in _names(inner) else None
    if stat.S_ISREG(state.st_mode) and name.lower().endswith(".zip"):
        return Found(name, state.st_size, _time(state))
    return None


def _folder(at: int, name: str) -> Found | None:
    """What the csv files of a folder look like together; nothing of one in which a csv file is not a plain file."""
    states = [os.stat(one, dir_fd=at, follow_symlinks=False) for one in _files(at)]
    if any(not stat.S_ISREG(state.st_mode) for state in states):
        return None
    return Found(name, sum(s.st_size for s in states), max(map(_time, states)))


def _files(at: int) -> list[str]:
    return [name for name in _names(at) if name.endswith(".csv") and not name.startswith(".")]


def _names(at: int) -> list[str]:
    return sorted(os.listdir(at))


@contextmanager
def _within(at: int, name: str) -> Iterator[int]:
    descriptor = os.open(name or ".", _FOLDER, dir_fd=at)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _time(state: os.stat_result) -> datetime:
    return datetime.fromtimestamp(state.st_mtime_ns // 1000 / 1e6, UTC)


def copy(folder: Path, found: Found, into: Path, limit: int) -> tuple[str, int]:
    """Copy a delivery; return its fingerprint and size. Raises NotWhole, or Refused where it is too large."""
    if found.size > limit:
        raise Refused(errors.SRC_TOO_LARGE, f"{found.name or folder.name} has {found.size >> 20} MiB")
    zipped = found.name.lower().endswith(".zip")
    with held(folder) as at:
        copied_ = _copy_file(at, found.name, into, limit) if zipped else _copy_folder(at, found.name, into, limit)
        with _lying():
            again = _entry(at, found.name) if zipped else _folder_again(at, found.name)
    if again != found or (zipped and not zipfile.is_zipfile(into)):
        raise NotWhole
    return copied_


@contextmanager
def _lying() -> Iterator[None]:
    """What is gone, or a link by now, is not a delivery."""
    try:
        yield
    except OSError as error:
        raise NotWhole from error


def _folder_again(at: int, name: str) -> Found | None:
    with _within(at, name) as inner:
        return _folder(inner, name)


def _copy_file(at: int, name: str, into: Path, limit: int) -> tuple[str, int]:
    # O_NONBLOCK: a pipe in a file's place is not waited for.
    with _lying():
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    with os.fdopen(descriptor, "rb") as file, private(into) as sink:
        size, fingerprint = copied(file, sink, limit)
    return fingerprint, size


def _copy_folder(at: int, name: str, into: Path, limit: int) -> tuple[str, int]:
    into.mkdir(mode=0o700)
    digest, size = hashlib.sha256(), 0
    with _within(at, name) as inner:
        for one in _files(inner):
            fingerprint, more = _copy_file(inner, one, into / one, limit)
            digest.update(one.encode() + b"\0" + fingerprint.encode())
            size += more
    return digest.hexdigest(), size


def put_away(folder: Path, found: Found, now: datetime) -> bool:
    """Move a delivery that was taken to `taken/`, where the folder lets us; else its fingerprint keeps it from being
    taken twice. Of a folder that is itself the delivery nothing is moved."""
    if not found.name:
        return False
    with suppress(OSError, Refused), held(folder) as at:
        with suppress(FileExistsError):
            os.mkdir(TAKEN, 0o700, dir_fd=at)
        with _within(at, TAKEN) as kept:
            os.rename(found.name, f"{now:%Y%m%dT%H%M%S}-{found.name}", src_dir_fd=at, dst_dir_fd=kept)
        return True
    return False
