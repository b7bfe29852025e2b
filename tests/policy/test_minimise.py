"""What leaves is built up from nothing: only permitted paths come out, and nobody else can seal an answer."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from marshmallow import Schema, fields

from gateway import errors
from gateway.app import make_parts
from gateway.errors import Refused
from gateway.policy.decide import Decision
from gateway.policy.minimise import (
    clear,
    clear_bytes,
    clear_page,
    clear_record,
    every_record,
    one_of_each_page,
    permitted_fields,
)
from mappings import application, family, lti
from mappings._seal import SEAL, Seal
from mappings.cleared import Cleared
from mappings.elements import REGISTER, element
from mappings.fields import _PLACES, Unclassified, carries
from mappings.oneroster import v1p2
from tests.policy.worlds_of_facts import FEW, family_request, subset

CANARY = "canary-5f1d"
REQUEST = family_request()
SCHEMAS = [
    schema
    for module in (application, family, v1p2)
    for name, schema in vars(module).items()
    if isinstance(schema, type) and issubclass(schema, Schema) and schema is not Schema and name[0] != "_"
] + [lti.ScoreSchema]
each_schema = pytest.mark.parametrize("schema", [pytest.param(s, id=f"{s.__module__}.{s.__name__}") for s in SCHEMAS])


def permitting(*elements: str) -> Decision:
    return Decision(REQUEST, (), frozenset(elements))


# --- what a schema says, read without the code under test ------------------------------------------


def declared(schema: type[Schema]) -> Iterator[tuple[str, str, fields.Field[Any], type[Schema] | None]]:
    """Each field of a schema: our name, the name on the wire, the field, and the schema of what it nests."""
    for name, field in schema().fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        yield name, field.data_key or name, field, type(inner.schema) if isinstance(inner, fields.Nested) else None


def elements_of(schema: type[Schema]) -> frozenset[str]:
    """Every element a schema or what it nests names."""
    found = set()
    for _, _, field, nested in declared(schema):
        found |= {field.metadata["element"]} | (elements_of(nested) if nested else set())
    return frozenset(found)


VALUES = {fields.Integer: 7, fields.Float: 0.5, fields.Boolean: True, fields.Date: date(2026, 5, 4),
          fields.AwareDateTime: datetime(2026, 5, 4, tzinfo=UTC), fields.Dict: {"level": 1.0}}  # fmt: skip


def full(schema: type[Schema]) -> dict[str, Any]:
    """A record with a value in every field, and at every depth things that nobody asked for."""
    record: dict[str, Any] = {"ssn": CANARY, "person.password": CANARY, "Name": CANARY, "extra": {"deep": [CANARY]}}
    for name, _, field, nested in declared(schema):
        value = (
            full(nested) if nested else next((v for t, v in VALUES.items() if isinstance(field, t)), f"{name} value")
        )
        record[name] = [value, value] if isinstance(field, fields.List) else value
    return record


def kept(schema: type[Schema], permitted: frozenset[str]) -> dict[str, Any]:
    """The paths that must come out of a full record, as a tree of wire names."""
    return {
        wire: kept(nested, permitted) if nested else None
        for _, wire, field, nested in declared(schema)
        if field.metadata["element"] in permitted
    }


def shape(value: Any, schema: type[Schema]) -> dict[str, Any]:
    """The paths of a parsed answer, lists merged, what an open dictionary holds left aside."""
    known, found = {wire: nested for _, wire, _, nested in declared(schema)}, {}
    for name, item in value.items():
        items = item if isinstance(item, list) else [item]
        nested = known.get(name)
        found[name] = {k: v for one in items for k, v in shape(one, nested).items()} if nested else None
    return found


# --- one answer ------------------------------------------------------------------------------------


@each_schema
def test_an_answer_holds_the_permitted_paths_and_nothing_else(schema):
    @settings(FEW, max_examples=25)
    @given(subset(elements_of(schema)))
    def law(permitted):
        answer = clear(permitting(*permitted), schema, full(schema))
        assert shape(orjson.loads(answer.payload), schema) == kept(schema, permitted)
        assert CANARY not in answer.payload.decode()
        assert (answer.decision, answer.elements) == (REQUEST.id, permitted)

    law()


@each_schema
def test_an_answer_of_nothing_permitted_is_empty(schema):
    assert clear(permitting(), schema, full(schema)).payload == b"{}"


@each_schema
def test_absent_values_are_left_out_rather_than_sent_empty(schema):
    nothing: Mapping[str, Any] = {name: None for name, _, _, _ in declared(schema)}
    assert clear(permitting(*REGISTER), schema, nothing).payload == b"{}"


class Careless(Schema):
    """A schema with a field that nobody classified."""

    givenName = fields.String(metadata=element("person.name.given"))  # noqa: N815
    shoe = fields.String()


class Misplaced(Schema):
    """A schema with a field that carries the element of another."""

    givenName = fields.String(metadata=element("org.directory"))  # noqa: N815


class Deep(Schema):
    """A schema with such a field further down."""

    users = fields.List(fields.Nested(Careless), metadata=element("record.frame"))


@carries("oneroster_1p2_rest", "User")
class Careful(Schema):
    """A schema whose fields have all been given the element of their place."""

    givenName = fields.String(metadata=element("person.name.given"))  # noqa: N815


WAYS_OUT = {
    "one answer": lambda schema, body: clear(permitting(*REGISTER), schema, orjson.loads(body)),
    "stored bytes": lambda schema, body: clear_bytes(permitting(*REGISTER), schema, body),
    "a page": lambda schema, body: clear_page(permitting(*REGISTER), schema, ("givenName",), "users", [body.decode()]),
    "one record": lambda schema, body: clear_record(permitting(*REGISTER), schema, "user", body.decode()),
    "the fields that may be sent": lambda schema, _body: permitted_fields(schema, frozenset(REGISTER)),
}
NAME = b'{"givenName":"A"}'


@pytest.mark.parametrize("way", [pytest.param(way, id=name) for name, way in WAYS_OUT.items()])
@pytest.mark.parametrize("placed", [False, True], ids=["never placed", "placed in spite of it"])
@pytest.mark.parametrize(
    ("schema", "table", "body"),
    [(Careless, "User", NAME), (Misplaced, "User", NAME), (Deep, "UserSet", b'{"users":[%s]}' % NAME)],
    ids=["careless", "misplaced", "deep"],
)
def test_an_answer_with_a_path_that_has_no_element_is_refused(way, placed, schema, table, body, monkeypatch):
    """Whatever is in the answer: the schema has a path that nobody classified, and everything is permitted."""
    if placed:
        monkeypatch.setitem(_PLACES, schema, ("oneroster_1p2_rest", table))
    with pytest.raises(Refused) as refused:
        way(schema, body)
    assert refused.value.reason is errors.ELM_UNCLASSIFIED


@pytest.mark.parametrize("way", [pytest.param(way, id=name) for name, way in WAYS_OUT.items()])
def test_an_answer_all_of_whose_paths_have_an_element_goes_out(way):
    assert way(Careful, NAME)
    with pytest.raises(Unclassified):
        carries("oneroster_1p2_rest", "User")(Careless)


# --- stored bytes ----------------------------------------------------------------------------------


@each_schema
def test_stored_bytes_leave_unchanged_where_every_field_is_permitted_and_not_at_all_otherwise(schema):
    stored = clear(permitting(*REGISTER), schema, full(schema)).payload
    needed = elements_of(schema)
    assert clear_bytes(permitting(*needed), schema, stored).payload == stored
    for missing in needed:
        with pytest.raises(Refused) as refused:
            clear_bytes(permitting(*(needed - {missing})), schema, stored)
        assert refused.value.reason is errors.INT_POLICY_ERROR


@each_schema
@pytest.mark.parametrize("first", [pytest.param(True, id="first"), pytest.param(False, id="last")])
def test_an_added_field_is_refused_wherever_it_stands(schema, first):
    stored = orjson.loads(clear(permitting(*REGISTER), schema, full(schema)).payload)
    for value in (CANARY, 1, None, {}, [], {"deep": CANARY}):
        for spoiled in _added(stored, value, first=first):
            with pytest.raises(Refused):
                clear_bytes(permitting(*REGISTER), schema, orjson.dumps(spoiled))


def _added(stored: dict[str, Any], value: Any, *, first: bool) -> Iterator[dict[str, Any]]:
    """The document with one field more: at its top, and in each record it nests."""
    yield {"surplus": value, **stored} if first else {**stored, "surplus": value}
    for name, item in stored.items():
        if name == "scale":
            continue
        if isinstance(item, dict):
            yield from ({**stored, name: inner} for inner in _added(item, value, first=first))
        if isinstance(item, list) and isinstance(item[0], dict):
            yield from ({**stored, name: [item[0], inner]} for inner in _added(item[1], value, first=first))


TRANSCRIPT = b'{"competencies":[],"issued_on":"2026-05-04","pupil":"A","school":"B","title":"T"}'
HIDDEN = {
    "an object in place of a text": b'{"title":{"ssn":"1"}}',
    "an object in a list in place of a text": b'{"title":[{"ssn":"1"}]}',
    "an object in a list in a list": b'{"title":[[{"ssn":"1"}]]}',
    "a text in place of a record": b'{"competencies":["ssn 1"]}',
    "nothing in place of a record": b'{"competencies":[null]}',
    "a field shadowed by a second of its name": b'{"title":{"ssn":"1"},"title":"T"}',
    "no object": b'"ssn 1"',
    "a list of texts": b'["ssn 1"]',
}


@pytest.mark.parametrize("stored", [pytest.param(stored, id=name) for name, stored in HIDDEN.items()])
def test_what_hides_in_a_permitted_field_is_refused(stored):
    permitted = permitting(*elements_of(application.Transcript))
    assert clear_bytes(permitted, application.Transcript, TRANSCRIPT).payload == TRANSCRIPT
    with pytest.raises(Refused):
        clear_bytes(permitted, application.Transcript, stored)


def test_an_object_hidden_in_a_list_of_texts_is_refused():
    with pytest.raises(Refused):
        clear_bytes(permitting(*REGISTER), v1p2.User, b'{"grades":["09",{"ssn":"1"}]}')


# --- bulk pages ------------------------------------------------------------------------------------


@each_schema
def test_a_page_selects_permitted_fields_only_at_every_depth(schema):
    for _, name, field, nested in declared(schema):
        needed = {field.metadata["element"]} | (elements_of(nested) if nested else set())
        assert clear_page(permitting(*needed), schema, (name,), "all", []).payload == b'{"all":[]}'
        for missing in needed:
            with pytest.raises(Refused) as refused:
                clear_page(permitting(*(set(REGISTER) - {missing})), schema, (name,), "all", [])
            assert refused.value.reason is errors.INT_POLICY_ERROR
    with pytest.raises(Refused):
        clear_page(permitting(*REGISTER), schema, ("surplus",), "all", [])


@each_schema
def test_one_record_is_parsed_again(schema):
    record, needed = clear(permitting(*REGISTER), schema, full(schema)).payload, elements_of(schema)
    assert clear_record(permitting(*needed), schema, "one", record.decode()).payload == b'{"one":%s}' % record
    for missing in needed:
        with pytest.raises(Refused) as refused:
            clear_record(permitting(*(needed - {missing})), schema, "one", record.decode())
        assert refused.value.reason is errors.INT_POLICY_ERROR


def test_nothing_stands_beside_one_record():
    for record in ('{"givenName":"A"},"ssn":"1"', '{"givenName":"A","ssn":"1"}', '"ssn 1"', "[]", "null"):
        with pytest.raises(Refused):
            clear_record(permitting(*REGISTER), v1p2.User, "user", record)


GOOD, SPOILT = '{"givenName":"A"}', '{"givenName":"A","ssn":"1"}'


@pytest.mark.parametrize("place", range(5))
def test_a_page_scanned_whole_is_refused_wherever_one_record_holds_more(place):
    records = [SPOILT if n == place else GOOD for n in range(5)]
    with pytest.raises(Refused) as refused:
        clear_page(permitting("person.name.given"), v1p2.User, ("givenName",), "users", records, every_record)
    assert refused.value.reason is errors.INT_POLICY_ERROR


def test_production_samples_one_record_of_every_page_at_a_place_of_the_decisions_own():
    places = Counter(place for n in range(2_000) for place in one_of_each_page(f"tr_{n:08d}", 10))
    assert sum(places.values()) == 2_000
    assert set(places) == set(range(10))
    assert max(places.values()) < 2 * min(places.values())
    assert [*one_of_each_page("tr_aaaaaaaa", 0)] == []
    decision, records = permitting("person.name.given"), [SPOILT] * 5
    (chosen,) = one_of_each_page(decision.request.id, 5)
    records[chosen] = GOOD
    assert clear_page(decision, v1p2.User, ("givenName",), "users", records).payload
    with pytest.raises(Refused):
        clear_page(decision, v1p2.User, ("givenName",), "users", [SPOILT] * 5)


def test_every_world_scans_whole_pages_and_an_installation_samples(world):
    assert world.parts.sample is every_record
    assert make_parts(world.office).sample is one_of_each_page


# --- who may seal ----------------------------------------------------------------------------------

DOORS = {
    "one answer": lambda decision: clear(decision, application.Transcript, {}),
    "stored bytes": lambda decision: clear_bytes(decision, application.Transcript, TRANSCRIPT),
    "one record": lambda decision: clear_record(decision, v1p2.User, "user", "{}"),
    "a page": lambda decision: clear_page(decision, v1p2.User, (), "users", []),
}


@pytest.mark.parametrize("door", [pytest.param(door, id=name) for name, door in DOORS.items()])
@pytest.mark.parametrize("reason", [errors.CON_REFUSED, errors.INT_POLICY_ERROR])
def test_a_denied_decision_clears_nothing(door, reason):
    with pytest.raises(Refused) as refused:
        door(Decision(REQUEST, (reason,), frozenset(REGISTER)))
    assert refused.value.reason is reason


def _sealed() -> Cleared[bytes]:
    return clear(permitting("family.child"), family.Report, {"child": "A", "school": "B"})


@pytest.mark.parametrize(
    "seal", [None, True, "seal", object(), Seal()], ids=["none", "true", "text", "thing", "another"]
)
def test_nobody_else_can_make_what_leaves(seal):
    with pytest.raises(PermissionError):
        Cleared(b"{}", "tr_aaaaaaaa", frozenset(), seal)


def test_what_is_cleared_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        _sealed().payload = b"something else"


def test_what_is_cleared_lends_its_seal_to_no_other_payload():
    with pytest.raises((PermissionError, TypeError, ValueError)):
        dataclasses.replace(_sealed(), payload=b"something else")


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_a_seal_is_neither_pickled_nor_copied(way):
    with pytest.raises(TypeError):
        way(SEAL)


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy], ids=["pickle", "deepcopy"])
def test_what_is_cleared_is_not_stored_beside_its_decision(way):
    with pytest.raises(TypeError):
        way(_sealed())


def test_the_seal_is_not_shown():
    assert "seal" not in repr(_sealed()).lower()
