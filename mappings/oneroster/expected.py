"""What the binding asks of a column, in words: the rule that stands beside a fault."""

from __future__ import annotations

from mappings.oneroster.columns import CsvColumn
from mappings.oneroster.csv import FILES

_TYPES = {
    "id": "a sourcedId: letters, digits and . - _ / @, at most 255",
    "ids": "sourcedIds with commas between them",
    "texts": "texts with commas between them",
    "pairs": "{name:value}, with commas between several",
    "date": "a date, YYYY-MM-DD",
    "year": "the year in which the school year ends, YYYY",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number, with a point",
    "text": "at most 2000 characters",
    "user_id": "one identifier, without braces",
    "grade": "a grade, as in 9, or a range, as in 9-12",
    "passed": "read past",
    "never": "read past and never kept",
    "status": "empty in bulk; active or tobedeleted in a delta",
    "modified": "empty in bulk; an ISO 8601 time stamp with a zone in a delta",
}


def rule_of(version: str, file: str, column: str) -> str:
    """Return what a column's values must be; nothing for what is no column of the file."""
    known = FILES.get(version, FILES["1.2"]).get(file) or FILES["1.2"].get(file)
    found = next((c for c in known.columns if c.header == column), None) if known else None
    if found is None:
        return ""
    return f"{'required' if found.required else 'optional'}; {_of_type(found)}"


def _of_type(column: CsvColumn) -> str:
    if column.type not in ("word", "words", "sex"):
        return _TYPES[column.type]
    words = ", ".join(sorted(column.vocabulary)) + (", or an ext: word" if column.extensible else "")
    return f"one of {words}" if column.type != "words" else f"some of {words}, with commas between them"
