"""The Merkle tree against RFC 6962: roots and proofs at every size up to 70, and every way to spoil one."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger import merkle
from tests.ledger.rfc6962 import Tree, mth

SIZES = range(71)
ENTRIES = [f"entry {n}".encode() for n in range(SIZES[-1] + 9)]
TREE = Tree(ENTRIES)
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]
STRANGER = sha256(b"no node of this tree").digest()
CALM = settings(max_examples=150, deadline=None, derandomize=True)


def mutations(proof: list[bytes]) -> Iterator[list[bytes]]:
    """Every proof with one step changed, missing, doubled or strange, and with two neighbours exchanged."""
    yield [*proof, STRANGER]
    yield [STRANGER, *proof]
    for place, step in enumerate(proof):
        before, after = proof[:place], proof[place + 1 :]
        yield [*before, *after]
        yield [*before, step, step, *after]
        yield [*before, STRANGER, *after]
        yield [*before, bytes([step[0] ^ 1]) + step[1:], *after]
        if after and after[0] != step:
            yield [*before, after[0], step, *after[1:]]


# --- roots -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES)
def test_the_root_is_that_of_the_standard(n):
    assert merkle.root(LEAVES[:n]) == mth(ENTRIES[:n]) == TREE.root(n)


@pytest.mark.parametrize(
    ("inputs", "root"),
    [
        pytest.param([], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", id="empty"),
        pytest.param([""], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", id="an empty entry"),
        pytest.param(["", "00"], "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125", id="two"),
        pytest.param(["", "00", "10"], "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77", id="three"),
        pytest.param(
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"],
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            id="eight",
        ),
    ],
)
def test_the_root_is_the_published_one(inputs, root):
    """The test vectors of the reference implementation of Certificate Transparency."""
    assert merkle.root([merkle.leaf_hash(bytes.fromhex(one)) for one in inputs]).hex() == root


@CALM
@given(st.lists(st.binary(max_size=40), max_size=200), st.data())
def test_a_frontier_that_is_packed_and_taken_up_again_has_the_root_of_the_whole(entries, data):
    frontier = merkle.Frontier()
    pauses = data.draw(st.sets(st.integers(0, max(0, len(entries) - 1))))
    for place, one in enumerate(entries):
        if place in pauses:
            assert frontier.root() == mth(entries[:place])
            frontier = merkle.Frontier(frontier.size, frontier.packed())
        frontier.append(merkle.leaf_hash(one))
    assert (frontier.size, frontier.root()) == (len(entries), mth(entries))
    assert len(frontier.packed()) == merkle.SIZE * len(entries).bit_count()


@pytest.mark.parametrize(("size", "packed"), [(0, 32), (1, 0), (3, 32), (4, 64), (7, 95), (7, 128)])
def test_a_frontier_that_does_not_fit_its_size_is_refused(size, packed):
    with pytest.raises(ValueError, match="does not fit"):
        merkle.Frontier(size, bytes(packed))


def test_a_node_is_never_taken_for_a_leaf():
    left, right = LEAVES[:2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


# --- inclusion -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES[1:])
def test_every_inclusion_proof_is_that_of_the_standard_and_verifies(n):
    for m in range(n):
        assert merkle.inclusion(m, LEAVES[:n]) == TREE.inclusion(m, n)
        assert merkle.verify_inclusion(LEAVES[m], m, n, TREE.inclusion(m, n), TREE.root(n))


@pytest.mark.parametrize("n", SIZES[1:])
def test_every_mutated_inclusion_proof_fails(n):
    root = TREE.root(n)
    for m in range(n):
        proof = TREE.inclusion(m, n)
        assert not any(merkle.verify_inclusion(LEAVES[m], m, n, wrong, root) for wrong in mutations(proof))
        assert not any(merkle.verify_inclusion(LEAVES[m], i, n, proof, root) for i in range(-1, n + 2) if i != m)
        assert not merkle.verify_inclusion(STRANGER, m, n, proof, root)
        assert not merkle.verify_inclusion(LEAVES[m], m, n, proof, STRANGER)


@pytest.mark.parametrize("n", SIZES[1:])
def test_an_inclusion_proof_is_good_for_no_other_size(n):
    """Only the root tells sizes apart whose paths run alike (RFC 9162, 2.1.3.2), and each size has its own root."""
    for m in range(n):
        for other in {0, -1, n - 2, n - 1, n + 1, n + 2, 2 * n, n + 8, m, m + 1} & set(range(-1, len(ENTRIES))) - {n}:
            alike = m < other and TREE.sides(m, other) == TREE.sides(m, n)
            assert merkle.verify_inclusion(LEAVES[m], m, other, TREE.inclusion(m, n), TREE.root(n)) == alike
            if other > 0:
                assert not merkle.verify_inclusion(LEAVES[m], m, other, TREE.inclusion(m, n), TREE.root(other))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3), (4, 3)])
def test_there_is_no_proof_for_what_is_not_in_the_tree(index, size):
    with pytest.raises(IndexError):
        merkle.inclusion(index, LEAVES[:size])


# --- consistency -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES[1:])
def test_every_consistency_proof_is_that_of_the_standard_and_verifies(n):
    for m in range(1, n + 1):
        proof = TREE.consistency(m, n)
        assert merkle.consistency(m, LEAVES[:n]) == proof
        assert merkle.verify_consistency(m, n, proof, TREE.root(m), TREE.root(n))


@pytest.mark.parametrize("n", SIZES[1:])
def test_every_mutated_consistency_proof_fails(n):
    new = TREE.root(n)
    for m in range(1, n + 1):
        proof, old = TREE.consistency(m, n), TREE.root(m)
        assert not any(merkle.verify_consistency(m, n, wrong, old, new) for wrong in mutations(proof))
        assert not merkle.verify_consistency(m, n, proof, STRANGER, new)
        assert not merkle.verify_consistency(m, n, proof, old, STRANGER)
        assert not any(merkle.verify_consistency(i, n, proof, old, new) for i in range(-1, n + 2) if i != m)
        assert not any(merkle.verify_consistency(m, i, proof, old, TREE.root(i)) for i in range(n + 5) if i != n)
        assert m == n or not merkle.verify_consistency(n, m, proof, new, old)


@pytest.mark.parametrize(("old", "size"), [(0, 0), (0, 3), (-1, 3), (4, 3)])
def test_there_is_no_consistency_proof_from_nothing_or_from_the_future(old, size):
    with pytest.raises(IndexError):
        merkle.consistency(old, LEAVES[:size])


def test_a_rewritten_past_has_no_proof():
    rewritten = [*LEAVES[:3], STRANGER, *LEAVES[4:40]]
    for n in range(5, 40):
        for m in range(4, n):
            proof = merkle.consistency(m, rewritten[:n])
            assert not merkle.verify_consistency(m, n, proof, TREE.root(m), merkle.root(rewritten[:n]))
