"""Rosters in: a delivery is fetched, read, checked, judged and published as one version."""

from gateway.flows.rosters.judging import release
from gateway.flows.rosters.reading import schools_in
from gateway.flows.rosters.report import Report
from gateway.flows.rosters.sync import refuse, sync

__all__ = ["Report", "refuse", "release", "schools_in", "sync"]
