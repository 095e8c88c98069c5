"""The sequencer: copies leaves from where they were stored first to the log, each exactly once.

Memories, the key store and the queue of other events are sources: they give what waits, in order, each with
its position and its event. The log and the positions are two files, so a crash can set them apart. Three
things put that right. The positions name the size that the log had; leaves behind that size are read, and
their events are not copied again. A position names the event that stood there; if the source has another
there, it was replaced by an older one, and everything it has is compared with the whole log. And where
positions are lost, the whole log is read.

Rejected: an index of all events beside the log (one more file that can be wrong, for a case that a few
seconds of reading settle).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from carma.access.audit.leaf import Leaf, event_of
from carma.access.audit.log import Log
from carma.access.audit.reader import LogReader
from carma.access.audit.twofold import Twofold
from carma.errors import AuditDamaged, AuditUnavailable, CarmaError, StorageError
from carma.ports.disk import Disk

__all__ = ["Sequencer", "Source", "Waiting"]

BATCH = 4_096
_NAME = "positions"


class Waiting(NamedTuple):
    """A leaf that waits in a source. position: grows from one to the next, 1 at least."""

    position: int
    leaf: Leaf


class Source(Protocol):
    """Where leaves are stored first."""

    @property
    def name(self) -> str:
        """A name that no other source has, and that stays the same."""

    def waiting(self, after: int) -> Iterable[Waiting]:
        """What stands behind the position `after`, in order; with the one at `after` + 1 first."""

    def copied(self, upto: int) -> None:
        """Everything up to this position is in the log; the source may leave it out, except the last one."""


class _Place(NamedTuple):
    position: int
    event: str


class Sequencer:
    """Copies what waits in `sources` to `log`. One at a time; processes take turns by the log's lock.

    folder: for the positions.
    """

    def __init__(self, log: Log, disk: Disk, folder: str, sources: Sequence[Source]) -> None:
        self._log = log
        self._kept = Twofold(disk, folder)
        self.sources = list(sources)

    def run(self, most: int | None = None) -> int:
        """Copy what waits, up to `most` leaves; how many were copied.

        Raises AuditUnavailable where the log or the positions cannot be written: what was not copied waits
        on; AuditDamaged where the log cannot be believed. What a source raises, because its owner's audit key
        is damaged say, is raised when the others had their turn.
        """
        with self._log.turn():
            self._log.append(())
            copying = _Copying(self._log, *self._recall(), most)
            errors: list[CarmaError] = []
            try:
                for source in self.sources:
                    try:
                        copying.copy(source)
                    except CarmaError as error:
                        errors.append(error)
                copying.flush()
            except _LogFailed as failed:
                raise failed.error from failed.error.__cause__
            self._keep(copying)
            for source, position in copying.reached:
                try:
                    source.copied(position)
                except CarmaError as error:
                    errors.append(error)
        if errors:
            raise errors[0]
        return copying.count

    def _recall(self) -> tuple[int, dict[str, _Place], set[str]]:
        """The size that the positions speak of, the positions, and the events behind that size; of the whole
        log where they are lost.
        """
        reader = self._log.reader()
        size, places = _positions(self._kept)
        if size > reader.size:
            # The log is older than the positions: it was replaced, and what it lacks is copied again.
            size, places = 0, {}
        return size, places, set(_events(reader, size))

    def _keep(self, copying: _Copying) -> None:
        if copying.size == self._log.size and not copying.reached:
            return
        places = {name: list(each) for name, each in copying.places.items()}
        value = {"size": self._log.size, "places": places}
        try:
            self._kept.put(_NAME, json.dumps(value, sort_keys=True).encode())
        except StorageError as error:
            raise AuditUnavailable(f"The audit log could not be written: {error.message}") from error


class _LogFailed(Exception):
    """The log itself failed, so no other source need be tried."""

    def __init__(self, error: CarmaError) -> None:
        self.error = error


class _Copying:
    """One run. known: events that are in the log already, as far as that is in doubt."""

    def __init__(
        self, log: Log, size: int, places: dict[str, _Place], known: set[str], most: int | None
    ) -> None:
        self.size = size
        self.places = places
        self.count = 0
        self._reached: dict[str, tuple[Source, int]] = {}
        self._batch: list[tuple[Source, Waiting]] = []
        self._log = log
        self._known = known
        self._left = most

    @property
    def reached(self) -> Iterable[tuple[Source, int]]:
        """The sources of which something was copied, and up to where."""
        return self._reached.values()

    def copy(self, source: Source) -> None:
        """Take what waits in one source; it is in the log when it was flushed, with that of others."""
        for each in self._news(source):
            self._batch.append((source, each))
            if len(self._batch) == BATCH:
                self.flush()

    def flush(self) -> None:
        """Append what was taken, in one: making it durable costs as much for one leaf as for thousands."""
        fresh: list[bytes] = []
        for _, each in self._batch:
            if each.leaf.event not in self._known:
                self._known.add(each.leaf.event)
                fresh.append(each.leaf.to_bytes())
        if fresh:
            try:
                self._log.append(fresh)
            except CarmaError as error:
                raise _LogFailed(error) from error
        self.count += len(fresh)
        for source, each in self._batch:
            self.places[source.name] = _Place(each.position, each.leaf.event)
            self._reached[source.name] = source, each.position
        self._batch = []

    def _news(self, source: Source) -> Iterator[Waiting]:
        """What waits in a source, as far as this run may go."""
        for each in self._behind(source, self.places.get(source.name)):
            if self._left is not None:
                if self._left <= 0:
                    return
                self._left -= 1
            yield each

    def _behind(self, source: Source, place: _Place | None) -> Iterator[Waiting]:
        """What stands behind the position; all there is where the source is not the one it speaks of."""
        if place is None:
            yield from source.waiting(0)
            return
        rest = iter(source.waiting(place.position - 1))
        first = next(rest, None)
        if first is not None and (first.position, first.leaf.event) == place:
            yield from rest
            return
        for number, each in enumerate(source.waiting(0)):
            if number == 0:
                try:
                    self._known.update(_events(self._log.reader(), 0))
                except CarmaError as error:
                    raise _LogFailed(error) from error
            yield each


def _positions(kept: Twofold) -> tuple[int, dict[str, _Place]]:
    """The size of the log and the positions as they were kept; 0 and none where they are lost."""
    try:
        data = kept.get(_NAME)
        if data is None:
            return 0, {}
        value: dict[str, Any] = json.loads(data)
        return int(value["size"]), {name: _Place(*place) for name, place in value["places"].items()}
    except (AuditDamaged, ValueError, KeyError, TypeError):
        return 0, {}


def _events(reader: LogReader, start: int) -> Iterator[str]:
    return (event for _, entry in reader.entries(start) if (event := event_of(entry)) is not None)
