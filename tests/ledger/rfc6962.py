"""RFC 6962, section 2.1, written down once more from its text, with none of the code under test."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def k_of(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(d: Sequence[bytes]) -> bytes:
    """MTH({}) = H(); MTH({d0}) = H(0x00 || d0); MTH(D[n]) = H(0x01 || MTH(D[0:k]) || MTH(D[k:n]))."""
    if not d:
        return sha256(b"").digest()
    if len(d) == 1:
        return sha256(b"\x00" + d[0]).digest()
    k = k_of(len(d))
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


class Tree:
    """The proofs over one list of entries; the hash of each subtree is worked out once."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.entries = entries
        self._known: dict[tuple[int, int], bytes] = {}

    def span(self, start: int, stop: int) -> bytes:
        """MTH(D[start:stop])."""
        if stop - start < 2:
            return mth(self.entries[start:stop])
        if (start, stop) not in self._known:
            k = start + k_of(stop - start)
            self._known[start, stop] = sha256(b"\x01" + self.span(start, k) + self.span(k, stop)).digest()
        return self._known[start, stop]

    def root(self, n: int) -> bytes:
        return self.span(0, n)

    def path(self, m: int, start: int, stop: int) -> list[tuple[str, bytes]]:
        """PATH(m, D[n]), each step with the side it stands on."""
        if stop - start == 1:
            return []
        k = k_of(stop - start)
        if m < k:
            return [*self.path(m, start, start + k), ("right", self.span(start + k, stop))]
        return [*self.path(m - k, start + k, stop), ("left", self.span(start, start + k))]

    def inclusion(self, m: int, n: int) -> list[bytes]:
        return [step for _, step in self.path(m, 0, n)]

    def sides(self, m: int, n: int) -> list[str]:
        return [side for side, _ in self.path(m, 0, n)]

    def consistency(self, m: int, n: int) -> list[bytes]:
        """PROOF(m, D[n]) = SUBPROOF(m, D[n], true)."""
        return self._subproof(m, 0, n, b=True)

    def _subproof(self, m: int, start: int, stop: int, *, b: bool) -> list[bytes]:
        n = stop - start
        if m == n:
            return [] if b else [self.span(start, stop)]
        k = k_of(n)
        if m <= k:
            return [*self._subproof(m, start, start + k, b=b), self.span(start + k, stop)]
        return [*self._subproof(m - k, start + k, stop, b=False), self.span(start, start + k)]
