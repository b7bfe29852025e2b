"""LTI Dynamic Registration 1.0: what an LMS says of itself, what we ask of it, and what it grants of that.

An LMS's words are read strictly: what we rely on must be there and of its type; texts that people will read hold
nothing but printable ASCII. Members that we do not use are passed by and not kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from mappings import lti_groups, lti_notices
from mappings.elements import element
from mappings.fields import carries
from mappings.lti import SCOPE_LINE_ITEM, SCOPE_MEMBERS, SCOPE_RESULT, SCOPE_SCORE
from mappings.lti_messages import DEEP_LINKING_REQUEST, RESOURCE_LINK_REQUEST, LaunchSchema
from mappings.text import Address, Id, Text

PLATFORM = "https://purl.imsglobal.org/spec/lti-platform-configuration"
TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"
NAME = "Schoolgate"
SCOPES = (SCOPE_MEMBERS, SCOPE_LINE_ITEM, SCOPE_RESULT, SCOPE_SCORE, lti_notices.SCOPE)
# Scopes asked for only where an agreement has use for what they open.
USEFUL = MappingProxyType({lti_groups.SCOPE: "enrollment.group"})
ALWAYS = ("iss", "sub")
PERSONAL = ("name", "given_name", "family_name", "email")  # asked for only where an agreement has use for them
# What a copied course or link was before (LTI Core 1.3, appendix D.2 and D.5), under the names we ask for it by.
HISTORY = MappingProxyType(
    {"context_id_history": "Context.id.history", "resource_link_id_history": "ResourceLink.id.history"}
)
_SETUP = element("launch.setup")
_LONGEST = 2048


def _word(longest: int = 255, **more: Any) -> Text:
    """Printable ASCII, which neither a page nor a terminal can take for anything else."""
    return Text(validate=[validate.Length(1, longest), validate.Regexp(r"[\x20-\x7e]*\Z")], metadata=_SETUP, **more)


def _words(longest: int = 255, **more: Any) -> fields.List[str]:
    return fields.List(_word(longest), validate=validate.Length(max=500), metadata=_SETUP, **more)


def _address(**more: Any) -> Address:
    return Address(validate=validate.Length(1, _LONGEST), metadata=_SETUP, **more)


def _deployment() -> Id:
    return Id(allow_none=True, validate=[validate.Length(1, 255), validate.Regexp(r"[\x20-\x7e]*\Z")], metadata=_SETUP)


class _Open(Schema):
    class Meta:
        unknown = EXCLUDE


# --- what the LMS says of itself (section 2.1) ------------------------------------------------------


@carries("lti_registration", "SupportedMessage")
class SupportedMessage(_Open):
    type = _word(required=True)


@carries("lti_registration", "PlatformConfiguration")
class PlatformConfiguration(_Open):
    product_family_code = _word(allow_none=True)
    messages_supported = fields.List(
        fields.Nested(SupportedMessage), required=True, validate=validate.Length(max=100), metadata=_SETUP
    )
    variables = _words()


@carries("lti_registration", "Configuration")
class Configuration(_Open):
    """The members that a registration here rests on, and those that bear on what is asked for."""

    issuer = _address(required=True)
    authorization_endpoint = _address(required=True)
    token_endpoint = _address(required=True)
    jwks_uri = _address(required=True)
    registration_endpoint = _address(required=True)
    authorization_server = _word(_LONGEST, allow_none=True)
    token_endpoint_auth_methods_supported = _words(required=True)
    token_endpoint_auth_signing_alg_values_supported = _words()
    id_token_signing_alg_values_supported = _words(required=True)
    response_types_supported = _words()
    scopes_supported = _words(required=True)
    claims_supported = _words()
    platform = fields.Nested(PlatformConfiguration, data_key=PLATFORM, required=True, metadata=_SETUP)


ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri", "registration_endpoint")


def read_configuration(said: Any) -> dict[str, Any]:
    """Return the configuration of an LMS. Raises ValueError with the members that do not fit."""
    return _read(Configuration, said)


def unsupported(configuration: Mapping[str, Any]) -> list[str]:
    """Return what we cannot do without and this LMS does not offer."""
    said = configuration
    offered = {
        "RS256": "RS256" in said["id_token_signing_alg_values_supported"],
        "RS256 of assertions": "RS256" in said.get("token_endpoint_auth_signing_alg_values_supported", ["RS256"]),
        "private_key_jwt": "private_key_jwt" in said["token_endpoint_auth_methods_supported"],
        "id_token": "id_token" in said.get("response_types_supported", ["id_token"]),
        RESOURCE_LINK_REQUEST: RESOURCE_LINK_REQUEST in _types(said["platform"]["messages_supported"]),
    }
    return [name for name, there in offered.items() if not there]


# --- what we ask for (section 2.2) ------------------------------------------------------------------


def claims_for(elements: Iterable[str]) -> list[str]:
    """Return the claims to ask for: always who speaks of whom, and of a person what these elements are."""
    wanted, carried = set(elements), LaunchSchema._declared_fields  # noqa: SLF001 - marshmallow's documented registry
    return [*ALWAYS, *(name for name in PERSONAL if _parts(carried[name].metadata["element"]) & wanted)]


def _parts(name: str) -> set[str]:
    return {name, "person.name.full"} if name.startswith("person.name.") else {name}


def request(
    url: str, domain: str, key_set: str, configuration: Mapping[str, Any], elements: Collection[str],
    habits: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:  # fmt: skip
    """Return our client registration, of this gateway at `url`, where agreements list these elements: nothing that the
    LMS says it has not, and what its make wants besides (`habits`, as `mappings.products` names them)."""
    claims = claims_for(elements)
    scopes = [*SCOPES, *(scope for scope, useful in USEFUL.items() if useful in elements)]
    platform, launch = configuration["platform"], f"{url}/lti/launch"
    offered, known = _types(platform["messages_supported"]), configuration.get("claims_supported")
    messages: list[dict[str, Any]] = [{"type": RESOURCE_LINK_REQUEST}]
    if DEEP_LINKING_REQUEST in offered:
        messages.append({"type": DEEP_LINKING_REQUEST, "target_link_uri": launch, "label": NAME})
    messages = [message | _placed(message["type"], habits) for message in messages]
    listed = {name.removeprefix("$") for name in platform.get("variables", ())}
    return {
        "application_type": "web", "response_types": ["id_token"], "grant_types": ["implicit", "client_credentials"],
        "initiate_login_uri": f"{url}/lti/login", "redirect_uris": [launch], "client_name": NAME,
        "jwks_uri": f"{url}/lti/keys/{key_set}.json", "token_endpoint_auth_method": "private_key_jwt",
        "scope": " ".join(scope for scope in scopes if scope in configuration["scopes_supported"]),
        TOOL: {
            "domain": domain, "target_link_uri": launch, "messages": messages,
            "claims": [name for name in claims if known is None or name in known or name in ALWAYS],
            "custom_parameters": {name: f"${value}" for name, value in HISTORY.items() if value in listed},
            **({habits["privacy_level"]: privacy_level(claims, elements)} if "privacy_level" in habits else {}),
        },
    }  # fmt: skip


def _placed(message: str, habits: Mapping[str, Any]) -> dict[str, Any]:
    """Where in an LMS a message is to begin, in the words of a make that wants to know; at one place off at first."""
    pairs = [one.split() for one in habits.get("placements", ())]
    places = [place for of, place in pairs if of == message]
    place, member = habits.get("off_at_first", ("", ""))
    off = {member: False} if place in places else {}
    return {"label": NAME, "placements": places, **off} if places else {}


def privacy_level(claims: Collection[str], elements: Collection[str]) -> str:
    """The least with which a SIS id comes, where agreements have use for anybody at all; it brings names with it."""
    if not elements:
        return "anonymous"
    return "public" if "email" in claims else "name_only"


# --- what it answers ---------------------------------------------------------------------------------


class _Named(fields.Dict):
    """An object, which PHP spells `[]` when it is empty."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any) -> Any:
        return super()._deserialize({} if value == [] else value, attr, data, **more)  # type: ignore[no-untyped-call]


@carries("lti_registration", "ToolMessage")
class ToolMessage(_Open):
    type = _word(required=True)
    placements = _words()


@carries("lti_registration", "ToolConfiguration")
class ToolConfiguration(_Open):
    deployment_id = _deployment()
    domain = _word(allow_none=True)
    target_link_uri = _word(_LONGEST, allow_none=True)
    claims = _words()
    messages = fields.List(fields.Nested(ToolMessage), validate=validate.Length(max=100), metadata=_SETUP)
    custom_parameters = _Named(keys=_word(), values=fields.Raw(), validate=validate.Length(max=200), metadata=_SETUP)


@carries("lti_registration", "Registration")
class Registration(_Open):
    """What the LMS made of it (RFC 7591, section 3.2.1). Its own secrets and addresses are not read."""

    client_id = _word(required=True)
    scope = Text(
        allow_none=True, validate=[validate.Length(max=8192), validate.Regexp(r"[\x20-\x7e]*\Z")], metadata=_SETUP
    )
    redirect_uris = _words(_LONGEST)
    initiate_login_uri = _word(_LONGEST, allow_none=True)
    jwks_uri = _word(_LONGEST, allow_none=True)
    token_endpoint_auth_method = _word(allow_none=True)
    deployment_id = _deployment()  # beside its place in the tool's configuration (Canvas)
    tool = fields.Nested(ToolConfiguration, data_key=TOOL, load_default=dict, metadata=_SETUP)


def read_registration(said: Any) -> dict[str, Any]:
    """Return the registration that an LMS answered with. Raises ValueError with the members that do not fit."""
    return _read(Registration, said)


def summary(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a registration, asked or granted, comes to; None for what it does not say."""
    tool = said.get(TOOL) or said.get("tool") or {}
    return {
        "scopes": said["scope"].split() if said.get("scope") is not None else None,
        "claims": tool.get("claims"),
        "messages": _types(tool["messages"]) if "messages" in tool else None,
        "placements": _places(tool["messages"]) if "messages" in tool else None,
        "custom": sorted(tool["custom_parameters"]) if "custom_parameters" in tool else None,
    }  # fmt: skip


def differences(asked: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what the LMS dropped, added, changed or left unsaid of our registration."""
    wanted, granted = summary(asked), summary(answer)
    found: dict[str, list[str]] = {"dropped": [], "added": [], "changed": [], "unsaid": []}
    for name, had in wanted.items():
        has = granted[name]
        if has is None:
            found["unsaid"] += [name] if had else []
            continue
        found["dropped"] += [f"{name}: {one}" for one in had if one not in has]
        found["added"] += [f"{name}: {one}" for one in dict.fromkeys(has) if one not in had]
    tool, theirs = asked[TOOL], answer.get("tool", {})
    pairs = [(name, asked[name], answer.get(name)) for name in _KEPT] + [
        (name, tool[name], theirs.get(name)) for name in ("target_link_uri", "domain")
    ]
    found["changed"] = [name for name, had, has in pairs if has is not None and has != had]
    return {kind: names for kind, names in found.items() if names}


_KEPT = ("redirect_uris", "initiate_login_uri", "jwks_uri", "token_endpoint_auth_method")


def deployment_id(answer: Mapping[str, Any]) -> str | None:
    """Return the deployment that the LMS made with a registration; None where it made none, or did not say."""
    return answer["tool"].get("deployment_id") or answer.get("deployment_id")


def _places(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"{message['type']} at {place}" for message in messages for place in message.get("placements", ())]


def _types(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def _read(schema: type[Schema], said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise ValueError("not an object")
    try:
        loaded: dict[str, Any] = schema().load(said)
    except ValidationError as error:
        raise ValueError(", ".join(sorted(name.rsplit("/", 1)[-1] for name in error.messages_dict))) from error
    return loaded
