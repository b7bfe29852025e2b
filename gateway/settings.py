"""Typed settings: environment first, then `instance/schoolgate.toml`; refuses to start unsafe, and says why.

| setting | environment | meaning |
|---|---|---|
| instance | SCHOOLGATE_INSTANCE | folder of this installation: keys, embedded database |
| url | SCHOOLGATE_URL | public base address, https unless sandbox |
| database_url | DATABASE_URL | PostgreSQL for the application's login role; embedded when absent |
| database_owner_url | DATABASE_OWNER_URL | PostgreSQL for migrations |
| redis_url | REDIS_URL | shared cache and rate counters; in process when absent |
| sandbox | SCHOOLGATE_SANDBOX | 1 lets this installation call loopback over http, and only loopback |
| trusted_proxies | SCHOOLGATE_TRUSTED_PROXIES | exact number of proxies in front |
| max_delivery_mb | SCHOOLGATE_MAX_DELIVERY_MB | largest unpacked roster delivery, in MiB |
| history_days | SCHOOLGATE_HISTORY_DAYS | days for which older versions of rosters, and what went, are kept |
| spool | SCHOOLGATE_SPOOL | folder of deliveries that wait, shared by web and worker; `instance/spool` when absent |
| watch_roots | SCHOOLGATE_WATCH_ROOTS | folders, as in PATH, with a `di_…` for each district; none when absent |
| operators | SCHOOLGATE_OPERATORS | staff (`st_… st_…`) who change what districts share; nobody when absent |
| smtp_url | SCHOOLGATE_SMTP_URL | mail server, `smtps://` or `smtp://` with STARTTLS; no e-mail when absent |
| mail_from | SCHOOLGATE_MAIL_FROM | the mailbox that notifications come from |

Secrets never stand in a file or a command line. Commands read them from the environment: SCHOOLGATE_TOKEN (the personal
token of whoever acts), SCHOOLGATE_SOURCE_SECRET (for `source add`: the OAuth secret, the SFTP password or its private
key), SCHOOLGATE_LTI11_SECRET (for `lms migrate`), SCHOOLGATE_OWNER_PASSWORD and SCHOOLGATE_LOGIN_PASSWORD (for `db
bootstrap`).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate

from gateway import errors
from gateway.errors import Refused

_ENVIRONMENT = {
    "url": "SCHOOLGATE_URL",
    "database_url": "DATABASE_URL",
    "database_owner_url": "DATABASE_OWNER_URL",
    "redis_url": "REDIS_URL",
    "sandbox": "SCHOOLGATE_SANDBOX",
    "trusted_proxies": "SCHOOLGATE_TRUSTED_PROXIES",
    "max_delivery_mb": "SCHOOLGATE_MAX_DELIVERY_MB",
    "history_days": "SCHOOLGATE_HISTORY_DAYS",
    "spool": "SCHOOLGATE_SPOOL",
    "watch_roots": "SCHOOLGATE_WATCH_ROOTS",
    "operators": "SCHOOLGATE_OPERATORS",
    "smtp_url": "SCHOOLGATE_SMTP_URL",
    "mail_from": "SCHOOLGATE_MAIL_FROM",
}


class UnsafeSettings(Refused):
    """The settings would make this installation unsafe; the text says which and what to do."""

    def __init__(self, detail: str) -> None:
        super().__init__(errors.INT_SETTINGS, detail)


@contextmanager
def usable(instance: Path) -> Iterator[None]:
    """Say in words that a folder cannot be an installation's. Raises UnsafeSettings."""
    try:
        yield
    except OSError as error:
        why = f"{error.strerror or error} ({error.filename or instance})"
        raise UnsafeSettings(f"the instance folder {instance} cannot be used: {why}") from error


class SettingsSchema(Schema):
    """What may stand in schoolgate.toml."""

    url = fields.String(load_default="http://127.0.0.1:8080")
    database_url = fields.String(load_default="")
    database_owner_url = fields.String(load_default="")
    redis_url = fields.String(load_default="")
    sandbox = fields.Boolean(load_default=False)
    trusted_proxies = fields.Integer(load_default=0, validate=validate.Range(0, 5))
    max_delivery_mb = fields.Integer(load_default=4096, validate=validate.Range(1, 65_536))
    history_days = fields.Integer(load_default=400, validate=validate.Range(30, 3_650))
    spool = fields.String(load_default="")
    watch_roots = fields.String(load_default="")
    operators = fields.String(load_default="")
    smtp_url = fields.String(load_default="")
    mail_from = fields.String(load_default="schoolgate@localhost")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an installation may differ in."""

    instance: Path
    url: str
    database_url: str
    database_owner_url: str
    redis_url: str
    sandbox: bool
    trusted_proxies: int
    max_delivery_mb: int
    history_days: int = 400
    spool: str = ""
    watch_roots: str = ""
    operators: str = ""
    smtp_url: str = ""
    mail_from: str = "schoolgate@localhost"

    @property
    def keys(self) -> Path:
        return self.instance / "keys"

    @property
    def checkpoints(self) -> Path:
        """The folder of the highest checkpoints that this machine has signed."""
        return self.instance / "checkpoints"


def load(instance: Path | None = None) -> Settings:
    """Return the settings of this installation. Raises UnsafeSettings."""
    folder = (instance or Path(os.environ.get("SCHOOLGATE_INSTANCE", "instance"))).resolve()
    said = _from_file(folder / "schoolgate.toml")
    said |= {name: os.environ[env] for name, env in _ENVIRONMENT.items() if os.environ.get(env)}
    try:
        loaded: dict[str, Any] = SettingsSchema().load(said)
    except ValidationError as error:
        raise UnsafeSettings(f"settings do not fit: {error.messages}") from error
    settings = Settings(instance=folder, **{**loaded, "url": loaded["url"].rstrip("/")})
    _refuse_unsafe(settings)
    return settings


def _from_file(path: Path) -> dict[str, Any]:
    try:
        if not path.exists():
            return {}
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UnsafeSettings(f"{path.name} cannot be read: {error}") from error


def _refuse_unsafe(settings: Settings) -> None:
    parts = urlsplit(settings.url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise UnsafeSettings("SCHOOLGATE_URL must be the bare https:// address that browsers reach")
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not loopback:
        raise UnsafeSettings(f"SCHOOLGATE_URL is {settings.url}: launches need https outside loopback")
    if settings.sandbox and not loopback:
        raise UnsafeSettings("SCHOOLGATE_SANDBOX is for loopback only; unset it or use a loopback URL")
    for variable, address, schemes in (
        ("DATABASE_URL", settings.database_url, ("postgresql://",)),
        ("DATABASE_OWNER_URL", settings.database_owner_url, ("postgresql://",)),
        ("REDIS_URL", settings.redis_url, ("redis://", "rediss://", "unix://")),
        ("SCHOOLGATE_SMTP_URL", settings.smtp_url, ("smtp://", "smtps://")),
    ):
        if address and not _is_address(address, schemes):
            raise UnsafeSettings(f"{variable} must be a {' or '.join(schemes)} address")


def _is_address(address: str, schemes: tuple[str, ...]) -> bool:
    try:
        return address.startswith(schemes) and urlsplit(address).port != 0
    except ValueError:
        return False
