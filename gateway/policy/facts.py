"""What is known when a decision is made: versions on file, never live objects; canonical, to be hashed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Credential:
    """The caller's credential as found: which grant under which agreement, which scopes and schools it holds."""

    grant: str
    vendor: str
    agreement: str
    scopes: frozenset[str]
    schools: frozenset[str]
    active: bool = True


@dataclass(frozen=True, slots=True)
class Agreement:
    """One version of an agreement, as it covers the acting school; in force in [effective_at, expires_at)."""

    ref: str
    version: int
    vendor: str
    category: str
    status: str
    schools: frozenset[str]
    schedule: frozenset[str]
    purposes: frozenset[str]
    operations: frozenset[str]
    effective_at: datetime
    expires_at: datetime
    school_agent: bool = False
    document: str = ""
    commitments: frozenset[str] = frozenset()
    assured_at: datetime | None = None
    debarred_until: datetime | None = None
    endpoints: frozenset[str] = frozenset()
    consent_needed: bool = False

    @property
    def id(self) -> str:
        return f"{self.ref}@{self.version}"


@dataclass(frozen=True, slots=True)
class Direction:
    """Somebody entitled asked for a transfer: who, what, to whom, until when."""

    ref: str
    version: int
    agreement: str
    operation: str
    role: str
    status: str
    valid_from: datetime
    expires_at: datetime
    elements: frozenset[str] = frozenset()
    record: str | None = None

    @property
    def id(self) -> str:
        return f"{self.ref}@{self.version}"


@dataclass(frozen=True, slots=True)
class Consent:
    """A family's answer, in its latest version. `scope` use is about everything here, disclose about what one
    agreement (or any: None) lets out; they never stand for each other. `evidenced` says that it is on file who
    answered, how they were known, and what they were shown."""

    ref: str
    version: int
    scope: str
    status: str
    agreement: str | None
    valid_from: datetime
    valid_until: datetime | None
    grantor: str = "parent"
    evidenced: bool = False


@dataclass(frozen=True, slots=True)
class OptOut:
    """Somebody does not want their data to go to a category of recipients (or to any: None)."""

    ref: str
    version: int
    category: str | None
    status: str
    valid_from: datetime
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Person:
    """One row's facts. Not `associated` means: absent, foreign, personal or erased; all the same.

    `collected_at` is when the school first delivered the person; None is as old as can be. `ref` is the school's own id
    of the person.
    """

    associated: bool
    is_pupil: bool
    birth_date: date | None = None
    erased: bool = False
    consents: tuple[Consent, ...] = ()
    opt_outs: tuple[OptOut, ...] = ()
    collected_at: datetime | None = None
    ref: str = ""


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A version of the privacy policy that governs, and what this school was told of it and said to it.

    `change` says what it did: editorial, material, or less_restrictive; `opens` lists the purposes it permits that
    the one before did not.
    """

    policy: str
    version: int
    change: str
    effective_at: datetime
    noticed: bool = False
    accepted: bool = False
    opens: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        return f"{self.policy}@{self.version}"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision may look at. Empty facts deny."""

    ledger_ready: bool = False
    credential: Credential | None = None
    agreements: tuple[Agreement, ...] = ()
    directions: tuple[Direction, ...] = ()
    source_policy: str = "strictest"
    policy_versions: tuple[PolicyVersion, ...] = ()


def fingerprint(*parts: Any) -> str:
    """Return the SHA-256 of the canonical form of facts or a request, in hex.

    Who keeps it where others read keys it first: of a person's facts there are few enough to try them all. Raises
    TypeError for what facts never hold.
    """
    return hashlib.sha256(canonical(parts)).hexdigest()


def canonical(value: Any) -> bytes:
    """Return facts or a request as JSON with sorted keys, sets as sorted lists."""
    return orjson.dumps(value, default=_sorted, option=orjson.OPT_SORT_KEYS)


def _sorted(value: Any) -> list[Any]:
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"not a fact: {type(value).__name__}")
