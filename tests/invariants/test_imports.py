"""Imports keep their floors, and each contract can fail: a planted violation breaks exactly that one."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")
PLANTED = {
    "floors": ("gateway/store/aliases.py", "import gateway.flows.parts"),
    "houses": ("mappings/family.py", "import connectors.errors"),
    "lines-out": ("gateway/web/health.py", "import connectors.errors"),
    "seal": ("gateway/flows/parts.py", "import mappings._seal"),
    "pure": ("gateway/policy/guards.py", "import time"),
    "sockets": ("gateway/flows/parts.py", "import socket"),
    "sql": ("gateway/web/health.py", "import psycopg"),
    "tables": ("gateway/flows/parts.py", "import gateway.store.tables"),
    "redis": ("gateway/web/health.py", "import redis"),
    "outside": ("gateway/sandbox/wire.py", "import gateway.errors"),
    "no-sandbox": ("gateway/web/health.py", "import gateway.sandbox.wire"),
}


def lint(folder: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    named = [word for contract in contracts for word in ("--contract", contract)]
    return subprocess.run(
        [LINT, "--no-cache", "--no-logo", *named], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    for name in ("gateway", "connectors", "mappings"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_every_contract_is_kept_and_has_a_plant(house):
    done = lint(house)
    assert done.returncode == 0, done.stdout
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {c["id"] for c in contracts} == set(PLANTED)


@pytest.mark.parametrize("contract", PLANTED)
def test_a_planted_violation_breaks_it(house, contract):
    file, line = PLANTED[contract]
    path = house / file
    whole = path.read_text()
    path.write_text(whole + f"\n{line}\n")
    try:
        done = lint(house, contract)
    finally:
        path.write_text(whole)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout


def test_a_room_without_a_floor_is_noticed(house):
    (house / "gateway" / "attic.py").write_text("")
    try:
        assert lint(house, "floors").returncode == 1
    finally:
        (house / "gateway" / "attic.py").unlink()


FIRST = """
import importlib, pkgutil, sys
import gateway.flows
names = [m.name for m in pkgutil.walk_packages(gateway.flows.__path__, "gateway.flows.")]
assert len(names) > 50
for name in names:
    for loaded in [m for m in sys.modules if m.startswith("gateway")]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""


def test_every_journey_can_be_the_first_that_is_imported():
    """A command imports the one it needs: a circle shows only to whoever enters it at the wrong place."""
    done = subprocess.run([sys.executable, "-c", FIRST], cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
