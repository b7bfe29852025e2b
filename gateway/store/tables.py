"""Every table, who may touch it, and how rows are told apart.

A table with a school begins its key with (district, school) and has row security forced; `grants` says which
narrow role may do what. The catalog of a migrated database is compared with this page by a test. Roster
tables are made from the kinds of `mappings.oneroster.records`.

Columns are written `name`, `name:type` or `name:type?` where the value may be absent; without a type a column
is an identifier or word, compared by bytes whatever the database's locale.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from gateway.store.roles import ERASURE, IDENTITY, INTAKE, ONBOARDING, SCHOOL
from mappings.oneroster.records import KINDS, PROJECTED, Kind

metadata = sa.MetaData()
STAGING = "staging"
NUMBERS = tuple(sa.Sequence(f"{owner}_number", metadata=metadata) for owner in ("district", "school", "source"))

_ID = sa.Text(collation="C")
_TYPES: dict[str, Any] = {
    "id": _ID,
    "ids": ARRAY(_ID),
    "text": sa.Text,
    "text[]": ARRAY(sa.Text),
    "time": sa.DateTime(timezone=True),
    "date": sa.Date,
    "int": sa.Integer,
    "numbers": ARRAY(sa.Integer),
    "integer": sa.Integer,
    "big": sa.BigInteger,
    "number": sa.Numeric,
    "boolean": sa.Boolean,
    "bytes": sa.LargeBinary,
    "json": JSONB,
    "jsonb": JSONB,
    "uuid": sa.Uuid,
}
_KEYS = {"district": ["district"], "school": ["district", "school"], "shared": []}


def _columns(notation: str) -> list[sa.Column[Any]]:
    made = []
    for word in notation.split():
        name, _, type_ = word.rstrip("?").partition(":")
        made.append(sa.Column(name, _TYPES[type_ or "id"], nullable=word.endswith("?")))
    return made


def _table(
    name: str, owner: str, key: str, notation: str, grants: dict[str, str], *more: Any, tied: bool = True
) -> sa.Table:
    """Make a table. `owner` is district, school or shared (read before any district is known); the key
    continues (district[, school]). Bulk tables are not `tied` to their school by a foreign key."""
    keys = _KEYS[owner]
    ties = []
    if owner == "school" and tied:
        ties = [sa.ForeignKeyConstraint(keys, ["school.district", "school.school"])]
    columns = [sa.Column(k, sa.Integer, nullable=False) for k in keys] + _columns(notation)
    primary = sa.PrimaryKeyConstraint(*keys, *key.split())
    return sa.Table(name, metadata, *columns, primary, *ties, *more, info={"grants": grants})


_S, _SI, _SIU, _SID = "SELECT", "SELECT, INSERT", "SELECT, INSERT, UPDATE", "SELECT, INSERT, DELETE"
_SIUD = "SELECT, INSERT, UPDATE, DELETE"
_ERASED, _EMPTIED = {ERASURE: "SELECT, DELETE"}, {ERASURE: "SELECT, UPDATE"}
_PLACES = {ONBOARDING: _SIU, IDENTITY: _S, SCHOOL: _S}
_WRITES = {SCHOOL: _SIU}
_VERSIONS = {SCHOOL: _SI}

# --- districts, schools, people --------------------------------------------------------------------

district = _table(
    "district", "district", "", "ref name zone created_at:time created_by",
    _PLACES | {INTAKE: _S}, sa.UniqueConstraint("ref"),
)  # fmt: skip
school = _table(
    "school", "school", "", "ref name source? org_id? created_at:time created_by",
    _PLACES | {INTAKE: _S}, sa.UniqueConstraint("ref"), sa.UniqueConstraint("district", "source", "org_id"),
    sa.ForeignKeyConstraint(["district"], ["district.district"]), tied=False,
)  # fmt: skip
staff = _table("staff", "district", "staff", "staff name status created_at:time created_by", _PLACES)
district_role = _table("district_role", "district", "staff role", "staff role granted_by granted_at:time", _PLACES)
school_role = _table("school_role", "school", "staff role", "staff role granted_by granted_at:time", _PLACES)
staff_token = _table(
    "staff_token", "shared", "token_hash",
    "token_hash:bytes district:int staff created_at:time expires_at:time revoked_at:time?",
    {IDENTITY: _S, ONBOARDING: _SIU},
)  # fmt: skip
vendor = _table(
    "vendor", "district", "vendor",
    "vendor name category contact is_application:boolean launch_url? created_at:time created_by", _PLACES,
)  # fmt: skip

# --- credentials -----------------------------------------------------------------------------------

access_grant = _table(
    "access_grant", "district", "access_grant",
    "access_grant vendor agreement scopes:ids status created_at:time created_by", _PLACES,
)  # fmt: skip
access_grant_school = _table("access_grant_school", "school", "access_grant", "access_grant", _PLACES)
client = _table(
    "client", "shared", "client_id",
    "client_id district:int access_grant secret_hash? public_key:json? status created_at:time",
    {IDENTITY: _S, ONBOARDING: _SIU},
)  # fmt: skip
access_token = _table(
    "access_token", "shared", "token_hash",
    """token_hash:bytes client_id district:int access_grant scopes:ids issued_at:time expires_at:time
    revoked_at:time?""",
    {IDENTITY: _SIUD, ONBOARDING: "SELECT, UPDATE"},
)  # fmt: skip
used_assertion = _table("used_assertion", "shared", "client_id jti", "client_id jti expires_at:time", {IDENTITY: _SID})
signing_key = _table(
    "signing_key", "shared", "kid",
    "kid purpose private:bytes public:json created_at:time registration? used_from:time? retired_at:time?",
    {ONBOARDING: _SIU, IDENTITY: _S, SCHOOL: _SI, INTAKE: _SI},
)  # fmt: skip
# An unguessable key that opens one thing at one school until it expires: a launch code, a teacher's page,
# a family's page. Only its hash is kept.
doorkey = _table(
    "doorkey", "school", "key_hash", "key_hash:bytes opens ref holder expires_at:time",
    {SCHOOL: _SID, IDENTITY: "SELECT, DELETE"} | _ERASED, sa.Index("doorkey_by_hash", "key_hash", unique=True),
)  # fmt: skip

# --- LTI -------------------------------------------------------------------------------------------

registration = _table(
    "registration", "shared", "registration",
    """registration home_district:int issuer client_id vendor product auth_url token_url token_audience
    jwks_url hosts:ids status created_at:time created_by""",
    _PLACES | {ONBOARDING: _SIUD}, sa.UniqueConstraint("issuer", "client_id", "home_district"),
)  # fmt: skip
# An address at which an LMS may register itself once, and what came of it. Only the address's hash is kept.
lms_invite = _table(
    "lms_invite", "district", "invite",
    """invite key_hash:bytes vendor schools:ids agreement? hosts:ids key_set state created_at:time created_by
    expires_at:time claimed_until:time? problem? registration? issuer? client_id? deployment_id? said:json?
    answered_at:time? decided_at:time? decided_by?""",
    {ONBOARDING: _SIU, IDENTITY: _S}, sa.UniqueConstraint("key_hash"), sa.UniqueConstraint("key_set"),
)  # fmt: skip
relaxation = _table(  # what one registration is excused from, by whom, why, and until when
    "relaxation", "shared", "registration name",
    "registration name value reason since:time until:time created_by", {ONBOARDING: _SIUD, IDENTITY: _S},
)  # fmt: skip
# Courses and deployments that launched and are not linked yet, for somebody of the district to link; and launches that
# failed, without a person in them: both bounded per registration, and written only for tokens that verified.
waiting_link = _table(
    "waiting_link", "district", "registration deployment_id context_id",
    "registration deployment_id context_id deployment? title? copied_from:ids seen_at:time", {IDENTITY: _SIUD, ONBOARDING: _S},
)  # fmt: skip
failed_launch = _table(
    "failed_launch", "district", "support", "support registration at:time code facts:json",
    {IDENTITY: _SID, ONBOARDING: _S}, sa.Index("failed_launch_by_registration", "registration", "at"),
)  # fmt: skip
last_notice = _table(  # when a platform told something last of a deployment, by kind
    "last_notice", "district", "deployment notice_type", "deployment notice_type at:time",
    {IDENTITY: _SIU, ONBOARDING: _S},
)  # fmt: skip
platform_keys = _table(
    "platform_keys", "shared", "registration", "registration key_set:json fetched_at:time", {IDENTITY: _SIU}
)
deployment = _table(
    "deployment", "district", "deployment",
    "deployment registration deployment_id issuer client_id agreement? status created_at:time created_by",
    _PLACES, sa.UniqueConstraint("registration", "deployment_id"),
    sa.UniqueConstraint("issuer", "client_id", "deployment_id"),  # one district's, where several share a client
)  # fmt: skip
deployment_school = _table("deployment_school", "school", "deployment", "deployment", _PLACES)
context_link = _table(
    "context_link", "school", "deployment context_id",
    "deployment context_id class_id services:json linked_at:time linked_by", {SCHOOL: _SIUD, IDENTITY: _S},
    sa.UniqueConstraint("district", "deployment", "context_id"),
)  # fmt: skip
# Who was in a course when it was read last (LMS user `subs[n]` is our `people[n]`), and where its LMS says what changed
# since. No truth of ours: whatever is missing or old is read anew.
course_reading = _table(
    "course_reading", "school", "deployment context_id",
    """deployment context_id source differences version:int subs:ids people:ids whole_at:time read_at:time""",
    {SCHOOL: _SIU, IDENTITY: "SELECT, DELETE"} | _ERASED,
    sa.ForeignKeyConstraint(
        ["district", "school", "deployment", "context_id"],
        [f"context_link.{name}" for name in ("district", "school", "deployment", "context_id")], ondelete="CASCADE",
    ),
)  # fmt: skip
launch_nonce = _table("launch_nonce", "shared", "nonce_hash", "nonce_hash:bytes expires_at:time", {IDENTITY: _SID})
launch = _table(
    "launch", "school", "launch",
    """launch deployment context_id class_id sub person_id? role access_grant decision:json facts:json
    created_at:time expires_at:time""",
    _WRITES | _ERASED,
)  # fmt: skip
lms_identity = _table(
    "lms_identity",
    "school",
    "registration sub",
    "registration sub person_id evidence seen_at:time",
    _WRITES | _ERASED,
)
# What is known of an LMS's days of LTI 1.1: the secrets it signs for, and who its users were called then.
lti1p1_key = _table(
    "lti1p1_key", "shared", "registration consumer_key",
    "registration consumer_key secret:bytes created_at:time created_by", {ONBOARDING: _SIU, IDENTITY: _S},
)  # fmt: skip
lti1p1_user = _table(
    "lti1p1_user", "school", "registration user_id", "registration user_id person_id created_at:time",
    _WRITES | _ERASED,
)  # fmt: skip

# --- what policy reads: versioned, never updated in place -------------------------------------------

agreement = _table(
    "agreement", "school", "agreement version",
    """agreement version:int vendor status effective_at:time expires_at:time body:json recorded_at:time
    recorded_by""",
    _VERSIONS | {INTAKE: _S},
)  # fmt: skip
direction = _table(
    "direction", "school", "direction version",
    """direction version:int agreement operation status valid_from:time expires_at:time body:json
    recorded_at:time recorded_by""",
    _VERSIONS,
)  # fmt: skip
consent = _table(
    "consent", "school", "consent version",
    """consent version:int person_id scope agreement? status grantor evidenced:boolean valid_from:time
    valid_until:time? body:json recorded_at:time recorded_by""",
    _VERSIONS | _ERASED, sa.Index("consent_by_person", "district", "school", "person_id"),
)  # fmt: skip
opt_out = _table(
    "opt_out", "school", "opt_out version",
    """opt_out version:int person_id category? status valid_from:time valid_until:time? body:json
    recorded_at:time recorded_by""",
    _VERSIONS | _ERASED, sa.Index("opt_out_by_person", "district", "school", "person_id"),
)  # fmt: skip
# What stays refused for somebody who was erased, under a keyed hash that leads to nobody.
kept_refusal = _table(
    "kept_refusal", "school", "mark", "mark:bytes refusals:json kept_at:time", {SCHOOL: _SID},
)  # fmt: skip
source_policy = _table(  # which policy governs a district: the one of the highest version
    "source_policy", "district", "version", "version:int policy recorded_at:time recorded_by",
    {ONBOARDING: _SI, SCHOOL: _S, INTAKE: _S},
)  # fmt: skip
policy_version = _table(
    "policy_version", "district", "policy version",
    "policy version:int change effective_at:time opens:ids document recorded_at:time recorded_by",
    {ONBOARDING: _SI, SCHOOL: _S},
)  # fmt: skip
policy_word = _table(  # that a school was told of a version (noticed), or agreed to it (accepted)
    "policy_word", "school", "policy version word",
    "policy version:int word at:time body:json recorded_at:time recorded_by", _VERSIONS,
)  # fmt: skip

# --- rosters ---------------------------------------------------------------------------------------

source = _table(
    "source", "district", "source",
    """source number:int name kind url? token_url? client_id? secret:bytes? guards:json? repairs:ids? host_key? status
    created_at:time created_by product? version? method? scopes:ids? peak:ids? zone? capabilities:json? probed_at:time?
    cursor:time? full_at:time? drift:int?""",
    {ONBOARDING: _SIU, INTAKE: _S}, sa.UniqueConstraint("number"),
)  # fmt: skip
# While a run is under way its row says how far it has come; `beat_at` is when it last said so.
sync_run = _table(
    "sync_run", "district", "run",
    """run source state started_at:time finished_at:time? delivery_hash? report:json acted_by step? rows_done:big
    rows_total:big? stepped_at:time? beat_at:time?""",
    {INTAKE: _SIU, ONBOARDING: _S}, sa.Index("sync_run_by_source", "district", "source", "started_at"),
)  # fmt: skip
# What waits for a second person's word: removals, a whole delivery, or an undo. Its rows are in `staging.held`.
sync_hold = _table(
    "sync_hold", "district", "hold",
    """hold source run kind state code acted_by asked_by? opened_at:time expires_at:time ended_at:time? ended_by? counts:json
    review:json""",
    {INTAKE: _SIU, ONBOARDING: _S}, sa.Index("sync_hold_by_source", "district", "source", "state"),
)  # fmt: skip
sync_absence = _table(  # why accepted records were not met again in a delivery
    "sync_absence", "district", "run number", "run number:int kind sourced_id person_id? cause",
    {INTAKE: _SID, ONBOARDING: _S},
)  # fmt: skip
sync_fault = _table(
    "sync_fault", "district", "run number",
    "run number:int file line:int column_name code effect shape:text hint:text sourced_id?",
    {INTAKE: _SID, ONBOARDING: _S},
)  # fmt: skip
# When a source is run, and what became of it tonight: `due_at` as it was reckoned at `set_at`. A row that only
# `expects` is of files that are handed in: its time is when they should have come.
sync_timetable = _table(
    "sync_timetable", "district", "source",
    """source minute:int weekdays:ids holidays:ids peaks:ids terms:boolean expects:boolean looks:boolean due_at:time
    set_at:time? waited_from:time attempt:int said? came_at:time? changed_at:time changed_by""",
    {ONBOARDING: _SIU, INTAKE: "SELECT, UPDATE", IDENTITY: _S}, sa.Index("sync_timetable_by_due", "due_at"),
)  # fmt: skip
sync_pause = _table(
    "sync_pause", "district", "pause",
    "pause source from_at:time until_at:time? reason:text created_at:time created_by ended_at:time? ended_by?",
    {ONBOARDING: _SIU, INTAKE: _S},
)  # fmt: skip
# A delivery that was handed in or found, whole in the spool, until its run is over.
arrival = _table(
    "arrival", "district", "run",
    "run source fingerprint size:big state code? acted_by received_at:time ended_at:time?",
    {INTAKE: _SIU, ONBOARDING: _S},
)  # fmt: skip
watched_file = _table(  # how a file of a watched folder looked, and since when it has looked so
    "watched_file", "district", "source name", "source name size:big modified:time seen_at:time fingerprint?",
    {INTAKE: _SIUD},
)  # fmt: skip
source_token = _table(
    "source_token", "shared", "token_hash",
    "token_hash:bytes district:int source created_at:time created_by expires_at:time revoked_at:time?",
    {IDENTITY: _S, ONBOARDING: _SIU},
)  # fmt: skip
# What the people of a district are told of its sources: once a day and cause, without anybody in it.
notification = _table(
    "notification", "district", "notification",
    "notification source cause day:date run? code? said:json made_at:time seen_at:time? seen_by?",
    {INTAKE: _SI, ONBOARDING: _SIU}, sa.UniqueConstraint("district", "source", "cause", "day"),
)  # fmt: skip
notification_way = _table(
    "notification_way", "district", "way", "way address secret:bytes? changed_at:time changed_by",
    {ONBOARDING: _SIUD, INTAKE: _S},
)  # fmt: skip
notification_send = _table(
    "notification_send", "district", "notification way", "notification way state tries:int due_at:time sent_at:time? code?",
    {INTAKE: _SIU, ONBOARDING: _S, IDENTITY: _S},
)  # fmt: skip
roster_version = _table(
    "roster_version", "school", "version", "version:int run published_at:time counts:json",
    {INTAKE: _SID, SCHOOL: _S},
)  # fmt: skip


def columns_of(kind: Kind) -> str:
    """Return the stored columns of a kind of record in the notation of this page."""
    words = []
    for column in kind.columns:
        list_ = column.type == "text[]"
        type_ = ("ids" if list_ else "id") if column.refers_to else column.type
        words.append(f"{column.name}:{type_}?")
    return " ".join(words)


def _mirror(kind: Kind) -> sa.Table:
    """What a source, by its number, last said that we accepted; no school, no row security (COPY), the intake role
    only."""
    fixed = _columns("source:int sourced_id hash:big")
    missed = sa.Column("missed", sa.SmallInteger, nullable=False, server_default=sa.text("0"))
    line = sa.Column("line", sa.Integer, nullable=False, server_default=sa.text("0"))  # where it stood when it was new
    primary = sa.PrimaryKeyConstraint("source", "sourced_id")
    modified = sa.Column("modified", sa.DateTime(timezone=True))  # since when a delta says that it is so
    columns = [*fixed, missed, line, modified, *_columns(columns_of(kind))]
    unsure = sa.Index(f"unsure_{kind.name}", "source", postgresql_where=sa.text("hash = 0 OR missed > 0"))
    return sa.Table(kind.name, metadata, *columns, primary, unsure, schema=STAGING, info={"grants": {INTAKE: _SIUD}})


_OF_PEOPLE = {"user": {ERASURE: "SELECT, UPDATE, DELETE"}, "demographics": _ERASED, "enrollment": _ERASED}


def _roster(kind: Kind) -> sa.Table:
    """One row per school and version interval [since, until)."""
    extra = " roles:json? is_pupil:boolean" if kind.name == "user" else ""
    notation = f"sourced_id since:int until:int? modified:time hash:big {columns_of(kind)}{extra}"
    grants = {INTAKE: _SIUD, SCHOOL: _S} | _OF_PEOPLE.get(kind.name, {})
    return _table(f"roster_{kind.name}", "school", "sourced_id since", notation, grants, tied=False)


# Records that a delta removed, and since when: what is older than that, and comes later, does not bring them back.
removed = sa.Table(
    "removed", metadata, *_columns("source:int kind sourced_id modified:time"),
    sa.PrimaryKeyConstraint("source", "kind", "sourced_id"), schema=STAGING, info={"grants": {INTAKE: _SIUD}},
)  # fmt: skip
MIRRORS = {kind.name: _mirror(kind) for kind in KINDS.values()}
# Records of deliveries that wait: what would come in or go, and the schools at which that has not been released yet.
held = sa.Table(
    "held", metadata, *_columns("source:int hold kind sourced_id what cause line:int hash:big content:json? schools:numbers"),
    sa.PrimaryKeyConstraint("source", "kind", "sourced_id", "hold"), schema=STAGING, info={"grants": {INTAKE: _SIUD}},
)  # fmt: skip
ROSTER = {kind.name: _roster(kind) for kind in PROJECTED}
for _column in ("class", "user"):
    _parts = (ROSTER["enrollment"].c[n] for n in ("district", "school", _column))
    sa.Index(f"roster_enrollment_by_{_column}", *_parts, postgresql_where=sa.text("until IS NULL"))

# A vendor's name for a record: random, per grant, stored so that it can be looked up and sorted. The index has those
# of all schools of a grant in one order. It says something that is always true, so that it serves only statements that
# say it too: on fresh rows, which have no statistics, a lookup by id would else be served by walking it.
alias = _table(
    "alias", "school", "access_grant kind sourced_id", "access_grant kind sourced_id alias:uuid", _VERSIONS | _ERASED,
    sa.Index("alias_by_alias", "district", "access_grant", "kind", "alias", "school", unique=True,
             postgresql_where=sa.text("alias >= '00000000-0000-0000-0000-000000000000'::uuid")),
    tied=False,
)  # fmt: skip
alias_state = _table("alias_state", "school", "access_grant", "access_grant version:int", _WRITES)

# --- the ledger ------------------------------------------------------------------------------------

ledger_head = _table(
    "ledger_head", "school", "", "origin kid size:big frontier:bytes erasures:int", {SCHOOL: _SIU, INTAKE: _SIU}
)
ledger_entry = _table(
    "ledger_entry", "school", "index", "index:big leaf_hash:bytes body:bytes", {SCHOOL: _SI, INTAKE: _SI},
    tied=False,
)  # fmt: skip
ledger_checkpoint = _table("ledger_checkpoint", "school", "size", "size:big note:text signed_at:time", _VERSIONS)
# The link between a person and the ledger's handles: destroying the salt breaks it for good.
subject_key = _table("subject_key", "school", "person_id", "person_id salt:bytes", {SCHOOL: _SI} | _ERASED, tied=False)
transfer = _table(
    "transfer", "school", "transfer",
    """transfer operation agreement vendor access_grant entry:big at:time elements:ids handles:bytes
    payload_key:bytes outcome""",
    _WRITES | _EMPTIED, tied=False,
)  # fmt: skip
# What a decision rested on, as references to versions: about one person, it goes with them when they are erased.
decision = _table(
    "decision", "school", "decision", "decision at:time person_id? key:bytes basis:json", _VERSIONS | _ERASED,
    sa.Index("decision_by_person", "district", "school", "person_id",
             postgresql_where=sa.text("person_id IS NOT NULL")),
    tied=False,
)  # fmt: skip
# --- results and grades ----------------------------------------------------------------------------

activity = _table(
    "activity", "school", "access_grant your_id",
    "access_grant your_id activity class_id title:text points:number scale:json due_on:date? updated_at:time",
    _WRITES,
)  # fmt: skip
line_item = _table(
    "line_item", "school", "activity deployment context_id",
    "activity deployment context_id url created_at:time", _WRITES,
)  # fmt: skip
result_batch = _table(
    "result_batch", "school", "batch",
    "batch access_grant activity launch state created_at:time directed_by?", _WRITES | _EMPTIED,
)  # fmt: skip
result = _table(
    "result", "school", "batch ref",
    "batch ref person_id? level? points:number? given_at:time state reason? changed_at:time", _WRITES | _ERASED,
)  # fmt: skip
outbox = _table(
    "outbox", "school", "delivery",
    """delivery batch ref person_id sub activity deployment context_id lane points:number maximum:number
    fixed_at:time state attempt:int lease_until:time? transfer? payload:bytes? reason? due_at:time
    created_at:time changed_at:time""",
    _WRITES | _ERASED, sa.Index("outbox_lane", "district", "school", "lane", "fixed_at"),
)  # fmt: skip
idempotency = _table(
    "idempotency", "district", "access_grant key",
    "access_grant key body_hash:bytes status:int answer:json created_at:time",
    _VERSIONS | _EMPTIED | {IDENTITY: "SELECT, DELETE"}, sa.Index("idempotency_by_age", "created_at"),
)  # fmt: skip

# --- families and transcripts ----------------------------------------------------------------------

rights_request = _table(
    "rights_request", "school", "request", "request person_id? kind state opened_at:time due_at:time asked_by",
    _WRITES | _EMPTIED,
)  # fmt: skip
deletion_task = _table(
    "deletion_task", "school", "task",
    "task request vendor agreement state due_at:time attested_at:time? transfers:int", _WRITES,
)  # fmt: skip
transcript = _table(
    "transcript", "school", "transcript version",
    "transcript version:int person_id document:bytes created_at:time access_grant", _VERSIONS | _ERASED,
)  # fmt: skip

HAS_SCHOOL = tuple(t for t in metadata.tables.values() if "school" in t.c and t.schema is None)
HAS_DISTRICT = tuple(t for t in metadata.tables.values() if "district" in t.primary_key.columns and t not in HAS_SCHOOL)
