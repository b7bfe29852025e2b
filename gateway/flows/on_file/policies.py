"""Versions of the privacy policy: what changed, who was told, who agreed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.on_file.desk import Desk
from gateway.flows.on_file.filing import opened, readable
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.policy.request import COMMERCIAL, Purpose
from gateway.policy.source_policies import PROFILES
from gateway.store import on_file
from mappings import on_file as words


def add_version(parts: Office, by: Person, said: Mapping[str, Any]) -> None:
    """Put a version of a privacy policy on file. Raises Refused."""
    by.acts_for_district()
    try:
        version = words.PolicyVersion().load({k: v for k, v in said.items() if v is not None})
    except ValidationError as error:
        raise Refused(errors.REQ_INVALID, readable(error)) from error
    if version["policy"] not in PROFILES:
        raise Refused(errors.REQ_INVALID, f"source policies are {', '.join(sorted(PROFILES))}")
    if set(version["opens"]) - {str(p) for p in Purpose}:
        raise Refused(errors.REQ_INVALID, f"purposes are {', '.join(str(p) for p in Purpose)}")
    if set(version["opens"]) & {*map(str, COMMERCIAL), str(Purpose.PROFILING)}:
        raise Refused(errors.PUR_COMMERCIAL)
    if version["opens"] and version["change"] != "less_restrictive":
        raise Refused(errors.REQ_CONTRADICTORY, "what opens a purpose is less restrictive")
    with parts.database.open_district(by.district) as session:
        made = on_file.add_policy_version(
            session, parts.clock.now(), by.ref, policy=version["policy"], version=version["version"],
            change=version["change"], effective_at=version["effective"], opens=sorted(version["opens"]),
            document=version["document"],
        )  # fmt: skip
    if not made:
        raise Refused(errors.REQ_TWICE, f"version {version['version']} of {version['policy']} is on file already")
    with opened(parts, by, writes=True) as desk:
        for school in desk.schools(()):
            _note(desk, school.school, version, "recorded")


def add_word(parts: Office, by: Person, said: Mapping[str, Any]) -> int:
    """Write down that schools were told of a version, or agreed to it. Return at how many it is new. Raises Refused."""
    try:
        word = words.PolicyWord().load({k: v for k, v in said.items() if v is not None})
    except ValidationError as error:
        raise Refused(errors.REQ_INVALID, readable(error)) from error
    with opened(parts, by, writes=True) as desk:
        known = {(row.policy, row.version) for row in on_file.policy_versions(desk.session)}
        if (word["policy"], word["version"]) not in known:
            raise Refused(errors.REQ_UNKNOWN, f"version {word['version']} of {word['policy']} is not on file")
        at = word.get("at", desk.now)
        if at > desk.now:
            raise Refused(errors.REQ_CONTRADICTORY, "it lies in the future")
        count = 0
        for school in desk.schools(word["schools"]):
            by.acts_for(school.school)
            new = on_file.add_policy_word(
                desk.session.at(school.school), desk.now, by.ref, policy=word["policy"], version=word["version"],
                word=word["word"], at=at, body={"channel": word.get("channel")},
            )  # fmt: skip
            if new:
                _note(desk, school.school, word, word["word"])
            count += new
    return count


def _note(desk: Desk, school: int, said: Mapping[str, Any], outcome: str) -> None:
    """Write it down in the ledger of a school: a word on the policy changes what leaves there."""
    disclosure.event(
        desk.parts, desk.session.at(school), "policy", desk.parts.ids.new("pw"), outcome,
        actor={"kind": "staff", "ref": desk.by.ref}, policy=f"{said['policy']}@{said['version']}",
    )  # fmt: skip
