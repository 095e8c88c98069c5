"""The tree: roots and proofs are those of RFC 6962, and a false proof proves nothing."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from carma.access.audit.tree import (
    EMPTY_ROOT,
    Node,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    span_root,
)

# The leaves, roots and proofs that the Certificate Transparency project tests with.
LEAVES = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
FIRST_OF_EIGHT = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]

HASHES = [leaf_hash(number.to_bytes(2, "big")) for number in range(700)]
SIZES = st.integers(1, len(HASHES))


def node_over(hashes: Sequence[bytes]) -> Node:
    return lambda height, index: root_of(hashes[index << height : (index + 1) << height])


NODE = node_over(HASHES)


def test_the_roots_of_the_certificate_transparency_leaves() -> None:
    """Of no leaf up to all eight, each root is the one that the project publishes."""
    hashes = [leaf_hash(each) for each in LEAVES]
    assert [root_of(hashes[:size]).hex() for size in range(9)] == ROOTS
    assert [span_root(0, size, node_over(hashes)).hex() for size in range(9)] == ROOTS


def test_a_proof_of_the_certificate_transparency_leaves() -> None:
    """The way from the first of eight leaves to the root is the published one."""
    hashes = [leaf_hash(each) for each in LEAVES]
    proof = inclusion_proof(0, 8, node_over(hashes))
    assert [each.hex() for each in proof] == FIRST_OF_EIGHT
    # From one leaf to eight the same hashes prove that the tree only grew.
    assert consistency_proof(1, 8, node_over(hashes)) == proof


@given(size=SIZES, data=st.data())
def test_every_inclusion_is_proven(size: int, data: st.DataObject) -> None:
    """For any tree and any leaf in it the proof leads to the root, and for no other leaf and place."""
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, NODE)
    root = root_of(HASHES[:size])
    assert check_inclusion(index, size, HASHES[index], proof, root)
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        assert not check_inclusion(index, size, HASHES[other], proof, root)
        assert not check_inclusion(other, size, HASHES[index], proof, root)


@given(sizes=st.tuples(SIZES, SIZES))
def test_every_growth_is_proven(sizes: tuple[int, int]) -> None:
    """For any two sizes the proof shows that the smaller tree is the beginning of the larger."""
    old, new = sorted(sizes)
    proof = consistency_proof(old, new, NODE)
    before, after = root_of(HASHES[:old]), root_of(HASHES[:new])
    assert check_consistency(old, new, before, after, proof)
    if old < new:
        changed = root_of([leaf_hash(b"changed"), *HASHES[1:old]])
        assert not check_consistency(old, new, changed, after, proof)
        assert not check_consistency(old, new, before, changed, proof)


@given(size=st.integers(2, 700), data=st.data())
def test_a_changed_proof_proves_nothing(size: int, data: st.DataObject) -> None:
    """A flipped bit, a missing hash or one too many: the check fails and does not raise."""
    index = data.draw(st.integers(0, size - 1))
    root = root_of(HASHES[:size])
    proof = inclusion_proof(index, size, NODE)
    at = data.draw(st.integers(0, len(proof) - 1))
    flipped = bytes((proof[at][0] ^ 1,)) + proof[at][1:]
    for false in ([*proof[:at], flipped, *proof[at + 1 :]], proof[:-1], [*proof, root], []):
        assert not check_inclusion(index, size, HASHES[index], false, root)
    old = data.draw(st.integers(1, size - 1))
    grown = consistency_proof(old, size, NODE)
    before = root_of(HASHES[:old])
    for false in (grown[:-1], [*grown, root], []):
        assert not check_consistency(old, size, before, root, false)


def test_sizes_that_cannot_be_prove_nothing() -> None:
    """Negative numbers, places behind the end and a tree that shrank are no proofs."""
    root = root_of(HASHES[:4])
    for index, size in ((-1, 4), (4, 4), (5, 4), (0, 0)):
        assert not check_inclusion(index, size, HASHES[0], [], root)
    assert not check_consistency(5, 4, root, root, [])
    assert not check_consistency(-1, 4, root, root, [])
    assert check_consistency(0, 4, EMPTY_ROOT, root, [])
    assert not check_consistency(0, 4, root, root, [])
