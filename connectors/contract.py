"""The verbs a provider may offer. A connector offers some; `registry` says which.

What goes out is a `Cleared`; what comes in is in our own words (`mappings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mappings.cleared import Cleared


@runtime_checkable
class PullsRoster(Protocol):
    """Fetches a whole delivery into a file."""

    def pull_roster(self, into: Path) -> int:
        """Download the delivery; return its size in bytes. Raises ConnectorError."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Members as one reading found them, those that have left by their `status`. `differences` is where the platform
    will say what changed since: opaque, to be kept and handed back, "" where it does not."""

    members: Sequence[dict[str, Any]]
    differences: str


@runtime_checkable
class ListsMembers(Protocol):
    """Lists the members of a course."""

    def list_members(self) -> Sequence[dict[str, Any]]:
        """Return every member. Raises ConnectorError when the list cannot be read whole."""

    def read_members(
        self, *, role: str = "", limit: int = 0, resource_link: str = "", groups: bool = False
    ) -> Membership:
        """Return the members, of one role or who may open one link, with their groups; `limit` is the size of a
        page."""

    def read_changes(self, differences: str) -> Membership:
        """Return the members that changed since a reading gave `differences`."""


@runtime_checkable
class ListsGroups(Protocol):
    """Lists the groups of a course."""

    def list_groups(self) -> Sequence[dict[str, Any]]:
        """Return every group: its id, its name, and that of its set. Raises ConnectorError when a list cannot be read
        whole."""


@runtime_checkable
class SendsNotices(Protocol):
    """Tells us of what happens there, of the kinds it is asked for."""

    def read_notice_handlers(self) -> dict[str, str]:
        """Return where each kind of notice is sent, by its type."""

    def send_notices(self, notice_type: str, handler: str) -> None:
        """Have one kind of notice sent to an address."""


@runtime_checkable
class TakesScores(Protocol):
    """Has a gradebook."""

    def find_column(self, resource_id: str) -> str | None:
        """Return the address of the column made for this activity of ours, or None."""

    def make_column(self, resource_id: str, title: str, maximum: float, resource_link: str = "") -> str:
        """Make a column, of one link where that is known, and return its address."""

    def push_score(self, column: str, score: Cleared[bytes]) -> None:
        """Send one score. Raises ConnectorError; its `sent` says whether the score may have arrived."""

    def read_results(self, column: str) -> Sequence[dict[str, Any]]:
        """Return the results in a column, all of them."""


@runtime_checkable
class KeepsColumns(Protocol):
    """Lets us keep columns in its gradebook. A column is {id, label, scoreMaximum, ...} in AGS's words."""

    def list_columns(
        self, *, resource_link: str = "", resource_id: str = "", tag: str = "", limit: int = 0
    ) -> Sequence[dict[str, Any]]:
        """Return the columns that are all of what is asked for; `limit` is the size of a page."""

    def read_column(self, column: str) -> dict[str, Any]:
        """Return one column."""

    def create_column(self, title: str, maximum: float, **more: str) -> dict[str, Any]:
        """Make a column, whether or not there is one like it."""

    def update_column(self, column: str, **changes: Any) -> dict[str, Any]:
        """Change what is named and keep the rest."""

    def delete_column(self, column: str) -> None:
        """Delete a column with what is in it. Raises ColumnCoupled where only the LMS may."""
