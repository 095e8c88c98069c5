"""The Merkle tree of the log: hashes, roots and proofs as RFC 6962, section 2.1, defines them.

Pure: nothing here reads a file. Who wants a proof hands over `node`, which gives the hash of any perfect
subtree; the log takes it from its tiles. Proofs are checked by walking down to the place they speak of and
folding back up, which follows the definition line by line. Rejected: the bit tricks of RFC 9162, section
2.1.3.2, which are shorter and hard to believe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

__all__ = [
    "EMPTY_ROOT", "HASH_BYTES", "Node", "check_consistency", "check_inclusion", "consistency_proof",
    "inclusion_proof", "leaf_hash", "node_hash", "root_of", "span_root",
]  # fmt: skip

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()
"""The root of a tree without leaves."""

Node = Callable[[int, int], bytes]
"""node(height, index): the hash over the leaves from index·2^height up to (index + 1)·2^height."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry, 32 bytes."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (or over equally high nodes that stand side by side)."""
    if not hashes:
        return EMPTY_ROOT
    row = list(hashes)
    while len(row) > 1:
        # A node without a neighbour rises as it is: that is the split at the largest power of two.
        above = [node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
        row = above + row[len(above) * 2 :]
    return row[0]


def span_root(start: int, end: int, node: Node) -> bytes:
    """The hash over the leaves from `start` up to `end`; `start` is a multiple of the power of two from
    `end - start` up.
    """
    if start == end:
        return EMPTY_ROOT
    peaks = []
    while start < end:
        height = (end - start).bit_length() - 1
        peaks.append(node(height, start >> height))
        start += 1 << height
    root = peaks.pop()
    while peaks:
        root = node_hash(peaks.pop(), root)
    return root


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """The proof that leaf `index` is in the tree over the first `size` leaves (RFC 6962, 2.1.1)."""
    assert 0 <= index < size
    proof = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(span_root(middle, end, node))
            end = middle
        else:
            proof.append(span_root(start, middle, node))
            start = middle
    return proof[::-1]


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` proves that the leaf with hash `leaf` is number `index` of the tree of `size` leaves
    with `root`.
    """
    if not 0 <= index < size:
        return False
    lefts = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        lefts.append(index >= middle)
        start, end = (middle, end) if index >= middle else (start, middle)
    if len(lefts) != len(proof):
        return False
    found = leaf
    for left, other in zip(reversed(lefts), proof, strict=True):
        found = node_hash(other, found) if left else node_hash(found, other)
    return found == root


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """The proof that the first `old` leaves are unchanged in the tree of `new` leaves (RFC 6962, 2.1.2).

    Empty where `old` is 0 or `new`.
    """
    assert 0 <= old <= new
    if old in (0, new):
        return []
    proof = []
    start, end = 0, new
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(span_root(middle, end, node))
            end = middle
        else:
            proof.append(span_root(start, middle, node))
            start = middle
    if start > 0:
        proof.append(span_root(start, end, node))
    return proof[::-1]


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` proves that the tree of `old` leaves with `old_root` is the beginning of the tree of
    `new` leaves with `new_root`.
    """
    if not 0 <= old <= new:
        return False
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old == new:
        return not proof and old_root == new_root
    lefts = []
    start, end = 0, new
    while end != old:
        middle = start + _split(end - start)
        lefts.append(old > middle)
        start, end = (middle, end) if old > middle else (start, middle)
    rest = list(proof)
    if len(rest) != len(lefts) + (start > 0):
        return False
    before = after = rest.pop(0) if start > 0 else old_root
    for left, other in zip(reversed(lefts), rest, strict=True):
        if left:
            before = node_hash(other, before)
            after = node_hash(other, after)
        else:
            after = node_hash(after, other)
    return before == old_root and after == new_root


def _split(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)
