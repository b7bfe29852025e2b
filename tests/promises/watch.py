"""A plugin of pytest for `mutants`: notes which promises fail, and runs no test whose promises have all failed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

_ASKED = json.loads(os.environ["SCHOOLGATE_PROMISES"])
_RED = set[str]()
_RAN = list[str]()


def _resting_on(node: str) -> set[str]:
    names = {node, node.partition("[")[0]}
    return {id_ for id_, tests in _ASKED["tests"].items() if names & set(tests)}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if _resting_on(item.nodeid) <= _RED:
        pytest.skip("its promises have failed")
    _RAN.append(item.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _RED.update(_resting_on(report.nodeid))


def pytest_sessionfinish(session: Any) -> None:
    Path(_ASKED["told"]).write_text(json.dumps({"red": sorted(_RED), "ran": len(_RAN)}), encoding="utf-8")
