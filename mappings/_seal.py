"""The seal of `Cleared`. Only `mappings.cleared` and `gateway.policy` may import this module."""

from __future__ import annotations

from typing import final


@final
class Seal:
    """Proof of having come from policy. There is one."""

    __slots__ = ()

    def __reduce__(self) -> str:
        raise TypeError("a seal cannot be copied or pickled")


SEAL = Seal()
