"""The verbs a provider may offer. A connector offers some; `registry` says which.

What goes out is a `Cleared`; what comes in is in our own words (`mappings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mappings.cleared import Cleared


@runtime_checkable
class PullsRoster(Protocol):
    """Fetches a whole delivery into a file."""

    def pull_roster(self, into: Path) -> int:
        """Download the delivery; return its size in bytes. Raises ConnectorError."""


@runtime_checkable
class ListsMembers(Protocol):
    """Lists the members of a course."""

    def list_members(self) -> Sequence[dict[str, Any]]:
        """Return every member. Raises ConnectorError when the list cannot be read whole."""


@runtime_checkable
class TakesScores(Protocol):
    """Has a gradebook."""

    def find_column(self, resource_id: str) -> str | None:
        """Return the address of the column made for this activity of ours, or None."""

    def make_column(self, resource_id: str, title: str, maximum: float) -> str:
        """Make a column and return its address."""

    def push_score(self, column: str, score: Cleared[bytes]) -> None:
        """Send one score. Raises ConnectorError; its `sent` says whether the score may have arrived."""

    def read_results(self, column: str) -> Sequence[dict[str, Any]]:
        """Return the results in a column, all of them."""
