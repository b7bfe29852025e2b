"""`Cleared[T]`: the only envelope in which anything leaves. Policy alone can make one."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import Generic, TypeVar

from mappings._seal import SEAL, Seal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cleared(Generic[T]):
    """A payload that a decision permits to leave, with the reference of that decision.

    `connectors` and the outward response writers accept nothing else. The constructor refuses any
    caller that cannot show the seal, which only `gateway.policy` may import (an import contract).
    """

    payload: T
    decision: str
    elements: frozenset[str]
    seal: InitVar[Seal]

    def __post_init__(self, seal: Seal) -> None:
        if seal is not SEAL:
            raise PermissionError("only policy can clear a payload")

    def __reduce__(self) -> str:
        raise TypeError("what is cleared is sent, not kept")
