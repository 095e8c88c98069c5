"""The dreams of a memory: which there were, how each ended, and that only one runs at a time.

A running dream holds the lock of the folder `parity`, which the kernel gives back when its process dies. So a
cycle that stands in the ledger as running, while nobody holds the lock, has failed. Rejected: the process id
in the record, which another process may have by now.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

from carma.errors import DreamNotFound, MemoryBusy, StorageError
from carma.reports import DreamReport, Step
from carma.store.store import Store

__all__ = ["dream", "dreams", "next_cycle", "only_one", "report_of"]

_WAITS = 20
_PAUSE_S = 0.01
_NAMES = {field.name for field in fields(DreamReport)}
_STEP_NAMES = {field.name for field in fields(Step)}


def report_of(value: Mapping[str, Any]) -> DreamReport:
    """The report that `to_dict` made a map of; members of a newer version are left out."""
    known = {name: value[name] for name in value.keys() & _NAMES}
    return DreamReport(**{**known, "steps": tuple(_step(each) for each in value.get("steps", ()))})


def _step(value: Mapping[str, Any]) -> Step:
    return Step(**{name: value[name] for name in value.keys() & _STEP_NAMES})


def next_cycle(store: Store) -> int:
    """The number of the next cycle, from 1."""
    return int(store.rows("SELECT coalesce(max(cycle), 0) FROM cycles")[0][0]) + 1


def dreams(store: Store, limit: int, *, steps: bool = False) -> list[DreamReport]:
    """The last cycles, newest first; with their steps if asked for."""
    store.settle()
    return _read(store, store.rows("SELECT report FROM cycles ORDER BY cycle DESC LIMIT ?", (limit,)), steps)


def dream(store: Store, cycle: int) -> DreamReport:
    """One cycle with its steps. Raises DreamNotFound."""
    store.settle()
    found = _read(store, store.rows("SELECT report FROM cycles WHERE cycle=?", (cycle,)), steps=True)
    if not found:
        raise DreamNotFound(f"There is no dream {cycle}.")
    return found[0]


def _read(store: Store, rows: Sequence[tuple[Any, ...]], steps: bool) -> list[DreamReport]:
    """Reports as they stand in the registry; one that says it runs while nothing does has failed."""
    found = [report_of(json.loads(row[0])) for row in rows]
    newest = next_cycle(store) - 1
    alive = any(each.status == "running" for each in found) and _is_running(store)
    out = []
    for each in found:
        if each.status == "running" and not (alive and each.cycle == newest):
            each = replace(each, status="failed", error="The process ended before the cycle did.")
        out.append(replace(each, steps=_steps(store, each.cycle)) if steps else each)
    return out


def _steps(store: Store, cycle: int) -> tuple[Step, ...]:
    rows = store.rows("SELECT report FROM steps WHERE cycle=? ORDER BY at", (cycle,))
    return tuple(_step(json.loads(row[0])) for row in rows)


@contextmanager
def only_one(store: Store) -> Iterator[None]:
    """Within the block no other dream of this memory runs. Raises MemoryBusy."""
    lock = store.disk.lock(_folder(store))
    try:
        # Whoever asks whether a dream is running holds the lock for a moment.
        for _ in range(_WAITS):
            if lock.try_acquire():
                break
            store.clock.sleep(_PAUSE_S)
        else:
            raise MemoryBusy("This memory is dreaming already.", hint="Wait for that dream, or stop it.")
        yield
    finally:
        lock.close()


def _is_running(store: Store) -> bool:
    try:
        lock = store.disk.lock(_folder(store))
    except (StorageError, FileNotFoundError):
        return False
    try:
        return not lock.try_acquire()
    finally:
        lock.close()


def _folder(store: Store) -> str:
    folder = f"{store.folder}/parity"
    if not store.read_only:
        store.disk.mkdir(folder)
    return folder
