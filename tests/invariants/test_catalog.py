"""What the database itself says of a migrated schema: row security, roles, rights, keys, and that it is what
`store/tables.py` says."""

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.store import migrate, roles
from gateway.store.tables import HAS_DISTRICT, HAS_SCHOOL, STAGING, metadata
from gateway.store.tenant import driver

OURS = [t for t in metadata.tables.values() if t.schema is None]
# Read before a district is known: keys are unguessable hashes or references, and only these roles read them.
SHARED = {
    "staff_token", "client", "access_token", "used_assertion", "signing_key", "registration", "platform_keys",
    "launch_nonce", "lti1p1_key", "relaxation", "source_token",
}  # fmt: skip
BYPASS = {"procrastinate_jobs", "procrastinate_events", "procrastinate_periodic_defers", "procrastinate_workers"}


@pytest.fixture(scope="module")
def catalog(addresses) -> Iterator[psycopg.Connection]:
    with psycopg.connect(addresses.owner, autocommit=True) as connection:
        yield connection


def column(catalog, statement: str, *values: object) -> list:
    return [row[0] for row in catalog.execute(statement, values or None)]


def test_the_schema_is_what_the_tables_say(addresses):
    engine = sa.create_engine(driver(addresses.owner))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_schemas": True, "include_name": is_ours})
        found = compare_metadata(context, metadata)
    engine.dispose()
    assert found == []


def test_the_last_revision_is_the_one_that_alembic_would_run_to(catalog):
    (needed,) = ScriptDirectory("gateway/store/migrations").get_heads()
    assert migrate.head() == needed
    assert column(catalog, "SELECT version_num FROM alembic_version") == [needed]


def is_ours(name: str | None, kind: str, parents: dict) -> bool:
    return not (kind == "table" and (name or "").startswith(("procrastinate_", "alembic_")))


def test_row_security_is_forced_where_a_school_or_district_is(catalog):
    forced = set(column(catalog, "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"))
    assert {t.name for t in (*HAS_SCHOOL, *HAS_DISTRICT)} <= forced
    assert {t.name for t in OURS} - forced == SHARED


def test_keys_begin_with_district_and_school(catalog):
    keys = catalog.execute(
        "SELECT i.indrelid::regclass::text, array_agg(a.attname::text ORDER BY k.n) FROM pg_index i "
        "CROSS JOIN LATERAL unnest(i.indkey::int[]) WITH ORDINALITY k(att, n) "
        "JOIN pg_attribute a ON a.attnum = k.att AND a.attrelid = i.indrelid WHERE i.indisprimary "
        "AND i.indrelid::regclass::text !~ '^(pg_|staging)' GROUP BY 1"
    )
    found = {name: columns for name, columns in keys if not name.startswith(("procrastinate", "alembic"))}
    for table in HAS_SCHOOL:
        assert found[table.name][:2] == ["district", "school"], table.name
    for table in HAS_DISTRICT:
        assert found[table.name][0] == "district", table.name


def test_no_index_of_a_school_leads_across_schools(catalog):
    unique = catalog.execute(
        "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE 'CREATE UNIQUE%%'"
    )
    # A key's hash is 256 random bits and opens one thing; references are random too: neither says anything of others.
    across = {"doorkey_by_hash", "school_ref_key"}
    for table, definition in unique:
        if table in {t.name for t in HAS_SCHOOL} and not any(name in definition for name in across):
            assert "(district" in definition, definition


def test_the_application_owns_nothing_and_may_nothing_by_itself(catalog):
    owned = column(
        catalog,
        "SELECT relname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner "
        "WHERE r.rolname = ANY(%s) AND relnamespace::regnamespace::text NOT LIKE 'pg_%%'",
        [roles.LOGIN, *roles.NARROW],
    )
    assert owned == []
    granted = column(
        catalog, "SELECT table_name FROM information_schema.role_table_grants WHERE grantee = %s", roles.LOGIN
    )
    assert granted == []
    everybody = column(
        catalog,
        "SELECT table_name FROM information_schema.role_table_grants WHERE grantee = 'PUBLIC' "
        "AND table_schema IN ('public', 'staging')",
    )
    assert everybody == []


def test_roles_are_the_ones_listed_and_none_passes_row_security(catalog):
    found = dict(
        catalog.execute(
            "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR (rolcanlogin AND rolinherit) "
            "FROM pg_roles WHERE rolname LIKE 'schoolgate%'"
        ).fetchall()
    )
    assert set(found) == {roles.OWNER, roles.LOGIN, *roles.NARROW}
    assert not any(found.values())


def test_the_login_only_takes_on_roles_for_a_transaction(catalog):
    members = catalog.execute(
        "SELECT r.rolname, m.inherit_option, m.set_option, m.admin_option FROM pg_auth_members m "
        "JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles l ON l.oid = m.member WHERE l.rolname = %s",
        [roles.LOGIN],
    ).fetchall()
    assert {name for name, *_ in members} == set(roles.NARROW)
    assert {tuple(options) for _, *options in members} == {(False, True, False)}


def test_each_role_may_what_the_tables_say_and_no_more(catalog):
    found: dict[tuple[str, str], set[str]] = {}
    rows = catalog.execute(
        "SELECT table_schema, table_name, grantee, privilege_type FROM information_schema.role_table_grants "
        "WHERE grantee LIKE 'schoolgate%%' AND grantee <> %s AND table_schema IN ('public', 'staging')",
        [roles.OWNER],
    )
    for schema, table, grantee, right in rows:
        found.setdefault((table if schema == "public" else f"{STAGING}.{table}", grantee), set()).add(right)
    said = {
        (str(t) if t.schema else t.name, role): set(rights.split(", "))
        for t in metadata.tables.values()
        for role, rights in t.info["grants"].items()
    }
    ours = {key: rights for key, rights in found.items() if not key[0].startswith("procrastinate")}
    assert ours == said
    assert {table for (table, _), _ in found.items() if table.startswith("procrastinate")} <= BYPASS


def test_only_the_staging_of_a_source_has_no_row_security(catalog):
    without = column(
        catalog,
        "SELECT n.nspname || '.' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE relkind = 'r' AND NOT relrowsecurity AND nspname IN ('public', 'staging') "
        "AND relname NOT LIKE 'procrastinate%%'",
    )
    staging = {f"{t.schema}.{t.name}" for t in metadata.tables.values() if t.schema == STAGING}
    assert set(without) == staging | {f"public.{name}" for name in SHARED} | {"public.alembic_version"}
    assert all(list(metadata.tables[name].info["grants"]) == [roles.INTAKE] for name in staging)


def test_nothing_runs_with_somebody_elses_rights(catalog):
    assert (
        column(catalog, "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace") == []
    )
    views = column(catalog, "SELECT viewname FROM pg_views WHERE schemaname IN ('public', 'staging')")
    assert views == []


def test_a_session_without_a_place_sees_no_row(database, world):
    world.standing()
    for role in (roles.SCHOOL, roles.ONBOARDING, roles.INTAKE):
        with database._open(role, 0, ()) as session:
            for table in OURS:
                if role in table.info["grants"] and table.name not in SHARED:
                    assert session.rows(f'SELECT 1 FROM "{table.name}" LIMIT 1') == [], (role, table.name)


def test_a_session_of_one_school_sees_no_row_of_another(world):
    world.standing()
    for table in HAS_SCHOOL:
        if roles.SCHOOL not in table.info["grants"]:
            continue
        with world.office.database.open_school(world.places["A"]) as session:
            schools = {row[0] for row in session.rows(f'SELECT DISTINCT school FROM "{table.name}"')}
            assert schools <= {world.places["A"].school}, table.name


def test_without_a_role_nothing_can_be_read(addresses, world):
    world.standing()
    with psycopg.connect(addresses.application) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT * FROM roster_user")


def test_a_session_leaves_nothing_behind_on_its_connection(world):
    world.standing()
    with world.office.database.open_school(world.places["A"]):
        pass
    with world.office.database.engine.connect() as connection:
        role, schools = connection.exec_driver_sql(
            "SELECT current_user, current_setting('schoolgate.schools', true)"
        ).one()
    assert role == roles.LOGIN
    assert not schools
