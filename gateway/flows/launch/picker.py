"""A teacher chooses what to link: an activity of the application, or what the application itself offered.

The answer to the LMS is signed once for each launch. Its data is echoed as it came, and nothing is sent that the LMS
said it does not take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
from pylti1p3.deep_link import DeepLink
from pylti1p3.registration import Registration

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.launch.hand_over import CODE_SECONDS
from gateway.flows.parts import Parts
from gateway.identity import keys
from gateway.identity.clients import Grant
from gateway.store import credentials, launches, registrations, results, roster
from gateway.store.secrets import token_hash
from gateway.store.tenant import Place, Session
from mappings import application, lti_items

ANSWER_SECONDS = 60  # the LMS gets the answer from the very page that is shown
_DATA = "https://purl.imsglobal.org/spec/lti-dl/claim/data"


@dataclass(frozen=True, slots=True)
class Picker:
    """What the page shows: the class, what can be picked, and what the application proposed, if it did."""

    class_title: str
    application: str
    multiple: bool
    takes: bool  # a link to an activity, in this place
    activities: Sequence[tuple[str, str, float]]  # the application's id, title, points
    proposed: Sequence[str]
    shown: str  # what was proposed, in a word: only that is sent
    launch_url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A signed answer on its way to the LMS, in the browser."""

    url: str
    token: str
    count: int


def open_picker(parts: Parts, key: str, cookies: Mapping[str, str]) -> Picker:
    """Return the page behind a key, to the browser of the launch. Raises Refused."""
    with parts.database.open_identity() as session:
        launch = _open(parts, session, key, cookies)
        class_ = roster.class_(session, launch.class_id)
        found = results.activities(session, launch.access_grant, launch.class_id)
        maker = launches.application(session, launch.access_grant)
    takes = "ltiResourceLink" in launch.facts["settings"]["accept_types"]
    return Picker(
        class_.title if class_ else "", maker.name if maker else "", launch.facts["settings"]["accept_multiple"], takes,
        [(a.your_id, a.title, a.points) for a in found] if takes else [],
        [item.get("title") or item.get("activity") or item["type"] for item in launch.facts.get("items", ())],
        _shown(launch), maker.launch_url if maker else "",
    )  # fmt: skip


def _shown(launch: Any) -> str:
    return hashlib.sha256(orjson.dumps(launch.facts.get("items"), option=orjson.OPT_SORT_KEYS)).hexdigest()


def pick(
    parts: Parts, key: str, deed: str, chosen: Sequence[str], shown: str, cookies: Mapping[str, str]
) -> Answer | str:
    """Do what the teacher pressed: return the signed answer, or the application's address to make one there.

    `deed` is add, cancel or application; `shown` says what was proposed when the page was shown. An answer uses up the
    key. Raises Refused.
    """
    with parts.database.open_identity() as session:
        launch = _open(parts, session, key, cookies)
        if deed == "application":
            return _to_application(parts, session, launch)
        if "proposed" in chosen and shown != _shown(launch):
            raise Refused(errors.LTI_ITEM_CHANGED)
        items = [] if deed == "cancel" else _chosen(parts, session, launch, chosen)
        if not launches.close_picker(session, launch.launch):
            raise Refused(errors.LTI_CODE)
        answer = _sign(parts, session, launch, items)
        disclosure.event(parts, session, "link", launch.launch, "recorded")
    return answer


def _open(parts: Parts, session: Session, key: str, cookies: Mapping[str, str]) -> Any:
    """Enter the school of a picker's launch and return the launch: as long as its grant stands and the teacher teaches,
    and to the browser of the launch. One that keeps no cookie is known by the key alone."""
    now = parts.clock.now()
    found = registrations.try_key(session, token_hash(key), "picker", now)
    if found is None:
        raise Refused(errors.LTI_CODE)
    session.narrow(registrations.place_of(found))
    launch = registrations.launch(session, found.ref, now)
    if launch is None or launch.class_id not in roster.teaches(session, launch.person_id):
        raise Refused(errors.LTI_CODE)
    if launch.facts["tier"] == "cookie" and not parts.states.is_teachers_browser(launch, cookies):
        raise Refused(errors.LTI_CODE)
    if launches.application(session, launch.access_grant) is None:
        raise Refused(errors.LTI_CODE)
    return launch


def _to_application(parts: Parts, session: Session, launch: Any) -> str:
    maker, code = launches.application(session, launch.access_grant), parts.ids.secret()
    if maker is None:
        raise Refused(errors.AGR_NONE, "no application is connected to this school")
    until = parts.clock.now() + timedelta(seconds=CODE_SECONDS)
    registrations.cut_key(session, token_hash(code), "launch", launch.launch, launch.access_grant, until)
    return f"{maker.launch_url}{'&' if '?' in maker.launch_url else '?'}{urlencode({'code': code})}"


def _chosen(parts: Parts, session: Session, launch: Any, chosen: Sequence[str]) -> list[dict[str, Any]]:
    """The items as the LMS reads them: the activities that were ticked, or what the application proposed."""
    settings = launch.facts["settings"]
    items = launch.facts.get("items") if "proposed" in chosen else None
    if items is None:
        for your_id in chosen:
            _activity(session, launch, your_id)
        items = [lti_items.ContentItem().load({"activity": your_id}) for your_id in dict.fromkeys(chosen)]
    else:
        items = [lti_items.ContentItem().load(item) for item in items]
    return [_made(parts, session, launch, item) for item in _accepted(items, settings)]


def _accepted(items: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    wrong = lti_items.objections(items, settings)
    if wrong:
        raise Refused(errors.LTI_ITEM_NOT_ACCEPTED, f"The LMS says that {', and that '.join(wrong)}.")
    return items


def _made(parts: Parts, session: Session, launch: Any, item: Mapping[str, Any]) -> dict[str, Any]:
    activity = None
    if item["type"] == "ltiResourceLink":
        activity = _activity(session, launch, item["activity"])
    return lti_items.content_item(item, launch.facts["settings"], parts.launch_url, activity)


def _activity(session: Session, launch: Any, your_id: str) -> dict[str, Any]:
    found = results.activity(session, launch.access_grant, your_id) if application.is_your_id(your_id) else None
    if found is None or found.class_id != launch.class_id:
        raise Refused(errors.OWN_NOT_ASSOCIATED, "there is no such activity of this class")
    return {"ref": found.activity, "title": found.title, "points": found.points}


class _Response(DeepLink):  # type: ignore[misc]
    """PyLTI1p3's answer, with a nonce that tells nothing about this machine, our clock, and data only where there was
    some (Deep Linking 2.0, section 4.5)."""

    def __init__(self, registration: Registration, launch: Any, deployment_id: str, now: int, nonce: str) -> None:
        super().__init__(registration, deployment_id, launch.facts["settings"])
        self._now, self._nonce = now, nonce

    def _generate_nonce(self) -> str:
        return self._nonce

    def answer(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        message: dict[str, Any] = self.get_message_jwt([]) | {
            "iat": self._now, "exp": self._now + ANSWER_SECONDS,
            "https://purl.imsglobal.org/spec/lti-dl/claim/content_items": list(items),
        }  # fmt: skip
        if "data" not in self._deep_link_settings:
            del message[_DATA]
        return message


def _sign(parts: Parts, session: Session, launch: Any, items: Sequence[Mapping[str, Any]]) -> Answer:
    course = registrations.course(session, launch.deployment, launch.context_id)
    platform = registrations.by_ref(session, course.registration) if course else None
    if course is None or platform is None or course.line_status != "active":
        raise Refused(errors.LTI_REGISTRATION_DISABLED)
    registration = Registration().set_client_id(platform.client_id).set_issuer(platform.issuer)
    now = int(parts.clock.now().timestamp())
    said = _Response(registration, launch, course.deployment_id, now, parts.ids.secret()).answer(items)
    kid = credentials.signing_kid(session, platform.registration, parts.clock.now())
    token = keys.sign(session, parts.vault, kid, said)
    return Answer(launch.facts["settings"]["deep_link_return_url"], token, len(items))


# --- the application's own picker ----------------------------------------------------------------------


def offer(parts: Parts, grant: Grant, launch_ref: str, items: Sequence[Mapping[str, Any]], raw: Any) -> dict[str, str]:
    """Keep what the teacher picked in the application and return the page that takes it to the LMS. Raises Refused."""
    if not grant.schools:
        raise Refused(errors.OWN_NOT_ASSOCIATED)
    now = parts.clock.now()
    with parts.database.open_schools(grant.district, grant.schools) as session:
        launch = registrations.launch(session, launch_ref, now)
        if launch is None or launch.access_grant != grant.ref or launch.facts["kind"] != "deep_linking":
            raise Refused(errors.OWN_NOT_ASSOCIATED, "there is no such live launch of a picker")
    with parts.database.open_school(Place(launch.district, launch.school)) as session:
        for item in _accepted(items, launch.facts["settings"]):
            _made(parts, session, launch, item)
        secret = parts.ids.secret()
        if not launches.propose(session, launch.launch, raw, token_hash(secret), now):
            raise Refused(errors.LTI_CODE, "the teacher has answered the LMS already")
    return {"return_url": f"{parts.settings.url}/lti/pick/{secret}"}
