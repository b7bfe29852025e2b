"""The lines of a delivery's file, many at a time, and their hashes. Of the standard library alone: what hashes lines in
a process of its own begins with this file, and begins at once.
"""

from __future__ import annotations

import io
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import IO, overload

# Rows accepted under other rules must be checked again: part of every row hash.
RULES = b"roster-rules-3"
MAX_LINE = 65_536
_LENGTH = struct.Struct(">I")


def hash_lines(lines: Iterable[bytes]) -> tuple[int, ...]:
    """Return the signed 64-bit hashes of lines under the current rules, their ends left out."""
    # The rules stand before the line: told them as a parameter, or a size, a hash takes a third longer.
    packed = b"".join([blake2b(RULES + line.rstrip(b"\r\n")).digest() for line in lines])
    return struct.unpack(">" + "q56x" * (len(packed) // 64), packed)


def split(raw: bytes) -> list[bytes]:
    """Return the physical lines of a text, ends included."""
    return io.BytesIO(raw).readlines()


class Block(Sequence[bytes]):
    """Physical lines, ends included; with `hashes` where they were hashed already, and then split only when somebody
    looks at one of them."""

    __slots__ = ("_lines", "hashes", "raw")

    def __init__(self, raw: bytes, hashes: Sequence[int] | None = None) -> None:
        self.raw, self.hashes = raw, hashes
        self._lines: list[bytes] | None = None

    @property
    def lines(self) -> list[bytes]:
        if self._lines is None:
            self._lines = split(self.raw)
        return self._lines

    def __len__(self) -> int:
        return len(self.lines if self.hashes is None else self.hashes)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        return self.lines[place]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.lines)


def asked(text: bytes) -> bytes:
    """Return what a process that runs `answer` is told of a text."""
    return _LENGTH.pack(len(text)) + text


def answer(source: IO[bytes], target: IO[bytes]) -> None:
    """Answer texts with the hashes of their lines, until there are no more: with none, where a line is too long."""
    while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
        found = split(source.read(_LENGTH.unpack(head)[0]))
        fits = max(map(len, found), default=0) <= MAX_LINE
        hashes = array("q", hash_lines(found) if fits else ()).tobytes()
        target.write(_LENGTH.pack(len(hashes)) + hashes)
        target.flush()


def take_answer(told: bytearray) -> array[int] | None:
    """Take the first answer out of what was told; None while it is not there as a whole."""
    if len(told) < _LENGTH.size or len(told) < (end := _LENGTH.size + _LENGTH.unpack_from(told)[0]):
        return None
    hashes = array("q", bytes(told[_LENGTH.size : end]))
    del told[:end]
    return hashes


if __name__ == "__main__":
    answer(sys.stdin.buffer, sys.stdout.buffer)
