"""Which of two lists of siblings are the same: long common runs in order, in nearly linear time.

Patience matching: strip what is equal at both ends, let the keys that occur once on each side anchor the
rest, and go on between the anchors. Where no key is unique, a small table gives the longest common
subsequence and a large one is matched greedily. `difflib` was rejected: quadratic on repeated lines, and
hours at 100,000 paragraphs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterator, Sequence

__all__ = ["in_order", "pairs"]

_TABLE_CELLS = 2_500
_WORK_PER_ITEM = 40

Range = tuple[int, int, int, int]


def pairs(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Indices (i, j) with old[i] == new[j], ascending in both."""
    found: list[tuple[int, int]] = []
    todo: list[Range] = [(0, len(old), 0, len(new))]
    work = _WORK_PER_ITEM * (len(old) + len(new))
    while todo:
        a, b, c, d = todo.pop()
        while a < b and c < d and old[a] == new[c]:
            found.append((a, c))
            a, c = a + 1, c + 1
        while a < b and c < d and old[b - 1] == new[d - 1]:
            b, d = b - 1, d - 1
            found.append((b, d))
        if a == b or c == d:
            continue
        work -= (b - a) + (d - c)
        anchors = _anchors(old, new, (a, b, c, d)) if work > 0 else []
        if anchors:
            found += anchors
            todo += _between(anchors, (a, b, c, d))
        elif (b - a) * (d - c) <= _TABLE_CELLS:
            found += _longest(old, new, (a, b, c, d))
        else:
            found += _greedy(old, new, (a, b, c, d))
    found.sort()
    return found


def in_order(old: Sequence[Hashable], new: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Pair equal keys greedily: each new item takes the next old one after the last that was taken."""
    return iter(_greedy(old, new, (0, len(old), 0, len(new))))


def _anchors(old: Sequence[Hashable], new: Sequence[Hashable], within: Range) -> list[tuple[int, int]]:
    """Pairs of keys that occur once on each side: the longest run of them that ascends on both."""
    a, b, c, d = within
    old_count, new_count = Counter(old[a:b]), Counter(new[c:d])
    where = {new[j]: j for j in range(c, d) if new_count[new[j]] == 1}
    unique = [(i, where[old[i]]) for i in range(a, b) if old_count[old[i]] == 1 and old[i] in where]
    return _ascending(unique)


def _ascending(unique: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence whose second members ascend (patience sorting)."""
    tops: list[int] = []
    at: list[int] = []
    before: list[int] = []
    for index, (_, j) in enumerate(unique):
        pile = bisect_left(tops, j)
        before.append(at[pile - 1] if pile else -1)
        if pile == len(tops):
            tops.append(j)
            at.append(index)
        else:
            tops[pile] = j
            at[pile] = index
    run = []
    index = at[-1] if at else -1
    while index >= 0:
        run.append(unique[index])
        index = before[index]
    return run[::-1]


def _between(anchors: list[tuple[int, int]], within: Range) -> Iterator[Range]:
    a, b, c, d = within
    for i, j in [*anchors, (b, d)]:
        if a < i and c < j:
            yield a, i, c, j
        a, c = i + 1, j + 1


def _longest(old: Sequence[Hashable], new: Sequence[Hashable], within: Range) -> list[tuple[int, int]]:
    """The longest common subsequence, by a table of lengths."""
    a, b, c, d = within
    table = [[0] * (d - c + 1) for _ in range(b - a + 1)]
    for i in range(b - a - 1, -1, -1):
        for j in range(d - c - 1, -1, -1):
            same = old[a + i] == new[c + j]
            table[i][j] = table[i + 1][j + 1] + 1 if same else max(table[i + 1][j], table[i][j + 1])
    found = []
    i = j = 0
    while i < b - a and j < d - c:
        if old[a + i] == new[c + j]:
            found.append((a + i, c + j))
            i, j = i + 1, j + 1
        elif table[i + 1][j] >= table[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def _greedy(old: Sequence[Hashable], new: Sequence[Hashable], within: Range) -> list[tuple[int, int]]:
    a, b, c, d = within
    places: defaultdict[Hashable, deque[int]] = defaultdict(deque)
    for i in range(a, b):
        places[old[i]].append(i)
    found = []
    last = a - 1
    for j in range(c, d):
        queue = places.get(new[j])
        while queue and queue[0] <= last:
            queue.popleft()
        if queue:
            last = queue.popleft()
            found.append((last, j))
    return found
