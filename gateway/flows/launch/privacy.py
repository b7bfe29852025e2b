"""A data privacy launch: what a school lets leave, to whom and why, and how a family asks for more.

Whom the launch is about is the LMS's word, and a family's right is not the LMS's to give: nothing about a person is
shown. The page says what is agreed at the deployment's schools, and who opens the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.store import directory, on_file, roles
from gateway.store.tenant import Session
from mappings.elements import expand, label


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who receives data under an agreement in force: what, and for what."""

    name: str
    school: str
    labels: Sequence[str]
    purposes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Privacy:
    """What the page says."""

    policy: str
    recipients: Sequence[Recipient]


def explain(session: Session, found: Any, now: datetime) -> Privacy:
    """Return who receives what at the schools of a deployment, by the agreements in force now."""
    session.enter(roles.SCHOOL, found.district, found.schools or ())
    names = {row.vendor: row.name for row in directory.vendors(session)}
    rows = [r for r in on_file.latest(session, "agreement") if r.status == "active" and r.effective_at <= now]
    recipients = [
        Recipient(
            names.get(row.vendor, row.vendor), row.school_name,
            sorted({label(name) for name in expand(row.body["schedule"])}), row.body["purposes"],
        )
        for row in rows if row.expires_at > now
    ]  # fmt: skip
    return Privacy(on_file.source_policies(session)[-1].policy, recipients)
