"""Texts from outside that a database can keep: no NUL, no half of a surrogate pair, which JSON can spell both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
from marshmallow import Schema, ValidationError, fields

_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Whether a text can be kept and sent on."""
    return _UNKEEPABLE.search(value) is None


def all_text(value: Any) -> bool:
    """Whether every string inside a JSON value is one."""
    if isinstance(value, str):
        return is_text(value)
    if isinstance(value, Mapping):
        return all(all_text(part) for pair in value.items() for part in pair)
    return all(map(all_text, value)) if isinstance(value, list) else True


def _require_text(value: Any) -> Any:
    if isinstance(value, str) and not is_text(value):
        raise ValidationError("not a text")
    return value


class Text(fields.String):
    """A string from outside."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any) -> Any:
        return _require_text(super()._deserialize(value, attr, data, **more))


class Address(fields.Url):
    """An absolute http or https address from outside; one that may be absent may be said as "" too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(schemes={"http", "https"}, require_tld=False, **options)

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **more: Any
    ) -> Any:
        return super().deserialize(None if value == "" and self.allow_none else value, attr, data, **more)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any) -> Any:
        return _require_text(super()._deserialize(value, attr, data, **more))


class Opaque(fields.Raw):
    """Any JSON value, kept and given back as it came."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any) -> Any:
        if not all_text(value):
            raise ValidationError("not a text")
        return super()._deserialize(value, attr, data, **more)


class JsonObject(fields.Dict):
    """A JSON object whose values are the sender's business."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any) -> Any:
        if not all_text(value):
            raise ValidationError("not a text")
        return super()._deserialize(value, attr, data, **more)  # type: ignore[no-untyped-call]


class Repeated(fields.Nested):
    """An object that many messages hold alike, as all launches of a class do: what was found sound once is not looked
    through again. For what says nothing of a person, because it stays in memory: not where a launch returns to."""

    MOST, LONGEST = 1024, 2048  # objects, and bytes of one

    def __init__(self, schema: type[Schema], **options: Any) -> None:
        super().__init__(schema, **options)
        self._known = lru_cache(self.MOST)(self._read)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, partial: Any = None, **more: Any
    ) -> Any:
        try:
            said = orjson.dumps(value)
        except TypeError:  # half of a surrogate pair, a number beyond 64 bits
            said = b""
        if not said or len(said) > self.LONGEST:
            return super()._deserialize(value, attr, data, partial, **more)
        return orjson.loads(self._known(said))

    def _read(self, said: bytes) -> bytes:
        return orjson.dumps(super()._deserialize(orjson.loads(said), None, None))


class Id(Text):
    """An id that may be spelled as a JSON number."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any) -> Any:
        return super()._deserialize(str(value) if type(value) is int else value, attr, data, **more)
