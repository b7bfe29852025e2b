"""The one line out: a requests session that calls only the hosts of its connection.

    open_session(Reach(hosts)) ── GuardedSession ── GuardedAdapter ── pool ── one pinned address
                                  no redirects      URL, origin of     judged answers, peer checked,
                                  no cookies        credentials        clock and caps on every byte

A call resolves the name once, judges every answer by the table below, and connects to an address that
was judged, while the certificate, SNI and Host keep the name. Rebinding a name between check and use
(measured to beat check-then-get) therefore changes nothing.

`responses` replaces `HTTPAdapter.send`: under it the URL rules, the credential rule, the byte cap and
the redirect rule still hold, but names are not resolved and addresses, peers and clocks are not
checked. What is written here about those is tested on loopback sockets only.

Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries; OWASP ASVS 5.0 §1.3.6, §13.2.
"""

from __future__ import annotations

import http.client
import io
import json
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import DecodeError, HTTPError
from urllib3.poolmanager import PoolManager
from urllib3.util.ssl_ import create_urllib3_context

from connectors.errors import (
    AddressRefused,
    AnswerLost,
    AnswerRefused,
    AnswerTooLarge,
    AnswerUnreadable,
    ConnectorError,
    Unreachable,
    Untrusted,
)

# urllib3 writes whole URLs, queries included, to its log at DEBUG and WARNING.
logging.getLogger("urllib3").setLevel(logging.ERROR)

MIB = 1 << 20
_HEAD_BYTES = 256 << 10  # status lines, 1xx answers and headers together
_PIECE = 16 << 10  # one TLS record
_CHUNK = 64 << 10
_ADDRESSES_TRIED = 4
_RETRY_AFTER_CAP = 3600.0
_CREDENTIAL_HEADERS = ("Authorization", "Proxy-Authorization", "Cookie")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 §5.5
_CODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})

Resolver = Callable[[str, int], Iterable[str]]
HeaderProvider = Callable[[], str]

# --- which addresses may be called -------------------------------------------------------------------

_LOOPBACK = "loopback"

# `ipaddress.is_global` lets 11 of 27 hostile addresses through (3.11.7), so the table is our own.
# IPv6 is an allow-list, 2000::/3, with these taken out of it; the names of what lies outside serve
# the refusal's text.
_SPECIAL = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("127.0.0.0/8", _LOOPBACK),  # RFC 1122 §3.2.1.3
        ("::1/128", _LOOPBACK),  # RFC 4291
        ("0.0.0.0/8", "this network"),  # RFC 791; Linux takes 0.0.0.0 for itself
        ("10.0.0.0/8", "private"),  # RFC 1918
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("100.64.0.0/10", "shared (carrier NAT)"),  # RFC 6598; Alibaba metadata 100.100.100.200
        ("169.254.0.0/16", "link-local"),  # RFC 3927; cloud metadata 169.254.169.254
        ("168.63.129.16/32", "metadata"),  # Azure's host agent, inside a public range
        ("192.0.0.0/24", "protocol assignments"),  # RFC 6890; Oracle metadata 192.0.0.192
        ("192.0.2.0/24", "documentation"),  # RFC 5737
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),  # RFC 7535
        ("192.175.48.0/24", "AS112"),  # RFC 7534
        ("192.52.193.0/24", "AMT"),  # RFC 7450
        ("192.88.99.0/24", "6to4 relay"),  # RFC 7526
        ("198.18.0.0/15", "benchmarking"),  # RFC 2544
        ("224.0.0.0/4", "multicast"),  # RFC 5771
        ("255.255.255.255/32", "broadcast"),  # RFC 919
        ("240.0.0.0/4", "reserved"),  # RFC 1112 §4
        ("::/128", "unspecified"),
        ("::ffff:0:0/96", "IPv4-mapped"),  # RFC 4291 §2.5.5.2
        ("::/96", "IPv4-compatible"),  # RFC 4291 §2.5.5.1
        ("::ffff:0:0:0/96", "IPv4-translated"),  # RFC 2765
        ("64:ff9b::/96", "NAT64"),  # RFC 6052
        ("64:ff9b:1::/48", "NAT64"),  # RFC 8215
        ("100::/64", "discard"),  # RFC 6666
        ("100:0:0:1::/64", "dummy prefix"),  # RFC 9780
        ("2001::/32", "Teredo"),  # RFC 4380
        ("2001:2::/48", "benchmarking"),  # RFC 5180
        ("2001:10::/28", "ORCHID"),  # RFC 4843
        ("2001:20::/28", "ORCHID"),  # RFC 7343
        ("2001::/23", "protocol assignments"),  # RFC 2928
        ("2001:db8::/32", "documentation"),  # RFC 3849
        ("3fff::/20", "documentation"),  # RFC 9637
        ("2002::/16", "6to4"),  # RFC 3056
        ("2620:4f:8000::/48", "AS112"),  # RFC 7534
        ("3ffe::/16", "6bone"),  # RFC 3701
        ("5f00::/16", "segment routing"),  # RFC 9602
        ("fc00::/7", "unique local"),  # RFC 4193; AWS metadata fd00:ec2::254
        ("fe80::/10", "link-local"),  # RFC 4291
        ("fec0::/10", "site-local"),  # RFC 3879
        ("ff00::/8", "multicast"),  # RFC 4291 §2.7
    )
)
_GLOBAL_UNICAST_6 = ip_network("2000::/3")


def _kind(address: IPv4Address | IPv6Address) -> str:
    """The special-purpose block an address lies in, or "" for ordinary public unicast."""
    for network, kind in _SPECIAL:
        if address in network:
            return kind
    if address.version == 6 and address not in _GLOBAL_UNICAST_6:
        return "not global unicast"
    return ""


def judge_address(text: str, *, loopback: bool = False) -> str:
    """The address in canonical spelling if it may be called.

    Public unicast only; with `loopback`, loopback only. Raises `AddressRefused`, whose text names the
    kind of the address and not the address: inner names must not be resolved through our errors.
    """
    try:
        address = ip_address(text)
    except ValueError:
        raise AddressRefused("the name does not lead to an address") from None
    kind = _kind(address)
    if "%" in text or kind != (_LOOPBACK if loopback else ""):
        raise AddressRefused(f"the name leads to an address that is {kind or 'public'}")
    return str(address)


def system_resolver(host: str, port: int) -> list[str]:
    """Every address the system gives for a name, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


# --- which URLs may be called ------------------------------------------------------------------------

# As it is given. Two parsers may read `h\@x`, `%2e`, `:0` or an empty userinfo differently, so none of
# them gets as far as a parser. As it is sent: whatever the second pattern does not match is refused.
_GIVEN = re.compile(
    r"\s*https?://(?![^/?]*:0*(?:[/?]|$))[^\x00-\x20\x7f/?#@%\\]+(?:[/?][^\x00-\x1f\x7f#\\]*)?",
    re.IGNORECASE,
)
_URL = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?(?:[/?][^#\s\\]*)?",
    re.IGNORECASE | re.ASCII,
)


class Origin(NamedTuple):
    """Where a URL points: RFC 6454 §4. `host` is lower-case, IDNA-encoded, IPv6 in brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The host as the Host header spells it."""
        usual = {"https": 443, "http": 80}[self.scheme]
        return self.host if self.port == usual else f"{self.host}:{self.port}"


def origin_of(url: str) -> Origin:
    """The origin of an http or https URL, after the normalisation `requests` itself applies.

    Raises `AddressRefused` for anything else, never repeating the URL.
    """
    if not _GIVEN.fullmatch(url):
        raise AddressRefused("this is not a plain http(s) URL: scheme, host, port, path and query only")
    request = requests.PreparedRequest()
    try:
        request.prepare_url(url, None)
    except (requests.RequestException, ValueError):
        raise AddressRefused("this is not a URL that can be called") from None
    found = _URL.fullmatch(request.url or "")
    if not found:
        raise AddressRefused("the host of this URL is not a name or an address")
    scheme, host = found[1].lower(), found[2].lower()
    port = int(found[3] or {"https": 443, "http": 80}[scheme])
    if not 0 < port < 65536:
        raise AddressRefused("this is not a port")
    return Origin(scheme, host, port)


def _listed(entry: str) -> str:
    """`host` or `host:port` of a configuration as `host:port`, normalised."""
    if re.search(r"[/?#@\\\s]", entry):
        raise AddressRefused("a connection's host is a name, or a name and a port")
    origin = origin_of(f"https://{entry}/")
    return f"{origin.host}:{origin.port}"


@dataclass(frozen=True)
class Reach:
    """What one connection may call, and how long and how large an answer may be.

    `hosts` are names with an optional port (443 where none is given). `loopback` is the sandbox: http
    and any port of the listed hosts, on loopback addresses and nowhere else. `read_seconds` is the
    longest silence, `total_seconds` the whole call from look-up to last byte, `max_bytes` the decoded
    body.
    """

    hosts: frozenset[str]
    loopback: bool = False
    connect_seconds: float = 3.0
    read_seconds: float = 10.0
    total_seconds: float = 30.0
    max_bytes: int = 8 * MIB

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", frozenset(_listed(entry) for entry in self.hosts))

    def admit(self, origin: Origin) -> None:
        """Nothing, if the origin is one of ours; else `AddressRefused`."""
        if self.loopback:
            if origin.host not in {entry.rpartition(":")[0] for entry in self.hosts}:
                raise AddressRefused("this host is not one of the connection's")
        elif origin.scheme != "https":
            raise AddressRefused("only https may be called")
        elif f"{origin.host}:{origin.port}" not in self.hosts:
            raise AddressRefused("this host and port are not among the connection's")


# --- one call: its clock, its caps, what it may connect to -------------------------------------------


def _within(seconds: float, work: Callable[[], list[str]]) -> list[str]:
    """What `work` gives, or `TimeoutError`: a customer's slow name server must not hold a worker.

    `getaddrinfo` cannot be interrupted, so it is left behind on a thread of its own.
    """
    outcome: Future[list[str]] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="resolve", daemon=True).start()
    return outcome.result(timeout=seconds)


class _Call:
    """One call under way: when it must end, how much has come, whether anything was written."""

    def __init__(self, reach: Reach, origin: Origin, sink: BinaryIO | None) -> None:
        self.reach = reach
        self.origin = origin
        self.sink = sink
        self.began = False
        self.addresses: list[str] | None = None
        self._ends = time.monotonic() + reach.total_seconds
        self._arrived = 0
        self._arrival_cap = _HEAD_BYTES

    def left(self, at_most: float) -> float:
        """Seconds the next step may take; `TimeoutError` when the call should have ended."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's time is spent")
        return min(at_most, left)

    def resolve(self, resolver: Resolver) -> list[str]:
        """The addresses this call may connect to: looked up once, every answer judged."""
        host, port = self.origin.host, self.origin.port
        try:
            answers = [str(ip_address(host.strip("[]")))]
        except ValueError:
            patience = self.left(self.reach.connect_seconds)
            try:
                answers = _within(patience, lambda: list(resolver(host, port)))
            except (OSError, ValueError):
                raise Unreachable(f"{self.origin.authority}: the name does not resolve") from None
        judged = [judge_address(answer, loopback=self.reach.loopback) for answer in answers]
        if not judged:
            raise Unreachable(f"{self.origin.authority}: the name has no address")
        return list(dict.fromkeys(judged))[:_ADDRESSES_TRIED]

    def arrived(self, size: int) -> None:
        """Count bytes off the wire. Endless 1xx answers, headers or empty gzip members end here."""
        self._arrived += size
        if self._arrived > self._arrival_cap:
            raise AnswerTooLarge(f"{self.origin.authority}: the answer does not end")

    def head_read(self) -> None:
        """From here on the wire may carry a body: twice the decoded cap covers any framing."""
        self._arrival_cap = _HEAD_BYTES + 2 * self.reach.max_bytes

    def pour(self, answer: BaseHTTPResponse, sink: BinaryIO) -> None:
        """Write the decoded body into `sink`, under the clock and the cap."""
        size = 0
        for chunk in answer.stream(_CHUNK, decode_content=True):
            size += len(chunk)
            if size > self.reach.max_bytes:
                raise AnswerTooLarge(f"{self.origin.authority}: over {self.reach.max_bytes} bytes")
            self.left(self.reach.read_seconds)
            sink.write(chunk)

    def failure(self, error: Exception) -> ConnectorError:
        """What the failure means to the caller, in words that hold no URL, header or body."""
        if isinstance(error, (DecodeError, requests.exceptions.ContentDecodingError)):
            return AnswerUnreadable(f"{self.origin.authority}: the answer is not packed as it says")
        if isinstance(error, requests.exceptions.SSLError) and not self.began:
            return Untrusted(f"{self.origin.authority}: its certificate is not valid for that name, or no TLS 1.2")
        unguarded = self.addresses is None  # under `responses` only the error's type says how far it got
        late = isinstance(error, (requests.Timeout, TimeoutError))
        if self.began or (unguarded and isinstance(error, requests.ReadTimeout)):
            return AnswerLost(f"{self.origin.authority}: {'no answer in time' if late else 'the answer broke off'}")
        if isinstance(error, ValueError):
            return ConnectorError(f"{self.origin.authority}: the request cannot be written")
        return Unreachable(f"{self.origin.authority}: {'no connection in time' if late else 'no connection'}")


# The call this thread is making: set by the adapter, read by the connection beneath it.
_CALL: ContextVar[_Call] = ContextVar("call")

# --- the connection: pinned, watched, timed ----------------------------------------------------------


class _Wire(io.RawIOBase):
    """The bytes of one answer as they arrive. Each read waits no longer than the call has left.

    A peer that drips one byte a second never trips a socket timeout; it does trip this one.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, call: _Call) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._call = call
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # the buffer protocol has no name in 3.11
        self._sock.settimeout(self._call.left(self._call.reach.read_seconds))
        size = self._raw.readinto(buffer) or 0
        self._call.arrived(size)
        self.ended = size == 0
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer read through `_Wire`, from its status line on."""

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._call = _CALL.get()
        self._wire = _Wire(self.fp.detach(), sock, self._call)
        self.fp = io.BufferedReader(self._wire)

    def begin(self) -> None:
        """Read the head. One cut short parses as a whole one, and would pass for an empty 200."""
        super().begin()
        if self._wire.ended:
            raise http.client.IncompleteRead(b"")
        self._call.head_read()


class _Line(HTTPConnection):
    """A connection to the pinned address, which is this connection's `host`."""

    response_class = _Answer

    def _new_conn(self) -> socket.socket:
        # Before TLS: a wrong peer must not even learn the name from SNI.
        sock = super()._new_conn()
        if ip_address(sock.getpeername()[0]) != ip_address(self.host):
            sock.close()
            raise AddressRefused("the connection ended up at another address")
        return sock

    def send(self, data: Any) -> None:
        """Write one piece of the request; a peer that does not read is left when the call ends."""
        call = _CALL.get()
        if self.sock is None:
            self.connect()
        call.began = True
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            self.sock.settimeout(call.left(call.reach.read_seconds))
            super().send(view[start : start + _PIECE])


class _SecureLine(_Line, HTTPSConnection):
    """The same under TLS; `server_hostname` is the name, for SNI and the certificate."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Line


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureLine


@lru_cache(maxsize=16)
def _tls(ca_bundle: str | None) -> ssl.SSLContext:
    """Certificates and names checked, TLS 1.2 or later; public authorities unless a bundle is given."""
    context = create_urllib3_context()
    context.load_verify_locations(cafile=ca_bundle or DEFAULT_CA_BUNDLE_PATH)
    return context


def public_tls() -> ssl.SSLContext:
    """The same for who speaks another protocol: public authorities, names checked."""
    return _tls(None)


class GuardedAdapter(HTTPAdapter):
    """The transport of every call. May be mounted on any requests session with `guard`.

    Ignores the `timeout`, `verify`, `cert` and `proxies` of a call: they are the connection's to set.
    """

    def __init__(
        self,
        reach: Reach,
        *,
        resolver: Resolver = system_resolver,
        ca_bundle: str | None = None,
    ) -> None:
        self._reach = reach
        self._resolver = resolver
        self._ca_bundle = ca_bundle
        self._credentials: dict[Origin, HeaderProvider | None] = {}
        super().__init__()

    def authorize(self, origin_url: str, provider: HeaderProvider | None = None) -> None:
        """Let credentials go to this origin, and nowhere else.

        `provider` gives the Authorization header of calls there that carry none. Without it, callers
        that set the header themselves (PyLTI1p3, Authlib) may do so for this origin.
        """
        self._credentials[origin_of(origin_url)] = provider

    def look_up(self, url: str) -> list[str]:
        """The addresses a call of this URL may connect to; nothing is connected.

        Raises `AddressRefused` and `Unreachable` as the call would.
        """
        origin = origin_of(url)
        self._reach.admit(origin)
        return _Call(self._reach, origin, None).resolve(self._resolver)

    def admit(self, url: str) -> None:
        """Nothing, if this URL is one of the connection's; else `AddressRefused`. Nothing is looked up."""
        self._reach.admit(origin_of(url))

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        """Pools whose connections are ours. A pool is one scheme, name, port and pinned address."""
        self.poolmanager = PoolManager(connections, maxsize=maxsize, block=block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the TLS context comes with the pool and is not a caller's to weaken."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002
        timeout: Any = None,  # noqa: ARG002
        verify: Any = True,  # noqa: ARG002
        cert: Any = None,  # noqa: ARG002
        proxies: Any = None,  # noqa: ARG002
    ) -> requests.Response:
        """One call, its body read whole. Raises `ConnectorError` and nothing else of the network's."""
        return self.exchange(request, None)

    def exchange(self, request: requests.PreparedRequest, sink: BinaryIO | None) -> requests.Response:
        """One call. With `sink` the body of a 200 goes there and any other status is refused."""
        origin = origin_of(request.url or "")
        self._reach.admit(origin)
        ready = self._with_credentials(request, origin)
        ready.headers["Host"] = origin.authority
        call = _Call(self._reach, origin, sink)
        token = _CALL.set(call)
        try:
            return self._attempt(ready, call)
        except (
            requests.RequestException,
            HTTPError,
            http.client.HTTPException,
            TimeoutError,
            ValueError,
        ) as error:
            raise call.failure(error) from None
        finally:
            _CALL.reset(token)

    def _with_credentials(self, request: requests.PreparedRequest, origin: Origin) -> requests.PreparedRequest:
        ready = request.copy()
        provider = self._credentials.get(origin)
        if provider and "Authorization" not in ready.headers:
            ready.headers["Authorization"] = provider()
        carries = any(name in ready.headers for name in _CREDENTIAL_HEADERS)
        if carries and origin not in self._credentials:
            raise AddressRefused("credentials may not go to this origin")
        if any(_CONTROL.search(str(value)) for value in ready.headers.values()):
            raise ConnectorError("a header of the request cannot be written")
        return ready

    def _attempt(self, request: requests.PreparedRequest, call: _Call) -> requests.Response:
        """Try the judged addresses in turn until one takes the connection."""
        while True:
            patience = (call.left(self._reach.connect_seconds), self._reach.read_seconds)
            try:
                return super().send(request, timeout=patience)
            except requests.ConnectionError:
                if call.began or not call.addresses:
                    raise

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,  # noqa: ARG002
        verify: Any,  # noqa: ARG002
        proxies: Any = None,  # noqa: ARG002
        cert: Any = None,  # noqa: ARG002
    ) -> HTTPConnectionPool:
        """The pool of the next judged address of the call under way."""
        call = _CALL.get()
        if call.addresses is None:
            call.addresses = call.resolve(self._resolver)
        scheme, host, port = call.origin
        name: dict[str, object] = {"server_hostname": host}
        if scheme == "https":
            name["ssl_context"] = _tls(self._ca_bundle)
        address = call.addresses.pop(0)
        pool: HTTPConnectionPool = self.poolmanager.connection_from_host(address, port, scheme, pool_kwargs=name)
        return pool

    def build_response(self, req: requests.PreparedRequest, resp: BaseHTTPResponse) -> requests.Response:
        """The whole answer. A redirect is refused: it is how a judged host points at one that is not."""
        call = _CALL.get()
        try:
            self._judge_head(call, resp)
            response = super().build_response(req, resp)
            content = io.BytesIO()
            call.pour(resp, content if call.sink is None else call.sink)
        except BaseException:
            resp.close()
            raise
        content.seek(0)
        # Body only: with the original gone there is nothing a session could take a cookie from.
        response.raw = HTTPResponse(body=content, status=resp.status, preload_content=False)
        return response

    def _judge_head(self, call: _Call, resp: BaseHTTPResponse) -> None:
        length = resp.headers.get("Content-Length", "0")
        if resp.status < 200 or not re.fullmatch(r"[0-9]+(\s*,\s*[0-9]+)*", length, re.ASCII):
            raise AnswerUnreadable(f"{call.origin.authority}: not an HTTP answer")
        if resp.headers.get("Content-Encoding", "").strip().lower() not in _CODINGS:
            raise AnswerUnreadable(f"{call.origin.authority}: an encoding that was not asked for")
        if 300 <= resp.status < 400 or (call.sink is not None and resp.status != 200):
            after = retry_after(resp.headers.get("Retry-After"))
            raise AnswerRefused(resp.status, retry_after=after)


# --- the session -------------------------------------------------------------------------------------


def guard(session: requests.Session, adapter: GuardedAdapter) -> None:
    """Put a session wholly on the adapter: no other transport, nothing from the environment."""
    session.trust_env = False
    session.headers.update({"User-Agent": "Schoolgate", "Accept-Encoding": "gzip"})
    session.adapters.clear()
    session.mount("", adapter)  # every scheme, so that ftp: meets the guard and not an error with a URL


class GuardedSession(requests.Session):
    """A requests session that calls only its connection's hosts. Made by `open_session`."""

    def __init__(self, adapter: GuardedAdapter) -> None:
        super().__init__()
        self.adapter = adapter
        guard(self, adapter)

    def authorize(self, origin_url: str, provider: HeaderProvider | None = None) -> None:
        """Let credentials go to this origin: see `GuardedAdapter.authorize`."""
        self.adapter.authorize(origin_url, provider)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As requests does it, but its errors would repeat the URL or a header."""
        origin_of(str(request.url))
        try:
            return super().prepare_request(request)
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidJSONError):
            raise ConnectorError("the request cannot be written") from None
        except (requests.RequestException, ValueError):
            raise AddressRefused("this is not a URL that can be called") from None

    def download(self, url: str, path: Path, headers: Mapping[str, str] | None = None) -> int:
        """Fetch `url` into the file `path` and return the bytes written.

        Only a whole 200 answer makes or replaces the file. Raises `AnswerRefused` for any other
        status, and `OSError` where the disk fails.
        """
        request = self.prepare_request(requests.Request("GET", url, headers=dict(headers or {})))
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as sink:
                self.adapter.exchange(request, sink)
                written = sink.tell()
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return written


def open_session(
    reach: Reach,
    *,
    resolver: Resolver = system_resolver,
    ca_bundle: str | None = None,
) -> GuardedSession:
    """A session for one connection. Close it, or use it in `with`.

    `ca_bundle` is the path of a PEM file that takes the place of the public authorities.
    """
    return GuardedSession(GuardedAdapter(reach, resolver=resolver, ca_bundle=ca_bundle))


def dial(
    host: str,
    port: int,
    *,
    loopback: bool = False,
    resolver: Resolver = system_resolver,
    connect_seconds: float = 10.0,
) -> socket.socket:
    """A connection for a protocol that is not HTTP, to a judged address of this host: looked up once, every answer
    judged, the peer checked before a byte is written. With `loopback`, to this machine only.

    Raises `AddressRefused` and `Unreachable`.
    """
    bare = f"[{host.strip('[]')}]" if ":" in host else host
    reach = Reach(frozenset({f"{bare}:{port}"}), loopback=loopback, connect_seconds=connect_seconds)
    call = _Call(reach, origin_of(f"https://{bare}:{port}/"), None)
    for address in call.resolve(resolver):
        try:
            line = socket.create_connection((address, port), timeout=call.left(connect_seconds))
        except OSError:
            continue
        if ip_address(line.getpeername()[0]) != ip_address(address):
            line.close()
            raise AddressRefused("the connection ended up at another address")
        return line
    raise Unreachable(f"{host}:{port}: no connection")


# --- what an answer says -----------------------------------------------------------------------------


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait, 0 to 3600, from a Retry-After header (RFC 9110 §10.2.3), or None.

    Takes seconds and HTTP-dates; negative and absurd values are brought into the range.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text, re.ASCII):
        seconds = float(text)
    else:
        try:
            then = parsedate_to_datetime(text)
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        seconds = (then - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), _RETRY_AFTER_CAP)


def require_success(response: requests.Response) -> requests.Response:
    """The response if its status is 2xx; else `AnswerRefused` with the status and Retry-After."""
    if 200 <= response.status_code < 300:
        return response
    after = retry_after(response.headers.get("Retry-After"))
    raise AnswerRefused(response.status_code, retry_after=after)


def answer_json(response: requests.Response) -> object:
    """The JSON of an answer, or `AnswerUnreadable`: HTML with a 200, an empty or a cut body."""
    if "html" in response.headers.get("Content-Type", "").lower():
        raise AnswerUnreadable("a web page came where JSON was asked for")
    try:
        parsed: object = json.loads(response.content.decode("utf-8-sig"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise AnswerUnreadable("the body is not JSON") from None
    return parsed


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # RFC 8259 §6: no NaN, no Infinity
