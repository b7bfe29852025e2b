"""Loads what a decision looks at: versions on file, as `policy.facts` knows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.policy import facts
from gateway.store.tenant import Session

# What a school `s` of a district `d` has on file about one agreement: it and the directions under it, each in its latest
# version. `{agreement}` and `{vendor}` say which.
KNOWN = """s.ref, (SELECT g.policy FROM source_policy g WHERE g.district = s.district ORDER BY g.version DESC LIMIT 1)
        AS source_policy,
    (SELECT h.erasures FROM ledger_head h WHERE h.district = s.district AND h.school = s.school) AS erasures,
    (SELECT to_jsonb(a) FROM (SELECT agreement, version, vendor, status, effective_at, expires_at, body FROM agreement
        WHERE district = s.district AND school = s.school AND agreement = {agreement}
        ORDER BY version DESC LIMIT 1) a WHERE a.vendor = {vendor}) AS agreement,
    (SELECT jsonb_agg(to_jsonb(x)) FROM (SELECT DISTINCT ON (direction) direction, version, agreement, operation,
        status, valid_from, expires_at, body FROM direction WHERE district = s.district AND school = s.school
        ORDER BY direction, version DESC) x WHERE x.agreement = {agreement}) AS directions,
    (SELECT jsonb_agg(to_jsonb(p)) FROM (SELECT p.policy, p.version, p.change, p.effective_at, p.opens,
        ARRAY(SELECT w.word FROM policy_word w WHERE w.district = s.district AND w.school = s.school
        AND w.policy = p.policy AND w.version = p.version) AS words FROM policy_version p
        WHERE p.district = s.district) p) AS policies"""
_KNOWN = f"""
SELECT {KNOWN.format(agreement="%(agreement)s", vendor="%(vendor)s")}
FROM school s WHERE s.district = %(district)s AND s.school = %(school)s
"""
_KNOWN_EACH = _KNOWN.replace("SELECT s.ref", "SELECT s.school, s.ref", 1).replace(
    "s.school = %(school)s", "s.school = ANY(%(schools)s)"
)
# When the school first had a person `u` of its roster.
COLLECTED = """(SELECT min(v.published_at) FROM roster_user x JOIN roster_version v ON v.district = x.district
    AND v.school = x.school AND v.version = x.since WHERE x.district = u.district AND x.school = u.school
    AND x.sourced_id = u.sourced_id) AS collected_at"""
# The latest version of a paper counts, whatever an earlier one said of whom: first the latest, then what it is about.
# The facts of a person `u` of the roster, each found by that person's own key.
PERSON = f"""u.sourced_id AS person, u.is_pupil, (SELECT b.birth_date FROM roster_demographics b WHERE b.district = u.district
    AND b.school = u.school AND b.sourced_id = u.sourced_id AND b.until IS NULL) AS birth_date,
    (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.consent) FROM (SELECT k.consent, k.version, k.scope, k.status, k.agreement,
    k.valid_from, k.valid_until, k.grantor, k.evidenced FROM consent k WHERE k.district = u.district
    AND k.school = u.school AND k.person_id = u.sourced_id AND NOT EXISTS (SELECT FROM consent l
    WHERE l.district = k.district AND l.school = k.school AND l.consent = k.consent AND l.version > k.version)) c)
    AS consents,
    (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.opt_out) FROM (SELECT k.opt_out, k.version, k.category, k.status,
    k.valid_from, k.valid_until FROM opt_out k WHERE k.district = u.district AND k.school = u.school
    AND k.person_id = u.sourced_id AND NOT EXISTS (SELECT FROM opt_out l WHERE l.district = k.district
    AND l.school = k.school AND l.opt_out = k.opt_out AND l.version > k.version)) o) AS opt_outs,
    {COLLECTED}"""


@dataclass(frozen=True, slots=True)
class Known:
    """What a school has on file about one vendor's agreement, whoever asks under it."""

    school: str
    source_policy: str
    ledger_ready: bool
    agreements: tuple[facts.Agreement, ...]
    directions: tuple[facts.Direction, ...]
    policy_versions: tuple[facts.PolicyVersion, ...] = ()

    def facts(self, credential: facts.Credential) -> facts.Facts:
        """Return the facts of a decision about this credential."""
        return facts.Facts(
            self.ledger_ready, credential, self.agreements, self.directions, self.source_policy, self.policy_versions
        )


def known(session: Session, vendor: str, agreement: str) -> Known:
    """Return what the session's school has on file about a vendor's agreement."""
    row = session.ask(_KNOWN, vendor=vendor, agreement=agreement)
    return known_of(session, session.place.school, row)


def known_of(session: Session, school: int, row: Any) -> Known:
    """Return what a school has on file in the columns of KNOWN."""
    session.saw_erasures(school, row.erasures)
    agreements = (agreement_of(row.agreement, row.ref),) if row.agreement else ()
    return Known(
        row.ref, row.source_policy, row.erasures is not None, agreements, tuple(map(direction_of, row.directions or ())),
        tuple(map(policy_version_of, row.policies or ())),
    )  # fmt: skip


def known_each(session: Session, vendor: str, agreement: str) -> dict[int, Known]:
    """Return, by school, what each of the session's schools has on file about a vendor's agreement."""
    rows = session.rows(_KNOWN_EACH, vendor=vendor, agreement=agreement)
    return {row.school: known_of(session, row.school, row) for row in rows}


def school_ref(session: Session) -> str:
    """Return the public reference of the session's school. Raises LookupError where there is no such school."""
    row = session.ask("SELECT ref FROM school WHERE district = %(district)s AND school = %(school)s")
    if row is None:
        raise LookupError("no such school")
    return str(row.ref)


def school_name(session: Session) -> str:
    """Return the name of the session's school."""
    rows = session.rows("SELECT name FROM school WHERE district = %(district)s AND school = %(school)s")
    return str(rows[0].name)


def load(session: Session, credential: facts.Credential) -> facts.Facts:
    """Return the facts about one credential at the session's school: its own agreement and the directions under it."""
    return known(session, credential.vendor, credential.agreement).facts(credential)


def agreement_of(said: dict[str, Any], school: str) -> facts.Agreement:
    body = said["body"]
    return facts.Agreement(
        said["agreement"], said["version"], said["vendor"], body["category"], said["status"], frozenset({school}),
        frozenset(body["schedule"]), frozenset(body["purposes"]), frozenset(body["operations"]),
        datetime.fromisoformat(said["effective_at"]), datetime.fromisoformat(said["expires_at"]),
        bool(body["school_agent"]), body.get("document", ""), frozenset(body["commitments"]),
        _moment(body["assured_at"]), _moment(body.get("debarred_until")), frozenset(body["endpoints"]),
        bool(body["consent_needed"]),
    )  # fmt: skip


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def policy_version_of(said: dict[str, Any]) -> facts.PolicyVersion:
    words = said["words"]
    return facts.PolicyVersion(
        said["policy"], said["version"], said["change"], datetime.fromisoformat(said["effective_at"]),
        "noticed" in words, "accepted" in words, frozenset(said["opens"]),
    )  # fmt: skip


def direction_of(said: dict[str, Any]) -> facts.Direction:
    body = said["body"]
    return facts.Direction(
        said["direction"], said["version"], said["agreement"], said["operation"], body["role"], said["status"],
        datetime.fromisoformat(said["valid_from"]), datetime.fromisoformat(said["expires_at"]),
        frozenset(body["elements"]), body.get("record"),
    )  # fmt: skip


NOBODY = facts.Person(associated=False, is_pupil=True)


def person(session: Session, person_id: str | None) -> facts.Person:
    """Return the facts of one person at the session's school; absent, foreign and erased look alike."""
    return people(session, [person_id]).get(person_id, NOBODY) if person_id else NOBODY


def people(session: Session, ids: Iterable[str]) -> dict[str, facts.Person]:
    """Return the facts of those of these people who belong to the session's school."""
    rows = session.rows(
        f"SELECT {PERSON} FROM roster_user u WHERE u.district = %(district)s "
        "AND u.school = %(school)s AND u.sourced_id = ANY(%(ids)s) AND u.until IS NULL",
        ids=sorted(set(ids)),
    )
    return {row.person: person_of(row) for row in rows}


def person_of(row: Any) -> facts.Person:
    """Return the facts in the columns of PERSON."""
    return facts.Person(
        True, row.is_pupil, row.birth_date, False, tuple(map(consent_of, row.consents or ())),
        tuple(map(opt_out_of, row.opt_outs or ())), row.collected_at,
        row.person,
    )  # fmt: skip


def consent_of(said: dict[str, Any]) -> facts.Consent:
    return facts.Consent(
        said["consent"], said["version"], said["scope"], said["status"], said["agreement"],
        datetime.fromisoformat(said["valid_from"]), _moment(said["valid_until"]), said["grantor"], said["evidenced"],
    )  # fmt: skip


def opt_out_of(said: dict[str, Any]) -> facts.OptOut:
    return facts.OptOut(
        said["opt_out"], said["version"], said["category"], said["status"],
        datetime.fromisoformat(said["valid_from"]), _moment(said["valid_until"]),
    )  # fmt: skip
