"""Making the registry anew from segments and manifests, while the old one goes on answering.

The new one is filled under the next name and only then takes the place of the old one; what was written
meanwhile it reads from the log. Raising readers' errors for the time of filling was the alternative.
"""

from __future__ import annotations

from carma.errors import StorageError
from carma.healing.look_index import look_at_registry
from carma.store.catchup import fill
from carma.store.registry import Registry, next_name, registry_names
from carma.store.store import Store

__all__ = ["rebuild_registry", "registry_is_sound"]


def registry_is_sound(store: Store) -> bool:
    """Whether a deep look at the registry finds nothing."""
    return not look_at_registry(store, store.spreads.manifests(), deep=True).findings


def rebuild_registry(store: Store) -> int:
    """Build the registry anew and use it; how many rows it has. Raises ReadOnlyMemory, MemoryBusy,
    StorageError.

    Words, exact words, tree, metadata and the damage ledger are parts of it.
    """
    folder = f"{store.folder}/index"
    store.disk.mkdir(folder)
    old = registry_names(store.disk, folder)
    path = store.disk.real_path(f"{folder}/{next_name(old)}")
    if path is not None:
        # Nobody may spread or sweep while it is filled: what was moved then would be in neither place.
        with store.alone():
            registry = Registry.create(path, key=store.sealing.registry_key)
            try:
                fill(registry, store.spreads, store.identity.id)
                usable = registry.state("complete") == 1
            finally:
                registry.close()
        if not usable:
            _remove(store, [path.rpartition("/")[2]])
            raise StorageError("A segment cannot be read now, so no new registry was made.")
    store.mend_registry()
    _remove(store, old)
    store.settle()
    return int(store.registry.rows("SELECT count(*) FROM fragments")[0][0])


def _remove(store: Store, names: list[str]) -> None:
    for name in names:
        for suffix in ("", "-wal", "-shm"):
            store.disk.unlink(f"{store.folder}/index/{name}{suffix}")
