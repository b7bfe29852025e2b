"""What a journey may use. `app.py` chooses the implementations, once."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.clock import Clock, Ids
from gateway.settings import Settings
from gateway.store.secrets import Vault
from gateway.store.tenant import Database


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one running gateway."""

    settings: Settings
    database: Database
    vault: Vault
    clock: Clock
    ids: Ids
