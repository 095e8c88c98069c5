"""The border to the memory: what it holds already, and the operations that bring it up to date.

`plan` makes operations, `sync` hands them over in batches, and whoever keeps the fragments (the Memory; a
dictionary in the tests) implements `IngestSink`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from carma.ingest.node import digest_of
from carma.models import Fragment, Source

__all__ = ["Add", "Delete", "Existing", "IngestSink", "Move", "Operation", "Restate", "Update"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """A live fragment as the memory holds it; `digest` is that of its text, and no key goes into it."""

    id: str
    parent: str | None
    position: float
    kind: str
    digest: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: Source | None = None

    @classmethod
    def of(cls, fragment: Fragment) -> Existing:
        """A fragment that was read. Its own digest is keyed where the memory is encrypted, and stands here
        only if the text is not there to tell.
        """
        proven = fragment.state in ("intact", "repaired")
        return cls(
            id=fragment.id,
            parent=fragment.parent,
            position=fragment.position,
            kind=fragment.kind,
            digest=digest_of(fragment.text.encode()) if proven else fragment.digest,
            metadata=fragment.metadata,
            source=fragment.source,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """A new fragment. position None: after its last sibling. created None: now."""

    id: str
    parent: str | None
    position: float | None
    kind: str
    text: str
    source: Source
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A new version: new text and source, and the whole metadata (None: as it is)."""

    id: str
    text: str | None
    source: Source
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restate:
    """Another source for the same text: same id, same version, nothing to embed."""

    id: str
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Another parent, or another place among the siblings (position None: last)."""

    id: str
    parent: str | None
    position: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """The fragment alone; everything below it was moved or deleted by operations before this one."""

    id: str


Operation = Add | Update | Restate | Move | Delete


class IngestSink(Protocol):
    """The memory, as ingest sees it. Scope (user, agent, session) is the sink's own affair."""

    def new_id(self) -> str:
        """A fresh fragment id."""

    def root(self, path: str) -> Existing | None:
        """The live fragment of this scope whose metadata "root" is the absolute path `path`."""

    def children(self, parent: str) -> Sequence[Existing]:
        """The live children of a fragment, in any order."""

    def below(self, ancestor: str) -> Sequence[Existing]:
        """All live fragments below a fragment, itself not included, in any order."""

    def count_below(self, ancestor: str) -> int:
        """How many `below` would return."""

    def apply(self, operations: Sequence[Operation]) -> None:
        """Carry out the operations in their order, as one group commit, durable when it returns."""
