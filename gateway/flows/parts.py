"""What a journey may use. `app.py` chooses the implementations, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connectors.egress import GuardedSession
from connectors.tokens import TokenBroker
from gateway.cache import Cache
from gateway.clock import Clock, Ids
from gateway.identity.keys import PlatformKeys
from gateway.identity.launch import Registrations, States
from gateway.settings import Settings
from gateway.store.secrets import Vault
from gateway.store.tenant import Database


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one running gateway. `defer(session, task, due_at=None, **references)` puts a job into the
    session's own transaction."""

    settings: Settings
    database: Database
    vault: Vault
    clock: Clock
    ids: Ids
    cache: Cache
    open_line: Callable[..., GuardedSession]
    broker: TokenBroker
    registrations: Registrations
    states: States
    keys: PlatformKeys
    defer: Callable[..., None]

    @property
    def launch_url(self) -> str:
        """The one redirect URI and target link of this gateway."""
        return f"{self.settings.url}/lti/launch"
