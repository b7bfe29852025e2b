"""Reads what a school holds: people, classes and members as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.store import tables
from gateway.store.tenant import Session

# Whoever plans a statement once on a connection names what it answers, so that a column added since changes nothing.
_USER, _CLASS = (", ".join(f'"{column.name}"' for column in tables.ROSTER[kind].c) for kind in ("user", "class"))
_NOW = "district = %(district)s AND school = %(school)s AND until IS NULL"


def user(session: Session, sourced_id: str) -> Any | None:
    """Return a person of the session's school."""
    return session.ask(f"SELECT {_USER} FROM roster_user WHERE {_NOW} AND sourced_id = %(id)s", id=sourced_id)


def class_(session: Session, sourced_id: str) -> Any | None:
    """Return a class of the session's school."""
    return session.ask(f"SELECT {_CLASS} FROM roster_class WHERE {_NOW} AND sourced_id = %(id)s", id=sourced_id)


def role_in_class(session: Session, person_id: str, class_id: str) -> str | None:
    """Return the person's role in the class according to the roster; teacher before any other."""
    rows = session.rows(
        f'SELECT role FROM roster_enrollment WHERE {_NOW} AND "user" = %(person)s AND "class" = %(class)s',
        person=person_id, **{"class": class_id},
    )  # fmt: skip
    roles = sorted(row.role for row in rows)
    return "teacher" if "teacher" in roles else next(iter(roles), None)


def teaches(session: Session, person_id: str) -> frozenset[str]:
    """Return the classes the person teaches at the session's school."""
    rows = session.rows(
        f'SELECT DISTINCT "class" AS id FROM roster_enrollment WHERE {_NOW} AND "user" = %(person)s '
        "AND role = 'teacher'",
        person=person_id,
    )
    return frozenset(row.id for row in rows)


def members(session: Session, class_id: str) -> Sequence[Any]:
    """Return the people of a class with their role in it, by id."""
    return session.rows(
        "SELECT DISTINCT ON (u.sourced_id) u.sourced_id, u.given_name, u.family_name, u.email, u.is_pupil, e.role "
        "FROM roster_enrollment e JOIN roster_user u ON u.district = e.district AND u.school = e.school "
        'AND u.sourced_id = e."user" AND u.until IS NULL WHERE e.district = %(district)s AND e.school = %(school)s '
        'AND e.until IS NULL AND e."class" = %(class)s ORDER BY u.sourced_id, e.role DESC',
        **{"class": class_id},
    )


def pupils_of(session: Session, class_id: str) -> frozenset[str]:
    """Return the pupils of a class, teachers of it aside."""
    rows = session.rows(
        f'SELECT "user" AS id FROM roster_enrollment WHERE {_NOW} AND "class" = %(class)s GROUP BY 1 '
        "HAVING bool_and(role = 'student')",
        **{"class": class_id},
    )
    return frozenset(row.id for row in rows)


def pupils(session: Session) -> list[str]:
    """Return the ids of the school's pupils."""
    return [row.id for row in session.rows(f"SELECT sourced_id AS id FROM roster_user WHERE {_NOW} AND is_pupil")]


def pupils_by_name(session: Session) -> dict[str, set[str]]:
    """Return the ids of the school's pupils by each text they are known by: id, local number, full name."""
    found: dict[str, set[str]] = {}
    for row in session.rows(
        "SELECT sourced_id AS id, identifier, given_name || ' ' || family_name AS name FROM roster_user "
        f"WHERE {_NOW} AND is_pupil"
    ):
        for text in filter(None, (row.id, row.identifier, row.name)):
            found.setdefault(text, set()).add(row.id)
    return found


def find_pupil(session: Session, text: str) -> list[Any]:
    """Return pupils by sourcedId, local number or full name, for staff of the school."""
    return list(
        session.rows(
            f"SELECT sourced_id, given_name, family_name, identifier FROM roster_user WHERE {_NOW} AND is_pupil "
            "AND (sourced_id = %(t)s OR identifier = %(t)s OR given_name || ' ' || family_name = %(t)s) "
            "ORDER BY sourced_id LIMIT 5",
            t=text,
        )
    )


def current_version(session: Session) -> int:
    """Return the version number the session's school serves; 0 before its first roster."""
    row = session.ask(
        "SELECT max(version) AS v FROM roster_version WHERE district = %(district)s AND school = %(school)s"
    )
    return int(row.v or 0) if row else 0
