"""Following `next` safely.

A roster is read whole or the run is marked incomplete: whatever is odd about a page's `next` ends the
run with `AnswerUnreadable`, never with a shorter roster. Two errors of others are undone here:
PyLTI1p3 lower-cases the header, which corrupts page tokens with capitals, and sends the token to
whatever host the link names.

Sources: RFC 8288 §3 (Link), RFC 6454 (origin); reference lti.md §2 row 9, §4.1 item 9, §4.9.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import urldefrag, urljoin

import requests

from connectors.egress import origin_of
from connectors.errors import AddressRefused, AnswerUnreadable

Page = TypeVar("Page")

# One link: <url> and its parameters, up to the next link. A URL in brackets may hold commas.
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_REL = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|([^;,]*))""", re.IGNORECASE)
_SPEAKS_OF_NEXT = re.compile(r"\brel\b[^;,]*next", re.IGNORECASE)
# What is no part of a relation: quotes of any make, and quotes read in the wrong encoding.
_EDGES = re.compile(r"^[^A-Za-z]+|[^A-Za-z0-9]+$")


def parse_link(header: str) -> dict[str, str]:
    """Relation to URL, of a Link header. Relations are lower-cased, URLs keep their case.

    Reads what products send: unquoted, curly-quoted or mis-decoded relations (Moodle), `&amp;` in the
    URL (Moodle), folded lines, several links and several relations to a link. Of two links with one
    relation the first counts (RFC 8288 §3.3). What cannot be read is left out.
    """
    links: dict[str, str] = {}
    for url, parameters in _LINK.findall(header):
        found = _REL.search(parameters)
        target = re.sub(r"\s+", "", url).replace("&amp;", "&")
        if not found or not target:
            continue
        for relation in (found[1] or found[2] or "").split():
            links.setdefault(_EDGES.sub("", relation).lower(), target)
    links.pop("", None)
    return links


class Reading:
    """One list under way: which pages came, and whether the next one may be asked for.

    Every complaint is `AnswerUnreadable`: a `next` at another origin or one that leads back, a page that comes twice
    byte for byte, and more after `max_pages`.
    """

    def __init__(self, first_url: str, max_pages: int) -> None:
        self._first, self._most = first_url, max_pages
        self._urls: set[str] = set()
        self._pages: set[bytes] = set()

    def ask(self, url: str) -> None:
        """Note that a page is asked for."""
        if url in self._urls:
            raise AnswerUnreadable("the pages go round in a circle")
        if len(self._urls) == self._most:
            raise AnswerUnreadable(f"there is more after {self._most} pages")
        self._urls.add(url)

    def following(self, response: requests.Response, url: str) -> str | None:
        """Note a page that came, and return where the next one is, or None after the last."""
        digest = hashlib.sha256(response.content).digest()
        if digest in self._pages:
            raise AnswerUnreadable("the same page came twice")
        self._pages.add(digest)
        following = _next(response, url, self._first)
        if following in self._urls:
            raise AnswerUnreadable("the pages go round in a circle")
        return following


def pages(
    get: Callable[[str], requests.Response],
    first_url: str,
    read: Callable[[requests.Response], Page],
    *,
    max_pages: int,
) -> Iterator[Page]:
    """What `read` makes of each page, first to last, following `Link: rel="next"`.

    `get` fetches one page and raises for a status that is not 2xx. Raises `AnswerUnreadable` for whatever `Reading`
    complains of, and when `read` raises `ValueError`.
    """
    reading = Reading(first_url, max_pages)
    url: str | None = first_url
    while url is not None:
        reading.ask(url)
        response = get(url)
        following = reading.following(response, url)
        yield _read(read, response)
        url = following


def all_of(found: Iterator[Sequence[dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    """All entries of a list's pages, each once by its `name`; of two the later counts.

    A page that brings nothing new is the last one: Blackboard's `next` never ends after a thousand members, and what
    goes on after such a page is `AnswerUnreadable`, never a shorter list.
    """
    entries: dict[Any, dict[str, Any]] = {}
    stuck = False
    for page in found:
        if stuck:
            raise AnswerUnreadable("the list goes on and brings nothing new")
        known = len(entries)
        entries |= {entry[name]: entry for entry in page}
        stuck = len(entries) == known
    return list(entries.values())


def _next(response: requests.Response, url: str, first_url: str) -> str | None:
    """The next page's URL, resolved, or None; `AnswerUnreadable` unless it is of the first's origin."""
    header = response.headers.get("Link", "")
    target = parse_link(header).get("next")
    if target is None:
        if _SPEAKS_OF_NEXT.search(header):
            raise AnswerUnreadable("the link to the next page cannot be read")
        return None
    try:
        following = urldefrag(urljoin(url, target)).url
        stays = origin_of(following) == origin_of(first_url)
    except (AddressRefused, ValueError):
        stays = False
    if not stays:
        raise AnswerUnreadable("the next page is at another origin")
    return following


def _read(read: Callable[[requests.Response], Page], response: requests.Response) -> Page:
    try:
        return read(response)
    except ValueError:
        raise AnswerUnreadable("the page is not what was asked for") from None
