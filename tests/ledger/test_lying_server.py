"""A server that lies to whoever verifies: each lie is refused in the verifier's own words, and in no other way.

What changes entries of a bundle stands in `test_proof.py`; here are receipts, split views, and bytes changed by chance.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import pymerkle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ledger import checkpoint, handles, merkle, receipt
from gateway.ledger.proof import BundleInvalid, verify
from gateway.ledger.receipt import Receipt, ReceiptInvalid, check
from tests.ledger.rfc6962 import Tree, mth
from tests.ledger.test_proof import (  # fmt: skip
    BODIES,
    FALSE,
    HONEST,
    KEPT,
    ORIGIN,
    OTHER,
    PACKED,
    SCHOOL,
    bundle,
    intent,
    line,
    outcome,
    signed,
    zipped,
)

CALM = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PUPILS = [f"p{n}" for n in range(7)]


def opening(transfer: int, pupil: str) -> bytes:
    return blake2b(f"{transfer}|{pupil}".encode(), digest_size=32).digest()


def joined(transfer: int, pupils: list[str] = PUPILS) -> bytes:
    return b"".join(sorted(handles.handle(opening(transfer, pupil), pupil) for pupil in pupils))


def sent(transfer: int, school: str = SCHOOL, **more: Any) -> bytes:
    of = joined(transfer)
    said = {"outcome": "permit", "subjects": len(PUPILS), "subjects_root": handles.root_of(of), "school": school}
    return line(transfer, "intent", **(said | more))


LOG = [line(0), sent(1), outcome(1), sent(2), sent(3), line(4), intent(5), sent(6), line(7)]
LEAVES = [merkle.leaf_hash(body) for body in LOG]


def made(transfer: int = 3, pupil: str = "p2", log: list[bytes] = LOG, private: Any = None) -> Receipt:
    index = next(n for n, body in enumerate(log) if f'"tr_{transfer:08d}"'.encode() in body)
    own = handles.split(joined(transfer))
    place = own.index(handles.handle(opening(transfer, pupil), pupil))
    return Receipt(
        KEPT, pupil, opening(transfer, pupil), place, merkle.inclusion(place, handles.leaves(joined(transfer))),
        log[index], index, Tree(log).inclusion(index, len(log)), signed(log, *([private] if private else [])),
    )  # fmt: skip


def refused(one: Receipt, key: str | None = KEPT) -> str:
    with pytest.raises(ReceiptInvalid) as why:
        check(one.text().encode(), key)
    return str(why.value)


# --- receipts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("transfer", [1, 2, 3, 6])
@pytest.mark.parametrize("pupil", PUPILS)
def test_the_truth_is_shown(transfer, pupil):
    shown = check(made(transfer, pupil).text().encode(), KEPT)
    assert (shown.pupil, shown.transfer, shown.origin, shown.size) == (pupil, f"tr_{transfer:08d}", ORIGIN, len(LOG))


def test_any_id_can_stand_on_a_receipt():
    for pupil in ("", "ä€𝄞", 'a"b\\c\n\nindex 7', "entry x"):
        own = handles.handle(opening(3, pupil), pupil)
        body = sent(3, subjects=1, subjects_root=merkle.leaf_hash(own).hex())
        log = [line(0), body]
        one = Receipt(KEPT, pupil, opening(3, pupil), 0, [], body, 1, Tree(log).inclusion(1, 2), signed(log))
        assert check(one.text().encode(), KEPT).pupil == pupil


HONEST_RECEIPT = made()
THEIRS = made(2, "p2")
FORKED = [*LOG[:4], sent(3, vendor="ve_forged000"), *LOG[5:]]
RECEIPTS = {
    "another pupil": replace(HONEST_RECEIPT, pupil="p3"),
    "another pupil and its opening": replace(HONEST_RECEIPT, pupil="p3", opening=opening(3, "p3")),
    "another pupil, its opening and place": replace(made(3, "p3"), subject_path=HONEST_RECEIPT.subject_path),
    "somebody who was not there": replace(HONEST_RECEIPT, pupil="q9", opening=opening(3, "q9")),
    "the opening of another transfer": replace(HONEST_RECEIPT, opening=opening(2, "p2")),
    "the subjects of another transfer": replace(HONEST_RECEIPT, opening=THEIRS.opening, subject=THEIRS.subject,
                                                subject_path=THEIRS.subject_path),
    "the entry of another transfer": replace(HONEST_RECEIPT, body=THEIRS.body),
    "the place of another transfer": replace(HONEST_RECEIPT, body=THEIRS.body, index=THEIRS.index, path=THEIRS.path),
    "another place in the log": replace(HONEST_RECEIPT, index=HONEST_RECEIPT.index + 1),
    "a place beyond the log": replace(HONEST_RECEIPT, index=len(LOG)),
    "another place among the subjects": replace(HONEST_RECEIPT, subject=(HONEST_RECEIPT.subject + 1) % 7),
    "a place beyond the subjects": replace(HONEST_RECEIPT, subject=7),
    "a step too few": replace(HONEST_RECEIPT, path=HONEST_RECEIPT.path[:-1]),
    "a step too many": replace(HONEST_RECEIPT, path=[*HONEST_RECEIPT.path, bytes(32)]),
    "no steps": replace(HONEST_RECEIPT, path=[]),
    "steps turned round": replace(HONEST_RECEIPT, path=HONEST_RECEIPT.path[::-1]),
    "forged steps": replace(HONEST_RECEIPT, path=[bytes(32)] * len(HONEST_RECEIPT.path)),
    "a forged entry": replace(HONEST_RECEIPT, body=FORKED[4]),
    "a fork, with the checkpoint of the other branch": replace(made(3, "p2", FORKED), note=signed(LOG)),
    "a stale checkpoint": replace(HONEST_RECEIPT, note=signed(LOG[:5])),
    "a checkpoint before the entry": replace(HONEST_RECEIPT, note=signed(LOG[:3])),
    "a log rewritten without the key": made(3, "p2", FORKED, FALSE),
    "a log of another name": replace(HONEST_RECEIPT, note=signed(LOG, origin=f"schoolgate/{OTHER}")),
    "a checkpoint without signature": replace(HONEST_RECEIPT, note=signed(LOG).partition("\n\n")[0] + "\n"),
    "no checkpoint": replace(HONEST_RECEIPT, note=""),
    "an opening too short": replace(HONEST_RECEIPT, opening=HONEST_RECEIPT.opening[:31]),
    "an empty opening": replace(HONEST_RECEIPT, opening=b""),
}  # fmt: skip


@pytest.mark.parametrize("one", [pytest.param(one, id=name) for name, one in RECEIPTS.items()])
def test_a_receipt_of_something_else_is_refused(one):
    assert refused(one)


NOBODY = {"a denial": line(3), "an outcome": outcome(3), "nobody": intent(3), "another school": sent(3, school=OTHER),
          "an empty one": sent(3, subjects=0)}  # fmt: skip


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in NOBODY.items()])
def test_an_entry_that_shows_nobody_is_refused_though_it_is_in_the_log(body):
    log = [*LOG[:4], body, *LOG[5:]]
    assert refused(replace(HONEST_RECEIPT, body=body, path=Tree(log).inclusion(4, len(log)), note=signed(log)))


def test_without_a_key_of_the_readers_own_a_receipt_only_agrees_with_itself():
    key = checkpoint.verifier_key(ORIGIN, FALSE.public_key().public_bytes_raw())
    forged = replace(made(3, "p2", FORKED, FALSE), key=key)
    assert check(forged.text().encode()).entry["vendor"] == "ve_forged000"
    assert refused(forged).startswith("checkpoint: ")
    assert refused(HONEST_RECEIPT, "") != ""


TEXT = HONEST_RECEIPT.text().encode()
SHOWN = check(TEXT, KEPT)


def _means(text: bytes) -> str:
    try:
        return "the same" if check(text, KEPT) == SHOWN else "something else"
    except ReceiptInvalid:
        return "refused"
    except Exception as error:
        return type(error).__name__


def test_a_receipt_with_any_byte_changed_is_refused_or_means_the_same():
    found = {
        _means(TEXT[:n] + bytes([byte ^ flip]) + TEXT[n + 1 :]) for n, byte in enumerate(TEXT) for flip in (1, 0x80)
    }
    assert found <= {"refused", "the same"}
    unsaid = TEXT.index(b"\npupil")  # the receipt's own key, which this reader does not ask for
    assert {_means(TEXT[:n] + b"#" + TEXT[n + 1 :]) for n in range(unsaid, len(TEXT))} == {"refused"}


@CALM
@given(at=st.integers(0, len(TEXT)), length=st.integers(0, 40), new=st.binary(max_size=8))
def test_a_receipt_with_bytes_put_in_or_out_is_refused_or_means_the_same(at, length, new):
    assert _means(TEXT[:at] + new + TEXT[at + length :]) in ("refused", "the same")


@CALM
@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda said: f"{receipt.HEADER}\n{said}".encode()))
def test_what_is_no_receipt_is_refused(text):
    assert _means(text) == "refused"


def test_a_huge_file_is_not_a_receipt(tmp_path):
    (tmp_path / "r.txt").write_bytes(TEXT + b"x" * 10_000_000)
    assert receipt.is_receipt(tmp_path / "r.txt")
    with pytest.raises(ReceiptInvalid):
        receipt.verify(tmp_path / "r.txt", KEPT)
    with pytest.raises(ReceiptInvalid):
        receipt.verify(tmp_path / "nothing", KEPT)
    assert not receipt.is_receipt(tmp_path / "nothing")


def test_the_proof_on_a_receipt_is_the_standards_own():
    """C2SP tlog-proof: what follows the first empty line, read with nothing of ours."""
    header, index, *path = TEXT.decode().partition("\n\n")[2].partition("\n\n")[0].split("\n")
    assert (header, index) == ("c2sp.org/tlog-proof@v1", f"index {HONEST_RECEIPT.index}")
    assert [base64.b64decode(step) for step in path] == Tree(LOG).inclusion(HONEST_RECEIPT.index, len(LOG))
    assert TEXT.decode().endswith(signed(LOG))


def test_a_receipt_of_a_large_log_stays_small(tmp_path):
    """A million entries, ten thousand pupils, every element named: the steps are counted, not made."""
    body = sent(
        3,
        elements=["person.name.given"] * 40,
        withheld=[{"element": "person.email", "code": "ELM_NOT_IN_SCHEDULE"}] * 15,
    )
    large = replace(HONEST_RECEIPT, body=body, path=[bytes(32)] * 20, subject_path=[bytes(32)] * 14, index=10**6)
    assert len(large.text().encode()) <= 5 * 1024


# --- split views -----------------------------------------------------------------------------------


@CALM
@given(old=st.integers(0, 10), new=st.integers(0, 10), at=st.integers(0, 9))
def test_two_views_of_one_log_are_told_apart(old, new, at, tmp_path):
    """One reader kept a note of a log in which entry `at` is another; the next bundle is of this log."""
    other = [*BODIES[:at], line(98), *BODIES[at + 1 :]]
    path, kept = zipped(bundle(BODIES[:new]), tmp_path / "new.zip"), tmp_path / "kept.note"
    kept.write_text(signed(other[:old]))
    if old <= new and old <= at:
        assert verify(path, KEPT, kept).size == new
    else:
        with pytest.raises(BundleInvalid):
            verify(path, KEPT, kept)


@CALM
@given(at=st.integers(0, len(PACKED) - 1), length=st.integers(0, 9), new=st.binary(max_size=9))
def test_a_bundle_with_bytes_put_in_or_out_is_refused_or_says_the_same(at, length, new, tmp_path):
    (tmp_path / "b.zip").write_bytes(PACKED[:at] + new + PACKED[at + length :])
    with suppress(BundleInvalid):
        assert verify(tmp_path / "b.zip", KEPT, tmp_path / "b.zip") == HONEST


@CALM
@given(name=st.sampled_from(["checkpoint_note", "entries_jsonl", "leaves_txt", "verifier_key"]),
       place=st.integers(0, 10**6), flip=st.integers(1, 255))  # fmt: skip
def test_a_bundle_with_a_changed_byte_inside_is_refused_or_says_the_same(name, place, flip, tmp_path):
    whole = bundle(BODIES)[name.replace("_", ".")]
    at = place % len(whole)
    lie = bundle(BODIES, **{name: whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]})
    with suppress(BundleInvalid):
        assert verify(zipped(lie, tmp_path / "b.zip"), KEPT) == HONEST


# --- a second opinion ------------------------------------------------------------------------------


@settings(CALM, max_examples=60)
@given(st.lists(st.binary(max_size=40), max_size=70))
def test_an_implementation_that_shares_nothing_with_ours_finds_the_same_roots(bodies):
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    edge = merkle.Frontier()
    for body in bodies:
        tree.append_entry(body)
        edge.append(merkle.leaf_hash(body))
    leaves = [merkle.leaf_hash(body) for body in bodies]
    if bodies:
        assert tree.get_root() == edge.root() == merkle.root(leaves) == mth(bodies)
        assert [tree.get_root(n) for n in range(1, len(bodies) + 1)] == [
            mth(bodies[:n]) for n in range(1, len(bodies) + 1)
        ]
    else:
        assert edge.root() == merkle.root([]) == mth([])
