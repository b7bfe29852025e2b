"""A OneRoster CSV delivery as a zip or a folder, opened without trusting it.

Nothing is unpacked to disk. Names, sizes and ratios are judged before reading and again while reading: a zip's
directory is only what somebody wrote into it. Raises `mappings.oneroster.csv.Unreadable` with a CSV code.
"""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain, takewhile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from connectors import ahead
from mappings.oneroster.csv import FILES, NAMES, REQUIRED, V1P0, Unreadable
from mappings.oneroster.heads import (
    Header,
    Manifest,
    bulk_of_1p0,
    mode_of,
    read_header,
    read_manifest,
    without_manifest,
)
from mappings.oneroster.lines import MAX_LINE, Block
from mappings.oneroster.repairs import CSV_1P0, NONE, Repairs

MAX_FILES = 32
MAX_RATIO = 100  # a roster of random ids packs about 4 to 1, a repetitive one 30 to 1
_SMALL = 1 << 20  # below a mebibyte a ratio says nothing
_CHUNK = 4 * MAX_LINE
_SAMPLE = 1000  # rows that a bulk file may not all mark as a delta's
_CANNOT_UNPACK = RuntimeError  # what zipfile raises for a version, an encryption or a packing that it does not know


@dataclass
class Delivery:
    """An open delivery: its manifest, and the lines of each file. `whole` says that it can show it is complete;
    `fingerprint` is the SHA-256 of the whole delivery, in hex."""

    path: Path
    limit: int
    repairs: Repairs = NONE
    whole: bool = True
    manifest: Manifest = field(init=False)
    fingerprint: str = field(init=False)
    sizes: dict[str, int] = field(default_factory=dict)
    _zip: zipfile.ZipFile | None = None
    _file: IO[bytes] | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Delivery:
        try:
            if self.path.is_dir():
                self._open_folder()
                self.fingerprint = self._hashed()
            else:
                self._file = self._stack.enter_context(self.path.open("rb"))
                self.fingerprint = self._hashed()
                self._open_zip(self._file)
            self._check_names()
            self.manifest = self._read_manifest()
            self._check_manifest()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def files(self) -> list[str]:
        """Return the files to read, in the order in which references can be checked."""
        return [name for name in FILES[self.manifest.version] if name in self.sizes]

    def header(self, name: str) -> Header:
        """Return how the columns of a file lie. Raises Unreadable."""
        if name not in self.sizes:
            raise Unreadable("CSV_FILE_MISSING", name)
        return read_header(FILES[self.manifest.version][name], next(self.lines(name), b""), self.repairs)

    def mode(self, name: str, header: Header) -> str:
        """Return whether a file is bulk or delta, by its rows where they contradict the manifest. Raises Unreadable."""
        blocks = self.blocks(name)
        first = next(blocks, Block(b""))
        lines = chain.from_iterable(header.spelled(block) for block in chain([first[1:]], blocks))
        mode = mode_of(header, self.manifest.modes[name], lines, _SAMPLE)
        return bulk_of_1p0(header, mode) if self.manifest.version == V1P0 else mode

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the physical lines of a file, ends included. Raises Unreadable while reading."""
        return chain.from_iterable(self.blocks(name))

    def blocks(self, name: str, *, hashed: bool = False) -> Iterator[Block]:
        """Yield the physical lines of a file, ends included, many at a time. With `hashed`, those of a large file come
        with their hashes. Raises Unreadable while reading."""
        with self._open(name) as raw, io.BufferedReader(cast("io.RawIOBase", raw), 1 << 20) as buffered:
            texts = _texts(buffered)
            beside = hashed and ahead.is_of_use(self.sizes[name])
            with closing(ahead.hashed(texts) if beside else (Block(text) for text in texts)) as blocks:
                yield from _bounded(blocks, name)

    @contextmanager
    def lying_still(self) -> Iterator[None]:
        """Raise Unreadable where the delivery is another one after the block: its fingerprint would not be that of what
        was read, and what was met in the block may come of that."""
        try:
            yield
        except (Unreadable, OSError) as met:
            self._require_same(met)
            raise
        self._require_same(None)

    def _require_same(self, met: Exception | None) -> None:
        try:
            same = self._hashed() == self.fingerprint
        except OSError:
            same = False
        if not same:
            raise Unreadable("CSV_CHANGED", self.path.name) from met

    def _hashed(self) -> str:
        digest = hashlib.sha256()
        if self._file is not None:
            self._file.seek(0)
            _add(digest, self._file)
            return digest.hexdigest()
        for name in sorted(self.sizes):
            digest.update(name.encode() + b"\0")
            with (self.path / name).open("rb") as file:
                _add(digest, file)
        return digest.hexdigest()

    # --- opening ---------------------------------------------------------------------------------

    def _open_folder(self) -> None:
        self.whole = False
        for entry in self.path.iterdir():
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() or not entry.is_file():
                raise Unreadable("CSV_PATH_UNSAFE", entry.name[:60], "not a plain file")
            self._note(entry.name, entry.stat().st_size)

    def _open_zip(self, file: IO[bytes]) -> None:
        try:
            self._zip = self._stack.enter_context(zipfile.ZipFile(file))
        except (zipfile.BadZipFile, OSError, ValueError, _CANNOT_UNPACK) as error:
            raise Unreadable("CSV_NOT_A_ZIP", self.path.name) from error
        entries = self._zip.infolist()
        if len(entries) > MAX_FILES:
            raise Unreadable("CSV_ZIP_BOMB", self.path.name, f"{len(entries)} entries")
        for entry in entries:
            self._check_entry(entry)
            self._note(entry.orig_filename, entry.file_size)
        _check_overlap(entries, self.path)

    def _check_entry(self, entry: zipfile.ZipInfo) -> None:
        name = entry.filename[:60]
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or entry.is_dir():
            raise Unreadable("CSV_PATH_UNSAFE", name, "not a plain file")
        if entry.flag_bits & 0x1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable("CSV_ZIP_UNSUPPORTED", name)
        if entry.file_size > _SMALL and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
            raise Unreadable("CSV_ZIP_BOMB", name, "it unpacks to more than 100 times its size")

    def _note(self, name: str, size: int) -> None:
        if "/" in name or "\\" in name or name in ("", ".", "..") or "\0" in name:
            raise Unreadable("CSV_PATH_UNSAFE", name.split("\0", maxsplit=1)[0][:60], "a path")
        if name.lower() in {known.lower() for known in self.sizes}:
            raise Unreadable("CSV_FILE_TWICE", name)
        self.sizes[name] = size
        if sum(self.sizes.values()) > self.limit:
            raise Unreadable("CSV_ZIP_BOMB", self.path.name, f"more than {self.limit >> 20} MiB unpacked")

    def _check_names(self) -> None:
        known = NAMES["1.2"] | {"manifest.csv"}
        for name in self.sizes:
            if name not in known:
                near = [k for k in known if k.lower() == name.lower()]
                raise Unreadable("CSV_FILE_UNKNOWN", name[:60], f"did you mean {near[0]}?" if near else "")

    def _read_manifest(self) -> Manifest:
        if CSV_1P0 in self.repairs:
            return self._read_1p0()
        if "manifest.csv" not in self.sizes:
            raise Unreadable("CSV_MANIFEST_MISSING", "manifest.csv")
        return read_manifest(self.lines("manifest.csv"), self.repairs)

    def _read_1p0(self) -> Manifest:
        """A source that delivers 1.0 delivers nothing else: with a manifest, it has come to another version."""
        if "manifest.csv" in self.sizes:
            detail = f"OneRoster 1.0 has none, and this source is said to deliver that ({CSV_1P0})"
            raise Unreadable("CSV_MANIFEST_CONTRADICTED", "manifest.csv", detail)
        return without_manifest(self.sizes)

    def _check_manifest(self) -> None:
        version, modes = self.manifest.version, self.manifest.modes
        for name in sorted(set(self.sizes) - {"manifest.csv"}):
            if modes.get(name, "absent") == "absent" or name not in NAMES[version]:
                raise Unreadable("CSV_MANIFEST_CONTRADICTED", name, "it is here, the manifest says it is absent")
        for name, mode in sorted(modes.items()):
            if mode != "absent" and name not in self.sizes:
                raise Unreadable("CSV_MANIFEST_CONTRADICTED", name, f"the manifest says {mode}, it is not here")
        some = "bulk" not in modes.values() or "delta" in modes.values()  # no change at all, or only what changed
        if some and version != V1P0:
            return
        for name in sorted(REQUIRED[version] - set(self.sizes)):
            raise Unreadable("CSV_FILE_MISSING", name)

    def _open(self, name: str) -> IO[bytes]:
        if self._zip is None:
            return (self.path / name).open("rb")
        try:
            return self._zip.open(name)
        except (zipfile.BadZipFile, OSError, _CANNOT_UNPACK) as error:
            raise Unreadable("CSV_ZIP_DAMAGED", name, type(error).__name__) from error


def open_delivery(path: Path, limit: int, repairs: Repairs = NONE) -> Delivery:
    """Return a delivery, a file or folder that is there, to be entered with `with`. `limit` is the most it may unpack
    to, in bytes; `repairs` are those of its source."""
    return Delivery(path, limit, repairs)


def _add(digest: Any, file: IO[bytes]) -> None:
    while chunk := file.read(1 << 20):
        digest.update(chunk)


def _check_overlap(entries: list[zipfile.ZipInfo], path: Path) -> None:
    """Entries that share bytes unpack to more than their sum (CVE-2024-0450)."""
    end = 0
    for entry in sorted(entries, key=lambda e: e.header_offset):
        if entry.header_offset < end:
            raise Unreadable("CSV_ZIP_BOMB", path.name, "entries overlap")
        end = entry.header_offset + 30 + len(entry.orig_filename.encode()) + entry.compress_size


def _texts(raw: io.BufferedReader[io.RawIOBase]) -> Iterator[bytes]:
    """Yield what is there in pieces that end where a line ends: but for the last, and a line that is far too long."""
    rest = b""
    while chunk := raw.read(_CHUNK):
        text = rest + chunk
        end = len(text) if len(rest) > MAX_LINE else text.rfind(b"\n") + 1
        rest = text[end:]
        if end:
            yield text[:end]
    if rest:
        yield rest


def _bounded(blocks: Iterator[Block], name: str) -> Iterator[Block]:
    """Yield blocks of lines; one without an end within the limit is not a line of a roster."""
    number = 0
    try:
        for block in blocks:
            if block.hashes is None and max(map(len, block.lines), default=0) > MAX_LINE:
                good = list(takewhile(lambda line: len(line) <= MAX_LINE, block.lines))
                if good:
                    yield Block(b"".join(good))
                raise _too_long(name, number + len(good) + 1)
            number += len(block)
            yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise Unreadable("CSV_ZIP_DAMAGED", name, type(error).__name__) from error


def _too_long(name: str, number: int) -> Unreadable:
    code = "CSV_HEADER" if number == 1 else "CSV_VALUE_LENGTH"
    return Unreadable(code, name, f"a line is longer than {MAX_LINE} bytes", number)
