"""What a delivery's manifest says, and how the columns of its files lie.

Pure: lines in, a Manifest or a Header out. What has one meaning only by a named rule is understood where the source has
that rule; everything else raises Unreadable with a code of the CSV family.
"""

from __future__ import annotations

import csv as _csv
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mappings.oneroster.csv import FILES, OF_1P0, V1P0, CsvColumn, CsvFile, Unreadable
from mappings.oneroster.repairs import NONE, Repairs, delimiter_of, same_but_case, with_commas


@dataclass(frozen=True, slots=True)
class Manifest:
    """What manifest.csv says: version and mode of each file."""

    version: str
    modes: MappingProxyType[str, str]
    system: str = ""
    repairs: tuple[str, ...] = ()


_MANIFEST = "manifest.csv"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how a text of that kind begins

# --- the manifest ----------------------------------------------------------------------------------


def read_manifest(lines: Iterable[bytes], allowed: Repairs = NONE) -> Manifest:
    """Return what manifest.csv says. Named repairs: bom, delimiter, starred-names. Raises Unreadable with
    CSV_MANIFEST_INVALID or CSV_VERSION."""
    said: dict[str, str] = {}
    repairs: set[str] = set()
    for number, raw in enumerate(lines, start=1):
        cells = _manifest_cells(number, raw, allowed, repairs)
        if not cells or (number == 1 and cells[0] == "propertyName"):
            continue
        if cells[0] in said:
            raise Unreadable("CSV_MANIFEST_INVALID", _MANIFEST, f"{cells[0]} twice", number)
        said[cells[0]] = cells[1].strip()
    version = said.get("oneroster.version", "")
    if version not in FILES or version == V1P0:  # 1.0 has no manifest
        raise Unreadable("CSV_VERSION", _MANIFEST, f"oneroster.version is {_safe(version) or 'missing'}")
    modes = _modes(said, allowed, repairs)
    return Manifest(version, modes, said.get("source.systemName", "")[:120], tuple(sorted(repairs)))


def without_manifest(names: Iterable[str]) -> Manifest:
    """Return what is so of a delivery of 1.0, which has no manifest: its files are bulk. Raises Unreadable with
    CSV_FILE_UNKNOWN."""
    for name in sorted(names):
        if name not in FILES[V1P0]:
            raise Unreadable("CSV_FILE_UNKNOWN", name, "it is no file of OneRoster 1.0, which this source delivers")
    return Manifest(V1P0, MappingProxyType(dict.fromkeys(names, "bulk")))


def _manifest_cells(number: int, raw: bytes, allowed: Repairs, repairs: set[str]) -> list[str]:
    if raw[:2] in _UTF_16 or b"\x00" in raw:
        raise Unreadable("CSV_MANIFEST_INVALID", _MANIFEST, "it looks like UTF-16; it must be UTF-8", number)
    if b"\r" in raw.rstrip(b"\r\n"):
        raise Unreadable("CSV_MANIFEST_INVALID", _MANIFEST, "its lines end with CR alone; CR LF is needed", number)
    try:
        text = raw.decode().rstrip("\r\n")
        if number == 1 and text.startswith("\ufeff"):
            text = text[1:]
            repairs.add("bom")
        cells = next(_csv.reader([text], strict=True), [])
    except (UnicodeDecodeError, _csv.Error) as error:
        raise Unreadable("CSV_MANIFEST_INVALID", _MANIFEST, "unreadable", number) from error
    mark = delimiter_of(text)
    if cells and len(cells) < 2 and mark != ",":
        if "delimiter" not in allowed:
            raise Unreadable("CSV_MANIFEST_INVALID", _MANIFEST, "no comma between name and value", number, "delimiter")
        repairs.add("delimiter")
        cells = text.split(mark)
    if cells and len(cells) < 2:
        raise Unreadable("CSV_MANIFEST_INVALID", _MANIFEST, "no value", number)
    return cells


def _modes(said: dict[str, str], allowed: Repairs, repairs: set[str]) -> MappingProxyType[str, str]:
    modes: dict[str, str] = {}
    for key, value in said.items():
        if not key.startswith("file."):
            continue
        if value not in ("absent", "bulk", "delta"):
            detail = f"{key} is neither absent, bulk nor delta"
            raise Unreadable("CSV_MANIFEST_INVALID", _MANIFEST, detail)
        if key.endswith("*"):
            if "starred-names" not in allowed:
                raise Unreadable("CSV_MANIFEST_INVALID", _MANIFEST, f"{_safe(key)} has a star", 0, "starred-names")
            repairs.add("starred-names")
        name = f"{key[5:].rstrip('*')}.csv"
        if name in modes:
            raise Unreadable("CSV_MANIFEST_INVALID", _MANIFEST, f"{key} twice")
        modes[name] = value
    return MappingProxyType(modes)


# --- the header ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Header:
    """A file's header understood: the position of each column (-1 where absent) and named repairs."""

    file: CsvFile
    positions: tuple[int, ...]
    width: int
    repairs: tuple[str, ...] = ()
    delimiter: str = ","
    allowed: Repairs = NONE

    def at(self, name: str) -> int:
        """Return the position of a column, -1 where it is absent."""
        return next(p for c, p in zip(self.file.columns, self.positions, strict=True) if c.header == name)

    def spelled(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """Return lines of the file with commas between their cells."""
        return lines if self.delimiter == "," else list(with_commas(lines, self.delimiter))


def read_header(file: CsvFile, raw: bytes, allowed: Repairs = NONE) -> Header:
    """Return how the file's columns lie. Named repairs: bom, header-order, unknown-columns, missing-optional-columns;
    where allowed header-case, delimiter, starred-names. Raises Unreadable with CSV_ENCODING, CSV_HEADER or
    CSV_HEADER_TWICE."""
    if not raw:
        raise Unreadable("CSV_FILE_EMPTY", file.name)
    text, repairs = _header_text(file, raw)
    mark = delimiter_of(text)
    names = _header_names(file, text, mark if "delimiter" in allowed else ",")
    if mark != "," and "delimiter" in allowed:
        repairs.append("delimiter")
    elif mark != ",":
        known = _header_names(file, text, mark)
        if {c.header for c in file.columns} & set(known):
            raise Unreadable("CSV_HEADER", file.name, f"column {file.columns[0].header} is missing", 1, "delimiter")
        mark = ","
    names = _respelled(file, names, allowed, repairs)
    _require_1p0(file, names)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable("CSV_HEADER_TWICE", file.name, f"column {_safe(twice)}", 1)
    positions = tuple(names.index(c.header) if c.header in names else -1 for c in file.columns)
    _require_columns(file, names, positions)
    repairs += _order(file, names, positions)
    return Header(file, positions, len(names), tuple(repairs), mark, allowed)


def leave_unread(header: Header, collected: Collection[str]) -> tuple[Header, tuple[CsvColumn, ...]]:
    """Return a header whose columns of elements that are not collected are read past, and those columns of the file."""
    file = header.file
    dropped = [c for c in file.columns if c.to and c.to[0] not in "@+" and file.element(c) not in collected]
    if not dropped:
        return header, ()
    columns = tuple(CsvColumn(c.header, None, "unread") if c in dropped else c for c in file.columns)
    there = dict(zip(file.columns, header.positions, strict=True))
    return replace(header, file=replace(file, columns=columns)), tuple(c for c in dropped if there[c] >= 0)


def _order(file: CsvFile, names: list[str], positions: tuple[int, ...]) -> list[str]:
    """Return what differs from the header of the binding and has one meaning all the same."""
    repairs, known = [], {c.header for c in file.columns}
    if any(n not in known and not n.startswith("metadata.") for n in names):
        repairs.append("unknown-columns")
    if -1 in positions:
        repairs.append("missing-optional-columns")
    present = [p for p in positions if p >= 0]
    if present != sorted(present):
        repairs.append("header-order")
    return repairs


def _header_text(file: CsvFile, raw: bytes) -> tuple[str, list[str]]:
    if raw[:2] in _UTF_16 or b"\x00" in raw:
        raise Unreadable("CSV_ENCODING", file.name, "it looks like UTF-16", 1)
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise Unreadable("CSV_ENCODING", file.name, "the header is not UTF-8", 1) from error
    return text.lstrip("\ufeff"), ["bom"] if text.startswith("\ufeff") else []


def _header_names(file: CsvFile, text: str, mark: str) -> list[str]:
    try:
        return next(_csv.reader([text], delimiter=mark, strict=True), [])
    except _csv.Error as error:
        raise Unreadable("CSV_HEADER", file.name, "the header is not readable CSV", 1) from error


def _respelled(file: CsvFile, names: list[str], allowed: Repairs, repairs: list[str]) -> list[str]:
    """Return the names of the binding for those that a repair of the source tells."""
    known = {c.header for c in file.columns}
    found = []
    for name in names:
        plain, rules = name, []
        if "starred-names" in allowed and plain.endswith("*"):
            plain, rules = plain.rstrip("*"), ["starred-names"]
        if "header-case" in allowed and plain not in known and (cased := same_but_case(plain, known)):
            plain, rules = cased, [*rules, "header-case"]
        if plain in known:
            repairs += [rule for rule in rules if rule not in repairs]
        found.append(plain if plain in known else name)
    return found


def _require_columns(file: CsvFile, names: list[str], positions: tuple[int, ...]) -> None:
    """A required column must be there, and none may be spelled almost right: its values would be lost unseen."""
    folded = {n.strip().rstrip("*").lower(): n for n in names}
    for column, position in zip(file.columns, positions, strict=True):
        near = folded.get(column.header.lower())
        if position < 0 and (column.required or near):
            found = f"; found {_safe(near)}" if near else ""
            rule = ("starred-names" if near.endswith("*") else "header-case") if near else ""
            raise Unreadable("CSV_HEADER", file.name, f"column {column.header} is missing{found}", 1, rule)


def _require_1p0(file: CsvFile, names: list[str]) -> None:
    """Nothing but the source's word says that a file is of 1.0: a column of a later version says that it is not."""
    if file.binding != OF_1P0:
        return
    own = {c.header for c in file.columns}
    later = {c.header for version in ("1.1", "1.2") for c in FILES[version].get(file.name, file).columns} - own
    found = next((name for name in names if name in later and not _nearly(name, own)), None)
    if found:
        raise Unreadable("CSV_HEADER", file.name, f"column {found} is of a later version; this source delivers 1.0", 1)


def _nearly(name: str, known: Collection[str]) -> bool:
    return name.lower() in {one.lower() for one in known}


# --- the mode --------------------------------------------------------------------------------------

STATUS, MODIFIED = "status", "dateLastModified"


def bulk_of_1p0(header: Header, mode: str) -> str:
    """Return the mode of a file of 1.0, which is bulk. Raises Unreadable with CSV_MODE_CONTRADICTED where it may be a
    delta: to all that is not in one, its absence would be a removal."""
    if mode == "delta":
        detail = "every row has a status and a date, as those of a delta; of OneRoster 1.0, whole rosters are read"
        raise Unreadable("CSV_MODE_CONTRADICTED", header.file.name, detail, 2, "bulk-status")
    return mode


def mode_of(header: Header, declared: str, lines: Iterable[bytes], most: int) -> str:
    """Return whether a file is bulk or delta: where its rows contradict the manifest, the rows count.

    Rows without a status or date at all are no delta. Rows of which each of the first `most` has both are no bulk:
    of a delta, absence removes nothing, so this is also the safe reading. Raises Unreadable with CSV_HEADER for a
    declared delta that cannot say what changed.
    """
    places = [header.at(STATUS), header.at(MODIFIED)]
    if -1 in places and declared == "delta":
        missing = (STATUS, MODIFIED)[places.index(-1)]
        raise Unreadable("CSV_HEADER", header.file.name, f"column {missing} is missing, which a delta needs", 1)
    if -1 in places or (declared == "bulk" and "bulk-status" in header.allowed):
        return declared
    said = (_said(raw, places, header) for raw in lines if raw.strip())
    if declared == "delta":
        found = [any(cells) for cells in said if cells is not None]
        return "delta" if any(found) or not found else "bulk"
    found = [all(cells) for n, cells in zip(range(most), said, strict=False) if cells is not None]
    return "delta" if found and all(found) else "bulk"


def _said(raw: bytes, places: list[int], header: Header) -> list[str] | None:
    """Return what a line says at these places, None for one that cannot be taken apart."""
    try:
        cells = next(_csv.reader([raw.decode().rstrip("\r\n")], strict=True), [])
    except (UnicodeDecodeError, _csv.Error):
        return None
    return [cells[place] for place in places] if len(cells) == header.width else None


def _safe(text: str) -> str:
    """A column name is the exporter's, not a pupil's: shown, shortened and without control characters."""
    return "".join(c for c in text if c.isprintable())[:60]
