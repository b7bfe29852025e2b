"""The OneRoster service of a source: the line to it, and what it was found to offer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from connectors.errors import ConnectorError
from connectors.oneroster_rest import Look, RestSource, Service
from connectors.source_credentials import HMAC_SHA256, ClientCredentials, Credentials, Signature, StaticBearer
from connectors.tokens import Token, TokenKey
from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows.parts import Parts
from gateway.flows.rosters.kept_pages import KeptPages
from gateway.store import sources
from mappings.oneroster.incoming import COLLECTIONS
from mappings.products.sis import DEFAULT, sis

# Stamps without a zone may be 14 hours off, and clocks differ; what is read twice changes nothing.
OVERLAP = timedelta(hours=24)
ORDERED = {"limit": "1", "sort": "sourcedId", "orderBy": "asc"}
SINCE_EVER = {"limit": "1", "filter": "dateLastModified>='1970-01-01T00:00:00.000Z'"}
FULL_EVERY = timedelta(days=7)
_SCOPES: Mapping[str, tuple[str, ...]] = {
    version: tuple(
        f"https://purl.imsglobal.org/spec/or/{path}/scope/{name}.readonly" for name in ("roster", "roster-demographics")
    )
    for version, path in (("1.1", "v1p1"), ("1.2", "v1p2"))
}


def wanted(parts: Parts, district: int, source: Any) -> tuple[str, ...]:
    """Return the collections that a source is asked for: those that a roster needs, and the others where an agreement
    of one of its schools names anything that they hold. What nobody may bring in is not fetched either."""
    now = parts.clock.now()
    with parts.database.open_intake(district) as session:
        covered, seats = sources.covered(session, now), sources.seats(session, source.source)
    named = frozenset[str]().union(*(covered[seat.school].elements for seat in seats if seat.school in covered))
    return tuple(path for path, one in COLLECTIONS.items() if not one.optional or one.elements & named)


def is_probed(source: Any, paths: Iterable[str]) -> bool:
    """Whether it was found out already if a source offers these collections."""
    return source.capabilities is not None and set(paths) <= set(source.capabilities.get("collections", ()))


def open_service(parts: Parts, district: int, source: Any, *, changes: bool = False) -> RestSource:
    """Return the line to a source; with `changes` it reads what changed since the last reading. Raises Refused."""
    make, offered = sis(source.product or DEFAULT), source.capabilities or {}
    service = Service(
        source.url, make.says("page_size", 1000), make.says("sort", True) and offered.get("sort", True),
        make.says("pause_ms", 0) / 1000, make.says("revision", ""),
        _offered(offered, wanted(parts, district, source)),
    )  # fmt: skip
    if changes:
        service = replace(service, since=_since(source, offered, make.says("overlap_hours", None)))
    keeper = KeptPages(parts.settings.instance / "pulls" / source.source, source.source, parts.vault, parts.clock)
    keeper.forget_old()
    limit = parts.settings.max_delivery_mb << 20
    return RestSource(service, _credentials(parts, district, source), parts.open_line, keeper, parts.wait, limit)


def _offered(offered: Mapping[str, Any], paths: Iterable[str]) -> tuple[str, ...]:
    """The collections to read: those a roster needs, and the others unless they were found not to be offered."""
    found = offered.get("collections", {})
    return tuple(path for path in paths if not COLLECTIONS[path].optional or found.get(path, 200) == 200)


def _since(source: Any, offered: Mapping[str, Any], overlap: int | None) -> datetime:
    if not offered.get("filter", True):
        raise Refused(errors.REQ_INVALID, "this source does not say what changed; pull everything")
    if source.cursor is None:
        raise Refused(errors.REQ_INVALID, "nothing of this source was published yet; pull everything first")
    since: datetime = source.cursor - (timedelta(hours=overlap) if overlap else OVERLAP)
    return since


def _credentials(parts: Parts, district: int, source: Any) -> Credentials:
    secret = parts.vault.open(bytes(source.secret), f"source:{source.source}").decode() if source.secret else ""
    if source.method == "bearer":
        return StaticBearer(Token(secret))
    if source.method.startswith("oauth1"):
        method = HMAC_SHA256 if source.method.endswith("sha256") else "HMAC-SHA1"
        return Signature(source.client_id or "", secret, method)
    scopes = tuple(source.scopes or _SCOPES[source.version or "1.2"])
    key = TokenKey(str(district), source.source, source.token_url, source.token_url, scopes)
    in_body = source.method == "oauth2-body"
    return ClientCredentials(key, source.client_id or "", secret, in_body, parts.broker, parts.open_line)


# --- what it offers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """What a probe found: the status of each collection, and how pages are made."""

    collections: dict[str, int]
    people: Look
    sort: bool
    filter: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "collections": self.collections, "total": self.people.total is not None, "links": self.people.linked,
            "sort": self.sort, "filter": self.filter, "people": shape_of(self.people),
        }  # fmt: skip


def probe(source: RestSource, paths: Iterable[str]) -> Offer:
    """Ask each of these collections for one object, and the people in order and by date. Raises ConnectorError."""
    looks = {path: source.look(path, limit="1") for path in paths}
    statuses, people = {path: look.status for path, look in looks.items()}, looks["users"]
    sort, since = source.look("users", **ORDERED), source.look("users", **SINCE_EVER)
    return Offer(statuses, people, sort.status == 200, filters(people, since))


def filters(people: Look, since_ever: Look) -> bool:
    """Whether a filter is understood: everything changed since 1970, so whoever is there comes."""
    return since_ever.status == 200 and bool(since_ever.objects) == bool(people.objects)


def shape_of(people: Look) -> str:
    """Which version the people are of: 1.2 gives them roles, 1.1 one role; "" where nobody came."""
    first = people.objects[0] if people.objects else None
    if not isinstance(first, dict):
        return ""
    return "1.2" if "roles" in first else "1.1" if "role" in first else ""


def probe_and_note(parts: Parts, district: int, source: Any) -> list[str]:
    """Find what a source offers, keep it, and return what is different from before. Raises Refused."""
    try:
        found = probe(open_service(parts, district, source), wanted(parts, district, source)).as_dict()
    except ConnectorError as error:
        raise Refused(VOCABULARY[error.code], str(error)) from error
    note(parts, district, source, found)
    return differences(source.capabilities or found, found)


def note(parts: Parts, district: int, source: Any, found: dict[str, Any]) -> None:
    """Keep what a source was found to offer."""
    with parts.database.open_district(district) as session:
        sources.note_capabilities(session, source.source, found, parts.clock.now())


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say what a source offers otherwise than before, of what it was asked about both times."""
    was, is_ = _flat(before), _flat(now)
    return [f"{name}: {was[name]} before, {is_[name]} now" for name in is_ if name in was and was[name] != is_[name]]


def _flat(offered: Mapping[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in offered.items() if name != "collections"}
    return flat | dict(offered.get("collections", {}))


# --- how much ----------------------------------------------------------------------------------


def wants_everything(source: Any, now: datetime) -> bool:
    """Whether the next pull should be a full one: never read, no changes to be had, a week old, or drifted."""
    able = (source.capabilities or {}).get("filter", False) and source.cursor is not None and source.full_at is not None
    return not able or bool(source.drift) or now - source.full_at >= FULL_EVERY
