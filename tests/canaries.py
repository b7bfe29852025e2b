"""Canaries: a token of its own in every field that can hold text, and what may be seen of each, by whom.

Deliveries, launches, member lists and results of the test worlds are seeded with random tokens, each tagged with the
schools that hold it, the element it is and the record it stands in. What a test can observe is searched for them when
it ends: answers to each caller, requests to the outside, log lines, ledger entries, the cache, texts of refusals and
the files of the installation. One token where it may not be and the test is red.

A caller's reach is read from the papers: a bearer sees what its agreement's schedule lists, of its schools; a family
its own child; a teacher's page its school; an LMS what its agreement lists. Everything else sees no token at all:
public pages, refusals, logs, ledgers, caches and files. What only the database holds is nobody's to search.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import re
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, unquote_to_bytes

import redis
import structlog
from flask import Flask

from gateway.errors import Refused
from gateway.identity import staff
from gateway.ledger import log
from gateway.store import credentials
from gateway.store.secrets import token_hash
from gateway.store.tenant import Database, Place
from mappings.elements import REGISTER, expand
from mappings.fields import element_of
from tests.deliveries import Delivery, Row

_RUN = secrets.token_hex(8)  # tokens are random, and the same for the same field of a record all through a run
# A token, or a word that tests rely on and that names one record all the same.
_SHAPE = re.compile(
    rb"(?i:cnry[0-9a-f]{20})|(?<![A-Za-z0-9.])(?:"
    rb"(?:Given|Family)[A-Za-z0-9]+|Class k[A-Za-z0-9]+|Name of [A-Za-z0-9]+|u\.[A-Za-z0-9]+|lms-[A-Za-z0-9]+"
    rb"|[A-Za-z0-9.]+@(?:pupils|schools)\.example)"
)
_PACKED = re.compile(rb"[A-Za-z0-9_\-+/]{40,}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)  # no personal token has ended by then
_COMPRESSED = (b"\x78", b"\x1f\x8b")  # zlib, gzip: how each begins
_MOST = 64 << 20  # bytes that one packed text is unpacked to; tests make none of that size

# Columns of a delivery that take any text. What tests leave empty there is filled; what they wrote is watched.
TEXTS: Mapping[str, tuple[str, ...]] = {
    "orgs.csv": ("identifier",),
    "courses.csv": ("courseCode", "subjects", "subjectCodes"),
    "users.csv": (
        "username", "userIds", "givenName", "familyName", "middleName", "identifier", "email", "sms", "phone",
        "password", "userMasterIdentifier", "preferredGivenName", "preferredMiddleName", "preferredFamilyName",
        "pronouns",
    ),
    "roles.csv": ("userProfileSourcedId",),
    "classes.csv": ("title", "classCode", "location", "subjects", "subjectCodes", "periods"),
    "demographics.csv": ("stateOfBirthAbbreviation", "cityOfBirth"),
}  # fmt: skip
_SPELLED = {"email": "{}@canary.example", "userIds": "{{state:{}}}"}


def free(name: str) -> bool:
    """Whether an element is no pupil's, and so nobody's secret but outside the school."""
    return REGISTER[name].category == "NON"


@dataclass(frozen=True)
class Tag:
    """Where a token stands: a school that holds it (0: all of a district), the element it is, and the record."""

    place: Place
    element: str
    record: str


@dataclass(frozen=True)
class Finding:
    """A token that was seen somewhere."""

    where: str
    token: str


@dataclass(frozen=True)
class Asked:
    """A request as it came in, and what of its answer names its caller."""

    where: str
    kind: str
    key: str
    named: bool = False


_VALUES: Mapping[bytes, Callable[[redis.Redis, bytes], Any]] = {
    b"string": lambda cache, key: cache.get(key),
    b"hash": lambda cache, key: cache.hgetall(key),
    b"list": lambda cache, key: cache.lrange(key, 0, -1),
    b"set": lambda cache, key: cache.smembers(key),
    b"zset": lambda cache, key: cache.zrange(key, 0, -1),
    b"none": lambda _cache, _key: None,  # it has run out meanwhile
}
Reach = Mapping[Place, frozenset[str]]
NAMES = frozenset({"person.name.given", "person.name.family", "person.name.full"})
# Elements that hold what is another element elsewhere.
_RETOLD = {"transcript.identity": NAMES, "launch.context": frozenset({"activity.title"})}
# Where the LMS wants the browser back that has just brought this address, and nobody else reads.
_WAY_BACK = re.compile(rb'<a href="https://lms\.example/[^"]*" rel="noreferrer">Back')
TITLES = frozenset({"class.section", "activity.title"})
TEACHER = frozenset({"class.section", "activity.title", "result.level", "result.score", "record.frame"})


def closed(names: Iterable[str]) -> frozenset[str]:
    """Elements with those they are put together from."""
    found = set(names)
    for name in tuple(found):
        found |= {*REGISTER[name].derived_from, *_RETOLD.get(name, ())}
    return frozenset(found)


def seen_in(data: bytes | str) -> set[str]:
    """Return what looks like a token in bytes: as they are, percent-decoded, unpacked, and in what base64 packs."""
    raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    return {_canonical(word) for text in _readings(raw) for word in _SHAPE.findall(text)}


def _canonical(word: bytes) -> str:
    text = word.decode()
    return text.lower() if text[:4].lower() == "cnry" else text


def _readings(raw: bytes) -> Iterator[bytes]:
    yield raw
    yield from _unpacked(raw)
    if b"%" in raw:
        yield unquote_to_bytes(raw)
    for packed in _PACKED.findall(raw):
        try:
            said = base64.urlsafe_b64decode(packed.translate(_URL_SAFE) + b"==")
        except ValueError:
            continue
        yield said
        yield from _unpacked(said)


def _unpacked(raw: bytes) -> Iterator[bytes]:
    """What compressed bytes hold; of bytes that are cut off, what can be read."""
    if not raw.startswith(_COMPRESSED):
        return
    try:
        said = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(raw, _MOST)
    except zlib.error:
        return
    assert len(said) < _MOST, "a packed text is too long to be searched"
    yield said


def _token(*names: object) -> str:
    """Return the token of one field, by the names of where it stands."""
    said = "|".join(map(str, (_RUN, *names)))
    return "cnry" + hashlib.blake2b(said.encode(), digest_size=10).hexdigest()


@dataclass
class Canaries:
    """The tokens of one or several districts in one database, and what was seen of them."""

    database: Database | None = None
    tags: dict[str, set[Tag]] = field(default_factory=dict)
    findings: set[Finding] = field(default_factory=set)
    answers: dict[Asked, set[str]] = field(default_factory=dict)
    recipients: dict[str, Reach] = field(default_factory=dict)
    read: dict[Place, int] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)
    caches: set[str] = field(default_factory=set)
    heard: dict[int, int] = field(default_factory=dict)

    def __deepcopy__(self, _memo: Any) -> Canaries:
        """However often what knows them is copied, they are the same."""
        return self

    # --- planted ---------------------------------------------------------------------------------

    def plant(self, places: Iterable[Place], element: str, *names: str) -> str:
        """Return the token of one field of a record, known to be held by these schools."""
        places = tuple(places)
        token = _token(places[0].district if places else 0, *names)
        self.watch(token, places, element, names[0])
        return token

    def watch(self, word: str, places: Iterable[Place], element: str, record: str) -> None:
        """Take a word that names one record for its token."""
        assert element in REGISTER
        for found in seen_in(word):
            self.tags.setdefault(found, set()).update(Tag(place, element, record) for place in places)

    def seed(self, delivery: Delivery, district: int, places: Mapping[str, Place], as_if: int | None) -> Delivery:
        """Return a delivery with a token in every text that was left empty. `places` are its schools by org.

        Without `as_if`, nothing is filled: for a test that compares bytes of its own.
        """
        seeded = deepcopy(delivery)
        everywhere = {Place(district, 0)}
        owners = _owners(seeded, places)
        for file, columns in TEXTS.items():
            present = [column for column in columns if column in seeded.header(file)]
            elements = {column: element_of("oneroster_1p2_csv", f"{file[:-4]}.{column}") for column in present}
            for row in seeded.rows.get(file, ()):
                name = row.get("userSourcedId") or row.get("sourcedId") or ""
                where = owners.get((file, row.get("sourcedId", "")), everywhere)
                for column, element in elements.items():
                    self._fill(row, column, element, where, name, as_if)
        return seeded

    def _fill(self, row: Row, column: str, element: str, where: set[Place], name: str, as_if: int | None) -> None:
        if column not in row and as_if is not None:
            row[column] = _SPELLED.get(column, "{}").format(_token(as_if, row.get("sourcedId", ""), column))
        self.watch(row.get(column, ""), where, element, name)

    # --- observed --------------------------------------------------------------------------------

    def known(self, data: bytes | str) -> set[str]:
        """Return the tokens in some bytes."""
        return {word for word in seen_in(data) if word in self.tags}

    def nowhere(self, where: str, data: bytes | str) -> None:
        """Search what may hold no token at all."""
        self.findings |= {Finding(where, word) for word in self.known(data)}

    def listen(self, app: Flask) -> Flask:
        """Search every answer of an application."""
        inner = app.wsgi_app

        def heard(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            asked, said = _asked(environ), []

            def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
                said.append((status, headers))
                return start_response(status, headers, *more)

            chunks = inner(environ, start)
            try:
                body = b"".join(chunks)
            finally:
                getattr(chunks, "close", lambda: None)()
            (status, headers) = said[-1]
            self.answered(asked, status, headers, body)
            return [body]

        app.wsgi_app = heard  # type: ignore[method-assign]
        return app

    def answered(self, asked: Asked, status: str, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Note the tokens of one answer; who may see them is looked up when the test ends."""
        head = "\n".join([status, *(f"{name}: {value}" for name, value in headers)])
        if int(status[:3]) >= 400:
            rest = _WAY_BACK.sub(b"", body, count=1) if asked.where == "POST /lti/launch" else body
            self.nowhere(f"refusal {asked.where}", head.encode() + rest)
        elif found := self.known(head) | self.known(body):
            self.answers.setdefault(asked, set()).update(found)

    def sent(self, calls: Iterable[Any]) -> None:
        """Search requests to the outside: address, headers, body."""
        for call in calls:
            request = call.request
            body = request.body or b""
            whole = "\n".join([request.url, *(f"{k}: {v}" for k, v in request.headers.items())]).encode()
            whole += b"\n" + (body.encode() if isinstance(body, str) else bytes(body))
            reach = next((reach for name, reach in self.recipients.items() if name in request.url), {})
            self.findings |= {
                Finding(f"request to {request.url}", word) for word in self.known(whole) if not self.within(word, reach)
            }

    def within(self, word: str, reach: Reach, record: str | None = None) -> bool:
        """Whether a token is of these schools and elements, and of this record where one is named."""
        for tag in self.tags[word]:
            here = [e for p, e in reach.items() if p == tag.place or (tag.place.school == 0 and p[0] == tag.place[0])]
            if (
                any(
                    free(tag.element) or (tag.element in elements and record in (None, tag.record)) for elements in here
                )
                and not REGISTER[tag.element].never_export
            ):
                return True
        return False

    # --- judged ----------------------------------------------------------------------------------

    def check(self) -> None:
        """Search what is left, and fail with every token that was where it may not be."""
        for asked, words in self.answers.items():
            reach, record = self._reach(asked)
            self.findings |= {Finding(asked.where, word) for word in words if not self.within(word, reach, record)}
        self.answers.clear()
        for wire in WIRES:
            calls = list(wire.calls)
            self.sent(calls[self.heard.get(id(wire), 0) :])
            self.heard[id(wire)] = len(calls)
        self._ledgers()
        self._kept()
        found, self.findings = sorted(self.findings, key=lambda f: (f.where, f.token)), set()
        told = [f"{f.where}: {f.token} {sorted(self.tags[f.token], key=str)[:2]}" for f in found]
        assert not found, "tokens where they may not be:\n" + "\n".join(told[:20])

    def _reach(self, asked: Asked) -> tuple[Reach, str | None]:
        """Whose schools and which elements the caller may see, by its papers; and the one record, for a family."""
        if asked.kind == "bearer":
            return self._agreed(asked.key), None
        if asked.kind == "staff":
            return self._desk(asked.key), None
        if asked.kind == "launching":  # a teacher who links or picks reads the titles of classes, of the LMS's schools
            return {place: TITLES for places in self.recipients.values() for place in places}, None
        if asked.kind != "door" or self.database is None:
            return {}, None
        with self.database.open_identity() as session:
            row = session.row(
                "SELECT district, school, ref FROM doorkey WHERE key_hash = %(key)s", key=token_hash(asked.key)
            )
        if row is None:
            return {}, None
        place = Place(row.district, row.school)
        if asked.where.endswith("/family"):
            return {place: NAMES}, row.ref
        return {place: TEACHER | (NAMES if asked.named else frozenset())}, None

    def _desk(self, token: str) -> Reach:
        """A school's own people see the names and numbers of the pupils that their papers are about."""
        if self.database is None:
            return {}
        try:
            who = staff.person(self.database, token, _LONG_AGO)
        except Refused:
            return {}
        places = {tag.place for tags in self.tags.values() for tag in tags if tag.place.district == who.district}
        return {place: NAMES | {"record.source_id"} for place in places if who.may_read(place.school)}

    def _agreed(self, token: str) -> Reach:
        """What any version of the bearer's agreement lists, at each school of its grant."""
        if self.database is None:
            return {}
        with self.database.open_identity() as session:
            grant = credentials.token(session, token_hash(token))
        if grant is None or not grant.schools:
            return {}
        found: dict[Place, frozenset[str]] = {}
        with self.database.open_schools(grant.district, grant.schools) as session:
            rows = session.rows(
                "SELECT school, body FROM agreement WHERE district = %(district)s AND school = ANY(%(schools)s) "
                "AND agreement = %(agreement)s",
                agreement=grant.agreement,
            )
        for row in rows:
            place = Place(grant.district, row.school)
            found[place] = found.get(place, frozenset()) | closed(expand(row.body["schedule"]))
        return found

    def _ledgers(self) -> None:
        """Search the entries written since last time in each school's ledger."""
        for place, first in self.read.items():
            if self.database is None:
                return
            with self.database.open_school(place) as session:
                bodies = log.bodies(session, first)
            self.read[place] = first + len(bodies)
            self.nowhere(f"ledger of {place}", b"\n".join(bodies))

    def _kept(self) -> None:
        for folder in self.folders:
            for path in folder.rglob("*"):
                self.nowhere("file name", path.name)
                if path.is_file():
                    self.nowhere(f"file {path.name}", path.read_bytes())
        for url in self.caches:
            with redis.Redis.from_url(url) as cache:
                for key in cache.scan_iter():
                    self.nowhere("cache key", key)
                    self.nowhere("cache value", repr(_VALUES[cache.type(key)](cache, key)))


def _asked(environ: dict[str, Any]) -> Asked:
    """Say who is calling: by the bearer's token, or by the key of a page."""
    path = environ["PATH_INFO"]
    where = f"{environ['REQUEST_METHOD']} {path}"
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if path == "/family":
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(raw)
        return Asked(where, "door", parse_qs(raw.decode(errors="replace")).get("code", [""])[0])
    if path.startswith("/teacher/"):
        return Asked(where, "door", path.rpartition("/")[2], named="HTTP_COOKIE" in environ)
    if path.startswith(("/lti/launch", "/lti/link", "/lti/pick/")):
        return Asked(where, "launching", "")
    if path.startswith("/v1/on_file"):
        return Asked(where, "staff", token)
    if path.startswith(("/v1/", "/ims/")) and scheme.lower() == "bearer":
        return Asked(where, "bearer", token)
    return Asked(where, "anybody", "")


def _owners(delivery: Delivery, places: Mapping[str, Place]) -> dict[tuple[str, str], set[Place]]:
    """Whose each row is, by a reading of its own: a person's by roles and enrollments, a class's by its school."""
    found: dict[tuple[str, str], set[Place]] = {}

    def own(file: str, key: str, *orgs: str) -> None:
        found.setdefault((file, key), set()).update(places[org] for org in orgs if org in places)

    for row in delivery.rows.get("orgs.csv", ()):
        if row["type"] == "school":
            own("orgs.csv", row["sourcedId"], row["sourcedId"])
    for row in delivery.rows.get("users.csv", ()):
        own("users.csv", row["sourcedId"], *row.get("orgSourcedIds", "").split(","))
    for row in delivery.rows.get("roles.csv", ()):
        org = row.get("orgSourcedId", "")
        own("users.csv", row.get("userSourcedId", ""), org)
        own("roles.csv", row["sourcedId"], org)
    for row in delivery.rows.get("classes.csv", ()):
        own("classes.csv", row["sourcedId"], row.get("schoolSourcedId", ""))
    for row in delivery.rows.get("enrollments.csv", ()):
        own("users.csv", row.get("userSourcedId", ""), row.get("schoolSourcedId", ""))
    for row in delivery.rows.get("demographics.csv", ()):
        found["demographics.csv", row["sourcedId"]] = found.get(("users.csv", row["sourcedId"]), set())
    return found


# --- while a world stands --------------------------------------------------------------------------

OPEN: list[Canaries] = []
WIRES: list[Any] = []


def current() -> Canaries:
    """The canaries of the world that was opened last; some of its own for one that nobody watches."""
    return OPEN[-1] if OPEN else Canaries()


def everywhere(where: str, data: bytes | str) -> None:
    for canaries in OPEN:
        canaries.nowhere(where, data)


@contextmanager
def flying(database: Database, folder: Path, cache: str = "") -> Iterator[Canaries]:
    """Watch all that can be observed while a world stands, and judge it before the world ends."""
    made = Canaries(database, folders={folder}, caches={cache} if cache else set())
    OPEN.append(made)
    try:
        with patch.object(Refused, "__init__", _overheard):
            yield made
            made.check()
    finally:
        OPEN.remove(made)


@contextmanager
def tapped(wire: Any) -> Iterator[Any]:
    """Watch what is asked of the outside by `responses`."""
    with wire as mock:
        WIRES.append(mock)
        try:
            yield mock
        finally:
            WIRES.remove(mock)
            for canaries in OPEN:
                canaries.sent(mock.calls)


_refuse = Refused.__init__


def _overheard(self: Refused, *said: Any, **facts: Any) -> None:
    _refuse(self, *said, **facts)
    if OPEN:
        everywhere(f"text of {self.reason.code}", f"{self} {self.detail} {facts}")


class Ear(logging.Handler):
    """Hears the standard library's log records."""

    def emit(self, record: logging.LogRecord) -> None:
        if OPEN:
            everywhere(f"log of {record.name}", f"{record.getMessage()} {record.exc_info} {vars(record)}")


def _heard(_logger: Any, _name: str, event: Any) -> Any:
    if OPEN:
        everywhere("log line", str(event))
    return event


_configure = structlog.configure


def _hearing(processors: Any = None, **said: Any) -> None:
    others = structlog.get_config()["processors"] if processors is None else processors
    said |= {"cache_logger_on_first_use": False}  # a logger that was used before hears as well
    _configure(processors=[_heard, *(one for one in others if one is not _heard)], **said)


def hear_logs() -> None:
    """Hear every log line there is, before anything is filtered out of it, whoever sets logging up anew: what a test
    starts of ours does so for its whole process, and that is this one."""
    logging.getLogger().addHandler(Ear())
    structlog.configure = _hearing
    structlog.configure()
