"""How one peer calls another."""

from __future__ import annotations

from typing import Any

import requests


def fetch(method: str, url: str, **more: Any) -> requests.Response:
    """Send one request: past any proxy of the environment, no redirects, 30 seconds."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, timeout=30, allow_redirects=False, **more)
