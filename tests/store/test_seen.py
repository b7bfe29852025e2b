"""Rows known by their hashes: whichever way they are looked up, each is met once."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import staging
from gateway.store.staging import Seen

FEW = st.integers(-9, 9)
HASHES = FEW | st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize("many", [10**6, 3], ids=["as a set", "in order"])
@given(known=st.sets(HASHES), batches=st.lists(st.lists(HASHES, max_size=12), max_size=6))
def test_each_row_is_met_once(many: int, known: set[int], batches: list[list[int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "MANY", many)
        seen, met = Seen({kind: array("q", sorted(known)) for kind in ("user", "class")}), set[int]()
        for batch in batches:
            assert seen.knows_none("user", batch) == known.isdisjoint(batch)
            wanted = []
            for place, row_hash in enumerate(batch):
                if row_hash not in known or row_hash in met:
                    wanted.append(place)
                met |= {row_hash} & known
            assert list(seen.meet_each("user", batch)) == wanted
            assert [seen.meet("user", row_hash) for row_hash in batch] == [
                2 if row_hash in known else 0 for row_hash in batch
            ]
        assert sorted(seen.unmet("user")) == sorted(known - met)
        seen.done("user")
        assert sorted(seen.unmet("user")) == sorted(known - met)
        assert sorted(seen.unmet("class")) == sorted(known)
        assert [seen.meet("class", row_hash) for row_hash in sorted(known)] == [1] * len(known)
        assert not list(seen.unmet("class"))
