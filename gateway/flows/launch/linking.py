"""A course that launched and is not linked: its own teacher, known to the roster, may link it to a class of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.launch.hand_over import sis_id
from gateway.flows.parts import Parts
from gateway.identity.launch import Admitted
from gateway.policy.request import ActorKind
from gateway.store import launches, registrations, roster
from gateway.store.tenant import Place, Session
from mappings import lti, vocabulary

MINUTES = 10
BY_TEACHER = "teacher"


@dataclass(frozen=True, slots=True)
class Choice:
    """One class that the course may be: its title and school, whether the LMS names it, whether a course that this one
    was copied from is linked to it (which may be last year's), and the signed word for it."""

    title: str
    school: str
    suggested: bool
    copied: bool
    word: str


@dataclass(frozen=True, slots=True)
class Unlinked:
    """The page "link this course": which course, and the teacher's own classes."""

    course: str
    choices: tuple[Choice, ...]


def offer(parts: Parts, admitted: Admitted, found: Any) -> Unlinked | None:
    """Return the teacher's own classes to choose from; None for who is no teacher of any, whatever the LMS says."""
    message = admitted.message
    person = sis_id(message)
    if person is None or "teacher" not in vocabulary.course_roles(message["roles"]):
        return None
    if vocabulary.TEST_USER in message["roles"]:
        return None
    seen = list(_schools(parts, admitted, found, person))
    if len({source for source, _ in seen}) > 1:
        return None  # one id in two sources is two people: somebody who sees both must link
    choices = (choice for _, here in seen for choice in here)
    course = message["context"].get("title") or message["context"].get("label") or "this course"
    ordered = tuple(sorted(choices, key=lambda c: (not c.suggested, not c.copied, c.title)))
    return Unlinked(course, ordered) if ordered else None


def _schools(
    parts: Parts, admitted: Admitted, found: Any, person: str
) -> Iterator[tuple[str | None, Sequence[Choice]]]:  # fmt: skip
    """Go through the deployment's schools whose roster has somebody of this id: source and choices."""
    message, context = admitted.message, admitted.message["context"]["id"]
    with parts.database.open_identity() as session:
        origins = registrations.copied_from(session, admitted.platform.ref, message["deployment_id"], context)
    section = lti.said(message.get("lis", {}).get("course_section_sourcedid"))
    for school in found.schools or ():
        said = [found.deployment, context, found.district, school]
        with parts.database.open_school(Place(found.district, school)) as session:
            if roster.user(session, person) is not None:
                before = {row.class_id for row in registrations.classes_of(session, admitted.platform.ref, origins)}
                yield launches.source_of(session), list(_choices(parts, session, said, person, section, before))


def _choices(
    parts: Parts, session: Session, said: Sequence[Any], person: str, section: str | None, before: Set[str]
) -> Iterator[Choice]:  # fmt: skip
    """Go through the classes of the session's school that the person teaches by the roster."""
    name = launches.school_name(session)
    for class_id in sorted(roster.teaches(session, person)):
        class_ = roster.class_(session, class_id)
        if class_ is not None:
            word = parts.states.seal("link", [*said, class_id, person])
            yield Choice(class_.title or class_id, name, class_id == section, class_id in before, word)


def link(parts: Parts, word: str) -> str:
    """Link a course as its teacher chose, and return the class's title. Raises Refused; all is looked up again."""
    said = parts.states.unseal("link", word, MINUTES * 60)
    if said is None:
        raise Refused(errors.LTI_STATE)
    deployment, context_id, district, school, class_id, person = said
    with parts.database.open_identity() as session:
        if not launches.may_link(session, deployment, context_id, district, school):
            raise Refused(errors.LTI_CONTEXT_LINKED)
    with parts.database.open_school(Place(district, school)) as session:
        class_ = roster.class_(session, class_id)
        if class_ is None or class_id not in roster.teaches(session, person):
            raise Refused(errors.LTI_PERSON)
        if not registrations.link_new(session, deployment, context_id, class_id, parts.clock.now(), BY_TEACHER):
            raise Refused(errors.LTI_CONTEXT_LINKED)
        teacher = {"kind": str(ActorKind.TEACHER), "ref": disclosure.actor_ref(ActorKind.TEACHER, None)}
        disclosure.event(parts, session, "link", deployment, "recorded", actor=teacher)
    with parts.database.open_identity() as session:
        registrations.no_longer_waits(session, deployment, context_id)
    return str(class_.title or class_id)
