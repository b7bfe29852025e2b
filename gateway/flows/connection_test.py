"""Tries the connection to an LMS, step by step: nine named checks, what each saw, and who must mend it.

    address ── tls ── keys ── issuer ── token ── audience ── scopes ── members ── column

Nothing is written in the LMS, what is read there is counted and not kept, and no name is in any answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from joserfc.jwk import RSAKey

from connectors.egress import GuardedSession, answer_json, require_success
from connectors.errors import (
    ConnectorError,
    CredentialsRefused,
)
from connectors.lti_advantage import LtiAdvantage
from connectors.tokens import Grant, TokenKey, private_key_jwt
from gateway.errors import Owner
from gateway.flows import checks, courses
from gateway.flows.checks import Check, Skipped, Unlike, many
from gateway.flows.onboarding.lines import deployment_named
from gateway.flows.parts import Parts
from gateway.identity import keys
from gateway.identity.launch import LEEWAY
from gateway.identity.staff import Person
from gateway.store import credentials, registrations
from gateway.store.tenant import Place
from mappings import lti
from mappings.products import product
from mappings.products.lines import variables

NEAR = 10  # seconds of difference between two clocks that are worth a word
GRADE_SCOPES = (lti.SCOPE_LINE_ITEM, lti.SCOPE_LINE_ITEM_READ, lti.SCOPE_RESULT, lti.SCOPE_SCORE)


@dataclass(slots=True)
class _Trial(checks.Trial):
    """One test under way: the registration, a launched course where there is one, and what was found so far."""

    parts: Parts
    platform: Any
    deployment: Any
    key: RSAKey
    kid: str
    course: LtiAdvantage | None
    leeway: int  # seconds by which the clocks may differ
    grant: Grant | None = None
    refused: CredentialsRefused | None = None

    def line(self) -> GuardedSession:
        return self.parts.open_line(frozenset(self.platform.hosts))

    @property
    def asked(self) -> frozenset[str]:
        """The scopes that are asked for: those of the launched course, or all that the gateway may ever ask for."""
        if self.course is None:
            return frozenset({*GRADE_SCOPES, lti.SCOPE_MEMBERS})
        granted = self.course.course.ags.get("scope", ())
        members = {lti.SCOPE_MEMBERS} if self.course.course.nrps else set()
        return frozenset({scope for scope in GRADE_SCOPES if scope in granted} | members)

    def fetch(self, audience: str, scopes: frozenset[str]) -> Grant:
        """Ask for a token, with an assertion for this audience; it is used for nothing. Raises ConnectorError."""
        platform, to = self.platform, self.deployment.deployment_id
        key = TokenKey("test", platform.registration, platform.token_url, audience, tuple(scopes))
        return private_key_jwt(self.line, key, platform.client_id, self.key, self.kid, deployment_id=to)()


def run(parts: Parts, by: Person, deployment: str) -> list[Check]:
    """Run the nine checks, in their order. Raises Refused: no such deployment, or not this person's to test."""
    trial = _open(parts, by, deployment)
    return checks.run_all(trial, _CHECKS)


def _open(parts: Parts, by: Person, text: str) -> _Trial:
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, text)
        platform: Any = registrations.by_ref(session, found.registration)
        kid = credentials.signing_kid(session, found.registration, parts.clock.now())
        key = keys.tool_key(session, parts.vault, kid)
        excused = [
            int(one.value) for one in registrations.relaxations(session)
            if (one.registration, one.name) == (found.registration, "clock_skew") and one.until > parts.clock.now()
        ]  # fmt: skip
    course = _launched(parts, [Place(by.district, s) for s in found.schools], found)
    return _Trial(parts, platform, found, key, kid, course, max([LEEWAY, *excused]))


def _launched(parts: Parts, places: list[Place], deployment: Any) -> LtiAdvantage | None:
    """The line to a course of this deployment that was launched."""
    for place in places:
        with parts.database.open_school(place) as session:
            context = registrations.launched(session, deployment.deployment)
            course = courses.open_course(parts, session, deployment.deployment, context) if context else None
        if course is not None:
            return course
    return None


# --- the nine --------------------------------------------------------------------------------------


def _address(trial: _Trial) -> str:
    """The registered names lead to addresses that may be called."""
    with trial.line() as line:
        urls = (trial.platform.token_url, trial.platform.jwks_url)
        return checks.leads_somewhere(line, urls, trial.platform.hosts)


def _tls(trial: _Trial) -> str:
    """Each of our addresses there answers, and shows a certificate."""
    trial.needs("address")
    urls = {urlsplit(url).netloc: url for url in (trial.platform.token_url, trial.platform.jwks_url)}
    with trial.line() as line:
        return checks.certified(line, urls)


def _keys(trial: _Trial) -> str:
    trial.needs("address", "tls")
    try:
        usable, unusable = trial.parts.keys.look(trial.platform.jwks_url)
    except ValueError as error:
        raise Unlike("the key set's address answers with something that is no key set") from error
    if not usable:
        raise Unlike(f"none of {many(unusable, 'key')} can be used: RSA for signing, 2048 bits or more, with a key id")
    clock = _clock(trial)
    return f"{many(usable, 'key')} can be used" + (f", {unusable} cannot" if unusable else "") + clock


def _clock(trial: _Trial) -> str:
    """What is to be said of the LMS's clock: nothing while it is near ours. Raises Unlike where it is too far off."""
    with trial.line() as line:
        said = line.get(trial.platform.jwks_url).headers
    try:
        at = parsedate_to_datetime(said["Date"])
        ahead = round((at - trial.parts.clock.now()).total_seconds())
    except (KeyError, ValueError, TypeError):
        return ""
    if "Age" in said or abs(ahead) < NEAR:  # an answer that was kept on the way tells an older time
        return ""
    differs = f"its clock is {abs(ahead)} seconds {'ahead of' if ahead > 0 else 'behind'} ours"
    if abs(ahead) >= trial.leeway:
        raise Unlike(f"{differs}, and launches may fail from {trial.leeway} on: set both clocks")
    return f"; {differs}, and launches may fail from {trial.leeway} on"


def _issuer(trial: _Trial) -> str:
    """Discovery says the same as the registration; where there is none, the keys live at the issuer's own site."""
    trial.needs("address", "tls")
    issuer, host = trial.platform.issuer, urlsplit(trial.platform.jwks_url).hostname or ""
    theirs = urlsplit(issuer).hostname or ""
    told = _discovered(trial, issuer)
    if told:
        wanted = {"issuer": issuer, "jwks_uri": trial.platform.jwks_url, "token_endpoint": trial.platform.token_url}
        wrong = sorted(name for name, value in wanted.items() if name in told and told[name] != value)
        if wrong:
            raise Unlike(f"the LMS's own description has another {', '.join(wrong)} than the registration")
        return "the LMS's own description says the same as the registration"
    if _same_site(theirs, host):
        return f"the keys are at {host}, the site of the issuer"
    if all(any(_within(one, site) for site in product(trial.platform.product).domains) for one in (theirs, host)):
        return f"issuer and keys are at sites of {trial.platform.product}"
    if trial.parts.settings.sandbox and _is_number(host):
        return "the keys are on this machine: a sandbox plays this issuer"
    raise Unlike(f"the issuer is at {theirs or 'no address'} and its keys at {host}, which is another site")


def _discovered(trial: _Trial, issuer: str) -> Mapping[str, Any]:
    """The LMS's own description (OpenID Connect Discovery), where its issuer is a host of the registration."""
    try:
        with trial.line() as line:
            told = answer_json(require_success(line.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")))
    except ConnectorError:
        return {}
    return told if isinstance(told, dict) and "issuer" in told else {}


def _token(trial: _Trial) -> str:
    trial.needs("address", "tls")
    try:
        trial.grant = _granted(trial)
    except CredentialsRefused as refused:
        trial.refused = refused
        said = f" ({refused.said})" if refused.said else ""
        raise Unlike(
            f"{refused}{said}; the LMS must know the client {trial.platform.client_id} and read our keys at "
            f"{trial.parts.settings.url}/lti/keys/{trial.platform.registration}.json"
        ) from refused
    return f"the LMS gave a token that is good for {trial.grant.seconds:.0f} seconds"


def _granted(trial: _Trial) -> Grant:
    """A token for all scopes; from an LMS that refuses all for one of them, one for those it grants by themselves."""
    audience = trial.platform.token_audience
    try:
        return trial.fetch(audience, trial.asked)
    except CredentialsRefused as refused:
        if refused.said != "invalid_scope":
            raise
        each = {scope: _alone(trial, audience, scope) for scope in sorted(trial.asked)}
        given = [grant for grant in each.values() if grant]
        if not given:
            raise
        return Grant(given[0].token, given[0].seconds, frozenset(scope for scope, grant in each.items() if grant))


def _alone(trial: _Trial, audience: str, scope: str) -> Grant | None:
    try:
        return trial.fetch(audience, frozenset({scope}))
    except CredentialsRefused:
        return None


def _audience(trial: _Trial) -> str:
    """Which `aud` the assertion had; where it was refused, whether another of the LMS's names is what it wants."""
    audience, url = trial.platform.token_audience, trial.platform.token_url
    if trial.grant is not None:
        return f"the assertion had aud {audience}, which is {'' if audience == url else 'not '}the token URL"
    if trial.refused is None:
        trial.needs("address", "tls", "token")
    for other in sorted({url, trial.platform.issuer, *_audiences_of(trial.platform.product)} - {audience}):
        try:
            trial.fetch(other, trial.asked)
        except ConnectorError:
            continue
        raise Unlike(f"the assertion had aud {audience}; the LMS accepts {other}: register that as token audience")
    raise Skipped(f"the assertion had aud {audience}; the LMS does not say whether it refused it for that")


def _audiences_of(make: str) -> set[str]:
    """What a make is known to want instead of its token URL (D2L, Blackboard)."""
    known = product(make).setup.values.get("token_audience")
    return {known.value} if known and not variables(known.value) else set()


def _scopes(trial: _Trial) -> str:
    trial.needs("address", "tls", "token")
    if trial.grant is None or trial.grant.scopes is None:
        return f"{len(trial.asked)} scopes were asked for, and the LMS did not say that it grants less"
    missing = sorted(scope.rpartition("/")[2] for scope in trial.asked - trial.grant.scopes)
    if missing:
        raise Unlike(f"of {len(trial.asked)} scopes the LMS does not grant {', '.join(missing)}")
    return f"all {len(trial.asked)} scopes that were asked for are granted"


def _course(trial: _Trial) -> LtiAdvantage:
    if trial.deployment.status != "active":
        raise Skipped("the deployment is switched off", Owner.SCHOOL)
    if trial.course is None:
        raise Skipped("no linked course was launched yet", Owner.SCHOOL)
    trial.needs("address", "tls", "token")
    return trial.course


def _members(trial: _Trial) -> str:
    members = _course(trial).sample_members()
    known = sum(lti.said(member.get("lis_person_sourcedid")) is not None for member in members)
    if members and not known:
        raise Unlike(f"the first page has {many(len(members), 'member')} and no SIS id, so nobody can be recognised")
    return f"the first page has {many(len(members), 'member')}, {known} with a SIS id"


def _column(trial: _Trial) -> str:
    course = _course(trial)
    ours = course.course.ags.get("lineitem")
    found = [ours] if ours else [column["id"] for column in course.sample_columns()]
    if not found:
        return "the list of columns can be read; it has none of ours yet"
    course.read_column(found[0])
    return "a column can be read; nothing was written"


_CHECKS: dict[str, tuple[Callable[[_Trial], str], Owner]] = {
    "address": (_address, Owner.SCHOOL),
    "tls": (_tls, Owner.LMS_ADMIN),
    "keys": (_keys, Owner.LMS_ADMIN),
    "issuer": (_issuer, Owner.SCHOOL),
    "token": (_token, Owner.LMS_ADMIN),
    "audience": (_audience, Owner.SCHOOL),
    "scopes": (_scopes, Owner.LMS_ADMIN),
    "members": (_members, Owner.LMS_ADMIN),
    "column": (_column, Owner.LMS_ADMIN),
}


# --- words and sites -------------------------------------------------------------------------------


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _within(host: str, site: str) -> bool:
    return host == site or host.endswith(f".{site}")


def _same_site(one: str, other: str) -> bool:
    """Whether two names are of one owner, as far as names tell: one inside the other, or both inside one domain of a
    school (three labels where the last two are like `co.uk`)."""
    if not one or not other or _is_number(one) or _is_number(other):
        return bool(one) and one == other
    labels = one.split(".")
    least = 3 if len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3 else 2
    return _within(one, other) or _within(other, one) or _within(other, ".".join(labels[-least:]))
