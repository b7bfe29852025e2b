"""Reads the register of clauses, and says what of it is not true."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import VOCABULARY
from tests.promises.register import is_test

REGISTER = Path(__file__).with_name("register.toml")
PARTS = {
    "LI": "Login initiation (Security Framework 1.0 section 5.1.1, LTI Core 1.3 section 4.1)",
    "LV": "Messages (LTI Core 1.3, Security Framework 1.0 section 5.1.3)",
    "SV": "Services (Security Framework 1.0 sections 4 and 6)",
    "CG": "Seen from outside (certification guide section 6.1; Open edX's LTI component)",
    "DL": "Deep Linking 2.0",
    "NRPS": "Names and Role Provisioning Services 2.0",
    "AGS": "Assignment and Grade Services 2.0",
    "DR": "Dynamic registration 1.0",
    "MX": "Other messages and services",
}


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause in our own words. `waiting` is what it, or what is missing of it, waits for."""

    id: str
    says: str
    codes: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    waiting: str = ""

    @property
    def part(self) -> str:
        return self.id.partition("-")[0]

    @property
    def state(self) -> str:
        return "kept" if not self.waiting else "in part" if self.tests else "waiting"


def load(path: Path = REGISTER) -> list[Clause]:
    """Return all clauses, in the order of the register."""
    said = tomllib.loads(path.read_text(encoding="utf-8"))["clause"]
    return [Clause(**{k: tuple(v) if isinstance(v, list) else v for k, v in one.items()}) for one in said]


def faults(clauses: Sequence[Clause]) -> list[str]:
    """Return what of the register is not true, a sentence each."""
    return [f"{one.id}: {fault}" for one in clauses for fault in _faults(one)] + [
        f"{id_}: stands {times} times" for id_, times in Counter(one.id for one in clauses).items() if times > 1
    ]


def _faults(one: Clause) -> Iterator[str]:
    if one.part not in PARTS:
        yield "there is no such part"
    if not one.tests and not one.waiting:
        yield "it has neither a test nor something it waits for"
    if one.codes and not one.tests:
        yield "no test shows its refusals"
    yield from (f"there is no refusal {code}" for code in one.codes if code not in VOCABULARY)
    yield from (f"there is no test {test}" for test in one.tests if not is_test(test))
