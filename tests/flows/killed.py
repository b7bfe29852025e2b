"""A sync in a process of its own that is killed as it enters a named step: `python -m tests.flows.killed`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from gateway.flows import rosters
from gateway.flows.rosters.progress import Progress
from gateway.office import make_office
from gateway.settings import Settings

STEPS = ("read", "check", "project", "publish", "record")


def run(step: str, application: str, instance: str, district: str, source: str, path: str, by: str) -> None:
    """Bring a delivery in, up to a step. `record` is the last word before the commit."""
    sync: Any = import_module("gateway.flows.rosters.sync")  # the package gives that name to the function
    told, record = Progress.step, sync.record

    @contextmanager
    def dying(self: Progress, name: str) -> Iterator[None]:
        with told(self, name):
            if name == step:
                die()
            yield

    def recorded(*values: Any) -> None:
        record(*values)
        die()

    Progress.step = dying  # type: ignore[method-assign]
    if step == "record":
        sync.record = recorded
    settings = Settings(Path(instance), "http://127.0.0.1:8080", "", "", "", True, 0, 256)
    rosters.sync(make_office(settings, application), int(district), source, Path(path), by, publish=True)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run(*sys.argv[1:])
