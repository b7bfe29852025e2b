"""The register of every data element that may ever leave, and of those that never may.

Each field of each schema, inbound or outbound, names exactly one element (`metadata={"element": ...}`), the one
that `mappings/fields` says for its place. An agreement's schedule lists elements, by id or by NDPA category code; a
decision permits elements; an answer is built from permitted elements only. Category codes are those of the NDPA
schedule of data (structure and names of categories only); one that no element has is listed too, because agreements
name it: it unlocks nothing.

Ids stand in agreements, decisions and ledgers: one is never renamed or given another meaning.
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
    """One data element. `retention_days` is the longest we keep it after it stops being current.

    A derived one leaves only where everything it is derived from may.
    """

    id: str
    category: str
    label: str
    sensitivity: Sensitivity
    retention_days: int
    never_export: bool = False
    technical: bool = False
    derived_from: tuple[str, ...] = ()


OTHER = "OTH"  # a schedule names each of these elements by itself; the bare category unlocks nothing

CATEGORIES = MappingProxyType(
    {
        "ATM": "Application technology metadata",
        "AUS": "Application use statistics",
        "ASM": "Assessment",
        "ATT": "Attendance",
        "COM": "Communications",
        "CON": "Conduct",
        "DEM": "Demographics",
        "ENR": "Enrollment",
        "PGC": "Parent or guardian contact information",
        "PGI": "Parent or guardian id",
        "PGN": "Parent or guardian name",
        "SCH": "Schedule",
        "SPI": "Special indicator",
        "SCI": "Student contact information",
        "SID": "Student identifiers",
        "SNM": "Student name",
        "SAP": "Student in-app performance",
        "SPM": "Student program membership",
        "SSR": "Student survey responses",
        "SWK": "Student work",
        "TRN": "Transcript",
        "TRP": "Transportation",
        OTHER: "Other, each listed by name",
        "NON": "No student data",
    }
)

_NONE, _LOW, _MEDIUM, _HIGH = Sensitivity.NONE, Sensitivity.LOW, Sensitivity.MEDIUM, Sensitivity.HIGH

# Days after it stops being current. No pupil in it; a pupil's record; a delicate one; what serves one visit; what is
# read past and not kept.
_PLAIN, _RECORD, _DELICATE, _VISIT, _UNKEPT = 1826, 365, 180, 30, 1

_ALL = (
    Element("record.version", "NON", "when the record last changed", _NONE, _PLAIN),
    Element("record.frame", "NON", "how an answer is laid out: lists, links and messages", _NONE, _VISIT),
    Element("record.alias", "SID", "a random number instead of the school's id", _LOW, _RECORD),
    Element("record.source_id", "SID", "the id in the school's own system", _MEDIUM, _RECORD),
    Element("record.extension", OTHER, "extra fields of the school's own system", _HIGH, _UNKEPT, never_export=True),
    Element("org.directory", "NON", "name and type of the school", _NONE, _PLAIN),
    Element("session.calendar", "NON", "school years and terms", _NONE, _PLAIN),
    Element("course.catalogue", "NON", "the course catalogue", _NONE, _PLAIN),
    Element("resource.catalogue", "NON", "learning materials and the courses that use them", _NONE, _PLAIN),
    Element("class.section", "SCH", "classes: title, subject, period, room", _LOW, _RECORD),
    Element("class.resources", "SCH", "learning materials of a class", _LOW, _RECORD),
    Element("person.name.given", "SNM", "first name", _MEDIUM, _RECORD),
    Element("person.name.family", "SNM", "last name", _MEDIUM, _RECORD),
    Element("person.name.middle", "SNM", "middle name", _MEDIUM, _RECORD),
    Element("person.name.preferred", "SNM", "preferred name", _MEDIUM, _RECORD),
    Element(
        "person.name.full", "SNM", "full name", _MEDIUM, _RECORD,
        derived_from=("person.name.given", "person.name.family"),
    ),
    Element("person.pronouns", "DEM", "pronouns", _HIGH, _DELICATE),
    Element("person.role", "ENR", "role at the school: pupil, teacher and so on", _LOW, _RECORD),
    Element("person.enabled", "ENR", "whether the account is switched on", _LOW, _RECORD),
    Element("person.grade", "ENR", "grade level", _LOW, _RECORD),
    Element("person.resources", "ENR", "learning materials given to the pupil", _LOW, _RECORD),
    Element("person.username", "SID", "user name at the school", _MEDIUM, _RECORD),
    Element("person.accounts", "SID", "user names and accounts in other systems", _HIGH, _DELICATE),
    Element("person.identifier", "SID", "local student number", _MEDIUM, _RECORD),
    Element("person.identifiers", "SID", "other ids, such as a state id", _HIGH, _DELICATE),
    Element("person.email", "SCI", "e-mail address", _MEDIUM, _RECORD),
    Element("person.phone", "SCI", "phone numbers", _HIGH, _DELICATE),
    Element("person.address", "SCI", "home address", _HIGH, _DELICATE),
    Element("person.webpage", OTHER, "personal web pages", _HIGH, _DELICATE),
    Element("person.picture", OTHER, "photo of the person", _HIGH, _DELICATE),
    Element("person.guardians", "PGI", "who the parents or guardians are", _HIGH, _DELICATE),
    Element("person.lti_subject", "SID", "the user number in the LMS", _LOW, _RECORD),
    Element("person.locale", "DEM", "language of the screen", _LOW, _RECORD),
    Element("person.zone", "DEM", "time zone", _LOW, _RECORD),
    Element("person.password", "SID", "password", _HIGH, _UNKEPT, never_export=True),
    Element("person.national_id", "SID", "social security or national id number", _HIGH, _UNKEPT,
            never_export=True),
    Element("enrollment.membership", "ENR", "which classes the pupil is in", _LOW, _RECORD),
    Element("enrollment.group", "ENR", "which groups of a class the pupil is in", _LOW, _RECORD),
    Element("group.name", OTHER, "names of groups within a class, in the teacher's words", _MEDIUM, _UNKEPT),
    Element("enrollment.dates", "ENR", "since when and until when", _LOW, _RECORD),
    Element("demographics.birth_date", "DEM", "date of birth", _HIGH, _DELICATE),
    Element("demographics.sex", "DEM", "sex", _HIGH, _DELICATE),
    Element("demographics.race", "DEM", "race and ethnicity", _HIGH, _DELICATE),
    Element("demographics.birth_place", "DEM", "place of birth", _HIGH, _DELICATE),
    Element("demographics.residence", "DEM", "residence status", _HIGH, _DELICATE),
    Element("activity.title", "NON", "title and points of an activity", _NONE, _PLAIN),
    Element("activity.dates", "NON", "when an activity opens and is due", _NONE, _PLAIN),
    Element("activity.column", "NON", "which column of the gradebook an activity is", _NONE, _PLAIN),
    Element("activity.objectives", "NON", "learning objectives of an activity", _NONE, _PLAIN),
    Element("activity.description", OTHER, "description of an activity, in the teacher's words", _LOW, _RECORD),
    Element("gradebook.category", "NON", "kinds of graded work and how much each counts", _NONE, _PLAIN),
    Element("gradebook.scale", "NON", "grading scales", _NONE, _PLAIN),
    Element("launch.context", "SCH", "which class and activity were opened", _LOW, _VISIT),
    Element("launch.proof", "NON", "marks that show that an opening is genuine", _NONE, _VISIT),
    Element("launch.setup", "NON", "how an LMS and this gateway are introduced to each other", _NONE, _PLAIN),
    Element("launch.custom", OTHER, "settings that the LMS hands over with an activity", _MEDIUM, _VISIT),
    Element("result.score", "SAP", "points in an activity", _MEDIUM, _RECORD),
    Element("result.level", "SAP", "mastery level in an activity", _MEDIUM, _RECORD),
    Element("result.objectives", "SAP", "points and levels for each learning objective", _MEDIUM, _RECORD),
    Element("result.activity", "SAP", "which activity a result is for", _LOW, _RECORD),
    Element("result.progress", "SAP", "whether an activity is finished and graded", _LOW, _RECORD),
    Element("result.standing", "SAP", "whether work is late or missing", _MEDIUM, _RECORD),
    Element("result.submission", "SAP", "when work was begun and handed in", _MEDIUM, _RECORD),
    Element("result.time", "SAP", "when the grade was given", _LOW, _RECORD),
    Element("result.grader", "SAP", "who gave the grade", _LOW, _RECORD),
    Element("result.comment", "COM", "a teacher's comment", _HIGH, _DELICATE),
    Element("result.private_note", "COM", "an instructor's private note", _HIGH, _UNKEPT, never_export=True),
    Element("assessment.title", "NON", "titles and points of tests", _NONE, _PLAIN),
    Element("assessment.description", OTHER, "description of a test", _LOW, _RECORD),
    Element("assessment.score", "ASM", "test scores", _HIGH, _RECORD),
    Element("assessment.percentile", "ASM", "how a test score compares with others", _HIGH, _RECORD,
            derived_from=("assessment.score",)),
    Element("assessment.progress", "ASM", "which test was taken, when, and whether late or unfinished", _MEDIUM,
            _RECORD),
    Element("assessment.comment", "ASM", "a comment on a test", _HIGH, _DELICATE),
    Element("transcript.identity", "TRN", "name and school on the transcript", _MEDIUM, _RECORD),
    Element("transcript.competencies", "TRN", "competencies and levels on the transcript", _MEDIUM, _RECORD),
    Element("family.child", "SNM", "the child's own name and school", _MEDIUM, _RECORD),
    Element("paper.answer", "OTH", "what a family agreed to, refused or opted out of", _MEDIUM, _RECORD),
    Element("paper.terms", "NON", "what an agreement, a direction or a privacy policy says", _NONE, _RECORD),
    Element("family.disclosures", "NON", "what left about the child, to whom and why", _LOW, _PLAIN),
    Element("technical.address", "ATM", "network address and browser", _HIGH, _VISIT, never_export=True,
            technical=True),
    Element("technical.usage", "AUS", "clicks, times and other usage", _HIGH, _VISIT, never_export=True,
            technical=True),
)  # fmt: skip

REGISTER = MappingProxyType({element.id: element for element in _ALL})


def element(name: str, **more: Any) -> dict[str, Any]:
    """Return the marshmallow `metadata` of a field that carries this element; unknown names fail."""
    return {"element": REGISTER[name].id, **more}


def expand(names: Iterable[str]) -> frozenset[str]:
    """Return the element ids that a schedule names, by id or category code.

    A category never unlocks what may never leave. Raises KeyError with the first unknown name; a bare "other" is one.
    """
    found: set[str] = set()
    for name in names:
        if name in CATEGORIES and name != OTHER:
            found |= {e.id for e in _ALL if e.category == name and not e.never_export}
        else:
            found.add(REGISTER[name].id)
    return frozenset(found)


def label(name: str) -> str:
    """Return the words a parent reads for an element."""
    return REGISTER[name].label
