"""The verbs of a client, as steps: what each of them asks of the server, and what it makes of the answer.

Names, arguments and types are those of `Memory`, so a program can be given either. What the 17 operations do
not express raises `NotRemote` (`carma.client.local`).
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any

from carma.client.asking import Asking, fragments
from carma.client.bodies import as_id, batches, given, item_of, query_of
from carma.client.exchange import Steps
from carma.client.wire import read, read_result
from carma.errors import FragmentNotFound, InvalidAnswer, InvalidInput
from carma.models import UNSET, Fragment, Node, Page, SearchResult, Source, Unset
from carma.reports import ScanReport, Topology

__all__ = ["Verbs"]

_PAGE = 1_000


class Verbs(Asking):
    """What reads and writes fragments."""

    # Writing

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
    ) -> Steps[Fragment]:
        """As `Memory.add`."""
        item = {
            "text": text, "parent": parent, "position": position, "kind": kind, "user": user, "agent": agent,
            "session": session, "metadata": metadata, "expires": expires, "dedupe": dedupe, "vector": vector,
            "source": source, "id": id, "created": created,
        }  # fmt: skip
        made = yield from self.add_many([item])
        return made[0]

    def add_many(
        self, items: Iterable[str | Mapping[str, Any]], /, **defaults: Any
    ) -> Steps[builtins.list[Fragment]]:
        """As `Memory.add_many`; more than one request may hold is sent in several, each as a whole."""
        checked = [item_of(item, number, defaults) for number, item in enumerate(items)]
        made: list[Fragment] = []
        for body in batches(checked, self._settings):
            made += fragments((yield from self._ask("add", raw=body)))
        return made

    def update(
        self,
        id: str,
        text: str | Unset = UNSET,
        *,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        expires: float | Unset | None = UNSET,
        position: float | Unset | None = UNSET,
        parent: str | Unset | None = UNSET,
        source: Source | Unset | None = UNSET,
        vector: Any = UNSET,
        if_version: int | None = None,
    ) -> Steps[Fragment]:
        """As `Memory.update`."""
        named = {
            "text": text, "metadata": metadata, "expires": expires, "position": position, "parent": parent,
            "source": source, "vector": vector,
        }  # fmt: skip
        changes = {name: value for name, value in named.items() if not isinstance(value, Unset)}
        return (yield from self._change(id, changes, if_version))

    def accept(self, id: str) -> Steps[Fragment]:
        """As `Memory.accept`."""
        return (yield from self._change(id, {"reconstruction": "accept"}, None))

    def reject(self, id: str) -> Steps[Fragment]:
        """As `Memory.reject`."""
        return (yield from self._change(id, {"reconstruction": "reject"}, None))

    def _change(self, id: str, changes: Mapping[str, Any], if_version: int | None) -> Steps[Fragment]:
        headers = _if_match(if_version)
        answer = yield from self._ask("update", {"id": as_id(id)}, body=changes, headers=headers)
        return read(Fragment, answer)

    def delete(
        self, id: str, *, children: bool = False, purge: bool = False, if_version: int | None = None
    ) -> Steps[int]:
        """As `Memory.delete`."""
        query = query_of(children=children or None, purge=purge or None)
        headers = _if_match(if_version)
        answer = yield from self._ask("delete", {"id": as_id(id)}, query, headers=headers, slow=purge)
        return self._number(answer, "deleted")

    # Reading

    def get(self, id: str, *, version: int | None = None) -> Steps[Fragment]:
        """As `Memory.get`."""
        return read(Fragment, (yield from self._ask("get", {"id": as_id(id)}, query_of(version=version))))

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
    ) -> Steps[Page]:
        """As `Memory.list`."""
        above = "none" if parent is None else parent if isinstance(parent, Unset) else as_id(parent)
        query = query_of(
            parent=above, user=user, agent=agent, session=session, where=where, limit=limit, cursor=cursor
        )
        return read(Page, (yield from self._ask("list", query=query)))

    def count(
        self,
        *,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Steps[int]:
        """As `Memory.count`. With a scope or filter it is counted here, page by page."""
        if not any(given(user=user, agent=agent, session=session, where=where)):
            stats = yield from self.stats()
            return self._number(stats, "fragments") - self._number(stats, "expired")
        found, cursor = 0, None
        while True:
            page = yield from self.list(
                user=user, agent=agent, session=session, where=where, limit=_PAGE, cursor=cursor
            )
            found, cursor = found + len(page.items), page.cursor
            if cursor is None:
                return found

    def stats(self) -> Steps[dict[str, Any]]:
        """As `Memory.stats`, without the place on the server's disk and what opening it mended."""
        stats = (yield from self._ask("usage")).get("memory")
        if not isinstance(stats, dict):
            raise InvalidAnswer("The usage does not say what the memory holds.")
        return stats

    def children(self, id: str | None = None) -> Steps[builtins.list[Fragment]]:
        """As `Memory.children`; page by page."""
        if id is not None:
            yield from self.get(id)
        found: list[Fragment] = []
        cursor = None
        while True:
            page = yield from self.list(parent=id, limit=_PAGE, cursor=cursor)
            found += page.items
            cursor = page.cursor
            if cursor is None:
                return found

    def parent(self, id: str) -> Steps[Fragment | None]:
        """As `Memory.parent`."""
        above = (yield from self.get(id)).parent
        try:
            return (yield from self.get(above)) if above is not None else None
        except FragmentNotFound:
            return None

    def history(self, id: str) -> Steps[builtins.list[Fragment]]:
        """As `Memory.history`."""
        return fragments((yield from self._ask("history", {"id": as_id(id)})))

    def tree(self, root: str | None = None, *, depth: int | None = None) -> Steps[Node]:
        """As `Memory.tree`."""
        query = query_of(root=as_id(root) if root is not None else None, depth=depth)
        return read(Node, (yield from self._ask("tree", query=query, slow=True)))

    def topology(self, *, threads: bool = True, limit: int = 50_000) -> Steps[Topology]:
        """As `Memory.topology`."""
        query = query_of(threads=threads, limit=limit)
        return read(Topology, (yield from self._ask("topology", query=query, slow=True)))

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
    ) -> Steps[SearchResult]:
        """As `Memory.search`. `took_ms` is the server's, without the way there and back."""
        body = given(
            query=query, vector=vector, limit=limit, mode=mode, where=where, user=user, agent=agent,
            session=session, under=under, min_score=min_score, diversity=diversity or None,
            explain=explain or None,
        )  # fmt: skip
        return read_result((yield from self._ask("search", body=body)))

    def scan(self, *, deep: bool = False) -> Steps[ScanReport]:
        """As `Memory.scan`."""
        return read(ScanReport, (yield from self._ask("scan", body={"deep": deep}, slow=True)))

    def blanks(self, *, limit: int = 1000, reconstructed: bool = False) -> Steps[builtins.list[Fragment]]:
        """As `Memory.blanks`."""
        query = query_of(limit=limit, reconstructed=reconstructed or None)
        return fragments((yield from self._ask("blanks", query=query)))


def _if_match(if_version: int | None) -> dict[str, str]:
    """The header that names a version. Raises InvalidInput."""
    if if_version is None:
        return {}
    if isinstance(if_version, bool) or not isinstance(if_version, int):
        raise InvalidInput(f"if_version is {if_version!r:.80}; versions are whole numbers.")
    return {"if-match": f'"{if_version}"'}
