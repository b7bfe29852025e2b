"""What schools have on file: agreements, directions, families' answers, opt-outs, versions of the privacy policy.

Each is put there by a named person, singly or by a file that is planned before it is applied; a change is the next
version, and every version is in the ledger of its school.
"""

from gateway.flows.on_file.doors import KINDS, apply, end, listing, plan
from gateway.flows.on_file.filing import Fault, Line, Plan, activate, latest, read, record, suspend
from gateway.flows.on_file.policies import record as record_policy

__all__ = [
    "KINDS",
    "Fault",
    "Line",
    "Plan",
    "activate",
    "apply",
    "end",
    "latest",
    "listing",
    "plan",
    "read",
    "record",
    "record_policy",
    "suspend",
]
