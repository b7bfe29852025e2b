"""How makes of SIS differ from the book when the sandbox plays them: one file each, only what differs.

Written apart from what the gateway believes of them, so that one mistake is not in both.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Make:
    """The behaviour of one make. Paths are below `/<name>`."""

    name: str
    base: str = "ims/oneroster/rostering/v1p2"
    objects: str = "1.2"  # of which version its objects are, whatever its path says

    # Who may read.
    auth: str = "oauth2"  # or bearer, oauth1
    token: str = "oauth2/token"
    credentials_in: str = "header"  # of a token request: header, body or either
    scope_needed: bool = False
    digest: str = "sha1"  # of oauth1

    # Pages.
    largest_page: int = 0  # 0: as large as asked
    total: bool = True
    links: str = "whole"  # or relative, none
    sorts: bool = True
    filters: bool = True
    revision: str = ""  # a header that changes with the roster
    lacks: tuple[str, ...] = ()  # collections that are not licensed

    # Spelling.
    words_for_flags: bool = True  # "true", as the book says
    relative_references: bool = False
    local_stamps: bool = False
    empty_is_null: bool = False
    numbers_for_ids: bool = False  # identifiers and school years as numbers

    # What goes wrong: of the collection `at`, or of none.
    at: str = ""
    wrong: str = ""  # loop, repeat, gap, moving-total, elsewhere, cut, empty, no-envelope, odd-types


_TUPLES = ("lacks",)


def behaviour(said: dict[str, Any]) -> dict[str, Any]:
    """Return what a file or a test says, as fields of a make. Raises KeyError for a habit there is none of."""
    known = {one.name for one in fields(Make)}
    if not set(said) <= known:
        raise KeyError(f"no such habit: {', '.join(sorted(set(said) - known))}")
    return {key: tuple(value) if key in _TUPLES else value for key, value in said.items()}


def changed(make: Make, said: dict[str, Any]) -> Make:
    """Return the make with other habits."""
    return replace(make, **behaviour(said))


def _read(path: Path) -> Make:
    return Make(path.stem, **behaviour(tomllib.loads(path.read_text(encoding="utf-8"))))


MAKES = {path.stem: _read(path) for path in sorted(_FOLDER.glob("*.toml"))}
