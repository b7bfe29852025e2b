"""The state of a login: a signed statement of what it was, bound to one browser by a cookie. Nothing is stored."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from flask import Response
from itsdangerous import BadData, BadSignature, Serializer, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from gateway import errors
from gateway.clock import Clock, Ids
from gateway.errors import Refused
from gateway.identity.platforms import Platform
from gateway.store.secrets import Vault, WrongKey

STATE_SECONDS = 600
_FORM, _WORD = "launch form", "launch word"
_PREFIX = "state-"  # written by PyLTI1p3


@dataclass(frozen=True, slots=True)
class State:
    """What a login was: signed, ten minutes good, bound to one browser."""

    id: str
    nonce: str
    registration: str  # "" where several share the client and the login names no deployment of theirs
    issuer: str
    client_id: str
    deployment_id: str
    target: str
    at: int
    frame: str = ""  # of the LMS, where it offers to keep something for us (LTI Platform Storage)

    @property
    def nonce_hash(self) -> bytes:
        """What is kept of the nonce once it is used."""
        return sha256(self.nonce.encode()).digest()

    @property
    def forgotten_at(self) -> datetime:
        """When the used nonce may be forgotten: the state itself is refused by then."""
        return datetime.fromtimestamp(self.at + STATE_SECONDS, UTC) + timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Storage:
    """What an LMS keeps for a login when the browser keeps no cookie: in which of its frames, for which origin alone,
    under which key, and the value that proves the browser (LTI postMessage Storage 0.1)."""

    frame: str
    origin: str
    key: str
    value: str


class _Uncompressed(URLSafeSerializer):
    """A state is mostly random: compressing it takes longer than signing it, and saves little."""

    def dump_payload(self, obj: Any) -> bytes:
        return base64_encode(Serializer.dump_payload(self, obj))


class States:
    """Makes and opens states, and the cookies that bind them."""

    def __init__(self, vault: Vault, clock: Clock, ids: Ids) -> None:
        self._signer = _Uncompressed(vault.derive("lti-state"), salt="state")
        self._cookie_key = vault.derive("lti-state-cookie")
        self._storage_key = vault.derive("lti-state-storage")
        self._teacher_key = vault.derive("lti-teacher-cookie")
        self._clock, self._ids, self._vault = clock, ids, vault

    def make(self, platform: Platform, deployment_id: str, target: str, frame: str = "") -> tuple[State, str]:
        """Return a new state and its text."""
        state = State(
            self._ids.secret(), self._ids.secret(), platform.whose, platform.issuer, platform.client_id,
            deployment_id, target, int(self._clock.now().timestamp()), frame,
        )  # fmt: skip
        values = [state.id, state.nonce, state.registration, state.issuer, state.client_id,
                  state.deployment_id, state.target, state.at, state.frame]  # fmt: skip
        return state, str(self._signer.dumps(values))

    def open(self, text: str) -> State:
        """Return the state behind a text (LV-03). Raises Refused with LTI_STATE."""
        try:
            state = State(*self._signer.loads(text.removeprefix(_PREFIX)))
        except (BadSignature, TypeError, ValueError) as error:
            raise Refused(errors.LTI_STATE) from error
        if not 0 <= self._clock.now().timestamp() - state.at <= STATE_SECONDS:
            raise Refused(errors.LTI_STATE)
        return state

    def cookie(self, state: State) -> tuple[str, str]:
        """Return the name and value of the cookie that binds a state to a browser. The name is not the secret."""
        digest = hmac.digest(self._cookie_key, state.id.encode(), "sha256").hex()
        return f"__Host-lti-{digest[:12]}", digest[12:]

    def storage(self, state: State, platform: Platform) -> Storage | None:
        """Return what the LMS keeps for a state, at its sign-in's origin alone; None where it offered nothing."""
        if not state.frame:
            return None
        digest = hmac.digest(self._storage_key, state.id.encode(), "sha256").hex()
        sign_in = urlsplit(platform.auth_url)
        return Storage(state.frame, f"{sign_in.scheme}://{sign_in.netloc}", f"lti-{digest[:12]}", digest[12:])

    def teacher_cookie(self, deployment: str, sub: str, day: date) -> tuple[str, str]:
        """Return the name and value of the cookie that makes a browser a teacher's for the day of a launch."""
        who = f"{deployment}\n{sub}"
        name = hmac.digest(self._teacher_key, who.encode(), "sha256").hex()
        value = hmac.digest(self._teacher_key, f"{day}\n{who}".encode(), "sha256").hex()
        return f"__Host-teacher-{name[:12]}", value

    def put_away(self, form: Mapping[str, str]) -> str:
        """Return a posted form as a word that only we can read: a page that asks the browser to come back holds it."""
        return base64_encode(self._vault.seal(json.dumps(dict(form)).encode(), _FORM)).decode()

    def take_back(self, word: str) -> dict[str, str] | None:
        """Return the form behind such a word; None for any other text. Its state says how old it may be."""
        try:
            found: dict[str, str] = json.loads(self._vault.open(base64_decode(word), _FORM))
        except (BadData, WrongKey, ValueError):
            return None
        return found

    def seal(self, kind: str, values: list[Any]) -> str:
        """Return these values as a word that only we can read, and have said when."""
        said = json.dumps([kind, int(self._clock.now().timestamp()), values])
        return base64_encode(self._vault.seal(said.encode(), _WORD, self._ids.secret())).decode()

    def unseal(self, kind: str, word: str, seconds: int) -> list[Any] | None:
        """Return the values of a word of this kind that is no older; None for any other text."""
        try:
            said, at, values = json.loads(self._vault.open(base64_decode(word), _WORD))
        except (BadData, WrongKey, ValueError):
            return None
        fresh = said == kind and 0 <= self._clock.now().timestamp() - at <= seconds
        return list(values) if fresh else None

    def is_teachers_browser(self, launch: Any, cookies: Mapping[str, str]) -> bool:
        """Whether these cookies are of the browser in which this launch, or another of the same day, was made."""
        name, value = self.teacher_cookie(launch.deployment, launch.sub, launch.created_at.astimezone(UTC).date())
        return hmac.compare_digest(cookies.get(name, "").encode(), value.encode())


def bind(response: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie that binds a browser: secure, partitioned, out of scripts' reach, in an LMS's frame too."""
    response.set_cookie(
        name, value, max_age=seconds, secure=True, httponly=True, path="/", samesite="None", partitioned=True
    )
