"""Measured figures as one Markdown table: ratios within one run; an absolute figure alone promises nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Void(Exception):  # noqa: N818 - a finding about the run
    """Somebody answered with an error, or a count does not match: nothing of this part may be believed."""


def require(holds: bool, what: str) -> None:
    """Raise Void with `what` unless it holds."""
    if not holds:
        raise Void(what)


class Target(NamedTuple):
    """What a ratio must be: at most or at least a number."""

    word: str
    limit: float

    def __str__(self) -> str:
        return f"{self.word} {self.limit:.3g}"

    def met(self, ratio: float) -> bool:
        return {"≤": ratio <= self.limit, "<": ratio < self.limit, "≥": ratio >= self.limit}[self.word]


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement against its floor; without a target it only informs."""

    what: str
    product: str
    floor: str
    ratio: float
    target: Target | None = None

    def cells(self) -> Iterable[str]:
        met = "" if self.target is None else "met" if self.target.met(self.ratio) else "**missed**"
        return self.what, self.product, self.floor, f"{self.ratio:.3g}", str(self.target or ""), met


def machine(server: str, sizes: str) -> str:
    """The line that says where the figures come from."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), load {load} at the start, Python {platform.python_version()}, "
        f"PostgreSQL {server}; {sizes}."
    )


def markdown(heading: str, rows: Iterable[Row], voids: Iterable[str]) -> str:
    """Return the page. A void part stands in it as such."""
    lines = ["# Measured against named floors", "", heading, ""]
    lines += ["| what | product | floor | ratio | target | |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    lines += [f"| **VOID** {what} | | | | | void |" for what in voids]
    return "\n".join([*lines, ""])
