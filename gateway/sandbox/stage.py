"""The stage of the story: the gateway, a worker and the outside world as processes, and what they are called.

Everything is driven from outside: the gateway by its command line and over HTTP, as people and other systems do.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

READY_SECONDS = 90  # seven processes begin at once, on whatever machine


class StageError(AssertionError):
    """Something that the story says is true was not."""


def check(truth: object, sentence: str) -> None:
    """Fail the story unless it is true."""
    if not truth:
        raise StageError(sentence)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Command:
    """One answer of the command line: exit code and what it printed."""

    code: int
    text: str

    @property
    def said(self) -> Any:
        return json.loads(self.text)


class Desk:
    """A person at the command line: `schoolgate batch` kept open, one command a line."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "batch"], env=environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *words: str | Path) -> Command:
        """Run one command and return what came back."""
        process = self._process
        assert process.stdin is not None  # noqa: S101 - opened with pipes
        assert process.stdout is not None  # noqa: S101 - opened with pipes
        process.stdin.write(shlex.join(map(str, words)) + "\n")
        lines: list[str] = []
        while line := process.stdout.readline():
            if line.startswith("-- exit "):
                return Command(int(line.split()[2]), "".join(lines))
            lines.append(line)
        raise StageError("the command line ended: " + "".join(lines)[-500:])

    def must(self, *words: str | Path) -> Any:
        """Run a command that has to succeed, with --json, and return its answer."""
        done = self.run(*words, "--json")
        check(done.code == 0, f"schoolgate {words[0]} {words[1]} failed: {done.text[-500:]}")
        return done.said

    def acts_as(self, token: str) -> None:
        self.run("as", token)

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=20)


@dataclass(slots=True)
class Stage:
    """All processes of the story. Use `with`; what was started is stopped by its pid."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="schoolgate-demo-")))
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    gateway: str = ""
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)
    desk: Desk | None = None

    def __enter__(self) -> Stage:
        try:
            self._raise()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def environment(self) -> dict[str, str]:
        """The gateway's environment: an installation of its own, loopback allowed because it says sandbox."""
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("SCHOOLGATE_", "DATABASE_", "REDIS_"))}
        secret = self.peers.get("sis", {}).get("client_secret", "")
        return mine | {
            "SCHOOLGATE_INSTANCE": str(self.folder / "instance"), "SCHOOLGATE_URL": self.gateway,
            "SCHOOLGATE_SANDBOX": "1", "SCHOOLGATE_SOURCE_SECRET": secret, "NO_COLOR": "1",
        }  # fmt: skip

    def _raise(self) -> None:
        self.gateway = f"http://127.0.0.1:{free_port()}"
        started = {name: self._start("gateway.sandbox." + name, "--port", "0") for name in ("sis", "lms", "assessment")}
        port = self.gateway.rpartition(":")[2]
        serve = self._start("gateway.cli", "serve", "--port", port, "--workers", "2")
        for name, process in started.items():
            self.peers[name] = json.loads(process.stdout.readline() if process.stdout else "{}")
        self._await_gateway(serve)
        self.desk = Desk(self.environment)

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=self.environment, text=True, stdout=subprocess.PIPE,
            stderr=(self.folder / f"{module.rpartition('.')[2]}.log").open("w"),
        )  # fmt: skip
        self.processes.append(process)
        return process

    def _await_gateway(self, serve: subprocess.Popen[str]) -> None:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            check(serve.poll() is None, f"the gateway did not start; its log is {self.folder}/cli.log")
            try:
                if requests.get(f"{self.gateway}/readyz", timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)
        raise StageError(f"the gateway did not become ready in {READY_SECONDS} s")

    def close(self) -> None:
        """Stop everything that was started, and remove the installation."""
        if self.desk:
            self.desk.close()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
        remove = [sys.executable, "-m", "gateway.cli", "db", "remove", "--yes"]
        subprocess.run(remove, env=self.environment, check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)
