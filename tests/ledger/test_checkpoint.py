"""Checkpoints in the form of C2SP tlog-checkpoint and signed-note: what verifies, and everything that must not."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.ledger.checkpoint import Checkpoint, InvalidCheckpoint, key_id, sign, verifier_key, verify

CALM = settings(max_examples=100, deadline=None, derandomize=True)
ORIGIN, OTHER = "schoolgate/sch_aaaaaaaa", "schoolgate/sch_bbbbbbbb"
KEY, SECOND = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
ROOT = sha256(b"root").digest()


def public(private: Ed25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


VERIFIER = verifier_key(ORIGIN, public(KEY))
NOTE = sign(Checkpoint(ORIGIN, 7, ROOT), KEY)
TEXT, _, SIGNATURE = NOTE.partition("\n\n")
ROOT_LINE = base64.b64encode(ROOT).decode()


def signed(text: str, name: str = ORIGIN, private: Ed25519PrivateKey = KEY) -> str:
    """One signature line over any text, by the rules of signed-note and not by the code under test."""
    identity = sha256(name.encode() + b"\n\x01" + public(private)).digest()[:4]
    return f"\u2014 {name} {base64.b64encode(identity + private.sign(text.encode())).decode()}\n"


# --- what verifies ---------------------------------------------------------------------------------


@CALM
@given(st.integers(0, 2**63), st.binary(min_size=32, max_size=32), st.from_regex(r"\A[a-z]{1,9}/sch_[0-9a-z]{8}\Z"))
def test_what_is_signed_verifies_and_says_the_same(size, root, origin):
    said = Checkpoint(origin, size, root)
    assert verify(sign(said, KEY), verifier_key(origin, public(KEY))) == said


def test_a_note_is_three_lines_a_blank_one_and_a_signature():
    text = f"{ORIGIN}\n7\n{ROOT_LINE}\n"
    assert f"{text}\n{signed(text)}" == NOTE
    assert NOTE.startswith(Checkpoint(ORIGIN, 7, ROOT).text())


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(
            "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", id="the Go checksum database"
        ),
        pytest.param(
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", id="the example of signed-note"
        ),
    ],
)
def test_the_key_id_is_that_of_published_keys(key):
    name, identity, encoded = key.split("+", 2)
    raw = base64.b64decode(encoded)[1:]
    assert key_id(name, raw).hex() == identity
    assert verifier_key(name, raw) == key


def test_a_key_with_white_space_around_it_is_the_same_key():
    assert verify(NOTE, f" {VERIFIER}\n") == Checkpoint(ORIGIN, 7, ROOT)


# --- several signatures ----------------------------------------------------------------------------

BODY = TEXT + "\n"
SIGNERS = {
    "a witness before": signed(BODY, "witness.example", SECOND) + SIGNATURE,
    "a witness after": SIGNATURE + signed(BODY, "witness.example", SECOND),
    "another log's before": signed(BODY, OTHER) + SIGNATURE,
    "an older key of this log before": signed(BODY, ORIGIN, SECOND) + SIGNATURE,
    "an older key of this log after": SIGNATURE + signed(BODY, ORIGIN, SECOND),
    "an unknown kind of key before": f"\u2014 {ORIGIN} {base64.b64encode(b'abcd' + bytes(80)).decode()}\n" + SIGNATURE,
}


@pytest.mark.parametrize("signatures", [pytest.param(lines, id=name) for name, lines in SIGNERS.items()])
def test_signatures_by_keys_the_reader_does_not_know_are_passed_over(signatures):
    """signed-note: a key is known by its name and its id together; others are ignored."""
    assert verify(f"{BODY}\n{signatures}", VERIFIER) == Checkpoint(ORIGIN, 7, ROOT)


def test_a_note_signed_by_others_only_does_not_verify():
    for others in (signed(BODY, "witness.example", SECOND), signed(BODY, ORIGIN, SECOND), signed(BODY, OTHER)):
        with pytest.raises(InvalidCheckpoint):
            verify(f"{BODY}\n{others}", VERIFIER)


def test_a_false_signature_in_the_name_of_the_known_key_is_not_outweighed_by_a_true_one():
    false = f"\u2014 {ORIGIN} {base64.b64encode(key_id(ORIGIN, public(KEY)) + bytes(64)).decode()}\n"
    with pytest.raises(InvalidCheckpoint):
        verify(f"{BODY}\n{false}{SIGNATURE}", VERIFIER)


# --- what was tampered with ------------------------------------------------------------------------


@CALM
@given(st.integers(0, len(TEXT.encode()) - 1), st.integers(0, 255))
def test_a_changed_text_does_not_verify(place, byte):
    raw = TEXT.encode()
    assume(raw[place] != byte)
    changed = (raw[:place] + bytes([byte]) + raw[place + 1 :]).decode("utf-8", "replace")
    with pytest.raises(InvalidCheckpoint):
        verify(f"{changed}\n\n{SIGNATURE}", VERIFIER)


@CALM
@given(st.integers(0, 67), st.integers(1, 255))
def test_a_changed_signature_does_not_verify(place, change):
    raw = bytearray(base64.b64decode(SIGNATURE.split(" ")[2]))
    raw[place] ^= change
    with pytest.raises(InvalidCheckpoint):
        verify(f"{BODY}\n\u2014 {ORIGIN} {base64.b64encode(raw).decode()}\n", VERIFIER)


TAMPERED = {
    "size": (f"{ORIGIN}\n8\n{ROOT_LINE}\n", SIGNATURE, VERIFIER),
    "root": (f"{ORIGIN}\n7\n{base64.b64encode(bytes(32)).decode()}\n", SIGNATURE, VERIFIER),
    "origin of the text": (f"{OTHER}\n7\n{ROOT_LINE}\n", SIGNATURE, VERIFIER),
    "origin of the signature": (BODY, SIGNATURE.replace(ORIGIN, OTHER), VERIFIER),
    "origin of the key": (BODY, SIGNATURE, verifier_key(OTHER, public(KEY))),
    "another key": (BODY, SIGNATURE, verifier_key(ORIGIN, public(SECOND))),
    "all origins but that of the key": (
        f"{OTHER}\n7\n{ROOT_LINE}\n", signed(f"{OTHER}\n7\n{ROOT_LINE}\n", OTHER), VERIFIER
    ),
    "another log's text under this log's name": (
        f"{OTHER}\n7\n{ROOT_LINE}\n", signed(f"{OTHER}\n7\n{ROOT_LINE}\n", ORIGIN), VERIFIER
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "lines", "key"), [pytest.param(*parts, id=name) for name, parts in TAMPERED.items()])
def test_what_was_tampered_with_does_not_verify(text, lines, key):
    with pytest.raises(InvalidCheckpoint):
        verify(f"{text}\n{lines}", key)


# --- what is malformed -----------------------------------------------------------------------------

MALFORMED_TEXTS = {
    "no origin": f"\n7\n{ROOT_LINE}\n",
    "no size": f"{ORIGIN}\n\n{ROOT_LINE}\n",
    "no root": f"{ORIGIN}\n7\n",
    "a size of letters": f"{ORIGIN}\nseven\n{ROOT_LINE}\n",
    "a size with a sign": f"{ORIGIN}\n+7\n{ROOT_LINE}\n",
    "a negative size": f"{ORIGIN}\n-7\n{ROOT_LINE}\n",
    "a size with a leading zero": f"{ORIGIN}\n07\n{ROOT_LINE}\n",
    "a size with a space": f"{ORIGIN}\n7 \n{ROOT_LINE}\n",
    "a size of other digits": f"{ORIGIN}\n٧\n{ROOT_LINE}\n",
    "a size beyond reading": f"{ORIGIN}\n{'7' * 5000}\n{ROOT_LINE}\n",
    "a short root": f"{ORIGIN}\n7\n{base64.b64encode(ROOT[:31]).decode()}\n",
    "a long root": f"{ORIGIN}\n7\n{base64.b64encode(ROOT + b'0').decode()}\n",
    "a root in hex": f"{ORIGIN}\n7\n{ROOT.hex()}\n",
    "a root of another spelling": f"{ORIGIN}\n7\n{ROOT_LINE[:-2]}{chr(ord(ROOT_LINE[-2]) + 1)}=\n",
    "line ends of another system": f"{ORIGIN}\r\n7\r\n{ROOT_LINE}\r\n",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in MALFORMED_TEXTS.items()])
def test_a_malformed_text_is_refused_though_it_is_signed(text):
    with pytest.raises(InvalidCheckpoint):
        verify(f"{text}\n{signed(text)}", VERIFIER)


MALFORMED_NOTES = {
    "nothing": "",
    "no signature": BODY,
    "no blank line": BODY + SIGNATURE,
    "a signature without a dash": f"{BODY}\n{SIGNATURE[2:]}",
    "a signature with a hyphen": f"{BODY}\n-{SIGNATURE[1:]}",
    "a signature without a name": f"{BODY}\n\u2014 {SIGNATURE.split(' ')[2]}",
    "a signature that is not base64": f"{BODY}\n\u2014 {ORIGIN} %%%%\n",
    "a signature cut short": f"{BODY}\n{SIGNATURE[:-20]}\n",
    "an empty signature": f"{BODY}\n\u2014 {ORIGIN} \n",
    "a line that is no signature after it": f"{NOTE}trust me\n",
    "a line that is no signature before it": f"{BODY}\ntrust me\n{SIGNATURE}",
    "cut off in its last line": NOTE[:-1],
}


@pytest.mark.parametrize("note", [pytest.param(note, id=name) for name, note in MALFORMED_NOTES.items()])
def test_a_malformed_note_is_refused(note):
    with pytest.raises(InvalidCheckpoint):
        verify(note, VERIFIER)


_NAME, _ID, _ENCODED = VERIFIER.split("+", 2)
MALFORMED_KEYS = {
    "nothing": "",
    "no parts": ORIGIN,
    "no key": f"{_NAME}+{_ID}",
    "another id": f"{_NAME}+00000000+{_ENCODED}",
    "an id in capitals": f"{_NAME}+{_ID.upper()}A+{_ENCODED}",
    "another name": f"{OTHER}+{_ID}+{_ENCODED}",
    "not base64": f"{_NAME}+{_ID}+%%%%",
    "a short key": f"{_NAME}+{_ID}+{base64.b64encode(bytes([1]) + public(KEY)[:31]).decode()}",
    "another kind of key": f"{_NAME}+{_ID}+{base64.b64encode(bytes([2]) + public(KEY)).decode()}",
}


@pytest.mark.parametrize("key", [pytest.param(key, id=name) for name, key in MALFORMED_KEYS.items()])
def test_a_malformed_key_verifies_nothing(key):
    with pytest.raises(InvalidCheckpoint):
        verify(NOTE, key)
