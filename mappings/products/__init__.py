"""What differs between makes of LMS, as data: one TOML file each, every line with its evidence.

`seen` means exercised against the product or its source read, `documented` in its vendor's pages, `reported` by
people who met it. There is no branch on a product's name anywhere.
"""

from __future__ import annotations

from mappings.products.shape import Product, read
from mappings.products.shelf import shelf

__all__ = ["DEFAULT", "Product", "names", "product"]

DEFAULT = "generic"

product, names = shelf("mappings.products", DEFAULT, read)
