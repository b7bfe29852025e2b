"""What is on file, of whatever kind: list, plan, apply, end. Papers of schools and of the privacy policy alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows.on_file import filing, policies
from gateway.flows.on_file.filing import Plan
from gateway.flows.parts import Office
from gateway.identity.staff import Person

KINDS = (*filing.KINDS, *policies.KINDS)
Said = Sequence[Mapping[str, Any]]


def listing(parts: Office, by: Person, kind: str) -> list[dict[str, Any]]:
    """Return what is on file of a kind, at the schools the person may look at."""
    return policies.listing(parts, by, kind) if kind in policies.KINDS else filing.listing(parts, by, kind)


def plan(parts: Office, by: Person, kind: str, lines: Said) -> Plan:
    """Say what these papers would change, and change nothing."""
    return policies.plan(parts, by, kind, lines) if kind in policies.KINDS else filing.plan(parts, by, kind, lines)


def apply(parts: Office, by: Person, kind: str, lines: Said) -> Plan:
    """Put these papers on file: all of them, or none when a line is at fault. Return what was done."""
    return policies.apply(parts, by, kind, lines) if kind in policies.KINDS else filing.apply(parts, by, kind, lines)


def end(parts: Office, by: Person, kind: str, ref: str) -> int:
    """End a paper now; return at how many schools. Raises Refused: a version of a policy, and a word on it, stay."""
    if kind == "source_policy":
        return policies.strictest(parts, by)
    if kind in policies.KINDS:
        raise Refused(errors.REQ_CONFLICT, "this is not taken back: the next version of the policy follows it")
    return filing.end(parts, by, kind, ref)
