"""A delivery cut or changed at any byte: the identical roster or a refusal, and never a smaller roster."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from connectors.oneroster_csv import open_delivery
from gateway.embedded import Addresses
from gateway.errors import VOCABULARY
from gateway.store.staging import Seen
from mappings.oneroster.csv import FILES, Unreadable
from mappings.oneroster.delta import DeltaReader
from mappings.oneroster.rows import FileReader
from tests.deliveries import Delivery, two_schools
from tests.refused import spoil as to
from tests.refused.spoil import holdings
from tests.refused.test_delivery_rules import whole
from tests.worlds import World

LIMIT = 1 << 24


def stored(delivery: Delivery) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as bundle:
        for name, data in delivery.files().items():
            bundle.writestr(name, data)
    return out.getvalue()


def older() -> Delivery:
    made = Delivery("1.1").frame("A").class_("kA", "A")
    for n in range(6):
        made.person(f"p{n}", "student", "A").enroll(f"p{n}", "kA", "A")
    return made


BUNDLES: dict[str, Callable[[], bytes]] = {
    "packed": lambda: to.packed(two_schools(2).files()),
    "stored": lambda: stored(two_schools(2)),
    "1.1": lambda: to.packed(older().files()),
    "every file": lambda: to.packed(whole().files()),
    "delta": lambda: to.packed(deltas().files()),
}


def deltas() -> Delivery:
    made = Delivery()
    made.rows.clear()
    user = {"username": "u", "enabledUser": "true", "givenName": "G", "familyName": "F"}
    for n in range(6):
        made.add("users.csv", sourcedId=f"p{n}", status="active", dateLastModified="2026-10-01T00:00:00Z", **user)
    return made.as_delta("users.csv")


def rows(path: Path) -> dict[str, list[object]]:
    """Everything that is read of a delivery. Raises Unreadable."""
    found: dict[str, list[object]] = {}
    with open_delivery(path, LIMIT) as delivery:
        for name in delivery.files():
            header, lines = delivery.header(name), delivery.lines(name)
            next(lines)
            kind = DeltaReader if delivery.mode(name, header) == "delta" else FileReader
            reader = kind(header, Seen({}), found.setdefault(name, []).append)
            found[name] += list(reader.rows(lines))
            if reader.tally.cut:
                raise Unreadable("CSV_FILE_CUT", name)
    return found


def outcome(path: Path) -> dict[str, list[object]] | str:
    """Everything that is read of a delivery, or that it is refused with one of our codes."""
    try:
        return rows(path)
    except Unreadable as refused:
        return "refused" if refused.code in VOCABULARY else refused.code


def cut_everywhere(bundle: bytes, places: Iterator[int] | range, path: Path) -> None:
    path.write_bytes(bundle)
    sound = rows(path)
    for place in places:
        path.write_bytes(bundle[:place])
        assert outcome(path) in (sound, "refused"), place


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_bundle_cut_short_is_refused_or_read_as_it_was(bundle: str, tmp_path: Path) -> None:
    data = BUNDLES[bundle]()
    places = sorted(Random(7).sample(range(len(data)), 60)) + list(range(len(data) - 30, len(data)))
    cut_everywhere(data, iter(places), tmp_path / "cut.zip")


@pytest.mark.invariants
@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_bundle_cut_at_each_byte_is_refused_or_read_as_it_was(bundle: str, tmp_path: Path) -> None:
    data = BUNDLES[bundle]()
    cut_everywhere(data, range(len(data)), tmp_path / "cut.zip")


@pytest.fixture(scope="module")
def standing(addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with to.standing_world(addresses, tmp_path_factory.mktemp("bytes")) as world:
        yield world


def test_a_cut_bundle_leaves_the_version_before(standing: World, tmp_path: Path) -> None:
    before, data = holdings(standing), to.packed(to.tonight().files())
    for place in Random(11).sample(range(len(data)), 5):
        (tmp_path / "cut.zip").write_bytes(data[:place])
        assert standing.sync(tmp_path / "cut.zip").state == "refused"
    assert holdings(standing) == before


@pytest.mark.parametrize("file", ["users.csv", "roles.csv", "enrollments.csv", "classes.csv"])
def test_a_folder_cut_between_two_lines_is_held_or_takes_nothing_away(
    standing: World, file: str, tmp_path: Path
) -> None:
    before, delivery = holdings(standing), two_schools(to.PUPILS)
    delivery.rows[file] = delivery.rows[file][: len(delivery.rows[file]) // 2]
    report = standing.sync(delivery.folder(tmp_path / "cut"))
    assert report.state in ("held", "refused", "unchanged"), report.as_dict()
    after = holdings(standing)
    assert {key: held for key, held in after.items() if key[0] != "said"} == {
        key: held for key, held in before.items() if key[0] != "said"
    }


# --- fuzzing, led by the branches that are reached -----------------------------------------------------


def reached(run: Callable[[], object], files: frozenset[str]) -> frozenset[tuple[str, int]]:
    """Return the lines of these files that a call runs through."""
    lines: set[tuple[str, int]] = set()

    def trace(frame, event, _):
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return frozenset(lines)


PIECES = [b'"', b'""', b",", b"\r", b"\n", b"\r\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b";", b"\t", b"{", b"}", b"ext:",
          b"\xe2\x80\xa8", b"true", b"TRUE", b"tobedeleted", b"2026-01-01T00:00:00Z", b"x" * 300]  # fmt: skip


def mutated(data: bytes, chance: Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at, to_ = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
        to_ = min(to_, at + chance.choice((0, 1, 5, 40)))
        data = data[:at] + chance.choice([*PIECES, b"", data[at:to_] * 2]) + data[to_:]
    return data


def read_into(outcomes: list[object], folder: Path) -> None:
    outcomes.append(outcome(folder))


def fuzz(seeds: dict[str, bytes], rounds: int, folder: Path) -> int:
    """Change one file of a delivery at a time; keep what reaches a line that nothing reached before."""
    import mappings.oneroster.delta as d
    import mappings.oneroster.heads as h
    import mappings.oneroster.rows as r

    traced = frozenset(str(module.__file__) for module in (d, h, r))
    chance, known = Random(2026), set[tuple[str, int]]()
    corpus = list(seeds.items())
    folder.mkdir()
    for _ in range(rounds):
        name, data = chance.choice(corpus)
        changed = mutated(data, chance)
        for other, sound in (seeds | {name: changed}).items():
            (folder / other).write_bytes(sound)

        outcomes: list[object] = []
        new = reached(partial(read_into, outcomes, folder), traced) - known
        assert isinstance(outcomes[0], dict) or outcomes[0] == "refused"
        if new:
            known |= new
            corpus.append((name, changed))
    return len(known)


@pytest.mark.parametrize("seeds", [lambda: two_schools(3).files(), lambda: deltas().files()], ids=["bulk", "delta"])
def test_a_reader_that_is_led_astray_refuses_and_never_fails(
    seeds: Callable[[], dict[str, bytes]], tmp_path: Path
) -> None:
    assert fuzz(seeds(), 60, tmp_path / "fuzz") > 100


@pytest.mark.invariants
@pytest.mark.parametrize("seeds", [lambda: whole().files(), lambda: deltas().files(), lambda: older().files()])
def test_three_thousand_steps_astray(seeds: Callable[[], dict[str, bytes]], tmp_path: Path) -> None:
    assert fuzz(seeds(), 3000, tmp_path / "fuzz") > 100


def test_every_file_of_the_every_file_bundle_is_there() -> None:
    assert set(whole().files()) == set(FILES["1.2"]) | {"manifest.csv"}
