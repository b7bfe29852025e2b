"""What differs between makes of LMS, as data: one TOML file each, every line with its evidence.

`seen` means exercised against the product or its source read, `documented` in its vendor's pages, `reported` by
people who met it. There is no branch on a product's name anywhere.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any

DEFAULT = "generic"


@dataclass(frozen=True, slots=True)
class Product:
    """The habits of one make, as the grade flow needs them."""

    name: str
    resolution: timedelta
    stale: frozenset[int]
    throttle: frozenset[int]
    not_gradable: frozenset[int]


@lru_cache
def product(name: str) -> Product:
    """Return the profile of a product; an unknown one is treated as the standard says. Raises KeyError on a
    malformed profile."""
    path = files("mappings.products") / f"{name if name in names() else DEFAULT}.toml"
    said = tomllib.loads(path.read_text(encoding="utf-8"))["grades"]

    def value(key: str) -> Any:
        return said[key]["value"]

    return Product(
        name,
        timedelta(milliseconds=value("resolution_ms")),
        frozenset(value("stale")),
        frozenset(value("throttle")),
        frozenset(value("not_gradable")),
    )


@lru_cache
def sites(name: str) -> frozenset[str]:
    """Return the domains a product lives on where they are not its issuer's own, none where nobody wrote them down."""
    path = files("mappings.products") / f"{name if name in names() else DEFAULT}.toml"
    said = tomllib.loads(path.read_text(encoding="utf-8")).get("lms", {}).get("sites", {})
    return frozenset(said.get("value", ()))


@lru_cache
def names() -> frozenset[str]:
    """Return the products there are profiles of."""
    return frozenset(p.name[:-5] for p in files("mappings.products").iterdir() if p.name.endswith(".toml"))
