"""Dreams that were asked for over HTTP: queued, run one a seat, and followed while they run.

`Memory.dream` returns when the dream is over; here it runs in a thread of a small pool, and what it tells
becomes a feed: numbered events of which the last few hundred are kept, so that a stream that was cut off goes
on behind the number it saw last. The truth about a dream is the memory's own log; a feed is only how it looks
while it happens, and is gone with the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from carma.errors import CarmaError, IdempotencyConflict, MemoryBusy, ServerBusy
from carma.models import Act
from carma.ports.clock import Clock
from carma.reports import DreamReport
from carma.serve.requests import DreamOrder
from carma.serve.seat import Seat
from carma.serve.settings import ServeSettings

__all__ = ["Dreams", "Event", "Feed"]

_KEPT_FEEDS = 4
_LOOK_BACK = 100


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a dream told. number: from 1 in each feed."""

    number: int
    done: int
    total: int
    what: str


class Feed:
    """What one dream tells. Written by its thread, followed from the event loop."""

    def __init__(self, cycle: int, order: DreamOrder, kept: int, now: float, act: Act) -> None:
        self.act = act
        self.report = DreamReport(cycle=cycle, status="pending", dry_run=order.dry_run, started=now)
        self.order = order
        self._events: deque[Event] = deque(maxlen=kept)
        self._number = 0
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.report.status not in ("pending", "running")

    @property
    def last(self) -> Event | None:
        """The newest event."""
        return self._events[-1] if self._events else None

    def tell(self, done: int, total: int, what: str) -> None:
        """Something happened; the form of a dream's progress."""
        with self._lock:
            self._number += 1
            self._events.append(Event(self._number, done, total, what))
        self._wake()

    def become(self, report: DreamReport) -> None:
        """The report is another now."""
        self.report = report
        self._wake()

    def after(self, number: int) -> list[Event]:
        """The kept events behind a number."""
        with self._lock:
            return [event for event in self._events if event.number > number]

    def listen(self) -> asyncio.Event:
        """An event of the running loop that is set whenever there is news; `leave` ends it."""
        bell = asyncio.Event()
        with self._lock:
            self._waiting[bell] = asyncio.get_running_loop()
        return bell

    def leave(self, bell: asyncio.Event) -> None:
        """Listen no more."""
        with self._lock:
            self._waiting.pop(bell, None)

    def _wake(self) -> None:
        with self._lock:
            waiting = list(self._waiting.items())
        for bell, loop in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(bell.set)


class Dreams:
    """The dreams of all seats of a server. Threads may share it. ended: told the report of each."""

    def __init__(
        self,
        settings: ServeSettings,
        clock: Clock,
        ended: Callable[[DreamReport], None] = lambda report: None,
    ) -> None:
        self._ended = ended
        self._settings = settings
        self._clock = clock
        self._pool = ThreadPoolExecutor(settings.dreams_most, thread_name_prefix="carma-dream")
        self._lock = threading.Lock()
        self._feeds: dict[str, deque[Feed]] = {}
        self._waiting = 0
        self._closed = False

    def start(self, seat: Seat, order: DreamOrder, act: Act) -> Feed:
        """Queue a dream; its feed. Reads the memory's log for the number of its cycle.

        The same request again (by its Idempotency-Key) gives the same dream.
        Raises MemoryBusy (this memory dreams already), ServerBusy, IdempotencyConflict, and what `Seat.use`
        raises.
        """
        with seat.use() as memory:
            last = memory.dreams(1)
            before = memory.answered(act.idempotency_key) if act.idempotency_key else None
            old = _dreamt_before(memory.dreams(_LOOK_BACK), before.when) if before else None
        feed = Feed(
            last[0].cycle + 1 if last else 1, order, self._settings.events_kept, self._clock.now(), act
        )
        if before is not None:
            _refuse_other(before.body_digest, act)
            feed.report = old or feed.report
            return feed
        with self._lock:
            feeds = self._feeds.setdefault(seat.account.id, deque(maxlen=_KEPT_FEEDS))
            for each in feeds:
                if act.idempotency_key is not None and each.act.idempotency_key == act.idempotency_key:
                    _refuse_other(each.act.body_digest, act)
                    return each
            if feeds and not feeds[-1].over:
                raise MemoryBusy("This memory is dreaming already.", hint="Wait for that dream.")
            if self._closed or self._waiting >= self._settings.dreams_waiting_most:
                raise ServerBusy(f"{self._waiting} dreams are waiting already.", retry_after_s=10.0)
            feeds.append(feed)
            self._waiting += 1
        self._pool.submit(self._run, seat, feed)
        return feed

    def find(self, account: str, cycle: int) -> Feed | None:
        """The newest feed of a cycle, None if there is none (any more)."""
        with self._lock:
            for feed in reversed(self._feeds.get(account, ())):
                if feed.report.cycle == cycle:
                    return feed
        return None

    def running(self) -> Iterator[Feed]:
        """The feeds of the dreams that run now."""
        with self._lock:
            feeds = [feed for several in self._feeds.values() for feed in several]
        return (feed for feed in feeds if feed.report.status == "running")

    @property
    def waiting(self) -> int:
        """How many dreams wait or run."""
        return self._waiting

    def forget(self, account: str) -> None:
        """The account is gone."""
        with self._lock:
            self._feeds.pop(account, None)

    def close(self) -> None:
        """Begin no more dreams. Those that run end when their memory is closed."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, seat: Seat, feed: Feed) -> None:
        try:
            feed.become(replace(feed.report, status="running"))
            feed.become(self._dreamt(seat, feed))
        except CarmaError as error:
            feed.become(replace(feed.report, status="failed", error=_why(error)))
        except BaseException:
            feed.become(replace(feed.report, status="failed", error="The server failed."))
            raise
        finally:
            with self._lock:
                self._waiting -= 1
            self._ended(feed.report)

    def _dreamt(self, seat: Seat, feed: Feed) -> DreamReport:
        order = feed.order
        with seat.use() as memory, memory.acting(feed.act):
            return memory.dream(
                budget_s=order.budget_s, dry_run=order.dry_run, exact=order.exact, progress=feed.tell
            )


def _why(error: CarmaError) -> str:
    """The error for its owner: what the server failed in by itself may name files."""
    return error.message if error.status < 500 else (type(error).__doc__ or "").partition("\n")[0]


def _dreamt_before(reports: Sequence[DreamReport], when: float) -> DreamReport | None:
    """The dream that a request came to which was noted as done at a moment."""
    return next((each for each in reports if each.started <= when), None)


def _refuse_other(digest: bytes | None, act: Act) -> None:
    if digest != act.body_digest:
        raise IdempotencyConflict("This Idempotency-Key was used for another request.")
