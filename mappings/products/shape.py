"""The closed shape of an LMS's profile: which lines there may be, and what each must say about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
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
    known,
    line_of,
    lines_of,
    put,
    same,
    variables,
)  # fmt: skip

_SECTIONS = frozenset({"label", "grades", "setup", "paste", "launch", "services"})
_OPTIONAL = frozenset({"registration"})

# What may be asked of a person, and the option that takes it.
ASKED = MappingProxyType(
    {
        "site": "--site", "client_id": "--client-id", "deployment_id": "--deployment-id",
        "registration_id": "--registration-id", "issuer": "--issuer", "auth_url": "--auth-url",
        "token_url": "--token-url", "jwks_url": "--jwks-url",
    }
)  # fmt: skip
ADDRESSES = ("issuer", "auth_url", "token_url", "jwks_url")
# What of ours is typed into an LMS.
OURS = ("name", "domain", "login_url", "redirect_uri", "target_link_uri", "jwks_url")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a paste sheet: a field of the LMS's form, and what goes into it or comes from it."""

    label: str
    kind: str  # ours: one of OURS · choose: a setting as the form calls it · bring: one of ASKED
    value: str
    evidence: str
    source: str


@dataclass(frozen=True, slots=True)
class Setup:
    """What a registration is made of: what a person types (`asks`), and the rest by template."""

    asks: Line
    values: Mapping[str, Line]
    hosts: Line

    def fill(self, known: Mapping[str, str]) -> dict[str, Any]:
        """Return the rest of a registration, templates filled from `known`; what cannot be filled yet keeps its
        braces. A value is put in once: braces inside it are not read again."""
        filled: dict[str, Any] = {name: put(line.value, known) for name, line in self.values.items()}
        return filled | {"hosts": tuple(put(host, known) for host in self.hosts.value)}


@dataclass(frozen=True, slots=True)
class Paste:
    """Both halves of the paste sheet: what is typed where in the LMS, and what it shows in return."""

    type_at: Line
    types: tuple[Entry, ...]
    look_at: Line
    brings: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """What is known of one make."""

    name: str
    label: str
    grades: Mapping[str, Line]
    setup: Setup
    paste: Paste
    launch: Mapping[str, Line]
    services: Mapping[str, Line]
    registration: Mapping[str, Line]

    @property
    def domains(self) -> frozenset[str]:
        """The domains it lives on where they are not its issuer's own; none where nobody wrote them down."""
        return frozenset(self.services["domains"].value if "domains" in self.services else ())

    @property
    def resolution(self) -> timedelta:
        return timedelta(milliseconds=self.grades["resolution_ms"].value)

    @property
    def stale(self) -> frozenset[int]:
        return frozenset(self.grades["stale"].value)

    @property
    def throttle(self) -> frozenset[int]:
        return frozenset(self.grades["throttle"].value)

    @property
    def not_gradable(self) -> frozenset[int]:
        return frozenset(self.grades["not_gradable"].value)


# --- what may stand in a line ----------------------------------------------------------------------


def _statuses(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_number(one) and 400 <= one <= 599 for one in value)


def _address(value: Any) -> bool:
    return is_text(value) and value.startswith(("https://", "{site}"))


def _hosts(value: Any) -> bool:
    return isinstance(value, list) and all(is_text(one) and "/" not in one for one in value)


def _asks(value: Any) -> bool:
    return is_words(value) and set(value) <= set(ASKED) and len(set(value)) == len(value)


def _placements(value: Any) -> bool:
    return is_words(value) and all(len(one.split()) == 2 for one in value)


def _pair(value: Any) -> bool:
    return is_words(value) and len(value) == 2


def _method(value: Any) -> bool:
    return value in ("GET", "POST")


_GRADES: Mapping[str, Check] = {
    "resolution_ms": is_number, "stale": _statuses, "throttle": _statuses, "not_gradable": _statuses,
}  # fmt: skip
_SETUP: Mapping[str, Check] = {
    "asks": _asks, "hosts": _hosts, **dict.fromkeys(ADDRESSES, _address), "token_audience": _address,
    "deployment_id": is_text,
}  # fmt: skip


LAUNCH: Mapping[str, Habit] = MappingProxyType(
    {
        "token_seconds": Habit(is_number, "A launch token lives {} seconds."),
        "login_method": Habit(_method, "The browser is sent to our login URL by {}."),
        "storage_frame": Habit(is_text, "Browsers without cookies: platform storage in the frame {}."),
        "no_storage": Habit(is_yes, "Browsers without cookies: no platform storage, so open the tool in a new window."),
        "shared_issuer": Habit(is_yes, "All customers share one issuer; client id and deployment id tell them apart."),
        "shared_client": Habit(is_yes, "One client id serves every institution; the deployment id tells them apart."),
        "client_per_link": Habit(is_yes, "Each placement in a course has a client id of its own."),
        "subject_form": Habit(is_text, "User ids look like {}."),
        "institution_roles": Habit(is_yes, "Roles held at the institution are listed beside those in the course."),
        "not_before": Habit(is_yes, "Launch tokens say from when they are valid (nbf)."),
        "unresolved": Habit(is_words, "Custom variables that may arrive unresolved: {}."),
        "no_link_at": Habit(is_words, "Placements that launch without a resource link, and are refused: {}."),
        "privacy_may_blank": Habit(is_yes, "Names and addresses may be left out when a privacy setting says so."),
        "no_sis_id": Habit(is_yes, "No SIS id is sent with a launch, so nobody can be recognised by it."),
        "linked_login_differs": Habit(
            is_yes, "What was deep-linked is launched at another address than its login names, and so is refused."
        ),
        "single_launch_slot": Habit(is_yes, "Older versions mix up two launches begun at once in one browser."),
    }
)
SERVICES: Mapping[str, Habit] = MappingProxyType(
    {
        "domains": Habit(is_words, "Its addresses are on these domains: {}."),
        "token_type": Habit(is_text, "The token endpoint calls the token type {}."),
        "readonly_scope_apart": Habit(is_yes, "The scope lineitem.readonly is not implied by lineitem."),
        "query_in_addresses": Habit(is_yes, "Addresses of the gradebook carry a query string, which must stay."),
        "no_results_limit": Habit(is_yes, "Results must be read without a limit."),
        "broken_links": Habit(is_yes, "The link to the next page of columns has curly quotes."),
        "page_size": Habit(is_number, "Lists come in pages of {} unless asked otherwise."),
        "largest_page": Habit(is_number, "A page has at most {} members."),
        "endless_pages_above": Habit(is_number, "The member list never ends above {} members."),
        "short_roles": Habit(is_yes, "Roles in the member list are short words, not addresses."),
        "empty_means_absent": Habit(is_words, "Sent empty where there is nothing: {}."),
        "own_columns_only": Habit(is_yes, "Only columns that this registration made are shown."),
        "fixed_column": Habit(is_number, "The column of a placed link cannot be deleted: {}."),
        "no_link_on_column": Habit(is_yes, "A column can be tied to a link only by choosing content in the LMS."),
        "new_submission": Habit(is_yes, "A score makes a new submission unless it says otherwise."),
        "equal_time_refused": Habit(is_yes, "A score must be later than the last one: the same time is refused."),
        "score_created": Habit(is_number, "An accepted score is answered {}."),
        "staff_not_gradable": Habit(is_yes, "Instructors and administrators cannot receive grades."),
        "clamped": Habit(is_yes, "A score above the maximum is cut to it unless the column may exceed."),
        "comment_lost_by_user_filter": Habit(is_yes, "Results asked for by user come without their comment."),
        "throttled_per_registration": Habit(is_yes, "Calls are counted per registration."),
        "gradebook_by_link": Habit(
            is_yes, "Scores of our column are kept; its own gradebook shows only those of a column that names the link."
        ),
        "unpaged_before": Habit(is_text, "Member lists have no pages before version {}."),
        "blocked_ports": Habit(is_yes, "Our key set must be at port 80 or 443 of a public host."),
    }
)


# What it wants or says otherwise than others where it registers itself.
REGISTRATION: Mapping[str, Habit] = MappingProxyType(
    {
        "placements": Habit(_placements, "A tool shows where it asks to; ours, each message with its place: {}."),
        "off_at_first": Habit(_pair, "Until a teacher puts it there a tool is not shown at a place: {}."),
        "privacy_level": Habit(is_text, "How much of a person it sends is a member of its own: {}."),
        "no_audience": Habit(is_yes, "Its authorization server is named by host; the audience is its token URL."),
    }
)  # fmt: skip


# --- reading ---------------------------------------------------------------------------------------


def read(name: str, said: Mapping[str, Any]) -> Product:
    """Return the profile that a TOML document says. Raises ProfileError."""
    same(name, set(said) - _OPTIONAL, _SECTIONS)
    if not is_text(said["label"]):
        raise ProfileError(f"{name}: label")
    return Product(
        name, said["label"], lines_of(f"{name}.grades", said["grades"], _GRADES, set(_GRADES)),
        _setup(f"{name}.setup", said["setup"]), _paste(f"{name}.paste", said["paste"], said["setup"]),
        lines_of(f"{name}.launch", said["launch"], {key: habit.check for key, habit in LAUNCH.items()}),
        lines_of(f"{name}.services", said["services"], {key: habit.check for key, habit in SERVICES.items()}),
        lines_of(
            f"{name}.registration", said.get("registration", {}),
            {key: habit.check for key, habit in REGISTRATION.items()},
        ),
    )  # fmt: skip


def _setup(where: str, said: Mapping[str, Any]) -> Setup:
    lines = dict(lines_of(where, said, _SETUP, {"asks", "hosts"}))
    asks, hosts = lines.pop("asks"), lines.pop("hosts")
    for name in (*ADDRESSES, "deployment_id"):
        if (name in asks.value) is (name in lines):
            raise ProfileError(f"{where}.{name}: either asked of a person or known, and not both")
    if "client_id" not in asks.value:
        raise ProfileError(f"{where}.asks: the client id is always the LMS's to give")
    asked = {*asks.value, *(["host"] if "site" in asks.value else [])}
    for template in (*(line.value for line in lines.values()), *hosts.value):
        unknown = variables(template) - asked
        if unknown:
            raise ProfileError(f"{where}: {template} needs {', '.join(sorted(unknown))}, which nobody is asked")
    return Setup(asks, MappingProxyType(lines), hosts)


def _paste(where: str, said: Mapping[str, Any], setup: Mapping[str, Any]) -> Paste:
    same(where, set(said), {"type_at", "type", "look_at", "bring"})
    types = tuple(_entry(f"{where}.type", one, ("ours", "choose")) for one in said["type"])
    brings = tuple(_entry(f"{where}.bring", one, ("bring",)) for one in said["bring"])
    typed = {one.value for one in types if one.kind == "ours"}
    if not {"login_url", "redirect_uri", "jwks_url"} <= typed <= set(OURS):
        raise ProfileError(f"{where}.type: an LMS is told our login, redirect and key set addresses")
    same(f"{where}.bring", {one.value for one in brings}, set(setup["asks"]["value"]))
    return Paste(
        line_of(f"{where}.type_at", said["type_at"], is_text), types,
        line_of(f"{where}.look_at", said["look_at"], is_text), brings,
    )  # fmt: skip


def _entry(where: str, said: Mapping[str, Any], kinds: tuple[str, ...]) -> Entry:
    kind = next((one for one in kinds if one in said), "")
    same(where, set(said), {"label", kind, "evidence", "source"})
    if not (is_text(said["label"]) and is_text(said[kind])):
        raise ProfileError(f"{where}: an empty row")
    return Entry(said["label"], kind, said[kind], known(f"{where}.{said['label']}", said), said["source"])
