"""What differs between makes of SIS and of roster hubs, as data: one TOML file each, every line with its evidence."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files

from mappings.products.sis.shape import Sis, read

__all__ = ["DEFAULT", "Sis", "names", "sis"]

DEFAULT = "oneroster"


@lru_cache
def sis(name: str) -> Sis:
    """Return the profile of a make; an unknown one is treated as the standard says. Raises ProfileError."""
    path = files("mappings.products.sis") / f"{name if name in names() else DEFAULT}.toml"
    return read(name, tomllib.loads(path.read_text(encoding="utf-8")))


@lru_cache
def names() -> frozenset[str]:
    """Return the makes there are profiles of."""
    return frozenset(p.name[:-5] for p in files("mappings.products.sis").iterdir() if p.name.endswith(".toml"))
