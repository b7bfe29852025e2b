"""The application's dialect: what the assessment platform reads and hands in through `/v1`.

Every field names its element, so that what is permitted decides what is there. Ids are aliases of the grant, with
a prefix that says what they are.
"""

from __future__ import annotations

import re

from marshmallow import Schema, fields, validate

from mappings.elements import element
from mappings.fields import carries
from mappings.text import Text

PERSON, CLASS, GROUP = "pe_", "cl_", "gr_"


def outward(prefix: str, alias: str) -> str:
    """Return an alias as the application sees it."""
    return prefix + alias


def inward(prefix: str, text: str) -> str:
    """Return the alias in an id of this kind, or "" when it is none."""
    return text[len(prefix) :] if text.startswith(prefix) else ""


@carries("application", "LaunchPerson")
class LaunchPerson(Schema):
    id = fields.String(required=True, metadata=element("record.alias"))
    role = fields.String(metadata=element("person.role"))
    name = fields.String(metadata=element("person.name.full"))
    email = fields.String(metadata=element("person.email"))


@carries("application", "ClassRef")
class ClassRef(Schema):
    id = fields.String(required=True, metadata=element("record.alias"))
    title = fields.String(metadata=element("class.section"))
    matched = fields.String(metadata=element("launch.context"))


@carries("application", "ActivityRef")
class ActivityRef(Schema):
    your_id = fields.String(allow_none=True, metadata=element("launch.context"))
    column = fields.String(metadata=element("launch.context"))


@carries("application", "Can")
class Can(Schema):
    members = fields.Boolean(metadata=element("launch.context"))
    grades = fields.Boolean(metadata=element("launch.context"))
    read_back = fields.Boolean(metadata=element("launch.context"))


@carries("application", "Accepts")
class Accepts(Schema):
    """What an LMS takes back from a picker (Deep Linking 2.0, section 4.4.1)."""

    types = fields.List(fields.String(), metadata=element("launch.context"))
    multiple = fields.Boolean(metadata=element("launch.context"))
    line_item = fields.Boolean(allow_none=True, metadata=element("launch.context"))
    media_types = fields.String(allow_none=True, metadata=element("launch.context"))
    targets = fields.List(fields.String(), metadata=element("launch.context"))


@carries("application", "About")
class About(Schema):
    """Whose work a teacher comes to look at."""

    id = fields.String(required=True, metadata=element("record.alias"))


@carries("application", "Launch")
class Launch(Schema):
    """A launch, as the application learns of it in exchange for its code."""

    id = fields.String(required=True, metadata=element("launch.context"))
    kind = fields.String(metadata=element("launch.context"))
    expires_at = fields.String(metadata=element("launch.context"))
    person = fields.Nested(LaunchPerson, metadata=element("record.alias"))
    class_ = fields.Nested(ClassRef, data_key="class", metadata=element("launch.context"))
    activity = fields.Nested(ActivityRef, metadata=element("launch.context"))
    about = fields.Nested(About, allow_none=True, metadata=element("record.alias"))
    accepts = fields.Nested(Accepts, allow_none=True, metadata=element("launch.context"))
    can = fields.Nested(Can, metadata=element("launch.context"))
    withheld = fields.List(fields.String(), metadata=element("launch.context"))
    return_url = fields.String(allow_none=True, metadata=element("launch.context"))
    locale = fields.String(allow_none=True, metadata=element("person.locale"))


@carries("application", "Group")
class Group(Schema):
    """A group of a class; its name leaves where the agreement lists names of groups."""

    id = fields.String(required=True, metadata=element("enrollment.group"))
    name = fields.String(allow_none=True, metadata=element("group.name"))
    set = fields.String(allow_none=True, metadata=element("group.name"))


@carries("application", "Member")
class Member(Schema):
    id = fields.String(required=True, metadata=element("record.alias"))
    role = fields.String(metadata=element("person.role"))
    name = fields.String(metadata=element("person.name.full"))
    email = fields.String(metadata=element("person.email"))
    source = fields.String(metadata=element("enrollment.membership"))
    groups = fields.List(fields.Nested(Group), metadata=element("enrollment.group"))


@carries("application", "Withheld")
class Withheld(Schema):
    code = fields.String(metadata=element("enrollment.membership"))
    count = fields.Integer(allow_none=True, metadata=element("enrollment.membership"))


@carries("application", "Members")
class Members(Schema):
    """The people of a class. Small counts of the withheld are not said."""

    data = fields.List(fields.Nested(Member), metadata=element("enrollment.membership"))
    next = fields.String(allow_none=True, metadata=element("enrollment.membership"))
    snapshot = fields.String(metadata=element("record.version"))
    withheld = fields.List(fields.Nested(Withheld), metadata=element("enrollment.membership"))
    request_id = fields.String(metadata=element("record.version"))


# --- handed in -------------------------------------------------------------------------------------

_NAME = validate.Length(1, 255)
_ID_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,127}\Z")
_YOUR_ID = validate.Regexp(_ID_FORM)


def is_your_id(text: str) -> bool:
    """Whether a text can be an activity's id in the application's own words."""
    return _ID_FORM.match(text) is not None


@carries("application", "Exchange")
class Exchange(Schema):
    code = Text(required=True, validate=validate.Length(20, 200), metadata=element("launch.context"))


@carries("application", "Activity")
class Activity(Schema):
    """An activity of the application: a column in the gradebook, by the application's own id."""

    class_ = Text(data_key="class", required=True, validate=_NAME, metadata=element("record.alias"))
    title = Text(required=True, validate=_NAME, metadata=element("activity.title"))
    points = fields.Float(
        required=True, validate=validate.Range(0, 100_000, min_inclusive=False), metadata=element("activity.title")
    )
    scale = fields.Dict(
        Text(validate=_NAME), fields.Float(validate=validate.Range(0, 100_000)), load_default=dict,
        validate=validate.Length(max=50), metadata=element("gradebook.scale"),
    )  # fmt: skip
    due_on = fields.Date(allow_none=True, load_default=None, metadata=element("activity.dates"))


@carries("application", "Result")
class Result(Schema):
    """One pupil's result: a mastery level of the activity's scale, or points."""

    ref = Text(required=True, validate=_NAME, metadata=element("record.frame"))
    person = Text(required=True, validate=_NAME, metadata=element("record.alias"))
    mastery = Text(validate=_NAME, metadata=element("result.level"))
    points = fields.Float(validate=validate.Range(0, 100_000), metadata=element("result.score"))
    at = fields.AwareDateTime(required=True, metadata=element("result.time"))


@carries("application", "ResultBatch")
class ResultBatch(Schema):
    mode = Text(required=True, validate=validate.OneOf(["preview", "apply"]), metadata=element("record.frame"))
    activity = Text(required=True, validate=_YOUR_ID, metadata=element("activity.column"))
    launch = Text(required=True, validate=_NAME, metadata=element("launch.context"))
    results = fields.List(
        fields.Nested(Result), required=True, validate=validate.Length(1, 1000), metadata=element("result.level")
    )


@carries("transcript", "Competency")
class Competency(Schema):
    name = Text(required=True, validate=_NAME, metadata=element("transcript.competencies"))
    level = Text(required=True, validate=_NAME, metadata=element("transcript.competencies"))
    on = fields.Date(required=True, metadata=element("transcript.competencies"))


@carries("transcript", "TranscriptIn")
class TranscriptIn(Schema):
    """What the application hands in for a transcript; the gateway adds who and which school."""

    title = Text(required=True, validate=_NAME, metadata=element("transcript.competencies"))
    issued_on = fields.Date(required=True, metadata=element("transcript.competencies"))
    competencies = fields.List(
        fields.Nested(Competency), required=True, validate=validate.Length(1, 300),
        metadata=element("transcript.competencies"),
    )  # fmt: skip


@carries("transcript", "TranscriptRequest")
class TranscriptRequest(Schema):
    person = Text(required=True, validate=_NAME, metadata=element("record.alias"))
    document = fields.Nested(TranscriptIn, required=True, metadata=element("transcript.competencies"))


@carries("transcript", "Transcript")
class Transcript(Schema):
    """The document as it is delivered: a closed schema, nothing technical, nothing of usage."""

    title = fields.String(required=True, metadata=element("transcript.competencies"))
    issued_on = fields.Date(required=True, metadata=element("transcript.competencies"))
    pupil = fields.String(required=True, metadata=element("transcript.identity"))
    school = fields.String(required=True, metadata=element("transcript.identity"))
    competencies = fields.List(fields.Nested(Competency), required=True, metadata=element("transcript.competencies"))
