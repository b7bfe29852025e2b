"""Who somebody was in LTI 1.1: believed only of an LMS that has that time's secret (LTI 1.3 migration guide)."""

from __future__ import annotations

import base64
import hashlib
import hmac

from gateway.identity.launch import Admitted
from gateway.store import registrations
from gateway.store.secrets import Vault
from gateway.store.tenant import Session


def sealed_for(registration: str, consumer_key: str) -> str:
    """Return what a secret of LTI 1.1 is sealed to."""
    return f"lti1p1:{registration}:{consumer_key}"


def user_before(session: Session, vault: Vault, admitted: Admitted) -> str | None:
    """Return the LTI 1.1 user id that a launch proves, None where it says none or proves nothing. An id without a
    signature (`lti11_legacy_user_id`) proves nothing."""
    said = admitted.message.get("lti1p1") or {}
    user, key, sign = (said.get(n) or "" for n in ("user_id", "oauth_consumer_key", "oauth_consumer_key_sign"))
    if not (user and key and sign):
        return None
    sealed = registrations.lti1p1_secret(session, admitted.platform.ref, key)
    if sealed is None:
        return None
    secret = vault.open(sealed, sealed_for(admitted.platform.ref, key))
    ours = _signature(secret, admitted, key)
    return user if hmac.compare_digest(ours, sign.encode()) else None


def _signature(secret: bytes, admitted: Admitted, key: str) -> bytes:
    """The signature over key, deployment, issuer, client, expiry and nonce (oauth_consumer_key_sign)."""
    platform, expires = admitted.platform, f"{admitted.expires:.0f}"
    parts = (key, admitted.message["deployment_id"], platform.issuer, platform.client_id, expires, admitted.state.nonce)
    return base64.b64encode(hmac.digest(secret, "&".join(parts).encode(), hashlib.sha256))
