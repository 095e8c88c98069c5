"""What each operation of a LangGraph store asks of a memory.

Nothing in a memory makes a key unique, so two processes that put the same new key at the same moment leave
two fragments. That is why every read takes the newest of a key and every put takes the older ones away:
the last writer wins, as in LangGraph's own stores, without a lock between processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    validate_op_namespace,
)

from carma.errors import FragmentNotFound, InvalidInput, TooLarge
from carma.integrations import langgraph_items as items
from carma.integrations.langgraph_items import ITEM
from carma.integrations.steps import Steps, call, pages
from carma.models import Fragment, SearchResult
from carma.ports.clock import Clock

__all__ = ["StoreSteps"]

_MOST_HITS = 1_000
_LATE = 0.01
"""A refreshed item lives this share of its ttl longer, so that not every read has to write."""


class StoreSteps:
    """The operations as steps. paths: where to look for what is to be found, unless a put says it itself."""

    def __init__(self, paths: Sequence[str], scope: Mapping[str, str], clock: Clock) -> None:
        self._paths = tuple(paths)
        self._scope = dict(scope)
        self._clock = clock

    def batch(self, ops: Iterable[Op]) -> Steps[list[Result]]:
        """Carry operations out in the order in which they are given."""
        results: list[Result] = []
        for op in ops:
            validate_op_namespace(op)
            if isinstance(op, PutOp):
                yield from self._put(op)
                results.append(None)
            elif isinstance(op, GetOp):
                results.append((yield from self._get(op)))
            elif isinstance(op, SearchOp):
                results.append((yield from self._search(op)))
            elif isinstance(op, ListNamespacesOp):
                results.append((yield from self._namespaces(op)))
            else:
                raise InvalidInput(f"A {type(op).__name__} is no operation of a store.")
        return results

    def _where(self, *conditions: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._scope, "where": {"and": list(conditions)}}

    def _of_key(self, namespace: Sequence[str], key: str) -> Steps[list[Fragment]]:
        """Every fragment of one key, the newest first."""
        where = self._where({"kind": ITEM}, {"session": items.session_of(namespace)}, {"key": key})
        found = yield from pages(**where)
        return sorted(found, key=lambda each: -each.seq)

    # Reading

    def _get(self, op: GetOp) -> Steps[Item | None]:
        found = yield from self._of_key(op.namespace, op.key)
        if not found:
            return None
        if op.refresh_ttl:
            yield from self._refresh(found[:1])
        return items.item_of(found[0], op.key)

    def _refresh(self, found: Iterable[Fragment]) -> Steps[None]:
        """Put the expiry of what was read, and of its fields, further away."""
        for each in found:
            ttl_min = each.metadata.get("ttl_min")
            if each.expires is None or not isinstance(ttl_min, (int, float)):
                continue
            expires = self._clock.now() + ttl_min * 60
            if each.expires < expires:
                fields: list[Fragment] = yield from pages(parent=each.id)
                for fragment in (each, *fields):
                    with suppress(FragmentNotFound):  # It went meanwhile.
                        yield from call("update", fragment.id, expires=expires + ttl_min * 60 * _LATE)

    def _search(self, op: SearchOp) -> Steps[list[SearchItem]]:
        if op.limit < 1 or op.offset < 0:
            raise InvalidInput(f"limit is {op.limit} and offset {op.offset}; at least 1 and 0 are needed.")
        if op.query:
            found = yield from self._by_meaning(op)
        else:
            found = yield from self._in_order(op)
        chosen = found[op.offset : op.offset + op.limit]
        if op.refresh_ttl:
            yield from self._refresh(fragment for fragment, _ in chosen)
        return [items.search_item_of(fragment, score) for fragment, score in chosen]

    def _in_order(self, op: SearchOp) -> Steps[list[tuple[Fragment, float | None]]]:
        """Items that pass the filter, in the order in which they were first put."""
        below = items.scope_below(op.namespace_prefix)
        found = yield from pages(**self._where({"kind": ITEM}, below, *items.where_of(op.filter)))
        newest: dict[tuple[Any, Any], Fragment] = {}
        for each in found:
            name = (each.session, each.metadata.get("key", each.id))
            if name not in newest or newest[name].seq < each.seq:
                newest[name] = each
        return [(each, None) for each in newest.values() if self._passes(each, op)]

    def _passes(self, fragment: Fragment, op: SearchOp) -> bool:
        """By its value; where that is lost, by what the memory still knows of it: `where` has judged that."""
        if not op.filter or fragment.state not in ("intact", "repaired"):
            return True
        return items.passes(items.item_of(fragment).value, op.filter)

    def _by_meaning(self, op: SearchOp) -> Steps[list[tuple[Fragment, float | None]]]:
        """Items that pass the filter, best first; an item is as good as its best field."""
        wanted, limit = op.offset + op.limit, 4 * (op.offset + op.limit)
        if wanted > _MOST_HITS:
            raise TooLarge(f"offset and limit ask for {wanted} items; {_MOST_HITS} can be ranked.")
        below = items.scope_below(op.namespace_prefix)
        where = self._where({"found": True}, below, *items.where_of(op.filter))
        while True:
            result: SearchResult = yield from call("search", op.query, limit=min(limit, _MOST_HITS), **where)
            found = yield from self._items_of(result, op)
            if len(found) >= wanted or len(result) < limit or limit >= _MOST_HITS:
                return found
            limit *= 4

    def _items_of(self, result: SearchResult, op: SearchOp) -> Steps[list[tuple[Fragment, float | None]]]:
        """The items that hits belong to, each once, with the score of its best hit."""
        best: dict[str, tuple[Fragment, float | None]] = {}
        for hit in result:
            id = hit.id if hit.fragment.kind == ITEM else hit.parent
            if id is None or id in best:
                continue
            fragment = hit.fragment
            if id != hit.id:
                try:
                    fragment = yield from call("get", id)
                except FragmentNotFound:
                    continue
            if fragment.kind == ITEM and self._passes(fragment, op):
                best[id] = (fragment, hit.score)
        return list(best.values())

    def _namespaces(self, op: ListNamespacesOp) -> Steps[list[tuple[str, ...]]]:
        found = yield from pages(**self._where({"kind": ITEM}, items.scope_below(())))
        names = {tuple((each.session or "").split(".")) for each in found}
        fitting = [name for name in names if all(_fits(name, each) for each in op.match_conditions or ())]
        cut = sorted({name[: op.max_depth] for name in fitting})
        return cut[op.offset : op.offset + op.limit]

    # Writing

    def _put(self, op: PutOp) -> Steps[None]:
        known = yield from self._of_key(op.namespace, op.key)
        if op.value is None:
            yield from self._drop(known)
            return
        paths = self._paths if op.index is None else op.index or ()
        made = items.draft(op.key, op.value, paths, op.ttl, self._clock.now())
        session = items.session_of(op.namespace)
        fields: list[Fragment] = []
        if not known:
            item: Fragment = yield from call("add", kind=ITEM, session=session, **made, **self._scope)
        else:
            item = yield from self._change(known[0], made)
            yield from self._drop(known[1:])
            fields = yield from pages(parent=item.id)
        wanted = items.field_drafts(op.value, paths, made)
        if not items.same_fields(fields, wanted):
            yield from self._drop(fields)
            if wanted:
                placed = {"parent": item.id, "session": session, **self._scope}
                yield from call("add_many", [{**draft, **placed} for draft in wanted])

    def _change(self, known: Fragment, made: Mapping[str, Any]) -> Steps[Fragment]:
        """The next version, or a new fragment if the known one went meanwhile."""
        try:
            item: Fragment = yield from call("update", known.id, **made)
        except FragmentNotFound:
            item = yield from call("add", kind=ITEM, session=known.session, **made, **self._scope)
        return item

    def _drop(self, known: Iterable[Fragment]) -> Steps[None]:
        for each in known:
            with suppress(FragmentNotFound):
                yield from call("delete", each.id, children=True)


def _fits(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    """Whether a namespace begins or ends with a path, in which `*` stands for any label."""
    path = tuple(condition.path)
    if len(namespace) < len(path):
        return False
    part = (
        namespace[: len(path)]
        if condition.match_type == "prefix"
        else namespace[len(namespace) - len(path) :]
    )
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))
