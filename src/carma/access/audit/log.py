"""The log: entries are appended in batches, each durable before a checkpoint speaks of it.

The order makes it safe to stop anywhere. First the bundles and tiles of the new size are written and synced,
under names that no checkpoint speaks of yet; then the checkpoint takes the place of the one before, in one
rename. So a crash leaves the old log or the new one, and what it leaves behind is written over by the next
batch. Who appends holds the lock of the folder and looks first whether another process went on.

The entries of the last bundle lie once more in the folder of the writer, because nothing else could give them
back, and without them nothing could be appended. Every other tile can be made again from the bundles
(`mend`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from carma.access.audit.checkpoint import Checkpoint, Signer, open_checkpoint, read_checkpoint
from carma.access.audit.leaf import LEAF_BYTES
from carma.access.audit.note import NOTE_BYTES, Note, Signature, Verifier
from carma.access.audit.reader import LogReader, edges_root
from carma.access.audit.rows import read_rows
from carma.access.audit.tiles import (
    CHECKPOINT,
    ENTRIES,
    WIDTH,
    Place,
    edge_places,
    pack_bundle,
    pack_tile,
    read_file,
    unpack_bundle,
    width_of,
)
from carma.access.audit.tree import EMPTY_ROOT, leaf_hash, root_of
from carma.access.audit.turn import folder_turn, lasting_folder, take
from carma.access.audit.twofold import Twofold
from carma.errors import AuditDamaged, AuditUnavailable, CarmaError, StorageError
from carma.ports.clock import Clock
from carma.ports.disk import Disk, Lock, write_whole

__all__ = ["Log", "attach_signatures", "read_log"]

_KEEP_EVERY = 4_096
"""One checkpoint for so many entries is kept, so that a change can be narrowed down to them."""
_WRITERS = 4
_EDGE = "edge"


def read_log(
    disk: Disk, folder: str, verifiers: Sequence[Verifier], origin: str | None = None
) -> tuple[LogReader, Note]:
    """The log in `folder` as its newest checkpoint says, and that checkpoint with all its signatures.

    Raises AuditDamaged where there is none, or none of `verifiers` signed it.
    """
    data = read_file(disk, f"{folder}/{CHECKPOINT}", NOTE_BYTES)
    if data is None:
        raise AuditDamaged(f"There is no checkpoint in {folder}.")
    checkpoint, note = open_checkpoint(data, verifiers, origin=origin)
    return LogReader(disk, folder, checkpoint), note


class Log:
    """An open log that can be appended to. Safe to share between processes; one thread at a time.

    folder: of the log, as others read it. private: a folder for what only the writer needs.
    """

    def __init__(self, disk: Disk, folder: str, private: str, signer: Signer, clock: Clock) -> None:
        self._disk = disk
        self._folder = folder
        self._signer = signer
        self._clock = clock
        self._kept = Twofold(disk, private)
        self._lock: Lock | None = None
        self._depth = 0
        self._known_folders: set[str] = set()
        self._size = -1
        self._edges: dict[int, list[bytes]] = {}
        self._last: list[bytes] = []
        # A simulated disk replays one run from one seed, so it sees no threads of ours.
        real = disk.real_path(folder) is not None
        self._pool = ThreadPoolExecutor(_WRITERS, "carma-audit") if real else None
        with self.turn():
            self._begin_or_refresh()

    @property
    def size(self) -> int:
        """How many entries there are, as far as this process has seen."""
        return self._size

    @property
    def signer(self) -> Signer:
        """Who signs its checkpoints; the name is the log's origin."""
        return self._signer

    def close(self) -> None:
        """Give everything back."""
        if self._pool is not None:
            self._pool.shutdown()
        if self._lock is not None:
            self._lock.close()

    def reader(self) -> LogReader:
        """The log as the newest checkpoint says. Raises AuditDamaged."""
        return self._read()[0]

    def checkpoint(self) -> bytes:
        """The newest checkpoint with all its signatures. Raises AuditDamaged."""
        return self._read()[1].to_bytes()

    def _read(self) -> tuple[LogReader, Note]:
        return read_log(self._disk, self._folder, self._signer.verifiers(), self._signer.name)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Within the block no other process appends; reentrant. Raises AuditUnavailable after 10 seconds."""
        if self._depth == 0:
            if self._lock is None:
                lasting_folder(self._disk, self._folder)
                self._lock = self._disk.lock(self._folder)
            take(self._lock, self._clock, "the audit log")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0 and self._lock is not None:
                self._lock.release()

    # Appending

    def append(self, entries: Sequence[bytes]) -> range:
        """Append entries, durably; their numbers. Raises AuditUnavailable, AuditDamaged; then none is there.

        After an error of the disk it may be there all the same: whoever has to know looks (`reader`).
        """
        if any(len(entry) > LEAF_BYTES for entry in entries):
            raise ValueError("an entry is longer than a log can hold")
        try:
            with self.turn():
                self._begin_or_refresh()
                if not entries:
                    return range(self._size, self._size)
                return self._append(entries)
        except StorageError as error:
            self._size = -1
            raise AuditUnavailable(f"The audit log could not be written: {error.message}") from error

    def _append(self, entries: Sequence[bytes]) -> range:
        old = self._size
        edges = {level: list(hashes) for level, hashes in self._edges.items()}
        files = dict(_new_files(edges, self._last, old, entries))
        size = old + len(entries)
        last = files[Place(ENTRIES, (size - 1) // WIDTH, width_of(size, 0, (size - 1) // WIDTH))]
        self._kept.put(_EDGE, size.to_bytes(8, "big") + last)
        self._write(files)
        checkpoint = Checkpoint(self._signer.name, size, edges_root(edges))
        self._commit(checkpoint)
        self._size, self._edges = size, edges
        self._last = unpack_bundle(last, (size - 1) % WIDTH + 1) if size % WIDTH else []
        if size // _KEEP_EVERY > old // _KEEP_EVERY:
            with suppress(CarmaError):  # It narrows findings down; nothing depends on it.
                self._keep(checkpoint.size)
        self._remove_partial(old, size)
        return range(old, size)

    def _write(self, files: dict[Place, bytes]) -> None:
        """Write files and make them and their names durable."""
        paths = {f"{self._folder}/{place.path}": data for place, data in files.items()}
        made: set[str] = set()
        for folder in sorted({os.path.dirname(path) for path in paths}):
            made.update(self._make_folder(folder))
        self._each(lambda item: write_whole(self._disk, *item), list(paths.items()))
        self._each(self._disk.sync_dir, sorted({os.path.dirname(path) for path in paths} | made))

    def _make_folder(self, folder: str) -> Iterator[str]:
        """Make a folder if it is not known; the folders whose entries have to be made durable for it."""
        while folder not in self._known_folders and len(folder) >= len(self._folder):
            self._disk.mkdir(folder)
            self._known_folders.add(folder)
            folder = os.path.dirname(folder)
            yield folder

    def _each(self, act: Callable[..., object], items: Sequence[object]) -> None:
        """Do it with each item, side by side where there is a pool; the first error is raised at the end."""
        if self._pool is None:
            for item in items:
                act(item)
            return
        futures = [self._pool.submit(act, item) for item in items]
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            raise errors[0]

    def _commit(self, checkpoint: Checkpoint) -> None:
        """Sign a checkpoint and put it in the place of the one before."""
        seconds = max(int(self._clock.now()), 0)
        _replace(self._disk, self._folder, Note(checkpoint.text, self._signer.sign(checkpoint, seconds)))

    def _keep(self, size: int) -> None:
        """Keep the newest checkpoint among those of earlier sizes."""
        folder = f"{self._folder}/history"
        data = read_file(self._disk, f"{self._folder}/{CHECKPOINT}", NOTE_BYTES)
        if data is not None and read_checkpoint(data)[0].size == size:
            self._disk.mkdir(folder)
            write_whole(self._disk, f"{folder}/{size}", data)
            self._disk.sync_dir(folder)

    def _remove_partial(self, old: int, new: int) -> None:
        """Remove tiles and bundles that were not full and are now. Nothing depends on it."""
        full = [
            Place(level, place.number)
            for place in edge_places(old)
            for level in ((ENTRIES, 0) if place.level == 0 else (place.level,))
            if width_of(new, place.level, place.number) == WIDTH
        ]
        with suppress(CarmaError, OSError):
            for place in full:
                folder = f"{self._folder}/{place.path}.p"
                for name in self._disk.listdir(folder):
                    self._disk.unlink(f"{folder}/{name}")
                self._known_folders.discard(folder)
                real = self._disk.real_path(folder)
                if real is not None:
                    os.rmdir(real)

    # Beginning, and going on after others

    def _begin_or_refresh(self) -> None:
        """Stand at the newest checkpoint; make one for an empty log. Needs the turn."""
        if self._disk.size(f"{self._folder}/{CHECKPOINT}") is None:
            if self._kept.get(_EDGE) is not None or self._disk.is_dir(f"{self._folder}/tile"):
                raise AuditDamaged(f"The checkpoint of the log in {self._folder} is gone.")
            self._commit(Checkpoint(self._signer.name, 0, EMPTY_ROOT))
        reader, _ = self._read()
        if reader.size == self._size and edges_root(self._edges) == reader.checkpoint.root:
            return
        try:
            edges = reader.edges()
        except AuditDamaged:
            self.mend()
            edges = reader.edges()
        self._edges = {level: list(hashes) for level, hashes in edges.items()}
        self._last = self._last_bundle(reader)
        self._size = reader.size

    def _last_bundle(self, reader: LogReader) -> list[bytes]:
        """The entries of the last bundle if it is not full; from our own copy where the log's is damaged."""
        if reader.size % WIDTH == 0:
            return []
        try:
            return reader.bundle(reader.size // WIDTH)
        except AuditDamaged:
            kept = self._kept.get(_EDGE)
            if kept is None or int.from_bytes(kept[:8], "big") != reader.size:
                raise
            entries = unpack_bundle(kept[8:], reader.size % WIDTH)
            if list(map(leaf_hash, entries)) != reader.tile(0, reader.size // WIDTH):
                raise
            place = Place(ENTRIES, reader.size // WIDTH, len(entries))
            self._write({place: pack_bundle(entries)})
            return entries

    def mend(self) -> list[str]:
        """Make tiles again that are not what the entries give; their paths.

        Only where all entries together have the root of the checkpoint. Raises AuditDamaged.
        """
        with self.turn():
            reader, _ = self._read()
            rows = read_rows(self._disk, self._folder, reader.size)
            if rows.root(reader.size) != reader.checkpoint.root:
                raise AuditDamaged("The entries do not give the root that the checkpoint says.")
            wrong = list(rows.wrong_tiles())
            self._write({place: pack_tile(rows.hashes(place)) for place in wrong})
            return [place.path for place in wrong]

    # Witnesses

    def add_signatures(self, checkpoint: Checkpoint, signatures: Sequence[Signature]) -> bool:
        """Add cosignatures to the newest checkpoint; False if that is not `checkpoint` any more."""
        with self.turn():
            return _add_signatures(self._disk, self._folder, checkpoint, signatures)


def attach_signatures(
    disk: Disk, folder: str, clock: Clock, checkpoint: Checkpoint, signatures: Sequence[Signature]
) -> bool:
    """As `Log.add_signatures`, without the log's keys."""
    with folder_turn(disk, folder, clock, "the audit log"):
        return _add_signatures(disk, folder, checkpoint, signatures)


def _add_signatures(disk: Disk, folder: str, checkpoint: Checkpoint, signatures: Sequence[Signature]) -> bool:
    data = read_file(disk, f"{folder}/{CHECKPOINT}", NOTE_BYTES)
    newest, note = read_checkpoint(data or b"")
    if newest == checkpoint:
        _replace(disk, folder, note.with_signatures(signatures))
    return newest == checkpoint


def _replace(disk: Disk, folder: str, note: Note) -> None:
    """Put a checkpoint in the place of the one before."""
    path = f"{folder}/{CHECKPOINT}"
    write_whole(disk, f"{path}.new", note.to_bytes())
    disk.rename(f"{path}.new", path)
    disk.sync_dir(folder)


def _new_files(
    edges: dict[int, list[bytes]], last: Sequence[bytes], old: int, entries: Sequence[bytes]
) -> Iterator[tuple[Place, bytes]]:
    """The bundles and tiles that a log of `old` entries gets with new ones; `edges` moves on to the new size.

    last: the entries of the last bundle, if it was not full.
    """
    whole = [*last, *entries]
    first = old // WIDTH
    for at in range(0, len(whole), WIDTH):
        part = whole[at : at + WIDTH]
        yield Place(ENTRIES, first + at // WIDTH, len(part)), pack_bundle(part)
    fresh = [leaf_hash(entry) for entry in entries]
    level = 0
    while fresh:
        row = edges.pop(level, []) + fresh
        number = old >> (8 * (level + 1))
        fresh = []
        for at in range(0, len(row), WIDTH):
            part = row[at : at + WIDTH]
            yield Place(level, number + at // WIDTH, len(part)), pack_tile(part)
            if len(part) == WIDTH:
                fresh.append(root_of(part))
            else:
                edges[level] = part
        level += 1
