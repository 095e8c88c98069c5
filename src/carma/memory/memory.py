"""`Memory`: everything one owner remembers, and one call per verb.

Every surface (command line, server, adapters) ends in these calls; none of them holds logic of its own. The
verbs only check arguments, ask the parts, and put their answers together:

    writing ─▶ store ─▶ columns, vectors ─▶ search
    reading ◀─ store

They stand in three files by what they do; here is the life of a memory: open, flush, rest, close.
"""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from carma.config import Settings
from carma.embed import Embedder
from carma.errors import InvalidInput
from carma.healing.cycle import Progress
from carma.memory import doctor, encrypting, stats
from carma.memory.act_verbs import ActVerbs
from carma.memory.choice_verbs import ChoiceVerbs
from carma.memory.dream_verbs import DreamVerbs
from carma.memory.move_verbs import MoveVerbs
from carma.memory.parts import Parts, open_memory_parts
from carma.memory.read_verbs import ReadVerbs
from carma.memory.sleep import Sleep
from carma.memory.unlocking import Unlocking
from carma.ports.cipher import Cipher
from carma.ports.clock import Clock, Entropy
from carma.ports.disk import Disk

if TYPE_CHECKING:
    from carma.access.vault.vault import Vault

__all__ = ["Memory"]


class Memory(ChoiceVerbs, ReadVerbs, MoveVerbs, DreamVerbs, ActVerbs):
    """A memory, open. Made by `Memory.open`; safe to share between threads; close it, or use `with`."""

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        embedder: Embedder | str | None = None,
        settings: Settings | None = None,
        create: bool = True,
        read_only: bool = False,
        disk: Disk | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        vault: Vault | None = None,
        owner: str | None = None,
        cipher: Cipher | None = None,
    ) -> Self:
        """Open the memory in the folder `path`, or make one there.

        embedder: an `Embedder`, the name of one (`docs/guides/embedders.md`), or None for the one that filled
        the
            memory, at first the packaged MiniLM.
        read_only: touch nothing on disk; also what happens by itself where the folder cannot be written.
        disk, clock, entropy: the ports; the machine's own unless given (tests, simulations).
        vault: keeps the data key of an encrypted memory (docs/guides/encryption.md); a new one becomes so.
        owner: whose key it is, "local" if None.
        cipher: instead of a vault and an owner, what seals the memory.

        Raises MemoryNotFound (`create=False`), NotAMemory, FormatTooNew, EmbedderMismatch, MemoryBusy,
        NetworkFileSystem, StorageError, VaultNeeded, VaultWrong, NotEncrypted, Shredded,
        EncryptionUnfinished.
        """
        memory = cls(
            open_memory_parts(
                str(path),
                embedder,
                settings or Settings(),
                disk,
                clock,
                entropy,
                create=create,
                read_only=read_only,
                unlocking=Unlocking(vault, owner, cipher),
            )
        )
        memory._sleep.start()
        return memory

    @classmethod
    def encrypt(
        cls,
        path: str | Path,
        *,
        vault: Vault | None = None,
        owner: str | None = None,
        cipher: Cipher | None = None,
        leave_lost: bool = False,
        progress: Callable[[int, int], None] | None = None,
        settings: Settings | None = None,
        disk: Disk | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> dict[str, Any]:
        """Turn the plain memory in the folder `path` into an encrypted one; the counts of what was done.

        Everything is sealed anew, read back and proven; then the plain files are overwritten and removed.
        It can be interrupted at any moment and called again; an encrypted memory is left as it is.

        vault, owner, cipher: as for `open`. leave_lost: fragments that are lost may stay lost for ever: in
            the encrypted memory nothing can prove their texts. progress: told of records done, of how many.

        Raises MemoryNotFound, MemoryBusy (somebody has it open), HealFirst (fragments are lost), VaultWrong,
        Shredded, InvalidInput, StorageError.
        """
        if vault is None and cipher is None:
            raise InvalidInput("Encrypting needs a vault, or a cipher.")
        return encrypting.encrypt(
            str(path), vault, owner, cipher, leave_lost=leave_lost, progress=progress,
            settings=settings or Settings(), disk=disk, clock=clock, entropy=entropy,
        )  # fmt: skip

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._sleep = Sleep(parts, self.dreamer)
        self._closing = threading.RLock()

    @property
    def id(self) -> str:
        """The memory's own name, 32 hexadecimal digits; it stays when the folder moves."""
        return self._store.identity.id

    @property
    def path(self) -> str:
        """The folder."""
        return self._store.folder

    @property
    def read_only(self) -> bool:
        """Whether this memory can only be read."""
        return self._store.read_only

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything written so far is findable by words and by meaning; False if time ran out.

        Raises EmbedderError if the embedder cannot embed what is pending.
        """
        self._store.check_open()
        self._store.settle()
        return self._keeper.flush(timeout_s)

    def rest(self, *, progress: Progress | None = None) -> None:
        """Do now what is done when nothing is written for a while: sketch, spread, index, save, compact,
        sweep.

        progress: told (sketches made, of how many, what) before each; `Settings.condense_most_s` bounds them.
        """
        self._store.check_open()
        self._upkeep.rest(*filter(None, [progress]))

    def compact(self, *, linger_s: float | None = None) -> dict[str, int]:
        """Write what is alive in mostly dead segments anew; the counts of what was done.

        linger_s: how long replaced files stay for other readers (`Settings.linger_s` if None).
        """
        self._store.check_open()
        with self._actor.long():
            return self._upkeep.compact(linger_s)

    def close(self, *, progress: Progress | None = None) -> None:
        """Finish what is pending, save the indexes, close every file; idempotent. What was acknowledged is
        safe without.

        progress: told (sketches made, of how many, what) before each; `Settings.condense_most_s` bounds them.
        """
        with self._closing:  # Whoever closes it too returns when it is closed.
            if self._store.is_open:
                self._sleep.close()
                self.dreamer.stop()
                self._upkeep.close()
                self._keeper.close()
                self._finder.close()
                if not self._store.read_only:
                    self._upkeep.lie_down(*filter(None, [progress]))
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stats(self) -> dict[str, Any]:
        """Counts and sizes: fragments by state, versions, segments, bytes, index freshness."""
        self._ready()
        return stats.stats(self._parts)

    def doctor(self) -> builtins.list[dict[str, Any]]:
        """What is wrong with the memory and the machine; reads only. Each finding: level, subject, what,
        advice.
        """
        self._ready()
        return doctor.examine(self._parts)
