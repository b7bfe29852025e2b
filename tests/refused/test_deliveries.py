"""Bad packages, manifests and files: refused with a code and a place, while the version before keeps serving."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import report_text
from gateway.embedded import Addresses
from gateway.flows.rosters import Report
from gateway.settings import Settings
from mappings.oneroster.lines import MAX_LINE
from tests.conftest import world_on
from tests.deliveries import HEADERS, Delivery, two_schools
from tests.refused import spoil as to
from tests.refused.spoil import PUPILS, Pack, Spoil, bring, holdings, live, tonight
from tests.worlds import Steered, World

REQUIRED = [name for name in HEADERS["1.2"] if name != "demographics.csv"]
PACKAGE = "delivery.zip"


@pytest.fixture(scope="module")
def standing(addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for all that is refused: nothing of it may change."""
    with to.standing_world(addresses, tmp_path_factory.mktemp("refused")) as world:
        yield world


def assert_refused(world: World, package: bytes | Path, code: str, file: str, line: int = 0) -> Report:
    before = holdings(world)
    report = bring(world, package)
    assert report.state == "refused", report.as_dict()
    refusal = report.refusal or {}
    assert (refusal["code"], refusal["file"], refusal["line"]) == (code, file, str(line or ""))
    assert refusal["sentence"]
    assert refusal["remedy"]
    assert holdings(world) == before
    return report


# --- the package -----------------------------------------------------------------------------------

ZEROS, ENDS = b"0", b"\r\n"


@pytest.mark.parametrize(
    ("pack", "code", "file"),
    [
        pytest.param(lambda _: b"sourcedId,name\r\n", "CSV_NOT_A_ZIP", PACKAGE, id="not a zip"),
        pytest.param(lambda _: b"", "CSV_NOT_A_ZIP", PACKAGE, id="empty file"),
        pytest.param(to.only(), "CSV_MANIFEST_MISSING", "manifest.csv", id="no entry"),
        pytest.param(to.swollen("users.csv", ZEROS), "CSV_ZIP_BOMB", "users.csv", id="bomb that says its size"),
        pytest.param(
            to.lying("users.csv", to.swollen("users.csv", ZEROS), size=900),
            "CSV_ZIP_DAMAGED", "users.csv", id="bomb that hides its size",
        ),
        pytest.param(
            to.lying("users.csv", to.swollen("users.csv", ZEROS), packed=60_000),
            "CSV_ZIP_BOMB", PACKAGE, id="bomb that hides its ratio",
        ),
        pytest.param(
            to.lying("manifest.csv", to.swollen("manifest.csv", ENDS), packed=60_000),
            "CSV_ZIP_DAMAGED", "manifest.csv", id="bomb that hides its ratio in the last entry",
        ),
        pytest.param(to.lying("roles.csv", offset="orgs.csv"), "CSV_ZIP_BOMB", PACKAGE, id="entries that overlap"),
        pytest.param(to.along(*(f"{n}.csv" for n in range(24))), "CSV_ZIP_BOMB", PACKAGE, id="33 entries"),
        pytest.param(to.along("../orgs.csv"), "CSV_PATH_UNSAFE", "../orgs.csv", id="path that climbs"),
        pytest.param(to.along("/etc/passwd"), "CSV_PATH_UNSAFE", "/etc/passwd", id="absolute path"),
        pytest.param(to.along("export/orgs.csv"), "CSV_PATH_UNSAFE", "export/orgs.csv", id="file in a folder"),
        pytest.param(to.along("..\\orgs.csv"), "CSV_PATH_UNSAFE", "..\\orgs.csv", id="backslash path"),
        pytest.param(to.along("C:\\orgs.csv"), "CSV_PATH_UNSAFE", "C:\\orgs.csv", id="drive path"),
        pytest.param(to.along("export/"), "CSV_PATH_UNSAFE", "export/", id="directory entry"),
        pytest.param(to.linked("lineItems.csv"), "CSV_PATH_UNSAFE", "lineItems.csv", id="symlink entry"),
        pytest.param(
            to.named(b"orgs.csv#x", b"orgs.csv\0x", to.renamed("orgs.csv", "orgs.csv#x")),
            "CSV_PATH_UNSAFE", "orgs.csv", id="name that goes on behind a zero byte",
        ),
        pytest.param(to.lying("users.csv", flags=1), "CSV_ZIP_UNSUPPORTED", "users.csv", id="encrypted"),
        pytest.param(to.lying("users.csv", version=990), "CSV_NOT_A_ZIP", PACKAGE, id="zip of a later version"),
        pytest.param(to.lying("users.csv", flags=0x20), "CSV_ZIP_DAMAGED", "users.csv", id="patched data"),
        pytest.param(to.lying("users.csv", flags=0x40), "CSV_ZIP_DAMAGED", "users.csv", id="strong encryption"),
        pytest.param(to.squeezed(zipfile.ZIP_BZIP2), "CSV_ZIP_UNSUPPORTED", "orgs.csv", id="packed with bzip2"),
        pytest.param(to.squeezed(zipfile.ZIP_LZMA), "CSV_ZIP_UNSUPPORTED", "orgs.csv", id="packed with lzma"),
        pytest.param(to.lying("orgs.csv", method=99), "CSV_ZIP_UNSUPPORTED", "orgs.csv", id="unknown packing"),
        pytest.param(
            to.named(b"orgz.csv", b"orgs.csv", to.along("orgz.csv")), "CSV_FILE_TWICE", "orgs.csv", id="name twice"
        ),
        pytest.param(to.along("Orgs.csv"), "CSV_FILE_TWICE", "Orgs.csv", id="names that differ by case"),
        pytest.param(to.along("pupils.csv"), "CSV_FILE_UNKNOWN", "pupils.csv", id="unknown name"),
        pytest.param(
            to.renamed("orgs.csv", "Orgs.csv"), "CSV_FILE_UNKNOWN", "Orgs.csv", id="name in another case"
        ),
        pytest.param(to.without("manifest.csv"), "CSV_MANIFEST_MISSING", "manifest.csv", id="no manifest"),
        pytest.param(
            to.without("demographics.csv"), "CSV_MANIFEST_CONTRADICTED", "demographics.csv", id="said, not there"
        ),
        pytest.param(
            to.without("users.csv"), "CSV_MANIFEST_CONTRADICTED", "users.csv", id="required and said, not there"
        ),
        pytest.param(
            to.along("lineItems.csv"), "CSV_MANIFEST_CONTRADICTED", "lineItems.csv", id="there, said to be absent"
        ),
        pytest.param(
            to.along("scoreScales.csv"), "CSV_MANIFEST_CONTRADICTED", "scoreScales.csv", id="there, not said"
        ),
    ],
)  # fmt: skip
def test_a_bad_package_is_refused(standing: World, pack: Pack, code: str, file: str) -> None:
    assert_refused(standing, pack(tonight().files()), code, file)


def test_a_package_beyond_the_limit_is_refused(addresses: Addresses, settings: Settings, clock: Steered) -> None:
    with world_on(addresses, replace(settings, max_delivery_mb=1), clock) as world:
        world.unseeded().standing(PUPILS)
        package = to.lying("users.csv", to.swollen("users.csv", ZEROS), packed=30_000, size=1 << 20)
        assert_refused(world, package(tonight().files()), "CSV_ZIP_BOMB", PACKAGE)


def test_a_zip_cut_anywhere_is_refused(standing: World) -> None:
    package, before = to.packed(tonight().files()), holdings(standing)
    for kept in (*range(0, len(package), len(package) // 24), len(package) - 22, len(package) - 1):
        report = bring(standing, package[:kept])
        assert (report.state, report.code) == ("refused", "CSV_NOT_A_ZIP"), kept
    assert holdings(standing) == before


def test_a_damaged_byte_is_found_by_the_checksum(standing: World) -> None:
    package = bytearray(to.packed(tonight().files()))
    package[package.index(b"enrollments.csv") + 100] ^= 1
    assert_refused(standing, bytes(package), "CSV_ZIP_DAMAGED", "enrollments.csv")


def test_a_folder_may_hold_plain_files_only(standing: World, tmp_path: Path) -> None:
    folder = tonight().folder(tmp_path / "delivery")
    (folder / "results.csv").symlink_to("/etc/passwd")
    assert_refused(standing, folder, "CSV_PATH_UNSAFE", "results.csv")
    (folder / "results.csv").unlink()
    (folder / "archive").mkdir()
    assert_refused(standing, folder, "CSV_PATH_UNSAFE", "archive")


def test_what_a_desktop_hides_in_a_folder_is_no_part_of_the_delivery(world: World, tmp_path: Path) -> None:
    world.unseeded().standing(PUPILS)
    folder = tonight().folder(tmp_path / "delivery")
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / ".Trash").mkdir()
    (folder / ".latest").symlink_to("nowhere")
    assert bring(world, folder).state == "published"


def test_what_is_not_there_is_refused(standing: World, tmp_path: Path) -> None:
    assert_refused(standing, tmp_path / "nothing.zip", "REQ_INVALID", "nothing.zip")


# --- the manifest ----------------------------------------------------------------------------------

USERS = "file.users,bulk\r\n"
INVALID, CONTRADICTED = "CSV_MANIFEST_INVALID", "CSV_MANIFEST_CONTRADICTED"


def utf16(data: bytes) -> bytes:
    return data.decode().encode("utf-16")


@pytest.mark.parametrize(
    ("spoil", "code", "file", "line"),
    [
        pytest.param(to.manifest(USERS, USERS * 2), INVALID, "manifest.csv", 15, id="property twice"),
        pytest.param(
            to.manifest(USERS, USERS + "file.users*,absent\r\n"), INVALID, "manifest.csv", 0, id="twice, once starred"
        ),
        pytest.param(to.manifest(USERS, "file.users,full\r\n"), INVALID, "manifest.csv", 0, id="no such mode"),
        pytest.param(to.manifest(USERS, "file.users\r\n"), INVALID, "manifest.csv", 14, id="no value"),
        pytest.param(to.manifest(USERS, 'file.users,"bulk\r\n'), INVALID, "manifest.csv", 14, id="stray quote"),
        pytest.param(to.whole("manifest.csv", utf16), INVALID, "manifest.csv", 1, id="UTF-16"),
        pytest.param(
            to.whole("manifest.csv", lambda data: data.replace(b"\r\n", b"\r")), INVALID, "manifest.csv", 1,
            id="CR ends",
        ),
        pytest.param(to.manifest(USERS, "file.users,absent\r\n"), CONTRADICTED, "users.csv", 0, id="said absent"),
        pytest.param(to.manifest(USERS, ""), CONTRADICTED, "users.csv", 0, id="not said"),
        pytest.param(to.manifest("version,1.2", "version,1.1"), CONTRADICTED, "roles.csv", 0, id="1.2 called 1.1"),
        pytest.param(to.manifest("version,1.2", "version,1.0"), "CSV_VERSION", "manifest.csv", 0, id="1.0"),
        pytest.param(to.manifest("version,1.2", "version,2.0"), "CSV_VERSION", "manifest.csv", 0, id="2.0"),
        pytest.param(to.manifest("oneroster.version,1.2\r\n", ""), "CSV_VERSION", "manifest.csv", 0, id="no version"),
    ],
)  # fmt: skip
def test_a_bad_manifest_is_refused(standing: World, spoil: Spoil, code: str, file: str, line: int) -> None:
    assert_refused(standing, to.packed(tonight(spoil).files()), code, file, line)


# --- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", REQUIRED)
def test_a_required_file_that_is_missing_is_refused(standing: World, file: str) -> None:
    assert_refused(standing, to.packed(tonight(to.dropped(file)).files()), "CSV_FILE_MISSING", file)


@pytest.mark.parametrize("file", REQUIRED)
def test_a_required_file_with_nothing_but_a_header_is_refused(standing: World, file: str) -> None:
    assert_refused(standing, to.packed(tonight(to.emptied(file)).files()), "CSV_FILE_EMPTY", file)


def test_a_required_file_without_a_byte_is_refused(standing: World) -> None:
    package = to.packed(tonight(to.whole("enrollments.csv", lambda _: b"")).files())
    assert_refused(standing, package, "CSV_FILE_EMPTY", "enrollments.csv")


def latin(data: bytes) -> bytes:
    return data.decode().replace("Familyp", "Lévêque").encode("cp1252")


def mostly_bad(delivery: Delivery) -> None:
    for row in delivery.rows["users.csv"][:20]:
        row["enabledUser"] = "TRUE"


USERS_CSV = "users.csv"


@pytest.mark.parametrize(
    ("spoil", "code", "line"),
    [
        pytest.param(to.whole(USERS_CSV, utf16), "CSV_ENCODING", 1, id="UTF-16"),
        pytest.param(to.whole(USERS_CSV, lambda data: utf16(data)[2:]), "CSV_ENCODING", 1, id="UTF-16 without a mark"),
        pytest.param(to.whole(USERS_CSV, latin), "CSV_ENCODING", 0, id="Windows-1252"),
        pytest.param(
            to.whole(USERS_CSV, lambda data: data.replace(b",", b";")), "CSV_HEADER", 1, id="semicolons"
        ),
        pytest.param(
            to.whole(USERS_CSV, lambda data: data.replace(b"\r\n", b"\r")), "CSV_HEADER", 1, id="old Mac ends"
        ),
        pytest.param(to.titles(USERS_CSV, "familyName", "FamilyName"), "CSV_HEADER", 1, id="header in another case"),
        pytest.param(to.titles(USERS_CSV, "username", '"username'), "CSV_HEADER", 1, id="header with a stray quote"),
        pytest.param(
            to.columns(USERS_CSV, lambda names: (*names, "email")), "CSV_HEADER_TWICE", 1, id="header twice"
        ),
        pytest.param(
            to.columns(USERS_CSV, lambda names: (n for n in names if n != "username")), "CSV_HEADER", 1,
            id="header without a required column",
        ),
        pytest.param(
            to.titles(USERS_CSV, "pronouns", "pronouns" + "," * MAX_LINE), "CSV_HEADER", 1, id="header without end"
        ),
        pytest.param(
            to.line(USERS_CSV, "p5", lambda data: data + b"x" * MAX_LINE), "CSV_VALUE_LENGTH", 9, id="line without end"
        ),
        pytest.param(mostly_bad, "CSV_FAULT_BUDGET", 0, id="too many bad rows"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused(standing: World, spoil: Spoil, code: str, line: int) -> None:
    assert_refused(standing, to.packed(tonight(spoil).files()), code, USERS_CSV, line)


def test_a_header_in_another_case_is_named(standing: World) -> None:
    package = to.packed(tonight(to.titles(USERS_CSV, "familyName", "FamilyName")).files())
    report = assert_refused(standing, package, "CSV_HEADER", USERS_CSV, 1)
    assert (report.refusal or {})["detail"] == "column familyName is missing; found FamilyName"


@pytest.mark.parametrize("first", [True, False])
def test_an_optional_header_in_another_case_is_refused_on_every_night(world: World, *, first: bool) -> None:
    world.onboard("A", "B") if first else world.standing(PUPILS)
    report = bring(world, to.packed(tonight(to.titles(USERS_CSV, "email", "Email")).files()))
    assert (report.state, report.code) == ("refused", "CSV_HEADER")
    assert (report.refusal or {})["detail"] == "column email is missing; found Email"


@pytest.mark.parametrize("file", ["users.csv", "classes.csv"])
def test_a_first_delivery_of_which_a_file_was_cut_between_two_lines_is_held(world: World, file: str) -> None:
    world.onboard("A", "B")
    delivery = two_schools(200)
    delivery.rows[file] = delivery.rows[file][: len(delivery.rows[file]) // 2]
    report = bring(world, to.packed(delivery.files()))
    assert (report.state, report.code) == ("held", "SRC_HELD")
    assert {trip["guard"] for trip in report.held_by} == {"lost"}
    assert "rows refer to records that are nowhere" in "\n".join(report_text.lines(report, "sis"))
    assert "CSV_REFERENCE" in {cause["code"] for cause in report.causes}
    assert not live(world)


def test_what_refers_to_nowhere_holds_no_delivery_that_can_be_compared(world: World) -> None:
    """Whoever left the people but not the classes is listed; nobody else waits for it, on that night or the next."""
    world.onboard("A")
    assert bring(world, to.packed(two_schools(60).files())).state == "published"
    left = two_schools(60)
    for n in range(60):
        if n % 2 and n % 5:
            left.without("users.csv", f"p{n}")
    assert bring(world, to.packed(left.files())).state == "unchanged"
    left.row("users.csv", "p0")["givenName"] = "Renée"
    assert bring(world, to.packed(left.files())).state == "published"


def test_demographics_of_people_who_left_hold_nothing(world: World) -> None:
    world.onboard("A", "B")
    delivery = two_schools(30)
    for n in range(12):
        delivery.add("demographics.csv", sourcedId=f"former{n}", birthDate="2009-03-04")
    assert bring(world, to.packed(delivery.files())).state == "published"


def cut_in_its_last_line(delivery: Delivery, file: str) -> int:
    """Cut a file behind nine bytes of its last line; return that line."""
    data = delivery.files()[file]
    delivery.raw[file] = data[: data.rindex(b"\r\n", 0, -2) + 11]
    return delivery.raw[file].count(b"\n") + 1


@pytest.mark.parametrize("file", REQUIRED)
def test_a_cut_file_is_refused(standing: World, file: str) -> None:
    delivery = tonight()
    at = cut_in_its_last_line(delivery, file)
    assert_refused(standing, to.packed(delivery.files()), "CSV_FILE_CUT", file, at)


def test_a_file_cut_in_a_folder_is_refused(standing: World, tmp_path: Path) -> None:
    delivery = tonight()
    at = cut_in_its_last_line(delivery, "users.csv")
    assert_refused(standing, delivery.folder(tmp_path / "delivery"), "CSV_FILE_CUT", "users.csv", at)


def test_a_file_cut_behind_a_blank_line_is_refused_naming_the_line(standing: World) -> None:
    delivery = tonight(to.whole("users.csv", lambda data: data.replace(b"\r\n", b"\r\n\r\n", 1)))
    delivery.raw["users.csv"] = delivery.raw["users.csv"][:-30]
    at = delivery.raw["users.csv"].count(b"\n") + 1
    assert_refused(standing, to.packed(delivery.files()), "CSV_FILE_CUT", "users.csv", at)


def test_a_vendor_reads_the_same_after_a_refused_delivery(world: World) -> None:
    reader = world.unseeded().standing(PUPILS).reader("A", "B")
    before, package = reader.read("students").data, to.packed(tonight().files())
    assert bring(world, package[:-1]).state == "refused"
    assert reader.read("students").data == before
    assert bring(world, package).state == "published"
    assert reader.read("students").data != before
