"""Intents of one process are written together: the log's head is locked, and the disk waited for, once for many.

What an intent promises stays as it is: when the session that intended it is closed, it is on disk and in sequence, or
Refused with LED_UNAVAILABLE was raised. Where its transaction has written something else, it is part of that. Where
not, whoever comes first writes it; whoever comes meanwhile waits, and the first of them writes for all in one message
to the database, which begins, writes, commits and waits for the disk. The head is locked while the database works on
that message and no longer. One intent that cannot be written takes no other with it: then each is written alone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from gateway import errors
from gateway.errors import Refused
from gateway.ledger import log
from gateway.store.tenant import UNREACHABLE, Session

MOST = 256  # callers that are written for at once: a transaction of theirs holds the head for milliseconds


def intend(session: Session, lines: Sequence[log.Line]) -> None:
    """Leave lines for the end of the session's transaction. Raises Refused with LED_UNAVAILABLE there."""
    session.write_rest()
    if lines:
        session.ending.closing = _Intent(tuple(log.stamped(session, lines)))


class _Told(Enum):
    """What a waiting caller is woken with."""

    WRITTEN = auto()
    LEAD = auto()
    ALONE = auto()
    FAILED = auto()


def _shut() -> threading.Lock:
    gate = threading.Lock()
    gate.acquire()
    return gate


@dataclass(eq=False, slots=True)
class _Turn:
    """A caller that waits: its lines, and what it is told."""

    lines: Sequence[log.Line]
    told: _Told = _Told.FAILED
    gate: threading.Lock = field(default_factory=_shut)

    def tell(self, what: _Told) -> None:
        self.told = what
        self.gate.release()


class _Queue:
    """Callers of this process for the logs of the same schools, one of whom writes at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = False
        self._waiting: list[_Turn] = []

    def lead(self) -> bool:
        """Whether nobody writes; then it is the caller's turn, until `pass_on`."""
        with self._lock:
            free, self._busy = not self._busy, True
        return free

    def wait(self, turn: _Turn) -> _Told:
        """Wait until somebody has written for this caller, or says that it shall."""
        with self._lock:
            if not self._busy:
                self._busy = True
                return _Told.LEAD
            self._waiting.append(turn)
        try:
            turn.gate.acquire()
        except BaseException:
            self._leave(turn)
            raise
        return turn.told

    def _leave(self, turn: _Turn) -> None:
        """Somebody does not wait any more: who is told to write and cannot passes it on."""
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
            leads = turn.told is _Told.LEAD
        if leads:
            self.pass_on()

    def take(self) -> list[_Turn]:
        """Return everybody who waits; whoever takes them tells each of them something."""
        with self._lock:
            taken, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        return taken

    def pass_on(self) -> None:
        """Let the next one write."""
        with self._lock:
            following = self._waiting.pop(0) if self._waiting else None
            self._busy = following is not None
            if following:
                following.tell(_Told.LEAD)


_queues: WeakKeyDictionary[sa.Engine, dict[tuple[int, ...], _Queue]] = WeakKeyDictionary()
_queues_lock = threading.Lock()


def _queue(session: Session, schools: tuple[int, ...]) -> _Queue:
    with _queues_lock:
        return _queues.setdefault(session.engine, {}).setdefault((session.district, *schools), _Queue())


@dataclass(frozen=True, slots=True)
class _Intent:
    """The lines of one caller, as what closes its transaction."""

    lines: tuple[log.Line, ...]

    @property
    def schools(self) -> tuple[int, ...]:
        return tuple(sorted({line.school for line in self.lines}))

    def write(self, session: Session) -> None:
        log.write(session, self.lines)

    def end(self, session: Session) -> None:
        queue = _queue(session, self.schools)
        try:
            if queue.lead():
                self._write_own(session, queue)
            elif session.has_written():
                session.end_with(*log.writing(self.lines))
            else:
                session.end_reading()
                self._take_turns(session, queue)
        except UNREACHABLE as error:
            raise Refused(errors.LED_UNAVAILABLE) from error

    def _write_own(self, session: Session, queue: _Queue) -> None:
        """Write in the session's own transaction, and for nobody else: what that wrote stands or falls with it."""
        try:
            session.end_with(*log.writing(self.lines))
        finally:
            queue.pass_on()

    def _take_turns(self, session: Session, queue: _Queue) -> None:
        """Write in another transaction: somebody's, one for everybody, or one's own."""
        turn = _Turn(self.lines)
        told = queue.wait(turn)
        if told is _Told.LEAD:
            told = self._lead(session, queue)
        if told is _Told.ALONE:
            session.end_with(*log.writing(self.lines))
        if told is _Told.FAILED:
            raise Refused(errors.LED_UNAVAILABLE)

    def _lead(self, session: Session, queue: _Queue) -> _Told:
        """Write for everybody who waits, in another transaction than theirs; they are told when it is on disk, or that
        it is not.

        Return ALONE where several could not be written together and this one may try by itself.
        """
        taken, told = list[_Turn](), _Told.FAILED
        try:
            taken = queue.take()
            session.end_with(*log.writing([*self.lines, *(line for turn in taken for line in turn.lines)]))
            told = _Told.WRITTEN
        except UNREACHABLE:
            if not taken or not session.is_undone():
                raise
            told = _Told.ALONE
        finally:
            for turn in taken:
                turn.tell(told)
            queue.pass_on()
        return told
