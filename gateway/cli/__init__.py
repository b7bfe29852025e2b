"""The `schoolgate` command: nouns, then verbs; plan before apply; every command acts as a named person."""

from gateway.cli import (
    families,
    holds,
    launches,
    lines,
    on_file,
    places,
    questions,
    registrations,
    rosters,
    running,
    sources,
    sync,
    timetable,
    vendors,
)
from gateway.cli.desk import main

__all__ = [
    "families", "holds", "launches", "lines", "main", "on_file", "places", "questions", "registrations", "rosters",
    "running", "sources", "sync", "timetable", "vendors",
]  # fmt: skip
