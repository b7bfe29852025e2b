"""What a run found and did, for a person, `--json` and the run's record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gateway import errors
from gateway.errors import VOCABULARY
from gateway.store.absences import Missing
from gateway.store.letting_in import Seat
from gateway.store.publish import Change
from mappings.oneroster.csv import FILES, CsvColumn, CsvFile
from mappings.oneroster.expected import rule_of
from mappings.oneroster.heads import Manifest
from mappings.oneroster.repairs import ZONED, Repairs
from mappings.oneroster.rows import Fault


@dataclass
class Report:
    """What a run found and did, for a person, `--json` and the run's record. `code` says why something waits, or why
    nothing was taken."""

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
    version: str = ""
    repairs: list[str] = field(default_factory=list)
    held_by: list[dict[str, Any]] = field(default_factory=list)
    hold: dict[str, Any] | None = None  # what waits for a second person
    published: bool = False
    same_as: str | None = None  # the run whose delivery this is, byte for byte: nothing was read
    resumed: str | None = None  # the killed run whose delivery this one takes up
    rekeyed: dict[str, int] = field(default_factory=dict)  # people under new ids, by the key they are known by
    absences: dict[str, dict[str, int]] = field(default_factory=dict)  # records that are missing, by cause and kind
    impact: dict[str, Any] = field(default_factory=dict)  # launches and vendors
    undone: dict[str, int] | None = None  # of an undo: the version each school went back to
    refusal: dict[str, str] | None = None
    pulled: dict[str, Any] | None = None
    erased: int = 0
    not_erased: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The report without the single faults and absences, which have tables of their own."""
        said = asdict(replace(self, faults=[], missing=[]))
        left = {"faults", "missing"} | (set() if self.undone else {"undone"})
        return {name: value for name, value in said.items() if name not in left}

    def describe(self, seats: list[Seat], changes: list[Change]) -> None:
        """Say what the run changes at each school, kind by kind."""
        for seat in seats:
            kinds = {
                c.kind: {"before": c.before, "added": c.added, "changed": c.changed, "removed": c.removed}
                for c in changes
                if c.school == seat.school
            }
            same = {kind: n["before"] - n["changed"] - n["removed"] for kind, n in kinds.items()}
            self.schools.append({"school": seat.ref, "name": seat.name, "kinds": kinds, "same": same})

    def note(self, word: str, found: dict[tuple[str, str], int]) -> None:
        """Say of each school, by (its reference, kind), how many rows a word is true of: are quarantined, or wait."""
        for school in self.schools:
            school[word] = {kind: n for (ref, kind), n in found.items() if ref == school["school"]}

    def drop(self, file: CsvFile, columns: Iterable[CsvColumn], lines: int) -> None:
        """Say which columns were read past, because nobody agreed to collect what they hold."""
        self.dropped += [
            {"file": file.name, "column": c.header, "element": file.element(c), "lines": lines}
            for c in columns
            if lines
        ]

    def read(self, manifest: Manifest, delivery: str, repairs: Repairs) -> None:
        """Say which delivery this is, and which repairs of its source are on."""
        self.version, self.delivery = manifest.version, delivery
        self.repairs = [f"{name}={repairs.zone}" if name == ZONED else name for name in sorted(repairs.names)]
        if manifest.repairs:
            self.files.append(
                {"file": "manifest.csv", "mode": "bulk", "kept": False, "rows": 0, "accepted": 0, "unchanged": 0,
                 "bad": 0, "repairs": list(manifest.repairs)}
            )  # fmt: skip

    def unchanged(self, known: dict[str, int]) -> None:
        """Say of how many rows of deltas, by kind, nothing is news."""
        for file in self.files:
            if file["mode"] == "delta":
                kind = FILES[self.version][file["file"]].kind
                file["unchanged"] = known.get(kind, 0)

    def refuse(self, reason: errors.Reason, detail: str, file: str, line: int, repair: str = "") -> None:
        """Say why nothing of this delivery is taken."""
        self.state, self.code = "refused", reason.code
        self.refusal = {
            "code": reason.code, "file": file, "line": str(line or ""), "sentence": reason.sentence, "detail": detail,
            "remedy": reason.remedy, "owner": str(reason.owner),
        }  # fmt: skip
        if repair:
            self.refusal["repair"] = repair


def causes(faults: list[Fault], version: str) -> list[dict[str, Any]]:
    """Faults grouped by cause, the most frequent first."""
    groups = Counter((f.file, f.column, f.code, f.effect, f.hint if f.effect == "row" else "") for f in faults)
    first: dict[tuple[str, str, str, str, str], Fault] = {}
    for f in faults:
        first.setdefault((f.file, f.column, f.code, f.effect, f.hint if f.effect == "row" else ""), f)
    ordered = sorted(groups.items(), key=lambda item: (-item[1], item[0]))
    return described([(first[key], count) for key, count in ordered], version)


def described(found: list[tuple[Fault, int]], version: str) -> list[dict[str, Any]]:
    """Return causes, each told by its first fault and how many there are, in words for a person."""
    told = []
    for example, count in found:
        reason = VOCABULARY[example.code]
        told.append(
            {"file": example.file, "column": example.column, "code": example.code, "costs": example.effect,
             "count": count, "line": example.line, "record": example.sourced_id,
             "shape": example.shape, "hint": example.hint,
             "sentence": reason.sentence, "rule": rule_of(version, example.file, example.column),
             "remedy": reason.remedy, "owner": str(reason.owner)}
        )  # fmt: skip
    return told
