"""Lists, trees and counts over the live fragments."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from carma.errors import InvalidInput
from carma.memory.gathering import Gathered, weight
from carma.memory.ids import id_bytes
from carma.memory.reading import VISIBLE, Reader
from carma.models import Fragment, Node, Page
from carma.search.where import compile_where
from carma.store.entry import Draft
from carma.store.payload import Content
from carma.store.store import Store

__all__ = ["Browser", "Scope"]

_MOST_NODES = 20_000


class Scope:
    """Which fragments a caller speaks of: user, agent, session, and a `where` filter."""

    __slots__ = ("agent", "session", "user", "where")

    def __init__(
        self,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> None:
        self.user, self.agent, self.session, self.where = user, agent, session, where

    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self.user is None and self.agent is None and self.session is None and self.where is None

    def condition(self) -> tuple[str, dict[str, Any]]:
        """The scope as an SQL condition over `fragments` and its bindings. Raises InvalidFilter."""
        parts, bindings = ["1"], {}
        for name in ("user", "agent", "session"):
            value = getattr(self, name)
            if value is not None:
                parts.append(f"fragments.{name} = :scope_{name}")
                bindings[f"scope_{name}"] = value
        if self.where is not None:
            sql, more = compile_where(self.where)
            parts.append(f"({sql})")
            bindings.update(more)
        return " AND ".join(parts), bindings


class Browser:
    """Reads the tree and its pages."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    def page(self, scope: Scope, parent: str | None, in_tree: bool, limit: int, cursor: str | None) -> Page:
        """One page: by place among the siblings if `in_tree`, else by time of creation. It ends before it is
        longer than `answer_bytes`, with one fragment at least.
        """
        condition, bindings = scope.condition()
        if in_tree:
            condition += " AND parent IS :parent"
            bindings["parent"] = id_bytes(parent) if parent is not None else None
        if cursor is not None:
            position, id = _decode_cursor(cursor)
            condition += " AND (position, id) > (:position, :id)" if in_tree else " AND id > :id"
            bindings |= {"position": position, "id": id} if in_tree else {"id": id}
        order = "position, id" if in_tree else "id"
        places = self.places(condition, bindings, order, limit + 1)
        gathered = Gathered(self._store.settings.answer_bytes)
        items: list[Fragment] = []
        for place in places[:limit]:
            if not gathered.fits(place[3]):
                break  # The record alone is too long: it need not be read.
            fragment = self._reader.at(*place)
            size = weight(fragment)
            if not gathered.fits(size):
                break
            gathered.add(size)
            items.append(fragment)
        more = len(places) > len(items)
        return Page(items=tuple(items), cursor=_encode_cursor(items[-1]) if more else None)

    def places(
        self, condition: str, bindings: Mapping[str, Any], order: str, limit: int
    ) -> list[tuple[Any, ...]]:
        """Where live fragments lie: the arguments of `Reader.at`, none of them read."""
        self._store.settle()
        return self._store.rows(
            "SELECT seq, segment, offset, length FROM fragments "
            f"WHERE {VISIBLE} AND {condition} ORDER BY {order} LIMIT :limit",
            {"now": self._store.clock.now(), "limit": limit, **bindings},
        )

    def count(self, scope: Scope) -> int:
        """How many live fragments the scope has."""
        condition, bindings = scope.condition()
        self._store.settle()
        rows = self._store.rows(
            f"SELECT count(*) FROM fragments WHERE {VISIBLE} AND {condition}",
            {"now": self._store.clock.now(), **bindings},
        )
        return int(rows[0][0])

    def children(self, id: str | None) -> list[Fragment]:
        """Direct children in order; those without a parent if `id` is None."""
        parent = id_bytes(id) if id is not None else None
        if parent is not None:
            self._reader.head(parent)
        return self._reader.select("parent IS :parent", {"parent": parent}, "position, id", _MOST_NODES)

    def below(self, id: bytes, limit: int = -1) -> list[bytes]:
        """Ids of all live fragments below one, parents before their children; a cycle ends."""
        self._store.settle()
        rows = self._store.rows(
            "WITH RECURSIVE below(id) AS (SELECT id FROM fragments WHERE live AND parent = :id "
            "UNION SELECT f.id FROM fragments f JOIN below ON f.parent = below.id WHERE f.live) "
            "SELECT id FROM below WHERE id <> :id LIMIT :limit",
            {"id": id, "limit": limit},
        )
        return [row[0] for row in rows]

    def twin(self, draft: Draft, before: Sequence[Draft]) -> Fragment | int | None:
        """A fragment with the draft's text, parent and scope: one that is there, or the place of an earlier
        draft.
        """
        content = draft.content
        assert content is not None
        for number, other in enumerate(before):
            same = other.text_digest == draft.text_digest and other.content is not None
            if same and _place(other.content) == _place(content):
                return number
        found = self._reader.select(
            "text_digest = :digest AND " + " AND ".join(f"{name} IS :{name}" for name in _PLACE),
            {"digest": draft.text_digest, **dict(zip(_PLACE, _place(content), strict=True))},
            "seq",
            1,
        )
        return found[0] if found else None

    def tree(self, root: str | None, depth: int | None) -> Node:
        """The fragments below `root` (or all), nested, at most `_MOST_NODES` of them.

        A fragment whose parent is lost stands at the top, so that nothing is out of sight.
        """
        self._store.settle()
        levels = self._store.settings.depth_levels if depth is None else depth
        budget = [_MOST_NODES]
        if root is not None:
            fragment = self._reader.current(id_bytes(root))
            return self._grow(fragment, id_bytes(root), levels, budget, {id_bytes(root)})
        tops = self._reader.select(
            "(parent IS NULL OR NOT EXISTS "
            "(SELECT 1 FROM fragments up WHERE up.id = fragments.parent AND up.live))",
            {},
            "position, id",
            _MOST_NODES,
        )
        seen: set[bytes] = set()
        nodes = [self._grow(top, bytes.fromhex(top.id), levels - 1, budget, seen) for top in tops]
        return Node(fragment=None, children=tuple(nodes))

    def _grow(self, fragment: Fragment, id: bytes, levels: int, budget: list[int], seen: set[bytes]) -> Node:
        if levels <= 0 or budget[0] <= 0:
            row = self._store.registry.one("SELECT count(*) FROM fragments WHERE live AND parent=?", (id,))
            return Node(fragment=fragment, more=int(row[0]) if row else 0)
        found = self._reader.select("parent IS :parent", {"parent": id}, "position, id", budget[0])
        budget[0] -= len(found)
        nodes = []
        for child in found:
            key = bytes.fromhex(child.id)
            if key not in seen:
                seen.add(key)
                nodes.append(self._grow(child, key, levels - 1, budget, seen))
        return Node(fragment=fragment, children=tuple(nodes))


_PLACE = ("parent", "user", "agent", "session")


def _place(content: Content | None) -> tuple[bytes | str | None, ...]:
    return tuple(getattr(content, name) for name in _PLACE)


def _encode_cursor(last: Fragment) -> str:
    return base64.urlsafe_b64encode(json.dumps([last.position, last.id]).encode()).decode()


def _decode_cursor(cursor: str) -> tuple[float, bytes]:
    try:
        position, id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return float(position), id_bytes(id)
    except (ValueError, TypeError, UnicodeError, binascii.Error) as error:
        raise InvalidInput("The cursor is not one that `list` returned.") from error
