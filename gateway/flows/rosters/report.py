"""What a run found and did, for a person, `--json` and the run's record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from time import perf_counter
from typing import Any

from gateway import errors
from gateway.errors import VOCABULARY
from gateway.flows.rosters.progress import Progress
from gateway.store.publish import Change, Seat
from mappings.oneroster.csv import CsvColumn, CsvFile
from mappings.oneroster.rows import Fault


@dataclass
class Report:
    """What a run found and did, for a person, `--json` and the run's record. `code` says why nothing was published;
    `progress` is told of each step."""

    run: str
    source: str
    state: str = "planned"
    code: str | None = None
    delivery: str | None = None
    files: list[dict[str, Any]] = field(default_factory=list)
    schools: list[dict[str, Any]] = field(default_factory=list)
    causes: list[dict[str, Any]] = field(default_factory=list)
    proposed: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    collected: str = ""  # two runs that say the same read the same elements
    let_in: str = ""  # and the same of them, and the same pupils, at each school
    dropped: list[dict[str, Any]] = field(default_factory=list)
    children: list[dict[str, Any]] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    held_by: list[dict[str, Any]] = field(default_factory=list)
    refusal: dict[str, str] | None = None
    pulled: dict[str, Any] | None = None
    erased: int = 0
    not_erased: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)

    def as_dict(self) -> dict[str, Any]:
        """The report without the single faults, which have a table of their own."""
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in kept.items() if name not in ("faults", "progress")}

    def describe(self, seats: list[Seat], changes: list[Change]) -> None:
        """Say what the run changes at each school, kind by kind."""
        for seat in seats:
            kinds = {
                c.kind: {"before": c.before, "added": c.added, "changed": c.changed, "removed": c.removed}
                for c in changes
                if c.school == seat.school
            }
            self.schools.append({"school": seat.ref, "name": seat.name, "kinds": kinds})

    def drop(self, file: CsvFile, columns: Iterable[CsvColumn], lines: int) -> None:
        """Say which columns were read past, because nobody agreed to collect what they hold."""
        self.dropped += [
            {"file": file.name, "column": c.header, "element": file.element(c), "lines": lines}
            for c in columns
            if lines
        ]

    def refuse(self, reason: errors.Reason, detail: str, file: str, line: int) -> None:
        """Say why nothing of this delivery is taken."""
        self.state, self.code = "refused", reason.code
        self.refusal = {
            "code": reason.code, "file": file, "line": str(line or ""), "sentence": reason.sentence, "detail": detail,
            "remedy": reason.remedy, "owner": str(reason.owner),
        }  # fmt: skip

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        self.progress.enter(step)
        began = perf_counter()
        yield
        self.seconds[step] = round(perf_counter() - began, 3)


def causes(faults: list[Fault]) -> list[dict[str, Any]]:
    """Faults grouped by cause, the most frequent first."""
    groups = Counter((f.file, f.column, f.code, f.effect, f.hint if f.effect == "row" else "") for f in faults)
    first: dict[tuple[str, str, str, str, str], Fault] = {}
    for f in faults:
        first.setdefault((f.file, f.column, f.code, f.effect, f.hint if f.effect == "row" else ""), f)
    causes = []
    for key, count in sorted(groups.items(), key=lambda item: (-item[1], item[0])):
        reason, example = VOCABULARY[key[2]], first[key]
        causes.append(
            {"file": key[0], "column": key[1], "code": key[2], "costs": key[3], "count": count,
             "line": example.line, "record": example.sourced_id, "shape": example.shape, "hint": example.hint,
             "sentence": reason.sentence,
             "remedy": reason.remedy, "owner": str(reason.owner)}
        )  # fmt: skip
    return causes
