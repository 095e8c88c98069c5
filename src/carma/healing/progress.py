"""The beacon's cursor: where a tour is and when the last one ended, kept between processes.

A small JSON file in the index folder, replaced as a whole, with a digest. It is disposable: without it the
next tour begins anew. On a read-only directory it stays in memory. In an encrypted memory it is sealed as a
whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from blake3 import blake3

from carma.errors import CarmaError
from carma.healing.look import Seen
from carma.ports.disk import write_whole
from carma.reports import Finding
from carma.store.store import Store

__all__ = ["Counts", "Progress", "load_progress", "save_progress"]

_NAME = "index/beacon.json"
_FORMAT = 1
_MOST_KEPT = 1_000
"""Findings of an unfinished tour that are kept; all of them are counted."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a tour has seen so far. hit: names of files with damage that the ledger did not know of."""

    files: int = 0
    records: int = 0
    bytes: int = 0
    damaged: int = 0
    known: int = 0
    lost: int = 0
    hit: tuple[str, ...] = ()

    def plus(self, seen: Seen, hit: str) -> Counts:
        """The counts after one more look."""
        return Counts(
            self.files + seen.files, self.records + seen.records, self.bytes + seen.bytes,
            self.damaged + seen.damaged, self.known + seen.known, self.lost + len(seen.losses),
            (*self.hit, hit) if hit else self.hit,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progress:
    """The tours of one memory. number: of the last deep tour; seen, hit: as in `Tour`.

    light, deep: when the last complete tour ended, seconds since the epoch.
    """

    number: int = 0
    complete: bool = True
    seen: Mapping[str, int] = field(default_factory=dict)
    hit: tuple[str, ...] = ()
    light: float | None = None
    deep: float | None = None
    counts: Counts = Counts()
    findings: tuple[Finding, ...] = ()


def load_progress(store: Store) -> Progress:
    """What the last process left; a fresh start if there is nothing that can be proven."""
    try:
        file = store.disk.open(f"{store.folder}/{_NAME}")
        try:
            data = file.pread(file.size(), 0)
        finally:
            file.close()
        sealer = store.sealing.file(_NAME.encode())
        value = json.loads((sealer.open(data) or b"") if sealer is not None else data)
        if value.pop("digest") != _digest(value) or value.pop("format") != _FORMAT:
            return Progress()
        counts = {**value["counts"], "hit": tuple(value["counts"]["hit"])}
        findings = tuple(Finding(**each) for each in value["findings"])
        return Progress(
            **{**value, "hit": tuple(value["hit"]), "counts": Counts(**counts), "findings": findings}
        )
    except (FileNotFoundError, CarmaError, ValueError, KeyError, TypeError, AttributeError):
        return Progress()


def save_progress(store: Store, progress: Progress) -> None:
    """Keep it if the memory can be written. A full disk costs the cursor and nothing else."""
    if store.read_only:
        return
    kept = () if progress.complete else progress.findings[:_MOST_KEPT]
    value = {"format": _FORMAT, **asdict(replace(progress, findings=kept))}
    data = json.dumps(value | {"digest": _digest(value)}).encode()
    sealer = store.sealing.file(_NAME.encode())
    if sealer is not None:
        data = sealer.seal(data)
    path = f"{store.folder}/{_NAME}"
    with suppress(CarmaError, FileNotFoundError):
        write_whole(store.disk, f"{path}.new", data)
        store.disk.rename(f"{path}.new", path)


def _digest(value: Mapping[str, Any]) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return blake3(canonical.encode()).hexdigest()
