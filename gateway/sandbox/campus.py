"""What the LMS knows: how its make behaves, its own users and courses, its keys and its gradebook."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.jwk import RSAKey

from gateway.sandbox.district import CAST, Person, district
from gateway.sandbox.loopback import Tokens
from gateway.sandbox.products import Profile

_USERS = uuid.UUID("0b0d7f0e-5a8c-5d58-9a43-3c1f2f7f5a10")
_VOCABULARY = "http://purl.imsglobal.org/vocab/lis/v2/"
_HASHES: dict[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "RS384": hashes.SHA384,
    "RS512": hashes.SHA512,
}


@dataclass(frozen=True, slots=True)
class User:
    id: str
    person: Person

    @property
    def name(self) -> str:
        return f"{self.person.given} {self.person.family}"

    def role(self, *, short: bool = False) -> str:
        word = "Instructor" if self.person.role == "teacher" else "Learner"
        return word if short else f"{_VOCABULARY}membership#{word}"

    def roles(self, profile: Profile, *, short: bool = False) -> list[str]:
        """Return the course role, and beside it what this make of LMS adds."""
        listed = [self.role(short=short)]
        if profile.institution_roles:
            staff = self.person.role == "teacher" or self.person.sourced_id == TUTOR
            kind = "Instructor" if staff else "Student"
            listed.append(f"{_VOCABULARY}institution/person#{kind}")
        return listed


@dataclass(frozen=True, slots=True)
class Course:
    id: str
    sourced_id: str
    title: str
    members: dict[str, User]
    origins: tuple[str, ...] = ()  # the courses it was copied from, the latest first

    @property
    def link(self) -> str:
        """The id of the one resource link of this course."""
        return f"link-{self.id}"

    @property
    def groups(self) -> dict[str, tuple[str, list[str]]]:
        """The groups of this course by id: name, and whose they are. Every second pupil is in the one, the rest in the
        other."""
        pupils = [key for key, user in self.members.items() if user.person.role != "teacher"]
        return {f"{self.id}-g{n}": (name, pupils[n::2]) for n, name in enumerate(("Herons", "Otters"))}

    @property
    def group_set(self) -> str:
        """The id of the one set of these groups."""
        return f"{self.id}-s0"


@dataclass(slots=True)
class Tool:
    client_id: str
    deployment_id: str
    login_url: str = ""
    redirect_uris: list[str] = field(default_factory=list)
    jwks_url: str = ""
    target_link_uri: str = ""
    custom: dict[str, str] = field(default_factory=dict)
    title: str = "Mastery check"
    privacy: str = "public"  # what is sent of people: public, name_only, email_only, anonymous
    places: dict[str, list[str]] | None = None  # where each message begins; None: wherever the LMS likes

    def is_told(self, what: str) -> bool:
        """Whether a `name`, an `email` or a `sis_id` is sent. A SIS id goes with the name."""
        return self.privacy in ("public", "email_only" if what == "email" else "name_only")

    def begins(self, message: str, *places: str) -> bool:
        """Whether it asked for a message at one of these places."""
        return self.places is None or bool(set(self.places.get(message, ())) & set(places))


OF_TOOL = "ltiResourceLink"  # a picked link that opens the tool


@dataclass(frozen=True, slots=True)
class Link:
    """What a teacher picked in a tool: a link of the course to it, or something to look at (`kind` says which)."""

    id: str
    course: str
    client_id: str
    kind: str
    title: str
    url: str
    custom: dict[str, str]


@dataclass(frozen=True, slots=True)
class Launch:
    """One message: from the tool's own link, or one that was picked; about somebody; about a column."""

    user: User
    course: Course
    tool: Tool
    message: str = "LtiResourceLinkRequest"
    link: Link | None = None
    about: str = ""
    column: str = ""
    settings: dict[str, Any] | None = None  # of a picker

    @property
    def target(self) -> str:
        return (self.link.url if self.link else "") or self.tool.target_link_uri

    @property
    def link_id(self) -> str:
        return self.link.id if self.link else self.course.link


@dataclass(slots=True)
class Column:
    """A line item, its owner and the results in it by user id."""

    course: Course
    client_id: str
    body: dict[str, Any]
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    stamps: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """Somebody came into a course, or left it."""

    course: str
    user: User
    status: str  # Active or Deleted


@dataclass(slots=True)
class Window:
    """Calls counted since a moment."""

    began: float = 0
    calls: int = 0


def user_id(sourced_id: str, prefix: str = "") -> str:
    """Return the LMS's own id of a person of the SIS."""
    return prefix + str(uuid.uuid5(_USERS, sourced_id))


_CLASS = next(c for c in district().classes if c.sourced_id == CAST["class"])
# Of the cast's class: a pupil the LMS lacks, one it will not grade, one an instructor elsewhere.
ABSENT, NOT_GRADABLE, TUTOR = _CLASS.pupils[20], _CLASS.pupils[21], _CLASS.pupils[22]


def _courses(prefix: str) -> dict[str, Course]:
    found, people = {}, district().people
    for n, c in enumerate(district().classes, 101):
        keys = [*c.teachers, *(k for k in c.pupils if (k, c) != (ABSENT, _CLASS))]
        users = [User(user_id(k, prefix), people[k]) for k in keys]
        found[str(n)] = Course(str(n), c.sourced_id, c.title, {u.id: u for u in users})
    return found


def _new_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


@dataclass(slots=True)
class Campus:
    """All state of one running LMS."""

    url: str
    profile: Profile
    tokens: Tokens = field(default_factory=Tokens)
    courses: dict[str, Course] = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)
    sessions: dict[str, User] = field(default_factory=dict)
    launches: dict[str, Launch] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    pickers: dict[str, Launch] = field(default_factory=dict)  # by the data that comes back with what was picked
    columns: dict[str, Column] = field(default_factory=dict)
    received: list[dict[str, Any]] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)
    keys: list[RSAKey] = field(default_factory=lambda: [_new_key()])
    changes: list[Change] = field(default_factory=list)
    handlers: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)  # by client and kind of notice
    noticed: list[dict[str, Any]] = field(default_factory=list)  # every notice that was sent, and how it was answered
    window: Window = field(default_factory=Window)
    lock: threading.RLock = field(default_factory=threading.RLock)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.courses = self.courses or _courses(self.profile.subject_prefix)

    @property
    def token_url(self) -> str:
        return self.url + self.profile.token

    @property
    def issuer(self) -> str:
        return self.profile.issuer or self.url

    @property
    def users(self) -> dict[str, User]:
        return {key: u for c in self.courses.values() for key, u in c.members.items()}

    @property
    def everyone(self) -> dict[str, User]:
        """Who is in a course, or has been."""
        return {one.user.id: one.user for one in self.changes} | self.users

    def course_of(self, sourced_id: str) -> Course:
        return next(c for c in self.courses.values() if c.sourced_id == sourced_id)

    def links_of(self, course: Course) -> list[Link]:
        """What was picked for a course."""
        return [one for one in self.links.values() if one.course == course.id]

    def is_link(self, course: Course, link: str) -> bool:
        """Whether a resource link is one of a course."""
        return link == course.link or link in {one.id for one in self.links_of(course) if one.kind == OF_TOOL}

    def begin(self, launch: Launch) -> str:
        """Keep a launch and return the lti_message_hint that finds it again."""
        hint = secrets.token_urlsafe(12)
        if self.profile.hint_is_json:
            hint = json.dumps({"cmid": 5, "launchid": hint})
        self.launches[hint] = launch
        return hint

    def member(self, course: Course, user: User, status: str) -> None:
        """Take somebody into a course, or out of it, and remember that for whoever asks what has changed."""
        with self.lock:
            if status == "Deleted":
                course.members.pop(user.id, None)
            else:
                course.members[user.id] = user
            self.changes.append(Change(course.id, user, status))

    def copy(self, course: Course, teacher: User) -> Course:
        """Make a course from another: the teacher is in it, nobody else, and no SIS knows it."""
        with self.lock:
            number, origins = str(max(map(int, self.courses)) + 1), (course.id, *course.origins)
            title, members = f"{course.title} (copy)", {teacher.id: teacher}
            self.courses[number] = replace(
                course, id=number, sourced_id="", title=title, members=members, origins=origins
            )
        return self.courses[number]

    def wait(self) -> float:
        """Count one call of a service; return how many seconds the caller must wait, if it was one too many."""
        now, profile = self.now().timestamp(), self.profile
        with self.lock:
            if now - self.window.began >= profile.throttle_seconds:
                self.window = Window(now)
            self.window.calls += 1
            if not profile.throttle_calls or self.window.calls <= profile.throttle_calls:
                return 0
            return self.window.began + profile.throttle_seconds - now

    def add_column(self, course: Course, client_id: str, body: dict[str, Any]) -> str:
        """Make a column of a tool in a course; return its number."""
        with self.lock:
            number = str(max(map(int, self.columns), default=500) + 1)
            self.columns[number] = Column(course, client_id, body)
        return number

    def rotate(self) -> None:
        """Sign with a new key; the JWKS shows that one only."""
        self.keys.append(_new_key())

    def sign(self, claims: dict[str, Any], header: dict[str, Any], which: str = "") -> str:
        """Sign any header over any claims with this LMS's key, a "withdrawn" or an "other" one."""
        key = _new_key() if which == "other" else self.keys[0 if which == "withdrawn" else -1]
        full = {"typ": "JWT", "alg": "RS256", "kid": key.kid} | header
        full = {k: v for k, v in full.items() if v is not None}
        text = b".".join(_b64(json.dumps(part).encode()) for part in (full, claims))
        return (text + b"." + _b64(_signature(text, str(full.get("alg")), key))).decode()


def _signature(text: bytes, alg: str, key: RSAKey) -> bytes:
    if alg == "none":
        return b""
    if alg == "HS256":  # the public key misused as a shared secret
        return hmac.digest(key.as_pem(private=False), text, hashlib.sha256)
    digest = _HASHES.get(alg, hashes.SHA256)()
    return key.private_key.sign(text, padding.PKCS1v15(), digest) if key.private_key else b""


def _b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
