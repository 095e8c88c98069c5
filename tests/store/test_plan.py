"""Which spreads are written anew together: few, and each record seldom."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from carma.store.manifest import Head, Listed, Manifest
from carma.store.plan import merge, ranges
from carma.store.record import HEADER_BYTES, RecordKind
from carma.store.segments import REWRITTEN


def sized(spread: int, size: int) -> Manifest:
    """A spread of one record with so many bytes."""
    size = max(size, HEADER_BYTES + 1)
    record = Listed(spread, RecordKind.FRAGMENT, 1, 0, bytes(16), size - HEADER_BYTES, bytes(10))
    head = Head(
        spread, 1, 4, REWRITTEN + spread, 1, 0, 0, [], [], bytes(8), bytes(32), bytes(32), {}
    )  # fmt: skip
    return Manifest(head, [record])


sizes = st.lists(st.integers(200, 1 << 22) | st.integers(1 << 22, 1 << 25), max_size=12)
FULL = 24 * 2**20
SMALL = 128 * 2**10
"""So much may be written anew at any rest: it costs less than a file more."""


@given(sizes=sizes, new=st.integers(0, 1 << 24), data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_merged_is_not_much_larger_than_what_is_new(
    sizes: list[int], new: int, data: st.DataObject
) -> None:
    """Without new records and dead ones nothing is; else the small ones, and of the others each is at most
    twice as large as all that was taken before it.
    """
    spreads = [sized(number, size) for number, size in enumerate(sizes, 1)]
    dead = {n: data.draw(st.sampled_from([0.0, 0.3, 0.7])) for n in range(1, len(sizes) + 1)}
    chosen = merge(new, spreads, dead, 0.5)
    numbers = [each.head.spread for each in chosen]
    assert numbers == sorted(set(numbers))
    due = [each for each in spreads if dead[each.head.spread] >= 0.5]
    assert set(numbers) >= {each.head.spread for each in due}
    if not new and not due:
        assert chosen == []
    gathered = new + sum(each.bytes for each in due)
    for each in sorted((each for each in chosen if each not in due), key=lambda each: each.bytes):
        assert each.bytes <= max(2 * gathered, SMALL)
        assert each.bytes < FULL
        gathered += each.bytes
    # What was left is full, or larger than twice all that was taken.
    for each in spreads:
        if each.head.spread not in numbers and gathered:
            assert each.bytes >= FULL or each.bytes > 2 * gathered


@given(new=st.lists(st.integers(200, 100_000), min_size=60, max_size=120))
@settings(max_examples=60, deadline=None)
def test_a_growing_memory_has_few_spreads_and_rewrites_each_record_a_few_times(new: list[int]) -> None:
    """Rest after rest: the number of spreads, and what is written in all, grow with the logarithm."""
    spreads: list[Manifest] = []
    written = 0
    for number, size in enumerate(new, 1):
        taken = merge(size, spreads, {}, 0.5)
        spreads = [each for each in spreads if each not in taken]
        spreads.append(sized(number, size + sum(each.bytes for each in taken)))
        written += spreads[-1].bytes
        ascending = sorted(each.bytes for each in spreads)
        assert all(other > 2 * one for one, other in pairwise(ascending))
    total = sum(each.bytes for each in spreads)
    assert written <= total * ((total // 200).bit_length() + 1) + len(new) * SMALL


@given(numbers=st.sets(st.integers(1, 60)))
def test_ranges_hold_exactly_the_numbers(numbers: set[int]) -> None:
    """Ascending pairs that neither touch nor overlap."""
    found = ranges(numbers)
    assert [n for first, last in found for n in range(first, last + 1)] == sorted(numbers)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(found))
