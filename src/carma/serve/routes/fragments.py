"""Fragments: add, list, get, update, delete, history, tree."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter

from carma.errors import CarmaError, FragmentNotFound, InvalidInput, VersionConflict
from carma.memory.memory import Memory
from carma.memory.purging import purge_deleted
from carma.models import Answered, Fragment, Node
from carma.serve.call import Answer, Call, call_of
from carma.serve.changes import change
from carma.serve.etags import etag, if_version, known_tag
from carma.serve.requests import (
    ADD,
    UPDATE,
    Change,
    DeleteQuery,
    FragmentId,
    GetQuery,
    Judgement,
    ListQuery,
    NewFragments,
    NoQuery,
    TreeQuery,
    where_of,
)
from carma.serve.routes.describe import bounded, described, read_body
from carma.serve.services import Services
from carma.serve.shapes import Deleted, Items, PageAnswer, encode, encode_items, encode_page

__all__ = ["fragment_answer", "fragment_routes", "get_now"]

_PRIVATE = {"cache-control": "private, no-cache"}
_LARGE = 64 * 2**10
T = TypeVar("T")
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "If-None-Match names this very answer."}}


def fragment_routes(router: APIRouter, services: Services) -> None:
    """The routes about fragments."""
    _reading(router, services)
    _writing(router, services)


def _writing(router: APIRouter, services: Services) -> None:

    @described(router, "add", Items, body=ADD)
    async def add(request: Request, query: Annotated[NoQuery, Query()]) -> Answer:
        """Remember a text, or several in one commit. Durable and findable by words when this returns."""
        call = call_of(request.scope)
        given = await _read(call, services, ADD)
        items = given.items if isinstance(given, NewFragments) else [given]
        if len(items) > services.settings.items_most:
            raise InvalidInput(f"At most {services.settings.items_most} fragments are added at once.")

        def make(memory: Memory) -> bytes:
            return encode_items(memory.add_many([item.arguments() for item in items]))

        body = await change(call, services, make, lambda memory, done: encode_items(_again(memory, done)))
        return Answer(body, status=201, headers=_PRIVATE)

    @described(router, "update", Fragment, body=UPDATE)
    async def update(request: Request, id: FragmentId, query: Annotated[NoQuery, Query()]) -> Answer:
        """Write the next version of a fragment; or accept or reject its reconstruction.

        With If-Match only if the stored version is the one named.
        """
        call = call_of(request.scope)
        wanted = if_version(call.headers.get("if-match"))
        asked = await _read(call, services, UPDATE)
        judged = asked.reconstruction if isinstance(asked, Judgement) else None
        given = asked.arguments() if isinstance(asked, Change) else {}

        def make(memory: Memory) -> Fragment:
            try:
                if judged is None:
                    return memory.update(id, **given, if_version=wanted)
                if wanted is not None and memory.get(id).version != wanted:
                    raise VersionConflict(f"Fragment {id} is stored in another version than {wanted}.")
                return memory.accept(id) if judged == "accept" else memory.reject(id)
            except FragmentNotFound as missing:
                raise (missing if "parent" in given else _unless_matched(call, id)) from None

        return fragment_answer(call, await change(call, services, make, lambda m, done: _again(m, done)[0]))

    @described(router, "delete", Deleted)
    async def delete(request: Request, id: FragmentId, query: Annotated[DeleteQuery, Query()]) -> Answer:
        """Forget a fragment, and all below it if `children`; `purge`: from every file now.

        With If-Match only if the stored version is the one named.
        """
        call = call_of(request.scope)
        wanted = if_version(call.headers.get("if-match"))

        def make(memory: Memory) -> int:
            try:
                return memory.delete(id, children=query.children, purge=query.purge, if_version=wanted)
            except FragmentNotFound:
                raise _unless_matched(call, id) from None

        count = await change(call, services, make, lambda memory, done: _gone(memory, done, query.purge))
        return Answer(encode(Deleted(deleted=count)))


def _unless_matched(call: Call, id: str) -> CarmaError:
    """What is said of a fragment that is not there: no version matches nothing (RFC 9110)."""
    found = FragmentNotFound if call.headers.get("if-match") is None else VersionConflict
    return found(f"There is no fragment {id}.")


async def _read(call: Call, services: Services, kinds: TypeAdapter[T]) -> T:
    """A body of one of several kinds; a long one is read in a thread. Raises Invalid, RequestRefused."""
    if len(call.body) > _LARGE:
        return await services.workers.read(call.seat, lambda: read_body(call.body, kinds))
    return read_body(call.body, kinds)


def _reading(router: APIRouter, services: Services) -> None:
    async def ask(call: Call, work: Callable[[Memory], T]) -> T:
        return await services.workers.ask(call.seat, work)

    @described(router, "list", PageAnswer)
    async def list_(request: Request, query: Annotated[ListQuery, Query()]) -> Answer:
        """A page of fragments: the children of `parent` in order, else all by creation.

        It may be shorter than `limit`: the cursor alone says whether there is more.
        """
        call = call_of(request.scope)
        given = query.model_dump(exclude_none=True)
        given["limit"] = bounded(query, "limit", services.settings.page_most)
        if "parent" in given and given["parent"] == "none":
            given["parent"] = None
        if query.where is not None:
            given["where"] = where_of(query.where)
        return Answer(await ask(call, lambda m: encode_page(m.list(**given))), headers=_PRIVATE)

    @described(router, "get", Fragment, more=_UNCHANGED)
    async def get(request: Request, id: FragmentId, query: Annotated[GetQuery, Query()]) -> Answer:
        """One fragment, proven, or its blank; its ETag is for If-Match and If-None-Match."""
        call = call_of(request.scope)
        return fragment_answer(call, await ask(call, lambda m: m.get(id, version=query.version)))

    @described(router, "history", Items)
    async def history(request: Request, id: FragmentId, query: Annotated[NoQuery, Query()]) -> Answer:
        """Every stored version of a fragment, oldest first; nothing from before a deletion."""
        call = call_of(request.scope)
        return Answer(await ask(call, lambda m: encode_items(m.history(id))), headers=_PRIVATE)

    @described(router, "tree", Node)
    async def tree(request: Request, query: Annotated[TreeQuery, Query()]) -> Answer:
        """The tree below a fragment, or all of it."""
        call = call_of(request.scope)
        depth = bounded(query, "depth", services.settings.depth_most)
        return Answer(
            await ask(call, lambda m: encode(m.tree(query.root, depth=depth))),
            headers=_PRIVATE,
        )


def get_now(call: Call) -> Answer | None:
    """`get` without a thread, where the memory is open and whole; None where it is not as simple as that.

    Reading a fragment takes some tens of microseconds, and handing it to a thread takes longer.
    """
    if call.query or call.seat.health.condition == "degraded":
        return None
    with call.seat.use_open() as memory:
        if memory is None:
            return None
        try:
            return fragment_answer(call, memory.get(call.parameters["id"]))
        except InvalidInput:
            return None  # The usual way says it in the usual shape.


def fragment_answer(call: Call, fragment: Fragment) -> Answer:
    """A fragment with its entity tag; 304 where the asker has it."""
    tag = etag(fragment)
    known = known_tag(call.headers.get("if-none-match"), tag) if call.operation.method == "GET" else None
    if known is not None:
        return Answer(b"", status=304, media=None, headers={"etag": known, **_PRIVATE})
    return Answer(encode(fragment), headers={"etag": tag, **_PRIVATE})


def _again(memory: Memory, done: Answered) -> list[Fragment]:
    """The fragments that a request wrote when it was carried out, as they were written."""
    return [_as_written(memory, id, version) for id, version in zip(done.ids, done.versions, strict=True)]


def _gone(memory: Memory, done: Answered, purge: bool) -> int:
    """How many fragments a request deleted when it was carried out."""
    if purge:
        purge_deleted(memory)  # The server may have died between deleting and purging.
    return len(done.ids)


def _as_written(memory: Memory, id: str, version: int) -> Fragment:
    for asked in (version, None) if version else (None,):
        with suppress(FragmentNotFound):
            # Of a version that is not kept any more, what took its place.
            return memory.get(id, version=asked)
    return Fragment(id=id, text="", version=version, deleted=True)
