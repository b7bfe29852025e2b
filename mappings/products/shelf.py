"""A folder of profiles: one TOML file each, read once, and one of them for every name that nobody knows."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, TypeVar

__all__ = ["shelf"]

P = TypeVar("P")


def shelf(
    package: str, default: str, read: Callable[[str, dict[str, Any]], P]
) -> tuple[Callable[[str], P], Callable[[], frozenset[str]]]:
    """Return what gives one profile of a package by its name, and what lists their names.

    A name there is no file for is read as `default`. Raises ProfileError for a file that is not of the shape `read`
    wants.
    """

    @cache
    def names() -> frozenset[str]:
        return frozenset(path.name[:-5] for path in files(package).iterdir() if path.name.endswith(".toml"))

    @lru_cache
    def profile(name: str) -> P:
        path = files(package) / f"{name if name in names() else default}.toml"
        return read(name, tomllib.loads(path.read_text(encoding="utf-8")))

    return profile, names
