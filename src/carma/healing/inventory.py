"""What should lie in a memory's folder, as registry and manifests say, against what does.

Only names are looked at here. What a spread replaced and still lingers is left out: readers let go of it, and
it is about to be removed. What nobody announced is an orphan once it is older than the time that announcing
may take.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from carma.reports import Finding
from carma.store.manifest import Manifest
from carma.store.segments import COPIES, PARITY, REWRITTEN, is_log
from carma.store.store import Store

__all__ = ["Inventory", "Kind", "Place", "relative", "take_inventory"]

Kind = Literal["identity", "log", "segment", "column", "encoding", "loose", "registry", "vectors"]

GRACE_S = 60.0
"""The shortest time in which a file may lie there that nothing speaks of."""

_GONE = """
SELECT segment FROM rewritten WHERE segment NOT IN (SELECT segment FROM fragments WHERE live)
"""
_NAMED = """
SELECT segment FROM (SELECT DISTINCT segment FROM fragments UNION SELECT segment FROM other)
WHERE segment NOT IN (SELECT segment FROM rewritten) AND segment > 0
"""


class Place(NamedTuple):
    """Something to look at. name: relative path, or a word where it is no single file.

    number: of the segment or parity file; of the spread for "encoding".
    """

    kind: Kind
    name: str
    number: int = 0
    manifest: Manifest | None = None

    @property
    def group(self) -> str:
        """The spread it belongs to."""
        return f"spread {self.manifest.head.spread}" if self.manifest is not None else ""


class Inventory(NamedTuple):
    """The places to look at, and what is wrong with names alone."""

    places: list[Place]
    findings: list[Finding]


def relative(store: Store, number: int, copy: Literal["segments", "mirror"] = "segments") -> str:
    """The path of a segment or parity file in the memory's folder."""
    return store.segments.path(copy, number)[len(store.folder) + 1 :]


def take_inventory(store: Store) -> Inventory:
    """Compare the folder with what registry and manifests say of it. The registry has to be settled."""
    gone = {row[0] for row in store.registry.rows(_GONE)}
    named = {row[0] for row in store.registry.rows(_NAMED)}
    findings = list(_strays(store))
    manifests = []
    for each in store.spreads.manifests():
        if gone.issuperset(each.segments):
            continue
        if named.isdisjoint(each.segments):
            findings += _orphan(store, each.segments[0], f"the spread {each.head.spread}")
            continue
        manifests.append(each)
    places = [Place("identity", "memory.json")]
    places += [Place("log", relative(store, number), number) for number in _log(store, gone, named)]
    for each in manifests:
        places += [Place("segment", relative(store, n), n, each) for n in each.segments]
        places += [Place("column", relative(store, n), n, each) for n in each.columns]
        places.append(Place("encoding", f"encoding {each.head.spread}", each.head.spread, each))
    findings += _twice(store, manifests)
    places += [Place("loose", relative(store, number), number) for number in _loose(store, gone, named)]
    places.append(Place("registry", "index"))
    places += [Place("vectors", f"index/{name}") for name in _vectors(store)]
    return Inventory(places, findings)


def _log(store: Store, gone: set[int], named: set[int]) -> list[int]:
    """Log segments that are there or should be."""
    there = {number for number in store.segments.numbers() if is_log(number) and number not in gone}
    there.update(number for number in named if is_log(number))
    if store.cursor.offset and store.cursor.segment not in gone:
        there.add(store.cursor.segment)
    return sorted(there)


def _loose(store: Store, gone: set[int], named: set[int]) -> list[int]:
    """Rewritten segments and parity files whose manifest cannot be read."""
    listed = {n for each in store.spreads.manifests() for n in (*each.segments, *each.columns)}
    there = {number for number in store.segments.numbers("segments") if number >= REWRITTEN}
    there.update(number for number in named if REWRITTEN <= number < PARITY)
    loose = (there | set(store.segments.columns())) - listed - gone
    return sorted(number for number in loose if number in named or _settled(store, relative(store, number)))


def _orphan(store: Store, number: int, what: str) -> Iterator[Finding]:
    path = relative(store, number)
    if _settled(store, path):
        yield Finding(kind="orphan", path=path, redundant=True, what=f"Nothing speaks of {what}.")


def _settled(store: Store, path: str) -> bool:
    """Whether a file is so old that whoever wrote it would have spoken of it."""
    modified = store.disk.modified(f"{store.folder}/{path}")
    return modified is not None and modified + max(store.settings.linger_s, GRACE_S) <= store.clock.now()


def _strays(store: Store) -> Iterator[Finding]:
    """Files whose names do not belong where they lie."""
    segments = store.segments
    expected = {relative(store, number) for number in (*segments.numbers("segments"), *segments.columns())}
    expected |= {relative(store, number, "mirror") for number in segments.numbers("mirror") if is_log(number)}
    for place in (*COPIES, "parity"):
        for name in store.disk.listdir(f"{store.folder}/{place}"):
            path = f"{place}/{name}"
            if path not in expected and _settled(store, path):
                what = "No file of a memory has such a name here."
                yield Finding(kind="orphan", path=path, redundant=True, what=what)


def _twice(store: Store, manifests: list[Manifest]) -> Iterator[Finding]:
    """Writes that two spreads list. Nothing is lost by it; one of the two should have been removed."""
    seqs = [np.fromiter((record.seq for record in each.records), np.int64) for each in manifests]
    together = np.concatenate(seqs) if seqs else np.empty(0, np.int64)
    values, counts = np.unique(together, return_counts=True)
    double = values[counts > 1]
    if not len(double):
        return
    for manifest, own in zip(manifests[1:], seqs[1:], strict=True):
        shared = np.flatnonzero(np.isin(own, double))
        if len(shared):
            record = manifest.records[int(shared[0])]
            segment, offset, _ = manifest.place(int(shared[0]))
            yield Finding(
                kind="duplicate", path=relative(store, segment), offset=offset, seq=record.seq,
                id=record.id.hex(), redundant=True,
                what=f"{len(shared)} records of spread {manifest.head.spread} stand in another spread too.",
            )  # fmt: skip


def _vectors(store: Store) -> list[str]:
    return [
        name
        for name in store.disk.listdir(f"{store.folder}/index")
        if name.startswith("vectors-") and name.endswith(".f32")
    ]
