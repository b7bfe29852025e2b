"""What differs between makes of LMS, as data: one TOML file each, every line with its evidence.

`seen` means exercised against the product or its source read, `documented` in its vendor's pages, `reported` by
people who met it. There is no branch on a product's name anywhere.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files

from mappings.products.shape import Product, read

__all__ = ["DEFAULT", "Product", "names", "product"]

DEFAULT = "generic"


@lru_cache
def product(name: str) -> Product:
    """Return the profile of a product; an unknown one is treated as the standard says. Raises ProfileError."""
    path = files("mappings.products") / f"{name if name in names() else DEFAULT}.toml"
    return read(name, tomllib.loads(path.read_text(encoding="utf-8")))


@lru_cache
def names() -> frozenset[str]:
    """Return the products there are profiles of."""
    return frozenset(p.name[:-5] for p in files("mappings.products").iterdir() if p.name.endswith(".toml"))
