"""Named checks of a connection: what each saw, in one sentence, and who must mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from connectors.egress import GuardedSession
from connectors.errors import (
    AddressRefused,
    AnswerLost,
    AnswerRefused,
    AnswerTooLarge,
    AnswerUnreadable,
    ConnectorError,
    Untrusted,
)
from gateway.errors import Owner


class State(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was seen, in one sentence, and who must mend it, "" where nobody must."""

    name: str
    state: State
    seen: str
    who: str = ""


class Unlike(Exception):  # noqa: N818 - what a check saw, not an error of ours
    """What was seen is not as it should be; `who` must mend it, when it is not the usual one."""

    def __init__(self, seen: str, who: Owner | None = None) -> None:
        super().__init__(seen)
        self.who = who


class Skipped(Unlike):
    """There was nothing to look at yet."""


@dataclass(slots=True, kw_only=True)
class Trial:
    """One test under way: which checks failed so far."""

    failed: set[str] = field(default_factory=set)

    def needs(self, *checks: str) -> None:
        """Skip what makes no sense after these have failed."""
        missing = [name for name in checks if name in self.failed]
        if missing:
            raise Skipped(f"not tried, because {missing[0]} is not ok")


_T = TypeVar("_T", bound=Trial)


def run_all(trial: _T, checks: Mapping[str, tuple[Callable[[_T], str], Owner]]) -> list[Check]:
    """Run named checks in their order, each with whose it is to mend."""
    return [_look(trial, name, look, who) for name, (look, who) in checks.items()]


def _look(trial: _T, name: str, look: Callable[[_T], str], who: Owner) -> Check:
    try:
        return Check(name, State.OK, _sentence(look(trial)))
    except Skipped as skipped:
        return Check(name, State.SKIPPED, _sentence(str(skipped)), str(skipped.who or ""))
    except Unlike as unlike:
        seen, owner = str(unlike), unlike.who or who
    except ConnectorError as error:
        seen, owner = in_words(error), Owner.SCHOOL if isinstance(error, AddressRefused) else who
    trial.failed.add(name)
    return Check(name, State.FAILED, _sentence(seen), str(owner))


_BUSY = frozenset({429, 503})


def in_words(error: ConnectorError) -> str:
    """What a line that failed says; a status alone is no sentence."""
    if not isinstance(error, AnswerRefused) or str(error) != f"status {error.status}":
        return str(error)
    if error.status in _BUSY:
        return f"it asks to be called again later (status {error.status}): try in a minute"
    return f"it answered with status {error.status}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def leads_somewhere(line: GuardedSession, urls: Iterable[str], hosts: Iterable[str]) -> str:
    """The names lead to addresses that may be called. Raises Unlike and ConnectorError."""
    for url in urls:
        line.adapter.admit(url)
    for host in sorted(hosts):
        try:
            line.adapter.look_up(f"https://{host}/")
        except ConnectorError as error:
            raise Unlike(f"{host}: {str(error).removeprefix(f'{host}: ')}") from error
    return f"{', '.join(sorted(hosts))}: every name leads to addresses that may be called"


def certified(line: GuardedSession, urls: Mapping[str, str]) -> str:
    """Each host's address answers, and shows a certificate; what it answers is no matter here. Raises Unlike and
    Untrusted."""
    for host, url in urls.items():
        try:
            line.get(url)
        except Untrusted:
            raise
        except (AnswerRefused, AnswerUnreadable, AnswerTooLarge, AnswerLost):
            continue
        except ConnectorError as error:
            raise Unlike(f"{host} does not answer") from error
    plain = sorted(host for host, url in urls.items() if urlsplit(url).scheme != "https")
    if plain:
        return f"{', '.join(plain)} is not https, which is allowed only in a sandbox"
    return f"{', '.join(sorted(urls))}: the certificate is valid for the name"


def many(count: int, word: str) -> str:
    """A number of things, in words."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
