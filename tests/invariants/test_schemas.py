"""Every field of every schema, inbound and outbound, maps to exactly one element of the register."""

import importlib
import pkgutil

import pytest
from marshmallow import Schema

import mappings
from mappings.elements import REGISTER
from mappings.fields import Unclassified, require
from mappings.oneroster.csv import FILES
from mappings.oneroster.records import KINDS
from mappings.oneroster.v1p2 import COLLECTIONS


def schemas() -> list[type[Schema]]:
    for module in pkgutil.walk_packages(mappings.__path__, "mappings."):
        importlib.import_module(module.name)

    def below(cls: type[Schema]) -> list[type[Schema]]:
        return [c for sub in cls.__subclasses__() for c in (sub, *below(sub))]

    return sorted((c for c in below(Schema) if c.__module__.startswith("mappings")), key=lambda c: c.__qualname__)


def is_base(schema: type[Schema]) -> bool:
    """A base is sent by nobody: it begins with an underscore, or has no field."""
    return schema.__name__.startswith("_") or not schema._declared_fields


def test_there_are_schemas():
    assert len(schemas()) > 25


@pytest.mark.parametrize("schema", schemas(), ids=lambda s: s.__name__)
def test_each_field_names_its_element(schema):
    for name, field in schema._declared_fields.items():
        assert field.metadata.get("element") in REGISTER, name


@pytest.mark.parametrize("schema", [s for s in schemas() if not is_base(s)], ids=lambda s: s.__name__)
def test_each_schema_has_its_place_in_the_map_of_fields(schema):
    """All but the bases, which are refused."""
    require(schema)


@pytest.mark.parametrize("schema", [s for s in schemas() if is_base(s)], ids=lambda s: s.__name__)
def test_a_schema_without_a_place_is_refused(schema):
    with pytest.raises(Unclassified):
        require(schema)


@pytest.mark.parametrize("version", FILES)
def test_each_csv_column_holds_an_element(version):
    for file in FILES[version].values():
        for column in file.columns:
            assert file.element(column) in REGISTER, (file.name, column.header)
    users = FILES[version]["users.csv"]
    passwords = [(users.element(c), c.to) for c in users.columns if c.header == "password"]
    assert passwords == ([] if version == "1.0" else [("person.password", None)])


def test_a_stored_column_leaves_as_the_element_it_came_in_as():
    for collection in COLLECTIONS.values():
        stored = {c.name: c.element for c in KINDS[collection.kind].columns}
        for name, field in collection.schema._declared_fields.items():
            column = field.metadata["column"]
            assert stored.get(column, field.metadata["element"]) == field.metadata["element"], name


def test_nothing_that_never_leaves_is_in_an_outbound_schema():
    never = {e.id for e in REGISTER.values() if e.never_export}
    for schema in schemas():
        assert never.isdisjoint(f.metadata["element"] for f in schema._declared_fields.values()), schema
