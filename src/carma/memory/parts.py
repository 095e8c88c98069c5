"""Where an open memory is put together: the one place that makes the real disk, clock, randomness and
embedder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from carma.config import Settings
from carma.embed import Embedder, Fingerprint, MiniLM
from carma.embed.by_name import embedder_by_name, embedder_for
from carma.errors import EmbedderMismatch
from carma.healing.condense import Condenser
from carma.healing.exact import Exact
from carma.healing.felt import Felt
from carma.memory.acting import Actor
from carma.memory.browse import Browser
from carma.memory.find import Finder
from carma.memory.gathering import BoundedReader
from carma.memory.keeping import Keeper
from carma.memory.kept import tag_of
from carma.memory.meaning import Meaning
from carma.memory.reading import Reader
from carma.memory.unlocking import Unlocking
from carma.memory.upkeep import Upkeep
from carma.memory.writing import Writer
from carma.ports.clock import Clock, Entropy, SystemClock, SystemEntropy
from carma.ports.disk import Disk, LocalDisk
from carma.ports.netfs import refuse_network_file_system
from carma.store.store import Store, open_store

__all__ = ["Parts", "open_memory_parts"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a `Memory` is made of."""

    store: Store
    exact: Exact
    reader: Reader
    writer: Writer
    browser: Browser
    finder: Finder
    keeper: Keeper
    upkeep: Upkeep
    actor: Actor
    felt: Felt = field(default_factory=Felt)


def open_memory_parts(
    path: str,
    embedder: Embedder | str | None,
    settings: Settings,
    disk: Disk | None,
    clock: Clock | None,
    entropy: Entropy | None,
    *,
    create: bool,
    read_only: bool,
    unlocking: Unlocking | None = None,
) -> Parts:
    """Open everything that a memory needs, or nothing: whatever was opened is closed again when a later part
    fails.

    unlocking: gives the cipher of an encrypted memory.
    """
    disk, clock, entropy = disk or LocalDisk(), clock or SystemClock(), entropy or SystemEntropy()
    real = disk.real_path(path) is not None
    folder = os.path.abspath(os.path.expanduser(path)) if real else path
    if real:
        refuse_network_file_system(folder)
    wanted = embedder_by_name(embedder) if isinstance(embedder, str) else embedder
    unlocking = unlocking or Unlocking()
    cipher = unlocking.cipher(disk, folder, create=create and not read_only)
    if not read_only:
        unlocking.finish(disk, folder, cipher, settings.turn_wait_ms)
    store = open_store(
        disk, folder, settings, clock, entropy, create=create, read_only=read_only, cipher=cipher
    )
    store.refuse = unlocking.check
    try:
        chosen = _embedder(store, wanted)
        fingerprint = chosen.fingerprint if chosen is not None else _recorded(store)
        exact = Exact(store)
        reader = (Reader if settings.answer_bytes is None else BoundedReader)(store, exact)
        writer = Writer(settings, clock, entropy, reader, store.sealing.text_digest)
        if fingerprint is not None:
            writer.dimension, writer.tag = fingerprint.dimension, tag_of(fingerprint)
        meaning = Meaning(store, fingerprint)
        meaning.stand_in = reader.stand_in
        store.listen(meaning)
        store.refresh()
        keeper = Keeper(store, meaning, chosen, threaded=real)
        keeper.named = embedder if isinstance(embedder, str) else None
        finder = Finder(store, reader, keeper)
        condense = Condenser(store, exact.copies)
        upkeep = Upkeep(store, keeper, condense, threaded=real, forget=reader.forget)
        actor = Actor(store, writer.ids)
        return Parts(store, exact, reader, writer, Browser(store, reader), finder, keeper, upkeep, actor)
    except BaseException:
        store.close()
        raise


def _recorded(store: Store) -> Fingerprint | None:
    return Fingerprint.from_dict(store.identity.embedder) if store.identity.embedder else None


def _embedder(store: Store, wanted: Embedder | None) -> Embedder | None:
    """The embedder to use: the one asked for if it is the one that filled the memory, else that one if it can
    be had.

    A memory whose own embedder cannot be had opens all the same: words find its texts, and so do given
    vectors. Raises EmbedderMismatch.
    """
    recorded = _recorded(store)
    if wanted is not None:
        if recorded is None:
            _record(store, wanted.fingerprint)
        elif wanted.fingerprint != recorded:
            raise EmbedderMismatch(
                f"This memory was filled by {_shown(recorded)}, not by {_shown(wanted.fingerprint)}."
            )
        return wanted
    if recorded is None:
        default = MiniLM(store.settings.embed_threads)
        _record(store, default.fingerprint)
        return default
    return embedder_for(recorded, store.settings.embed_threads)


def _shown(fingerprint: Fingerprint) -> str:
    return f"{fingerprint.name} ({fingerprint.dimension} numbers, {fingerprint.digest[:12]})"


def _record(store: Store, fingerprint: Fingerprint) -> None:
    """Note in a new memory which embedder fills it."""
    if not store.read_only:
        store.set_identity(store.identity.with_embedder(fingerprint.to_dict()))
