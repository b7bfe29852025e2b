"""Takes a line that keeps promises out of a copy of the gateway, and sees which promises turn red.

The tests run in a process of their own, in which the copy comes before the real package, and end as soon as every
promise that rests on the line has failed: first those that need nothing but the policy, then, for promises that these
do not fail, the others.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tests.promises.register import ROOT, Line, Promise

QUICK = ("tests/policy/test_one_by_one.py", "tests/policy/test_minimise.py")  # these need no database
ROOM = "gateway/policy/"
ROOMS = ("gateway", "connectors", "mappings")
SECONDS = 300


def mutants(source: str, text: str) -> list[str]:
    """Return a module without the one line of this text; and, where that line chooses between a refusal and none, one
    that never refuses: without its last line a check would fail, and so refuse everybody."""
    return [_without(source, text), *_lenient(source, text)]


def _without(source: str, text: str) -> str:
    """Where the line alone cannot go, the statement that begins there goes, or the element of a list; a block that is
    empty then passes. Raises ValueError when nothing of that can be taken out."""
    lines, number = source.splitlines(keepends=True), _number(source, text)
    for first, last, instead in ((number, number, ""), *_parts(source, number)):
        made = "".join([*lines[:first], instead, *lines[last + 1 :]])
        if _parses(made):
            return made
    raise ValueError(f"nothing can be taken out at: {text}")


def _lenient(source: str, text: str) -> Iterator[str]:
    lines, number = source.splitlines(keepends=True), _number(source, text)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Return) and node.lineno == node.end_lineno == number + 1:
            choice = node.value
            if isinstance(choice, ast.IfExp) and "errors." in ast.unparse(choice.orelse):
                lenient = ast.unparse(choice.body)
                if "errors." not in lenient and lenient != "None":  # for None the line alone is enough
                    instead = f"{' ' * node.col_offset}return {lenient}\n"
                    yield "".join([*lines[:number], instead, *lines[number + 1 :]])


def _number(source: str, text: str) -> int:
    (number,) = (n for n, line in enumerate(source.splitlines()) if line.strip() == text)
    return number


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _parts(source: str, number: int) -> list[tuple[int, int, str]]:
    """The statement, and the elements, that begin on a line: their first and last line, and what stands there then."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.lineno == number + 1:
            found.append((number, (node.end_lineno or 0) - 1, " " * node.col_offset + "pass\n"))
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            found += [(number, (one.end_lineno or 0) - 1, "") for one in node.elts if one.lineno == number + 1]
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the copies without a line: the promises that rest on it, those that failed on each, whether each
    could be loaded, how many there were, and how long it took."""

    line: Line
    promises: frozenset[str]
    red: frozenset[str]
    loads: bool
    mutants: int
    seconds: float

    @property
    def killed(self) -> bool:
        return self.promises == self.red

    def __str__(self) -> str:
        alive = f"SURVIVES in {' '.join(sorted(self.promises - self.red))}" if not self.killed else "killed"
        what = alive if self.loads else "does not load"
        size = f"{self.mutants} mutants, {len(self.promises):2} promises"
        return f"{self.seconds:6.1f} s  {what:8} {size}  {self.line.file}: {self.line.text}"


_ALONE = ("--noconftest", "-o", "addopts=")  # what the quick tests do without: fixtures, plugins


def _is_quick(test: str) -> bool:
    return test.startswith(QUICK)


class Copy:
    """A copy of the gateway in a folder, into which a line less is written and then put back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for room in ROOMS:
            shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))

    def whole(self, promises: Iterable[Promise]) -> set[str]:
        """Run the tests of these promises on the copy as it is; return those promises that fail."""
        red, _ = self._run({one.id: list(one.tests) for one in promises})
        return red

    def without(self, line: Line, promises: Iterable[Promise], *, quick: bool = False) -> Verdict:
        """Run the tests of the promises that rest on a line, on copies without it; only the quick ones if so asked."""
        resting = {one.id: one.tests for one in promises if line in one.lines}
        first, then = (
            {id_: found for id_, tests in resting.items() if (found := [t for t in tests if _is_quick(t) == which])}
            for which in (True, False)
        )
        asked, began = frozenset(first if quick else resting), monotonic()
        path = self.folder / line.file
        source = path.read_text(encoding="utf-8")
        red, loads, made = asked, True, mutants(source, line.text)
        for mutant in made:
            path.write_text(mutant, encoding="utf-8")
            try:
                found, loaded = self._red(first, {} if quick else then)
            finally:
                path.write_text(source, encoding="utf-8")
            red, loads = red & found, loads and loaded
        return Verdict(line, asked, red, loads, len(made), monotonic() - began)

    def _red(self, first: Mapping[str, Sequence[str]], then: Mapping[str, Sequence[str]]) -> tuple[set[str], bool]:
        """Run the quick tests, and the others of promises that these do not fail."""
        red, loads = self._run(first, *_ALONE)
        left = {id_: tests for id_, tests in then.items() if id_ not in red}
        return (red | self._run(left)[0] if loads else red), loads

    def _run(self, tests: Mapping[str, Sequence[str]], *options: str) -> tuple[set[str], bool]:
        """Run tests by promise; return the promises that failed, and whether the copy can be loaded at all."""
        if not tests:
            return set(), True
        named = sorted({test for of_one in tests.values() for test in of_one})
        told = self.folder / "red.json"
        told.unlink(missing_ok=True)
        environment = os.environ | {
            "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}", "PYTHONPYCACHEPREFIX": str(self.folder / "compiled"),
            "SCHOOLGATE_PROMISES": json.dumps({"tests": {k: list(v) for k, v in tests.items()}, "told": str(told)}),
        }  # fmt: skip
        for name in [name for name in environment if name.startswith("PYTEST_")]:
            del environment[name]
        if options:
            environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pytest", "-q", "--import-mode=append", "-p", "tests.promises.watch", "-p",
             "no:cacheprovider", "--tb=no", "-m", "not invariants", *options, *named],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        if done.returncode in (0, 1, 2) and told.exists():
            answer = json.loads(told.read_text(encoding="utf-8"))
            return (set(answer["red"]), True) if answer["ran"] else (set(tests), False)
        raise AssertionError(done.stdout[-3000:] + done.stderr[-3000:])


def lines_of(promises: Iterable[Promise], room: str = ROOM) -> list[Line]:
    """Every line of a room that a promise rests on, once."""
    return list(dict.fromkeys(line for one in promises for line in one.lines if line.file.startswith(room)))
