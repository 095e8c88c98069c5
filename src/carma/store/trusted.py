"""A registry that can be trusted: one that is there and fits to the log, else a new one.

A registry that opens and whose past is not the log's is not used; but what it names, and what lies nowhere
any more, is known by it. Where the disk takes no new file the registry lives in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from carma.errors import CarmaError, StorageError
from carma.ports.disk import Disk
from carma.store.catchup import catch_up, fill, names_in
from carma.store.entry import Entry
from carma.store.follow import known_last_seq
from carma.store.identity import Identity
from carma.store.parity import Spreads
from carma.store.record import RecordDamaged
from carma.store.registry import Registry, RegistryDamaged, next_name, registry_names
from carma.store.segments import Segments

__all__ = ["brought_up", "built", "seen_whole", "usable"]


def usable(
    disk: Disk, segments: Segments, identity: Identity, but: str | None = None
) -> tuple[Registry | None, list[Entry]]:
    """The newest registry that opens and fits to the log, None if there is none; and what those name that do
    not fit any more: writes of this memory whose files are gone.
    """
    named: list[Entry] = []
    folder = f"{segments.folder}/index"
    for name in registry_names(disk, folder):
        path = disk.real_path(f"{folder}/{name}")
        if path is None or path == but:
            continue
        try:
            registry = Registry.open(path, key=segments.sealing.registry_key)
        except RegistryDamaged:
            continue
        try:
            if registry.fits(Segments(disk, segments.folder)):
                return registry, []
            if registry.state("memory") == identity.id:
                named += names_in(registry)
        except (RegistryDamaged, RecordDamaged, CarmaError):
            pass
        registry.close()
    return None, named


def brought_up(
    disk: Disk,
    spreads: Spreads,
    registry: Registry | None,
    identity: Identity,
    named: Sequence[Entry],
) -> Registry:
    """A registry that has seen the whole log: the given one, or a new one; in memory if the disk takes
    none.
    """
    if registry is not None:
        try:
            catch_up(registry, spreads)
            # Read here what the opening is about to read, while another registry can still be built.
            known_last_seq(registry)
            return registry
        except (RegistryDamaged, StorageError):
            registry.close()
    folder = f"{spreads.segments.folder}/index"
    try:
        names = registry_names(disk, folder)
        disk.mkdir(folder)
        path = disk.real_path(f"{folder}/{next_name(names)}")
        fresh = built(path, spreads, identity, named)
    except (RegistryDamaged, StorageError):
        return built(None, spreads, identity, named)
    for name in names:
        for suffix in ("", "-wal", "-shm"):
            disk.unlink(f"{folder}/{name}{suffix}")
    return fresh


def built(path: str | None, spreads: Spreads, identity: Identity, named: Sequence[Entry] = ()) -> Registry:
    """A new registry, filled from the segments. named: writes that are known from elsewhere."""
    registry = Registry.create(path, key=spreads.segments.sealing.registry_key)
    try:
        fill(registry, spreads, identity.id, named)
    except BaseException:
        registry.close()
        raise
    return registry


def seen_whole(disk: Disk, segments: Segments) -> Registry | None:
    """The newest registry as it lies there, if it has seen all of the log; nothing is written."""
    names = registry_names(disk, f"{segments.folder}/index")
    path = disk.real_path(f"{segments.folder}/index/{names[0]}") if names else None
    if path is None or disk.size(f"{path}-wal"):
        return None
    try:
        registry = Registry.open(path, frozen=True, key=segments.sealing.registry_key)
        if not registry.behind(segments):
            return registry
        registry.close()
    except RegistryDamaged:
        pass
    return None
