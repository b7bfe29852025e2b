"""Runs a one-box gateway: gunicorn and one worker, stopped together. Its caller holds the database open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from socketserver import BaseRequestHandler, TCPServer
from types import FrameType

from gateway import errors, logs
from gateway.errors import Refused


class _Probe(TCPServer):
    allow_reuse_address = True  # as gunicorn does


def run(port: int, workers: int, *, with_worker: bool) -> int:
    """Serve on 127.0.0.1 until told to stop, or until one part dies. Return an exit code. Raises Refused."""
    logs.configure()
    _require_free(port)
    parts = [_web(port, workers)] + ([_worker()] if with_worker else [])
    stopping: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while not stopping and all(part.poll() is None for part in parts):
        time.sleep(0.2)
    for part in parts:
        part.terminate()
    codes = [part.wait(timeout=30) for part in parts]
    return 0 if stopping else max(abs(code) for code in codes) or 1


LONGEST_LINE = 8190  # bytes, gunicorn's most: a login by GET brings two hints, which are tokens at some LMSs


def _require_free(port: int) -> None:
    try:
        _Probe(("127.0.0.1", port), BaseRequestHandler).server_close()
    except OSError as error:
        raise Refused(errors.INT_PORT, f"port {port} on 127.0.0.1: {error.strerror}") from error


def _web(port: int, workers: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "gunicorn", "gateway.app:create_app()", "--bind", f"127.0.0.1:{port}",
        "--workers", str(workers), "--worker-class", "gthread", "--threads", "8", "--no-control-socket",
        "--log-level", "warning", "--timeout", "30", "--keep-alive", "15", "--graceful-timeout", "10",
        "--limit-request-line", str(LONGEST_LINE),
    ]  # fmt: skip
    return subprocess.Popen(command, env=os.environ)


def _worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "gateway.cli", "worker"], env=os.environ)
