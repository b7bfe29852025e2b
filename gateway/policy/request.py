"""What is asked: operation, purpose, actor, recipient, elements. And the table of operations there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from mappings.elements import REGISTER


class Operation(StrEnum):
    """Every way data can leave, and every way they come in."""

    ROSTER_IMPORT = "roster.import"
    ROSTER_READ = "roster.read"
    LAUNCH = "launch.handover"
    MEMBERS = "members.read"
    RESULT_WRITE = "result.write"
    GRADE = "grade.passback"
    TRANSCRIPT = "transcript.deliver"
    FAMILY = "family.report"


class Purpose(StrEnum):
    """The closed list. Purposes of commerce are listed so that they can be refused by name."""

    INSTRUCTION = "instruction"
    GRADING = "grading"
    ROSTERING = "rostering"
    ASSESSMENT = "assessment_delivery"
    REPORTING = "school_reporting"
    TRANSCRIPT = "transcript_delivery"
    ADMISSIONS = "admissions_review"
    SUPPORT = "support"
    ADVERTISING = "advertising"
    MARKETING = "marketing"
    SALE = "sale"
    PROFILING = "profiling"


COMMERCIAL = frozenset({Purpose.ADVERTISING, Purpose.MARKETING, Purpose.SALE})
CATEGORIES = frozenset({"application", "assessment", "lms", "sis", "gradebook", "higher_ed", "employer", "sis_vendor"})


class ActorKind(StrEnum):
    """Who acts."""

    VENDOR = "vendor"
    APPLICATION = "application"
    STAFF = "staff"
    TEACHER = "teacher"
    PUPIL = "pupil"
    FAMILY = "family"
    SYSTEM = "system"


class Obligation(StrEnum):
    """A duty that goes with a permit."""

    ALIASES = "aliases"  # records bear the vendor's own ids, not the source's
    READ_BACK = "read_back"  # a delivery whose outcome is in doubt is read back before it is tried again
    REDISCLOSURE_NOTICE = "redisclosure_notice"  # the recipient is told what it may not do with this (34 CFR 99.33(d))


@dataclass(frozen=True, slots=True)
class Actor:
    """A named person or client. `teaches` lists the classes of a teacher, by id at the acting school."""

    kind: ActorKind
    ref: str
    teaches: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Request:
    """One request, before anything is known about it. `record` narrows it to one document or class; `endpoint` is the
    host it would go to, where it is us who call or send a browser; `meets` are the duties whoever asks performs."""

    id: str
    operation: Operation
    actor: Actor
    school: str
    vendor: str
    purpose: Purpose | None
    elements: frozenset[str]
    mandatory: frozenset[str] = frozenset()
    class_id: str | None = None
    record: str | None = None
    endpoint: str | None = None
    meets: frozenset[Obligation] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """What an operation needs. `ceiling` is what its protocol can carry; `categories` who may receive; `purpose` what
    alone it serves here, whoever asks."""

    scopes: frozenset[str]
    ceiling: frozenset[str]
    categories: frozenset[str]
    purpose: Purpose | None = None
    directed: bool = True
    one_class: bool = False


_OR = "https://purl.imsglobal.org/spec/or/v1p2/scope/"
ROSTER_SCOPE = f"{_OR}roster.readonly"
ROSTER_CORE_SCOPE = f"{_OR}roster-core.readonly"
DEMOGRAPHICS_SCOPE = f"{_OR}roster-demographics.readonly"


def _elements(*prefixes: str) -> frozenset[str]:
    return frozenset(e for e in REGISTER if e.startswith(prefixes))


_ROSTER = _elements("record.", "org.", "session.", "course.", "class.", "person.", "enrollment.", "demographics.")
_NAMES = _elements("person.name.")
_ANY = CATEGORIES
_APPS = frozenset({"application", "assessment"})

RULES = MappingProxyType(
    {
        Operation.ROSTER_READ: Rule(
            frozenset({ROSTER_SCOPE, ROSTER_CORE_SCOPE, DEMOGRAPHICS_SCOPE}), _ROSTER, _ANY - {"employer"},
            Purpose.ROSTERING,
        ),
        Operation.LAUNCH: Rule(
            frozenset({"launch.read"}),
            _NAMES
            | _elements("record.", "launch.", "person.role", "person.email", "person.locale", "class."),
            _APPS, Purpose.ASSESSMENT,
        ),
        Operation.MEMBERS: Rule(
            frozenset({"members.read"}),
            _NAMES
            | _elements("record.", "person.role", "person.email", "enrollment.membership")
            | {"enrollment.group", "group.name"},
            _APPS, Purpose.ASSESSMENT,
        ),
        Operation.RESULT_WRITE: Rule(
            frozenset({"results.write"}), _elements("result.", "activity.", "record."), _APPS, Purpose.ASSESSMENT,
            directed=False,
        ),
        Operation.GRADE: Rule(
            frozenset(),
            _elements("result.score", "result.progress", "result.time", "result.comment", "activity.")
            | {"person.lti_subject"},
            frozenset({"lms", "sis", "gradebook"}), Purpose.GRADING,
            one_class=True,
        ),
        Operation.TRANSCRIPT: Rule(
            frozenset({"transcripts.read"}), _elements("transcript."), frozenset({"higher_ed", "employer"}),
            Purpose.TRANSCRIPT,
        ),
        Operation.FAMILY: Rule(
            frozenset(), _elements("family.", "record.version"), frozenset(), directed=False
        ),
        Operation.ROSTER_IMPORT: Rule(
            frozenset(), _ROSTER, frozenset({"sis", "sis_vendor"}), Purpose.ROSTERING, directed=False
        ),
    }
)  # fmt: skip
