"""Profiles of products: each line says how it is known, and a profile that is not of the shape is found here."""

from __future__ import annotations

import pytest

from mappings.products import DEFAULT, names, product
from mappings.products.lines import EVIDENCE, Line, ProfileError
from mappings.products.shape import ADDRESSES, OURS, Entry, read
from tests.mappings.spoiling import FACT, document, said

MAKES = sorted(names())


def lines(name: str) -> list[Line | Entry]:
    """Every line of a profile that says something."""
    one = product(name)
    rows = (one.grades, one.setup.values, one.launch, one.services)
    single = (one.setup.asks, one.setup.hosts, one.paste.type_at, one.paste.look_at)
    return [*(line for part in rows for line in part.values()), *single, *one.paste.types, *one.paste.brings]


def test_the_makes_that_districts_run_are_known():
    wanted = {"moodle", "canvas", "blackboard", "brightspace", "schoology", "sakai", "openedx", "generic"}
    assert names() == wanted


@pytest.mark.parametrize("name", MAKES)
def test_each_line_says_how_it_is_known_and_where(name):
    assert len(lines(name)) > 15
    assert {line.evidence for line in lines(name)} <= set(EVIDENCE)
    assert [line for line in lines(name) if len(line.source) < 12] == []


@pytest.mark.parametrize("name", sorted(names() - {DEFAULT}))
def test_nobody_types_more_than_three_fields(name):
    setup = product(name).setup
    assert len(setup.asks.value) <= 3
    known = {"site": "https://lms.example", "host": "lms.example", "client_id": "c", "registration_id": "7"}
    filled = setup.fill(known)
    assert {*setup.asks.value, *filled} >= {"client_id", "deployment_id", *ADDRESSES, "hosts"}
    for address in ADDRESSES:
        assert filled[address].startswith("https://")
        assert "{" not in filled[address]
    assert filled["hosts"]


def test_a_product_nobody_knows_is_treated_as_the_standard_says():
    assert product("frogos").stale == product(DEFAULT).stale == {409}


def test_a_value_is_put_into_a_template_once():
    filled = product("moodle").setup.fill({"site": "https://{client_id}.example", "client_id": "x"})
    assert filled["issuer"] == "https://{client_id}.example"


SPOILED = {
    "unknown section": said("colour", {}),
    "missing section": said("launch", None),
    "empty label": said("label", " "),
    "unknown grade line": said("grades.mood", {"value": 1, **FACT}),
    "missing grade line": said("grades.stale", None),
    "no evidence": said("grades.stale.evidence", None),
    "another evidence word": said("grades.stale.evidence", "assumed"),
    "no source": said("grades.stale.source", None),
    "a source nobody can look up": said("grades.stale.source", "web"),
    "one key more": said("grades.stale.note", "x"),
    "a status of success": said("grades.stale.value", [200]),
    "no number": said("grades.resolution_ms.value", True),
    "not a line": said("setup.issuer", "https://x.example"),
    "an address that is no https": said("setup.token_url.value", "http://x.example"),
    "a template nobody is asked for": said("setup.token_url.value", "{site}/{registration_id}"),
    "asks what there is no option for": said("setup.asks.value", ["site", "client_id", "deployment_id", "shoe_size"]),
    "asks twice": said("setup.asks.value", ["site", "client_id", "deployment_id", "site"]),
    "neither asked nor known": said("setup.jwks_url", None),
    "asked and known": said("setup.asks.value", ["site", "client_id", "deployment_id", "jwks_url"]),
    "client id not asked": said("setup.asks.value", ["site", "deployment_id"]),
    "a host that is an address": said("setup.hosts.value", ["https://x.example"]),
    "not where to look": said("paste.look_at", None),
    "our key set is typed nowhere": said("paste.type.4", {"label": "x", "ours": "login_url", **FACT}),
    "a value we do not have": said("paste.type.0.ours", "favourite_colour"),
    "a row of both kinds": said("paste.type.0.choose", "x"),
    "an empty row": said("paste.type.0.label", ""),
    "brings what is not asked": said("paste.bring.0.bring", "issuer"),
    "a habit there is no sentence for": said("launch.hums", {"value": True, **FACT}),
    "a habit of another kind": said("launch.token_seconds.value", "sixty"),
    "a habit denied": said("launch.no_storage.value", False),
    "a service of another kind": said("services.empty_means_absent.value", []),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_profile_that_is_not_of_the_shape_is_refused(how):
    profile = document("mappings.products", "moodle")
    if how == "our key set is typed nowhere":
        profile["paste"]["type"] = [row for row in profile["paste"]["type"] if row.get("ours") != "jwks_url"]
    else:
        SPOILED[how](profile)
    with pytest.raises(ProfileError, match="moodle"):
        read("moodle", profile)


def test_the_document_itself_is_of_the_shape():
    assert read("moodle", document("mappings.products", "moodle")) == product("moodle")
    assert set(OURS) >= {row.value for name in MAKES for row in product(name).paste.types if row.kind == "ours"}
