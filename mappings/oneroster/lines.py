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
_LENGTH = struct.Struct(">i")
_TOO_LONG = -1


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


def ask(target: IO[bytes], raw: bytes) -> None:
    """Send a text to a process that runs `answer`."""
    target.write(_LENGTH.pack(len(raw)) + raw)
    target.flush()


def answered(source: IO[bytes]) -> array[int] | None:
    """Return the hashes of the lines of the next text that was sent; None where one of them is longer than a line may
    be. Raises EOFError when there is nobody to answer."""
    length = _read(source)
    if length == _TOO_LONG:
        return None
    hashes = array("q")
    hashes.frombytes(_whole(source, length))
    return hashes


def answer(source: IO[bytes], target: IO[bytes]) -> None:
    """Answer texts with the hashes of their lines, until there are no more."""
    while True:
        try:
            found = split(_whole(source, _read(source)))
        except EOFError:
            return
        if max(map(len, found), default=0) > MAX_LINE:
            target.write(_LENGTH.pack(_TOO_LONG))
        else:
            hashes = array("q", hash_lines(found)).tobytes()
            target.write(_LENGTH.pack(len(hashes)) + hashes)
        target.flush()


def _read(source: IO[bytes]) -> int:
    (length,) = _LENGTH.unpack(_whole(source, _LENGTH.size))
    return int(length)


def _whole(source: IO[bytes], length: int) -> bytes:
    found = source.read(length)
    if len(found) < length:
        raise EOFError
    return found


if __name__ == "__main__":
    answer(sys.stdin.buffer, sys.stdout.buffer)
