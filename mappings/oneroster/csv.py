"""The OneRoster CSV bindings 1.1 and 1.2 as files: which there are, what their rows are, which must be there."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from mappings.fields import agree, element_of
from mappings.oneroster.columns import FILES_1P1, FILES_1P2, CsvColumn, Effect, File, head
from mappings.oneroster.records import KINDS, RECORDS

__all__ = ["FILES", "NAMES", "REQUIRED", "CsvColumn", "CsvFile", "Effect", "Unreadable"]


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file of the binding and the kind of record its rows are."""

    name: str
    kind: str
    columns: tuple[CsvColumn, ...]
    binding: str

    def __post_init__(self) -> None:
        """Raises Unclassified for a column without an element, or stored as another than the one it comes in as."""
        stored = {column.name: column.element for column in RECORDS[self.kind].columns}
        for column in self.columns:
            agree(self.binding, self._path(column), stored.get(column.to or "", self.element(column)))

    @property
    def kept(self) -> bool:
        """Whether its records are kept, or only checked."""
        return self.kind in KINDS

    def element(self, column: CsvColumn) -> str:
        """Return the data element a column of this file holds. Raises Unclassified for one without."""
        return element_of(self.binding, self._path(column))

    def _path(self, column: CsvColumn) -> str:
        return f"{self.name.removesuffix('.csv')}.{column.header}"


class Unreadable(Exception):  # noqa: N818 - a finding about a file, not an error of ours
    """A whole file or delivery cannot be believed. Carries a code of the CSV family."""

    def __init__(self, code: str, file: str, detail: str = "", line: int = 0, repair: str = "") -> None:
        """`repair` names the rule that would understand it, if the source had it."""
        super().__init__(f"{code} {file}: {detail}")
        self.code, self.file, self.detail, self.line, self.repair = code, file, detail, line, repair


def _files(binding: str, files: tuple[File, ...]) -> MappingProxyType[str, CsvFile]:
    return MappingProxyType({n: CsvFile(n, kind, head(columns), binding) for n, kind, columns in files})


# Every data file of a version, in the order in which references can be checked.
FILES = MappingProxyType({"1.2": _files("oneroster_1p2_csv", FILES_1P2), "1.1": _files("oneroster_1p1_csv", FILES_1P1)})
NAMES = MappingProxyType({version: frozenset(files) for version, files in FILES.items()})
# What a bulk delivery cannot be without.
REQUIRED = MappingProxyType(
    {
        version: frozenset(name for name, file in files.items() if file.kept and RECORDS[file.kind].required)
        for version, files in FILES.items()
    }
)
