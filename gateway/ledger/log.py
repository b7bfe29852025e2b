"""The append-only log of one school. `append` runs last in the transaction that makes the intent true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway import errors
from gateway.errors import Refused
from gateway.ledger import checkpoint, entry, highest, merkle
from gateway.store import credentials, facts, tables
from gateway.store.secrets import Vault
from gateway.store.tenant import UNREACHABLE, Session

_LOCK = "SELECT size, frontier FROM ledger_head WHERE district = %(district)s AND school = %(school)s FOR UPDATE"
_GROW = """
WITH written AS (INSERT INTO ledger_entry (district, school, index, leaf_hash, body) {} RETURNING 1)
UPDATE ledger_head SET size = %(size)s, frontier = %(frontier)s
WHERE district = %(district)s AND school = %(school)s AND (SELECT count(*) FROM written) = %(added)s
"""
_WRITE_ONE = _GROW.format("VALUES (%(district)s, %(school)s, %(index)s::bigint, %(hash)s::bytea, %(body)s::bytea)")
_WRITE = _GROW.format(
    "SELECT %(district)s, %(school)s, i, h, b "
    "FROM unnest(%(indices)s::bigint[], %(hashes)s::bytea[], %(bodies)s::bytea[]) AS t(i, h, b)"
)


_LOCK_EACH = """
SELECT school, size, frontier FROM ledger_head WHERE district = %(district)s AND school = ANY(%(at)s)
ORDER BY school FOR UPDATE
"""
_WRITE_EACH = """
WITH written AS (
    INSERT INTO ledger_entry (district, school, index, leaf_hash, body)
    SELECT %(district)s, s, i, h, b FROM unnest(%(at)s::int[], %(indices)s::bigint[], %(hashes)s::bytea[],
        %(bodies)s::bytea[]) AS t(s, i, h, b) RETURNING 1)
UPDATE ledger_head l SET size = g.size, frontier = g.frontier
FROM unnest(%(at)s::int[], %(sizes)s::bigint[], %(frontiers)s::bytea[]) AS g(school, size, frontier)
WHERE l.district = %(district)s AND l.school = g.school AND (SELECT count(*) FROM written) = %(added)s
"""


def start(session: Session, vault: Vault, school_ref: str, kid: str, now: datetime) -> None:
    """Open the log of a new school, with a signing key of its own."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    sealed = vault.seal(private.private_bytes_raw(), f"signing_key:{kid}")
    credentials.keep_signing_key(session, kid, "ledger", {"raw": public.hex()}, sealed, now)
    session.insert(tables.ledger_head, origin=checkpoint.log_name(school_ref), kid=kid, size=0, frontier=b"")


def append(session: Session, entries: Sequence[Mapping[str, Any]]) -> list[int]:
    """Write entries to the school's log and return their indices.

    They are durable and in sequence when the caller's transaction commits. Raises Refused with
    LED_UNAVAILABLE when they cannot be written; the caller must then send nothing.
    """
    bodies = [entry.encode(e) for e in entries]
    try:
        return _append(session, bodies)
    except UNREACHABLE as error:
        raise Refused(errors.LED_UNAVAILABLE) from error


def _append(session: Session, bodies: list[bytes]) -> list[int]:
    hashes = [merkle.leaf_hash(body) for body in bodies]
    head = session.row(_LOCK)
    if head is None:
        raise Refused(errors.LED_UNAVAILABLE)
    frontier = _frontier(head)
    for leaf in hashes:
        frontier.append(leaf)
    indices = list(range(head.size, frontier.size))
    if _write(session, indices, hashes, bodies, frontier) != 1:
        raise Refused(errors.LED_UNAVAILABLE)
    return indices


def _write(
    session: Session, indices: list[int], hashes: list[bytes], bodies: list[bytes], frontier: merkle.Frontier
) -> int:
    """Write entries and the head over them; return how many heads were written. One entry goes without lists: a whole
    school waits for it."""
    head: dict[str, Any] = {"size": frontier.size, "frontier": frontier.packed(), "added": len(bodies)}
    if len(bodies) == 1:
        return session.run(_WRITE_ONE, index=indices[0], hash=hashes[0], body=bodies[0], **head)
    return session.run(_WRITE, indices=indices, hashes=hashes, bodies=bodies, **head)


def append_each(session: Session, entries: Mapping[int, Mapping[str, Any]]) -> dict[int, int]:
    """Write one entry to the log of each of these schools of the session; return {school: index}.

    The promise of `append`, for all or for none. Logs are locked in the order of their schools' numbers, so that of
    several writers to the same schools none waits for one that waits for it.
    """
    bodies = {school: entry.encode(entries[school]) for school in sorted(entries)}
    try:
        return _append_each(session, bodies)
    except UNREACHABLE as error:
        raise Refused(errors.LED_UNAVAILABLE) from error


def _append_each(session: Session, bodies: dict[int, bytes]) -> dict[int, int]:
    at = list(bodies)
    frontiers = {head.school: _frontier(head) for head in session.rows(_LOCK_EACH, at=at)}
    if list(frontiers) != at:
        raise Refused(errors.LED_UNAVAILABLE)
    indices = {school: frontier.size for school, frontier in frontiers.items()}
    hashes = {school: merkle.leaf_hash(body) for school, body in bodies.items()}
    for school, frontier in frontiers.items():
        frontier.append(hashes[school])
    grown = session.run(
        _WRITE_EACH, at=at, indices=list(indices.values()), hashes=list(hashes.values()),
        bodies=list(bodies.values()), sizes=[f.size for f in frontiers.values()],
        frontiers=[f.packed() for f in frontiers.values()], added=len(at),
    )  # fmt: skip
    if grown != len(at):
        raise Refused(errors.LED_UNAVAILABLE)
    return indices


def is_ready(session: Session) -> bool:
    """Whether the school has a log. Whether it can be written shows when it is."""
    row = session.row("SELECT 1 FROM ledger_head WHERE district = %(district)s AND school = %(school)s")
    return row is not None


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


def bodies(session: Session, first: int = 0, limit: int = 1_000_000) -> list[bytes]:
    """Return the canonical bytes of entries from `first`, in order."""
    rows = session.rows(
        "SELECT body FROM ledger_entry WHERE district = %(district)s AND school = %(school)s "
        "AND index >= %(first)s ORDER BY index LIMIT %(limit)s",
        first=first, limit=limit,
    )  # fmt: skip
    return [bytes(row.body) for row in rows]
