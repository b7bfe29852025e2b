"""The closed schema of an entry: nothing of a person fits into it, and each entry has exactly one form."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.errors import VOCABULARY
from gateway.ledger import entry
from gateway.ledger.entry import FIELDS, LOOKS, OUTCOMES, REQUIRED, TYPES, InvalidEntry, decode, encode
from gateway.policy.request import ActorKind, Obligation, Operation, Purpose
from gateway.policy.source_policies import PROFILES
from mappings.elements import REGISTER

CALM = settings(max_examples=100, deadline=None, derandomize=True)
LEAST = {"v": 1, "type": "denial", "at": "2026-11-02T09:00:00.000Z", "school": "sch_aaaaaaaa", "id": "tr_aaaaaaaa",
         "outcome": "deny"}  # fmt: skip

PREFIXES = st.sampled_from(["tr", "sch", "ag", "ven", "la"])
refs = st.builds("{}_{:08x}".format, PREFIXES, st.integers(0, 2**80))
versioned = st.builds("{}@{}".format, refs, st.integers(0, 10**9 - 1))
hashes = st.integers(0, 2**256 - 1).map("{:064x}".format)
counts = st.integers(0, 10**12 - 1)
codes, elements = st.sampled_from(sorted(VOCABULARY)), st.sampled_from(sorted(REGISTER))
withheld = st.builds(lambda element, code: {"element": element, "code": code}, elements, codes)
counted = st.builds(lambda code, n: {"code": code, "n": n}, codes, counts)
actors = st.builds(lambda kind, ref: {"kind": str(kind), "ref": ref}, st.sampled_from(ActorKind), refs)
moments = st.integers(0, 2**45).map(lambda ms: entry.moment(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, 0, 0, ms)))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "v": st.just(1), "type": st.sampled_from(TYPES), "at": moments, "school": refs, "id": refs,
    "operation": st.sampled_from(Operation).map(str), "purpose": st.sampled_from(Purpose).map(str),
    "basis": st.sampled_from(["school_official", "family_request", "direction", "none"]), "actor": actors,
    "vendor": refs, "grant": refs, "agreement": versioned, "consent": versioned,
    "directions": st.lists(versioned, max_size=3),
    "document": hashes, "record": refs | versioned, "outcome": st.sampled_from(OUTCOMES), "reason": codes,
    "reasons": st.lists(codes, max_size=3), "elements": st.lists(elements, max_size=3),
    "withheld": st.lists(withheld, max_size=2), "rows_withheld": st.lists(counted, max_size=2), "subjects": counts,
    "subjects_root": hashes, "payload_hmac": hashes, "payload_bytes": counts, "facts": hashes, "attempt": counts,
    "relaxation": st.sampled_from(["no_resource_link", "anonymous", "trusted_audience", "clock_skew"]),
    "looked_at": st.sampled_from(LOOKS),
    "notice": refs, "obligations": st.lists(st.sampled_from(sorted(Obligation)), max_size=2),
    "policy": st.builds("{}@{}".format, st.sampled_from(sorted(PROFILES)), st.integers(0, 10**9 - 1)),
}  # fmt: skip


@st.composite
def written(draw: Any) -> dict[str, Any]:
    """An entry with what every entry has and some of what it may have, in the order of its fields."""
    optional = sorted(set(VALUES) - REQUIRED)
    mask = draw(st.integers(0, (1 << len(optional)) - 1))
    names = REQUIRED | {name for place, name in enumerate(optional) if mask >> place & 1}
    return {name: draw(VALUES[name]) for name in sorted(names)}


entries = written()


@CALM
@given(entries)
def test_an_entry_comes_back_as_it_was_written(one):
    assert decode(encode(one)) == one
    assert encode(decode(encode(one))) == encode(one)


def test_every_field_of_the_schema_is_tried_here():
    assert set(VALUES) == set(FIELDS)


@CALM
@given(entries)
def test_an_entry_is_compact_sorted_and_its_absent_fields_are_left_out(one):
    body = encode(one | {name: None for name in FIELDS if name not in one})
    assert body == json.dumps(one, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_required_field_is_missed(name):
    for without in ({k: v for k, v in LEAST.items() if k != name}, LEAST | {name: None}):
        with pytest.raises(InvalidEntry, match=f"{name} is missing"):
            encode(without)


# --- nothing of a person ---------------------------------------------------------------------------

PERSONAL = {
    "a name": "Maria Garcia",
    "a name in small letters": "maria garcia",
    "an e-mail address": "maria@schools.example",
    "a telephone number": "+1 555 0100",
    "a birth date": "2013-05-04",
    "a score": 17.5,
    "an id of the roster": "10b1b9ab-5c3b-4a3f-9c5e-000000000000",
    "a network address": "192.0.2.7",
    "a web address": "https://lms.example/u/7?token=a",
    "free text": "The teacher asked for it.",
    "a text over two lines": "sch_aaaaaaaa\nMaria",
    "a text with a line break at its end": "sch_aaaaaaaa\n",
    "an object": {"name": "Maria"},
    "a list": ["Maria"],
    "a long text": "x" * 5000,
    "no text": "",
}


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in PERSONAL.items()])
@pytest.mark.parametrize("name", sorted(FIELDS))
def test_nothing_of_a_person_fits_into_any_field(name, value):
    with pytest.raises(InvalidEntry) as invalid:
        encode(LEAST | {name: value})
    assert "maria" not in str(invalid.value).lower()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("operation", "maria.garcia", id="operation"),
        pytest.param("purpose", "maria_garcia", id="purpose"),
        pytest.param("actor", {"kind": "maria_garcia", "ref": "st_aaaaaaaa"}, id="kind of actor"),
    ],
)
def test_a_word_of_a_closed_list_is_not_any_word(name, value):
    with pytest.raises(InvalidEntry):
        encode(LEAST | {name: value})


INSIDE = {
    "who acted": lambda v: {"actor": {"kind": "staff", "ref": v}},
    "beside who acted": lambda v: {"actor": {"kind": "staff", "ref": "st_aaaaaaaa", "name": v}},
    "why it was withheld": lambda v: {"withheld": [{"element": "person.email", "code": v}]},
    "beside why it was withheld": lambda v: {"withheld": [{"element": "person.email", "code": "CON_REFUSED", "n": v}]},
    "among elements": lambda v: {"elements": ["person.email", v]},
    "among reasons": lambda v: {"reasons": ["CON_REFUSED", v]},
    "as a count": lambda v: {"rows_withheld": [{"code": "CON_REFUSED", "n": v}]},
}


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in PERSONAL.items()])
@pytest.mark.parametrize("spoiled", [pytest.param(spoiled, id=name) for name, spoiled in INSIDE.items()])
def test_nothing_of_a_person_fits_into_what_a_field_holds(spoiled, value):
    with pytest.raises(InvalidEntry):
        encode(LEAST | spoiled(value))


@CALM
@given(st.text(max_size=20).filter(lambda name: name not in FIELDS), st.one_of(st.text(), st.integers(), st.booleans()))
def test_an_unknown_field_is_refused_without_repeating_it(name, value):
    with pytest.raises(InvalidEntry, match=r"\Aan unknown field\Z"):
        encode(LEAST | {name: value})


free = st.recursive(st.text() | st.floats() | st.binary(), st.lists, max_leaves=3)


@CALM
@given(st.sampled_from(sorted(FIELDS)), free)
def test_free_values_are_refused_by_every_field(name, value):
    """Words of small letters aside: which of those a field takes is told above."""
    assume(value not in ([], 1.0) and not (isinstance(value, str) and re.fullmatch("[a-z_.]+", value)))
    with pytest.raises(InvalidEntry):
        encode(LEAST | {name: value})


@pytest.mark.parametrize("count", [-1, 10**12, True, 1.0, "1", None])
def test_a_count_is_a_whole_number_of_a_sane_size(count):
    with pytest.raises(InvalidEntry):
        entry.check(LEAST | {"subjects": count})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("at", "٢٠٢٦-١١-٠٢T٠٩:٠٠:٠٠.٠٠٠Z", id="time"),
        pytest.param("agreement", "ag_aaaaaaaa@١", id="version"),
        pytest.param("record", "ts_aaaaaaaa@１", id="version of a record"),
    ],
)
def test_digits_are_those_of_ascii(name, value):
    with pytest.raises(InvalidEntry):
        encode(LEAST | {name: value})


# --- one form --------------------------------------------------------------------------------------


def respelled(body: bytes) -> dict[str, bytes]:
    """Other JSON that says the same as the canonical bytes."""
    one, text = orjson.loads(body), body.decode()
    quoted = text.split('"')[1]
    return {
        "with spaces": json.dumps(one, sort_keys=True).encode(),
        "in another order": json.dumps(dict(reversed(one.items())), separators=(",", ":")).encode(),
        "a line break at the end": body + b"\n",
        "a space before": b" " + body,
        "a mark before": "\ufeff".encode() + body,
        "an escape": text.replace(f'"{quoted}"', f'"\\u{ord(quoted[0]):04x}{quoted[1:]}"', 1).encode(),
        "a field twice": body[:-1] + b',"v":1}',
        "a field twice, otherwise first": b'{"v":2,' + body[1:],
        "a null": body[:-1] + b',"withheld":null}',
        "a version with a point": body.replace(b'"v":1', b'"v":1.0'),
        "a version with an exponent": body.replace(b'"v":1', b'"v":1e0'),
        "a version that is true": body.replace(b'"v":1', b'"v":true'),
        "in a list": b"[" + body + b"]",
        "in two": body + body,
    }


@pytest.mark.parametrize("spelling", sorted(respelled(encode(LEAST))))
def test_any_other_spelling_of_an_entry_is_refused(spelling):
    @settings(CALM, max_examples=15)
    @given(entries)
    def law(one):
        body = encode({name: value for name, value in one.items() if name != "withheld"})
        assert respelled(body)[spelling] != body
        with pytest.raises(InvalidEntry):
            decode(respelled(body)[spelling])

    law()


@CALM
@given(entries, st.data())
def test_bytes_that_differ_anywhere_are_another_entry_or_none(one, data):
    body = encode(one)
    place, byte = data.draw(st.integers(0, len(body) - 1)), data.draw(st.integers(0, 255))
    assume(body[place] != byte)
    changed = body[:place] + bytes([byte]) + body[place + 1 :]
    try:
        other = decode(changed)
    except InvalidEntry:
        return
    assert other != one
    assert encode(other) == changed


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"1", b'"entry"', b"[]", b"{}", b"\xff\xfe", b'{"v":1}'])
def test_what_is_no_entry_is_refused(body):
    with pytest.raises(InvalidEntry):
        decode(body)


@pytest.mark.parametrize(
    ("at", "written"),
    [
        pytest.param(datetime(2026, 1, 2, 3, 4, 5, 678_999, UTC), "2026-01-02T03:04:05.678Z", id="cut to milliseconds"),
        pytest.param(datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00.000Z", id="midnight"),
        pytest.param(
            datetime(2026, 1, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5))), "2026-01-02T04:30:00.000Z", id="a zone"
        ),
    ],
)
def test_a_moment_is_written_in_utc_and_milliseconds(at, written):
    assert entry.moment(at) == written


# --- many at once ----------------------------------------------------------------------------------


@CALM
@given(st.lists(entries, min_size=1, max_size=4))
def test_a_reader_reads_what_decode_reads(many):
    reader = entry.Reader()
    for one in [*many, *many, *({**one, "id": "tr_99999999"} for one in many)]:
        assert reader.read(encode(one)) == (one["type"], one["school"], one["id"])


@settings(CALM, max_examples=400)
@given(one=entries, other=entries, place=st.integers(0, 10**6), length=st.integers(0, 3), new=st.binary(max_size=3))
def test_a_reader_that_knows_the_shape_accepts_just_what_decode_accepts(one, other, place, length, new):
    body, reader = encode(one), entry.Reader()
    reader.read(body)
    reader.read(encode(other))
    at = place % (len(body) + 1)
    changed = body[:at] + new + body[at + length :]
    try:
        said = decode(changed)
    except InvalidEntry:
        with pytest.raises(InvalidEntry):
            reader.read(changed)
    else:
        assert reader.read(changed) == (said["type"], said["school"], said["id"])


def test_nothing_passes_for_what_was_cut_out():
    reader = entry.Reader()
    body = encode(LEAST | {"subjects": 7})
    reader.read(body)
    for old, new in {
        b'"at":"2026-11-02T09:00:00.000Z"': b"?", b'"id":"tr_aaaaaaaa"': b"", b'"subjects":7': b'"subjects":7.0',
        b"7": b"07", b"tr_aaaaaaaa": b"tr_AAAAAAAA", b'"subjects"': b'"attempt"', b":7,": b":true,",
    }.items():  # fmt: skip
        with pytest.raises(InvalidEntry):
            reader.read(body.replace(old, new))
