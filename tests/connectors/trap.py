"""A trap for connections: every dial of the process ends at listeners, which count what the kernel made."""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path
from typing import Any


def cases(section: str) -> list[str]:
    """The lines of one section of hostile.txt."""
    text = Path(__file__).with_name("hostile.txt").read_text("utf-8")
    block = text.partition(f"[{section}]\n")[2].partition("\n\n")[0]
    return [re.sub(r"\\(x..|u....|.)", _unescaped, line) for line in block.splitlines()]


def _unescaped(found: re.Match[str]) -> str:
    return found[0].encode("ascii").decode("unicode_escape")


class Trap:
    """Listeners every dial ends at. `seen` are the connections the kernel made."""

    def __init__(self) -> None:
        self._listeners = {}
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            listener = socket.socket(family)
            listener.bind((host, 0))
            listener.listen(128)
            listener.setblocking(False)
            self._listeners[family] = listener

    def close(self) -> None:
        for listener in self._listeners.values():
            listener.close()

    def set(self, monkeypatch: Any, spared: int = 0) -> Trap:
        """Lead every dial here, but those to one port of this machine."""
        real = socket.socket.connect

        def connect(line: socket.socket, address: Any) -> None:
            free = address[:2] == ("127.0.0.1", spared)
            return real(line, address if free else self._listeners[line.family].getsockname())

        monkeypatch.setattr(socket.socket, "connect", connect)
        return self

    def seen(self) -> list[bytes]:
        """What each connection since the last look has written. Loopback queues synchronously."""
        heard = []
        for listener in self._listeners.values():
            with contextlib.suppress(BlockingIOError):
                while True:
                    line, _ = listener.accept()
                    with line:
                        line.settimeout(1)
                        heard.append(line.recv(65536))
        return heard
