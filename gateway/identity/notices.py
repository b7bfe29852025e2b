"""Who sends a notice: a token without a browser and without a login, checked as that of a launch is (LV-33)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway import errors
from gateway.clock import Clock
from gateway.errors import VOCABULARY, Refused
from gateway.identity import tokens
from gateway.identity.keys import PlatformKeys
from gateway.identity.launch import Terms, check_token, deployment_named
from gateway.identity.platforms import Platform, Registrations
from mappings import lti_notices

MOST_AUDIENCES = 5  # looked up of a token that nothing vouches for yet


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that its platform signed, whatever is to be made of what it says."""

    platform: Platform
    claims: dict[str, Any]
    now: datetime

    def read(self, registrations: Registrations) -> dict[str, Any]:
        """Check the claims and return them by our names. Raises Refused with the code of the first check that fails."""
        at, of_issuer = self.platform, registrations.of_issuer(self.platform.issuer)
        check_token(self.claims, Terms(at.issuer, at.client_id, at.excuses(self.now), self.now.timestamp(), of_issuer))
        message, code = lti_notices.read_notice(self.claims)
        if code:
            raise Refused(VOCABULARY[code])
        return message


def verified(registrations: Registrations, keys: PlatformKeys, clock: Clock, token: str) -> Notice:
    """Check structure, key and signature of a notice (LV-06 to LV-11). Raises Refused."""
    header, claims = tokens.read(token)
    platform = _sender(registrations, claims)
    tokens.verify(token, keys.key(platform.ref, platform.jwks_url, header["kid"]))
    return Notice(platform, claims, clock.now())


def _sender(registrations: Registrations, claims: dict[str, Any]) -> Platform:
    """The registration whose key must have signed this: of its issuer, for the client it says it is for. Raises
    Refused."""
    issuer, said = claims.get("iss"), claims.get("aud")
    if not isinstance(issuer, str):
        raise Refused(errors.LTI_ISS)
    listed = said if isinstance(said, list) else [said]
    clients = [one for one in (claims.get("azp"), *listed) if isinstance(one, str) and one and one in listed]
    if not clients:
        raise Refused(errors.LTI_AUD)
    is_client = registrations.of_issuer(issuer)
    client = next(filter(is_client, clients[:MOST_AUDIENCES]), clients[0])
    return registrations.platform(issuer, client, deployment_named(claims))
