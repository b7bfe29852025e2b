"""Laws of the house that are read off its files: names, sockets, SQL, clocks, dependencies."""

import ast
import importlib
import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
ROOMS = ("gateway", "connectors", "mappings")
FILES = [p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Below these, versions have published advisories that touch what the gateway does with them.
LEAST = {
    "authlib": "1.9.0", "flask": "3.1.3", "gunicorn": "23.0.0", "joserfc": "1.6.7", "jwcrypto": "1.5.6",
    "pyjwt": "2.14.0", "pylti1p3": "2.0.0", "requests": "2.33.0", "urllib3": "2.7.0", "werkzeug": "3.0.6",
}  # fmt: skip


def calls(path: Path) -> list[tuple[str, int]]:
    """Every dotted name that is called in a file, with its line."""
    tree = ast.parse(path.read_text())
    return [(ast.unparse(node.func), node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def outside_sandbox(*rooms: str) -> list[Path]:
    return [p for p in FILES if p.relative_to(ROOT).as_posix().startswith(rooms) and "sandbox" not in p.parts]


def test_no_module_has_a_name_that_says_nothing():
    bad = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base", "core", "lib"}
    everywhere = [*FILES, *(ROOT / "tests").rglob("*.py")]
    assert [
        p for p in everywhere if bad & {part.removesuffix(".py").lower() for part in p.relative_to(ROOT).parts}
    ] == []


def test_only_the_egress_opens_a_socket():
    opens = re.compile(
        r"(socket\.(socket|create_connection)|requests\.(Session|get|post|put|delete|request|head)|HTTPConnection"
        r"|HTTPSConnection|PoolManager|urlopen|ssl\.(create_default_context|SSLContext))$"
    )
    found = {
        p.relative_to(ROOT).as_posix()
        for p in outside_sandbox("gateway", "connectors", "mappings")
        for name, _ in calls(p)
        if opens.search(name)
    }
    assert found <= {"connectors/egress.py"}


def test_only_store_and_ledger_contain_sql():
    statement = re.compile(
        r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+TABLE)\b", re.DOTALL
    )
    found = []
    for path in outside_sandbox("gateway", "connectors", "mappings"):
        if path.relative_to(ROOT).parts[1] not in ("store", "ledger"):
            texts = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
            found += [path for text in texts if isinstance(text, str) and statement.search(text)]
    assert found == []


def test_nobody_reads_the_wall_clock_but_the_clock():
    reads = re.compile(r"(datetime\.(now|utcnow|today)|date\.today|time\.time|time\.time_ns)$")
    found = [
        f"{p.relative_to(ROOT)}:{line}"
        for p in outside_sandbox("gateway", "mappings")
        for name, line in calls(p)
        if reads.search(name) and p.name != "clock.py"
    ]
    assert found == []


def test_policy_is_pure_down_to_its_calls():
    for path in outside_sandbox("gateway/policy", "mappings"):
        if path.name == "__init__.py" and path.parent.name == "products":
            continue  # reads its own profiles, once, when imported
        assert not {"open", "print", "input", "exec", "eval"} & {name for name, _ in calls(path)}, path


def test_few_direct_dependencies_each_with_its_reason():
    lines = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("\n]")[0].splitlines()
    wanted = [line for line in lines if line.strip()]
    assert len(wanted) == len(PROJECT["project"]["dependencies"]) <= 20
    assert [line for line in wanted if "# " not in line] == []


def test_every_dependency_is_used():
    every = "\n".join(p.read_text() for p in FILES)
    names = {"pylti1p3": "pylti1p3", "psycopg": "psycopg"}
    programs = {"gunicorn"}  # run as a program by gateway/serve.py
    for line in PROJECT["project"]["dependencies"]:
        name = Requirement(line).name
        module = names.get(name, name).replace("-", "_")
        assert name in programs or re.search(rf"^\s*(from|import) {module}\b", every, re.MULTILINE), name
        assert name not in programs or f'"{name}"' in every


@pytest.mark.parametrize("name", LEAST)
def test_no_version_with_a_known_advisory(name):
    assert Version(version(name)) >= Version(LEAST[name])


def test_locks_are_hashed_and_name_no_address():
    for path in (ROOT / "requirements.lock", ROOT / "tests" / "requirements.lock"):
        text = path.read_text()
        assert "http" not in text
        pins = [line for line in text.splitlines() if "==" in line]
        assert len(pins) > 30
        assert text.count("\\\n    --hash=sha256:") >= len(pins)


# What each named package does here, and where; the demo goes through every one of these lines.
NAMED = {
    "flask": ("gateway/web/oneroster.py", "Blueprint"),
    "pylti1p3": ("gateway/identity/launch.py", "FlaskMessageLaunch"),
    "authlib.integrations.flask_oauth2": ("gateway/identity/clients.py", "AuthorizationServer"),
    "authlib.integrations.requests_client": ("connectors/tokens.py", "OAuth2Session"),
    "requests": ("connectors/egress.py", "HTTPAdapter"),
    "marshmallow": ("mappings/oneroster/v1p2.py", "Schema"),
    "redis": ("gateway/cache.py", "Redis"),
}


@pytest.mark.parametrize("package", NAMED)
def test_a_named_package_does_the_work_it_is_made_for(package):
    """It is imported where its work is done, its class is used there, and the running gateway loads it."""
    path, used = NAMED[package]
    tree = ast.parse((ROOT / path).read_text())
    modules = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert any(m == package or m.startswith(f"{package}.") for m in modules)
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    assert used in names | {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    importlib.import_module("gateway.app")
    assert package in sys.modules
