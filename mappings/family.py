"""What a family reads about its own child: who received what, when, why and under which agreement."""

from __future__ import annotations

from marshmallow import Schema, fields

from mappings.elements import element
from mappings.fields import carries

OPERATIONS = {
    "roster.read": "read the class lists",
    "launch.handover": "opened an activity for your child",
    "members.read": "read the list of a class",
    "grade.passback": "received a grade",
    "transcript.deliver": "received a transcript",
}


@carries("family", "Disclosure")
class Disclosure(Schema):
    at = fields.String(required=True, metadata=element("family.disclosures"))
    recipient = fields.String(required=True, metadata=element("family.disclosures"))
    contact = fields.String(required=True, metadata=element("family.disclosures"))
    what = fields.String(required=True, metadata=element("family.disclosures"))
    elements = fields.List(fields.String(), required=True, metadata=element("family.disclosures"))
    agreement = fields.String(required=True, metadata=element("family.disclosures"))
    times = fields.Integer(required=True, metadata=element("family.disclosures"))
    entry = fields.Integer(required=True, metadata=element("family.disclosures"))


@carries("family", "Choice")
class Choice(Schema):
    text = fields.String(required=True, metadata=element("family.disclosures"))
    since = fields.String(required=True, metadata=element("family.disclosures"))


@carries("family", "Report")
class Report(Schema):
    child = fields.String(required=True, metadata=element("family.child"))
    school = fields.String(required=True, metadata=element("family.child"))
    disclosures = fields.List(fields.Nested(Disclosure), metadata=element("family.disclosures"))
    choices = fields.List(fields.Nested(Choice), metadata=element("family.disclosures"))
