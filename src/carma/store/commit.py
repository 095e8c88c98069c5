"""Group commit: writers that arrive while a batch is being synced share the next one.

A writer hands over a function that makes its drafts. Whoever gets the lock leads: it takes the turn once, lets every
waiting writer prepare against the same state, and writes all drafts in one append. The others find their work done when
they get the lock. Preparing happens under the turn, because a version number is only known there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from carma.store.entry import Draft, Entry

__all__ = ["Committer", "Prepare", "View"]


class View(Protocol):
    """What a writer may look at while it prepares: the state that its drafts will follow."""

    def head(self, id: bytes) -> Entry | Draft | None:
        """The newest version of a fragment, tombstones included; None if there is none."""


Prepare = Callable[[View], Sequence[Draft]]

_MOST_WRITERS = 1024


class Request:
    """One writer's wish and what became of it."""

    __slots__ = ("done", "drafts", "entries", "error", "prepare")

    def __init__(self, prepare: Prepare) -> None:
        self.prepare = prepare
        self.drafts: Sequence[Draft] = ()
        self.entries: Sequence[Entry] = ()
        self.error: BaseException | None = None
        self.done = False


class Committer:
    """Collects requests and hands them in batches to `write`, which sets `entries` or `error` of each."""

    def __init__(self, write: Callable[[list[Request]], None]) -> None:
        self._write = write
        self._queue: deque[Request] = deque()
        self._lead = threading.Lock()

    def submit(self, prepare: Prepare) -> Sequence[Entry]:
        """Write what `prepare` makes; return when it is durable. Raises what preparing or writing raised."""
        request = Request(prepare)
        self._queue.append(request)
        with self._lead:
            if not request.done:
                self._lead_batch()
        if request.error is not None:
            raise request.error
        return request.entries

    def quiet(self) -> threading.Lock:
        """The lock that a batch holds: who has it knows that this process writes nothing."""
        return self._lead

    def _lead_batch(self) -> None:
        batch: list[Request] = []
        while self._queue and len(batch) < _MOST_WRITERS:
            batch.append(self._queue.popleft())
        try:
            self._write(batch)
        except BaseException as error:
            for request in batch:
                if request.error is None and not request.entries:
                    request.error = error
        finally:
            for request in batch:
                request.done = True
