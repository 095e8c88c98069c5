"""`Memory`: everything one owner remembers, and one call per verb.

Every surface (command line, server, adapters) ends in these calls; none of them holds logic of its own. The
class only checks arguments, asks the parts, and puts their answers together:

    writing ─▶ store ─▶ columns, vectors ─▶ search
    reading ◀─ store
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from carma.config import Settings
from carma.embed import Embedder
from carma.errors import FragmentNotFound, InvalidInput, TooLarge
from carma.ingest import IngestOptions, IngestReport, Progress
from carma.memory import doctor, snapshot, stats, transfer
from carma.memory.browse import Browser, Scope
from carma.memory.find import Finder, SearchBatch
from carma.memory.ids import id_bytes
from carma.memory.intake import ingest
from carma.memory.parts import Parts, open_memory_parts
from carma.memory.reading import Reader, fragment_of
from carma.memory.upkeep import Upkeep
from carma.memory.writing import UNSET, Unset, Writer, items_of
from carma.models import Fragment, Node, Page, SearchResult, Source
from carma.ports.clock import Clock, Entropy
from carma.ports.disk import Disk
from carma.store.commit import View
from carma.store.entry import Draft

__all__ = ["Memory"]


class Memory:
    """A memory, open. Made by `Memory.open`; safe to share between threads; close it or use it in a `with`
    block.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._reader: Reader = parts.reader
        self._writer: Writer = parts.writer
        self._browser: Browser = parts.browser
        self._finder: Finder = parts.finder
        self._upkeep: Upkeep = parts.upkeep

    # -- life
    # --------------------------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        embedder: Embedder | str | None = None,
        settings: Settings | None = None,
        create: bool = True,
        read_only: bool = False,
        disk: Disk | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> Self:
        """Open the memory in the folder `path`, or make one there.

        embedder: an `Embedder`, the name of one (`docs/guides/embedders.md`), or None for the one that filled
        the
            memory, at first the packaged MiniLM.
        read_only: touch nothing on disk; also what happens by itself where the folder cannot be written.
        disk, clock, entropy: the ports; the machine's own unless given (tests, simulations).

        Raises MemoryNotFound (`create=False`), NotAMemory, FormatTooNew, EmbedderMismatch, MemoryBusy,
        NetworkFileSystem, StorageError.
        """
        return cls(
            open_memory_parts(
                str(path), embedder, settings or Settings(), disk, clock, entropy, create=create, read_only=read_only
            )
        )

    @property
    def path(self) -> str:
        """The folder."""
        return self._store.folder

    @property
    def read_only(self) -> bool:
        """Whether this memory can only be read."""
        return self._store.read_only

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything written so far is findable by words and by meaning; False if time ran out.

        Raises EmbedderError if the embedder cannot embed what is pending.
        """
        self._store.check_open()
        self._store.settle()
        return self._finder.flush(timeout_s)

    def rest(self) -> None:
        """Do now what is done when nothing is written for a while: seal, index, save, compact, sweep."""
        self._store.check_open()
        self._upkeep.rest()

    def compact(self, *, linger_s: float | None = None) -> dict[str, int]:
        """Write what is alive in mostly dead segments anew; the counts of what was done.

        linger_s: how long replaced files stay for other readers (`Settings.linger_s` if None).
        """
        self._store.check_open()
        return self._upkeep.compact(linger_s)

    def close(self) -> None:
        """Finish what is pending, save the indexes, close every file; idempotent. What was acknowledged is
        safe without.
        """
        self._upkeep.close()
        self._finder.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- writing
    # -----------------------------------------------------------------------------------------------------

    def add(
        self,
        text: str,
        *,
        parent: str | None = None,
        position: float | None = None,
        kind: str = "note",
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expires: float | None = None,
        dedupe: bool = False,
        vector: Any = None,
        source: Source | None = None,
        id: str | None = None,
        created: float | None = None,
    ) -> Fragment:
        """Remember a text. Durable and findable by words when this returns, by meaning as soon as it is
        embedded.

        parent: id of the fragment above. position: order among the siblings (the order of writing if None).
        expires, created: seconds since the epoch. dedupe: if the same text is already there under the same
        parent and scope, return that fragment instead. vector: shape (dimension,), the caller's own
        embedding. id: 32 hexadecimal digits, made if None.

        Raises InvalidInput, TooLarge, FragmentNotFound (the parent), VersionConflict (the id is taken),
        ReadOnlyMemory, MemoryBusy, StorageError.
        """
        given = dict(
            text=text, parent=parent, position=position, kind=kind, user=user, agent=agent, session=session,
            metadata=metadata, expires=expires, dedupe=dedupe, vector=vector, source=source, id=id, created=created,
        )  # fmt: skip
        return self._add([given])[0]

    def add_many(self, items: Iterable[str | Mapping[str, Any]], **defaults: Any) -> builtins.list[Fragment]:
        """Remember several texts in one group commit: texts, or mappings with `add`'s keyword names.

        All of them are stored, or, when this raises, none of those that it was given in one batch.
        """
        return self._add(items_of(items, defaults))

    def _add(self, items: Sequence[Mapping[str, Any]]) -> builtins.list[Fragment]:
        drafts: builtins.list[Draft] = []
        dedupe: builtins.list[bool] = []
        for item in items:
            arguments = dict(item)
            dedupe.append(bool(arguments.pop("dedupe", False)))
            drafts.append(self._writer.new(**arguments))
        found: dict[int, Fragment] = {}

        def prepare(view: View) -> Sequence[Draft]:
            found.clear()
            fresh: builtins.list[Draft] = []
            batch = _BatchView(view)
            for number, draft in enumerate(drafts):
                known = self._browser.twin(draft, fresh) if dedupe[number] else None
                if isinstance(known, Fragment):
                    found[number] = known
                elif known is None:
                    self._writer.check_new(batch, draft)
                    batch.add(draft)
                    fresh.append(draft)
                else:
                    again[number] = known
            return fresh

        again: dict[int, int] = {}
        written = [fragment_of(entry) for entry in self._store.commit(prepare)] if drafts else []
        rest = iter(written)
        out: builtins.list[Fragment] = []
        for number in range(len(drafts)):
            if number in found:
                out.append(found[number])
            elif number in again:
                out.append(written[again[number]])
            else:
                out.append(next(rest))
        return out

    def update(
        self,
        id: str,
        text: str | Unset = UNSET,
        *,
        metadata: Mapping[str, Any] | None | Unset = UNSET,
        expires: float | None | Unset = UNSET,
        position: float | None | Unset = UNSET,
        parent: str | None | Unset = UNSET,
        source: Source | None | Unset = UNSET,
        vector: Any = UNSET,
        if_version: int | None = None,
    ) -> Fragment:
        """Write the next version of a fragment; what is not given stays. None clears a field.

        if_version: refuse unless this is the version that is stored.
        Raises FragmentNotFound, VersionConflict, InvalidInput (also: a parent below the fragment),
        StorageError.
        """
        key = id_bytes(id)
        changes = self._writer.changes(text, metadata, expires, position, parent, source, vector)

        def prepare(view: View) -> Sequence[Draft]:
            if changes.get("parent") is not None:
                self._check_parent(view, key, changes["parent"])
            return [self._writer.change(view, key, changes, if_version)]

        return fragment_of(self._store.commit(prepare)[0])

    def _check_parent(self, view: View, id: bytes, parent: bytes) -> None:
        self._writer.existing(view, parent, "parent")
        if parent == id or parent in self._browser.below(id):
            raise InvalidInput("A fragment cannot stand below itself.")

    def delete(self, id: str, *, children: bool = False, purge: bool = False) -> int:
        """Forget a fragment, and all below it if `children`; otherwise its children move up to its parent.

        purge: also remove it from every file now, instead of at the next compaction.
        Returns how many fragments were deleted. Raises FragmentNotFound, MemoryBusy, StorageError.
        """
        key = id_bytes(id)
        count = 0

        def prepare(view: View) -> Sequence[Draft]:
            nonlocal count
            head = self._writer.existing(view, key)
            below = self._browser.below(key)
            if children:
                heads = [h for h in map(view.head, below) if h is not None]
                count = 1 + len(heads)
                return [self._writer.end(h) for h in (head, *heads)]
            count = 1
            return [*self._orphans(view, key), self._writer.end(head)]

        self._store.commit(prepare)
        if purge:
            self._upkeep.purge()
        return count

    def _orphans(self, view: View, id: bytes) -> builtins.list[Draft]:
        """The children of a fragment that goes, restated under its parent."""
        rows = self._store.registry.rows("SELECT id FROM fragments WHERE live AND parent=? ORDER BY position", (id,))
        if not rows:
            return []
        parent = self._store.registry.one("SELECT parent FROM fragments WHERE live AND id=?", (id,))
        changes = {"parent": parent[0] if parent else None}
        return [self._writer.change(view, row[0], changes, None, same_version=True) for row in rows]

    # -- reading
    # -----------------------------------------------------------------------------------------------------

    def get(self, id: str, *, version: int | None = None) -> Fragment:
        """One fragment, proven, or its blank. Raises FragmentNotFound."""
        self._ready()
        key = id_bytes(id)
        if version is None:
            return self._reader.current(key)
        for fragment in self._reader.versions(key):
            if fragment.version == version:
                return fragment
        raise FragmentNotFound(f"Fragment {id} has no version {version}.")

    def get_many(self, ids: Iterable[str]) -> builtins.list[Fragment]:
        """Several fragments in the order asked for. Raises FragmentNotFound for the first that is missing."""
        return [self.get(id) for id in ids]

    def list(
        self,
        *,
        parent: str | None | Unset = UNSET,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        where: Mapping[str, Any] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """A page of fragments: the children of `parent` in order (None: those without one), else all by
        creation.
        """
        self._ready()
        in_tree = not isinstance(parent, Unset)
        above = None if isinstance(parent, Unset) else parent
        return self._browser.page(Scope(user, agent, session, where), above, in_tree, self._limit(limit), cursor)

    def history(self, id: str) -> builtins.list[Fragment]:
        """Every stored version of a fragment, oldest first; a deletion is the last, with `deleted` set."""
        self._ready()
        versions = self._reader.versions(id_bytes(id))
        if not versions:
            raise FragmentNotFound(f"There is no fragment {id}.")
        return versions

    def tree(self, root: str | None = None, *, depth: int | None = None) -> Node:
        """The tree below a fragment, or all of it; `depth` levels deep."""
        self._ready()
        return self._browser.tree(root, depth)

    def children(self, id: str | None = None) -> builtins.list[Fragment]:
        """The direct children in order; the fragments without a parent if `id` is None."""
        self._ready()
        return self._browser.children(id)

    def parent(self, id: str) -> Fragment | None:
        """The fragment above; None at the top or if it is lost."""
        above = self.get(id).parent
        try:
            return self.get(above) if above is not None else None
        except FragmentNotFound:
            return None

    def count(
        self,
        *,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> int:
        """How many fragments there are."""
        self._ready()
        return self._browser.count(Scope(user, agent, session, where))

    # -- finding
    # -----------------------------------------------------------------------------------------------------

    def search(
        self,
        query: str | None = None,
        *,
        vector: Any = None,
        limit: int = 10,
        mode: str = "hybrid",
        where: Mapping[str, Any] | None = None,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        under: str | None = None,
        min_score: float | None = None,
        diversity: float = 0.0,
        explain: bool = False,
    ) -> SearchResult:
        """Find fragments by meaning and words; every hit is proven when it is read.

        vector: shape (dimension,), instead of or beside the query. mode: "hybrid", "vector" or "words".
        under: only below this fragment. min_score: leave out what scores lower. diversity: 0 to 1, the weight
        of being unlike the hits before (maximal marginal relevance, Carbonell and Goldstein 1998).

        Raises InvalidInput, InvalidFilter.
        """
        self._ready()
        return self._finder.search(
            query, vector, self._limit(limit), mode, Scope(user, agent, session, where), under, min_score, diversity,
            explain,
        )  # fmt: skip

    def search_many(
        self,
        queries: Sequence[str] | Any,
        *,
        limit: int = 10,
        mode: str = "vector",
        where: Mapping[str, Any] | None = None,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        under: str | None = None,
    ) -> SearchBatch:
        """Answer many queries at once, as columns; hits are read when they are asked for.

        queries: texts, or an array of shape (queries, dimension).
        """
        self._ready()
        return self._finder.search_many(
            queries, self._limit(limit), mode, Scope(user, agent, session, where), under
        )

    # -- moving in and out
    # -------------------------------------------------------------------------------------------

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
        self._ready()
        scope = Scope(user, agent, session)
        return ingest(self._parts, str(path), parent, scope, options, progress, should_stop)

    def export(self, target: str | Path, *, format: str = "jsonl", history: bool = False) -> dict[str, Any]:
        """Write everything to a file: "jsonl" (one fragment a line) or "archive" (lossless, all versions).

        Returns counts. Raises MemoryExists, InvalidInput, StorageError.
        """
        self._ready()
        return transfer.export(self._parts, str(target), format, history)

    def import_(self, source: str | Path) -> dict[str, Any]:
        """Take in what `export` wrote, of either format; what is here already stays. Returns counts.

        Raises ArchiveDamaged, FormatTooNew, StorageError.
        """
        self._ready()
        return transfer.import_(self._parts, str(source))

    def snapshot(self, target: str | Path) -> dict[str, int]:
        """Copy the memory, consistent, while reading and writing go on. Raises MemoryExists, StorageError."""
        self._ready()
        return snapshot.snapshot(self._store, str(target))

    def reembed(
        self, embedder: Embedder | str, *, progress: Callable[[int, int], None] | None = None
    ) -> dict[str, int]:
        """Move to another embedder; resumable, and the old vectors serve until the new ones are complete."""
        self._ready()
        return self._finder.reembed(embedder, progress)

    # -- looking at it
    # -----------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Counts and sizes: fragments by state, versions, segments, bytes, index freshness."""
        self._ready()
        return stats.stats(self._parts)

    def doctor(self) -> builtins.list[dict[str, Any]]:
        """What is wrong with the memory and the machine; reads only. Each finding: level, subject, what,
        advice.
        """
        self._ready()
        return doctor.examine(self._parts)

    def _ready(self) -> None:
        self._store.check_open()
        self._store.refresh()

    def _limit(self, limit: int) -> int:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise InvalidInput("limit must be a whole number from 1.")
        if limit > self._store.settings.limit_max:
            raise TooLarge(f"limit is {limit}; limit_max allows {self._store.settings.limit_max}.")
        return limit


class _BatchView:
    """What the next draft of one call will find: the drafts of this call, then what the writer was given."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._drafts: dict[bytes, Draft] = {}

    def add(self, draft: Draft) -> None:
        self._drafts[draft.id] = draft

    def head(self, id: bytes) -> Any:
        return self._drafts.get(id) or self._view.head(id)
