"""Rosters in: a delivery is fetched, read, checked, judged and published as one version."""

from gateway.flows.rosters.holding import discard, release, show
from gateway.flows.rosters.reading import schools_in
from gateway.flows.rosters.report import Report
from gateway.flows.rosters.sync import refuse, sync
from gateway.flows.rosters.undoing import undo

__all__ = ["Report", "discard", "refuse", "release", "schools_in", "show", "sync", "undo"]
