"""The calls of mem0 as steps over any memory: what each of them asks of CARMA's verbs, in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from carma.errors import FragmentNotFound
from carma.integrations.mem0_filters import filters_of
from carma.integrations.mem0_items import (
    KIND,
    InvalidCall,
    deleted,
    described,
    expiry,
    found,
    messages_of,
    own_metadata,
    scope_of,
    told,
)  # fmt: skip
from carma.integrations.steps import Steps, call, pages
from carma.models import UNSET, Fragment, Page, Unset

__all__ = ["Calls", "Extract"]

Extract = Callable[[list[dict[str, Any]]], Sequence[str]]
"""Facts from messages: what a language model of the caller's makes of them."""

_BATCH = 500


class Calls:
    """mem0's names and arguments; those that mem0 1 took beside `filters` are taken too."""

    def __init__(self, extract: Extract | None = None) -> None:
        self._extract = extract

    def add(
        self,
        messages: Any,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expiration_date: Any = None,
        infer: bool | None = None,
    ) -> Steps[dict[str, Any]]:
        """Remember messages, one memory each, as they are; or what `extract` makes of them.

        messages: a text, a message, or a list of messages with `role` and `content`; those of the role
        "system" are left out. infer: True asks for `extract`, False leaves it aside; where it is not given,
        `extract` is used if there is one. expiration_date: a date or YYYY-MM-DD, the last day.
        Returns {"results": [{"id", "memory", "event": "ADD", "actor_id", "role"}]}. Raises InvalidCall.
        """
        scope = scope_of({"user_id": user_id, "agent_id": agent_id, "run_id": run_id})
        own, expires = own_metadata(metadata), expiry(expiration_date)
        said = self._facts(messages) if self._infers(infer) else list(messages_of(messages))
        items = [
            {"text": text, "kind": KIND, "metadata": {**own, **who}, "expires": expires, **scope}
            for text, who in said
        ]
        made: list[Fragment] = (yield from call("add_many", items)) if items else []
        return {
            "results": [
                {
                    "id": each.id,
                    "memory": each.text,
                    "event": "ADD",
                    "actor_id": who.get("actor_id"),
                    "role": who.get("role"),
                }
                for each, (_, who) in zip(made, said, strict=True)
            ]
        }

    def _infers(self, infer: bool | None) -> bool:
        if infer and self._extract is None:
            raise InvalidCall(
                "infer=True needs a language model, and CARMA asks none.",
                hint="Leave infer out to store the messages as they are, or give Memory(extract=...).",
            )
        return self._extract is not None and infer is not False

    def _facts(self, messages: Any) -> list[tuple[str, dict[str, Any]]]:
        assert self._extract is not None
        said = [{**who, "content": text} for text, who in messages_of(messages)]
        return [(fact, {}) for fact in self._extract(said) if fact.strip()] if said else []

    def get(self, memory_id: str) -> Steps[dict[str, Any] | None]:
        """One memory; None if there is none with this id."""
        fragment = yield from self._find(memory_id)
        return described(fragment) if fragment is not None else None

    def _find(self, memory_id: str) -> Steps[Fragment | None]:
        try:
            fragment: Fragment = yield from call("get", memory_id)
        except FragmentNotFound:
            return None
        return fragment if fragment.kind == KIND else None

    def _known(self, memory_id: str) -> Steps[Fragment]:
        fragment = yield from self._find(memory_id)
        if fragment is None:
            raise InvalidCall(f"There is no memory {memory_id}.", hint="See get_all for the ids there are.")
        return fragment

    def get_all(
        self,
        *,
        filters: Mapping[str, Any] | None = None,
        top_k: int = 20,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        limit: int | None = None,
    ) -> Steps[dict[str, Any]]:
        """The memories of an owner, in the order in which they were made, at most `top_k`.

        filters: with `user_id`, `agent_id` or `run_id` among them. limit: mem0 1's name for `top_k`.
        """
        ids = {"user_id": user_id, "agent_id": agent_id, "run_id": run_id}
        most = _count(top_k if limit is None else limit)
        all_of = yield from pages(most, **filters_of(filters, ids))
        return {"results": [described(each) for each in all_of]}

    def search(
        self,
        query: str,
        *,
        top_k: int = 20,
        filters: Mapping[str, Any] | None = None,
        threshold: float | None = 0.1,
        rerank: bool = False,
        explain: bool = False,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        limit: int | None = None,
    ) -> Steps[dict[str, Any]]:
        """The memories that answer a query, best first, by meaning and words.

        threshold: the least score. rerank: there is no reranker, as in mem0 without one. explain: what made
        each score. `degraded` in the answer says why an answer is not complete.
        """
        ids = {"user_id": user_id, "agent_id": agent_id, "run_id": run_id}
        most = _count(top_k if limit is None else limit)
        result = yield from call(
            "search", query, limit=most, min_score=threshold, explain=explain, **filters_of(filters, ids)
        )
        out: dict[str, Any] = {"results": [found(hit) for hit in result]}
        if result.degraded:
            out["degraded"] = list(result.reasons)
        return out

    def update(
        self,
        memory_id: str,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expiration_date: Any = UNSET,
        data: str | None = None,
    ) -> Steps[dict[str, str]]:
        """Write a memory anew. metadata: laid over what is there. data: mem0 1's name for `text`.

        Raises InvalidCall, VersionConflict (somebody else changed it meanwhile).
        """
        changes: dict[str, Any] = {}
        if text is not None or data is not None:
            changes["text"] = data if text is None else text
        if not isinstance(expiration_date, Unset):
            changes["expires"] = expiry(expiration_date)
        if metadata is None and not changes:
            raise InvalidCall("None of text, metadata and expiration_date was given.")
        old = yield from self._known(memory_id)
        if metadata is not None:
            changes["metadata"] = {**old.metadata, **own_metadata(metadata)}
        yield from call("update", old.id, if_version=old.version, **changes)
        return {"message": "Memory updated successfully!"}

    def delete(self, memory_id: str) -> Steps[dict[str, str]]:
        """Forget one memory. Raises InvalidCall if there is none with this id."""
        fragment = yield from self._known(memory_id)
        yield from call("delete", fragment.id)
        return {"message": "Memory deleted successfully!"}

    def delete_all(
        self, user_id: str | None = None, agent_id: str | None = None, run_id: str | None = None
    ) -> Steps[dict[str, str]]:
        """Forget the memories of this owner, and of nobody else: all ids that are given must match.

        Raises InvalidCall if none is given.
        """
        yield from self._forget(scope_of({"user_id": user_id, "agent_id": agent_id, "run_id": run_id}))
        return {"message": "Memories deleted successfully!"}

    def reset(self) -> Steps[None]:
        """Forget every memory made by these calls, whoever's it is. Other fragments stay."""
        yield from self._forget({})

    def _forget(self, scope: Mapping[str, str]) -> Steps[None]:
        while True:
            page: Page = yield from call("list", limit=_BATCH, where={"kind": KIND}, **scope)
            mine = [each for each in page if deleted(each, scope)]
            for each in mine:
                with suppress(FragmentNotFound):  # Somebody else was faster.
                    yield from call("delete", each.id)
            if page.cursor is None or not mine:
                return

    def history(self, memory_id: str) -> Steps[list[dict[str, Any]]]:
        """What happened to a memory, oldest first; nothing if there never was one with this id. Of one that
        was deleted only that: its texts are gone from every call.
        """
        try:
            versions: list[Fragment] = yield from call("history", memory_id)
        except FragmentNotFound:
            return []
        return told(versions) if any(each.kind == KIND or each.deleted for each in versions) else []


def _count(top_k: Any) -> int:
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise InvalidCall(f"top_k must be a whole number from 1, not {top_k!r:.40}.")
    return top_k
