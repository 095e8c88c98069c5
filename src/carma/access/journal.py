"""The journal: a list of records that only grows, in four equal files, for what must not be lost.

Keys, wrapped data keys, accounts: small, precious, changed by one process and read by all. `append` returns
when every copy is durable. Opening takes the union of what is valid in the copies and makes them equal, so
any three files may be lost and any bit may rot with nothing lost; what no copy holds any more is named in
`lost`, and nothing wrong is ever returned in its place. Processes take turns by a lock on the folder.

Readers never wait for the turn, neither of another process nor of another thread: what was acknowledged is
read beside it, and a copy that needs mending is mended when the turn is free. (Only where the file that says
what was acknowledged is lost too do they wait.) `mark` costs about a microsecond and differs as soon as
anybody appended something.
`rewrite` replaces everything under a new generation, one copy after the other, in place: the old bytes are
overwritten, so that a shredded key leaves none behind (as far as a program can see to it: copy-on-write file
systems and flash keep old blocks that no program reaches).

Rejected: SQLite (one damaged page costs many rows, and its deleted rows linger), the memory's own segments (a
mirror and parity protect megabytes; here four whole copies are simpler and stronger).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from carma.access.copies import WITNESS_BYTES, Copies, Witness
from carma.access.frames import (
    HEAD,
    MAX_RECORD_BYTES,
    Frame,
    Image,
    acknowledged_of,
    assemble,
    encode,
    frame_at,
)
from carma.errors import CarmaError, JournalBusy, JournalDamaged, StorageError, TooLarge
from carma.ports.clock import Clock, SystemClock
from carma.ports.disk import Disk, Lock

__all__ = ["Journal"]

_HEAD_BYTES = len(encode([HEAD], 1, 1, 0))
_FIRST_PAUSE_S = 0.0005
_LONGEST_PAUSE_S = 0.02
_LOOK_AGAIN_S = 1.0
_MOST_SAID = 100
_BESIDE_S = 0.2
"""Copies that are written anew all the while are read no longer than this."""


class Journal:
    """A journal in a folder. Threads may share it; a fork may go on with it.

    disk: where the folder is. folder: made at the first turn. copies: how many equal files.
    wait_ms: how long a turn is waited for.

    start_over: whether what the last `news` returned is the whole content and not an addition to it.
    lost: sequence numbers of records that no copy holds any more, as far as this process has looked.
    """

    def __init__(
        self, disk: Disk, folder: str, *, copies: int = 4, clock: Clock | None = None, wait_ms: int = 10_000
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._copies = Copies(disk, folder, copies)
        self._witness = Witness(disk, folder)
        self._clock = clock or SystemClock()
        self._wait_s = wait_ms / 1000
        # Taken in this order: the turn of a thread, which is held for long, then what this process knows.
        self._turns = threading.RLock()
        self._guard = threading.RLock()
        self._holder: int | None = None
        self._pid = os.getpid()
        self._lock: Lock | None = None
        self._depth = 0
        self._look_again_at = 0.0
        self._read_mark: bytes | None = None
        self._generation = 0
        self._newest = 0
        self._end = 0
        self._suspect = True
        self._queue: list[bytes] = []
        self._whole = True
        self._said: list[str] = []
        self.start_over = True
        self.lost: tuple[int, ...] = ()

    # Reading

    def mark(self) -> bytes:
        """A few bytes that differ after every append and rewrite, by any process. Costs one short read.

        Take it before `news`, compare it later: while it is the same, there is nothing new.
        """
        now = self._clock.monotonic()
        if now >= self._look_again_at:
            self._witness.look_again()
            self._look_again_at = now + _LOOK_AGAIN_S
        # Every request asks: no call more than needed.
        file = self._witness.file
        return self._witness.mark() if file is None else file.pread(WITNESS_BYTES, 0)

    def news(self) -> list[bytes]:
        """The records that this journal has not returned before, its own appends included, in order.

        After opening and after a rewrite by anybody it is the whole content; `start_over` says so. A copy
        that is damaged is mended; where that fails, on a full disk say, or while somebody else has the turn,
        the others are read all the same. Raises JournalDamaged if no copy can be read at all, JournalBusy
        (they are being written anew at this moment; ask again), StorageError.
        """
        with self._guard:
            mark = self.mark()
            if mark != self._read_mark or self._suspect:
                self._look()
                self._read_mark = mark
            records, self._queue = self._queue, []
            self.start_over, self._whole = self._whole, False
            return records

    def check(self) -> list[str]:
        """Compare all copies, mend what differs, and say in sentences what was found since the last check.

        In a folder that cannot be written nothing is mended.
        """
        if not self._disk.is_dir(self._folder):
            return []
        if not self._disk.writable(self._folder):
            return self._findings(*self._assembled())
        with self.turn(), self._guard:
            self._settle()
            said, self._said = list(dict.fromkeys(self._said)), []
            return said

    # Writing

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the turn to write within the block; reentrant. Within it, `news` has what others appended.

        Raises JournalBusy after the bounded wait, JournalDamaged, StorageError.
        """
        with self._turns:
            if self._depth == 0:
                self._acquire()
                self._holder = threading.get_ident()
            self._depth += 1
            try:
                if self._depth == 1:
                    with self._guard:
                        self._catch_up()
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._holder = None
                    if self._lock is not None:
                        self._lock.release()

    def append(self, records: Sequence[bytes]) -> None:
        """Add records, all of them or none; durable in every copy when it returns. Within a turn.

        If it raises, a restart finds all of them or none. Raises TooLarge, StorageError, DiskFull.
        """
        assert self._depth > 0, "append needs the turn"
        _check_sizes(records)
        if not records:
            return
        data = encode(records, self._generation, self._newest + 1, self._end)
        try:
            self._copies.append(data, self._end)
        except CarmaError:
            self._suspect = True
            self._copies.take_back(self._end)
            raise
        with self._guard:
            self._newest += len(records)
            self._end += len(data)
            self._queue += records
            self._witness.testify(self._newest)

    def rewrite(self, records: Sequence[bytes]) -> None:
        """Replace all records by these. Nothing of the old ones is left in the files. Within a turn.

        If it raises, a restart finds either all old records or all new ones. Raises TooLarge, StorageError.
        """
        assert self._depth > 0, "rewrite needs the turn"
        _check_sizes(records)
        data = encode([HEAD, *records], self._generation + 1, self._newest + 1, 0)
        self._suspect = True
        self._copies.overwrite(data)
        with self._guard:
            self._generation += 1
            self._newest += 1 + len(records)
            self._end = len(data)
            self._queue, self._whole, self.lost = list(records), True, ()
            self._witness.testify(self._newest)
            self._suspect = False

    def close(self) -> None:
        """Give the lock and the files back; the journal may be used again."""
        with self._turns:
            self._witness.close()
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    # The turn

    def _acquire(self) -> None:
        lock = self._opened_lock()
        deadline = self._clock.monotonic() + self._wait_s
        pause = _FIRST_PAUSE_S
        while not lock.try_acquire():
            if self._clock.monotonic() >= deadline:
                raise JournalBusy(
                    f"Another process writes in {self._folder} for more than {self._wait_s:g} s."
                )
            self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _opened_lock(self) -> Lock:
        """The lock of the folder, not taken. Within `_turns`."""
        if os.getpid() != self._pid:
            # A lock taken over from before a fork would be shared with the parent.
            self._lock, self._pid = None, os.getpid()
        if self._lock is None:
            if not self._disk.is_dir(self._folder):
                self._disk.mkdir(self._folder)
                self._disk.sync_dir(os.path.dirname(self._folder) or "/")
            self._lock = self._disk.lock(self._folder)
        return self._lock

    def _catch_up(self) -> None:
        """Know all that was appended, cheaply if nothing went wrong."""
        sizes = self._copies.sizes()
        known = not self._suspect and len(sizes) == 1 and (sizes == {self._end} or self._follow())
        if not known or sizes != {self._end} or self._witness.number() != self._newest:
            self._settle()

    # Looking

    def _look(self) -> None:
        """Queue what was appended since the last look."""
        if not self._disk.is_dir(self._folder):
            return
        # Without the turn only what was acknowledged counts: an append that is being made may still fail.
        acknowledged = self._witness.number()
        if not self._suspect and acknowledged and self._follow(acknowledged) and self._newest >= acknowledged:
            return
        if self._holder == threading.get_ident():
            self._settle(read_on=True)
        elif self._disk.writable(self._folder):
            self._suspect = True
            if not self._mended():
                self._look_beside(acknowledged)
        else:
            self._adopt(self._assembled()[0])
            self._suspect = False

    def _mended(self) -> bool:
        """Make the copies whole, if the turn is free; whether it was."""
        if not self._turns.acquire(blocking=False):
            return False
        try:
            lock = self._opened_lock()
            if not lock.try_acquire():
                return False
            try:
                self._settle(read_on=True)
            finally:
                lock.release()
            return True
        finally:
            self._turns.release()

    def _look_beside(self, acknowledged: int) -> None:
        """Know what was acknowledged while somebody else has the turn, and mend nothing.

        Copies that change while they are read could look as if records were lost, so they are read until they
        stand still. Where nothing says what was acknowledged, the turn is waited for. It stays suspect: the
        next look tries to mend. Raises JournalBusy.
        """
        if self._generation and self._newest >= acknowledged > 0:
            return  # Nothing was acknowledged that is not known.
        begun, pause = self._clock.monotonic(), _FIRST_PAUSE_S
        before = self._copies.read_all()
        while self._clock.monotonic() - begun < (_BESIDE_S if acknowledged else self._wait_s):
            self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
            found, known = self._copies.read_all(), self._witness.number()
            if known and known == acknowledged and found == before:
                self._adopt(acknowledged_of(self._image_of(found, known), known))
                return
            if self._mended():
                return
            before, acknowledged = found, known
        raise JournalBusy(f"What lies in {self._folder} is being written; ask again.")

    def _follow(self, upto: int | None = None) -> bool:
        """Take what was appended, up to a record, from the first copy. False if anything is odd about it."""
        with suppress(StorageError, FileNotFoundError):
            head = frame_at(self._copies.read(0, 0, _HEAD_BYTES), 0)
            if head is None or head.generation != self._generation:
                return False
            data = self._copies.read(0, self._end)
            at = 0
            frames: list[Frame] = []
            while (frame := frame_at(data, at, self._end)) is not None:
                if frame.generation != self._generation or frame.sequence != self._newest + len(frames) + 1:
                    return False
                frames.append(frame)
                at += len(frame.raw)
            while frames and (frames[-1].left or (upto is not None and frames[-1].sequence > upto)):
                frames.pop()
            if frames:
                self._newest, self._end = frames[-1].sequence, frames[-1].end
                self._queue += [frame.payload for frame in frames]
            return True
        return False

    def _assembled(self) -> tuple[Image | None, list[bytes | None]]:
        """What the copies hold together (None: nothing yet), and each of them."""
        found = self._copies.read_all()
        return self._image_of(found, self._witness.number()), found

    def _image_of(self, found: Sequence[bytes | None], witness: int) -> Image | None:
        """What these copies hold together. Raises JournalDamaged."""
        image = assemble([data for data in found if data], witness)
        begun = max((len(data) for data in found if data), default=0)
        if image is None and (witness or begun > _HEAD_BYTES):
            raise JournalDamaged(f"None of the {len(found)} copies in {self._folder} can be read.")
        return image

    def _settle(self, *, read_on: bool = False) -> None:
        """Make all copies equal to what they hold together, and know it. Within a turn.

        read_on: where a copy cannot be mended, because the disk is full say, go on with what they hold.
        """
        image, found = self._assembled()
        self._said = [*self._said, *self._findings(image, found)][-_MOST_SAID:]
        image = image or assemble([encode([HEAD], 1, 1, 0)], 0)
        assert image is not None
        try:
            self._copies.mend(found, image)
            if self._witness.number() != image.newest:
                self._witness.testify(image.newest)
        except StorageError:
            if not read_on:
                raise
            self._adopt(image)  # It stays suspect: the next look tries again.
            return
        self._adopt(image)
        self._suspect = False

    def _adopt(self, image: Image | None) -> None:
        """Let an image be what this process knows."""
        if image is None:
            return
        if image.generation != self._generation:
            self._queue, self._whole, self._newest = [], True, 0
        self._queue += [
            frame.payload for frame in image.frames if frame.sequence > self._newest and frame.offset
        ]
        self._generation, self._newest = image.generation, image.newest
        self._end, self.lost = len(image.data), image.lost

    def _findings(self, image: Image | None, found: Sequence[bytes | None]) -> list[str]:
        """What is wrong with the copies, in words."""
        if image is None:
            return []
        said = []
        for path, data in zip(self._copies.paths, found, strict=True):
            if data is None:
                said.append(f"{path} is missing or cannot be read.")
            elif data != image.data:
                bad = sum(data[first:end] != image.data[first:end] for first, end in image.ranges)
                said.append(f"{path} differs in {bad} records." if bad else f"{path} has a torn end.")
        if image.lost:
            said.append(f"{self._folder}: {len(image.lost)} records are in no copy any more.")
        return said


def _check_sizes(records: Sequence[bytes]) -> None:
    longest = max(map(len, records), default=0)
    if longest > MAX_RECORD_BYTES:
        raise TooLarge(f"A record of {longest:,} bytes; a journal takes up to {MAX_RECORD_BYTES:,}.")
