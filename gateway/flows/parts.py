"""What a journey may use. `office.py` and `app.py` choose the implementations, once.

Work at a desk (onboarding, rosters, the ledger) needs an `Office`; a running gateway has lines to the outside too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.clock import Clock, Ids
from gateway.policy.minimise import Sample
from gateway.settings import Settings
from gateway.store.secrets import Vault
from gateway.store.tenant import Database

if TYPE_CHECKING:
    from connectors.egress import GuardedSession
    from connectors.tokens import TokenBroker
    from gateway.cache import Cache
    from gateway.identity.keys import PlatformKeys
    from gateway.identity.platforms import Registrations
    from gateway.identity.states import States


@dataclass(frozen=True, slots=True)
class Office:
    """Settings, database, keys, time and chance."""

    settings: Settings
    database: Database
    vault: Vault
    clock: Clock
    ids: Ids


@dataclass(frozen=True, slots=True)
class Parts(Office):
    """The parts of one running gateway. `defer(session, task, due_at=None, **references)` puts a job into the
    session's own transaction; `sample` chooses which records of a bulk page are parsed
    again; `wait` lets seconds pass."""

    cache: Cache
    open_line: Callable[..., GuardedSession]
    broker: TokenBroker
    registrations: Registrations
    states: States
    keys: PlatformKeys
    defer: Callable[..., None]
    sample: Sample
    wait: Callable[[float], None] = time.sleep

    @property
    def launch_url(self) -> str:
        """The one redirect URI and target link of this gateway."""
        return f"{self.settings.url}/lti/launch"
