"""The append-only log of one school. `append` runs last in the transaction that makes the intent true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway import errors
from gateway.errors import Refused
from gateway.ledger import checkpoint, entry, highest, merkle
from gateway.store import credentials, decisions, facts, tables, transfers
from gateway.store.secrets import Vault
from gateway.store.tenant import UNREACHABLE, Session, packed

_LINES = """
WITH line AS MATERIALIZED (SELECT nth, l.* FROM jsonb_array_elements(%(lines)s::jsonb) WITH ORDINALITY AS one(line, nth)
    CROSS JOIN LATERAL jsonb_to_record(one.line) AS l(school int, body text, erased int, transfer jsonb, rested jsonb)),
placed AS MATERIALIZED (SELECT ledger_append(%(district)s, array_agg(school ORDER BY nth),
    array_agg(convert_to(body, 'UTF8') ORDER BY nth), array_agg(erased ORDER BY nth)) AS places FROM line)
"""
_RESTED = f", rested AS ({decisions.KEEP})"


def start(session: Session, vault: Vault, school_ref: str, kid: str, now: datetime) -> None:
    """Open the log of a new school, with a signing key of its own."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    sealed = vault.seal(private.private_bytes_raw(), f"signing_key:{kid}")
    credentials.keep_signing_key(session, kid, "ledger", {"raw": public.hex()}, sealed, now)
    session.insert(
        tables.ledger_head, origin=checkpoint.log_name(school_ref), kid=kid, size=0, frontier=b"", erasures=0
    )


def append(session: Session, entries: Sequence[Mapping[str, Any]]) -> list[int]:
    """Write entries to the school's log and return their indices.

    They are durable and in sequence when the caller's transaction commits. Raises Refused with
    LED_UNAVAILABLE when they cannot be written; the caller must then send nothing.
    """
    statement, values = writing([Line(session.place.school, entry.encode(one)) for one in entries])
    session.write_rest()
    try:
        (written,) = session.rows(statement, **values)
    except UNREACHABLE as error:
        raise Refused(errors.LED_UNAVAILABLE) from error
    return list(written.places or ())


class Line(NamedTuple):
    """An entry for the log of one of a session's schools, the transfer it is the intent of, and what the decision it
    is about rested on. It is not written where the school has erased somebody since `erasures`: it may name them."""

    school: int
    body: bytes
    transfer: transfers.Transfer | None = None
    rested_on: decisions.Kept | None = None
    erasures: int | None = None


def stamped(session: Session, lines: Sequence[Line]) -> list[Line]:
    """Return lines with what the session knows of erasures at their schools."""
    return [line._replace(erasures=session.ending.erasures.get(line.school)) for line in lines]


def writing(lines: Sequence[Line]) -> tuple[str, dict[str, Any]]:
    """Return the one statement that writes all these lines or none, with its values: all lines in one, as JSON."""
    rested = _RESTED if any(line.rested_on for line in lines) else ""
    kept = transfers.KEEP if any(line.transfer for line in lines) else " SELECT places FROM placed"
    return _LINES + rested + kept, {"lines": packed([_said(line) for line in lines])}


def _said(line: Line) -> dict[str, Any]:
    return {
        "school": line.school, "body": line.body.decode(), "erased": line.erasures,
        "transfer": transfers.said(line.transfer) if line.transfer else None,
        "rested": decisions.said(line.rested_on) if line.rested_on else None,
    }  # fmt: skip


def write(session: Session, lines: Sequence[Line]) -> None:
    """Write lines to the logs of the session's schools, with what `append` promises."""
    session.write_rest()
    statement, values = writing(stamped(session, lines))
    try:
        session.run(statement, **values)
    except UNREACHABLE as error:
        raise Refused(errors.LED_UNAVAILABLE) from error


def is_ready(session: Session) -> bool:
    """Whether the school has a log. Whether it can be written shows when it is."""
    row = session.row("SELECT erasures FROM ledger_head WHERE district = %(district)s AND school = %(school)s")
    session.saw_erasures(session.place.school, row.erasures if row else None)
    return row is not None


def hold(session: Session) -> None:
    """Hold the head of the school's log until the transaction ends: an erasure there is over, or has to wait. Raises
    Refused with LED_UNAVAILABLE."""
    try:
        session.row("SELECT 1 FROM ledger_head WHERE district = %(district)s AND school = %(school)s FOR NO KEY UPDATE")
    except UNREACHABLE as error:
        raise Refused(errors.LED_UNAVAILABLE) from error


def note_erasure(session: Session) -> None:
    """Hold the head of the school's log, and let nobody write any more who has read before this is committed."""
    session.run("UPDATE ledger_head SET erasures = erasures + 1 WHERE district = %(district)s AND school = %(school)s")


def grown(session: Session) -> list[int]:
    """Return those schools of the session whose log is longer than its last checkpoint."""
    rows = session.rows(
        "SELECT h.school FROM ledger_head h WHERE h.district = %(district)s AND h.school = ANY(%(schools)s) AND h.size > "
        "coalesce((SELECT max(c.size) FROM ledger_checkpoint c WHERE c.district = h.district AND c.school = h.school), 0)"
    )
    return [row.school for row in rows]


_HEAD = """
SELECT h.origin, h.kid, h.size, h.frontier, k.private,
    h.xmin::text = pg_current_xact_id_if_assigned()::xid::text AS is_own
FROM ledger_head h JOIN signing_key k USING (kid) WHERE h.district = %(district)s AND h.school = %(school)s
"""


def sign_checkpoint(session: Session, vault: Vault, now: datetime, folder: Path) -> tuple[str, str]:
    """Return (signed note, verifier key) for the log as it stands on disk, and keep the note.

    `folder` holds the highest checkpoints of this machine. Raises Refused with LED_CHECKPOINT_STALE when the log does
    not continue the one signed there: a restored backup, or a fork. Not for a session that has itself appended.
    """
    with highest.held(folder, checkpoint.log_name(facts.school_ref(session))) as kept:
        head = session.row(_HEAD)
        if head is None:
            raise Refused(errors.LED_UNAVAILABLE)
        if head.is_own:
            raise ValueError("these entries can still be rolled back")
        private = Ed25519PrivateKey.from_private_bytes(vault.open(bytes(head.private), f"signing_key:{head.kid}"))
        key = checkpoint.verifier_key(head.origin, private.public_key().public_bytes_raw())
        edge, last = _frontier(head), kept.read(key)
        highest.require_continued(last, _leaves(session, last.size, head.size), edge)
        session.settle()
        note = checkpoint.sign(checkpoint.Checkpoint(head.origin, head.size, edge.root()), private)
        kept.write(note, edge)
    session.insert(tables.ledger_checkpoint, ignore=True, size=head.size, note=note, signed_at=now)
    return note, key


def _frontier(head: Any) -> merkle.Frontier:
    try:
        return merkle.Frontier(head.size, bytes(head.frontier))
    except merkle.InvalidFrontier as error:
        raise Refused(errors.LED_UNAVAILABLE) from error


def inclusion(session: Session, index: int, size: int) -> tuple[bytes, list[bytes]]:
    """Return the canonical bytes of an entry and its path in the tree of the first `size` entries.

    Reads and hashes every leaf hash of the log once. Raises IndexError outside the tree.
    """
    (body,) = bodies(session, index, 1)
    return body, merkle.inclusion(index, _leaves(session, 0, size))


def _leaves(session: Session, first: int, stop: int) -> list[bytes]:
    """Return the leaf hashes from `first` until before `stop`: read as one value, a row each is four times the work."""
    row = session.row(
        "SELECT string_agg(leaf_hash, ''::bytea ORDER BY index) AS joined FROM ledger_entry "
        "WHERE district = %(district)s AND school = %(school)s AND index >= %(first)s AND index < %(stop)s",
        first=first, stop=stop,
    )  # fmt: skip
    joined = bytes(row.joined or b"") if row else b""
    return [joined[i : i + merkle.SIZE] for i in range(0, len(joined), merkle.SIZE)]


def entries_with(session: Session, ref: str) -> list[dict[str, Any]]:
    """Return the entries of one reference (a transfer, a decision), in order. Reads the whole log."""
    rows = session.rows(
        "SELECT body FROM ledger_entry WHERE district = %(district)s AND school = %(school)s "
        "AND position(%(said)s::bytea IN body) > 0 ORDER BY index",
        said=f'"id":"{ref}"'.encode(),
    )
    return [entry.decode(bytes(row.body)) for row in rows]


def latest(session: Session, number: int) -> list[dict[str, Any]]:
    """Return the latest entries, newest first."""
    rows = session.rows(
        "SELECT body FROM ledger_entry WHERE district = %(district)s AND school = %(school)s "
        "ORDER BY index DESC LIMIT %(number)s",
        number=number,
    )
    return [entry.decode(bytes(row.body)) for row in rows]


def bodies(session: Session, first: int = 0, limit: int = 1_000_000) -> list[bytes]:
    """Return the canonical bytes of entries from `first`, in order."""
    rows = session.rows(
        "SELECT body FROM ledger_entry WHERE district = %(district)s AND school = %(school)s "
        "AND index >= %(first)s ORDER BY index LIMIT %(limit)s",
        first=first, limit=limit,
    )  # fmt: skip
    return [bytes(row.body) for row in rows]
