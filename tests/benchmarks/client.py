"""A client that costs little: prepared bytes out over a kept connection, one answer in; the same for both sides."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple
from urllib.parse import urlencode

CLIENTS = 8
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Answer(NamedTuple):
    """One answer: status, raw head, body, and how long it took."""

    status: int
    head: bytes
    body: bytes
    seconds: float

    def header(self, name: str) -> str:
        found = re.search(rb"\r\n" + name.encode() + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return found.group(1).decode() if found else ""


def get(path: str, **headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{n}: {v}" for n, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(path: str, form: dict[str, str], **headers: str) -> bytes:
    body = urlencode(form)
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}",
             "Content-Type: application/x-www-form-urlencoded", *(f"{n}: {v}" for n, v in headers.items())]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Connection:
    """One kept connection to a server on loopback."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> Answer:
        """Send a request and return the whole answer."""
        began = perf_counter()
        self._socket.sendall(request)
        data = bytearray()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = bytes(data[:end])
        found = _LENGTH.search(head)
        length = int(found.group(1)) if found else 0
        while len(data) < end + 4 + length:
            data += self._more()
        return Answer(int(head[9:12]), head, bytes(data[end + 4 :]), perf_counter() - began)

    def _more(self) -> bytes:
        chunk = self._socket.recv(1 << 18)
        if not chunk:
            raise ConnectionError("the server hung up")
        return chunk


def together(port: int, requests: Sequence[bytes]) -> tuple[float, list[Answer]]:
    """Ask everything by eight clients at once; return the seconds from first to last, and the answers in order."""
    answers: list[Answer | None] = [None] * len(requests)
    gate = threading.Barrier(CLIENTS + 1)

    def work(first: int) -> None:
        with Connection(port) as connection:
            gate.wait()
            for n in range(first, len(requests), CLIENTS):
                answers[n] = connection.ask(requests[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    gate.wait(timeout=60)
    began = perf_counter()
    for thread in threads:
        thread.join()
    seconds = perf_counter() - began
    whole = [answer for answer in answers if answer is not None]
    if len(whole) < len(requests):
        raise ConnectionError("a client was left without an answer")
    return seconds, whole
