"""What to do so that the memory holds a file as it is now: keep, restate, update, move, add, delete.

A function of what the memory holds and what was parsed, in three passes over the tree:

1. top down, the children of two matched fragments are matched by kind and text, in order; sections left over
   between two matches are taken, in order, for the same section under a new title;
2. leaves still unmatched are looked up by kind and text in the whole file: they moved;
3. leaves still unmatched between the same two neighbours, and of the same kind, are taken for edited ones.

What is left is new, or gone. Nothing that matched is written unless its text, metadata, place or span differ.
Fragments that did not come from a file (a user's notes below a paragraph) are never touched, except that they
move up to the nearest ancestor that stays when their own parent goes.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from carma.ingest.matching import in_order, pairs
from carma.ingest.node import ParsedNode, digest_of
from carma.ingest.places import ascending, places
from carma.ingest.sink import Add, Delete, Existing, Move, Operation, Restate, Update
from carma.models import Source

__all__ = ["Plan", "plan_content", "plan_removal"]

_HOLDERS = {"section", "conversation", "session"}


@dataclass(frozen=True, slots=True)
class Plan:
    """Operations in the order in which they are to be carried out, and how many fragments are left alone."""

    operations: tuple[Operation, ...]
    kept: int


def plan_content(
    file: str,
    old: Sequence[Existing],
    new: Sequence[ParsedNode],
    *,
    path: str,
    digest: str,
    new_id: Callable[[], str],
) -> Plan:
    """Bring what lies below the fragment `file` in line with `new`.

    old: all live fragments below `file`, in any order.
    path: the `Source.path` of the file. digest: of the whole file, for nodes that have no span.
    """
    return _Planner(file, old, new, path, digest, new_id).plan()


def plan_removal(top: Existing, below: Sequence[Existing]) -> Plan:
    """Delete a fragment and all ingested fragments below it; others move to its parent."""
    tree = _Tree(top.id, below)
    gone = [top, *tree.ours]
    return Plan((*_rescues(tree, {each.id for each in gone}, top.parent, top), *_deletes(gone)), 0)


class _Tree:
    """The fragments below one, by parent, in order. `ours` came from a file; parents come before children."""

    def __init__(self, top: str, below: Sequence[Existing]) -> None:
        by_parent: defaultdict[str | None, list[Existing]] = defaultdict(list)
        for each in below:
            by_parent[each.parent].append(each)
        self.kids: dict[str, list[Existing]] = {}
        self.ours: list[Existing] = []
        self.others: list[Existing] = []
        stack = [top]
        while stack:
            parent = stack.pop()
            children = sorted(by_parent[parent], key=lambda each: (each.position, each.id))
            mine = [each for each in children if each.source is not None]
            self.kids[parent] = mine
            self.ours += mine
            self.others += [each for each in children if each.source is None]
            stack.extend(each.id for each in reversed(mine))


class _Planner:
    """The new nodes are numbered in the order of the file; 0 stands for the file itself."""

    def __init__(
        self,
        file: str,
        old: Sequence[Existing],
        new: Sequence[ParsedNode],
        path: str,
        digest: str,
        new_id: Callable[[], str],
    ) -> None:
        self.file, self.path, self.digest, self.new_id = file, path, digest, new_id
        self.tree = _Tree(file, old)
        self.nodes = [ParsedNode(kind="file", text="", children=tuple(new))]
        self.kids: list[list[int]] = [[]]
        self._number()
        self.keys = [(node.kind, digest_of(node.text.encode("utf-8"))) for node in self.nodes]
        self.match: list[Existing | None] = [None] * len(self.nodes)
        self.used: set[str] = set()

    def _number(self) -> None:
        """Number the nodes in preorder."""
        stack = [(0, child) for child in reversed(self.nodes[0].children)]
        while stack:
            parent, node = stack.pop()
            number = len(self.nodes)
            self.nodes.append(node)
            self.kids.append([])
            self.kids[parent].append(number)
            stack.extend((number, child) for child in reversed(node.children))

    def plan(self) -> Plan:
        matched = self._descend([(self.file, 0)])
        self._moved()
        for parent, number in matched:  # The list grows while it is walked.
            matched += self._descend(self._edited(parent, number))
        return self._write()

    def _descend(self, seeds: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Match what lies below matched pairs; returns these and all pairs found."""
        matched = list(seeds)
        for parent, number in matched:  # The list grows while it is walked.
            matched += self._same(parent, number)
            matched += self._retitled(parent, number)
        return matched

    def _pair(self, number: int, old: Existing) -> tuple[str, int]:
        self.match[number] = old
        self.used.add(old.id)
        return old.id, number

    def _same(self, parent: str, number: int) -> list[tuple[str, int]]:
        """Match children of equal kind and text, in order."""
        old = [each for each in self.tree.kids[parent] if each.id not in self.used]
        new = [each for each in self.kids[number] if self.match[each] is None]
        if not old or not new:
            return []
        same = pairs([(each.kind, each.digest) for each in old], [self.keys[each] for each in new])
        return [self._pair(new[j], old[i]) for i, j in same]

    def _retitled(self, parent: str, number: int) -> list[tuple[str, int]]:
        return self._by_kind(parent, number, _HOLDERS)

    def _edited(self, parent: str, number: int) -> list[tuple[str, int]]:
        return self._by_kind(parent, number, None)

    def _by_kind(self, parent: str, number: int, kinds: set[str] | None) -> list[tuple[str, int]]:
        """Pair unmatched children of one kind that lie between the same two matched ones."""
        found = []
        for old, new in self._gaps(parent, number):
            olds = [each for each in old if kinds is None or each.kind in kinds]
            news = [each for each in new if kinds is None or self.nodes[each].kind in kinds]
            for i, j in in_order([each.kind for each in olds], [self.nodes[each].kind for each in news]):
                found.append(self._pair(news[j], olds[i]))
        return found

    def _gaps(self, parent: str, number: int) -> Iterable[tuple[list[Existing], list[int]]]:
        """Unmatched children on both sides, between one pair of matched siblings and the next."""
        old, new = self.tree.kids[parent], self.kids[number]
        if not old or not new:
            return []
        place = {each.id: index for index, each in enumerate(old)}
        gaps = []
        done = 0
        waiting: list[int] = []
        for child in new:
            partner = self.match[child]
            if partner is None:
                waiting.append(child)
            elif place.get(partner.id, -1) >= done:
                stop = place[partner.id]
                gaps.append(([each for each in old[done:stop] if each.id not in self.used], waiting))
                done, waiting = stop + 1, []
        gaps.append(([each for each in old[done:] if each.id not in self.used], waiting))
        return [(left, right) for left, right in gaps if left and right]

    def _moved(self) -> None:
        """Match leaves of equal kind and text anywhere in the file."""
        waiting: defaultdict[tuple[str, str], deque[Existing]] = defaultdict(deque)
        for each in self.tree.ours:
            if each.id not in self.used and not self.tree.kids[each.id] and each.kind not in _HOLDERS:
                waiting[each.kind, each.digest].append(each)
        for number in range(1, len(self.nodes)):
            if self.match[number] is None and not self.kids[number]:
                queue = waiting.get(self.keys[number])
                if queue:
                    self._pair(number, queue.popleft())

    def _write(self) -> Plan:
        operations: list[Operation] = []
        ids = [self.file] + [old.id if old else self.new_id() for old in self.match[1:]]
        kept = 0
        for parent, children in enumerate(self.kids):
            if not children:
                continue
            stay = self._stay(ids[parent], children)
            for child, position in zip(children, places(stay), strict=True):
                written = self._operations(child, ids[child], ids[parent], position)
                kept += not written
                operations += written
        gone = [each for each in self.tree.ours if each.id not in self.used]
        rescues = _rescues(self.tree, {each.id for each in gone}, self.file, None)
        return Plan((*operations, *rescues, *_deletes(gone)), kept)

    def _stay(self, parent: str, children: list[int]) -> list[float | None]:
        """The positions of the children that can stay where they are, None for the others."""
        positions: list[float | None] = []
        for child in children:
            old = self.match[child]
            positions.append(old.position if old is not None and old.parent == parent else None)
        return ascending(positions)

    def _operations(self, number: int, id: str, parent: str, position: float) -> list[Operation]:
        node, old = self.nodes[number], self.match[number]
        source = self._source(node)
        if old is None:
            return [
                Add(
                    id=id,
                    parent=parent,
                    position=position,
                    kind=node.kind,
                    text=node.text,
                    source=source,
                    metadata=node.metadata,
                    created=node.created,
                )
            ]
        found: list[Operation] = []
        text = node.text if old.digest != self.keys[number][1] else None
        metadata = None
        if any(key not in old.metadata or old.metadata[key] != value for key, value in node.metadata.items()):
            metadata = {**old.metadata, **node.metadata}
        if text is not None or metadata is not None:
            found.append(Update(id=id, text=text, source=source, metadata=metadata))
        elif old.source != source:
            found.append(Restate(id=id, source=source))
        if old.parent != parent or old.position != position:
            found.append(Move(id=id, parent=parent, position=position))
        return found

    def _source(self, node: ParsedNode) -> Source:
        digest = node.span_digest if node.span is not None else self.digest
        return Source(path=self.path, span=node.span, digest=digest, line=node.line)


def _rescues(tree: _Tree, gone: set[str], fallback: str | None, top: Existing | None) -> list[Operation]:
    """Move fragments that did not come from a file out from below those that go."""
    parents = {each.id: each.parent for each in tree.ours}
    found: list[Operation] = []
    for each in tree.others:
        parent = each.parent
        while parent in gone and (top is None or parent != top.id):
            parent = parents.get(parent) if parent is not None else None
        if top is not None and parent == top.id:
            parent = fallback
        if parent != each.parent:
            found.append(Move(id=each.id, parent=parent, position=None))
    return found


def _deletes(gone: list[Existing]) -> list[Operation]:
    """Children before their parents."""
    return [Delete(id=each.id) for each in reversed(gone)]
