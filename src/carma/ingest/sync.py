"""Brings a memory in line with a file or folder: reads, parses, plans, and hands over operations in batches.

A file's fragment records the file's digest last, after everything below it is durable, and loses it before
anything below it changes. So an ingest can end anywhere between two batches: the next one skips the files
whose recorded digest is that of their bytes and plans the others anew. Modification times were rejected as
the sign of a change, because they can be set back and are too coarse for two edits in a row; hashing costs
less than opening the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from carma.errors import CarmaError, InvalidInput, TooLarge
from carma.ingest.node import Parsed, digest_of
from carma.ingest.options import IngestOptions
from carma.ingest.parse import RULES, parse
from carma.ingest.places import ascending, places
from carma.ingest.plan import Plan, plan_content, plan_removal
from carma.ingest.report import IngestReport, Problem, Progress
from carma.ingest.sink import Add, Delete, Existing, IngestSink, Move, Operation, Restate, Update
from carma.ingest.walk import Entry, Found, shown, walk
from carma.models import Source
from carma.ports.clock import Clock

__all__ = ["ingest_path"]


def ingest_path(
    sink: IngestSink,
    path: str | os.PathLike[str],
    *,
    clock: Clock,
    parent: str | None = None,
    options: IngestOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> IngestReport:
    """Ingest a file, or everything below a folder, and bring what was ingested from there earlier up to date.

    sink: the memory. parent: the fragment under which a path that is new is put; None for the top.
    progress: called before each file, after each batch and at the end.
    should_stop: asked between files and between batches; True ends the ingest, as Ctrl-C does.

    Returns what was done; `interrupted` says that it ended early and that the same call goes on from there.
    Raises `InvalidInput` where `path` is nothing or cannot be read (nothing is removed then), and whatever
    the sink raises (a full disk, a busy memory): what was applied until then stays and is not done again.
    """
    options = options or IngestOptions()
    begun = clock.monotonic()
    real = os.path.abspath(os.fspath(path))
    found = walk(real, options)
    run = _Run(sink, options, found, progress, should_stop or (lambda: False))
    interrupted = False
    try:
        run.all(real, parent)
    except (_Stop, KeyboardInterrupt):
        interrupted = True
    return run.report(interrupted, clock.monotonic() - begun)


class _Stop(Exception):
    """`should_stop` said so."""


@dataclass(slots=True)
class _Place:
    """Where a file or folder is, or will be, in the tree. A new folder is added with the first file in it."""

    entry: Entry
    above: _Place | None
    parent: str | None
    position: float | None
    existing: Existing | None
    id: str | None = None


class _Run:
    """One ingest: what is pending, and what was counted."""

    def __init__(
        self,
        sink: IngestSink,
        options: IngestOptions,
        found: Found,
        progress: Callable[[Progress], None] | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self.sink, self.options, self.found = sink, options, found
        self.progress, self.should_stop = progress, should_stop
        self.problems = list(found.problems)
        self.counts = dict.fromkeys(
            ("added", "updated", "deleted", "restated", "kept", "unchanged", "empty"), 0
        )
        self.pending: list[tuple[Operation, str | None]] = []
        self.pending_bytes = 0
        self.done_files = self.done_bytes = self.read_bytes = 0
        self.root: str | None = None
        self.root_path = ""

    def all(self, real: str, parent: str | None) -> None:
        self.root_path = shown(real)
        existing = self.sink.root(self.root_path)
        entry = self.found.root
        if existing is not None and existing.kind != _kind(entry):
            self._plan(plan_removal(existing, self.sink.below(existing.id)))
            existing = None
        top = _Place(entry, None, parent, None, existing, existing.id if existing else None)
        self.root = top.id
        self._visit(top)
        self._flush()
        self._tell("")
        self.root = top.id

    def report(self, interrupted: bool, took_s: float) -> IngestReport:
        return IngestReport(
            **self.counts,
            files=self.found.files,
            bytes=self.read_bytes,
            problems=tuple(self.problems),
            interrupted=interrupted,
            took_s=took_s,
            root=self.root,
        )

    # The tree

    def _visit(self, place: _Place) -> None:
        if place.entry.is_folder:
            self._folder(place)
            return
        if self.should_stop():
            self._flush()
            raise _Stop
        self._tell(place.entry.path)
        self._file(place)
        self.done_files += 1
        self.done_bytes += place.entry.size

    def _folder(self, place: _Place) -> None:
        """Visit what is in a folder, then remove what is no longer."""
        known: dict[str, Existing] = {}
        if place.existing is not None:
            children = self.sink.children(place.existing.id)
            known = {child.source.path: child for child in children if child.source is not None}
        entries = place.entry.entries
        kin = [known.get(entry.path) for entry in entries]
        kin = [
            old if old and old.kind == _kind(entry) else None for old, entry in zip(kin, entries, strict=True)
        ]
        positions = places(ascending([old.position if old else None for old in kin]))
        for entry, old, position in zip(entries, kin, positions, strict=True):
            if old is not None and old.position != position:
                self._emit(Move(id=old.id, parent=old.parent, position=position), "updated")
            self._visit(_Place(entry, place, place.id, position, old, old.id if old else None))
        here = {old.id for old in kin if old is not None}
        for path, old in known.items():
            if old.id not in here and path not in self.found.blocked:
                self._plan(plan_removal(old, self.sink.below(old.id)))

    def _ensure(self, place: _Place) -> str | None:
        """The id of the folder that holds what is at `place`, added now if it is not there yet."""
        folder = place.above
        if folder is None:
            return place.parent
        if folder.id is None:
            parent = self._ensure(folder)
            folder.id = self.sink.new_id()
            metadata = {"root": self.root_path} if folder.above is None else {}
            self._add(folder, parent, "folder", metadata)
        return folder.id

    def _add(self, place: _Place, parent: str | None, kind: str, metadata: Mapping[str, object]) -> None:
        assert place.id is not None
        name = place.entry.name
        source = Source(path=place.entry.path)
        add = Add(
            id=place.id,
            parent=parent,
            position=place.position,
            kind=kind,
            text=name,
            source=source,
            metadata=metadata,
        )
        self._emit(add, "added")

    # One file

    def _file(self, place: _Place) -> None:
        entry, existing = place.entry, place.existing
        try:
            raw = _read(
                entry.real, self.options.file_bytes, follow=self.options.follow_links or place.above is None
            )
        except (OSError, CarmaError) as error:
            self._refuse(entry.path, error)
            return
        self.read_bytes += len(raw)
        digest = digest_of(raw)
        if existing is not None and self._is_current(existing, digest):
            self.counts["unchanged"] += 1
            self.counts["kept"] += 1 + self.sink.count_below(existing.id)
            return
        try:
            parsed = parse(entry.name, raw, paragraph_chars=self.options.paragraph_chars)
        except Exception as error:  # Even a bug of a parser is that file's affair and stops no other.
            self._refuse(entry.path, error)
            return
        for note in parsed.notes:
            self.problems.append(Problem(entry.path, note.code, note.message, skipped=False))
        if parsed.nodes:
            self._write(place, parsed, digest)
        else:
            self.counts["empty"] += 1
            if existing is not None:
                self._plan(plan_removal(existing, self.sink.below(existing.id)))
                place.id = None

    def _is_current(self, existing: Existing, digest: str) -> bool:
        source = existing.source
        return (
            source is not None and source.digest == digest and existing.metadata.get("rules") == self._rules()
        )

    def _rules(self) -> str:
        """What decides, beside its bytes, how a file is cut."""
        return f"{RULES}/{self.options.paragraph_chars}"

    def _write(self, place: _Place, parsed: Parsed, digest: str) -> None:
        """Take the recorded digest away, carry out the plan, record the new digest."""
        existing, path = place.existing, place.entry.path
        metadata = {"format": parsed.format, "rules": self._rules(), **parsed.metadata}
        if place.above is None:
            metadata["root"] = self.root_path
        if existing is None:
            parent = self._ensure(place)
            place.id = self.sink.new_id()
            self._add(place, parent, "file", metadata)
            old: tuple[Existing, ...] = ()
        else:
            old = tuple(self.sink.below(existing.id))
            self._emit(Restate(id=existing.id, source=Source(path=path)), None)
            if any(existing.metadata.get(key) != value for key, value in metadata.items()):
                merged = {**existing.metadata, **metadata}
                self._emit(
                    Update(id=existing.id, text=None, source=Source(path=path), metadata=merged), "updated"
                )
        assert place.id is not None
        new_id = self.sink.new_id
        self._plan(plan_content(place.id, old, parsed.nodes, path=path, digest=digest, new_id=new_id))
        last = Restate(id=place.id, source=Source(path=path, digest=digest))
        self._emit(last, "restated" if existing is not None else None)

    def _refuse(self, path: str, error: Exception) -> None:
        """Report a file that cannot be taken; what was ingested from it earlier stays."""
        if isinstance(error, CarmaError):
            code, message = error.code, error.message
        elif isinstance(error, OSError):
            code, message = "unreadable", f"cannot be read: {error.strerror or error}"
        else:
            code, message = "parse-failed", f"cannot be parsed: {type(error).__name__}: {error}"[:500]
        self.problems.append(Problem(path, code, message))

    # Batches

    def _plan(self, plan: Plan) -> None:
        last = ""
        for operation in plan.operations:
            count = (
                None if isinstance(operation, Move) and operation.id == last else _COUNTED[type(operation)]
            )
            self._emit(operation, count)
            last = operation.id
        self.counts["kept"] += plan.kept

    def _emit(self, operation: Operation, count: str | None) -> None:
        """Put an operation into the batch; `count` names what it counts for once it is applied."""
        self.pending.append((operation, count))
        text = getattr(operation, "text", None)
        self.pending_bytes += len(text.encode("utf-8")) if text else 0
        full = (
            len(self.pending) >= self.options.batch_operations
            or self.pending_bytes >= self.options.batch_bytes
        )
        if full:
            self._flush()
            self._tell("")
            if self.should_stop():
                raise _Stop

    def _flush(self) -> None:
        if not self.pending:
            return
        batch, self.pending, self.pending_bytes = self.pending, [], 0
        self.sink.apply([operation for operation, _ in batch])
        for _, count in batch:
            if count is not None:
                self.counts[count] += 1

    def _tell(self, path: str) -> None:
        if self.progress is not None:
            found = self.found
            self.progress(Progress(self.done_files, found.files, self.done_bytes, found.bytes, path))


_COUNTED = {Add: "added", Update: "updated", Move: "updated", Restate: "restated", Delete: "deleted"}


def _kind(entry: Entry) -> str:
    return "folder" if entry.is_folder else "file"


def _read(path: str, most: int, *, follow: bool) -> bytes:
    """A regular file's bytes, at most `most`; never waits on a pipe that has taken the file's place."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    handle = os.open(path, flags)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput("no longer a regular file")
        data = file.read(most + 1) if status.st_size <= most else b""
    if status.st_size > most or len(data) > most:
        raise TooLarge(f"{max(status.st_size, len(data)):,} bytes; at most {most:,} are read (file_bytes)")
    return data
