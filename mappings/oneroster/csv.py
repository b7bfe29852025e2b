"""The OneRoster CSV bindings 1.0, 1.1 and 1.2 as files: which there are, what their rows are, which must be there."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from mappings.fields import agree, element_of
from mappings.oneroster.columns import FILES_1P0, FILES_1P1, FILES_1P2, CsvColumn, Effect, File, head
from mappings.oneroster.records import KINDS, RECORDS

__all__ = ["FILES", "NAMES", "REQUIRED", "CsvColumn", "CsvFile", "Effect", "Unreadable", "spelled_in"]


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file of the binding and the kind of record its rows are. `implied` is what is so of every row, though no column
    says it."""

    name: str
    kind: str
    columns: tuple[CsvColumn, ...]
    binding: str
    implied: tuple[tuple[str, str], ...] = ()

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


V1P0, OF_1P0 = "1.0", "oneroster_1p0_csv"  # read only where a source says so: nothing in it says that it is 1.0


class Unreadable(Exception):  # noqa: N818 - a finding about a file, not an error of ours
    """A whole file or delivery cannot be believed. Carries a code of the CSV family."""

    def __init__(self, code: str, file: str, detail: str = "", line: int = 0, repair: str = "") -> None:
        """`repair` names the rule that would understand it, if the source had it."""
        super().__init__(f"{code} {file}: {detail}")
        self.code, self.file, self.detail, self.line, self.repair = code, file, detail, line, repair


def _files(binding: str, files: tuple[File, ...]) -> MappingProxyType[str, CsvFile]:
    return MappingProxyType({n: CsvFile(n, kind, head(columns), binding) for n, kind, columns in files})


def _files_1p0() -> MappingProxyType[str, CsvFile]:
    """The files of 1.0 stand whole in their table: not all of them begin alike."""
    implied = {"users.csv": (("enabled", "true"),)}
    made = {n: CsvFile(n, kind, columns, OF_1P0, implied.get(n, ())) for n, kind, columns in FILES_1P0}
    return MappingProxyType(made)


# Every data file of a version, in the order in which references can be checked.
FILES = MappingProxyType(
    {
        "1.2": _files("oneroster_1p2_csv", FILES_1P2),
        "1.1": _files("oneroster_1p1_csv", FILES_1P1),
        V1P0: _files_1p0(),
    }
)
NAMES = MappingProxyType({version: frozenset(files) for version, files in FILES.items()})
# What a bulk delivery cannot be without.
REQUIRED = MappingProxyType(
    {
        version: frozenset(name for name, file in files.items() if file.kept and RECORDS[file.kind].required)
        for version, files in FILES.items()
    }
)


def spelled_in(version: str) -> dict[tuple[str, str], str]:
    """Return what 1.0 calls columns that were called otherwise since, by file and later name; nothing for others."""
    return {
        (name, later.header): column.header
        for name, file in (FILES[V1P0].items() if version == V1P0 else ())
        for column in file.columns
        for later in FILES["1.1"].get(name, FILES["1.2"][name]).columns
        if column.to and column.to == later.to and column.header != later.header
    }
