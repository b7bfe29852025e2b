"""The documents are true: generated pages are up to date, command blocks run, links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import click
import pytest

from gateway import settings
from gateway.cli import main
from gateway.errors import VOCABULARY, WAITING
from gateway.reference import write

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "deploy").glob("*.md"),
    ROOT / "instance/README.md",
]
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def run(script: str, **environment: str) -> str:
    mine = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("SCHOOLGATE_", "DATABASE_", "REDIS_", "PYTEST", "MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script], cwd=ROOT, env=mine | environment, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_generated_pages_are_up_to_date():
    assert write(main, ROOT / "docs", check=True) == []


def test_every_refusal_is_explained_and_produced_by_a_test():
    page = (ROOT / "docs" / "reference" / "refusals.md").read_text()
    mine = Path(__file__).name
    tests = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("*.py") if p.name != mine)
    for code, reason in VOCABULARY.items():
        assert f"## {code}\n\n{reason.sentence}" in page
    assert [code for code in VOCABULARY if not re.search(rf"\b{code}\b", tests)] == []


def test_codes_of_later_flows_are_listed_and_used_nowhere():
    waiting = [code for codes in WAITING.values() for code in codes]
    assert len(waiting) == len(set(waiting))
    assert not set(waiting) & set(VOCABULARY)
    rooms = [p for room in ("gateway", "connectors", "mappings") for p in (ROOT / room).rglob("*.py")]
    code = "\n".join(p.read_text() for p in rooms if p.name != "errors.py")
    assert [one for one in waiting if re.search(rf"\b{one}\b", code)] == []


def test_every_setting_is_on_its_page():
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    for name, variable in settings._ENVIRONMENT.items():
        assert f"| {name} | {variable} |" in page
    read = re.compile(r'"(SCHOOLGATE_\w+|DATABASE_\w*URL|REDIS_URL)"')
    used = {
        v for p in (ROOT / "gateway").rglob("*.py") if "sandbox" not in p.parts for v in read.findall(p.read_text())
    }
    assert {v for v in used if v not in page} == set()


def test_every_command_is_on_its_page():
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()

    def walk(command: click.Command, path: str) -> None:
        assert f"## {path}\n" in page
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{path} {name}")

    walk(main, "schoolgate")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_and_targets_that_are_named_exist(page):
    text = page.read_text()
    for name in re.findall(r"`((?:gateway|connectors|mappings|tests|docs|deploy)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"make test ARGS=(\S+?)`", text):
        assert (ROOT / name).exists(), name
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", text)) <= targets


def test_commands_that_are_named_exist():
    page = (ROOT / "docs/reference/commands.md").read_text()
    known = {path.strip() for path in re.findall(r"^## schoolgate(.*)$", page, re.MULTILINE)}
    groups = {name for name in known if name and any(k.startswith(name + " ") for k in known)}
    for page in PAGES:
        for said in re.findall(r"`schoolgate ([a-z-]+(?: [a-z-]+)?)", page.read_text()):
            first = said.split()[0]
            assert said in known or (first in known and first not in groups), (page.name, said)


def test_the_blocks_of_the_readme_run():
    """As written: the story in full, and the tests narrowed to one file by the variable that `make test` knows."""
    demo, test = BLOCK.findall((ROOT / "README.md").read_text())
    assert (demo, test) == ("make demo\n", "make test\n")
    told = run(demo)
    assert "All nine scenes are true." in told
    assert [line.split()[0] for line in told.splitlines() if re.match(r"\d \w", line)] == [str(n) for n in range(10)]
    assert "passed" in run(test, ARGS="tests/ledger/test_merkle.py -o addopts= -p no:cacheprovider", JOBS="1")


def test_the_tutorial_runs():
    said = run("\n".join(BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text())))
    for line in (
        "SRC_AGREEMENT_MISSING",
        "Plan: nothing was changed.",
        "Published.",
        "HELD",
        "students; the first:",
        "Valid: ",
    ):
        assert line in said
    assert not (ROOT / "instance" / "tutorial").exists()
