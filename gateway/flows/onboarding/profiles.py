"""Onboarding an LMS by its make: the paste sheet before there is a registration, and what a person need not type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from gateway import errors
from gateway.errors import Refused
from gateway.flows.onboarding.typed import check_address
from gateway.settings import Settings
from mappings import products
from mappings.products.lines import Habit, Line, variables
from mappings.products.shape import ADDRESSES, ASKED, LAUNCH, SERVICES, Entry, Product

Row = dict[str, str]
# What may not stand in an address that others are made from: a login name, a template's braces, blanks, a query.
_NOT_IN_SITES = frozenset("@{}?#\\ \t\r\n")
_IDS = ("client_id", "deployment_id", "registration_id")
_LONGEST_ID = 255  # LTI Core 1.3 section 5.3.3


def profile(name: str) -> Product:
    """Return the profile of a make. Raises Refused when there is none."""
    if name not in products.names():
        raise Refused(errors.REQ_INVALID, f"products are {', '.join(sorted(products.names()))}")
    return products.product(name)


def ours(url: str) -> dict[str, str]:
    """What of ours an LMS is told: the same for each, known before any registration."""
    launch = f"{url}/lti/launch"
    return {
        "name": "Schoolgate", "domain": urlsplit(url).netloc, "login_url": f"{url}/lti/login", "redirect_uri": launch,
        "target_link_uri": launch, "jwks_url": f"{url}/.well-known/jwks.json",
    }  # fmt: skip


def complete(settings: Settings, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a whole registration from what a person typed; what they typed wins over the profile. Raises Refused."""
    known, typed = profile(name), {key: value for key, value in said.items() if value}
    _refuse_unasked(known, typed)
    typed |= {key: _plain(key, typed[key]) for key in _IDS if key in typed}
    site = site_of(settings, typed.pop("site", None))
    values = _known(site, typed)
    missing = _missing(known, typed, values)
    if missing:
        raise Refused(errors.REQ_INVALID, f"{known.label} needs {', '.join(ASKED[one] for one in missing)}")
    filled = {key: value for key, value in known.setup.fill(values).items() if key == "hosts" or not variables(value)}
    hosts = (*(host for host in filled.pop("hosts") if not variables(host)), *typed.pop("hosts", ()))
    typed.pop("registration_id", None)
    return filled | typed | {"product": name, "hosts": tuple(host.lower() for host in hosts)}


def _missing(known: Product, typed: Mapping[str, Any], values: Mapping[str, str]) -> list[str]:
    """What neither a person nor the profile says, by the name of what to type. Where the services are is known once
    the token and key set addresses, or further hosts, are typed."""
    templates = [line.value for one, line in known.setup.values.items() if one not in typed]
    if not typed.get("hosts") and not {"token_url", "jwks_url"} <= set(typed):
        templates += known.setup.hosts.value
    lost = {one for one in ("client_id", "deployment_id", *ADDRESSES) if one not in (*typed, *known.setup.values)}
    lost |= {one for template in templates for one in variables(template) - set(values)}
    return [one for one in ASKED if one in lost or (one == "site" and "host" in lost)]


def _known(site: str | None, typed: Mapping[str, str]) -> dict[str, str]:
    known = {name: quote(typed[name], safe="") for name in ("client_id", "registration_id") if name in typed}
    return known | ({"site": site, "host": urlsplit(site).netloc} if site else {})


def _refuse_unasked(known: Product, typed: Mapping[str, Any]) -> None:
    """What would be put nowhere is not taken in silence."""
    extra = [one for one in ("site", "registration_id") if one in typed and one not in known.setup.asks.value]
    if extra:
        raise Refused(errors.REQ_INVALID, f"{known.label} takes no {', '.join(ASKED[one] for one in extra)}")


def _plain(name: str, value: str) -> str:
    """An id as the LMS shows it, without the blanks that copying adds. Raises Refused."""
    found = value.strip()
    if not found or len(found) > _LONGEST_ID or not found.isascii() or not found.isprintable():
        raise Refused(errors.REQ_INVALID, f"{ASKED[name]} is 1 to {_LONGEST_ID} characters of plain ASCII")
    return found


def site_of(settings: Settings, said: str | None) -> str | None:
    """Return the address an LMS runs at, as its other addresses begin: https, host in small letters, no slash at the
    end. Raises Refused."""
    if not said:
        return None
    text = said.strip()
    text = text if "://" in text else f"https://{text}"
    if _NOT_IN_SITES.intersection(text) or not text.isascii() or not text.isprintable():
        raise Refused(errors.REQ_INVALID, "--site is the address the LMS runs at, as in https://lms.school.example")
    check_address(text, sandbox=settings.sandbox)
    parts = urlsplit(text)
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


# --- the paste sheet -------------------------------------------------------------------------------


def sheet(settings: Settings, name: str, site: str | None) -> dict[str, Any]:
    """Return both halves of the paste sheet of a make: what to type into it, and what to bring back. Raises Refused."""
    known, where = profile(name), site_of(settings, site)
    _refuse_unasked(known, {"site": where} if where else {})
    values = known.setup.fill(_known(where, {}))
    hosts = values.pop("hosts")
    lines = {**known.setup.values, **({"hosts": known.setup.hosts} if hosts else {})}
    filled = values | ({"hosts": ", ".join(hosts)} if hosts else {})
    return {
        "product": name, "label": known.label,
        "type_at": _row(known.paste.type_at), "look_at": _row(known.paste.look_at),
        "type": [_typed(one, ours(settings.url)) for one in known.paste.types],
        "bring": [_brought(one, where) for one in known.paste.brings],
        "filled": [{"name": key, **_row(line), "value": filled[key]} for key, line in lines.items()],
        "habits": [*_habits(known.launch, LAUNCH), *_habits(known.services, SERVICES)],
        "next": _next(known, where),
    }  # fmt: skip


def _row(line: Line) -> Row:
    return {"value": str(line.value), "evidence": line.evidence, "source": line.source}


def _typed(entry: Entry, values: Mapping[str, str]) -> Row:
    value = values[entry.value] if entry.kind == "ours" else entry.value
    return {
        "label": entry.label,
        "kind": entry.kind,
        "value": value,
        "evidence": entry.evidence,
        "source": entry.source,
    }


def _brought(entry: Entry, site: str | None) -> Row:
    given = site if entry.value == "site" and site else ""
    row = {"label": entry.label, "option": ASKED[entry.value], "value": given}
    return row | {"evidence": entry.evidence, "source": entry.source}


def _habits(lines: Mapping[str, Line], vocabulary: Mapping[str, Habit]) -> list[Row]:
    """What else is known of a make, as sentences."""
    return [
        {"sentence": vocabulary[key].say(line), "evidence": line.evidence, "source": line.source}
        for key, line in lines.items()
    ]


def _next(known: Product, site: str | None) -> Sequence[str]:
    """The command that follows, as words."""
    words = ["schoolgate", "lms", "add", "VENDOR", "--product", known.name]
    for name in known.setup.asks.value:
        words += [ASKED[name], site if name == "site" and site else name.upper()]
    return words
