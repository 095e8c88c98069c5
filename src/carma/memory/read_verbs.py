"""The verbs that read: one fragment, pages, versions, the tree; and search."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from carma.errors import FragmentNotFound
from carma.memory.base import Base
from carma.memory.batch import SearchBatch
from carma.memory.browse import Scope
from carma.memory.ids import id_bytes
from carma.memory.overview import overview
from carma.memory.writing import UNSET, Unset
from carma.models import Fragment, Node, Page, SearchResult
from carma.reports import Topology

__all__ = ["ReadVerbs"]


class ReadVerbs(Base):
    """Verbs that read. Whatever they return was proven; what cannot be proven is a blank."""

    def get(self, id: str, *, version: int | None = None) -> Fragment:
        """One fragment, proven, or its blank. Raises FragmentNotFound."""
        self._ready()
        key = id_bytes(id)
        if version is None:
            found = self._finder.current(key) or self._reader.current(key)
            if found.state != "intact":
                self._parts.felt.read(found.id)
            return found
        for fragment in self._reader.versions(key, version):
            return fragment
        raise FragmentNotFound(f"Fragment {id} has no version {version}.")

    def get_many(self, ids: Iterable[str]) -> builtins.list[Fragment]:
        """Several fragments in the order asked for. Raises FragmentNotFound for the first that is missing."""
        return [self.get(id) for id in ids]

    def list(
        self,
        *,
        parent: str | Unset | None = UNSET,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        where: Mapping[str, Any] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """A page of fragments: the children of `parent` in order (None: those without one), else all by
        creation. It is shorter than `limit` where the next one would not fit into `answer_bytes`; the cursor
        says whether there is more.
        """
        self._ready()
        in_tree = not isinstance(parent, Unset)
        above = None if isinstance(parent, Unset) else parent
        return self._browser.page(
            Scope(user, agent, session, where), above, in_tree, self._limit(limit), cursor
        )

    def history(self, id: str) -> builtins.list[Fragment]:
        """Every stored version of a fragment, oldest first; nothing from before a deletion.

        Raises FragmentNotFound, TooLarge (they are longer than `answer_bytes` together).
        """
        self._ready()
        with self._gathering("Ask for one version at a time, by `get` with `version`."):
            versions = self._reader.versions(id_bytes(id))
        if not versions:
            raise FragmentNotFound(f"There is no fragment {id}.")
        return versions

    def tree(self, root: str | None = None, *, depth: int | None = None) -> Node:
        """The tree below a fragment, or all of it; `depth` levels deep. Raises FragmentNotFound, TooLarge (it
        is longer than `answer_bytes`).
        """
        self._ready()
        with self._gathering("Ask for a smaller depth or another root, or page by page with `list`."):
            return self._browser.tree(root, depth)

    def children(self, id: str | None = None) -> builtins.list[Fragment]:
        """The direct children in order; the fragments without a parent if `id` is None. Raises
        FragmentNotFound, TooLarge (they are longer than `answer_bytes` together).
        """
        self._ready()
        with self._gathering("Ask page by page, with `list`."):
            return self._browser.children(id)

    def parent(self, id: str) -> Fragment | None:
        """The fragment above; None at the top or if it is lost."""
        above = self.get(id).parent
        try:
            return self.get(above) if above is not None else None
        except FragmentNotFound:
            return None

    def topology(self, *, threads: bool = True, limit: int = 50_000) -> Topology:
        """Every fragment with its state, the tree, and the threads between fragments close in meaning.

        limit: of fragments; `carma.healing.topology` draws it.
        """
        self._ready()
        return overview(self._parts, threads, limit)

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

        vector: shape (dimension,), instead of or beside the query. mode: "hybrid", "vector" or "words"; where
        no text has the words and some are lost, the nearest by meaning, and the result is degraded.
        under: only this fragment and what lies below it. min_score: leave out what scores lower. diversity: 0
        to 1,
        the weight of being unlike the hits before (maximal marginal relevance, Carbonell and Goldstein 1998).

        Raises InvalidInput, InvalidFilter, TooLarge (the hits are longer than `answer_bytes` together).
        """
        self._ready()
        with self._gathering("Ask for a smaller limit."):
            result = self._finder.search(
                query, vector, self._limit(limit), mode, Scope(user, agent, session, where), under, min_score,
                diversity, explain,
            )  # fmt: skip
        for hit in result.hits:
            if hit.fragment.state != "intact":
                self._parts.felt.read(hit.fragment.id)
        return result

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
