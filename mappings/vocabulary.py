"""Vocabularies of roles, statuses and grades, and how one dialect's words become another's."""

from __future__ import annotations

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
ROLE_TYPES = frozenset({"primary", "secondary"})
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


def course_role(role: str) -> str | None:
    """Return our word for an LTI role that gives power in a course, else None.

    Institution and system roles never do (LTI Core appendix A.2): a teacher elsewhere is not a teacher
    here. Short names are context roles.
    """
    if role.startswith(_LIS + "membership/Instructor#TeachingAssistant"):
        return "aide"
    if role.startswith(_LIS + "membership"):
        return _CONTEXT_ROLES.get(role.replace("/", "#").rsplit("#", 1)[-1])
    return None if ":" in role or "/" in role else _CONTEXT_ROLES.get(role.rsplit("#", 1)[-1])


def course_roles(roles: list[str]) -> frozenset[str]:
    """Return our words for all course roles; a teaching assistant is not thereby a teacher."""
    words = {word for word in map(course_role, roles) if word}
    return frozenset(words - {"teacher"} if "aide" in words else words)
