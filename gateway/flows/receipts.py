"""A receipt for a family or a recipient: this pupil was in this transfer, for anybody to check."""

from __future__ import annotations

from gateway import errors
from gateway.errors import Refused
from gateway.flows import access
from gateway.flows.parts import Office
from gateway.identity.staff import Person as Staff
from gateway.ledger import checkpoint, handles, log, merkle
from gateway.ledger.receipt import Receipt
from gateway.store import roster, transfers
from gateway.store.tenant import Place


def issue(parts: Office, staff: Staff, place: Place, pupil: str, transfer: str) -> Receipt:
    """Return the receipt of a pupil (id, local number or full name) for a transfer. Raises Refused."""
    staff.reads(place.school)
    with parts.database.open_school(place) as session:
        found = [row.sourced_id for row in roster.find_pupil(session, pupil)]
        person = found[0] if len(found) == 1 else ""
        sent = transfers.one(session, transfer)
        opened = handles.opening(session, parts.vault, person, transfer)
        own = handles.split(bytes(sent.handles)) if sent else []
        if opened is None or sent is None or (mine := handles.handle(opened, person)) not in own:
            raise Refused(
                errors.OWN_NOT_ASSOCIATED,
                "no pupil, or several, of that name or number, or not in a transfer of that reference",
            )
        note, key = log.sign_checkpoint(session, parts.vault, parts.clock.now(), parts.settings.checkpoints)
        body, path = log.inclusion(session, sent.entry, checkpoint.verify(note, key).size)
    with parts.database.open_school(place) as session:  # a session signs nothing that it has written itself
        access.looked(parts, session, staff, access.RECEIPT, 1)
    subject = own.index(mine)
    steps = merkle.inclusion(subject, handles.leaves(bytes(sent.handles)))
    return Receipt(key, person, opened, subject, steps, body, sent.entry, path, note)
