"""From LTI 1.1 to 1.3: the secret that proves who was who, and the list of who that is."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from gateway import errors
from gateway.errors import Refused
from gateway.flows.onboarding.lines import deployment_named
from gateway.flows.onboarding.typed import readable
from gateway.flows.parts import Office
from gateway.identity.migration import sealed_for
from gateway.identity.staff import Person
from gateway.store import registrations
from gateway.store.tenant import Place

COLUMNS = ["lti11_user_id", "sourcedId"]
LONGEST, MOST = 255, 500_000


@dataclass(frozen=True, slots=True)
class Migrated:
    """How many users of a list are people of the deployment's schools, and how many are nobody there."""

    kept: int
    unknown: int


def migrate(parts: Office, by: Person, deployment: str, consumer_key: str, secret: str) -> str:
    """Keep the secret of an LTI 1.1 consumer key, sealed, for the registration of a deployment. Return the
    registration. Raises Refused."""
    by.acts_for_district()
    key = readable(consumer_key, "consumer key")
    if not secret:
        raise Refused(errors.REQ_INVALID, "the secret is read from SCHOOLGATE_LTI11_SECRET, which is empty")
    with parts.database.open_district(by.district) as session:
        registration = str(deployment_named(session, deployment).registration)
        platform = registrations.by_ref(session, registration)
        if platform is None or platform.home_district != by.district:
            raise Refused(errors.REQ_CONFLICT, "this registration belongs to somebody else; ask the operator")
        sealed = parts.vault.seal(secret.encode(), sealed_for(registration, key))
        registrations.keep_lti1p1_key(session, registration, key, sealed, parts.clock.now(), by.ref)
    return registration


def migrate_users(parts: Office, by: Person, deployment: str, text: str) -> Migrated:
    """Keep who the users of LTI 1.1 are at the deployment's schools: all of the list, or nothing of it where a line
    cannot be read. Raises Refused."""
    by.acts_for_district()
    people, kept = _read(text), set[str]()
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, deployment)
    for school in found.schools:
        with parts.database.open_school(Place(by.district, school)) as session:
            kept |= set(registrations.keep_lti1p1_users(session, found.registration, people, parts.clock.now()))
    return Migrated(len(kept), len(people) - len(kept))


def _read(text: str) -> Mapping[str, str]:
    """Return {user id: our id}. Raises Refused, naming the line, never what stands in it."""
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    people: dict[str, str] = {}
    try:
        if next(lines, None) != COLUMNS:
            raise Refused(errors.REQ_INVALID, f"the first line is {','.join(COLUMNS)}")
        for number, line in enumerate(lines, 2):
            if len(line) != 2 or not all(0 < len(one) <= LONGEST for one in line) or len(people) >= MOST:
                raise Refused(errors.REQ_INVALID, f"line {number} does not hold a user id and a sourcedId")
            if people.setdefault(line[0], line[1]) != line[1]:
                raise Refused(errors.REQ_INVALID, f"line {number} gives a user id to a second person")
    except csv.Error as error:
        raise Refused(errors.REQ_INVALID, f"line {lines.line_num} cannot be read as CSV") from error
    return people
