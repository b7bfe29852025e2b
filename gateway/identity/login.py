"""Login initiation: LI-1 to LI-9, with PyLTI1p3's Flask `OIDCLogin` and our own state."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pylti1p3.contrib.flask import FlaskOIDCLogin, FlaskRequest
from pylti1p3.cookie import CookieService
from pylti1p3.registration import Registration
from pylti1p3.session import SessionService

from gateway import errors
from gateway.errors import Refused
from gateway.identity.platforms import Registrations, as_pylti
from gateway.identity.states import State, States, Storage

MAX_PARAMETER = 2048
_FRAME = re.compile(r"[A-Za-z0-9_\-]{1,64}\Z")


class Cookies(CookieService):  # type: ignore[misc]
    """PyLTI1p3's cookies: none. The one cookie of a login is set beside its answer, and read by the gate."""

    def get_cookie(self, _name: str) -> str | None:
        return None

    def set_cookie(self, _name: str, _value: str | int, exp: int | None = 3600) -> None:
        """The cookie was chosen when the state was made."""


class Stateless(SessionService):  # type: ignore[misc]
    """Nothing is kept between login and launch: the state carries it."""

    def __init__(self) -> None:
        """No storage."""

    def save_nonce(self, nonce: str) -> None:
        """The nonce is in the state."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A login under way: where the browser goes, the cookie that binds it, and what the LMS may keep for it instead
    (`storage`: frame, origin, key, value; None where the LMS offers no storage)."""

    url: str
    cookie: tuple[str, str]
    storage: Storage | None


class GatewayLogin(FlaskOIDCLogin):  # type: ignore[misc]
    """Login initiation with our checks and our state (LI-1 to LI-9)."""

    def __init__(
        self,
        parameters: Mapping[str, str],
        tool_config: Registrations,
        states: States,
        is_target: Callable[[str], bool],
    ) -> None:
        request = FlaskRequest(
            cookies={}, session={}, request_data=dict(parameters) or {"": ""}, request_is_secure=True
        )
        super().__init__(request, tool_config, session_service=Stateless(), cookie_service=Cookies())
        self._states, self._is_target, self._parameters = states, is_target, parameters
        self._state: State | None = None

    def begin(self, launch_url: str) -> Begun:
        """Check the login and make its state. Raises Refused."""
        url = str(self.get_redirect_object(launch_url).get_redirect_url())
        assert self._state is not None  # noqa: S101 - made with the address
        return Begun(url, self._states.cookie(self._state), self._states.storage(self._state, self._platform))

    def validate_oidc_login(self) -> Registration:
        said = self._parameters
        for name, reason in (
            ("iss", errors.LTI_LOGIN_ISS),
            ("login_hint", errors.LTI_LOGIN_HINT),
            ("target_link_uri", errors.LTI_LOGIN_TARGET),
        ):
            if not 0 < len(said.get(name, "")) <= MAX_PARAMETER:
                raise Refused(reason)
        if any(len(value) > 4 * MAX_PARAMETER for value in said.values()):
            raise Refused(errors.LTI_LOGIN_PARAMETER)
        if not self._is_target(said["target_link_uri"]):
            raise Refused(errors.LTI_TARGET_NOT_ALLOWED)
        if "lti_storage_target" in said and not _FRAME.match(said["lti_storage_target"]):
            raise Refused(errors.LTI_STORAGE_TARGET)
        self._platform = self._tool_config.platform(
            said["iss"], said.get("client_id") or None, said.get("lti_deployment_id") or None
        )
        return as_pylti(self._platform)

    def _get_uuid(self) -> str:
        said = self._parameters
        self._state, text = self._states.make(
            self._platform, said.get("lti_deployment_id", ""), said["target_link_uri"],
            said.get("lti_storage_target", ""),
        )  # fmt: skip
        return text

    def _generate_nonce(self) -> str:
        assert self._state is not None  # noqa: S101 - the state is made first
        return self._state.nonce

    def _prepare_redirect_url(self, launch_url: str) -> str:
        url: str = super()._prepare_redirect_url(launch_url)
        base = self._platform.auth_url
        return base + "&" + url[len(base) + 1 :] if "?" in base else url
