"""The `schoolgate` command: nouns, then verbs; plan before apply; every command acts as a named person."""

from gateway.cli import agreements, families, lines, places, running, sync
from gateway.cli.desk import main

__all__ = ["agreements", "families", "lines", "main", "places", "running", "sync"]
