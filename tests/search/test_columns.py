"""Promises of the in-memory columns."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.search.columns import Columns, Entry

from .worlds import fragment_id as fid


def siblings(columns: Columns, row: int) -> tuple[int, int]:
    at = np.array([row])
    return int(columns.before(at)[0]), int(columns.after(at)[0])


def family(*positions: float) -> Columns:
    columns = Columns()
    columns.append([Entry(1, fid(1))])
    columns.append([Entry(seq, fid(seq), fid(1), position) for seq, position in enumerate(positions, 2)])
    return columns


def test_siblings_stand_in_the_order_of_their_positions() -> None:
    """The one written first may stand last."""
    columns = family(3.0, 1.0, 2.0)
    assert [siblings(columns, row) for row in (1, 2, 3)] == [(3, -1), (-1, 3), (2, 1)]
    assert columns.parents(np.array([0, 1])).tolist() == [-1, 0]


def test_equal_positions_keep_the_order_of_creation_then_of_writing() -> None:
    columns = Columns()
    columns.append([Entry(1, fid(1), fid(9), created=5.0), Entry(2, fid(2), fid(9), created=1.0)])
    columns.append([Entry(3, fid(3), fid(9), created=1.0)])
    assert [siblings(columns, row) for row in range(3)] == [(2, -1), (-1, 2), (1, 0)]


def test_an_update_takes_the_old_place_among_its_siblings() -> None:
    """The new version has a new row; neighbours and children see it without being touched."""
    columns = family(1.0, 2.0, 3.0)
    columns.append([Entry(9, fid(3), fid(1), 2.0)])
    assert siblings(columns, 1) == (-1, 4)
    assert siblings(columns, 4) == (1, 3)
    assert columns.row_of([3, 9]).tolist() == [-1, 4]
    assert columns.find(fid(3)) == 4
    columns.append([Entry(10, fid(1))])
    assert columns.parents(np.array([1, 4, 3])).tolist() == [5, 5, 5]


def test_a_move_leaves_the_old_siblings_joined() -> None:
    columns = family(1.0, 2.0, 3.0)
    columns.append([Entry(9, fid(3), None, 0.0)])
    assert siblings(columns, 1) == (-1, 3)
    assert siblings(columns, 4) == (-1, -1)


def test_a_dropped_fragment_is_gone_and_its_neighbours_meet() -> None:
    columns = family(1.0, 2.0, 3.0)
    assert columns.drop([3, 3, 77]) == 1
    assert siblings(columns, 1) == (-1, 3)
    assert columns.live == 3
    assert columns.row_of([3]).tolist() == [-1]
    assert columns.alive.tolist() == [True, True, False, True]
    assert columns.mask() is None


def test_children_of_a_parent_that_is_missing_are_still_siblings() -> None:
    """And they find it when it comes."""
    columns = Columns()
    columns.append([Entry(1, fid(1), fid(50)), Entry(2, fid(2), fid(50))])
    assert siblings(columns, 0) == (-1, 1)
    assert columns.parents(np.array([0])).tolist() == [-1]
    columns.append([Entry(3, fid(50))])
    assert columns.parents(np.array([0, 1])).tolist() == [2, 2]
    columns.drop([3])
    assert columns.parents(np.array([0, 1])).tolist() == [-1, -1]


def test_turns_of_a_session_without_a_parent_are_neighbours() -> None:
    """Sessions of two users with the same name stay apart; notes without a session stand alone."""
    columns = Columns()
    columns.append(
        [
            Entry(1, fid(1), session="s", user="a"),
            Entry(2, fid(2), session="s", user="b"),
            Entry(3, fid(3), session="s", user="a"),
            Entry(4, fid(4), user="a"),
            Entry(5, fid(5), user="a"),
        ]
    )
    assert siblings(columns, 0) == (-1, 2)
    assert siblings(columns, 1) == (-1, -1)
    assert siblings(columns, 3) == (-1, -1)
    assert columns.groups(np.arange(5)).tolist()[3:] == [-1, -1]


def test_a_cycle_of_parents_ends() -> None:
    columns = Columns()
    columns.append([Entry(1, fid(1), fid(2)), Entry(2, fid(2), fid(1)), Entry(3, fid(3), fid(3))])
    assert columns.under(fid(1)).tolist() == [True, True, False]
    assert columns.under(fid(3)).tolist() == [False, False, True]
    assert columns.under(fid(99)).tolist() == [False, False, False]


def test_a_mask_keeps_users_apart_and_hides_what_has_expired() -> None:
    columns = Columns()
    columns.append([Entry(1, fid(1), user="a", expires=10.0), Entry(2, fid(2), user="b"), Entry(3, fid(3))])
    assert columns.mask() is None
    assert columns.mask(user="a").tolist() == [True, False, False]
    assert columns.mask(user="nobody").tolist() == [False, False, False]
    assert columns.mask(now=9.0) is None
    assert columns.mask(now=10.0).tolist() == [False, True, True]


def test_locations_and_ids_are_those_of_the_entry() -> None:
    columns = Columns()
    columns.append([Entry(4, fid(7), segment=3, offset=2**40, length=99)])
    assert columns.location(0) == (3, 2**40, 99)
    assert columns.id(0) == fid(7)
    assert columns.ids(np.array([0])) == [fid(7).hex()]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("drop"), st.integers(1, 40)),
            st.tuples(st.integers(1, 12), st.none() | st.integers(1, 12), st.integers(0, 3)),
        ),
        max_size=40,
    )
)
def test_one_by_one_and_at_once_give_the_same_tree(steps: list[Any]) -> None:
    """Whatever the writes, what was inserted singly equals what a fresh load of the live entries gives."""
    single, entries, seq = Columns(), {}, 0
    for step in steps:
        if step[0] == "drop":
            single.drop([step[1]])
            entries = {id: entry for id, entry in entries.items() if entry.seq != step[1]}
            continue
        number, parent, position = step
        seq += 1
        created = entries[number].created if number in entries else float(seq)
        entry = Entry(seq, fid(number), fid(parent) if parent else None, float(position), created=created)
        single.append([entry])
        entries[number] = entry
    fresh = Columns()
    fresh._append_many(sorted(entries.values())) if entries else None
    assert single.live == fresh.live == len(entries)

    def seqs(columns: Columns, link: str, seq: int) -> int:
        row = int(getattr(columns, link)(columns.row_of([seq]))[0])
        return -1 if row < 0 else int(columns.seqs[row])

    for entry in entries.values():
        for link in ("before", "after", "parents"):
            assert seqs(single, link, entry.seq) == seqs(fresh, link, entry.seq)


def test_loading_takes_time_in_proportion() -> None:
    """Ten times as many entries take about ten times as long, and not a hundred times."""
    took = []
    for count in (10_000, 100_000):
        entries = [
            Entry(i, fid(i), fid(i - i % 20) if i % 20 else None, float(i)) for i in range(1, count + 1)
        ]
        columns = Columns()
        start = time.thread_time()
        columns.append(entries)
        took.append(time.thread_time() - start)
    assert took[1] < 40 * took[0]
    assert columns.find(fid(77_777)) == 77_776


def test_a_million_entries_fit_in_150_megabytes() -> None:
    columns = Columns()
    for first in range(1, 100_001, 50_000):
        columns.append([Entry(i, fid(i), fid(i // 20 + 1)) for i in range(first, first + 50_000)])
    held = sum(array.nbytes for table in (columns._rows, columns._tree.slots) for array in table.of.values())
    held += len(columns._tree.ids._bytes) + sum(array.nbytes for array in columns._tree.ids._sorted)
    assert held * 10 < 150e6
