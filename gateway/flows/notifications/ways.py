"""Where a district wants to be told, and who has seen what it was told."""

from __future__ import annotations

from gateway import errors
from gateway.errors import Refused
from gateway.flows.onboarding.typed import require_address, require_mailbox
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.store import notifications


def set_webhook(parts: Office, by: Person, url: str) -> str:
    """Send what a district is told to an address of its own; return the secret that signs it, once."""
    by.acts_for_district()
    require_address(parts, url)
    secret, now = parts.ids.secret(), parts.clock.now()
    sealed = parts.vault.seal(secret.encode(), f"webhook:{by.district}")
    with parts.database.open_district(by.district) as session:
        notifications.send_to(session, "webhook", url, sealed, now, by.ref)
    return secret


def set_mail(parts: Office, by: Person, address: str) -> None:
    """Send what a district is told to a mailbox too."""
    by.acts_for_district()
    require_mailbox(address)
    with parts.database.open_district(by.district) as session:
        notifications.send_to(session, "mail", address, None, parts.clock.now(), by.ref)


def stop(parts: Office, by: Person, way: str) -> bool:
    """Send nothing that way any more; False where nothing was sent that way."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        return notifications.stop(session, way) > 0


def see(parts: Office, by: Person, refs: list[str]) -> int:
    """Note that somebody has seen these, all of them when none is named. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        unknown = set(refs) - notifications.known(session, refs)
        if unknown:
            raise Refused(errors.REQ_UNKNOWN, f"there is no notification {min(unknown)}")
        return notifications.see(session, refs, parts.clock.now(), by.ref)
