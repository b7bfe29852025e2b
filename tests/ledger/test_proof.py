"""Bundles of a server that lies: each lie is told apart from the truth, and where it can be, the entry is named."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ledger import checkpoint, entry, merkle, proof
from gateway.ledger.proof import BundleInvalid, Proven, verify
from tests.ledger.rfc6962 import mth

OWN, FALSE = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
SCHOOL, OTHER = "sch_aaaaaaaa", "sch_bbbbbbbb"
ORIGIN = f"schoolgate/{SCHOOL}"
KEPT = checkpoint.verifier_key(ORIGIN, OWN.public_key().public_bytes_raw())
CALM = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def line(number: int, type_: str = "denial", **more: Any) -> bytes:
    one = {"v": 1, "type": type_, "at": f"2026-11-02T09:00:00.{number % 1000:03d}Z", "school": SCHOOL,
           "id": f"tr_{number:08d}", "outcome": "deny"}  # fmt: skip
    return entry.encode(one | more)


def intent(number: int) -> bytes:
    return line(number, "intent", outcome="permit")


def outcome(number: int) -> bytes:
    return line(number, "outcome", outcome="acknowledged")


# Ten entries: a denial, then intents with their outcomes, the last one still open.
BODIES = [line(0), intent(1), outcome(1), intent(2), intent(3), outcome(3), outcome(2), line(4), intent(5), line(6)]


def signed(bodies: list[bytes], private: Ed25519PrivateKey = OWN, origin: str = ORIGIN, size: int | None = None) -> str:
    return checkpoint.sign(checkpoint.Checkpoint(origin, len(bodies) if size is None else size, mth(bodies)), private)


def leaves(bodies: list[bytes]) -> bytes:
    return "".join(merkle.leaf_hash(body).hex() + "\n" for body in bodies).encode()


def bundle(bodies: list[bytes], **replaced: bytes | str | None) -> dict[str, bytes]:
    """The files of an honest bundle, some replaced; None leaves one out. A key names a file, its dot a `_`."""
    whole = {"verifier_key": KEPT, "checkpoint_note": signed(bodies), "leaves_txt": leaves(bodies),
             "entries_jsonl": b"".join(body + b"\n" for body in bodies)} | replaced  # fmt: skip
    named = {name.replace("_", "."): data for name, data in whole.items() if data is not None}
    return {name: data.encode() if isinstance(data, str) else data for name, data in named.items()}


def zipped(files: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return path


def as_folder(files: dict[str, bytes], path: Path) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


forms = pytest.mark.parametrize("form", [pytest.param(zipped, id="zip"), pytest.param(as_folder, id="folder")])
Form = Callable[[dict[str, bytes], Path], Path]


# --- the truth -------------------------------------------------------------------------------------


@forms
def test_an_honest_bundle_says_what_it_proves(form: Form, tmp_path):
    proven = Proven(ORIGIN, 10, mth(BODIES).hex(), {"denial": 3, "intent": 4, "outcome": 3}, KEPT)
    assert verify(form(bundle(BODIES), tmp_path / "bundle"), KEPT) == proven
    assert verify(tmp_path / "bundle") == proven


@pytest.mark.parametrize("size", [0, 1, 2, 1000])
def test_a_bundle_that_was_written_verifies(size, tmp_path):
    bodies = [intent(n // 2) if n % 2 == 0 else outcome(n // 2) for n in range(size)]
    proof.write(tmp_path / "bundle.zip", KEPT, signed(bodies), bodies)
    proven = verify(tmp_path / "bundle.zip", KEPT)
    assert (proven.size, proven.root) == (size, mth(bodies).hex())
    assert sum(proven.by_type.values()) == size


def test_an_older_bundle_is_still_true_and_says_its_own_size(tmp_path):
    assert verify(zipped(bundle(BODIES[:7]), tmp_path / "old.zip"), KEPT).size == 7


# --- what the reader has kept ----------------------------------------------------------------------


@pytest.mark.parametrize("size", range(11))
def test_a_bundle_continues_the_checkpoint_or_the_bundle_that_was_kept(size, tmp_path):
    later = zipped(bundle(BODIES), tmp_path / "later.zip")
    (tmp_path / "kept.note").write_text(signed(BODIES[:size]))
    earlier = (zipped(bundle(BODIES[:size]), tmp_path / "a.zip"), as_folder(bundle(BODIES[:size]), tmp_path / "a"))
    for kept in (tmp_path / "kept.note", *earlier):
        assert verify(later, KEPT, kept) == verify(later, since=kept) == verify(later, KEPT)


FORKS = {
    "another first entry": (signed([line(98), *BODIES[1:5]]), "the first 5 entries are not those"),
    "another last entry": (signed([*BODIES[:4], line(98)]), "the first 5 entries are not those"),
    "the same size": (signed([*BODIES[:9], line(98)]), "the first 10 entries are not those"),
    "more than the bundle": (signed([*BODIES, line(98)]), "11 entries were signed before"),
    "an empty log with a root": (signed(BODIES[:1], size=0), "the first 0 entries are not those"),
    "another key": (signed(BODIES[:5], FALSE), "the kept checkpoint"),
    "another log": (signed(BODIES[:5], origin=f"schoolgate/{OTHER}"), "the kept checkpoint"),
    "no note": ("entry", "the kept checkpoint"),
}


@pytest.mark.parametrize(("note", "why"), [pytest.param(*fork, id=name) for name, fork in FORKS.items()])
def test_a_bundle_that_does_not_continue_what_was_kept_is_refused(note, why, tmp_path):
    (tmp_path / "kept.note").write_text(note)
    with pytest.raises(BundleInvalid, match=why):
        verify(zipped(bundle(BODIES), tmp_path / "later.zip"), KEPT, tmp_path / "kept.note")


def test_what_was_kept_must_be_there(tmp_path):
    with pytest.raises(BundleInvalid, match="the kept checkpoint"):
        verify(zipped(bundle(BODIES), tmp_path / "later.zip"), KEPT, tmp_path / "nothing")


# --- a server that changes entries -----------------------------------------------------------------

FORGED = line(99)
LIES: dict[str, tuple[list[bytes], int | None]] = {
    "first dropped": (BODIES[1:], None),
    "one dropped": (BODIES[:3] + BODIES[4:], None),
    "last dropped": (BODIES[:-1], None),
    "all dropped": ([], None),
    "two exchanged": ([*BODIES[:4], BODIES[5], BODIES[4], *BODIES[6:]], 4),
    "turned round": (BODIES[::-1], 0),
    "one doubled": ([*BODIES[:5], BODIES[4], *BODIES[5:]], None),
    "one doubled over its neighbour": ([*BODIES[:5], BODIES[4], *BODIES[6:]], 5),
    "first altered": ([FORGED, *BODIES[1:]], 0),
    "one altered": ([*BODIES[:7], FORGED, *BODIES[8:]], 7),
    "last altered": ([*BODIES[:-1], FORGED], 9),
    "one put in": ([*BODIES[:6], FORGED, *BODIES[6:]], None),
    "one put at the end": ([*BODIES, FORGED], None),
}
lies = pytest.mark.parametrize(("bodies", "at"), [pytest.param(*lie, id=name) for name, lie in LIES.items()])


@forms
@lies
def test_changed_entries_are_caught_and_named(form: Form, bodies, at, tmp_path):
    lie = bundle(BODIES, entries_jsonl=bundle(bodies)["entries.jsonl"])
    with pytest.raises(BundleInvalid, match="entr" if at is None else f"entry {at} was changed"):
        verify(form(lie, tmp_path / "lie"), KEPT)


@lies
def test_changed_entries_with_leaves_to_match_are_caught_by_what_was_signed(bodies, at, tmp_path):
    lie = bundle(bodies, checkpoint_note=signed(BODIES))
    with pytest.raises(BundleInvalid, match=r"root of the entries|checkpoint is for 10 entries"):
        verify(zipped(lie, tmp_path / "lie.zip"), KEPT)


@lies
def test_changed_entries_signed_with_another_key_are_caught_by_the_key_the_reader_kept(bodies, at, tmp_path):
    key = checkpoint.verifier_key(ORIGIN, FALSE.public_key().public_bytes_raw())
    lie = zipped(bundle(bodies, checkpoint_note=signed(bodies, FALSE), verifier_key=key), tmp_path / "lie.zip")
    with pytest.raises(BundleInvalid, match="checkpoint: "):
        verify(lie, KEPT)


def test_without_a_key_of_the_readers_own_a_bundle_only_agrees_with_itself(tmp_path):
    key = checkpoint.verifier_key(ORIGIN, FALSE.public_key().public_bytes_raw())
    lie = bundle(BODIES[:4], checkpoint_note=signed(BODIES[:4], FALSE), verifier_key=key)
    assert verify(zipped(lie, tmp_path / "lie.zip")).size == 4


def test_an_empty_key_is_not_no_key(tmp_path):
    """A reader who names a key is never answered with the bundle's own, even where the key came out empty."""
    with pytest.raises(BundleInvalid):
        verify(zipped(bundle(BODIES), tmp_path / "bundle.zip"), "")


CHECKPOINTS = {
    "stale": signed(BODIES[:8]),
    "from the future": signed([*BODIES, FORGED]),
    "of another size, same root": signed(BODIES, size=9),
    "of another log": signed(BODIES, origin=f"schoolgate/{OTHER}"),
    "of another key": signed(BODIES, FALSE),
    "of another key and this one's text": signed(BODIES, FALSE).split("\n\n")[0] + "\n\n" + signed([]).split("\n\n")[1],
    "unsigned": signed(BODIES).split("\n\n")[0] + "\n",
    "empty": "",
    "not a text": b"\xff\xfe",
}


@pytest.mark.parametrize("note", [pytest.param(note, id=name) for name, note in CHECKPOINTS.items()])
def test_a_checkpoint_of_something_else_is_refused(note, tmp_path):
    with pytest.raises(BundleInvalid, match="checkpoint"):
        verify(zipped(bundle(BODIES, checkpoint_note=note), tmp_path / "lie.zip"), KEPT)


# --- an owner of the log that signs its own lies ---------------------------------------------------

CANONICAL = BODIES[7]
OWN_LIES: dict[str, tuple[int, list[bytes]]] = {
    "an outcome without an intent": (3, [*BODIES[:3], outcome(77), *BODIES[3:]]),
    "an outcome before its intent": (1, [line(0), outcome(1), intent(1)]),
    "an outcome of a denial": (1, [line(0), outcome(0)]),
    "a body with spaces": (7, [*BODIES[:7], CANONICAL.replace(b",", b", "), *BODIES[8:]]),
    "a body in another order": (0, [b'{"v":1,' + CANONICAL.replace(b',"v":1', b"")[1:]]),
    "a field twice": (0, [CANONICAL[:-1] + b',"v":1}']),
    "an unknown field": (2, [line(0), line(1), CANONICAL[:-1] + b',"zip":"x"}']),
    "a name": (1, [line(0), CANONICAL.replace(b'"tr_00000004"', b'"Maria Garcia"')]),
    "a field missing": (1, [line(0), CANONICAL.replace(b'"outcome":"deny",', b"")]),
    "no JSON": (1, [line(0), b"nothing to see here"]),
    "no UTF-8": (1, [line(0), b"\xff\xfe"]),
    "an empty line": (1, [line(0), b"", line(1)]),
    "the first of another school": (0, [line(0, school=OTHER), *BODIES[1:]]),
    "one of another school": (6, [*BODIES[:6], line(50, school=OTHER), *BODIES[6:]]),
    "the last of another school": (10, [*BODIES, line(50, school=OTHER)]),
    "all of another school": (0, [line(n, school=OTHER) for n in range(3)]),
}


@pytest.mark.parametrize(("at", "bodies"), [pytest.param(*lie, id=name) for name, lie in OWN_LIES.items()])
def test_what_no_log_may_hold_is_refused_though_it_is_signed(at, bodies, tmp_path):
    with pytest.raises(BundleInvalid, match=rf"\Aentry {at}\b"):
        verify(zipped(bundle(bodies), tmp_path / "lie.zip"), KEPT)


# --- what is no bundle -----------------------------------------------------------------------------


@forms
@pytest.mark.parametrize("missing", ["verifier_key", "checkpoint_note", "entries_jsonl", "leaves_txt"])
def test_a_missing_file_is_no_bundle(form: Form, missing, tmp_path):
    with pytest.raises(BundleInvalid, match="not a bundle"):
        verify(form(bundle(BODIES, **{missing: None}), tmp_path / "bundle"), KEPT)


SPOILED = {
    "entries cut off": {"entries_jsonl": bundle(BODIES)["entries.jsonl"][:-1]},
    "entries cut in the middle": {"entries_jsonl": bundle(BODIES)["entries.jsonl"][:700]},
    "no entries": {"entries_jsonl": b""},
    "line ends of another system": {"entries_jsonl": bundle(BODIES)["entries.jsonl"].replace(b"\n", b"\r\n")},
    "leaves cut off": {"leaves_txt": leaves(BODIES)[:-65]},
    "leaves exchanged": {"leaves_txt": leaves([BODIES[1], BODIES[0], *BODIES[2:]])},
    "leaves of letters": {"leaves_txt": b"leaf\n" * 10},
    "leaves that are no text": {"leaves_txt": b"\xff\xfe" * 330},
    "no leaves": {"leaves_txt": b""},
}


@forms
@pytest.mark.parametrize("spoiled", [pytest.param(files, id=name) for name, files in SPOILED.items()])
def test_a_spoiled_file_is_refused(form: Form, spoiled, tmp_path):
    with pytest.raises(BundleInvalid):
        verify(form(bundle(BODIES, **spoiled), tmp_path / "bundle"), KEPT)


@pytest.mark.parametrize("key", [pytest.param(b"", id="empty"), pytest.param(b"\xff\xfe", id="not a text")])
def test_a_bundle_whose_own_key_is_no_key_is_refused(key, tmp_path):
    with pytest.raises(BundleInvalid):
        verify(zipped(bundle(BODIES, verifier_key=key), tmp_path / "bundle.zip"))


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip", b"PK\x05\x06" + bytes(18), b"\x00" * 4096])
def test_what_is_not_a_zip_is_no_bundle(data, tmp_path):
    (tmp_path / "bundle.zip").write_bytes(data)
    with pytest.raises(BundleInvalid, match="not a bundle"):
        verify(tmp_path / "bundle.zip", KEPT)


def test_what_is_not_there_is_no_bundle(tmp_path):
    with pytest.raises(BundleInvalid, match="not a bundle"):
        verify(tmp_path / "nothing.zip", KEPT)


def test_a_bundle_in_a_folder_of_its_zip_is_no_bundle(tmp_path):
    inside = {f"bundle/{name}": data for name, data in bundle(BODIES).items()}
    with pytest.raises(BundleInvalid, match="not a bundle"):
        verify(zipped(inside, tmp_path / "bundle.zip"), KEPT)


def _packed() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in bundle(BODIES).items():
            made.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


PACKED = _packed()
HONEST = Proven(ORIGIN, 10, mth(BODIES).hex(), {"denial": 3, "intent": 4, "outcome": 3}, KEPT)


def _said_of(data: bytes, path: Path) -> str:
    path.write_bytes(data)
    try:
        return "the same" if verify(path, KEPT) == HONEST else "something else"
    except BundleInvalid:
        return "refused"
    except Exception as error:
        return type(error).__name__


def test_a_zip_with_a_changed_byte_is_refused_or_says_the_same(tmp_path):
    """Each byte in turn; whatever the archive's own reader makes of it, the verifier refuses in its own words."""
    found = {
        _said_of(
            PACKED[:place] + bytes([byte ^ (0x80 if place % 2 else 0x01)]) + PACKED[place + 1 :], tmp_path / "b.zip"
        )
        for place, byte in enumerate(PACKED)
    }
    assert found == {"refused", "the same"}


@CALM
@given(place=st.integers(0, len(PACKED) - 1))
def test_a_zip_cut_short_is_refused(place, tmp_path):
    (tmp_path / "bundle.zip").write_bytes(PACKED[:place])
    with pytest.raises(BundleInvalid, match="not a bundle"):
        verify(tmp_path / "bundle.zip", KEPT)


def test_what_packs_better_than_any_log_is_not_unpacked(tmp_path):
    """300 MiB of one letter in 300 kB: refused by what the archive says of itself."""
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in proof.FILES:
            bundle.writestr(name, b"a" * (300 << 20) if name == "entries.jsonl" else b"a")
    with pytest.raises(proof.BundleInvalid, match="packs better"):
        proof.verify(tmp_path / "bomb.zip")
