"""What is kept of a fragment apart from its record: a sketch, which for a short text is the whole text.

Sketches stand in the COPIES records of a spread, in two of its parity files. One that holds the text to the
letter is a short copy: its text is proven by the digest in the manifest, and so it is exact.

Rejected: short copies by Zstandard with a dictionary learnt from the memory (docs/decisions/0009).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from carma.healing.sketch import Sketch, decode_sketch, encode_sketch
from carma.healing.terms import SketchDamaged
from carma.store.manifest import Manifest
from carma.store.payload import decode_text
from carma.store.record import RecordKind
from carma.store.scan import Intact
from carma.store.store import Store

__all__ = ["Condenser", "Copies"]

_KEPT_SPREADS = 4
_LEAST_BYTES = 2
"""A smaller budget holds no sketch."""


class Copies:
    """Reads sketches and short copies back. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._read: dict[tuple[int, int], dict[int, bytes]] = {}

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
        with self._lock:
            found = self._read.get(key)
            if found is None:
                found = self._store.spreads.copies(manifest)
                while len(self._read) >= _KEPT_SPREADS:
                    self._read.pop(next(iter(self._read)))
                self._read[key] = found
            return found

    def forget(self) -> None:
        """Read the files anew when something is next asked for."""
        with self._lock:
            self._read.clear()


class Condenser:
    """Makes the sketches of a spread. Implements `carma.store.spread.Condense`.

    A sketch of a page of text takes milliseconds, and whoever spreads holds the turn: so it makes what fits
    into `Settings.condense_budget_s`, and a dream makes the others (`complete`).
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
                    entry = self._new(item)
            entries.append(entry)
        return entries

    def missing(self) -> dict[int, list[int]]:
        """For each spread with fragments that have no sketch: their indices."""
        gone = {row[0] for row in self._store.registry.rows("SELECT segment FROM rewritten")}
        found: dict[int, list[int]] = {}
        if self._settings.sketch_bytes < _LEAST_BYTES:
            return found
        for manifest in self._store.spreads.manifests():
            if manifest.head.first in gone:
                continue
            entries = self._store.spreads.copies(manifest)
            lacking = [
                index
                for index, record in enumerate(manifest.records)
                if record.kind == RecordKind.FRAGMENT and index not in entries
            ]
            if lacking:
                found[manifest.head.spread] = lacking
        return found

    def complete(self, deadline: float) -> list[int]:
        """Make missing sketches until `deadline` (of the monotonic clock), without the turn.

        Returns the spreads to be written anew for them.
        """
        anew: list[int] = []
        for spread, lacking in self.missing().items():
            manifest = self._store.spreads.get(spread)
            if manifest is None:
                continue
            for index in lacking:
                if self._store.clock.monotonic() >= deadline:
                    return anew
                item = self._store.spreads.member(manifest, index)
                if item is not None:
                    self._made[item.header.seq] = self._new(item)
            anew.append(spread)
        return anew

    def _known(self, manifests: Sequence[Manifest], item: Intact) -> bytes | None:
        """A sketch that was made before."""
        made = self._made.pop(item.header.seq, None)
        if made is not None:
            return made
        before = self._copies.entry(manifests, item.header.seq, item.header.text_digest)
        return before if before and len(before) <= self._settings.sketch_bytes else None

    def _new(self, item: Intact) -> bytes:
        return encode_sketch(
            decode_text(self._store.payload(item)),
            budget_bytes=self._settings.sketch_bytes,
            surface=self._settings.short_copies,
        )
