"""How makes of LMS differ from the book when the sandbox plays them: one file each, only what differs.

Written apart from what the gateway believes of them (`mappings/products`), so that one mistake is not in both.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Profile:
    """The behaviour of one make."""

    name: str
    family: str = ""  # what it calls itself in launches; its name when empty

    # Where it is and who the tool is to it. Paths are below the URL it is served at.
    issuer: str = ""  # empty: the URL it is served at
    auth: str = "/auth"
    token: str = "/token"
    jwks: str = "/jwks"
    client_id: str = "schoolgate-at-plain"
    deployment_id: str = "deployment-1"
    registration_id: str = ""

    # Launches.
    login_by_form: bool = False
    login_extras: dict[str, str] = field(default_factory=dict)
    hint_is_json: bool = False
    token_seconds: int = 3600
    not_before: bool = False
    subject_prefix: str = ""
    sis_ids: bool = True
    institution_roles: bool = False
    integers_in_custom: bool = False
    claims: dict[str, Any] = field(default_factory=dict)  # sent beside the others

    # Service tokens.
    token_audience: str = ""  # empty: the token URL
    bearer_seconds: float = 600
    token_type: str = "Bearer"
    claim_missing: int = 401  # the answer to an assertion that lacks a claim

    # Members.
    short_roles: bool = False
    page_size: int = 10
    largest_page: int = 0  # 0: as large as asked
    endless_above: int = 0  # a longer list always has a next page
    differences: bool = False
    groups: bool = False  # whether it lists the groups of a course

    # The gradebook.
    items: str = "lineitems"
    query: str = ""  # of each of its addresses
    curly_links: bool = False
    results_limit_fails: bool = False
    link_by_post: bool = True  # whether a tool may tie a column to a link
    coupled_delete: int = 204
    own_clock: bool = False  # the stamp on record is the time of arrival, in whole seconds
    equal_is_stale: bool = False
    stale: tuple[int, str] = (409, "The result on record has a later timestamp.")
    not_gradable: tuple[int, str] = (422, "This member cannot be graded.")
    not_a_member: tuple[int, str] = (404, "User not found in this course.")
    no_maximum: int = 400
    maximum_always: bool = False
    score_status: int = 200

    # Notices: of which kinds, how often each is sent, and how often it is tried where the tool does not take it. That
    # Canvas tries once is documented; of others nothing is known to us.
    notices: list[str] = field(default_factory=list)
    notice_copies: int = 1
    notice_tries: int = 1

    # Where tools register themselves: what it wants of them, and what it sends of people to one that did.
    configuration: str = "/.well-known/openid-configuration"
    configuration_token: bool = False  # whether the configuration is shown to a registration token only
    authorization_server: str = ""
    register_at: str = "/register"
    judges: bool = (
        False  # whether every member is looked at, and what is wrong listed with 422; the token is good again
    )
    placements: dict[str, list[str]] = field(default_factory=dict)  # by message
    place_unsaid: str = ""
    privacy_member: str = ""
    deployment_beside: bool = False

    # How many calls of its services in how many seconds; 0: as many as you like.
    throttle_calls: int = 0
    throttle_seconds: float = 10
    throttle: tuple[int, str] = (429, "Too Many Requests")
    tells_what_is_left: bool = False


_PAIRS = ("stale", "not_gradable", "not_a_member", "throttle")


def behaviour(said: dict[str, Any]) -> dict[str, Any]:
    """Return what a file or a test says, as fields of a profile. Raises KeyError for a habit there is none of."""
    known = {one.name for one in fields(Profile)}
    if not set(said) <= known:
        raise KeyError(f"no such habit: {', '.join(sorted(set(said) - known))}")
    return {key: (int(value[0]), str(value[1])) if key in _PAIRS else value for key, value in said.items()}


def _read(path: Path) -> Profile:
    return Profile(path.stem, **behaviour(tomllib.loads(path.read_text(encoding="utf-8"))))


PROFILES = {path.stem: _read(path) for path in sorted(_FOLDER.glob("*.toml"))}
