"""What a district is told goes out to where it asked for it, again and again for a day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson
import structlog

from connectors.errors import ConnectorError
from connectors.mail import Letter, Mailer
from connectors.webhook import Webhook
from gateway import errors
from gateway.errors import Refused
from gateway.flows.notifications.telling import body
from gateway.flows.parts import Parts
from gateway.store import notifications

_log = structlog.get_logger()
_LEASE = timedelta(minutes=5)  # how long a sending that was taken is nobody else's
_WAITS = tuple(timedelta(minutes=m) for m in (1, 2, 5, 10, 20, 40, 60, 120, 240, 360, 480))
TRIES = len(_WAITS) + 1
_MOST = 200  # sent by one job


def send_due(parts: Parts, district: int) -> int:
    """Send what a district's ways wait for; return how many went out. One that fails waits, and holds up no other."""
    sent = 0
    for _ in range(_MOST):
        now = parts.clock.now()
        with parts.database.open_intake(district) as session:
            row = notifications.take(session, now, now + _LEASE)
        if row is None:
            break
        sent += _send(parts, district, row, now)
    return sent


def _send(parts: Parts, district: int, row: Any, now: datetime) -> bool:
    state, due_at, code = "sent", now, None
    try:
        if row.address is None:
            state = "stopped"  # nobody wants it there any more
        else:
            _WAYS[row.way](parts, row, now)
    except (ConnectorError, Refused) as error:
        code = error.code if isinstance(error, ConnectorError) else error.reason.code
        state, due_at = ("given_up", now) if row.tries >= TRIES else ("waiting", now + _WAITS[row.tries - 1])
        _log.warning("a notification was not sent", kind=row.way, code=code, state=state)
    with parts.database.open_intake(district) as session:
        sent_at = now if state == "sent" else None
        notifications.settle(session, row.notification, row.way, state, due_at, sent_at, code)
    return state == "sent"


def _post(parts: Parts, row: Any, now: datetime) -> None:
    secret = parts.vault.open(bytes(row.secret), f"webhook:{row.district}").decode()
    Webhook(row.address, secret, parts.open_line).post(orjson.dumps(body(row)), row.notification, now)


def _mail(parts: Parts, row: Any, now: datetime) -> None:
    if not parts.settings.smtp_url:
        raise Refused(errors.INT_SETTINGS, "no SMTP server is set")
    said = body(row)
    subject = f"Roster source {said['source_name']}: {said['cause']}"
    counts = [f"{name}: {count}" for name, count in said["said"].items()]
    lines = [said["sentence"], said["remedy"], "", f"source {said['source_name']} ({said['source']})",
             f"run    {said['run'] or '-'}", f"code   {said['code']}", *counts]  # fmt: skip
    Mailer(parts.settings.smtp_url, parts.settings.mail_from).send(
        Letter(
            row.address, subject, "\n".join(lines), f"{row.notification}@{urlsplit(parts.settings.url).hostname}", now
        )
    )


_WAYS: dict[str, Callable[[Parts, Any, datetime], None]] = {"webhook": _post, "mail": _mail}
