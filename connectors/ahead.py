"""The lines of a large file are hashed ahead, by a process beside this one, while this one looks them up.

That process is told texts and tells hashes; it opens nothing, and ends when this one does, however that ends. Where it
cannot be had, or goes, lines are hashed by whoever reads them: the same, and later.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import IO, cast

from mappings.oneroster import lines
from mappings.oneroster.lines import Block

LARGE = 8 << 20  # a file below that is read before the other process has begun
_AHEAD = 2  # texts that are told before the first of them is looked at
_PIPE = 1 << 20  # holds as many texts, where the system lets it


def is_of_use(size: int) -> bool:
    """Whether hashing a file of this size ahead pays: it is large, and there is another core to do it."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return size >= LARGE and cores > 1


def hashed(texts: Iterator[bytes]) -> Generator[Block]:
    """Yield the lines of these texts, each of which ends with a line, with their hashes: without them where they cannot
    be had, and where a line is too long."""
    other, waiting, failed = _Other(), deque[bytes](), None
    try:
        try:
            for text in texts:
                other.ask(text)
                waiting.append(text)
                if len(waiting) > _AHEAD:
                    yield Block(waiting.popleft(), other.answer())
        except Exception as error:
            failed = error  # what came before it is looked at first
        while waiting:
            yield Block(waiting.popleft(), other.answer())
    finally:
        other.end()
    if failed:
        raise failed


class _Other:
    """The other process. Once it is gone it is told nothing, and answers with None."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._selector: selectors.BaseSelector | None = None
        self._told = bytearray()
        try:
            self._begin()
        except OSError:
            self.end()

    def _begin(self) -> None:
        self._selector = selectors.DefaultSelector()
        command, pipe = [sys.executable, "-I", "-S", lines.__file__], subprocess.PIPE
        self._process = process = subprocess.Popen(
            command, bufsize=0, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._asks = cast("IO[bytes]", process.stdin).fileno()
        self._answers = cast("IO[bytes]", process.stdout).fileno()
        os.set_blocking(self._asks, False)
        if sys.platform == "linux":
            import fcntl

            with suppress(OSError):
                fcntl.fcntl(self._asks, fcntl.F_SETPIPE_SZ, _PIPE)
        self._selector.register(self._asks, selectors.EVENT_WRITE)
        self._selector.register(self._answers, selectors.EVENT_READ)

    def ask(self, text: bytes) -> None:
        """Tell it a text; whoever tells listens meanwhile, so that neither waits for the other for ever."""
        left = memoryview(lines.asked(text))
        try:
            while left and self._process and self._selector:
                for key, _ in self._selector.select():
                    if key.fd == self._answers:
                        self._listen()
                    else:
                        left = left[os.write(self._asks, left) :]
        except (OSError, EOFError):
            self.end()

    def answer(self) -> Sequence[int] | None:
        """Return the hashes of the next text that it was told."""
        try:
            while self._process and (found := lines.take_answer(self._told)) is None:
                self._listen()
        except (OSError, EOFError):
            self.end()
        return found.tolist() or None if self._process and found is not None else None

    def _listen(self) -> None:
        said = os.read(self._answers, _PIPE)
        if not said:
            raise EOFError
        self._told += said

    def end(self) -> None:
        """Let go of it."""
        process, self._process = self._process, None
        if self._selector:
            self._selector.close()
        if process:
            process.kill()
            process.communicate()
