"""Ways to spoil a delivery: its rows, lines, files, manifest and package; and what none of them may spoil."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.embedded import Addresses
from gateway.flows import rosters
from gateway.flows.rosters import Report
from gateway.settings import Settings
from gateway.store import sources
from gateway.store.tables import MIRRORS, ROSTER, roster_version
from mappings.oneroster.records import KINDS
from tests.conftest import world_on
from tests.deliveries import HEADERS, Delivery, two_schools
from tests.worlds import Steered, World

Spoil = Callable[[Delivery], None]
Pack = Callable[[Mapping[str, bytes]], bytes]
BOOKKEEPING = frozenset({"district", "school", "since", "until", "modified", "hash"})
PUPILS, TODAY = 24, datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@contextmanager
def standing_world(addresses: Addresses, folder: Path) -> Iterator[World]:
    """One world with a published roster, for many cases that leave it as it is."""
    settings = Settings(folder / "instance", "http://127.0.0.1:8080", "", "", "", True, 0, 256)
    with world_on(addresses, settings, Steered(TODAY)) as world:
        yield world.unseeded().standing(PUPILS)


def tonight(*spoils: Spoil, name: str = "Renée") -> Delivery:
    """The next delivery: a new pupil, a new teacher of a new class, a changed name; then spoilt."""
    made = two_schools(PUPILS).person("new", "student", "A").enroll("new", "kA", "A")
    made.class_("kN", "B").person("tN", "teacher", "B").enroll("tN", "kN", "B", "teacher")
    made.row("users.csv", "p4")["givenName"] = name
    for spoil in spoils:
        spoil(made)
    return made


def bring(world: World, package: bytes | Path) -> Report:
    """Sync a package as it is."""
    path = package if isinstance(package, Path) else world.office.settings.instance.parent / "delivery.zip"
    if isinstance(package, bytes):
        path.write_bytes(package)
    return rosters.sync(world.office, world.by.district, world.source, path, world.by.ref, publish=True)


# --- what must not be spoilt -----------------------------------------------------------------------


def holdings(world: World) -> dict[tuple[str, str], list[Any]]:
    """Everything the schools hold, every version of it, and what the source last said."""
    held = {}
    for org, place in world.places.items():
        with world.office.database.open_school(place) as session:
            for table in (*ROSTER.values(), roster_version):
                ours = sa.select(table).where(table.c.district == place.district, table.c.school == place.school)
                held[org, table.name] = list(session.connection.execute(ours.order_by(*table.primary_key)))
    with world.office.database.open_intake(world.by.district) as session:
        number = sources.number(session, world.source)
        for table in MIRRORS.values():
            said = sa.select(table).where(table.c.source == number).order_by(*table.primary_key)
            held["said", table.name] = list(session.connection.execute(said))
    return held


def live(world: World, *schools: str) -> dict[tuple[str, str, str], Any]:
    """What these schools (or all) serve now, by school, kind and sourcedId."""
    rows = {}
    for org in schools or world.places:
        place = world.places[org]
        with world.office.database.open_school(place) as session:
            for kind, table in ROSTER.items():
                ours = sa.select(table).where(table.c.district == place.district, table.c.school == place.school)
                for row in session.connection.execute(ours.where(table.c.until.is_(None))):
                    rows[org, kind, row.sourced_id] = row
    return rows


def content(row: Any) -> dict[str, Any]:
    """A row without version, dates and hash."""
    return {name: value for name, value in row._mapping.items() if name not in BOOKKEEPING}


def loose_ends(world: World) -> list[tuple[str, str, str, str]]:
    """References that lead to no record of the same school."""
    found = []
    for org in world.places:
        rows = live(world, org)
        for (_, kind, at), row in rows.items():
            for column in KINDS[kind].references:
                value = row._mapping[column.name]
                for one in value if isinstance(value, list) else [value]:
                    if one is not None and (org, column.refers_to, one) not in rows:
                        found.append((org, at, column.name, one))
    return found


# --- rows, lines and files -------------------------------------------------------------------------


def line_of(delivery: Delivery, file: str, sourced_id: str) -> int:
    """The physical line of the last row of this id; the header is line 1."""
    return max(n for n, row in enumerate(delivery.rows[file], start=2) if row["sourcedId"] == sourced_id)


def cells(file: str, sourced_id: str, **changed: str) -> Spoil:
    return lambda delivery: delivery.row(file, sourced_id).update(changed)


def row(file: str, **cells_: str) -> Spoil:
    return lambda delivery: delivery.rows[file].append(cells_)


def whole(file: str, change: Callable[[bytes], bytes]) -> Spoil:
    """Change the bytes of a file."""
    return lambda delivery: delivery.raw.update({file: change(delivery.files()[file])})


def line(file: str, sourced_id: str, change: Callable[[bytes], bytes]) -> Spoil:
    """Change the bytes of one line, its end aside."""

    def spoil(delivery: Delivery) -> None:
        lines, at = delivery.files()[file].split(b"\r\n"), line_of(delivery, file, sourced_id) - 1
        lines[at] = change(lines[at])
        delivery.raw[file] = b"\r\n".join(lines)

    return spoil


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return change


def columns(file: str, change: Callable[[tuple[str, ...]], Iterable[str]]) -> Spoil:
    """Change which columns a file has, and their order; cells go with their columns."""
    return lambda delivery: delivery.headers.update({file: tuple(change(HEADERS[delivery.version][file]))})


def titles(file: str, old: str, new: str) -> Spoil:
    """Spell a column otherwise."""
    return whole(file, swap(old.encode(), new.encode()))


def emptied(file: str) -> Spoil:
    return lambda delivery: delivery.rows[file].clear()


def dropped(file: str) -> Spoil:
    """The file is not there, and the manifest says so."""

    def spoil(delivery: Delivery) -> None:
        rest = set(delivery.files()) - {"manifest.csv", file}
        delivery.raw["manifest.csv"] = delivery.manifest(rest)
        del delivery.rows[file]

    return spoil


def manifest(old: str, new: str) -> Spoil:
    return whole("manifest.csv", swap(old.encode(), new.encode()))


# --- the package -----------------------------------------------------------------------------------


def packed(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)
    return out.getvalue()


def without(*names: str) -> Pack:
    return lambda files: packed({name: data for name, data in files.items() if name not in names})


def only(*names: str) -> Pack:
    return lambda files: packed({name: data for name, data in files.items() if name in names})


def renamed(old: str, new: str) -> Pack:
    return lambda files: packed({new if name == old else name: data for name, data in files.items()})


def along(*names: str) -> Pack:
    """More entries beside the delivery's own."""
    return lambda files: packed({**files, **dict.fromkeys(names, b"sourcedId\r\n")})


def named(old: bytes, new: bytes, pack: Pack = packed) -> Pack:
    """Overwrite a name of the same length wherever the package says it, as no zip writer would let us."""
    return lambda files: pack(files).replace(old, new)


def linked(name: str) -> Pack:
    """An entry that is a symbolic link."""

    def pack(files: Mapping[str, bytes]) -> bytes:
        out, link = io.BytesIO(packed(files)), zipfile.ZipInfo(name)
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(out, "a") as bundle:
            bundle.writestr(link, "/etc/passwd")
        return out.getvalue()

    return pack


def squeezed(method: int) -> Pack:
    """Another method of compression."""

    def pack(files: Mapping[str, bytes]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as bundle:
            for name, data in files.items():
                bundle.writestr(name, data)
        return out.getvalue()

    return pack


# Where a field of a central directory record lies (APPNOTE 4.3.12).
_FIELDS = {
    "version": (6, "<H"),
    "flags": (8, "<H"),
    "method": (10, "<H"),
    "packed": (20, "<I"),
    "size": (24, "<I"),
    "offset": (42, "<I"),
}


def _record(bundle: bytes, name: str) -> int:
    at = bundle.rindex(name.encode()) - 46
    assert bundle[at : at + 4] == b"PK\x01\x02"
    return at


def field_of(bundle: bytes, name: str, field: str) -> int:
    place, form = _FIELDS[field]
    return int(struct.unpack_from(form, bundle, _record(bundle, name) + place)[0])


def lying(name: str, pack: Pack = packed, **said: int | str) -> Pack:
    """The directory of the zip says this about an entry; a name stands for the same field of that entry."""

    def lie(files: Mapping[str, bytes]) -> bytes:
        bundle = bytearray(pack(files))
        for field, value in said.items():
            place, form = _FIELDS[field]
            known = field_of(bytes(bundle), value, field) if isinstance(value, str) else value
            struct.pack_into(form, bundle, _record(bytes(bundle), name) + place, known)
        return bytes(bundle)

    return lie


def swollen(name: str, with_: bytes) -> Pack:
    """A file that unpacks to two mebibytes more."""
    return lambda files: packed({**files, name: files[name] + with_ * (1 << 21)})
