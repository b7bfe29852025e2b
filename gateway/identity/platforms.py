"""Registered platforms: PyLTI1p3's tool configuration on our database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from pylti1p3.deployment import Deployment
from pylti1p3.registration import Registration
from pylti1p3.tool_config import ToolConfAbstract

from gateway import errors
from gateway.clock import Clock
from gateway.errors import Refused
from gateway.store import registrations
from gateway.store.tenant import Database
from mappings.text import is_text


@dataclass(frozen=True, slots=True)
class Platform:
    """A registration as the gate needs it."""

    ref: str
    issuer: str
    client_id: str
    auth_url: str
    jwks_url: str
    hosts: frozenset[str]
    status: str
    vendor: str
    product: str = ""
    home: int = 0  # the district that registered it; 0: several did, and which one is not known
    relaxations: tuple[tuple[str, str, datetime], ...] = ()  # name, value, until when

    @property
    def whose(self) -> str:
        """Which registration it is, "" for nobody's."""
        return self.ref if self.home else ""

    def shared(self) -> Platform:
        """Return what all registrations of this client have in common: its addresses, and nobody's hosts or excuses."""
        return replace(self, hosts=frozenset(), vendor="", product="", home=0, relaxations=())

    def excuses(self, now: datetime) -> dict[str, str]:
        """Return the relaxations in force, by name, with their value."""
        return {name: value for name, value, until in self.relaxations if now < until}

    def serves(self, url: str) -> bool:
        """Whether an address is one of this platform's services: on a registered host, and as its keys are, by https
        (http on loopback, where a sandbox registered it so)."""
        said = urlsplit(url)
        return said.netloc.lower() in self.hosts and said.scheme == urlsplit(self.jwks_url).scheme


class Registrations(ToolConfAbstract):  # type: ignore[misc]
    """PyLTI1p3's tool configuration on our database. Remembers what it read for half a minute; what must be true
    at the moment of a launch is read again in the launch's own transaction."""

    SECONDS = 30

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._memory: dict[tuple[str, str | None], tuple[datetime, list[Platform]]] = {}

    def check_iss_has_one_client(self, _iss: str) -> bool:
        return False

    def check_iss_has_many_clients(self, _iss: str) -> bool:
        return True

    def platform(self, issuer: str, client_id: str | None, deployment_id: str | None = None) -> Platform:
        """Return the one enabled registration (LI-3). Raises Refused: unknown, ambiguous or disabled.

        Where several share an issuer and no client is named, the deployment decides; and where districts share a
        client. Of a deployment that none of these has, or that is not named, it is what they have in common: nobody's.
        """
        found = self._find(issuer, client_id)
        if len(found) > 1 and deployment_id:
            found = self._having(found, deployment_id) or found
        live = [one for one in found if one.status == "active"] or found  # what is off or waits is in nobody's way
        if not live:
            raise Refused(errors.LTI_ISSUER_UNKNOWN)
        if len({one.client_id for one in live}) > 1:
            raise Refused(errors.LTI_REGISTRATION_AMBIGUOUS)
        if live[0].status != "active":
            raise Refused(errors.LTI_REGISTRATION_DISABLED)
        sharing = [one for one in found if one.client_id == live[0].client_id and one.status != "pending"]
        return live[0] if len(sharing) == 1 else live[0].shared()

    def require_keys_at(self, platform: Platform, jwks_url: str | None) -> None:
        """Whether a message was verified by keys from where they are now: what is remembered may be half a minute old.
        Raises Refused, and remembers no longer what was wrong."""
        if jwks_url is not None and jwks_url != platform.jwks_url:
            for issuer, client in ((platform.issuer, platform.client_id), (platform.issuer, None)):
                self._memory.pop((issuer, client), None)
            raise Refused(errors.LTI_KEY_UNKNOWN)

    def of_issuer(self, issuer: str) -> Callable[[str], bool]:
        """Return a question: whether a client is one of this issuer's registered here."""
        return lambda client_id: bool(self._find(issuer, client_id))

    def _find(self, issuer: str, client_id: str | None) -> list[Platform]:
        if not is_text(issuer) or not is_text(client_id or ""):
            return []
        now = self._clock.now()
        known = self._memory.get((issuer, client_id))
        if known and now - known[0] < timedelta(seconds=self.SECONDS):
            return known[1]
        with self._database.open_identity() as session:
            found = [_platform(row) for row in registrations.by_issuer(session, issuer, client_id)]
        if found:
            self._memory[issuer, client_id] = (now, found)
        return found

    def find_registration_by_issuer(self, iss: str, *_a: Any, **_k: Any) -> Registration:
        return as_pylti(self.platform(iss, None))

    def find_registration_by_params(self, iss: str, client_id: str, *_a: Any, **_k: Any) -> Registration:
        return as_pylti(self.platform(iss, client_id or None))

    def find_deployment(self, iss: str, deployment_id: str) -> Deployment | None:
        return self.find_deployment_by_params(iss, deployment_id, "")

    def find_deployment_by_params(
        self, iss: str, deployment_id: str, client_id: str, *_a: Any, **_k: Any
    ) -> Deployment | None:
        known = self._having(self._find(iss, client_id or None), deployment_id)
        return Deployment().set_deployment_id(deployment_id) if known else None

    def _having(self, found: list[Platform], deployment_id: str) -> list[Platform]:
        """Those of these registrations that have a deployment of this id."""
        if not is_text(deployment_id):
            return []
        with self._database.open_identity() as session:
            having = registrations.having(session, [one.ref for one in found], deployment_id)
        return [one for one in found if one.ref in having]


def _platform(row: Any) -> Platform:
    return Platform(
        row.registration, row.issuer, row.client_id, row.auth_url, row.jwks_url, frozenset(row.hosts), row.status,
        row.vendor, row.product, row.home_district,
        tuple((one["name"], one["value"], datetime.fromisoformat(one["until"])) for one in row.relaxations or ()),
    )  # fmt: skip


def as_pylti(platform: Platform) -> Registration:
    made = Registration().set_issuer(platform.issuer).set_client_id(platform.client_id)
    return made.set_auth_login_url(platform.auth_url).set_key_set_url(platform.jwks_url)
