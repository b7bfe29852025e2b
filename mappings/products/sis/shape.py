"""The closed shape of a SIS's profile: where its OneRoster service is, how it knows us, how it pages, its habits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mappings.products.lines import (
    Check,
    Habit,
    Line,
    ProfileError,
    is_number,
    is_text,
    is_words,
    is_yes,
    lines_of,
    same,
    variables,
)

_SECTIONS = frozenset({"label", "setup", "service", "habits"})
# What may be asked of a person, and the option that takes it.
ASKED = MappingProxyType(
    {
        "site": "--site", "application_id": "--application-id", "url": "--url", "token_url": "--token-url",
        "client_id": "--client-id",
    }
)  # fmt: skip
VERSIONS = ("1.1", "1.2")
METHODS = ("oauth2", "oauth2-body", "bearer", "oauth1-sha1", "oauth1-sha256")
# What is known of an address that somebody typed: `origin` is its scheme and host.
_DERIVED = {"url": {"origin"}}


@dataclass(frozen=True, slots=True)
class Sis:
    """What is known of one make."""

    name: str
    label: str
    setup: Mapping[str, Line]
    service: Mapping[str, Line]
    habits: Mapping[str, Line]

    @property
    def asks(self) -> list[str]:
        return list(self.setup["asks"].value)

    @property
    def pulled(self) -> bool:
        """Whether it answers OneRoster questions at all."""
        return bool(self.service)

    def says(self, name: str, otherwise: Any) -> Any:
        """Return what the profile says of its service, or what the standard says."""
        return self.service[name].value if name in self.service else otherwise


def _is_address(value: Any) -> bool:
    return is_text(value) and value.startswith(("https://", "{site}", "{origin}"))


def _is_method(value: Any) -> bool:
    return is_words(value) and set(value) <= set(METHODS)


def _is_version(value: Any) -> bool:
    return value in VERSIONS


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


_SETUP: Mapping[str, Check] = {"asks": is_words, "url": _is_address, "token_url": _is_address}
_SERVICE: Mapping[str, Check] = {
    "version": _is_version, "methods": _is_method, "scopes": is_words, "page_size": is_number, "sort": _is_bool,
    "filter": _is_bool, "pause_ms": is_number, "revision": is_text, "overlap_hours": is_number,
    "not_offered": is_words,
}  # fmt: skip
_NEEDED = {"version", "methods"}

HABITS: Mapping[str, Habit] = MappingProxyType(
    {
        "relative_references": Habit(is_yes, "References are not whole addresses; only their ids are read."),
        "no_total": Habit(is_yes, "It does not say how many records there are: pages are asked for to the end."),
        "no_links": Habit(is_yes, "It does not link to the next page: pages are asked for by number."),
        "of_both_versions": Habit(is_yes, "At the path of 1.1 it may answer with people of 1.2; both are understood."),
        "full_weekly": Habit(is_yes, "Its maker asks for full pulls once a week and changes on the other nights."),
        "off_peak": Habit(is_yes, "Its maker asks for full pulls outside school hours only."),
        "serial_in_peak": Habit(is_yes, "In school hours its maker allows one request at a time; we never make two."),
        "wrong_year": Habit(is_yes, "It answers with another year when no calendar is set as the active one."),
        "new_ids_with_1p2": Habit(is_yes, "Its ids for people are others in 1.2 than in 1.1."),
        "relatives": Habit(is_yes, "Somebody of the role relative is no guardian by that alone."),
        "licensed": Habit(is_yes, "What a district has not licensed answers 404."),
        "page_by_setting": Habit(is_text, "How long a page may be is a setting there: {}."),
        "unasked_certificate": Habit(is_text, "Its certificate: {}."),
        "no_pull": Habit(is_text, "It is not pulled: {}."),
        "purged_unsaid": Habit(is_yes, "What was purged there is missing from its changes; only a full pull shows it."),
        "token_elsewhere": Habit(is_yes, "Its token address cannot be told from the address of its service."),
        "one_user_a_school": Habit(is_yes, "Somebody at two schools is two people in it."),
    }
)


def read(name: str, said: Mapping[str, Any]) -> Sis:
    """Return the profile that a TOML document says. Raises ProfileError."""
    same(name, set(said), _SECTIONS)
    if not is_text(said["label"]):
        raise ProfileError(f"{name}: label")
    habits = lines_of(f"{name}.habits", said["habits"], {key: habit.check for key, habit in HABITS.items()})
    service = lines_of(f"{name}.service", said["service"], _SERVICE, _NEEDED if said["service"] else None)
    if not service and "no_pull" not in habits:
        raise ProfileError(f"{name}: neither a service nor why there is none")
    return Sis(name, said["label"], _setup(f"{name}.setup", said["setup"], pulled=bool(service)), service, habits)


def _setup(where: str, said: Mapping[str, Any], *, pulled: bool) -> Mapping[str, Line]:
    lines = lines_of(where, said, _SETUP, {"asks"} if pulled else None)
    if not pulled:
        return lines
    asks = lines["asks"].value
    if not set(asks) <= set(ASKED) or len(set(asks)) < len(asks):
        raise ProfileError(f"{where}.asks: {', '.join(asks)}")
    if ("url" in asks) is ("url" in lines):
        raise ProfileError(f"{where}.url: either asked of a person or known, and not both")
    asked = {one for name in asks for one in {name, *_DERIVED.get(name, ())}}
    for name in ("url", "token_url"):
        unknown = variables(lines[name].value) - asked if name in lines else set()
        if unknown:
            raise ProfileError(f"{where}.{name} needs {', '.join(sorted(unknown))}, which nobody is asked")
    return lines
