"""A tiny browser for scripts: cookies, redirects and forms as a real one treats them on loopback.

Cookies are kept per origin, port included, because each port here stands for a web site of its
own. http on loopback counts as secure (Secure Contexts §3.1), so Secure, `__Host-` and Partitioned
cookies live there. A site is a host; with `ports_are_sites` each port is a site too, and then a
launch is as cross-site as between a real LMS and a real tool. A cross-site form post carries only
SameSite=None cookies; a cross-site link carries Lax ones too (no SameSite means Lax). Every page
is a top-level one: no frames, no Referer, no scripts except "submit this form".
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

import requests

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_HOPS = 20


class BrowserError(Exception):
    """The page does not offer what the script asked for."""


@dataclass(frozen=True, slots=True)
class Cookie:
    name: str
    value: str
    path: str
    same_site: str
    until: float

    def goes_to(self, path: str, *, cross_site: bool, method: str) -> bool:
        """Say whether this cookie travels with a request (RFC 6265bis)."""
        prefix = self.path if self.path.endswith("/") else self.path + "/"
        if self.until <= time.time() or not (path == self.path or path.startswith(prefix)):
            return False
        free = self.same_site == "none" or (self.same_site == "lax" and method == "GET")
        return free or not cross_site


@dataclass(slots=True)
class Jar:
    """Cookies by origin, then by name and path."""

    cookies: dict[str, dict[tuple[str, str], Cookie]] = field(default_factory=dict)

    def take(self, url: SplitResult, line: str) -> None:
        """Keep, replace or drop what one Set-Cookie line says; a malformed promise is ignored."""
        pair, *rest = (part.strip() for part in line.split(";"))
        name, _, value = pair.partition("=")
        said = {k.strip().lower(): v.strip() for k, _, v in (part.partition("=") for part in rest)}
        if not _lawful(url, name, said):
            return
        path = said.get("path", "")
        path = path if path.startswith("/") else url.path.rpartition("/")[0] or "/"
        kept = Cookie(name, value, path, said.get("samesite", "lax").lower(), _until(said))
        self.cookies.setdefault(_origin(url), {})[name, path] = kept

    def line(self, url: SplitResult, *, cross_site: bool, method: str) -> str:
        """Return the Cookie header for a request, longest path first."""
        own = sorted(self.cookies.get(_origin(url), {}).values(), key=lambda c: -len(c.path))
        fit = [c for c in own if c.goes_to(url.path or "/", cross_site=cross_site, method=method)]
        return "; ".join(f"{c.name}={c.value}" for c in fit)


def _lawful(url: SplitResult, name: str, said: dict[str, str]) -> bool:
    """Apply the rules of Secure, SameSite=None, Partitioned and the name prefixes."""
    trusted = url.scheme == "https" or url.hostname in _LOOPBACK
    needs = name.startswith(("__Host-", "__Secure-")) or "partitioned" in said
    needs = needs or said.get("samesite", "").lower() == "none"
    if ("secure" in said and not trusted) or (needs and "secure" not in said):
        return False
    if name.startswith("__Host-") and ("domain" in said or said.get("path") != "/"):
        return False
    return said.get("domain", url.hostname) == url.hostname


def _until(said: dict[str, str]) -> float:
    if "max-age" in said:
        return time.time() + int(said["max-age"])
    if "expires" in said:
        return parsedate_to_datetime(said["expires"]).timestamp()
    return float("inf")


def _origin(url: SplitResult) -> str:
    return f"{url.scheme}://{url.netloc}"


@dataclass(slots=True)
class Form:
    action: str
    method: str
    auto: bool
    fields: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)  # text, name, value

    def aim(self, base: str, values: dict[str, list[str]]) -> _Request:
        """Return the request that sends these values from a page at `base`."""
        url = urljoin(base, self.action)
        if self.method == "GET":
            url = f"{url.partition('?')[0]}?{urlencode(values, doseq=True)}"
            return _Request("GET", url, base)
        return _Request(self.method, url, base, values)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    source: str | None = None  # the page that sends us there
    values: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)


class _Reader(HTMLParser):
    """Collects what a script needs of a page: text, links, forms, and whether a script submits."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.forms: list[Form] = []
        self.inside: set[str] = set()
        self.script_submits, self.control = False, ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        self.inside.add(tag)
        if tag == "a":
            self.links.append(("", given.get("href", "")))
        if tag == "form":
            method = given.get("method", "get").upper()
            self.forms.append(Form(given.get("action", ""), method, "data-auto-submit" in given))
        elif "form" in self.inside:
            self._read_control(self.forms[-1], tag, given)

    def _read_control(self, form: Form, tag: str, given: dict[str, str]) -> None:
        name, kind, value = given.get("name", ""), given.get("type", ""), given.get("value", "")
        ticked = kind in ("checkbox", "radio")
        if tag == "button" or kind == "submit":
            form.buttons.append((value if tag == "input" else "", name, value))
        elif tag == "input" and name and kind != "file" and (not ticked or "checked" in given):
            form.fields.setdefault(name, []).append(value or ("on" if ticked else ""))
        elif tag in ("select", "textarea"):
            self.control = name
        elif tag == "option" and ("selected" in given or self.control not in form.fields):
            form.fields[self.control] = [value]

    def handle_endtag(self, tag: str) -> None:
        self.inside.discard(tag)

    def handle_data(self, data: str) -> None:
        if "script" in self.inside:
            self.script_submits |= ".submit(" in data
        elif "style" not in self.inside and data.strip():
            self._say(" ".join(data.split()))

    def _say(self, data: str) -> None:
        self.words.append(data)
        if "textarea" in self.inside and self.forms:
            self.forms[-1].fields[self.control] = [data]
        elif "button" in self.inside and self.forms and self.forms[-1].buttons:
            text, name, value = self.forms[-1].buttons[-1]
            self.forms[-1].buttons[-1] = (f"{text} {data}".strip(), name, value)
        elif "a" in self.inside:
            text, href = self.links[-1]
            self.links[-1] = (f"{text} {data}".strip(), href)


@dataclass(slots=True)
class Page:
    """What one request brought: how it was asked, what came, and the words a person reads."""

    method: str
    url: str
    status: int
    headers: dict[str, str]
    body: str
    text: str
    links: list[tuple[str, str]]
    forms: list[Form]
    auto: Form | None


class Browser:
    """One person's browser; `javascript=False` leaves self-submitting forms to a button."""

    def __init__(self, *, javascript: bool = True, ports_are_sites: bool = False) -> None:
        self.javascript, self.ports_are_sites = javascript, ports_are_sites
        self.jar, self.history = Jar(), list[Page]()
        self._wire = requests.Session()
        self._wire.trust_env = False
        self._wire.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    @property
    def page(self) -> Page:
        """The page a person now sees."""
        return self.history[-1]

    @property
    def text(self) -> str:
        """The words of that page."""
        return self.page.text

    def save(self, path: Path) -> None:
        """Keep the page as a file that looks the same without the site: its style sheet inside."""
        sheets = re.findall(r'<link rel="stylesheet" href="([^"]+)">', self.page.body)
        styles = [self._wire.get(urljoin(self.page.url, sheet), timeout=30).text for sheet in sheets]
        style = "".join(f"<style>{text}</style>" for text in styles)
        path.write_text(re.sub(r'<link rel="stylesheet"[^>]*>', lambda _: style, self.page.body))

    def get(self, url: str) -> Page:
        """Type an address: no site has sent us, so every cookie of that origin goes along."""
        return self._go(_Request("GET", url))

    def click(self, text: str) -> Page:
        """Follow the first link whose words contain `text`."""
        for words, href in self.page.links:
            if text in words:
                return self._go(_Request("GET", urljoin(self.page.url, href), self.page.url))
        raise BrowserError(f"no link {text!r} on {self.page.url}: {self.text[:200]}")

    def submit(
        self,
        button: str | None = None,
        *,
        files: dict[str, Any] | None = None,
        **fields: str | list[str],
    ) -> Page:
        """Press the button that says `button`, or submit the first form, with these fields."""
        said = {k: v if isinstance(v, list) else [v] for k, v in fields.items()}
        for form in self.page.forms:
            pressed = [b for b in form.buttons if button is None or button in b[0]]
            if button is None or pressed:
                named = {b[1]: [b[2]] for b in pressed[:1] if b[1]}
                request = form.aim(self.page.url, form.fields | named | said)
                return self._go(replace(request, files=files or {}))
        raise BrowserError(f"no form with {button!r} on {self.page.url}: {self.text[:200]}")

    def _go(self, request: _Request) -> Page:
        """Follow redirects, then let a page that submits itself do so."""
        for _ in range(_MOST_HOPS):
            page = self._fetch(request)
            if page.status in (301, 302, 303, 307, 308) and "location" in page.headers:
                request = replace(request, url=urljoin(page.url, page.headers["location"]))
                if page.status < 307:
                    request = replace(request, method="GET", values={}, files={})
            elif self.javascript and page.auto:
                request = page.auto.aim(page.url, page.auto.fields)
            else:
                return page
        raise BrowserError(f"more than {_MOST_HOPS} hops, last {request.url}")

    def _fetch(self, request: _Request) -> Page:
        at = urlsplit(request.url)
        answer = self._wire.request(
            request.method,
            request.url,
            data=request.values or None,
            files=request.files or None,
            headers=self._headers(request, at),
            allow_redirects=False,
            timeout=30,
        )
        for line in answer.raw.headers.getlist("Set-Cookie"):
            self.jar.take(at, line)
        self.history.append(_page(request, answer))
        return self.page

    def _headers(self, request: _Request, at: SplitResult) -> dict[str, str]:
        sender = urlsplit(request.source) if request.source else None
        cross = sender is not None and self._site(sender) != self._site(at)
        near = "cross-site" if cross else "same-site"
        if sender and _origin(sender) == _origin(at):
            near = "same-origin"
        said = {
            "Accept": "text/html,*/*;q=0.8",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Site": near if sender else "none",
            "Origin": _origin(sender) if sender and request.method != "GET" else "",
            "Cookie": self.jar.line(at, cross_site=cross, method=request.method),
        }
        return {k: v for k, v in said.items() if v}

    def _site(self, url: SplitResult) -> str:
        return url.netloc if self.ports_are_sites else url.hostname or ""


def _page(request: _Request, answer: requests.Response) -> Page:
    headers = {k.lower(): v for k, v in answer.headers.items()}
    kind = headers.get("content-type", "")
    is_html = "html" in kind
    answer.encoding = answer.encoding if "charset" in kind else "utf-8"
    read = _Reader(answer.text if is_html else "")
    auto = [f for f in read.forms if f.auto or read.script_submits]
    words = " ".join(read.words) if is_html else answer.text
    return Page(
        request.method,
        request.url,
        answer.status_code,
        headers,
        answer.text,
        words,
        read.links,
        read.forms,
        auto[0] if auto else None,
    )
