"""What a school puts on file, in the words of a JSON object or a CSV line: agreements, directions, consents, opt-outs,
versions of the privacy policy.

`number` is the district's own number of a paper: the same number is the same paper, so that a file may come twice. In
CSV several values of one cell are separated by semicolons.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from mappings.elements import element
from mappings.fields import carries
from mappings.text import Text

_TERMS, _ANSWER = element("paper.terms"), element("paper.answer")
_PUPIL, _SCHOOL = element("person.identifier"), element("org.directory")
_NUMBER = validate.Regexp(r"[\w./-]{1,100}\Z", error="letters, digits and . / - _")
_SHA256 = validate.Regexp(r"[0-9a-f]{64}\Z", error="the SHA-256 of the document, 64 hexadecimal digits")
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0", "")


def _words(value: Any) -> list[str]:
    parts = value.split(";") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValidationError("a list, or words with semicolons between them")
    return [word for word in (Text().deserialize(part).strip() for part in parts) if word]


def _answer(value: Any) -> bool:
    word = str(value).strip().lower() if isinstance(value, str | bool | int) else "?"
    if word not in _YES + _NO:
        raise ValidationError("yes or no")
    return word in _YES


def _moment(value: Any) -> datetime:
    said = value.strip() if isinstance(value, str) else ""
    try:
        day = len(said) == len("2026-07-01")
        moment = datetime.combine(date.fromisoformat(said), time.min, UTC) if day else datetime.fromisoformat(said)
    except ValueError as error:
        raise ValidationError("a date (YYYY-MM-DD)") from error
    if moment.tzinfo is None:
        raise ValidationError("a moment with its offset from UTC")
    if not 1900 <= moment.year <= 2200:
        raise ValidationError("a date from 1900 to 2200")
    return moment.astimezone(UTC)


def Several(**options: Any) -> fields.Function:  # noqa: N802 - a field
    """A list of words, or one text with semicolons between them."""
    return fields.Function(deserialize=_words, **options)


def Flag(**options: Any) -> fields.Function:  # noqa: N802 - a field
    """True or false, or yes or no."""
    return fields.Function(deserialize=_answer, **options)


def Moment(**options: Any) -> fields.Function:  # noqa: N802 - a field
    """A day (its first moment, UTC), or a moment with its offset from UTC."""
    return fields.Function(deserialize=_moment, **options)


class _OnFile(Schema):
    """What every paper has. An empty cell of CSV is a cell that is not there."""

    class Meta:
        unknown = RAISE

    number = Text(validate=_NUMBER, metadata=_TERMS)


class _Dated(_OnFile):
    begins = Moment(data_key="from", metadata=_TERMS)
    expires = Moment(data_key="until", metadata=_TERMS)


@carries("on_file", "Agreement")
class Agreement(_Dated):
    """An agreement with a vendor, for schools (all of the district when none is named)."""

    expires = Moment(data_key="until", required=True, metadata=_TERMS)
    vendor = Text(required=True, metadata=_TERMS)
    schools = Several(load_default=list, metadata=_TERMS)
    schedule = Several(required=True, metadata=_TERMS)
    purposes = Several(required=True, metadata=_TERMS)
    operations = Several(required=True, metadata=_TERMS)
    retention_days = fields.Integer(validate=validate.Range(1, 36_500), metadata=_TERMS)
    commitments = Several(load_default=list, metadata=_TERMS)
    assured = Moment(metadata=_TERMS)
    debarred_until = Moment(metadata=_TERMS)
    endpoints = Several(load_default=list, metadata=_TERMS)
    subprocessors = Several(load_default=list, metadata=_TERMS)
    school_agent = Flag(load_default=False, metadata=_TERMS)
    consent_needed = Flag(load_default=False, metadata=_TERMS)
    document = Text(validate=_SHA256, metadata=_TERMS)
    status = Text(load_default="active", validate=validate.OneOf(["draft", "active", "suspended"]), metadata=_TERMS)


@carries("on_file", "Direction")
class Direction(_Dated):
    """Somebody entitled asks for a kind of transfer, or for one document, under an agreement."""

    expires = Moment(data_key="until", required=True, metadata=_TERMS)
    agreement = Text(required=True, metadata=_TERMS)
    operation = Text(required=True, metadata=_TERMS)
    schools = Several(load_default=list, metadata=_TERMS)
    elements = Several(load_default=list, metadata=_TERMS)
    record = Text(
        validate=validate.Regexp(r"[\w.-]{1,100}@[1-9]\d{0,8}\Z", error="a document is reference@version"),
        metadata=_TERMS,
    )


@carries("on_file", "Consent")
class Consent(_Dated):
    """A family's answer: to use here, or to disclosure under an agreement (or under all)."""

    school = Text(required=True, metadata=_SCHOOL)
    pupil = Text(required=True, metadata=_PUPIL)
    scope = Text(required=True, validate=validate.OneOf(["use", "disclose"]), metadata=_ANSWER)
    status = Text(
        required=True, validate=validate.OneOf(["pending", "given", "refused", "withdrawn"]), metadata=_ANSWER
    )
    agreement = Text(metadata=_ANSWER)
    grantor = Text(
        required=True, validate=validate.OneOf(["parent", "eligible_student", "school_as_agent"]), metadata=_ANSWER
    )
    method = Text(validate=validate.Length(1, 100), metadata=_ANSWER)
    answered = Moment(metadata=_ANSWER)
    document = Text(validate=_SHA256, metadata=_ANSWER)


@carries("on_file", "OptOut")
class OptOut(_Dated):
    """A pupil or family does not want a kind of recipient (or any) to receive what it need not."""

    school = Text(required=True, metadata=_SCHOOL)
    pupil = Text(required=True, metadata=_PUPIL)
    category = Text(metadata=_ANSWER)
    status = Text(load_default="active", validate=validate.OneOf(["active", "ended"]), metadata=_ANSWER)


@carries("on_file", "SourcePolicy")
class SourcePolicy(_OnFile):
    """Which privacy policy governs the district."""

    policy = Text(required=True, metadata=_TERMS)


@carries("on_file", "PolicyVersion")
class PolicyVersion(_OnFile):
    """A version of a privacy policy: what it changed, when, and the purposes it newly permits."""

    policy = Text(required=True, metadata=_TERMS)
    version = fields.Integer(required=True, validate=validate.Range(1, 1_000_000), metadata=_TERMS)
    change = Text(
        required=True, validate=validate.OneOf(["editorial", "material", "less_restrictive"]), metadata=_TERMS
    )
    effective = Moment(required=True, metadata=_TERMS)
    opens = Several(load_default=list, metadata=_TERMS)
    document = Text(required=True, validate=_SHA256, metadata=_TERMS)


@carries("on_file", "PolicyWord")
class PolicyWord(_OnFile):
    """That schools were told of a version of the policy, or agreed to it."""

    policy = Text(required=True, metadata=_TERMS)
    version = fields.Integer(required=True, validate=validate.Range(1, 1_000_000), metadata=_TERMS)
    schools = Several(load_default=list, metadata=_TERMS)
    word = Text(required=True, validate=validate.OneOf(["noticed", "accepted"]), metadata=_TERMS)
    at = Moment(metadata=_TERMS)
    channel = Text(validate=validate.Length(1, 100), metadata=_TERMS)
