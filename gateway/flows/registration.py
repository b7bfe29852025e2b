"""An LMS registers itself at an address that a person gave it (LTI Dynamic Registration 1.0). It lands pending.

Nothing is called without a live invite. The configuration is believed only as far as its own host reaches: issuer and
endpoints stand there, or on a host that the invite names (SV-6 of the launch gate's table of checks on services), or,
of a make that is known, all on its maker's domains. The LMS's token goes to its registration endpoint, to a
configuration that is not shown without it, and is kept nowhere. An attempt that fails leaves the invite as it was,
with what the LMS said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from connectors.egress import GuardedSession, Origin, answer_json, origin_of, require_success
from connectors.errors import AddressRefused, AnswerRefused, AnswerTooLarge, AnswerUnreadable, ConnectorError
from gateway import errors
from gateway.errors import Reason, Refused
from gateway.flows.parts import Parts
from gateway.identity import keys
from gateway.store import directory, invites, on_file, registrations
from gateway.store.secrets import token_hash
from gateway.store.tenant import Session
from mappings import lti_registration as words
from mappings import products
from mappings.text import all_text, is_text

CLAIM = timedelta(seconds=90)  # longer than both calls together may take
CALL_SECONDS = 15.0
MAX_ANSWER = 64 << 10
MAX_PARAMETER = 8192
MAX_INVITE = 128
MAX_QUOTED = 400
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")
_ERROR = re.compile(r"[a-z_]{1,60}\Z")
_UNSAYABLE = re.compile(r"[^\x20-\x7e]")
COLUMNS = ("auth_url", "token_url", "token_audience", "jwks_url", "hosts", "product")


@dataclass(frozen=True, slots=True)
class Landed:
    """What waits for a person now, as the administrator of the LMS is told."""

    ref: str
    update: bool
    issuer: str
    product: str
    asked: Mapping[str, Any]
    granted: Mapping[str, Any]
    differences: Mapping[str, Sequence[str]]
    has_deployment: bool


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One use of an invite: the invite, since when it is ours, what the LMS sent with it."""

    row: Any
    until: datetime
    configuration_url: str = field(repr=False)
    token: str = field(repr=False)


def register(parts: Parts, said: Mapping[str, str]) -> Landed:
    """Register at the LMS that opened an invite's address, and let it wait for a person. Raises Refused."""
    with _attempt(parts, said) as attempt:
        configuration, home = _configuration(parts, attempt)
        url = parts.settings.url
        elements = _useful(parts, attempt.row)
        habits = {name: line.value for name, line in _make(configuration).registration.items()}
        asked = words.request(url, urlsplit(url).hostname or "", attempt.row.key_set, configuration, elements, habits)
        answer = _answer(parts, attempt, configuration["registration_endpoint"], asked)
        return _land(parts, attempt, configuration, home, asked, answer)


# --- the invite --------------------------------------------------------------------------------------


@contextmanager
def _attempt(parts: Parts, said: Mapping[str, str]) -> Iterator[_Attempt]:
    """Take the invite for one attempt, and give it back when that fails."""
    attempt = _claimed(parts, said)
    try:
        _require_form(attempt)
        yield attempt
    except BaseException as error:
        problem = f"{error.reason.code}: {error.detail}" if isinstance(error, Refused) else errors.INT_UNEXPECTED.code
        with parts.database.open_district(attempt.row.district) as session:
            invites.release(session, attempt.row.invite, attempt.until, problem)
        raise


def _claimed(parts: Parts, said: Mapping[str, str]) -> _Attempt:
    secret, now = said.get("invite", ""), parts.clock.now()
    if not 0 < len(secret) <= MAX_INVITE or not is_text(secret):
        raise Refused(errors.LTI_REG_INVITE)
    with parts.database.open_identity() as session:
        row = invites.by_key(session, token_hash(secret), now)
    if row is None:
        raise Refused(errors.LTI_REG_INVITE)
    with parts.database.open_district(row.district) as session:
        if not invites.claim(session, row.invite, now, now + CLAIM):
            raise Refused(errors.LTI_REG_BUSY)
    return _Attempt(row, now + CLAIM, said.get("openid_configuration", ""), said.get("registration_token", ""))


def _require_form(attempt: _Attempt) -> None:
    if not 0 < len(attempt.configuration_url) <= MAX_PARAMETER or not is_text(attempt.configuration_url):
        raise Refused(errors.LTI_REG_REQUEST, "openid_configuration is missing or too long")
    if attempt.token and (len(attempt.token) > MAX_PARAMETER or not _TOKEN.match(attempt.token)):
        raise Refused(errors.LTI_REG_REQUEST, "registration_token is not of its form")


# --- the configuration -------------------------------------------------------------------------------


def _configuration(parts: Parts, attempt: _Attempt) -> tuple[dict[str, Any], Origin]:
    """Fetch and judge the configuration. Raises Refused."""
    with _heard(errors.LTI_REG_CONFIGURATION):
        home = origin_of(attempt.configuration_url)
        with parts.open_line({home.authority}, total_seconds=CALL_SECONDS, max_bytes=MAX_ANSWER) as line:
            response = line.get(attempt.configuration_url, headers={"Accept": "application/json"})
            if response.status_code == 401 and attempt.token:
                headers = _bearer(line, attempt.configuration_url, attempt.token)
                response = line.get(attempt.configuration_url, headers=headers)
            found = answer_json(require_success(response))
    try:
        configuration = words.read_configuration(found if all_text(found) else None)
    except (ValueError, RecursionError) as error:
        raise Refused(errors.LTI_REG_CONFIGURATION, f"these do not fit: {error}") from None
    _require_own(parts, home, attempt.row.hosts, configuration)
    if missing := words.unsupported(configuration):
        raise Refused(errors.LTI_REG_UNSUPPORTED, f"it does not offer {', '.join(missing)}")
    return configuration, home


def _bearer(line: GuardedSession, url: str, token: str) -> dict[str, str]:
    """The headers of a call with the LMS's token, where it gave one."""
    if not token:
        return {"Accept": "application/json"}
    line.authorize(url)
    return {"Accept": "application/json", "Authorization": f"Bearer {token}"}


def _make(configuration: Mapping[str, Any]) -> products.Product:
    """What is known of the make that a configuration says it is of."""
    return products.product(configuration["platform"].get("product_family_code") or "")


@contextmanager
def _heard(unreadable: Reason) -> Iterator[None]:
    """Say what a line out meets as a reason; where it led to inside is not told."""
    try:
        yield
    except AddressRefused:
        raise Refused(errors.LTI_REG_ADDRESS) from None
    except AnswerRefused as error:
        if 300 <= error.status < 400:
            raise Refused(
                errors.LTI_REG_ADDRESS, "the LMS sends on to another address; give the one it leads to"
            ) from None
        raise Refused(unreadable, f"the LMS answered with status {error.status}") from None
    except (AnswerTooLarge, AnswerUnreadable) as error:
        what = "too long" if isinstance(error, AnswerTooLarge) else "not JSON"
        raise Refused(unreadable, f"the answer of the LMS is {what}") from None
    except ConnectorError:
        raise Refused(errors.LTI_REG_UNREACHABLE) from None


def _require_own(parts: Parts, home: Origin, hosts: Sequence[str], configuration: Mapping[str, Any]) -> None:
    """SV-6: the issuer is where the configuration is, and so is every endpoint, or on a host the invite names."""
    listed = [origin_of(f"https://{host}/") for host in hosts]
    sandbox = parts.settings.sandbox  # there every peer is a port of one machine
    issuer = _origin(configuration["issuer"], "issuer")
    if "?" in configuration["issuer"] or (issuer.scheme != "https" and not sandbox):
        raise Refused(errors.LTI_REG_CONFIGURATION, "these do not fit: issuer")
    if not _same(issuer, home, sandbox=sandbox) and not any(_same(issuer, one, sandbox=sandbox) for one in listed):
        raise Refused(errors.LTI_REG_ISSUER)
    for name in words.ENDPOINTS:
        there = _origin(configuration[name], name)
        if there.scheme != home.scheme:
            raise Refused(errors.LTI_REG_ADDRESS, f"{name} is not https")
        named = any(_same(there, one, sandbox=sandbox) for one in listed)
        if not (_within(there, home, sandbox=sandbox) or named or _both_at(_make(configuration).domains, home, there)):
            raise Refused(errors.LTI_REG_ENDPOINT, f"{name} is on another host")


def _origin(url: str, name: str) -> Origin:
    try:
        return origin_of(url)
    except AddressRefused:
        raise Refused(errors.LTI_REG_CONFIGURATION, f"these do not fit: {name}") from None


def _same(one: Origin, other: Origin, *, sandbox: bool) -> bool:
    return one.host == other.host and (one.port == other.port or sandbox)


def _both_at(domains: Iterable[str], home: Origin, there: Origin) -> bool:
    """Whether two hosts are both on a maker's domains, at the usual port: whoever says to be of a make is believed no
    further than its own configuration's host is the maker's."""
    sites = [f".{domain}" for domain in domains]
    return all(one.port == 443 and any(f".{one.host}".endswith(site) for site in sites) for one in (home, there))


def _within(there: Origin, home: Origin, *, sandbox: bool) -> bool:
    """The same host, or a name beneath it at the usual port; an address has nothing beneath it."""
    numbered = home.host.startswith("[") or home.host.replace(".", "").isdigit()
    beneath = there.host.endswith(f".{home.host}") and there.port == 443 and not numbered
    return beneath or _same(there, home, sandbox=sandbox)


# --- asking ------------------------------------------------------------------------------------------


def _useful(parts: Parts, row: Any) -> set[str]:
    """The elements that an agreement of the application lists, at the invite's schools."""
    with parts.database.open_district(row.district) as session:
        schools = [one.school for one in directory.schools(session) if one.ref in row.schools]
    with parts.database.open_schools(row.district, schools) as session:
        application = {v.vendor for v in on_file.vendors(session) if v.category == "application"}
        papers = on_file.latest(session, "agreement")
    return {e for p in papers if p.vendor in application and p.status == "active" for e in p.body["schedule"]}


def _answer(parts: Parts, attempt: _Attempt, endpoint: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Send our registration and return the LMS's answer. Raises Refused."""
    with _heard(errors.LTI_REG_ANSWER):
        with parts.open_line({origin_of(endpoint).authority}, total_seconds=CALL_SECONDS, max_bytes=MAX_ANSWER) as line:
            response = line.post(endpoint, json=asked, headers=_bearer(line, endpoint, attempt.token))
        if not 200 <= response.status_code < 300:
            raise Refused(errors.LTI_REG_ANSWER, _complaint(response, attempt))
        found = answer_json(response)
    try:
        return words.read_registration(found if all_text(found) else None)
    except (ValueError, RecursionError) as error:
        raise Refused(errors.LTI_REG_ANSWER, f"these do not fit: {error}") from None


def _complaint(response: Any, attempt: _Attempt) -> str:
    """What an LMS said against us, in its own words where they are JSON: as RFC 7591 has it (section 3.2.2), else all
    of it; cut short, in plain characters, without its token and without our references."""
    said = f"the LMS answered with status {response.status_code}"
    try:
        found = answer_json(response)
    except AnswerUnreadable:
        return said
    code, text = (found.get("error"), found.get("error_description")) if isinstance(found, dict) else (None, None)
    if isinstance(code, str) and _ERROR.match(code):
        return f"{said}, {code}" + (_quoted(text, attempt) if isinstance(text, str) else "")
    return said + (_quoted(json.dumps(found), attempt) if found else "")


def _quoted(text: str, attempt: _Attempt) -> str:
    """Words of an LMS, or nothing where its token may be among them."""
    if attempt.token and (attempt.token[:8] in text or attempt.token[-8:] in text):
        return ""
    plain = _UNSAYABLE.sub(" ", text.replace(attempt.row.key_set, "..."))
    return f": {plain[:MAX_QUOTED]}"


# --- landing -----------------------------------------------------------------------------------------


def _land(
    parts: Parts, attempt: _Attempt, configuration: Mapping[str, Any], home: Origin, asked: Mapping[str, Any],
    answer: Mapping[str, Any],
) -> Landed:  # fmt: skip
    """Keep what the LMS granted until a person decides: as a registration that lets nobody in, or as a difference to
    one of the district's. One of another district is refused without a word about it."""
    row, columns = attempt.row, _columns(attempt.row, configuration, home)
    issuer, client_id = configuration["issuer"], answer["client_id"]
    with parts.database.open_district(row.district) as session:
        listed = registrations.by_issuer(session, issuer, client_id)
        known = next((one for one in listed if one.home_district == row.district), None)
        if listed and known is None:
            raise Refused(errors.LTI_REG_ANSWER)
        ref = known.registration if known else _pending(parts, session, row, issuer, client_id, columns)
        said: dict[str, Any] = {
            "update": known is not None, "columns": columns, "asked": words.summary(asked),
            "granted": words.summary(answer), "differences": words.differences(asked, answer),
            "old": {name: getattr(known, name) for name in COLUMNS} if known else {},
        }  # fmt: skip
        kept = invites.answer(
            session, row.invite, attempt.until, parts.clock.now(), said, registration=ref, issuer=issuer,
            client_id=client_id, deployment_id=words.deployment_id(answer),
        )  # fmt: skip
        if not kept:
            raise Refused(errors.LTI_REG_INVITE)
    return Landed(
        row.invite, said["update"], issuer, columns["product"], said["asked"], said["granted"], said["differences"],
        bool(words.deployment_id(answer)),
    )  # fmt: skip


def _pending(
    parts: Parts, session: Session, row: Any, issuer: str, client_id: str, columns: Mapping[str, Any]
) -> str:  # fmt: skip
    made = directory.add_registration(
        session, row.key_set, parts.clock.now(), row.created_by, status="pending", issuer=issuer, client_id=client_id,
        vendor=row.vendor, **columns,
    )  # fmt: skip
    if not made:  # somebody else was a moment faster
        raise Refused(errors.LTI_REG_ANSWER)
    keys.make_tool_key(session, parts.vault, parts.ids.new("key"), row.key_set, parts.clock.now())
    return str(row.key_set)


def _columns(row: Any, configuration: Mapping[str, Any], home: Origin) -> dict[str, Any]:
    """What a registration keeps of a configuration. Where it registers it serves too: Canvas does at the school's host,
    and its configuration is at the host of all."""
    make, token_url = _make(configuration), configuration["token_endpoint"]
    addresses = (token_url, configuration["jwks_uri"], configuration["registration_endpoint"])
    audience = None if "no_audience" in make.registration else configuration.get("authorization_server")
    return {
        "auth_url": configuration["authorization_endpoint"],
        "token_url": token_url,
        "token_audience": audience or token_url,
        "jwks_url": configuration["jwks_uri"],
        "hosts": sorted({home.authority, *(origin_of(url).authority for url in addresses), *row.hosts}),
        "product": make.name if make.name in products.names() else products.DEFAULT,
    }  # fmt: skip
