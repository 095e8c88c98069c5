"""The verbs that move texts in and out of a memory, and the memory to another embedder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carma.embed import Embedder
from carma.memory.base import Base
from carma.memory.browse import Scope

if TYPE_CHECKING:
    from carma.access.vault.recipients import Identity, Recipient
    from carma.ingest import IngestOptions, IngestReport, Progress

__all__ = ["MoveVerbs"]


class MoveVerbs(Base):
    """Verbs that move much at once."""

    def ingest(
        self,
        path: str | Path,
        *,
        parent: str | None = None,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        options: IngestOptions | None = None,
        progress: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> IngestReport:
        """Take in a folder or a file as a tree; again later, only what changed. See docs/guides/ingest.md.

        parent: the fragment to put it under, the first time. progress: told how far it is. should_stop: asked
        between batches; True ends the ingest, and the same call goes on later.
        Raises InvalidInput (nothing there, or unreadable), ReadOnlyMemory, MemoryBusy, StorageError. A file
        that cannot be taken is a problem in the report and stops nothing.
        """
        from carma.memory.intake import ingest  # Heavy: it brings the parsers along.

        self._ready()
        scope = Scope(user, agent, session)
        with self._actor.long():
            return ingest(self._parts, str(path), parent, scope, options, progress, should_stop)

    def export(
        self,
        target: str | Path,
        *,
        format: str = "jsonl",
        history: bool = False,
        to: Recipient | None = None,
    ) -> dict[str, Any]:
        """Write everything to a file: "jsonl" (one fragment a line) or "archive" (lossless, all versions).

        to: seal the file for this recipient. An archive of an encrypted memory stays under its owner's data
        key inside; JSON Lines hold the texts.
        Returns counts. Raises MemoryExists, InvalidInput, StorageError.
        """
        from carma.memory.exporting import export  # Heavy: it brings HPKE along.

        self._ready()
        return export(self._parts, str(target), format, history, to)

    def import_(self, source: str | Path, *, identity: Identity | None = None) -> dict[str, Any]:
        """Take in what `export` wrote, of either format; what is here already stays. Returns counts.

        identity: opens what was sealed for its recipient; a damaged one is then refused as a whole.
        Raises ArchiveDamaged (SealedDamaged, SealedTruncated), IdentityWrong, FormatTooNew, StorageError.
        """
        from carma.memory.importing import import_

        self._ready()
        with self._actor.long():
            return import_(self._parts, str(source), identity)

    def snapshot(self, target: str | Path) -> dict[str, int]:
        """Copy the memory, consistent, while reading and writing go on. Raises MemoryExists, StorageError."""
        from carma.memory.snapshot import snapshot

        self._ready()
        return snapshot(self._store, str(target))

    def reembed(
        self, embedder: Embedder | str, *, progress: Callable[[int, int], None] | None = None
    ) -> dict[str, int]:
        """Move to another embedder; resumable, and the old vectors serve until the new ones are complete."""
        self._ready()
        with self._actor.long():
            return self._keeper.reembed(embedder, progress)
