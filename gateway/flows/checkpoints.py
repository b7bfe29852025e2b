"""Checkpoints of logs that grow: signed at least once a second, whoever asks for them or not."""

from __future__ import annotations

import structlog

from gateway.errors import Refused
from gateway.flows.parts import Office
from gateway.ledger import log
from gateway.store import directory
from gateway.store.tenant import Place

_log = structlog.get_logger()


class Signer:
    """Signs for every school of every district; a log that cannot be signed keeps none of the others waiting."""

    def __init__(self, parts: Office) -> None:
        self._parts = parts
        self._said: dict[Place, str] = {}

    def round(self) -> int:
        """Sign for each log that has grown since its last checkpoint; return how many were. Raises only what says that
        no district can be read."""
        with self._parts.database.open_identity() as session:
            places = directory.places(session)
        return sum(self._sign(place) for district, own in places.items() for place in self._grown(district, own))

    def _grown(self, district: int, schools: list[int]) -> list[Place]:
        with self._parts.database.open_schools(district, schools) as session:
            return [Place(district, school) for school in log.grown(session)]

    def _sign(self, place: Place) -> bool:
        parts = self._parts
        try:
            with parts.database.open_school(place) as session:
                log.sign_checkpoint(session, parts.vault, parts.clock.now(), parts.settings.checkpoints)
        except Exception as error:
            self._say(place, error.reason.code if isinstance(error, Refused) else type(error).__name__)
            return False
        self._said.pop(place, None)
        return True

    def _say(self, place: Place, code: str) -> None:
        """Once for each reason of a log, not once a second."""
        if self._said.get(place) != code:
            _log.error("no checkpoint was signed", code=code, source=f"{place.district}/{place.school}")
        self._said[place] = code
