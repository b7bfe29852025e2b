"""The other side of a line, on loopback: a listener that does what a script tells it.

with Peer(answer(b"{}")) as peer: ...        one script for every connection
peer.connections                             how many the kernel accepted for it
peer.requests                                the bytes of each request, head and body
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Self

Script = Callable[[socket.socket, "Peer"], None]


class Peer:
    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, host="127.0.0.1", port=0):
        self.script = script
        self.tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.done = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.bind((host, port))
        self._listener.listen(64)
        self.host = f"[{host}]" if ":" in host else host
        self.port = self._listener.getsockname()[1]
        self.name = f"{self.host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"{'https' if self.tls else 'http'}://{self.name}{path}"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        self.done.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._open:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _spawn(self, work: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.done.is_set():
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(line)
            self._spawn(self._serve, line)

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            if self.tls:
                with self.tls.wrap_socket(line, server_side=True) as secure:
                    self.script(secure, self)
            else:
                self.script(line, self)

    def hear(self, line: socket.socket) -> bytes:
        """One request, head and body, or b"" when the caller hung up."""
        heard = b""
        while b"\r\n\r\n" not in heard:
            piece = line.recv(65536)
            if not piece:
                return b""
            heard += piece
        head, _, body = heard.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        while length and len(body) < int(length[1]):
            body += line.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]


def reply(body: bytes = b"", status: str = "200 OK", headers: dict[str, str] | None = None) -> bytes:
    """The bytes of an ordinary answer."""
    lines = {"Content-Length": str(len(body)), "Content-Type": "application/json", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body


def answer(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> Script:
    """The same answer to every request of every connection."""
    return raw(reply(body, status, {k.replace("_", "-"): v for k, v in headers.items()}))


def raw(wire: bytes) -> Script:
    """These bytes in answer to every request."""

    def script(line: socket.socket, peer: Peer) -> None:
        while peer.hear(line):
            line.sendall(wire)

    return script


def once(wire: bytes) -> Script:
    """These bytes, then the end of the connection."""

    def script(line: socket.socket, peer: Peer) -> None:
        peer.hear(line)
        line.sendall(wire)

    return script


def drip(start: bytes, piece: bytes, every: float = 0.0) -> Script:
    """`start`, then `piece` for ever, waiting `every` seconds between two."""

    def script(line: socket.socket, peer: Peer) -> None:
        peer.hear(line)
        line.sendall(start)
        while not peer.done.is_set():
            line.sendall(piece)
            if every:
                time.sleep(every)

    return script


def by_path(answers: dict[str, bytes]) -> Script:
    """An answer for each path; 404 for the rest."""

    def script(line: socket.socket, peer: Peer) -> None:
        while request := peer.hear(line):
            path = request.split(b" ", 2)[1].decode()
            line.sendall(answers.get(path, reply(b"", "404 Not Found")))

    return script
