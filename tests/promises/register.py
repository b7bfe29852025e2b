"""Reads the register: each promise, the lines that keep it, the tests that show it; and says what of it is not true.

A line is named by its file and its whole text, which must stand there exactly once. So it is found again wherever it
moves to, and the build fails when it is changed, gone, or no longer the only one.
"""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gateway.errors import VOCABULARY

ROOT = Path(__file__).parents[2]
REGISTER = Path(__file__).with_name("register.toml")
POLICIES = {
    "MT": ("MasteryTrack", "mastery_track"),
    "MP": ("MasteryPrep", "mastery_prep"),
    "CT": ("ClassTrak", "class_trak"),
    "MC": ("Mastery Transcript Consortium", "mastery_transcript"),
}
CLASSES = {"G": "gate", "W": "workflow", "E": "evidence", "P": "published", "N": "beyond a gateway"}
STATES = ("kept", "in part", "waiting", "beyond")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of code that keeps promises, by its file and its whole text."""

    file: str
    text: str

    def numbers(self, root: Path = ROOT) -> list[int]:
        """Where it stands now: one number, unless the register is out of date."""
        path = root / self.file
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return [number for number, line in enumerate(lines, 1) if line.strip() == self.text]

    def place(self) -> str:
        """The function, class or name at the top of its file that it is part of."""
        (number,) = self.numbers()
        return ".".join(_enclosing(_parsed(self.file), number)) or "module"


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise in our own words. `waiting` is the flow that it, or what is missing of it, waits for; `why` says of
    one that is beyond a gateway why it is."""

    id: str
    cls: str
    says: str
    lines: tuple[Line, ...] = ()
    codes: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    waiting: str = ""
    why: str = ""

    @property
    def policy(self) -> str:
        return self.id.partition("-")[0]

    @property
    def state(self) -> str:
        if self.cls == "N":
            return "beyond"
        if self.lines:
            return "in part" if self.waiting else "kept"
        return "waiting"


def load(path: Path = REGISTER) -> list[Promise]:
    """Return all promises, in the order of the register."""
    return read(tomllib.loads(path.read_text(encoding="utf-8")))


def read(said: dict[str, Any]) -> list[Promise]:
    """Return the promises of a register. Raises KeyError for a line without a name."""
    named = {name: Line(*given) for name, given in said["lines"].items()}
    return [
        Promise(
            one["id"], one["class"], one["says"], tuple(named[name] for name in one.get("lines", ())),
            tuple(one.get("codes", ())), tuple(one.get("tests", ())), one.get("waiting", ""), one.get("why", ""),
        )
        for one in said["promise"]
    ]  # fmt: skip


def faults(promises: Sequence[Promise]) -> list[str]:
    """Return what of the register is not true, a sentence each. Whether its tests are collected is not asked here."""
    return [f"{one.id}: {fault}" for one in promises for fault in _faults(one)] + [
        f"{id_}: stands {times} times" for id_, times in Counter(one.id for one in promises).items() if times > 1
    ]


def _faults(one: Promise) -> Iterator[str]:
    yield from _gaps(one)
    for line in one.lines:
        found = line.numbers()
        if len(found) != 1:
            yield f"its line stands {len(found)} times in {line.file}: {line.text}"
    yield from (f"there is no refusal {code}" for code in one.codes if code not in VOCABULARY)
    yield from (f"there is no test {test}" for test in one.tests if not is_test(test))


def _gaps(one: Promise) -> Iterator[str]:
    """What is missing of a promise by itself."""
    if one.policy not in POLICIES or one.cls not in CLASSES:
        yield "there is no such policy or class"
    if one.cls == "N" and not one.why:
        yield "why no gateway can keep it is not said"
    if one.cls != "N" and not (one.lines and one.tests) and not one.waiting:
        yield "it has neither a line with a test nor something it waits for"
    if one.lines and not one.tests:
        yield "no test shows it"


def is_test(test: str) -> bool:
    """Whether a test is there, by its path and name; its parameters are not looked at."""
    file, _, name = test.partition("::")
    return name.partition("[")[0] in _tests_of(file)


@cache
def _tests_of(file: str) -> frozenset[str]:
    """The names of the ordinary tests of a file, those left aside that run with the big numbers only."""
    if not (ROOT / file).is_file():
        return frozenset()
    body, names = _parsed(file).body, set[str]()
    for node in body:
        if isinstance(node, ast.FunctionDef) and not any("invariants" in ast.unparse(d) for d in node.decorator_list):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and "invariants" not in ast.unparse(node.value):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(name for name in names if name.startswith("test_"))


@cache
def _parsed(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def _enclosing(node: ast.AST, number: int) -> Iterator[str]:
    """The names of what a line stands in, outermost first."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt) or not child.lineno <= number <= (child.end_lineno or 0):
            continue
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield child.name
        elif isinstance(child, ast.Assign | ast.AnnAssign) and isinstance(node, ast.Module):
            target = child.targets[0] if isinstance(child, ast.Assign) else child.target
            yield ast.unparse(target)
        yield from _enclosing(child, number)
