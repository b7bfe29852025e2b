"""The faults of a run for those who mend them: a list for the registrar, and the form of a certification run.

Neither holds a value of the roster: a value is shown by its shape. What a spreadsheet would take for a formula is not
one (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import VOCABULARY
from mappings.oneroster.expected import rule_of

COLUMNS = ("file", "line", "record", "column", "code", "costs", "shape", "rule", "fix", "owner")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def listed(version: str, faults: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return one row of COLUMNS for each fault, as the table of faults keeps them."""
    return [_listed(version, fault) for fault in faults]


def refused(report: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the row of COLUMNS that says why nothing of a run's delivery was taken; none where it was."""
    why = report.get("refusal")
    if not why:
        return []
    fix = fix_of(why["code"], why["detail"])
    return [(why["file"], int(why["line"] or 0), "", "", why["code"], "delivery", "", "", fix, why["owner"])]


def _listed(version: str, fault: Any) -> tuple[Any, ...]:
    reason = VOCABULARY[fault.code]
    rule = rule_of(version, fault.file, fault.column_name)
    place = (fault.file, fault.line, fault.sourced_id or "", fault.column_name, fault.code, fault.effect, fault.shape)
    return (*place, rule, fix_of(fault.code, fault.hint), str(reason.owner))


def fix_of(code: str, hint: str) -> str:
    """Return what mends a fault: what was seen of this one, then what mends all of its code."""
    return f"{hint.removesuffix('.')}. {VOCABULARY[code].remedy}" if hint else VOCABULARY[code].remedy


def as_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows of COLUMNS as RFC 4180 text."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows([_inert(str(cell)) for cell in row] for row in rows)
    return out.getvalue()


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def certified(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a certification run asks: which files were imported, which were rejected, and why."""
    refusal = report.get("refusal") or {}
    whole = {"outcome": "rejected" if refusal else "imported", "state": report["state"], "run": report["run"]}
    files = [_certified(file, report["causes"]) for file in report["files"] if file["file"] != "manifest.csv"]
    known = {file["file"] for file in files}
    aside = [c for c in report["causes"] if c["costs"] == "file" and c["file"] not in known]
    files += [{"file": c["file"], "outcome": "rejected", "reasons": [_reason(c)]} for c in aside]
    if refusal:
        for file in files:
            file["outcome"] = "rejected"
    reasons = [{key: refusal[key] for key in ("code", "file", "line", "sentence", "detail")}] if refusal else []
    return {**whole, "oneroster": report.get("version", ""), "repairs": report.get("repairs", []), "files": files,
            "reasons": reasons}  # fmt: skip


def _certified(file: Mapping[str, Any], causes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    mine = [cause for cause in causes if cause["file"] == file["file"]]
    lost = any(cause["costs"] == "file" for cause in mine)
    rejected = sum(cause["count"] for cause in mine if cause["costs"] == "row")
    return {
        "file": file["file"], "mode": file["mode"], "outcome": "rejected" if lost else "imported",
        "kept": file["kept"], "records": file["rows"], "rejected": rejected, "imported": file["rows"] - rejected,
        "repairs": file["repairs"], "reasons": [_reason(cause) for cause in mine],
    }  # fmt: skip


def _reason(cause: Mapping[str, Any]) -> dict[str, Any]:
    return {key: cause[key] for key in ("code", "costs", "column", "count", "line", "sentence")}


def certification_lines(form: Mapping[str, Any]) -> Iterator[str]:
    """Yield the form of a certification run as text."""
    yield f"Run {form['run']}: {form['outcome']} (OneRoster {form['oneroster'] or 'unknown'}, {form['state']})"
    for reason in form["reasons"]:
        yield f"  {reason['file']} {reason['line']}: {reason['code']} {reason['sentence']} {reason['detail']}".rstrip()
    for file in form["files"]:
        counts = f": {file['imported']} imported, {file['rejected']} rejected" if "records" in file else ""
        yield f"  {file['file']} {file.get('mode', '')} {file['outcome']}{counts}".replace("  ", " ")
        for reason in file["reasons"]:
            where = f"line {reason['line']}" if reason["line"] else "the file"
            yield f"    {reason['count']} × {reason['code']} {reason['column']} ({where}): {reason['sentence']}"
