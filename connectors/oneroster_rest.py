"""A roster read page by page from a OneRoster 1.1 or 1.2 service, and written down as a delivery.

    collection ── page ── page ── page ── end?   every page checked: loop, repeat, gap, changed total, foreign next
         └─ rows of the CSV binding ── file ── zip with a manifest: bulk, or delta for what changed since

A delivery is written whole or not at all: whatever is missing or odd raises, and the last roster stays. Pages that came
are kept by the caller until the pull is complete, so that one that was stopped goes on where it was.

Sources: OneRoster 1.2 rostering OpenAPI document (limit, offset, sort, filter, X-Total-Count, Link); OneRoster 1.1
chapter 3; reference oneroster.md §1b and §3.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import requests
from requests.auth import AuthBase

from connectors.egress import MIB, GuardedSession, answer_json, origin_of, require_success
from connectors.errors import (
    AnswerLost,
    AnswerRefused,
    AnswerUnreadable,
    CollectionLost,
    ConnectorError,
    CredentialsRefused,
    PagesBroken,
    Throttled,
    Unreachable,
    Untrusted,
)
from connectors.oneroster_written import Written
from connectors.paging import Reading, parse_link
from connectors.source_credentials import Credentials
from mappings.oneroster.incoming import COLLECTIONS, Collection, Notes, rows, spell_moment

MAX_PAGES = 200_000
PAGE_BYTES, PAGE_SECONDS = 64 * MIB, 300.0
LONGEST_WAIT, MOST_WAITS = 120.0, 6  # of one request; longer, and the pull stops and goes on another time
RESTARTS = 2  # of a collection that moves while it is read
_WAITS = frozenset({429, 500, 502, 503, 504})
_KEPT_HEADERS = ("Link", "X-Total-Count")


class Keeper(Protocol):
    """Keeps the pages of a pull that is not complete, by collection. May forget anything at any moment."""

    def get(self, collection: str, url: str) -> bytes | None: ...
    def keep(self, collection: str, url: str, page: bytes) -> None: ...
    def forget(self, collection: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Service:
    """Where a source answers and how: `revision` is a header that changes when its roster does; `collections` are those
    to read; with `since` only what changed from then on."""

    url: str
    page_size: int = 1000
    sort: bool = True
    pause: float = 0.0
    revision: str = ""
    collections: tuple[str, ...] = tuple(COLLECTIONS)
    since: datetime | None = None

    def first(self, path: str) -> str:
        """Return the address of a collection's first page."""
        return self.page(path, 0)

    def page(self, path: str, offset: int) -> str:
        asked: dict[str, Any] = {"limit": self.page_size, "offset": offset}
        if self.sort:
            asked |= {"sort": "sourcedId", "orderBy": "asc"}
        if self.since:
            asked["filter"] = f"dateLastModified>='{spell_moment(self.since)}'"
        return f"{self.url.rstrip('/')}/{path}?{urlencode(asked)}"


@dataclass(slots=True)
class Told:
    """What one collection came to."""

    collection: str
    pages: int = 0
    objects: int = 0
    total: int | None = None
    restarts: int = 0
    notes: Notes = field(default_factory=Notes)

    def as_dict(self) -> dict[str, Any]:
        return {
            "collection": self.collection, "pages": self.pages, "objects": self.objects, "total": self.total,
            "restarts": self.restarts, "deleted": self.notes.gone, "repairs": sorted(self.notes.repairs),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """What one question of the probe brought."""

    status: int
    objects: list[Any] | None = None
    total: int | None = None
    linked: bool = False


class _Moved(Exception):  # noqa: N818 - what a collection does while it is read, caught one call up
    """A collection is not what it was on the page before."""


class _Revised(_Moved):
    """The whole roster is another than when the pull began."""


@dataclass(slots=True)
class RestSource:
    """A OneRoster service of a district. Implements PullsRoster; `told` says afterwards what came."""

    service: Service
    credentials: Credentials
    open_line: Callable[..., GuardedSession]
    keeper: Keeper
    wait: Callable[[float], None]
    limit: int
    told: list[Told] = field(default_factory=list)
    asked: int = 0
    _revision: str | None = None
    _renewed: bool = False

    @property
    def latest(self) -> datetime | None:
        """The latest moment at which anything that came was modified."""
        return max((told.notes.latest for told in self.told if told.notes.latest), default=None)

    def pull_roster(self, into: Path) -> int:
        """Read every collection and write the delivery; the kept pages are forgotten then. Raises ConnectorError."""
        for left in range(RESTARTS, -1, -1):
            try:
                size = self._pull(into)
            except _Revised:
                self.keeper.forget()
                if not left:
                    raise PagesBroken("the roster changed again and again while it was read") from None
            else:
                self.keeper.forget()
                return size
        raise AssertionError("unreachable")

    def look(self, path: str, **asked: str) -> Look:
        """Ask one question: what the answer's status is, and how it is made. Raises ConnectorError."""
        with self._line() as line:
            try:
                response = self._fetched(line, f"{self.service.url.rstrip('/')}/{path}?{urlencode(asked)}")
            except Throttled:
                raise
            except AnswerRefused as refused:
                return Look(refused.status)
            return Look(200, _objects(response, path), _total(response), _linked(response))

    # --- the pull ------------------------------------------------------------------------------------

    def _pull(self, into: Path) -> int:
        self.told, self._revision, self._renewed = [], None, False
        districts: set[str] = set()
        with Written(into.with_name(into.name + ".parts"), self.limit) as files, self._line() as line:
            for path in self.service.collections:
                self.told.append(self._whole(line, COLLECTIONS[path], files, districts))
            return files.zip(into, "delta" if self.service.since else "bulk")

    def _line(self) -> GuardedSession:
        host = origin_of(self.service.url).authority
        return self.open_line({host}, total_seconds=PAGE_SECONDS, max_bytes=PAGE_BYTES)

    def _whole(self, line: GuardedSession, collection: Collection, files: Written, districts: set[str]) -> Told:
        """Read a collection whole, and again from its start when it moves meanwhile."""
        for restart in range(RESTARTS + 1):
            told = Told(collection.path, restarts=restart, notes=Notes(districts=districts))
            files.begin(collection.path)
            try:
                self._read(line, collection, told, files)
            except _Revised:
                raise
            except AnswerUnreadable:
                # What was odd is asked for anew the next time: it may have been mended.
                self.keeper.forget(collection.path)
                raise
            except _Moved as moved:
                reason = str(moved)
                self.keeper.forget(collection.path)
            else:
                return told
        raise PagesBroken(f"{collection.path}: {reason}, {RESTARTS + 1} times in a row")

    def _read(self, line: GuardedSession, collection: Collection, told: Told, files: Written) -> None:
        ids = _Ids()
        for page in self._pages(line, collection.path, told):
            for found in page:
                ids.meet(found)
                for file, cells in rows(collection, found, told.notes, changes=self.service.since is not None):
                    files.add(file, cells)
            files.weigh()
            if collection.path == "orgs":
                told.notes.districts |= _districts(page)
        if told.total is not None and told.objects != told.total:
            raise _Moved(f"{told.objects} objects came where {told.total} were said")
        if ids.twice():
            raise _Moved("an object stands on two pages")
        if not told.objects and not self.service.since and not collection.optional:
            raise CollectionLost(f"{collection.path}: it is empty")

    def _pages(self, line: GuardedSession, path: str, told: Told) -> Iterator[list[Any]]:
        """The objects of each page, first to last."""
        url: str | None = self.service.first(path)
        reading = Reading(self.service.first(path), MAX_PAGES)
        while url is not None:
            response, following = self._page(line, path, url, reading)
            objects = _objects(response, path)
            self._check_revision(response)
            _same_total(told, _total(response))
            told.pages += 1
            told.objects += len(objects)
            yield objects
            url = following or self._by_offset(path, response, told, len(objects))

    def _page(
        self, line: GuardedSession, path: str, url: str, reading: Reading
    ) -> tuple[requests.Response, str | None]:
        try:
            reading.ask(url)
        except AnswerUnreadable as odd:
            raise PagesBroken(f"{path}: {odd}") from odd
        response = self._kept(line, path, url)
        try:
            return response, reading.following(response, url)
        except AnswerUnreadable as odd:
            raise PagesBroken(f"{path}: {odd}") from odd

    def _by_offset(self, path: str, response: requests.Response, told: Told, came: int) -> str | None:
        """Where the next page is when no link says so: by number, until all that were said have come, or to the first
        empty page. A short page ends nothing: a service may cap its pages."""
        if _linked(response) or not came or (told.total is not None and told.objects >= told.total):
            return None
        return self.service.page(path, told.objects)

    def _check_revision(self, response: requests.Response) -> None:
        said = response.headers.get(self.service.revision, "") if self.service.revision else ""
        if self._revision is not None and said != self._revision:
            raise _Revised
        self._revision = said

    # --- one page ------------------------------------------------------------------------------------

    def _kept(self, line: GuardedSession, path: str, url: str) -> requests.Response:
        """A page that was kept, or one that is fetched and kept."""
        page = self.keeper.get(path, url)
        if page is not None:
            return _thawed(page)
        try:
            response = self._fetched(line, url)
        except AnswerRefused as refused:
            if refused.status in (403, 404):
                raise CollectionLost(f"{path}: the source answers {refused.status}") from refused
            refused.args = (f"{path}: {refused}",)
            raise
        _objects(response, path)
        self.keeper.keep(path, url, _frozen(response, self.service.revision))
        if self.service.pause:
            self.wait(self.service.pause)
        return response

    def _fetched(self, line: GuardedSession, url: str) -> requests.Response:
        """An answer of status 200. Where the source is busy, broken or away it is asked again, as it says or later and
        later."""
        for tries in range(MOST_WAITS + 1):
            try:
                return self._answer(line, url)
            except AnswerRefused as refused:
                if refused.status not in _WAITS:
                    raise
                if tries == MOST_WAITS:
                    raise _too_often(refused) from refused
                self._wait_for(refused, tries)
            except (AnswerLost, Unreachable) as lost:
                if tries == MOST_WAITS or isinstance(lost, Untrusted):
                    raise
                self.wait(_later(tries))
        raise AssertionError("unreachable")

    def _wait_for(self, refused: AnswerRefused, tries: int) -> None:
        seconds = refused.retry_after if refused.retry_after is not None else _later(tries)
        if seconds > LONGEST_WAIT:
            raise _too_often(refused) from refused
        self.wait(seconds)

    def _answer(self, line: GuardedSession, url: str) -> requests.Response:
        """One request; a token that is not accepted is renewed once in a pull."""
        self.asked += 1
        response = line.get(url, auth=self._auth(line), headers={"Accept": "application/json"})
        if response.status_code == 401:
            if self._renewed or not self.credentials.renew():
                raise CredentialsRefused("the source does not accept our credentials")
            self._renewed = True
            response = line.get(url, auth=self._auth(line), headers={"Accept": "application/json"})
            if response.status_code == 401:
                raise CredentialsRefused("the source does not accept our credentials, renewed")
        return require_success(response)

    def _auth(self, line: GuardedSession) -> AuthBase | None:
        return self.credentials.admit(line, self.service.url)


def _later(tries: int) -> float:
    """Seconds to wait when nothing is said: 1, 2, 4 … 32, and up to a quarter more, so that callers come apart."""
    return float(2 ** min(tries, 5)) * (1 + random.random() / 4)  # noqa: S311 - spreads load, keeps no secret


def _too_often(refused: AnswerRefused) -> ConnectorError:
    if refused.status not in (429, 503):
        return refused
    after = f"; it says to wait {refused.retry_after:.0f} seconds" if refused.retry_after else ""
    return Throttled(refused.status, f"the source answers {refused.status}{after}", refused.retry_after)


# --- what an answer says -------------------------------------------------------------------------------


def _objects(response: requests.Response, path: str) -> list[Any]:
    """The objects of a page. Without its envelope an answer of status 200 is a collection that is not there."""
    try:
        told = answer_json(response)
    except AnswerUnreadable as odd:
        raise AnswerUnreadable(f"{path}: {odd}") from odd
    found = told.get(path) if isinstance(told, Mapping) else None
    if not isinstance(found, list):
        raise CollectionLost(f"{path}: the answer holds no list of that name")
    return found


def _total(response: requests.Response) -> int | None:
    said = response.headers.get("X-Total-Count", "").strip()
    return int(said) if said.isdecimal() and said.isascii() and len(said) < 12 else None


def _linked(response: requests.Response) -> bool:
    """Whether the source links its pages, so that no link to a next one means that there is none."""
    return bool({"first", "prev", "next", "last"} & set(parse_link(response.headers.get("Link", ""))))


def _same_total(told: Told, said: int | None) -> None:
    if told.pages and said != told.total:
        raise _Moved(f"the total changed from {told.total} to {said}")
    told.total = said


def _districts(page: list[Any]) -> set[str]:
    orgs = (one for one in page if isinstance(one, dict) and one.get("type") == "district")
    return {str(one.get("sourcedId", "")) for one in orgs}


def _frozen(response: requests.Response, revision: str) -> bytes:
    """A page as it is kept: the headers that are read again, a line end, the body."""
    names = (*_KEPT_HEADERS, *([revision] if revision else []))
    said = {name: response.headers[name] for name in names if name in response.headers}
    return json.dumps(said).encode() + b"\n" + response.content


def _thawed(page: bytes) -> requests.Response:
    head, _, body = page.partition(b"\n")
    response = requests.Response()
    response.status_code, response.raw = 200, io.BytesIO(body)
    response.headers.update(json.loads(head))
    return response


class _Ids:
    """Which objects came, eight bytes each in 256 parts: 8.5 million enrollments are 68 MB."""

    def __init__(self) -> None:
        self._parts = [array("Q") for _ in range(256)]

    def meet(self, found: Any) -> None:
        name = found.get("sourcedId") if isinstance(found, dict) else None
        if isinstance(name, str) and name:
            digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=9).digest()
            self._parts[digest[8]].append(int.from_bytes(digest[:8], "big"))

    def twice(self) -> bool:
        return any(len(set(part)) < len(part) for part in self._parts)
