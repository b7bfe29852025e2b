"""The lines of a large file are hashed ahead, by a process beside this one, while this one looks them up.

That process is told texts and tells hashes; it opens nothing, and ends when this one does, however that ends. Where it
cannot be had, or goes, lines are hashed by whoever reads them: the same, and later.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, cast

from mappings.oneroster import lines
from mappings.oneroster.lines import Block

LARGE = 8 << 20  # a file below that is read before the other process has begun
_WAITING = 8  # texts that are on their way


def is_of_use(size: int) -> bool:
    """Whether hashing a file of this size ahead pays: it is large, and there is another core to do it."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return size >= LARGE and cores > 1


def hashed(texts: Iterator[bytes]) -> Iterator[Block]:
    """Yield the lines of these texts, each of which ends with a line, with their hashes; without them where they cannot
    be had, and where a line is too long. The texts are taken in another thread; what they raise is raised here."""
    try:
        process = _begin()
    except OSError:
        yield from map(Block, texts)
        return
    with process:
        asked, answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        told: queue.Queue[bytes | BaseException | None] = queue.Queue(_WAITING)
        over = threading.Event()
        feeding = threading.Thread(target=_feed, args=(texts, told, asked, over), daemon=True)
        feeding.start()
        try:
            while (text := told.get()) is not None:
                if isinstance(text, BaseException):
                    raise text
                yield Block(text, _answer(answers))
        finally:
            over.set()
            process.kill()  # whoever still writes to it is told so
            while feeding.is_alive():
                with suppress(queue.Empty):
                    told.get(timeout=0.01)
            with suppress(OSError):
                asked.close()


def _begin() -> subprocess.Popen[bytes]:
    """Start the other process: isolated from the environment and from what is installed, and heard of no more."""
    command = [sys.executable, "-I", "-S", lines.__file__]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        start_new_session=True,
    )


def _feed(
    texts: Iterator[bytes], told: queue.Queue[bytes | BaseException | None], target: IO[bytes], over: threading.Event
) -> None:
    """Tell texts to both, until there are no more or nobody wants them."""
    try:
        for text in texts:
            if over.is_set():
                return
            told.put(text)
            with suppress(OSError, ValueError):
                lines.ask(target, text)
        told.put(None)
    except BaseException as error:
        told.put(error)


def _answer(source: IO[bytes]) -> list[int] | None:
    try:
        found = lines.answered(source)
    except (EOFError, OSError, ValueError):
        return None
    return None if found is None else found.tolist()
