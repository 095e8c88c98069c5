"""An `IngestSink` that is a dictionary, strict about what it is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from carma.ingest import Add, Delete, Existing, IngestReport, Move, Operation, Restate, Update
from carma.ingest.node import ParsedNode, digest_of

Ingest = Callable[..., IngestReport]
"""`ingest_path` with the test's sink: a path, then keyword arguments."""


@dataclass(frozen=True)
class Held:
    """A fragment: what the planner sees of it, its text, and how often it was written."""

    seen: Existing
    text: str
    version: int = 1
    created: float | None = None


class DictSink:
    """Keeps fragments by id. `before_apply` may raise, to interrupt between batches."""

    def __init__(self, before_apply: Callable[[int], None] | None = None) -> None:
        self.held: dict[str, Held] = {}
        self.batches: list[list[Operation]] = []
        self.before_apply = before_apply
        self._last = 0

    def new_id(self) -> str:
        self._last += 1
        return f"{self._last:032x}"

    def root(self, path: str) -> Existing | None:
        for held in self.held.values():
            if held.seen.metadata.get("root") == path:
                return held.seen
        return None

    def children(self, parent: str) -> Sequence[Existing]:
        return [held.seen for held in self.held.values() if held.seen.parent == parent]

    def below(self, ancestor: str) -> Sequence[Existing]:
        by_parent: dict[str | None, list[Existing]] = {}
        for held in self.held.values():
            by_parent.setdefault(held.seen.parent, []).append(held.seen)
        found = list(by_parent.get(ancestor, []))
        for each in found:
            found += by_parent.get(each.id, [])
        return found

    def count_below(self, ancestor: str) -> int:
        return len(self.below(ancestor))

    def apply(self, operations: Sequence[Operation]) -> None:
        if self.before_apply is not None:
            self.before_apply(len(self.batches))
        self.batches.append(list(operations))
        for operation in operations:
            self._apply(operation)

    def _apply(self, operation: Operation) -> None:
        if isinstance(operation, Add):
            assert operation.id not in self.held
            assert operation.parent is None or operation.parent in self.held, "the parent must be there first"
            assert operation.text and "\x00" not in operation.text
            operation.text.encode("utf-8")
            seen = Existing(
                id=operation.id,
                parent=operation.parent,
                position=self._last_below(operation.parent)
                if operation.position is None
                else operation.position,
                kind=operation.kind,
                digest=digest_of(operation.text.encode()),
                metadata=dict(operation.metadata),
                source=operation.source,
            )
            self.held[operation.id] = Held(seen, operation.text, created=operation.created)
            return
        held = self.held[operation.id]
        if isinstance(operation, Update):
            text = held.text if operation.text is None else operation.text
            metadata = held.seen.metadata if operation.metadata is None else dict(operation.metadata)
            seen = replace(
                held.seen, digest=digest_of(text.encode()), source=operation.source, metadata=metadata
            )
            self.held[operation.id] = replace(held, seen=seen, text=text, version=held.version + 1)
        elif isinstance(operation, Restate):
            self.held[operation.id] = replace(held, seen=replace(held.seen, source=operation.source))
        elif isinstance(operation, Move):
            assert operation.parent is None or operation.parent in self.held
            position = (
                self._last_below(operation.parent) if operation.position is None else operation.position
            )
            seen = replace(held.seen, parent=operation.parent, position=position)
            self.held[operation.id] = replace(held, seen=seen, version=held.version + 1)
        elif isinstance(operation, Delete):
            assert not self.children(operation.id), "children must go first"
            del self.held[operation.id]

    def _last_below(self, parent: str | None) -> float:
        positions = [held.seen.position for held in self.held.values() if held.seen.parent == parent]
        return max(positions, default=0.0) + 1.0

    # Looking

    def tree(self, parent: str | None = None) -> list[Any]:
        """Nested [kind, text, children] in order."""
        by_parent: dict[str | None, list[Held]] = {}
        for held in sorted(self.held.values(), key=lambda held: (held.seen.position, held.seen.id)):
            by_parent.setdefault(held.seen.parent, []).append(held)

        def below(top: str | None) -> list[Any]:
            return [[held.seen.kind, held.text, below(held.seen.id)] for held in by_parent.get(top, [])]

        return below(parent)

    def texts(self, *kinds: str) -> list[str]:
        """Texts in the order of the tree, of the given kinds (all if none)."""
        found: list[str] = []

        def visit(nodes: list[Any]) -> None:
            for kind, text, children in nodes:
                if not kinds or kind in kinds:
                    found.append(text)
                visit(children)

        visit(self.tree())
        return found

    def one(self, text: str) -> Held:
        """The one fragment with this text."""
        (found,) = [held for held in self.held.values() if held.text == text]
        return found

    def versions(self) -> dict[str, int]:
        return {id: held.version for id, held in self.held.items()}


def as_tree(nodes: Sequence[ParsedNode]) -> list[Any]:
    """Parsed nodes in the shape of `DictSink.tree`."""
    return [[node.kind, node.text, as_tree(node.children)] for node in nodes]
