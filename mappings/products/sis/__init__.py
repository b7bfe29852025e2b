"""What differs between makes of SIS and of roster hubs, as data: one TOML file each, every line with its evidence."""

from __future__ import annotations

from mappings.products.shelf import shelf
from mappings.products.sis.shape import Sis, read

__all__ = ["DEFAULT", "Sis", "names", "sis"]

DEFAULT = "oneroster"

sis, names = shelf("mappings.products.sis", DEFAULT, read)
