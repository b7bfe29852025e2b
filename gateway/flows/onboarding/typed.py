"""Names and addresses that people type in: as they are kept, or refused."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway import errors
from gateway.errors import Refused
from gateway.flows.parts import Office

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

MOST_NAME = 200
# A mailbox as a header can carry it: no quotes, comments, lists, routes or line ends (RFC 5321 §4.1.2, its dot-string).
_MAILBOX = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?=.{1,253}\Z)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+", re.ASCII
)
# Line and paragraph ends, control characters, half characters, and marks that turn the direction of what follows.
_NOT_IN_NAMES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def readable(text: str, what: str) -> str:
    """Return a name as it is kept, without blanks around it. Raises Refused unless a person can read it."""
    name = text.strip()
    kinds = {unicodedata.category(one) for one in name}
    if kinds & _NOT_IN_NAMES or _TURNS.intersection(name):
        raise Refused(errors.REQ_INVALID, f"the name of the {what} holds a control character")
    if not any(kind[0] in "LNPS" for kind in kinds):
        raise Refused(errors.REQ_INVALID, f"the name of the {what} is empty")
    if len(name) > MOST_NAME:
        raise Refused(errors.REQ_INVALID, f"the name of the {what} has {len(name)} characters; {MOST_NAME} is the most")
    return name


def require_address(parts: Office, url: str | None) -> None:
    """An address that is registered is https, or loopback in a sandbox; the line itself judges it again."""
    if url is not None:
        check_address(url, sandbox=parts.settings.sandbox)


def check_address(url: str, *, sandbox: bool) -> None:
    """Raises Refused unless an address is https, or loopback in a sandbox."""
    try:
        address = urlsplit(url)
        _ = address.port
    except ValueError as error:
        raise Refused(errors.REQ_INVALID, "this is not an address: its host or port cannot be read") from error
    loopback = sandbox and address.hostname in LOOPBACK
    if not address.hostname or not (address.scheme == "https" or (loopback and address.scheme == "http")):
        raise Refused(errors.SRC_ADDRESS_REFUSED, f"{address.scheme}://{address.hostname} is not https")


def require_mailbox(address: str) -> None:
    """Raise Refused unless this is one plain e-mail address."""
    if not _MAILBOX.fullmatch(address):
        raise Refused(errors.REQ_INVALID, "this is not a plain e-mail address")


def read_zone(name: str) -> str:
    """Return the name of a time zone that there is. Raises Refused."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Refused(errors.REQ_INVALID, f"{name} is not in the time zone database, as America/Chicago is") from error
