"""Every field of every binding has exactly one element, and every schema of ours carries it.

`official/*.json` lists the fields that the standards have: names only, with their source. Each law is tried on the
map as it is and on a copy with one mistake in it.
"""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, fields

from mappings import application, family, lti_items, lti_messages, lti_registration, on_file
from mappings import fields as field_map
from mappings.elements import REGISTER, element
from mappings.fields import OPEN, Binding, Unclassified, agree, binding, carries, element_of, names, read, require
from mappings.oneroster import v1p2
from mappings.oneroster.csv import FILES, CsvColumn, CsvFile
from mappings.text import Repeated

OFFICIAL = Path(__file__).parent / "official"
STANDARDS = ["lti_ags", "lti_gs", "lti_launch", "lti_notices", "lti_nrps", "oneroster_1p0_csv",
             "oneroster_1p1_csv", "oneroster_1p1_rest",
             "oneroster_1p2_csv", "oneroster_1p2_rest"]  # fmt: skip
OURS = {"application": application, "family": family, "transcript": application, "on_file": on_file,
        "content_items": lti_items, "lti_registration": lti_registration}  # fmt: skip
CSV = {"oneroster_1p0_csv": "1.0", "oneroster_1p1_csv": "1.1", "oneroster_1p2_csv": "1.2"}
CALM = settings(max_examples=100, deadline=None, derandomize=True)
every_binding = pytest.mark.parametrize("name", names())
every_standard = pytest.mark.parametrize("name", STANDARDS)

# Added by the bindings' prose, not by their tables: columns named metadata.*, which both versions of the files allow.
_EXTENSION = {"metadata": "Metadata"}
Tables = dict[str, dict[str, str]]


def said(name: str) -> dict[str, Any]:
    return json.loads((OFFICIAL / f"{name}.json").read_text())


def official(name: str) -> Tables:
    """What a standard has: {table: {field: what it holds, or ""}}."""
    if name in OURS:
        return ours(OURS[name], binding(name))
    tables = {
        table: dict.fromkeys(f, "") if isinstance(f, list) else dict(f) for table, f in said(name)["tables"].items()
    }
    if name in CSV:
        tables = {table: f if table == "manifest" else f | _EXTENSION for table, f in tables.items()}
        tables["Metadata"] = {OPEN: ""}
    if name == "lti_ags":
        for table, more in said("lti_ags_later")["tables"].items():
            tables[table] = tables.get(table, {}) | more
    return tables


def ours(module: Any, bound: Binding) -> Tables:
    """What our own schemas have, those whose place is in this binding."""
    return {
        schema.__name__: {wire: nested.__name__ if nested else "" for wire, _, nested in declared(schema)}
        for schema in vars(module).values()
        if isinstance(schema, type) and issubclass(schema, Schema) and schema is not Schema
        and not schema.__name__.startswith("_")
        and field_map.place_of(schema)[0] == bound.name
    }  # fmt: skip


def declared(schema: type[Schema]) -> Iterator[tuple[str, str, type[Schema] | None]]:
    for name, field in schema._declared_fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        nested = type(inner.schema) if isinstance(inner, fields.Nested) else None
        yield field.data_key or name, field.metadata["element"], nested


def differences(listed: Tables, mapped: Mapping[str, Mapping[str, field_map.Field]]) -> set[str]:
    """Fields that only one of the two has, and fields that hold another thing in each."""
    in_list = {(t, f, holds) for t, lines in listed.items() for f, holds in lines.items()}
    in_map = {(t, f, line.holds) for t, lines in mapped.items() for f, line in lines.items()}
    return {f"{t}.{f}" for t, f, _ in in_list ^ in_map}


def lines_of(bound: Binding) -> Iterator[tuple[str, field_map.Field]]:
    for table, lines in bound.tables.items():
        for field, line in lines.items():
            yield f"{table}.{field}", line


def text_of(name: str) -> str:
    return (files("mappings.fields") / f"{name}.toml").read_text(encoding="utf-8")


def without_line(name: str, table: str, field: str) -> str:
    """The map of a binding with one line taken out."""
    head, found, rest = text_of(name).partition(f"[{table}]\n")
    assert found
    return head + found + re.sub(rf"(?m)^\"?{re.escape(field)}\"? = .*\n", "", rest, count=1)


# --- the map is complete, and says nothing that is not there ---------------------------------------


def test_there_is_a_map_of_every_binding():
    assert list(names()) == sorted([*STANDARDS, *OURS])
    assert sum(1 for name in STANDARDS for _ in lines_of(binding(name))) > 1000


@every_binding
def test_every_field_of_a_binding_is_there_once_and_no_other(name):
    assert differences(official(name), binding(name).tables) == set()


@every_binding
def test_a_line_taken_out_of_the_map_is_missed(name):
    """For the first field of each table that holds nothing."""
    for table, lines in official(name).items():
        plain = next((f for f, holds in lines.items() if not holds), None)
        if plain is not None:
            less = read(name, without_line(name, table, plain))
            assert differences(official(name), less.tables) == {f"{table}.{plain}"}


@every_standard
def test_a_line_that_no_standard_has_is_found(name):
    table = next(iter(binding(name).tables))
    more = read(name, text_of(name).replace(f"[{table}]\n", f'[{table}]\nshoeSize = "record.version"\n'))
    assert differences(official(name), more.tables) == {f"{table}.shoeSize"}


@every_standard
def test_a_field_that_holds_another_thing_than_the_standard_says_is_found(name):
    listed = official(name)
    table, field = next((t, f) for t, lines in listed.items() for f, holds in lines.items() if holds)
    listed[table][field] = "Elsewhere"
    assert differences(listed, binding(name).tables) == {f"{table}.{field}"}


@every_binding
def test_a_field_cannot_stand_in_the_map_twice(name):
    table, field = next(iter(lines_of(binding(name))))[0].split(".", 1)
    twice = text_of(name).replace(f"[{table}]\n", f'[{table}]\n{field} = "record.version"\n', 1)
    with pytest.raises(tomllib.TOMLDecodeError):
        read(name, twice)


@every_binding
def test_a_line_names_an_element_that_exists(name):
    assert {line.element for _, line in lines_of(binding(name))} <= set(REGISTER)
    for wrong in ("shoe.size", "person", "", "SNM"):
        spoiled = re.sub(r'(?m)^(\w+ = )"[a-z_]+\.[a-z_.]+"$', rf'\1"{wrong}"', text_of(name), count=1)
        assert spoiled != text_of(name)
        with pytest.raises(Unclassified):
            read(name, spoiled)


def test_a_field_holds_a_table_that_exists():
    text = text_of("lti_nrps").replace('holds = "Member"', 'holds = "Pupil"')
    with pytest.raises(Unclassified, match=r"members holds Pupil"):
        read("lti_nrps", text)


# What no field holds: a message, a file, an answer.
ROOTS = {
    "lti_registration": {"Configuration", "Registration"},
    "application": {"Launch", "Members", "Exchange", "Activity", "ResultBatch"},
    "transcript": {"TranscriptRequest", "Transcript"},
    "family": {"Report"},
    "content_items": {"ContentItems"},
    "on_file": {"Agreement", "Direction", "Consent", "OptOut", "PolicyVersion", "PolicyWord", "SourcePolicy"},
    "lti_launch": {"Launch"},
    "lti_notices": {"Message", "Catalog"},
    "lti_nrps": {"MembershipContainer"},
    "lti_gs": {"GroupContainer", "SetContainer"},
    "lti_ags": {"LineItem", "Score", "Result"},
    "oneroster_1p1_rest": {"Answer"},
    "oneroster_1p0_csv": set(said("oneroster_1p0_csv")["tables"]),
    "oneroster_1p1_csv": set(said("oneroster_1p1_csv")["tables"]) | {"manifest"},
    "oneroster_1p2_csv": set(said("oneroster_1p2_csv")["tables"]),
}


def roots(bound: Binding) -> set[str]:
    return set(bound.tables) - {line.holds for _, line in lines_of(bound)}


@every_binding
def test_every_table_is_reached_or_is_a_root(name):
    """Nothing stands in the map that no path leads to."""
    frames = {t for t in binding(name).tables if t.endswith("Set") or t.startswith("Single") or t == "imsx_StatusInfo"}
    expected = ROOTS.get(name, frames - {"LearningObjectiveSet", "LearningObjectiveScoreSet"})
    assert roots(binding(name)) == expected
    assert roots(read(name, text_of(name) + '\n[Lost]\nshoe = "record.version"\n')) == expected | {"Lost"}


@every_binding
def test_a_binding_says_where_it_is_from(name):
    assert text_of(name).startswith("# ")
    assert len(binding(name).spec) > 10
    assert binding(name).evidence in ("extracted", "documented", "reported", "derived", "ours")
    assert (binding(name).evidence == "ours") == (name in OURS)


@every_standard
def test_a_list_of_fields_says_where_it_is_from(name):
    assert said(name)["source"]
    assert said(name)["evidence"] == binding(name).evidence
    assert len((OFFICIAL / f"{name}.json").read_bytes()) < 20_000


# --- what may never leave --------------------------------------------------------------------------

# Names under which a secret, a national id, a private note, or technical data would come.
SECRET = re.compile(r"passw|secret|pwd", re.IGNORECASE)
FORBIDDEN = re.compile(
    r"passw|secret|pwd|ssn|social.?sec|national.?id|private|internal.?note|^ip$|ip.?addr|user.?agent|device|caliper|federated"
    r"|^metadata$",
    re.IGNORECASE,
)


def leaks(bound: Binding) -> set[str]:
    """Fields with such a name whose element could leave."""
    return {
        path for path, line in lines_of(bound)
        if FORBIDDEN.search(path.split(".", 1)[1].rsplit("/", 1)[-1]) and not REGISTER[line.element].never_export
    }  # fmt: skip


@every_binding
def test_nothing_secret_private_or_technical_may_leave_in_any_binding(name):
    assert leaks(binding(name)) == set()


@every_binding
def test_a_password_is_a_password_in_every_binding(name):
    for path, line in lines_of(binding(name)):
        assert (line.element == "person.password") == bool(SECRET.search(path) or path == f"Credential.{OPEN}"), path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("oneroster_1p1_rest", "User.password"),
        ("oneroster_1p1_csv", "users.password"),
        ("oneroster_1p2_rest", "Credential.password"),
        ("oneroster_1p2_csv", "userProfiles.password"),
        ("lti_launch", "UsageService.caliper_endpoint_url"),
    ],
)
def test_a_secret_that_the_map_frees_is_found(name, path):
    table, field = path.split(".")
    head, found, rest = text_of(name).partition(f"[{table}]\n")
    rest = re.sub(rf"(?m)^{field} = .*$", f'{field} = "person.username"', rest, count=1)
    assert leaks(read(name, head + found + rest)) == {path}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("oneroster_1p2_rest", "User.metadata.ssn"),
        ("oneroster_1p2_rest", "UserSet.users.metadata.deep.down"),
        ("oneroster_1p2_rest", "UserSet.users.userProfiles.credentials.password"),
        ("oneroster_1p2_rest", "UserSet.users.userProfiles.credentials.token"),
        ("oneroster_1p1_rest", "Answer.users.password"),
        ("oneroster_1p1_rest", "Demographics.metadata.freeLunch"),
        ("oneroster_1p2_csv", "demographics.metadata.studentFlags"),
        ("oneroster_1p1_csv", "users.metadata.nationalId"),
        (
            "lti_launch",
            "Launch.https://purl.imsglobal.org/spec/lti-ces/claim/caliper-endpoint-service.caliper_endpoint_url",
        ),
    ],
)
def test_what_stands_in_an_open_or_secret_place_may_never_leave(name, path):
    assert REGISTER[element_of(name, path)].never_export


def test_every_element_that_may_never_leave_but_those_that_no_field_is_stands_in_a_binding():
    """No standard has a field for a national id, a private note or an address of a machine: they have an element, so
    that a schedule that names them is refused in words."""
    used = {line.element for name in names() for _, line in lines_of(binding(name))}
    unused = set(REGISTER) - used
    assert unused == {"person.national_id", "result.private_note", "technical.address"}


def test_what_is_derived_stands_beside_what_it_is_derived_from():
    """An element that could be computed from another is not a way around it: it says so."""
    derived = {e.id: set(e.derived_from) for e in REGISTER.values() if e.derived_from}
    assert derived == {
        "person.name.full": {"person.name.given", "person.name.family"},
        "assessment.percentile": {"assessment.score"},
    }
    for name in STANDARDS:
        used = {line.element for _, line in lines_of(binding(name))}
        for one in derived.keys() & used:
            assert derived[one] <= used


# --- looking an element up -------------------------------------------------------------------------

CLAIM = lti_messages.CLAIM


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("oneroster_1p2_rest", "User.givenName", "person.name.given"),
        ("oneroster_1p2_rest", "UserSet.users.agents", "person.guardians"),
        ("oneroster_1p2_rest", "UserSet.users.agents.sourcedId", "record.alias"),
        ("oneroster_1p2_rest", "UserSet.users.roles.org.href", "record.alias"),
        ("oneroster_1p2_rest", "Result.learningObjectiveSet.learningObjectiveResults.score", "result.objectives"),
        ("oneroster_1p2_csv", "users.givenName", "person.name.given"),
        ("oneroster_1p2_csv", "userProfiles.username", "person.accounts"),
        ("lti_launch", f"Launch.{CLAIM}context", "launch.context"),
        ("lti_launch", f"Launch.{CLAIM}context.title", "launch.context"),
        ("lti_launch", f"Launch.{CLAIM}custom.anything.at.all", "launch.custom"),
        ("lti_launch", f"Launch.{CLAIM}role_scope_mentor", "person.guardians"),
        ("lti_launch", "Launch.address.postal_code", "person.address"),
        ("lti_nrps", "MembershipContainer.members.picture", "person.picture"),
        ("lti_ags", "Score.comment", "result.comment"),
        ("transcript", "Transcript.competencies.level", "transcript.competencies"),
    ],
)
def test_a_path_leads_to_its_element(name, path, expected):
    assert element_of(name, path) == expected


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("oneroster_1p2_rest", "User.shoeSize"),
        ("oneroster_1p2_rest", "User"),
        ("oneroster_1p2_rest", ""),
        ("oneroster_1p2_rest", "Pupil.givenName"),
        ("oneroster_1p2_rest", "User.givenName.first"),
        ("oneroster_1p2_rest", "User.givenname"),
        ("oneroster_1p2_rest", "User.agents.givenName"),
        ("oneroster_1p2_rest", "User."),
        ("oneroster_1p2_rest", "User.*"),
        ("oneroster_1p1_rest", "User.pronouns"),
        ("oneroster_1p1_csv", "roles.role"),
        ("lti_launch", "Launch.https://www.instructure.com/placement"),
        ("lti_launch", f"Launch.{CLAIM}"),
        ("lti_launch", f"Launch.{CLAIM}context.shoe"),
        ("lti_launch", f"Launch.{CLAIM}contexts"),
        ("oneroster_1p3_rest", "User.givenName"),
        ("../elements", "User.givenName"),
        ("", ""),
    ],
)
def test_a_path_that_nobody_classified_is_refused(name, path):
    with pytest.raises(Unclassified):
        element_of(name, path)


WALKS = [(name, table) for name in names() for table in binding(name).tables]


@st.composite
def walks(draw: st.DrawFn) -> tuple[str, str, str, str]:
    """A binding, a path of up to six fields as its map has them, the element of the last, and what that holds."""
    name, table = draw(st.sampled_from(WALKS))
    path, line = table, field_map.Field("", table)
    for _ in range(6):
        lines = binding(name).tables[line.holds]
        field = draw(st.sampled_from(sorted(lines)))
        path, line = f"{path}.{field}", lines[field]
        if not line.holds:
            break
    return name, path, line.element, line.holds


@CALM
@given(walks())
def test_every_path_of_the_map_leads_to_the_element_of_its_last_line(walk):
    name, path, expected, _ = walk
    assert element_of(name, path) == expected


WORDS = st.sampled_from(
    sorted({f for name in names() for lines in binding(name).tables.values() for f in lines} - {OPEN})
)


@CALM
@given(walks(), WORDS | st.text("abcXYZ_0", min_size=1, max_size=9))
def test_a_path_that_goes_on_gets_the_element_of_what_is_there_and_none_otherwise(walk, more):
    """Beneath a plain value there is nothing; an open place covers all beneath it; a table has its own fields only."""
    name, path, expected, holds = walk
    within = binding(name).tables[holds] if holds else {}
    line = within.get(more) or within.get(OPEN)
    if path.endswith(f".{OPEN}"):
        assert element_of(name, f"{path}.{more}") == expected
    elif line is not None:
        assert element_of(name, f"{path}.{more}") == line.element
    else:
        with pytest.raises(Unclassified):
            element_of(name, f"{path}.{more}")


# --- schemas and columns carry it ------------------------------------------------------------------


def schemas() -> list[type[Schema]]:
    return sorted(field_map._PLACES, key=lambda s: (s.__module__, s.__qualname__))


@pytest.mark.parametrize(
    "schema", [s for s in schemas() if s.__module__.startswith("mappings")], ids=lambda s: s.__name__
)
def test_a_schema_field_carries_the_element_of_its_place(schema):
    name, table = field_map.place_of(schema)
    for wire, carried, nested in declared(schema):
        assert element_of(name, f"{table}.{wire}") == carried
        for inner, held, _ in declared(nested) if nested else ():
            assert element_of(name, f"{table}.{wire}.{inner}") == held
    require(schema)


def planted(**declared_fields: fields.Field[Any]) -> type[Schema]:
    return Schema.from_dict(declared_fields, name="Planted")


def test_a_schema_whose_fields_are_classified_is_taken():
    plain = planted(givenName=fields.String(metadata=element("person.name.given")))
    assert carries("oneroster_1p2_rest", "User")(plain) is plain
    require(plain)
    assert field_map.place_of(plain) == ("oneroster_1p2_rest", "User")


WRONG = {
    "a field without an element": planted(givenName=fields.String()),
    "a field of another element": planted(givenName=fields.String(metadata=element("org.directory"))),
    "a field that the binding does not have": planted(shoeSize=fields.String(metadata=element("person.name.given"))),
    "a field under another name on the wire": planted(
        givenName=fields.String(data_key="first", metadata=element("person.name.given"))
    ),
    "a nested field without an element": planted(
        agents=fields.List(
            fields.Nested(planted(sourcedId=fields.String())), metadata=element("person.guardians")
        )
    ),
    "a nested field in another place": planted(
        agents=fields.Nested(
            planted(givenName=fields.String(metadata=element("person.name.given"))),
            metadata=element("person.guardians"),
        )
    ),
    "an element that is none": planted(givenName=fields.String(metadata={"element": "shoe.size"})),
}  # fmt: skip


@pytest.mark.parametrize("schema", [pytest.param(schema, id=why) for why, schema in WRONG.items()])
def test_a_module_with_a_field_that_is_not_classified_cannot_be_imported(schema):
    with pytest.raises(Unclassified):
        carries("oneroster_1p2_rest", "User")(schema)
    with pytest.raises(Unclassified):
        require(schema)
    with pytest.raises(KeyError):
        field_map.place_of(schema)


@pytest.mark.parametrize(
    "place", [("oneroster_1p2_rest", "Pupil"), ("oneroster_1p9_rest", "User"), ("lti_nrps", "Member")]
)
def test_a_schema_in_a_place_that_is_not_there_is_refused(place):
    with pytest.raises(Unclassified):
        carries(*place)(planted(givenName=fields.String(metadata=element("person.name.given"))))


def test_importing_a_module_with_a_new_field_fails(tmp_path):
    """The very text of a module of ours, with one field more that nobody classified."""
    text, copy = Path(v1p2.__file__).read_text(), tmp_path / "copy_of_v1p2.py"
    line = '    sms = _text("person.phone", "sms")\n'
    assert line in text
    copy.write_text(text)
    assert "User" in runpy.run_path(str(copy))
    for more in ('    shoe = _text("person.phone", "shoe")\n', "    shoe = fields.String()\n"):
        copy.write_text(text.replace(line, line + more))
        with pytest.raises(Unclassified, match=r"User\.shoe has no element"):
            runpy.run_path(str(copy))


def test_the_elements_of_an_answer_are_those_of_its_places_by_the_map_alone():
    """Not through our own metadata: the map is asked for each path of a document as another program would write it."""
    roles = [{"role": "student", "org": {"sourcedId": "3"}}]
    user = {
        "sourcedId": "1",
        "givenName": "A",
        "agents": [{"href": "h", "type": "user"}],
        "grades": ["09"],
        "roles": roles,
    }
    document = {"users": [user]}
    found = {element_of("oneroster_1p2_rest", path) for path in paths(document, "UserSet")}
    assert found == {
        "record.frame",
        "record.alias",
        "person.name.given",
        "person.guardians",
        "person.role",
        "person.grade",
    }
    with pytest.raises(Unclassified):
        [element_of("oneroster_1p2_rest", path) for path in paths({"users": [{"shoe": 1}]}, "UserSet")]


def paths(value: Any, path: str) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        for name, inner in item.items() if isinstance(item, dict) else ():
            yield f"{path}.{name}"
            yield from paths(inner, f"{path}.{name}")


@pytest.mark.parametrize(("name", "version"), CSV.items())
def test_our_columns_are_those_of_the_binding_and_carry_its_elements(name, version):
    listed = said(name)["tables"]
    for file in FILES[version].values():
        stem = file.name.removesuffix(".csv")
        assert {c.header for c in file.columns} == set(listed[stem])
        for column in file.columns:
            assert file.element(column) == element_of(name, f"{stem}.{column.header}")
            assert column.to is None or not REGISTER[file.element(column)].never_export


@pytest.mark.parametrize(
    "column",
    [
        CsvColumn("shoeSize", "email"),
        CsvColumn("email", "given_name"),
        CsvColumn("password", "email"),
        CsvColumn("shoeSize"),
    ],
    ids=["unknown", "stored as another element", "a password that is kept", "read past"],
)
def test_a_file_with_a_column_that_is_not_classified_cannot_be_made(column):
    CsvFile("users.csv", "user", (CsvColumn("email", "email"),), "oneroster_1p2_csv")
    with pytest.raises(Unclassified):
        CsvFile("users.csv", "user", (column,), "oneroster_1p2_csv")


def test_two_that_disagree_are_named():
    agree("lti_ags", "Score.comment", "result.comment")
    with pytest.raises(Unclassified, match=r"lti_ags Score\.comment is result\.comment, not result\.score"):
        agree("lti_ags", "Score.comment", "result.score")
    with pytest.raises(Unclassified):
        agree("lti_ags", "Score.comment", None)


def test_what_stays_in_memory_of_a_launch_says_nothing_of_a_person():
    """A return address may hold whose it is, and the key of their session (Moodle's `sesskey`)."""
    schemas = [one for one in vars(lti_messages).values() if isinstance(one, type) and issubclass(one, Schema)]
    kept = {
        type(field.schema): {inner.metadata["element"] for inner in field.schema.fields.values()}
        for schema in schemas for field in schema().fields.values() if isinstance(field, Repeated)
    }  # fmt: skip
    assert len(kept) > 4
    assert set().union(*kept.values()) == {"launch.context"}
    assert lti_messages.PresentationSchema not in kept
