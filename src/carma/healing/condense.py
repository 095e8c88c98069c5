"""What is kept of a fragment apart from its record: a sketch, which for a short text is the whole text.

Sketches stand in the COPIES records of a spread, in two of its parity files. One that holds the text to the
letter is a short copy: its text is proven by the digest in the manifest, and so it is exact.

Rejected: short copies by Zstandard with a dictionary learnt from the memory (docs/decisions/0009).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Container, Sequence
from contextlib import suppress

from carma.errors import CarmaError
from carma.healing.sketch import Sketch, decode_sketch, encode_sketch
from carma.healing.terms import SketchDamaged
from carma.store.manifest import Manifest
from carma.store.payload import decode_text
from carma.store.record import RecordDamaged, RecordKind
from carma.store.scan import Intact
from carma.store.segments import REWRITTEN
from carma.store.store import Store

__all__ = ["Condenser", "Copies", "current_spreads"]

_KEPT_SPREADS = 4
_LACKING_FOR_S = 1.0
"""What lacks entries is read anew after this long: their file may have been about to be replaced."""
_LEAST_BYTES = 2
"""A smaller budget holds no sketch."""
_TITLE = "sketches"
_IN_LOG = """
SELECT seq, segment, offset, length FROM fragments WHERE segment < ? AND kind <> 'tombstone' ORDER BY seq
"""

GoingOn = Callable[[], bool]
"""Asked before each sketch: False ends the making."""
Progress = Callable[[int, int, str], object]
"""How many are made, of how many, and what they are."""


def _untold(done: int, total: int, what: str) -> None:
    return None


class Copies:
    """Reads sketches and short copies back. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._read: dict[tuple[int, int], tuple[dict[int, bytes], float]] = {}
        """The entries of a spread, and until when they are kept."""
        self._complete: set[tuple[int, int]] = set()

    def text(self, seq: int) -> str | None:
        """The text of a write by its short copy, proven by the manifest; None if there is none."""
        found = self.of_write(seq)
        sketch = self._sketch(*found) if found is not None else None
        if found is None or sketch is None or not sketch.exact:
            return None
        text = sketch.text
        digest = self._store.sealing.text_digest(text)
        return text if digest.startswith(found[0].records[found[1]].digest) else None

    def sketch(self, seq: int) -> Sketch | None:
        """The sketch of a write; None if there is none that can be read."""
        found = self.of_write(seq)
        return self._sketch(*found) if found is not None else None

    def of_write(self, seq: int) -> tuple[Manifest, int] | None:
        """The newest spread that names a write, and its place in it."""
        return self._among(self._store.spreads.manifests(), seq)

    @staticmethod
    def _among(manifests: Sequence[Manifest], seq: int) -> tuple[Manifest, int] | None:
        for manifest in reversed(manifests):
            index = manifest.index_of(seq)
            if index is not None:
                return manifest, index
        return None

    def entry(self, manifests: Sequence[Manifest], seq: int, digest: bytes) -> bytes | None:
        """The sketch that was made of a text before, as it stands in the file of one of these spreads."""
        found = self._among(manifests, seq)
        if found is None or not digest.startswith(found[0].records[found[1]].digest):
            return None
        return self._entries(found[0]).get(found[1])

    def _sketch(self, manifest: Manifest, index: int) -> Sketch | None:
        entry = self._entries(manifest).get(index)
        if not entry:
            return None
        try:
            return decode_sketch(entry)
        except SketchDamaged:
            return None

    def _entries(self, manifest: Manifest) -> dict[int, bytes]:
        key = (manifest.head.spread, manifest.head.created_ms)
        now = self._store.clock.monotonic()
        with self._lock:
            found, until = self._read.get(key, ({}, now))
            if until <= now:
                found = self._store.spreads.copies(manifest)
                until = now + _LACKING_FOR_S if _lacking(manifest, found) else math.inf
                self._read.pop(key, None)
                while len(self._read) >= _KEPT_SPREADS:
                    self._read.pop(next(iter(self._read)))
                self._read[key] = found, until
            return found

    def count(self, *, anew: bool = False) -> tuple[int, int]:
        """How many fragments at rest have a sketch or short copy, and how many have none; older versions too.

        anew: read all files; else those of which all are known to be there are not read again.
        """
        made = missing = 0
        for manifest in current_spreads(self._store):
            key = (manifest.head.spread, manifest.head.created_ms)
            there = sum(record.kind == RecordKind.FRAGMENT for record in manifest.records)
            lacking = 0
            if anew or key not in self._complete:
                lacking = len(_lacking(manifest, self._store.spreads.copies(manifest)))
                # A spread that is being written may lack some for a moment.
                (self._complete.discard if lacking else self._complete.add)(key)
            made += there - lacking
            missing += lacking
        return made, missing

    def forget(self) -> None:
        """Read the files anew when something is next asked for."""
        with self._lock:
            self._read.clear()
            self._complete.clear()


class Condenser:
    """Makes the sketches of a spread. Implements `carma.store.spread.Condense`.

    Whoever spreads holds the turn, and a sketch takes up to a millisecond. So sketches are made before it,
    without the turn (`prepare`, `complete`), and a spreading finds them made. What it does not find it makes,
    for `Settings.condense_budget_s`; what is missing even then stays missing until the next `complete`.
    """

    def __init__(self, store: Store, copies: Copies) -> None:
        self._store = store
        self._settings = store.settings
        self._copies = copies
        self._made: dict[int, bytes] = {}

    def __call__(self, records: Sequence[Intact]) -> list[bytes]:
        deadline = self._store.clock.monotonic() + self._settings.condense_budget_s
        manifests = self._store.spreads.manifests()
        entries: list[bytes] = []
        for item in records:
            entry = b""
            if item.header.kind == RecordKind.FRAGMENT:
                entry = self._known(manifests, item) or b""
                if not entry and self._store.clock.monotonic() < deadline:
                    entry = self._new(decode_text(self._store.payload(item)))
            entries.append(entry)
        return entries

    def missing(self) -> dict[int, list[int]]:
        """For each spread with fragments that have no sketch: their indices."""
        if self._settings.sketch_bytes < _LEAST_BYTES:
            return {}
        lacking = {
            manifest.head.spread: _lacking(manifest, self._store.spreads.copies(manifest))
            for manifest in current_spreads(self._store)
        }
        return {spread: indices for spread, indices in lacking.items() if indices}

    def prepare(self, going_on: GoingOn, progress: Progress = _untold) -> None:
        """Make the sketches of what is to be spread next, without the turn, while `going_on` says so.

        progress: told how many are made, of how many.
        """
        if self._settings.sketch_bytes < _LEAST_BYTES:
            return
        rows = self._store.registry.rows(_IN_LOG, (REWRITTEN,))
        self._made = {row[0]: self._made[row[0]] for row in rows if row[0] in self._made}
        rows = [row for row in rows if row[0] not in self._made]
        for at, row in enumerate(rows):
            if not going_on():
                return
            progress(at, len(rows), _TITLE)
            with suppress(CarmaError, RecordDamaged):  # It waits for healing, and its sketch with it.
                self._made[row[0]] = self._new(self._store.read_text(*row))

    def complete(self, going_on: GoingOn, progress: Progress = _untold) -> list[int]:
        """Make missing sketches of spreads, without the turn, while `going_on` says so.

        Returns the spreads to be written anew for them.
        """
        anew: list[int] = []
        missing = self.missing()
        total, done = sum(map(len, missing.values())), 0
        for spread, lacking in missing.items():
            manifest = self._store.spreads.get(spread)
            if manifest is None:
                continue
            for index in lacking:
                if not going_on():
                    return anew
                progress(done, total, _TITLE)
                done += 1
                item = self._store.spreads.member(manifest, index)
                if item is None:
                    continue
                if item.header.seq not in self._made:
                    self._made[item.header.seq] = self._new(decode_text(self._store.payload(item)))
                if anew[-1:] != [spread]:
                    anew.append(spread)
        return anew

    def _known(self, manifests: Sequence[Manifest], item: Intact) -> bytes | None:
        """A sketch that was made before."""
        made = self._made.pop(item.header.seq, None)
        if made is not None:
            return made
        before = self._copies.entry(manifests, item.header.seq, item.header.text_digest)
        return before if before and len(before) <= self._settings.sketch_bytes else None

    def _new(self, text: str) -> bytes:
        return encode_sketch(
            text, budget_bytes=self._settings.sketch_bytes, surface=self._settings.short_copies
        )


def current_spreads(store: Store) -> list[Manifest]:
    """The spreads that no other has replaced."""
    gone = {row[0] for row in store.registry.rows("SELECT segment FROM rewritten")}
    return [each for each in store.spreads.manifests() if each.head.first not in gone]


def _lacking(manifest: Manifest, entries: Container[int]) -> list[int]:
    """The indices of fragments of a spread without an entry."""
    return [
        index
        for index, record in enumerate(manifest.records)
        if record.kind == RecordKind.FRAGMENT and index not in entries
    ]
