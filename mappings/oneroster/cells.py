"""JSON values of a OneRoster service as cells of the CSV binding.

Nothing is dropped in silence and nothing is guessed: a value of the wrong type becomes a cell that no check of the CSV
accepts, so that its row is quarantined there like any other bad row. What means the same in another spelling is
respelt, and named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

# U+FDD0 is no character (Unicode section 23.7): no text holds it. What follows it says what stood there instead.
NOT_OF_TYPE = "\ufdd0"
# U+FDD1 likewise: what CSV requires and the service may leave out (username: REST 1.2) was left out.
NOT_SAID = "\ufdd1"
# Longer than any text that is taken, and short enough for a line.
_LONGEST_TEXT, _LONGEST_LIST = 2_001, 12_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_MIDNIGHT = re.compile(r"(\d{4}-\d{2}-\d{2})T00:00(:00(\.0+)?)?(Z|[+-]00:00)?\Z")

Note = Callable[[str], None]


def wrong(value: Any) -> str:
    """Return the cell of a value that may not stand where it stands."""
    kinds = {
        dict: "an object",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
    }
    return NOT_OF_TYPE + kinds.get(type(value), "nothing")


def text(value: Any, note: Note) -> str:
    """A text; a number is respelt, line breaks become blanks."""
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        note("number-as-text")
        return str(value)
    if not isinstance(value, str):
        return wrong(value)
    return _clean(value, note)


def _clean(value: str, note: Note) -> str:
    if not value.isprintable():
        if _CONTROL.search(value):
            note("line-breaks")
            value = _CONTROL.sub(" ", value).strip()
        if NOT_OF_TYPE in value or NOT_SAID in value or any("\ud800" <= one <= "\udfff" for one in value):
            return f"{NOT_OF_TYPE}half a character"
    return value[:_LONGEST_TEXT]


def word(vocabulary: frozenset[str]) -> Callable[[Any, Note], str]:
    """How a word of a vocabulary is spelt: as the vocabulary does, whatever the case it came in."""
    folded = {one.lower(): one for one in vocabulary}

    def spell(value: Any, note: Note) -> str:
        said = text(value, note)
        if said in vocabulary or said.lower() not in folded:
            return said
        note("words-in-another-case")
        return folded[said.lower()]

    return spell


def grades(value: Any, note: Note) -> str:
    """Grades in the words of CEDS: `K` is KG, `9` is 09."""
    return _listed(value, note, _grade)


def _grade(value: Any, note: Note) -> str:
    said = text(value, note)
    respelt = {"K": "KG", "k": "KG", "Kindergarten": "KG"}.get(said, said)
    respelt = respelt.zfill(2) if respelt.isdecimal() and respelt.isascii() else respelt
    if respelt != said:
        note("grade-words")
    return respelt


def flag(value: Any, note: Note) -> str:
    """`true` or `false`, which the binding writes as words (OpenAPI: enum of strings)."""
    if isinstance(value, bool):
        note("boolean-as-word")
        return "true" if value else "false"
    return text(value, note) if value is None or isinstance(value, str) else wrong(value)


def day(value: Any, note: Note) -> str:
    """A date; midnight of a date-time is its date."""
    found = _MIDNIGHT.match(value) if isinstance(value, str) else None
    if found:
        note("moment-as-date")
        return found[1]
    return text(value, note) if value is None or isinstance(value, str) else wrong(value)


def ref(value: Any, note: Note) -> str:
    """The id of what is referred to; a bare id is one too."""
    if isinstance(value, dict):
        inner = value.get("sourcedId")
        return text(inner, note) if inner not in (None, "") else f"{NOT_OF_TYPE}a reference without an id"
    if isinstance(value, str) and value:
        note("reference-as-text")
    return text(value, note) if value is None or isinstance(value, str) else wrong(value)


def _listed(value: Any, note: Note, spell: Callable[[Any, Note], str]) -> str:
    if isinstance(value, (str, dict)) and value:
        note("one-as-list")
        value = [value]
    if value in (None, "", {}):
        return ""
    if not isinstance(value, list):
        return wrong(value)
    return _joined([spell(one, note) for one in value], note)


def _joined(cells: Sequence[str], note: Note) -> str:
    """Cells as one list. The binding parts a list at its commas, so an item cannot hold one."""
    bad = next((cell for cell in cells if cell.startswith(NOT_OF_TYPE)), "")
    if bad:
        return bad
    if any("," in cell for cell in cells):
        note("commas-in-lists")
    joined = ",".join(cell.replace(",", ";") for cell in cells if cell)
    return joined if len(joined) <= _LONGEST_LIST else f"{NOT_OF_TYPE}a list that is too long"


def refs(value: Any, note: Note) -> str:
    """Ids of what is referred to."""
    return _listed(value, note, ref)


def texts(value: Any, note: Note) -> str:
    """A list of texts."""
    return _listed(value, note, text)


def user_ids(value: Any, note: Note) -> str:
    """Further identifiers, each as {type:identifier}."""
    return _listed(value, note, _user_id)


def _user_id(value: Any, note: Note) -> str:
    if not isinstance(value, dict):
        return wrong(value)
    type_, identifier = text(value.get("type"), note), text(value.get("identifier"), note)
    bad = next((cell for cell in (type_, identifier) if cell.startswith(NOT_OF_TYPE)), "")
    return bad or (f"{{{type_}:{identifier}}}" if identifier else "")
