"""Pages of `docs/` that a register in the tests is written out as."""

from __future__ import annotations

from pathlib import Path


def renew(page: Path, text: str, *, check: bool = False) -> bool:
    """Write a page if it is stale; return whether it was. With `check` it is left as it is."""
    stale = not page.exists() or page.read_text(encoding="utf-8") != text
    if stale and not check:
        page.write_text(text, encoding="utf-8")
    return stale
