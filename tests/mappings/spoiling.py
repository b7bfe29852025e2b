"""Profiles as they are written, and one of their lines said otherwise."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

FACT = {"evidence": "seen", "source": "somewhere to look it up"}


def document(package: str, name: str) -> dict[str, Any]:
    """What a profile's file says, before anything has judged it."""
    return tomllib.loads((files(package) / f"{name}.toml").read_text(encoding="utf-8"))


def said(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Spoil a document at a dotted path: put a value there, or take the line away when the value is None."""

    def spoil(profile: dict[str, Any]) -> None:
        at: Any = profile
        *way, last = path.split(".")
        for step in way:
            at = at[int(step)] if step.isdigit() else at[step]
        if value is None:
            del at[last]
        else:
            at[last] = value

    return spoil
