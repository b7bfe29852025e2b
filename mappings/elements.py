"""The register of every data element that may ever leave, and of those that never may.

Each field of each schema, inbound or outbound, names exactly one element (`metadata={"element": ...}`).
An agreement's schedule lists elements, by id or by NDPA category code; a decision permits elements; an
answer is built from permitted elements only. Category codes are those of the NDPA schedule of data
(structure and names of categories only).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any


class Sensitivity(IntEnum):
    """How much harm a leak does: 0 none (no pupil in it) to 3 severe."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Element:
    """One data element. `retention_days` is the longest we keep it after it stops being current."""

    id: str
    category: str
    label: str
    sensitivity: Sensitivity
    never_export: bool = False
    technical: bool = False
    derived_from: tuple[str, ...] = ()
    retention_days: int = 365


CATEGORIES = MappingProxyType(
    {
        "ATM": "Application technology metadata",
        "AUS": "Application use statistics",
        "ASM": "Assessment",
        "COM": "Communications",
        "DEM": "Demographics",
        "ENR": "Enrollment",
        "PGI": "Parent or guardian id",
        "SCH": "Schedule",
        "SCI": "Student contact information",
        "SID": "Student identifiers",
        "SNM": "Student name",
        "SAP": "Student in-app performance",
        "TRN": "Transcript",
        "NON": "No student data",
    }
)

_NONE, _LOW, _MEDIUM, _HIGH = Sensitivity.NONE, Sensitivity.LOW, Sensitivity.MEDIUM, Sensitivity.HIGH

_ALL = (
    Element("record.version", "NON", "when the record last changed", _NONE),
    Element("record.alias", "SID", "a random number instead of the school's id", _LOW),
    Element("record.source_id", "SID", "the id in the school's own system", _MEDIUM),
    Element("org.directory", "NON", "name and type of the school", _NONE),
    Element("session.calendar", "NON", "school years and terms", _NONE),
    Element("course.catalogue", "NON", "the course catalogue", _NONE),
    Element("class.section", "SCH", "classes: title, subject, period, room", _LOW),
    Element("person.name.given", "SNM", "first name", _MEDIUM),
    Element("person.name.family", "SNM", "last name", _MEDIUM),
    Element("person.name.middle", "SNM", "middle name", _MEDIUM),
    Element("person.name.preferred", "SNM", "preferred name", _MEDIUM),
    Element(
        "person.name.full", "SNM", "full name", _MEDIUM,
        derived_from=("person.name.given", "person.name.family"),
    ),
    Element("person.pronouns", "DEM", "pronouns", _HIGH),
    Element("person.role", "ENR", "role at the school: pupil, teacher and so on", _LOW),
    Element("person.enabled", "ENR", "whether the account is switched on", _LOW),
    Element("person.grade", "ENR", "grade level", _LOW),
    Element("person.username", "SID", "user name at the school", _MEDIUM),
    Element("person.identifier", "SID", "local student number", _MEDIUM),
    Element("person.identifiers", "SID", "other ids, such as a state id", _HIGH),
    Element("person.email", "SCI", "e-mail address", _MEDIUM),
    Element("person.phone", "SCI", "phone numbers", _HIGH),
    Element("person.guardians", "PGI", "who the parents or guardians are", _HIGH),
    Element("person.lti_subject", "SID", "the user number in the LMS", _LOW),
    Element("person.locale", "DEM", "language of the screen", _LOW),
    Element("person.password", "SID", "password", _HIGH, never_export=True),
    Element("person.national_id", "SID", "social security or national id number", _HIGH,
            never_export=True),
    Element("enrollment.membership", "ENR", "which classes the pupil is in", _LOW),
    Element("enrollment.dates", "ENR", "since when and until when", _LOW),
    Element("demographics.birth_date", "DEM", "date of birth", _HIGH),
    Element("demographics.sex", "DEM", "sex", _HIGH),
    Element("demographics.race", "DEM", "race and ethnicity", _HIGH),
    Element("demographics.birth_place", "DEM", "place of birth", _HIGH),
    Element("demographics.residence", "DEM", "residence status", _HIGH),
    Element("activity.title", "NON", "title and points of an activity", _NONE),
    Element("launch.context", "SCH", "which class and activity were opened", _LOW),
    Element("result.score", "SAP", "points in an activity", _MEDIUM),
    Element("result.level", "SAP", "mastery level in an activity", _MEDIUM),
    Element("result.progress", "SAP", "whether an activity is finished and graded", _LOW),
    Element("result.time", "SAP", "when the grade was given", _LOW),
    Element("result.comment", "COM", "a teacher's comment", _HIGH),
    Element("result.private_note", "COM", "an instructor's private note", _HIGH, never_export=True),
    Element("transcript.identity", "TRN", "name and school on the transcript", _MEDIUM),
    Element("transcript.competencies", "TRN", "competencies and levels on the transcript", _MEDIUM),
    Element("family.child", "SNM", "the child's own name and school", _MEDIUM),
    Element("family.disclosures", "NON", "what left about the child, to whom and why", _LOW),
    Element("technical.address", "ATM", "network address and browser", _HIGH, never_export=True,
            technical=True),
    Element("technical.usage", "AUS", "clicks, times and other usage", _HIGH, never_export=True,
            technical=True),
)  # fmt: skip

REGISTER = MappingProxyType({element.id: element for element in _ALL})


def element(name: str, **more: Any) -> dict[str, Any]:
    """Return the marshmallow `metadata` of a field that carries this element; unknown names fail."""
    return {"element": REGISTER[name].id, **more}


def expand(names: Iterable[str]) -> frozenset[str]:
    """Return the element ids that a schedule names, by id or category code.

    A category never unlocks what may never leave. Raises KeyError with the first unknown name, so that
    a bare "other" unlocks nothing.
    """
    found: set[str] = set()
    for name in names:
        if name in CATEGORIES:
            found |= {e.id for e in _ALL if e.category == name and not e.never_export}
        else:
            found.add(REGISTER[name].id)
    return frozenset(found)


def label(name: str) -> str:
    """Return the words a parent reads for an element."""
    return REGISTER[name].label
