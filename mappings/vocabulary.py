"""Vocabularies of roles, statuses and grades, and how one dialect's words become another's."""

from __future__ import annotations

import re
from types import MappingProxyType

# OneRoster 1.2 rostering information model, section 6; ext: words are allowed where noted.
ORG_TYPES = frozenset({"department", "school", "district", "local", "state", "national"})
SESSION_TYPES = frozenset({"gradingPeriod", "semester", "schoolYear", "term"})
CLASS_TYPES = frozenset({"homeroom", "scheduled"})
USER_ROLES_1P2 = frozenset(
    {
        "aide", "counselor", "districtAdministrator", "guardian", "parent", "principal", "proctor",
        "relative", "siteAdministrator", "student", "systemAdministrator", "teacher",
    }
)  # fmt: skip
USER_ROLES_1P1 = frozenset(
    {
        "administrator", "aide", "guardian", "parent", "proctor", "relative", "student", "teacher",
    }
)  # fmt: skip
ENROLLMENT_ROLES = frozenset({"administrator", "proctor", "student", "teacher"})
ENROLLMENT_ROLES_1P1 = frozenset(
    {"administrator", "aide", "guardian", "parent", "proctor", "relative", "student", "teacher"}
)
# Who is at a school for somebody else's sake.
RELATIVES = frozenset({"guardian", "parent", "relative"})
ROLE_TYPES = frozenset({"primary", "secondary"})
SCORE_STATUSES = frozenset({"exempt", "fully graded", "not submitted", "partially graded", "submitted"})
OBJECTIVE_SOURCES = frozenset({"case", "unknown"})
# OneRoster 1.0, CSV tables: fewer words, the two sexes with a capital (reported; see mappings/oneroster/columns.py).
ORG_TYPES_1P0 = ORG_TYPES - {"department", "district"}
USER_ROLES_1P0 = USER_ROLES_1P1 - {"proctor"}
SEXES_1P0 = frozenset({"Female", "Male"})
STATUSES = frozenset({"active", "tobedeleted"})
STATUSES_1P1 = STATUSES | {"inactive"}
SEXES = frozenset({"male", "female", "unspecified", "other"})
BOOLEANS = frozenset({"true", "false"})

# CEDS grade levels, the vocabulary of OneRoster 1.1; 1.2 leaves it to agreement and keeps it in use.
GRADES = frozenset({"IT", "PR", "PK", "TK", "KG", "13", "PS", "UG", "Other"} | {f"{n:02d}" for n in range(1, 13)})

# A 1.1 administrator acts for the organisation named on the row; 1.2 has no word without a place.
ROLE_1P1_TO_1P2 = MappingProxyType({"administrator": "siteAdministrator"})

_LIS = "http://purl.imsglobal.org/vocab/lis/v2/"
_CONTEXT_ROLES = MappingProxyType(
    {
        "Instructor": "teacher",
        "Learner": "student",
        "Administrator": "administrator",
        "Mentor": "guardian",
        "ContentDeveloper": "aide",
        "TeachingAssistant": "aide",
    }
)
TEST_USER = "http://purl.imsglobal.org/vocab/lti/system/person#TestUser"


# How platforms misspell the vocabulary: LTI 1.1's names, https for http, `/` for `#`, the part of a path left out
# (Moodle says `lis/v2/person#Administrator`), and the bare name. `person` alone gives no power in a course.
_ROOTS = MappingProxyType(
    {
        "membership": _LIS + "membership", "institution/person": _LIS + "institution/person",
        "system/person": _LIS + "system/person", "person": _LIS + "institution/person",
    }
)  # fmt: skip
_MISSPELT = re.compile(
    r"https?://purl\.imsglobal\.org/vocab/lis/v2/+(membership|institution/person|system/person|person)"
    r"((?:/[A-Za-z]+)?)[#/]([A-Za-z]+)"
)
_OF_LTI_1P1 = re.compile(r"urn:lti:(role|instrole|sysrole):ims/lis/([A-Za-z]+)(?:/([A-Za-z]+))?")
_KINDS_OF_LTI_1P1 = MappingProxyType(
    {"role": "membership", "instrole": "institution/person", "sysrole": "system/person"}
)


def role_uri(role: str) -> str:
    """Return the standard's address of an LTI role, however a platform spells it; what is unknown stays as it is."""
    role = role.strip()
    if role in _CONTEXT_ROLES:
        return f"{_LIS}membership/Instructor#{role}" if role == "TeachingAssistant" else f"{_LIS}membership#{role}"
    found = _MISSPELT.fullmatch(role)
    if found:
        return f"{_ROOTS[found[1]]}{found[2]}#{found[3]}"
    older = _OF_LTI_1P1.fullmatch(role)
    if older:
        root = _ROOTS[_KINDS_OF_LTI_1P1[older[1]]]
        return f"{root}/{older[2]}#{older[3]}" if older[3] else f"{root}#{older[2]}"
    return role


def course_role(role: str) -> str | None:
    """Return our word for an LTI role that gives power in a course, else None.

    Institution and system roles never do (LTI Core appendix A.2): a teacher elsewhere is not a teacher
    here. A sub-role has at most the power of its principal role: `Learner#Instructor` is a learner.
    """
    where, _, name = role_uri(role).partition("#")
    if where == _LIS + "membership":
        return _CONTEXT_ROLES.get(name)
    principal = where.removeprefix(_LIS + "membership/")
    if principal == "Instructor" and name.startswith("TeachingAssistant"):
        return "aide"
    return _CONTEXT_ROLES.get(principal) if principal in ("Learner", name) else None


def course_roles(roles: list[str]) -> frozenset[str]:
    """Return our words for all course roles; a teaching assistant is not thereby a teacher."""
    words = {word for word in map(course_role, roles) if word}
    return frozenset(words - {"teacher"} if "aide" in words else words)


# NRPS 2.0, section 2.2; "Deleted" is said of members in a list of differences.
MEMBER_STATUSES = MappingProxyType({word.lower(): word for word in ("Active", "Inactive", "Deleted")})


def member_status(text: str | None) -> str:
    """Return the standard's word for a member's status; nothing said means active, an unknown word stays as it is."""
    said = (text or "").strip().replace("/", "#").rsplit("#", 1)[-1]
    return MEMBER_STATUSES.get(said.lower(), said) if said else "Active"
