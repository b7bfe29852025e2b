-- The schema of version 0.1: tables, keys, row security, grants. Frozen; later changes are later migrations.
CREATE SCHEMA staging;

CREATE SEQUENCE district_number;
CREATE SEQUENCE school_number;
CREATE SEQUENCE source_number;

-- A session names its district and schools for one transaction; a missing name is an error, never all rows.
CREATE FUNCTION session_district() RETURNS integer LANGUAGE sql STABLE
    AS $$ SELECT current_setting('schoolgate.district')::integer $$;
CREATE FUNCTION session_schools() RETURNS integer[] LANGUAGE sql STABLE
    AS $$ SELECT current_setting('schoolgate.schools')::integer[] $$;

CREATE TABLE access_grant (
    district INTEGER NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    agreement TEXT COLLATE "C" NOT NULL,
    scopes TEXT[] COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, access_grant)
);

CREATE TABLE access_token (
    token_hash BYTEA NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    district INTEGER NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    scopes TEXT[] COLLATE "C" NOT NULL,
    issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (token_hash)
);

CREATE TABLE alias (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    alias UUID NOT NULL,
    PRIMARY KEY (district, school, access_grant, kind, sourced_id)
);
CREATE UNIQUE INDEX alias_by_alias ON alias (district, access_grant, kind, alias, school) WHERE alias >= '00000000-0000-0000-0000-000000000000'::uuid;

CREATE TABLE client (
    client_id TEXT COLLATE "C" NOT NULL,
    district INTEGER NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    secret_hash TEXT COLLATE "C",
    public_key JSONB,
    status TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (client_id)
);

CREATE TABLE deployment (
    district INTEGER NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    registration TEXT COLLATE "C" NOT NULL,
    deployment_id TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    agreement TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, deployment),
    UNIQUE (registration, deployment_id),
    UNIQUE (issuer, client_id, deployment_id)
);

CREATE TABLE district (
    district SERIAL NOT NULL,
    ref TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    zone TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district),
    UNIQUE (ref)
);

CREATE TABLE district_role (
    district INTEGER NOT NULL,
    staff TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    granted_by TEXT COLLATE "C" NOT NULL,
    granted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, staff, role)
);

CREATE TABLE idempotency (
    district INTEGER NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    body_hash BYTEA NOT NULL,
    status INTEGER NOT NULL,
    answer JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, access_grant, key)
);

CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE launch_nonce (
    nonce_hash BYTEA NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (nonce_hash)
);

CREATE TABLE ledger_entry (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    index BIGINT NOT NULL,
    leaf_hash BYTEA NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (district, school, index)
);

CREATE TABLE lti1p1_key (
    registration TEXT COLLATE "C" NOT NULL,
    consumer_key TEXT COLLATE "C" NOT NULL,
    secret BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (registration, consumer_key)
);

CREATE TABLE relaxation (
    registration TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (registration, name)
);

CREATE TABLE waiting_link (
    district INTEGER NOT NULL,
    registration TEXT COLLATE "C" NOT NULL,
    deployment_id TEXT COLLATE "C" NOT NULL,
    context_id TEXT COLLATE "C" NOT NULL,
    deployment TEXT COLLATE "C",
    title TEXT COLLATE "C",
    copied_from TEXT[] COLLATE "C" NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, registration, deployment_id, context_id)
);

CREATE TABLE failed_launch (
    district INTEGER NOT NULL,
    support TEXT COLLATE "C" NOT NULL,
    registration TEXT COLLATE "C" NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    facts JSONB NOT NULL,
    PRIMARY KEY (district, support)
);

CREATE INDEX failed_launch_by_registration ON failed_launch (registration, at);

CREATE TABLE last_notice (
    district INTEGER NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    notice_type TEXT COLLATE "C" NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, deployment, notice_type)
);

CREATE TABLE lms_invite (
    district INTEGER NOT NULL,
    invite TEXT COLLATE "C" NOT NULL,
    key_hash BYTEA NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    schools TEXT[] COLLATE "C" NOT NULL,
    agreement TEXT COLLATE "C",
    hosts TEXT[] COLLATE "C" NOT NULL,
    key_set TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    claimed_until TIMESTAMP WITH TIME ZONE,
    problem TEXT COLLATE "C",
    registration TEXT COLLATE "C",
    issuer TEXT COLLATE "C",
    client_id TEXT COLLATE "C",
    deployment_id TEXT COLLATE "C",
    said JSONB,
    answered_at TIMESTAMP WITH TIME ZONE,
    decided_at TIMESTAMP WITH TIME ZONE,
    decided_by TEXT COLLATE "C",
    PRIMARY KEY (district, invite),
    UNIQUE (key_hash),
    UNIQUE (key_set)
);

CREATE TABLE platform_keys (
    registration TEXT COLLATE "C" NOT NULL,
    key_set JSONB NOT NULL,
    fetched_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (registration)
);

CREATE TABLE registration (
    registration TEXT COLLATE "C" NOT NULL,
    home_district INTEGER NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    product TEXT COLLATE "C" NOT NULL,
    auth_url TEXT COLLATE "C" NOT NULL,
    token_url TEXT COLLATE "C" NOT NULL,
    token_audience TEXT COLLATE "C" NOT NULL,
    jwks_url TEXT COLLATE "C" NOT NULL,
    hosts TEXT[] COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (registration),
    UNIQUE (issuer, client_id, home_district)
);

CREATE TABLE roster_class (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    hash BIGINT NOT NULL,
    title TEXT,
    grades TEXT[],
    course TEXT COLLATE "C",
    class_code TEXT,
    class_type TEXT,
    location TEXT,
    org TEXT COLLATE "C",
    terms TEXT[] COLLATE "C",
    subjects TEXT[],
    subject_codes TEXT[],
    periods TEXT[],
    PRIMARY KEY (district, school, sourced_id, since)
);

CREATE TABLE roster_course (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    hash BIGINT NOT NULL,
    school_year TEXT COLLATE "C",
    title TEXT,
    course_code TEXT,
    grades TEXT[],
    org TEXT COLLATE "C",
    subjects TEXT[],
    subject_codes TEXT[],
    PRIMARY KEY (district, school, sourced_id, since)
);

CREATE TABLE roster_demographics (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    hash BIGINT NOT NULL,
    birth_date DATE,
    sex TEXT,
    american_indian BOOLEAN,
    asian BOOLEAN,
    black BOOLEAN,
    pacific_islander BOOLEAN,
    white BOOLEAN,
    two_or_more_races BOOLEAN,
    hispanic BOOLEAN,
    birth_country TEXT,
    birth_state TEXT,
    birth_city TEXT,
    residence_status TEXT,
    PRIMARY KEY (district, school, sourced_id, since)
);

CREATE TABLE roster_enrollment (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    hash BIGINT NOT NULL,
    class TEXT COLLATE "C",
    org TEXT COLLATE "C",
    "user" TEXT COLLATE "C",
    role TEXT,
    "primary" BOOLEAN,
    begin_date DATE,
    end_date DATE,
    PRIMARY KEY (district, school, sourced_id, since)
);
CREATE INDEX roster_enrollment_by_class ON roster_enrollment (district, school, class) WHERE until IS NULL;
CREATE INDEX roster_enrollment_by_user ON roster_enrollment (district, school, "user") WHERE until IS NULL;

CREATE TABLE roster_org (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    hash BIGINT NOT NULL,
    name TEXT,
    type TEXT,
    identifier TEXT,
    parent TEXT COLLATE "C",
    PRIMARY KEY (district, school, sourced_id, since)
);

CREATE TABLE roster_session (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    hash BIGINT NOT NULL,
    title TEXT,
    type TEXT,
    start_date DATE,
    end_date DATE,
    parent TEXT COLLATE "C",
    school_year TEXT,
    PRIMARY KEY (district, school, sourced_id, since)
);

CREATE TABLE roster_user (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    hash BIGINT NOT NULL,
    enabled BOOLEAN,
    username TEXT,
    user_ids TEXT[],
    given_name TEXT,
    family_name TEXT,
    middle_name TEXT,
    identifier TEXT,
    email TEXT,
    sms TEXT,
    phone TEXT,
    agents TEXT[] COLLATE "C",
    grades TEXT[],
    master_identifier TEXT,
    preferred_given TEXT,
    preferred_middle TEXT,
    preferred_family TEXT,
    primary_org TEXT COLLATE "C",
    pronouns TEXT,
    roles JSONB,
    is_pupil BOOLEAN NOT NULL,
    PRIMARY KEY (district, school, sourced_id, since)
);

CREATE TABLE signing_key (
    kid TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    private BYTEA NOT NULL,
    public JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    registration TEXT COLLATE "C",
    used_from TIMESTAMP WITH TIME ZONE,
    retired_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (kid)
);

CREATE TABLE source (
    district INTEGER NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    url TEXT COLLATE "C",
    token_url TEXT COLLATE "C",
    client_id TEXT COLLATE "C",
    secret BYTEA,
    guards JSONB,
    repairs TEXT[] COLLATE "C",
    host_key TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    product TEXT COLLATE "C",
    version TEXT COLLATE "C",
    method TEXT COLLATE "C",
    scopes TEXT[] COLLATE "C",
    peak TEXT[] COLLATE "C",
    zone TEXT COLLATE "C",
    capabilities JSONB,
    probed_at TIMESTAMP WITH TIME ZONE,
    cursor TIMESTAMP WITH TIME ZONE,
    full_at TIMESTAMP WITH TIME ZONE,
    drift INTEGER,
    PRIMARY KEY (district, source),
    UNIQUE (number)
);

CREATE TABLE staff (
    district INTEGER NOT NULL,
    staff TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, staff)
);

CREATE TABLE staff_token (
    token_hash BYTEA NOT NULL,
    district INTEGER NOT NULL,
    staff TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (token_hash)
);

CREATE TABLE staging.class (
    source INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    hash BIGINT NOT NULL,
    missed SMALLINT DEFAULT 0 NOT NULL,
    line INTEGER DEFAULT 0 NOT NULL,
    modified TIMESTAMP WITH TIME ZONE,
    title TEXT,
    grades TEXT[],
    course TEXT COLLATE "C",
    class_code TEXT,
    class_type TEXT,
    location TEXT,
    org TEXT COLLATE "C",
    terms TEXT[] COLLATE "C",
    subjects TEXT[],
    subject_codes TEXT[],
    periods TEXT[],
    PRIMARY KEY (source, sourced_id)
);

CREATE INDEX unsure_class ON staging.class (source) WHERE hash = 0 OR missed > 0;

CREATE TABLE staging.course (
    source INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    hash BIGINT NOT NULL,
    missed SMALLINT DEFAULT 0 NOT NULL,
    line INTEGER DEFAULT 0 NOT NULL,
    modified TIMESTAMP WITH TIME ZONE,
    school_year TEXT COLLATE "C",
    title TEXT,
    course_code TEXT,
    grades TEXT[],
    org TEXT COLLATE "C",
    subjects TEXT[],
    subject_codes TEXT[],
    PRIMARY KEY (source, sourced_id)
);

CREATE INDEX unsure_course ON staging.course (source) WHERE hash = 0 OR missed > 0;

CREATE TABLE staging.demographics (
    source INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    hash BIGINT NOT NULL,
    missed SMALLINT DEFAULT 0 NOT NULL,
    line INTEGER DEFAULT 0 NOT NULL,
    modified TIMESTAMP WITH TIME ZONE,
    birth_date DATE,
    sex TEXT,
    american_indian BOOLEAN,
    asian BOOLEAN,
    black BOOLEAN,
    pacific_islander BOOLEAN,
    white BOOLEAN,
    two_or_more_races BOOLEAN,
    hispanic BOOLEAN,
    birth_country TEXT,
    birth_state TEXT,
    birth_city TEXT,
    residence_status TEXT,
    PRIMARY KEY (source, sourced_id)
);

CREATE INDEX unsure_demographics ON staging.demographics (source) WHERE hash = 0 OR missed > 0;

CREATE TABLE staging.enrollment (
    source INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    hash BIGINT NOT NULL,
    missed SMALLINT DEFAULT 0 NOT NULL,
    line INTEGER DEFAULT 0 NOT NULL,
    modified TIMESTAMP WITH TIME ZONE,
    class TEXT COLLATE "C",
    org TEXT COLLATE "C",
    "user" TEXT COLLATE "C",
    role TEXT,
    "primary" BOOLEAN,
    begin_date DATE,
    end_date DATE,
    PRIMARY KEY (source, sourced_id)
);

CREATE INDEX unsure_enrollment ON staging.enrollment (source) WHERE hash = 0 OR missed > 0;

CREATE TABLE staging.held (
    source INTEGER NOT NULL,
    hold TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    line INTEGER NOT NULL,
    hash BIGINT NOT NULL,
    content JSONB,
    schools INTEGER[] NOT NULL,
    PRIMARY KEY (source, kind, sourced_id, hold)
);

CREATE TABLE staging.org (
    source INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    hash BIGINT NOT NULL,
    missed SMALLINT DEFAULT 0 NOT NULL,
    line INTEGER DEFAULT 0 NOT NULL,
    modified TIMESTAMP WITH TIME ZONE,
    name TEXT,
    type TEXT,
    identifier TEXT,
    parent TEXT COLLATE "C",
    PRIMARY KEY (source, sourced_id)
);

CREATE INDEX unsure_org ON staging.org (source) WHERE hash = 0 OR missed > 0;

CREATE TABLE staging.removed (
    source INTEGER NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (source, kind, sourced_id)
);

CREATE TABLE staging.role (
    source INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    hash BIGINT NOT NULL,
    missed SMALLINT DEFAULT 0 NOT NULL,
    line INTEGER DEFAULT 0 NOT NULL,
    modified TIMESTAMP WITH TIME ZONE,
    "user" TEXT COLLATE "C",
    role_type TEXT,
    role TEXT,
    begin_date DATE,
    end_date DATE,
    org TEXT COLLATE "C",
    PRIMARY KEY (source, sourced_id)
);

CREATE INDEX unsure_role ON staging.role (source) WHERE hash = 0 OR missed > 0;

CREATE TABLE staging.session (
    source INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    hash BIGINT NOT NULL,
    missed SMALLINT DEFAULT 0 NOT NULL,
    line INTEGER DEFAULT 0 NOT NULL,
    modified TIMESTAMP WITH TIME ZONE,
    title TEXT,
    type TEXT,
    start_date DATE,
    end_date DATE,
    parent TEXT COLLATE "C",
    school_year TEXT,
    PRIMARY KEY (source, sourced_id)
);

CREATE INDEX unsure_session ON staging.session (source) WHERE hash = 0 OR missed > 0;

CREATE TABLE staging."user" (
    source INTEGER NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    hash BIGINT NOT NULL,
    missed SMALLINT DEFAULT 0 NOT NULL,
    line INTEGER DEFAULT 0 NOT NULL,
    modified TIMESTAMP WITH TIME ZONE,
    enabled BOOLEAN,
    username TEXT,
    user_ids TEXT[],
    given_name TEXT,
    family_name TEXT,
    middle_name TEXT,
    identifier TEXT,
    email TEXT,
    sms TEXT,
    phone TEXT,
    agents TEXT[] COLLATE "C",
    grades TEXT[],
    master_identifier TEXT,
    preferred_given TEXT,
    preferred_middle TEXT,
    preferred_family TEXT,
    primary_org TEXT COLLATE "C",
    pronouns TEXT,
    PRIMARY KEY (source, sourced_id)
);

CREATE INDEX unsure_user ON staging."user" (source) WHERE hash = 0 OR missed > 0;

CREATE TABLE subject_key (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    person_id TEXT COLLATE "C" NOT NULL,
    salt BYTEA NOT NULL,
    PRIMARY KEY (district, school, person_id)
);

CREATE TABLE arrival (
    district INTEGER NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C",
    acted_by TEXT COLLATE "C" NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (district, run)
);

CREATE TABLE notification (
    district INTEGER NOT NULL,
    notification TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    day DATE NOT NULL,
    run TEXT COLLATE "C",
    code TEXT COLLATE "C",
    said JSONB NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE,
    seen_by TEXT COLLATE "C",
    PRIMARY KEY (district, notification),
    UNIQUE (district, source, cause, day)
);

CREATE TABLE notification_send (
    district INTEGER NOT NULL,
    notification TEXT COLLATE "C" NOT NULL,
    way TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    tries INTEGER NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    code TEXT COLLATE "C",
    PRIMARY KEY (district, notification, way)
);

CREATE TABLE notification_way (
    district INTEGER NOT NULL,
    way TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    secret BYTEA,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, way)
);

CREATE TABLE source_token (
    token_hash BYTEA NOT NULL,
    district INTEGER NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (token_hash)
);

CREATE TABLE sync_pause (
    district INTEGER NOT NULL,
    pause TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    from_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until_at TIMESTAMP WITH TIME ZONE,
    reason TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_by TEXT COLLATE "C",
    PRIMARY KEY (district, pause)
);

CREATE TABLE sync_timetable (
    district INTEGER NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    minute INTEGER NOT NULL,
    weekdays TEXT[] COLLATE "C" NOT NULL,
    holidays TEXT[] COLLATE "C" NOT NULL,
    peaks TEXT[] COLLATE "C" NOT NULL,
    terms BOOLEAN NOT NULL,
    expects BOOLEAN NOT NULL,
    looks BOOLEAN NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    set_at TIMESTAMP WITH TIME ZONE,
    waited_from TIMESTAMP WITH TIME ZONE NOT NULL,
    attempt INTEGER NOT NULL,
    said TEXT COLLATE "C",
    came_at TIMESTAMP WITH TIME ZONE,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, source)
);
CREATE INDEX sync_timetable_by_due ON sync_timetable (due_at);

CREATE TABLE watched_file (
    district INTEGER NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    fingerprint TEXT COLLATE "C",
    PRIMARY KEY (district, source, name)
);

CREATE TABLE sync_fault (
    district INTEGER NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    file TEXT COLLATE "C" NOT NULL,
    line INTEGER NOT NULL,
    column_name TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    effect TEXT COLLATE "C" NOT NULL,
    shape TEXT NOT NULL,
    hint TEXT NOT NULL,
    sourced_id TEXT COLLATE "C",
    PRIMARY KEY (district, run, number)
);

CREATE TABLE sync_run (
    district INTEGER NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    delivery_hash TEXT COLLATE "C",
    report JSONB NOT NULL,
    acted_by TEXT COLLATE "C" NOT NULL,
    step TEXT COLLATE "C",
    rows_done BIGINT NOT NULL,
    rows_total BIGINT,
    stepped_at TIMESTAMP WITH TIME ZONE,
    beat_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (district, run)
);
CREATE INDEX sync_run_by_source ON sync_run (district, source, started_at);

CREATE TABLE sync_hold (
    district INTEGER NOT NULL,
    hold TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    acted_by TEXT COLLATE "C" NOT NULL,
    asked_by TEXT COLLATE "C",
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_by TEXT COLLATE "C",
    counts JSONB NOT NULL,
    review JSONB NOT NULL,
    PRIMARY KEY (district, hold)
);
CREATE INDEX sync_hold_by_source ON sync_hold (district, source, state);

CREATE TABLE sync_absence (
    district INTEGER NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    sourced_id TEXT COLLATE "C" NOT NULL,
    person_id TEXT COLLATE "C",
    cause TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, run, number)
);

CREATE TABLE decision (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    decision TEXT COLLATE "C" NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    person_id TEXT COLLATE "C",
    key BYTEA NOT NULL,
    basis JSONB NOT NULL,
    PRIMARY KEY (district, school, decision)
);

CREATE INDEX decision_by_person ON decision (district, school, person_id) WHERE person_id IS NOT NULL;

CREATE TABLE transfer (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    transfer TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    agreement TEXT COLLATE "C" NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    entry BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    elements TEXT[] COLLATE "C" NOT NULL,
    handles BYTEA NOT NULL,
    payload_key BYTEA NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, transfer)
);

CREATE TABLE used_assertion (
    client_id TEXT COLLATE "C" NOT NULL,
    jti TEXT COLLATE "C" NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (client_id, jti)
);

CREATE TABLE vendor (
    district INTEGER NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C" NOT NULL,
    contact TEXT COLLATE "C" NOT NULL,
    is_application BOOLEAN NOT NULL,
    launch_url TEXT COLLATE "C",
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, vendor)
);

CREATE TABLE school (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    ref TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C",
    org_id TEXT COLLATE "C",
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school),
    UNIQUE (ref),
    UNIQUE (district, source, org_id),
    FOREIGN KEY(district) REFERENCES district (district)
);

CREATE TABLE access_grant_school (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, access_grant),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE activity (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    your_id TEXT COLLATE "C" NOT NULL,
    activity TEXT COLLATE "C" NOT NULL,
    class_id TEXT COLLATE "C" NOT NULL,
    title TEXT NOT NULL,
    points NUMERIC NOT NULL,
    scale JSONB NOT NULL,
    due_on DATE,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, access_grant, your_id),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE agreement (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    agreement TEXT COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    effective_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    body JSONB NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, agreement, version),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE alias_state (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (district, school, access_grant),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE consent (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    consent TEXT COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    person_id TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    agreement TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL,
    grantor TEXT COLLATE "C" NOT NULL,
    evidenced BOOLEAN NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    valid_until TIMESTAMP WITH TIME ZONE,
    body JSONB NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, consent, version),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);
CREATE INDEX consent_by_person ON consent (district, school, person_id);

CREATE TABLE opt_out (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    opt_out TEXT COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    person_id TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    valid_until TIMESTAMP WITH TIME ZONE,
    body JSONB NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, opt_out, version),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);
CREATE INDEX opt_out_by_person ON opt_out (district, school, person_id);

CREATE TABLE kept_refusal (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    mark BYTEA NOT NULL,
    refusals JSONB NOT NULL,
    kept_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, mark),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE source_policy (
    district INTEGER NOT NULL,
    version INTEGER NOT NULL,
    policy TEXT COLLATE "C" NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, version)
);

CREATE TABLE policy_version (
    district INTEGER NOT NULL,
    policy TEXT COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    change TEXT COLLATE "C" NOT NULL,
    effective_at TIMESTAMP WITH TIME ZONE NOT NULL,
    opens TEXT[] COLLATE "C" NOT NULL,
    document TEXT COLLATE "C" NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, policy, version)
);

CREATE TABLE policy_word (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    policy TEXT COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    word TEXT COLLATE "C" NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    body JSONB NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, policy, version, word),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE context_link (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    context_id TEXT COLLATE "C" NOT NULL,
    class_id TEXT COLLATE "C" NOT NULL,
    services JSONB NOT NULL,
    linked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    linked_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, deployment, context_id),
    UNIQUE (district, deployment, context_id),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE course_reading (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    context_id TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    differences TEXT COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    subs TEXT[] COLLATE "C" NOT NULL,
    people TEXT[] COLLATE "C" NOT NULL,
    whole_at TIMESTAMP WITH TIME ZONE NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, deployment, context_id),
    FOREIGN KEY(district, school) REFERENCES school (district, school),
    FOREIGN KEY(district, school, deployment, context_id) REFERENCES context_link (district, school, deployment, context_id) ON DELETE CASCADE
);

CREATE TABLE deletion_task (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    task TEXT COLLATE "C" NOT NULL,
    request TEXT COLLATE "C" NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    agreement TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attested_at TIMESTAMP WITH TIME ZONE,
    transfers INTEGER NOT NULL,
    PRIMARY KEY (district, school, task),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE deployment_school (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, deployment),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE direction (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    agreement TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    body JSONB NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, direction, version),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE doorkey (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    key_hash BYTEA NOT NULL,
    opens TEXT COLLATE "C" NOT NULL,
    ref TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, key_hash),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);
CREATE UNIQUE INDEX doorkey_by_hash ON doorkey (key_hash);

CREATE TABLE launch (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    launch TEXT COLLATE "C" NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    context_id TEXT COLLATE "C" NOT NULL,
    class_id TEXT COLLATE "C" NOT NULL,
    sub TEXT COLLATE "C" NOT NULL,
    person_id TEXT COLLATE "C",
    role TEXT COLLATE "C" NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    decision JSONB NOT NULL,
    facts JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, launch),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE ledger_checkpoint (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    size BIGINT NOT NULL,
    note TEXT NOT NULL,
    signed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, size),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE ledger_head (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,
    kid TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    frontier BYTEA NOT NULL,
    erasures INTEGER NOT NULL,
    PRIMARY KEY (district, school),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE line_item (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    activity TEXT COLLATE "C" NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    context_id TEXT COLLATE "C" NOT NULL,
    url TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, activity, deployment, context_id),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE lms_identity (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    registration TEXT COLLATE "C" NOT NULL,
    sub TEXT COLLATE "C" NOT NULL,
    person_id TEXT COLLATE "C" NOT NULL,
    evidence TEXT COLLATE "C" NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, registration, sub),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE lti1p1_user (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    registration TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    person_id TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, registration, user_id),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE outbox (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    delivery TEXT COLLATE "C" NOT NULL,
    batch TEXT COLLATE "C" NOT NULL,
    ref TEXT COLLATE "C" NOT NULL,
    person_id TEXT COLLATE "C" NOT NULL,
    sub TEXT COLLATE "C" NOT NULL,
    activity TEXT COLLATE "C" NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    context_id TEXT COLLATE "C" NOT NULL,
    lane TEXT COLLATE "C" NOT NULL,
    points NUMERIC NOT NULL,
    maximum NUMERIC NOT NULL,
    fixed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    attempt INTEGER NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    transfer TEXT COLLATE "C",
    payload BYTEA,
    reason TEXT COLLATE "C",
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, delivery),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);
CREATE INDEX outbox_lane ON outbox (district, school, lane, fixed_at);

CREATE TABLE result (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    batch TEXT COLLATE "C" NOT NULL,
    ref TEXT COLLATE "C" NOT NULL,
    person_id TEXT COLLATE "C",
    level TEXT COLLATE "C",
    points NUMERIC,
    given_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, batch, ref),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE result_batch (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    batch TEXT COLLATE "C" NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    activity TEXT COLLATE "C" NOT NULL,
    launch TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    directed_by TEXT COLLATE "C",
    PRIMARY KEY (district, school, batch),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE rights_request (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    request TEXT COLLATE "C" NOT NULL,
    person_id TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    asked_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, request),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE roster_version (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    version INTEGER NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    counts JSONB NOT NULL,
    PRIMARY KEY (district, school, version),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE school_role (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    staff TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    granted_by TEXT COLLATE "C" NOT NULL,
    granted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (district, school, staff, role),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

CREATE TABLE transcript (
    district INTEGER NOT NULL,
    school INTEGER NOT NULL,
    transcript TEXT COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    person_id TEXT COLLATE "C" NOT NULL,
    document BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    access_grant TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (district, school, transcript, version),
    FOREIGN KEY(district, school) REFERENCES school (district, school)
);

-- Row security: forced, so that it binds the owner too.
ALTER TABLE school ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON school TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON school TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON school TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_intake ON school TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE school_role ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON school_role TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON school_role TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON school_role TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE access_grant_school ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON access_grant_school TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON access_grant_school TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON access_grant_school TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE doorkey ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON doorkey TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON doorkey TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_identity ON doorkey TO schoolgate_identity USING (true) WITH CHECK (true);
ALTER TABLE deployment_school ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON deployment_school TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON deployment_school TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON deployment_school TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE context_link ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON context_link TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_identity ON context_link TO schoolgate_identity USING (true) WITH CHECK (true);
ALTER TABLE course_reading ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON course_reading TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON course_reading TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_identity ON course_reading TO schoolgate_identity USING (true) WITH CHECK (true);
ALTER TABLE launch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON launch TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON launch TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE lms_identity ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON lms_identity TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON lms_identity TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE lti1p1_user ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON lti1p1_user TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON lti1p1_user TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE agreement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON agreement TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_intake ON agreement TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE direction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON direction TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE consent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON consent TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON consent TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE kept_refusal ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON kept_refusal TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE opt_out ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON opt_out TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON opt_out TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE policy_word ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON policy_word TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE roster_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON roster_version TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_school ON roster_version TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE roster_org ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON roster_org TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_school ON roster_org TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE roster_session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON roster_session TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_school ON roster_session TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE roster_course ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON roster_course TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_school ON roster_course TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE roster_user ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON roster_user TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_erasure ON roster_user TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON roster_user TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE roster_class ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON roster_class TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_school ON roster_class TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE roster_enrollment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON roster_enrollment TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_erasure ON roster_enrollment TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON roster_enrollment TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE roster_demographics ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON roster_demographics TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_erasure ON roster_demographics TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON roster_demographics TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE alias ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON alias TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON alias TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE alias_state ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON alias_state TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE ledger_head ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON ledger_head TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_intake ON ledger_head TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE ledger_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON ledger_entry TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_intake ON ledger_entry TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE ledger_checkpoint ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON ledger_checkpoint TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE subject_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON subject_key TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON subject_key TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE decision ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON decision TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON decision TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE transfer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON transfer TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON transfer TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE activity ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON activity TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE line_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON line_item TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE result_batch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON result_batch TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON result_batch TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE result ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON result TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON result TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON outbox TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON outbox TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE rights_request ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON rights_request TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON rights_request TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE deletion_task ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_school ON deletion_task TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE transcript ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON transcript TO schoolgate_erasure USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
CREATE POLICY of_school ON transcript TO schoolgate_school USING (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[])) WITH CHECK (district = (SELECT session_district()) AND school = ANY ((SELECT session_schools())::integer[]));
ALTER TABLE district ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON district TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON district TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON district TO schoolgate_school USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_intake ON district TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE staff ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON staff TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON staff TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON staff TO schoolgate_school USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE district_role ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON district_role TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON district_role TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON district_role TO schoolgate_school USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE vendor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON vendor TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON vendor TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON vendor TO schoolgate_school USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE source_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE policy_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON source_policy TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_onboarding ON policy_version TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_school ON source_policy TO schoolgate_school USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_intake ON source_policy TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_school ON policy_version TO schoolgate_school USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE access_grant ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON access_grant TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON access_grant TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON access_grant TO schoolgate_school USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE lms_invite ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON lms_invite TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON lms_invite TO schoolgate_identity USING (true) WITH CHECK (true);
ALTER TABLE deployment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON deployment TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON deployment TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON deployment TO schoolgate_school USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE source ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON source TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_intake ON source TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE arrival ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON arrival TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_onboarding ON arrival TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE notification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON notification TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_onboarding ON notification TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE notification_send ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON notification_send TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_onboarding ON notification_send TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON notification_send TO schoolgate_identity USING (true) WITH CHECK (true);
ALTER TABLE notification_way ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON notification_way TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_intake ON notification_way TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE sync_pause ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON sync_pause TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_intake ON sync_pause TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE sync_timetable ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_onboarding ON sync_timetable TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_intake ON sync_timetable TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON sync_timetable TO schoolgate_identity USING (true) WITH CHECK (true);
ALTER TABLE watched_file ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON watched_file TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE sync_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON sync_run TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_onboarding ON sync_run TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE sync_hold ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON sync_hold TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_onboarding ON sync_hold TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE sync_absence ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON sync_absence TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_onboarding ON sync_absence TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE sync_fault ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_intake ON sync_fault TO schoolgate_intake USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_onboarding ON sync_fault TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE waiting_link ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_identity ON waiting_link TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_onboarding ON waiting_link TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE last_notice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_identity ON last_notice TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_onboarding ON last_notice TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE failed_launch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_identity ON failed_launch TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_onboarding ON failed_launch TO schoolgate_onboarding USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_erasure ON idempotency TO schoolgate_erasure USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));
CREATE POLICY of_identity ON idempotency TO schoolgate_identity USING (true) WITH CHECK (true);
CREATE POLICY of_school ON idempotency TO schoolgate_school USING (district = (SELECT session_district())) WITH CHECK (district = (SELECT session_district()));

-- Grants: each narrow role what it needs. The login role has nothing of its own.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO schoolgate, schoolgate_school, schoolgate_identity, schoolgate_onboarding, schoolgate_intake, schoolgate_erasure, schoolgate_jobs;
GRANT USAGE ON SCHEMA staging TO schoolgate_intake;
GRANT USAGE ON SEQUENCE district_number, school_number, source_number TO schoolgate_onboarding;
GRANT SELECT, INSERT, UPDATE ON access_grant TO schoolgate_onboarding;
GRANT SELECT ON access_grant TO schoolgate_identity;
GRANT SELECT ON access_grant TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE, DELETE ON access_token TO schoolgate_identity;
GRANT SELECT, UPDATE ON access_token TO schoolgate_onboarding;
GRANT SELECT, DELETE ON alias TO schoolgate_erasure;
GRANT SELECT, INSERT ON alias TO schoolgate_school;
GRANT SELECT ON client TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE ON client TO schoolgate_onboarding;
GRANT SELECT, INSERT, UPDATE ON deployment TO schoolgate_onboarding;
GRANT SELECT ON deployment TO schoolgate_identity;
GRANT SELECT ON deployment TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE ON district TO schoolgate_onboarding;
GRANT SELECT ON district TO schoolgate_identity;
GRANT SELECT ON district TO schoolgate_school;
GRANT SELECT ON district TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE ON district_role TO schoolgate_onboarding;
GRANT SELECT ON district_role TO schoolgate_identity;
GRANT SELECT ON district_role TO schoolgate_school;
GRANT SELECT, UPDATE ON idempotency TO schoolgate_erasure;
GRANT SELECT, DELETE ON idempotency TO schoolgate_identity;
GRANT SELECT, INSERT ON idempotency TO schoolgate_school;
GRANT SELECT, INSERT, DELETE ON launch_nonce TO schoolgate_identity;
GRANT SELECT, INSERT ON ledger_entry TO schoolgate_school;
GRANT SELECT, INSERT ON ledger_entry TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE ON lti1p1_key TO schoolgate_onboarding;
GRANT SELECT ON lti1p1_key TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE, DELETE ON relaxation TO schoolgate_onboarding;
GRANT SELECT ON relaxation TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE, DELETE ON waiting_link TO schoolgate_identity;
GRANT SELECT ON waiting_link TO schoolgate_onboarding;
GRANT SELECT, INSERT, UPDATE ON last_notice TO schoolgate_identity;
GRANT SELECT ON last_notice TO schoolgate_onboarding;
GRANT SELECT, INSERT, DELETE ON failed_launch TO schoolgate_identity;
GRANT SELECT ON failed_launch TO schoolgate_onboarding;
GRANT SELECT, INSERT, UPDATE ON lms_invite TO schoolgate_onboarding;
GRANT SELECT ON lms_invite TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE ON platform_keys TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE, DELETE ON registration TO schoolgate_onboarding;
GRANT SELECT ON registration TO schoolgate_identity;
GRANT SELECT ON registration TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE, DELETE ON roster_class TO schoolgate_intake;
GRANT SELECT ON roster_class TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE, DELETE ON roster_course TO schoolgate_intake;
GRANT SELECT ON roster_course TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE, DELETE ON roster_demographics TO schoolgate_intake;
GRANT SELECT, DELETE ON roster_demographics TO schoolgate_erasure;
GRANT SELECT ON roster_demographics TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE, DELETE ON roster_enrollment TO schoolgate_intake;
GRANT SELECT, DELETE ON roster_enrollment TO schoolgate_erasure;
GRANT SELECT ON roster_enrollment TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE, DELETE ON roster_org TO schoolgate_intake;
GRANT SELECT ON roster_org TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE, DELETE ON roster_session TO schoolgate_intake;
GRANT SELECT ON roster_session TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE, DELETE ON roster_user TO schoolgate_intake;
GRANT SELECT, DELETE, UPDATE ON roster_user TO schoolgate_erasure;
GRANT SELECT ON roster_user TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE ON signing_key TO schoolgate_onboarding;
GRANT SELECT ON signing_key TO schoolgate_identity;
GRANT SELECT, INSERT ON signing_key TO schoolgate_school;
GRANT SELECT, INSERT ON signing_key TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE ON source TO schoolgate_onboarding;
GRANT SELECT ON source TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE ON staff TO schoolgate_onboarding;
GRANT SELECT ON staff TO schoolgate_identity;
GRANT SELECT ON staff TO schoolgate_school;
GRANT SELECT ON staff_token TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE ON staff_token TO schoolgate_onboarding;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging."class" TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging."course" TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging."demographics" TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging."enrollment" TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging."held" TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging."org" TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging."removed" TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging."role" TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging."session" TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging."user" TO schoolgate_intake;
GRANT SELECT, DELETE ON subject_key TO schoolgate_erasure;
GRANT SELECT, INSERT ON subject_key TO schoolgate_school;
GRANT SELECT, INSERT, DELETE ON sync_absence TO schoolgate_intake;
GRANT SELECT ON sync_absence TO schoolgate_onboarding;
GRANT SELECT, INSERT, UPDATE ON arrival TO schoolgate_intake;
GRANT SELECT ON arrival TO schoolgate_onboarding;
GRANT SELECT, INSERT ON notification TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE ON notification TO schoolgate_onboarding;
GRANT SELECT, INSERT, UPDATE ON notification_send TO schoolgate_intake;
GRANT SELECT ON notification_send TO schoolgate_onboarding;
GRANT SELECT ON notification_send TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE, DELETE ON notification_way TO schoolgate_onboarding;
GRANT SELECT ON notification_way TO schoolgate_intake;
GRANT SELECT ON source_token TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE ON source_token TO schoolgate_onboarding;
GRANT SELECT, INSERT, UPDATE ON sync_pause TO schoolgate_onboarding;
GRANT SELECT ON sync_pause TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE ON sync_timetable TO schoolgate_onboarding;
GRANT SELECT, UPDATE ON sync_timetable TO schoolgate_intake;
GRANT SELECT ON sync_timetable TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE, DELETE ON watched_file TO schoolgate_intake;
GRANT SELECT, INSERT, DELETE ON sync_fault TO schoolgate_intake;
GRANT SELECT ON sync_fault TO schoolgate_onboarding;
GRANT SELECT, INSERT, UPDATE ON sync_hold TO schoolgate_intake;
GRANT SELECT ON sync_hold TO schoolgate_onboarding;
GRANT SELECT, INSERT, UPDATE ON sync_run TO schoolgate_intake;
GRANT SELECT ON sync_run TO schoolgate_onboarding;
GRANT SELECT, DELETE ON decision TO schoolgate_erasure;
GRANT SELECT, INSERT ON decision TO schoolgate_school;
GRANT SELECT, UPDATE ON transfer TO schoolgate_erasure;
GRANT SELECT, INSERT, UPDATE ON transfer TO schoolgate_school;
GRANT SELECT, INSERT, DELETE ON used_assertion TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE ON vendor TO schoolgate_onboarding;
GRANT SELECT ON vendor TO schoolgate_identity;
GRANT SELECT ON vendor TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE ON school TO schoolgate_onboarding;
GRANT SELECT ON school TO schoolgate_identity;
GRANT SELECT ON school TO schoolgate_school;
GRANT SELECT ON school TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE ON access_grant_school TO schoolgate_onboarding;
GRANT SELECT ON access_grant_school TO schoolgate_identity;
GRANT SELECT ON access_grant_school TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE ON activity TO schoolgate_school;
GRANT SELECT, INSERT ON agreement TO schoolgate_school;
GRANT SELECT ON agreement TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE ON alias_state TO schoolgate_school;
GRANT SELECT, DELETE ON consent TO schoolgate_erasure;
GRANT SELECT, INSERT ON consent TO schoolgate_school;
GRANT SELECT, INSERT, DELETE ON kept_refusal TO schoolgate_school;
GRANT SELECT, DELETE ON opt_out TO schoolgate_erasure;
GRANT SELECT, INSERT ON opt_out TO schoolgate_school;
GRANT SELECT, INSERT ON policy_word TO schoolgate_school;
GRANT SELECT, INSERT ON source_policy TO schoolgate_onboarding;
GRANT SELECT, INSERT ON policy_version TO schoolgate_onboarding;
GRANT SELECT ON source_policy TO schoolgate_school;
GRANT SELECT ON source_policy TO schoolgate_intake;
GRANT SELECT ON policy_version TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE, DELETE ON context_link TO schoolgate_school;
GRANT SELECT ON context_link TO schoolgate_identity;
GRANT SELECT, DELETE ON course_reading TO schoolgate_erasure;
GRANT SELECT, INSERT, UPDATE ON course_reading TO schoolgate_school;
GRANT SELECT, DELETE ON course_reading TO schoolgate_identity;
GRANT SELECT, INSERT, UPDATE ON deletion_task TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE ON deployment_school TO schoolgate_onboarding;
GRANT SELECT ON deployment_school TO schoolgate_identity;
GRANT SELECT ON deployment_school TO schoolgate_school;
GRANT SELECT, INSERT ON direction TO schoolgate_school;
GRANT SELECT, DELETE ON doorkey TO schoolgate_erasure;
GRANT SELECT, INSERT, DELETE ON doorkey TO schoolgate_school;
GRANT SELECT, DELETE ON doorkey TO schoolgate_identity;
GRANT SELECT, DELETE ON launch TO schoolgate_erasure;
GRANT SELECT, INSERT, UPDATE ON launch TO schoolgate_school;
GRANT SELECT, INSERT ON ledger_checkpoint TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE ON ledger_head TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE ON ledger_head TO schoolgate_intake;
GRANT SELECT, INSERT, UPDATE ON line_item TO schoolgate_school;
GRANT SELECT, DELETE ON lms_identity TO schoolgate_erasure;
GRANT SELECT, INSERT, UPDATE ON lms_identity TO schoolgate_school;
GRANT SELECT, DELETE ON lti1p1_user TO schoolgate_erasure;
GRANT SELECT, INSERT, UPDATE ON lti1p1_user TO schoolgate_school;
GRANT SELECT, DELETE ON outbox TO schoolgate_erasure;
GRANT SELECT, INSERT, UPDATE ON outbox TO schoolgate_school;
GRANT SELECT, DELETE ON result TO schoolgate_erasure;
GRANT SELECT, INSERT, UPDATE ON result TO schoolgate_school;
GRANT SELECT, UPDATE ON result_batch TO schoolgate_erasure;
GRANT SELECT, INSERT, UPDATE ON result_batch TO schoolgate_school;
GRANT SELECT, UPDATE ON rights_request TO schoolgate_erasure;
GRANT SELECT, INSERT, UPDATE ON rights_request TO schoolgate_school;
GRANT SELECT, INSERT, DELETE ON roster_version TO schoolgate_intake;
GRANT SELECT ON roster_version TO schoolgate_school;
GRANT SELECT, INSERT, UPDATE ON school_role TO schoolgate_onboarding;
GRANT SELECT ON school_role TO schoolgate_identity;
GRANT SELECT ON school_role TO schoolgate_school;
GRANT SELECT, DELETE ON transcript TO schoolgate_erasure;
GRANT SELECT, INSERT ON transcript TO schoolgate_school;

-- The ledger is append-only, whatever else somebody may be granted later.
CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE FUNCTION ledger_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.erasures > OLD.erasures THEN
        IF (NEW.size, NEW.frontier, NEW.origin, NEW.kid) = (OLD.size, OLD.frontier, OLD.origin, OLD.kid) THEN
            RETURN NEW;
        END IF;
    END IF;
    IF TG_OP = 'DELETE' OR NEW.erasures <> OLD.erasures OR NEW.size <= OLD.size OR NEW.origin <> OLD.origin OR NEW.kid <> OLD.kid THEN
        RAISE EXCEPTION 'the ledger only grows';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE ON ledger_head
    FOR EACH ROW EXECUTE FUNCTION ledger_only_grows();

-- Appends bodies to the logs of schools, `at` saying which body is for which, and returns where each stands: RFC 6962,
-- with the right edge of the tree kept in the head. Here, because the head is locked from its first line until the
-- caller commits, and everybody at a school waits: not one message goes to and fro meanwhile. Logs are locked in the
-- order of their numbers. `erased` is how many erasures a school had when what an entry is about was read; NULL where
-- it is about nobody's row.
CREATE FUNCTION ledger_append(of integer, at integer[], bodies bytea[], erased integer[]) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    one integer;
    n bigint;
    rest bigint;
    times integer;
    edge bytea;
    carried bytea;
    places bigint[];
BEGIN
    FOR one IN SELECT DISTINCT s FROM unnest(at) s ORDER BY s LOOP
        SELECT size, frontier, erasures INTO n, edge, times FROM ledger_head WHERE district = of AND school = one FOR UPDATE;
        IF NOT FOUND OR length(edge) <> 32 * bit_count(int8send(n)) THEN
            RAISE EXCEPTION 'this log cannot be continued';
        END IF;
        FOR i IN 1 .. cardinality(at) LOOP
            CONTINUE WHEN at[i] <> one;
            IF erased[i] <> times THEN
                RAISE EXCEPTION 'somebody was erased since this was read';
            END IF;
            carried := sha256('\x00'::bytea || bodies[i]);
            INSERT INTO ledger_entry (district, school, index, leaf_hash, body) VALUES (of, one, n, carried, bodies[i]);
            rest := n;
            WHILE rest & 1 = 1 LOOP
                carried := sha256('\x01'::bytea || substr(edge, length(edge) - 31) || carried);
                edge := substr(edge, 1, length(edge) - 32);
                rest := rest >> 1;
            END LOOP;
            edge := edge || carried;
            places[i] := n;
            n := n + 1;
        END LOOP;
        UPDATE ledger_head SET size = n, frontier = edge WHERE district = of AND school = one;
    END LOOP;
    RETURN places;
END $$;
