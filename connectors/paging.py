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
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import urldefrag, urljoin

import requests

from connectors.egress import origin_of, require_success
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


def pages(
    session: requests.Session,
    first_url: str,
    read: Callable[[requests.Response], Page],
    *,
    max_pages: int,
    accept: str,
) -> Iterator[Page]:
    """What `read` makes of each page, first to last, following `Link: rel="next"`.

    `accept` is the media type asked for. Raises `AnswerRefused` for a status that is not 2xx and
    `AnswerUnreadable` when `next` leads to another origin or back, when a page comes twice byte for
    byte, when `read` raises `ValueError`, and when there is more after `max_pages`.
    """
    seen_urls: set[str] = set()
    seen_pages: set[bytes] = set()
    url: str | None = first_url
    while url is not None:
        if len(seen_urls) == max_pages:
            raise AnswerUnreadable(f"there is more after {max_pages} pages")
        seen_urls.add(url)
        response = require_success(session.get(url, headers={"Accept": accept}))
        digest = hashlib.sha256(response.content).digest()
        if digest in seen_pages:
            raise AnswerUnreadable("the same page came twice")
        seen_pages.add(digest)
        following = _next(response, url, first_url)
        if following in seen_urls:
            raise AnswerUnreadable("the pages go round in a circle")
        yield _read(read, response)
        url = following


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
