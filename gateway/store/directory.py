"""Districts, schools, people, vendors and LMS registrations: what onboarding writes and lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway.store import tables
from gateway.store.tenant import Place, Session

_D = "district = %(district)s"


def add_district(session: Session, ref: str, name: str, policy: str, zone: str, now: datetime, by: str) -> None:
    session.insert(tables.district, ref=ref, name=name, zone=zone, created_at=now, created_by=by)
    session.insert(tables.source_policy, version=1, policy=policy, recorded_at=now, recorded_by=by)


def is_new(session: Session) -> bool:
    """Whether no district was ever made in this database; for a session that sees all of them."""
    return not session.rows("SELECT 1 FROM district LIMIT 1")


def district(session: Session) -> Any | None:
    return session.row(f"SELECT * FROM district WHERE {_D}")


def district_ref(session: Session) -> str:
    """Return the reference of the session's district."""
    (row,) = session.rows(f"SELECT ref FROM district WHERE {_D}")
    return str(row.ref)


def set_zone(session: Session, zone: str) -> None:
    session.run(f"UPDATE district SET zone = %(zone)s WHERE {_D}", zone=zone)


def one_at_a_time(session: Session) -> None:
    """Until this transaction ends nobody else adds a school, source or vendor here: names that are looked at stay free."""
    session.row("SELECT pg_advisory_xact_lock(%(district)s, 0)")


def add_school(
    session: Session, ref: str, name: str, source: str | None, org_id: str | None, now: datetime, by: str
) -> Place | None:
    """Write a school; return its place, or None when the source's org has a school already."""
    number = session.rows("SELECT nextval('school_number') AS n")[0].n
    made = session.insert(
        tables.school, ignore=True, school=number, ref=ref, name=name, source=source, org_id=org_id, created_at=now,
        created_by=by,
    )  # fmt: skip
    return Place(session.district, number) if made else None


def schools(session: Session) -> Sequence[Any]:
    return session.rows(
        f"SELECT s.*, x.name AS source_name FROM school s LEFT JOIN source x ON x.district = s.district "
        f"AND x.source = s.source WHERE s.{_D} ORDER BY s.school"
    )


def places(session: Session) -> dict[int, list[int]]:
    """Return the numbers of all schools by district, for a session that finds out who is calling."""
    found: dict[int, list[int]] = {}
    for row in session.rows("SELECT district, school FROM school ORDER BY district, school"):
        found.setdefault(row.district, []).append(row.school)
    return found


def find_schools(session: Session, text: str) -> Sequence[Any]:
    """Return the school of the district with this reference, else those of exactly this name."""
    rows = session.rows(f"SELECT * FROM school WHERE {_D} AND (ref = %(t)s OR name = %(t)s) ORDER BY school", t=text)
    return [row for row in rows if row.ref == text] or rows


def add_staff(
    session: Session, ref: str, name: str, token_hash: bytes, now: datetime, by: str, valid: timedelta
) -> None:
    """Write a person and the hash of their personal token."""
    session.insert(tables.staff, staff=ref, name=name, status="active", created_at=now, created_by=by)
    session.insert(
        tables.staff_token,
        token_hash=token_hash,
        staff=ref,
        created_at=now,
        expires_at=now + valid,
        revoked_at=None,
    )


def give_role(session: Session, staff: str, role: str, school: int | None, now: datetime, by: str) -> None:
    if school is None:
        session.insert(tables.district_role, ignore=True, staff=staff, role=role, granted_by=by, granted_at=now)
    else:
        session.insert(
            tables.school_role, ignore=True, school=school, staff=staff, role=role, granted_by=by, granted_at=now
        )


def staff(session: Session) -> Sequence[Any]:
    return session.rows(
        "SELECT s.staff, s.name, s.status, (SELECT string_agg(r.role, ', ' ORDER BY r.role) FROM district_role r "
        "WHERE r.district = s.district AND r.staff = s.staff) AS district_roles, "
        "(SELECT string_agg(r.role || ' at ' || c.name, ', ' ORDER BY c.name) FROM school_role r JOIN school c "
        "ON c.district = r.district AND c.school = r.school WHERE r.district = s.district AND r.staff = s.staff) "
        f"AS school_roles FROM staff s WHERE s.{_D} ORDER BY s.created_at, s.staff"
    )


def add_vendor(
    session: Session,
    ref: str,
    name: str,
    category: str,
    contact: str,
    launch_url: str | None,
    now: datetime,
    by: str,
) -> None:
    session.insert(
        tables.vendor, vendor=ref, name=name, category=category, contact=contact, is_application=bool(launch_url),
        launch_url=launch_url, created_at=now, created_by=by,
    )  # fmt: skip


def find_vendor(session: Session, text: str) -> Any | None:
    return session.row(f"SELECT * FROM vendor WHERE {_D} AND (vendor = %(t)s OR name = %(t)s) ORDER BY vendor", t=text)


def vendors(session: Session) -> Sequence[Any]:
    return session.rows(f"SELECT * FROM vendor WHERE {_D} ORDER BY name")


def add_grant(
    session: Session, ref: str, vendor: str, agreement: str, scopes: list[str], places: Sequence[int], now: datetime,
    by: str,
) -> None:  # fmt: skip
    """Write what one credential of a vendor may do, and for which schools."""
    session.insert(
        tables.access_grant, access_grant=ref, vendor=vendor, agreement=agreement, scopes=scopes, status="active",
        created_at=now, created_by=by,
    )  # fmt: skip
    for school in places:
        session.insert(tables.access_grant_school, school=school, access_grant=ref)


def add_client(
    session: Session,
    client_id: str,
    grant: str,
    secret_hash: str | None,
    public_key: dict[str, Any] | None,
    now: datetime,
) -> None:
    session.insert(
        tables.client, client_id=client_id, access_grant=grant, secret_hash=secret_hash, public_key=public_key,
        status="active", created_at=now,
    )  # fmt: skip


def add_registration(
    session: Session, ref: str, now: datetime, by: str, *, status: str = "active", **values: Any
) -> bool:
    """Write an LMS registration; False when the district has registered the issuer and client id already."""
    return session.insert(
        tables.registration, ignore=True, registration=ref, home_district=session.district, status=status,
        created_at=now, created_by=by, **values,
    )  # fmt: skip


def serve_from(session: Session, registration: str, hosts: Sequence[str]) -> int:
    """Set the hosts at which a registration of this district has its services."""
    return session.run(
        "UPDATE registration SET hosts = %(hosts)s WHERE registration = %(r)s AND home_district = %(district)s",
        r=registration, hosts=list(hosts),
    )  # fmt: skip


def add_deployment(
    session: Session, ref: str, registration: str, deployment_id: str, agreement: str | None, places: Sequence[int],
    now: datetime, by: str,
) -> bool:  # fmt: skip
    """Write a deployment and the schools it is granted; False when it is there already, in whatever district."""
    (of,) = session.rows("SELECT issuer, client_id FROM registration WHERE registration = %(r)s", r=registration)
    made = session.insert(
        tables.deployment, ignore=True, deployment=ref, registration=registration, deployment_id=deployment_id,
        issuer=of.issuer, client_id=of.client_id, agreement=agreement, status="active", created_at=now, created_by=by,
    )  # fmt: skip
    for school in places if made else ():
        session.insert(tables.deployment_school, school=school, deployment=ref)
    return made


def agree(session: Session, deployment: str, agreement: str) -> int:
    """Name the agreement under which grades go to a deployment."""
    return session.run(
        f"UPDATE deployment SET agreement = %(agreement)s WHERE {_D} AND deployment = %(deployment)s",
        deployment=deployment, agreement=agreement,
    )  # fmt: skip


def grant_school(session: Session, deployment: str, school: int) -> None:
    """Grant a deployment one school more."""
    session.insert(tables.deployment_school, ignore=True, school=school, deployment=deployment)


def switch(session: Session, deployment: str, status: str) -> bool:
    """Set the status of a deployment; False where it has it already."""
    return bool(session.run(
        f"UPDATE deployment SET status = %(status)s WHERE {_D} AND deployment = %(deployment)s AND status <> %(status)s",
        deployment=deployment, status=status,
    ))  # fmt: skip


def lms(session: Session) -> Sequence[Any]:
    """Return the district's LMS deployments with their registrations."""
    return session.rows(
        "SELECT r.registration, r.issuer, r.client_id, r.product, r.hosts, d.deployment, d.deployment_id, d.agreement, "
        "CASE WHEN d.status = 'active' THEN r.status ELSE d.status END AS line_status, "
        "(SELECT string_agg(s.name, ', ' ORDER BY s.name) FROM deployment_school x JOIN school s ON "
        "s.district = x.district AND s.school = x.school WHERE x.district = d.district AND x.deployment = d.deployment) "
        "AS schools FROM deployment d JOIN registration r ON r.registration = d.registration "
        f"WHERE d.{_D} ORDER BY r.issuer, d.deployment_id"
    )


def find_deployments(session: Session, text: str) -> Sequence[Any]:
    """Return the deployment of the district with this reference, else those with this id in their LMS."""
    rows = session.rows(
        f"SELECT d.*, ARRAY(SELECT x.school FROM deployment_school x WHERE x.district = d.district AND "
        f"x.deployment = d.deployment) AS schools, r.vendor FROM deployment d JOIN registration r USING (registration) "
        f"WHERE d.{_D} AND (d.deployment = %(t)s "
        "OR d.deployment_id = %(t)s) ORDER BY d.deployment",
        t=text,
    )
    return [row for row in rows if row.deployment == text] or rows
