"""Healing: scan, dreams, blanks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from carma.errors import DreamNotFound, NotAcceptable, ServerBusy
from carma.memory.memory import Memory
from carma.reports import DreamReport
from carma.serve.call import Answer, Call, call_of
from carma.serve.changes import act_of
from carma.serve.dreams import Feed
from carma.serve.requests import BlanksQuery, DreamOrder, DreamsQuery, NoQuery, ScanOrder
from carma.serve.routes.describe import STREAM, body_of, bounded, described
from carma.serve.services import Services
from carma.serve.shapes import (
    Blanks,
    DreamProgress,
    Dreams,
    ScanAnswer,
    ShownDream,
    encode,
    encode_items,
    encode_scan,
)
from carma.serve.sse import EventStream, Listener, last_number, tell_feed, tell_log

__all__ = ["heal_routes"]

_PRIVATE = {"cache-control": "private, no-cache"}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The dream; with Accept: text/event-stream its events, until it is over.",
        "content": {STREAM: {"schema": {"type": "string"}}},
    }
}
Cycle = Annotated[int, Path(ge=1, le=2**53)]


def heal_routes(router: APIRouter, services: Services) -> None:
    """The routes that look and heal."""

    @described(router, "scan", ScanAnswer, body=ScanOrder, body_required=False)
    async def scan(request: Request, query: Annotated[NoQuery, Query()]) -> Answer:
        """Look for damage: names, sizes and headers, or every byte of every file."""
        call = call_of(request.scope)
        deep = body_of(call, ScanOrder).deep

        def work(memory: Memory) -> bytes:
            report = memory.scan(deep=deep)
            services.metrics.scanned(report)
            return encode_scan(report)

        return Answer(await services.workers.ask(call.seat, work))

    @described(router, "dream", ShownDream, body=DreamOrder, body_required=False)
    async def dream(request: Request, query: Annotated[NoQuery, Query()]) -> Answer:
        """Start a repair cycle. It goes on when this returns; Location says where to follow it."""
        call = call_of(request.scope)
        order = body_of(call, DreamOrder)
        start = partial(services.dreams.start, call.seat, order, act_of(call))
        feed = await services.workers.run(call.seat, start)
        where = f"/v1/dreams/{feed.report.cycle}"
        return Answer(encode(_shown(feed.report, feed)), status=202, headers={"location": where})

    @described(router, "dreams", Dreams)
    async def dreams(request: Request, query: Annotated[DreamsQuery, Query()]) -> Answer:
        """The last repair cycles, newest first."""
        call = call_of(request.scope)
        limit = bounded(query, "limit", services.settings.page_most)

        def work(memory: Memory) -> bytes:
            return encode(Dreams(dreams=tuple(memory.dreams(limit, steps=query.steps))))

        return Answer(await services.workers.ask(call.seat, work), headers=_PRIVATE)

    @described(router, "show_dream", ShownDream, more=_EVENTS)
    async def show_dream(request: Request, cycle: Cycle, query: Annotated[NoQuery, Query()]) -> Any:
        """One repair cycle with its steps; as events (Accept: text/event-stream) live, until it is over.

        A stream that was cut off goes on behind the id in Last-Event-ID.
        """
        call = call_of(request.scope)
        shown = await _show(call, services, cycle)
        if STREAM in call.headers.get("accept", ""):
            if call.answer_key is not None:
                raise NotAcceptable("A stream of events cannot be sealed.")
            return _stream(call, services, cycle)
        return Answer(encode(shown), headers=_PRIVATE)

    @described(router, "blanks", Blanks)
    async def blanks(request: Request, query: Annotated[BlanksQuery, Query()]) -> Answer:
        """Fragments whose text is lost, the most urgent first."""
        call = call_of(request.scope)
        limit = bounded(query, "limit", services.settings.page_most)

        def work(memory: Memory) -> bytes:
            return encode_items(memory.blanks(limit=limit, reconstructed=query.reconstructed))

        return Answer(await services.workers.ask(call.seat, work), headers=_PRIVATE)


async def _show(call: Call, services: Services, cycle: int) -> ShownDream:
    """A dream as it stands. Raises DreamNotFound."""
    feed = services.dreams.find(call.seat.account.id, cycle)
    if feed is not None and (not feed.over or feed.report.dry_run):
        return _shown(feed.report, feed)
    logged = await services.workers.ask(call.seat, lambda memory: _logged(memory, cycle))
    if logged is None and feed is None:
        raise DreamNotFound(f"There is no dream {cycle}.")
    return _shown(logged or feed.report, feed)  # type: ignore[union-attr]


def _logged(memory: Memory, cycle: int) -> DreamReport | None:
    """A dream of the memory's log, with its steps."""
    try:
        return memory.show_dream(cycle)
    except DreamNotFound:
        return None


def _shown(report: DreamReport, feed: Feed | None) -> ShownDream:
    last = feed.last if feed is not None and not feed.over else None
    progress = DreamProgress(done=last.done, total=last.total, what=last.what) if last else None
    return ShownDream.of(report, progress)


def _stream(call: Call, services: Services, cycle: int) -> EventStream:
    """The events of a dream. Raises ServerBusy if too many are streamed."""
    account, settings, streams = call.seat.account.id, services.settings, services.streams
    if streams.get(account, 0) >= settings.account_streams_most:
        raise ServerBusy("This account follows too many streams at once.", retry_after_s=5.0)
    if sum(streams.values()) >= settings.streams_most:
        raise ServerBusy("The server has too many streams at once.", retry_after_s=5.0)
    streams[account] = streams.get(account, 0) + 1

    def ended() -> None:
        streams[account] -= 1
        if not streams[account]:
            del streams[account]

    async def report() -> ShownDream:
        shown = await _show(call, services, cycle)
        return replace(shown, steps=())

    listener = Listener(
        services.draining, settings.heartbeat_s, partial(services.holds, call.admission.principal), report
    )
    feed = services.dreams.find(account, cycle)
    if feed is not None:
        after = last_number(call.headers.get("last-event-id"), cycle)
        return EventStream(tell_feed(feed, after, listener), ended)
    return EventStream(tell_log(cycle, listener), ended)
