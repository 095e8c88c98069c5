"""The audit trail of a data directory: log, queue, keys and sequencer, put together.

    <audit>/log/        what others may read: checkpoint, tiles, vkeys (the public keys), history
    <audit>/private/    signing keys, positions, the last bundle, audit keys of owners without a vault
    <audit>/events/     the queue

Whoever changes something stores its leaf first (in the memory's own record, in the key store's row, or with
`note`), and `sequence` copies what waits. If a leaf cannot be stored, the change must not happen:
AuditUnavailable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from carma.access.audit.auditkey import AuditKey, AuditKeys
from carma.access.audit.counts import Counts
from carma.access.audit.events import Events, new_event
from carma.access.audit.leaf import Leaf
from carma.access.audit.log import Log
from carma.access.audit.note import Verifier, vkey_lines
from carma.access.audit.sequencer import Sequencer, Source
from carma.access.audit.signing import Wraps, load_signer
from carma.access.audit.tiles import read_file
from carma.access.audit.turn import folder_turn
from carma.access.audit.twofold import Twofold
from carma.access.journal import Journal
from carma.errors import AuditDamaged, AuditUnavailable, Shredded, StorageError
from carma.ports.cipher import Cipher
from carma.ports.clock import Clock, Entropy, SystemClock, SystemEntropy
from carma.ports.disk import Disk, LocalDisk, write_whole

__all__ = ["AuditTrail", "log_folder", "published_keys"]

_VKEYS = "vkeys"
_VKEYS_BYTES = 65_536

CipherOf = Callable[[str], Cipher | None]
"""The cipher of an owner; None without a vault. Raises Shredded."""


class AuditTrail:
    """The audit log of one data directory, open for writing. Threads and processes may share it.

    folder: `<data>/audit`. kek: wraps the signing keys when they are made. cipher_of: the vault, where owners
    have data keys. name: of the log, its origin, when it is made.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        disk: Disk | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        kek: Wraps | None = None,
        cipher_of: CipherOf | None = None,
        name: str | None = None,
    ) -> None:
        self._disk = disk or LocalDisk()
        self._folder = str(folder)
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._cipher_of = cipher_of
        private = f"{self._folder}/private"
        try:
            with folder_turn(self._disk, private, self._clock, "the keys of the audit log"):
                kept = Twofold(self._disk, private)
                signer = load_signer(kept, self._entropy, prefix="carma/log", name=name, kek=kek)
                self.keys = AuditKeys(self._disk, f"{private}/owners", self._entropy)
                self.operator = self.keys.operator()
            self.log = Log(self._disk, log_folder(self._folder), private, signer, self._clock)
            self._publish(signer.verifiers())
        except StorageError as error:
            raise AuditUnavailable(f"The audit log cannot be opened: {error.message}") from error
        self.events = Events(Journal(self._disk, f"{self._folder}/events", clock=self._clock))
        self.counts = Counts(self.key_of, self._clock, self._entropy)
        self._sequencing = threading.RLock()
        self._sequencer = Sequencer(self.log, self._disk, private, [self.events])

    def close(self) -> None:
        """Store what was counted and give everything back; what waits is copied next time."""
        with suppress(AuditUnavailable):
            self._note_counts(all=True)
        self.events.close()
        self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def key_of(self, owner: str) -> AuditKey | None:
        """The audit key of an owner, from the vault where there is one; None if it was shredded."""
        try:
            cipher = self._cipher_of(owner) if self._cipher_of is not None else None
            return AuditKey.of(cipher) if cipher is not None else self.keys.key(owner)
        except Shredded:
            return None

    def new_event(self) -> str:
        """A new event, for a leaf that is to be noted."""
        return new_event(self._clock, self._entropy)

    def now_ms(self) -> int:
        """Milliseconds since the epoch, for a leaf that is to be noted."""
        return int(self._clock.now() * 1000)

    def note(self, *leaves: Leaf) -> None:
        """Store the leaves of events that have no record of their own. Raises AuditUnavailable."""
        self.events.add(leaves)

    def follow(self, source: Source) -> None:
        """Let `sequence` copy from one source more; of the same name, the newer one counts."""
        with self._sequencing:
            others = [each for each in self._sequencer.sources if each.name != source.name]
            self._sequencer.sources = [*others, source]

    def forget(self, name: str) -> None:
        """Copy nothing from a source any more, for example because its memory was closed."""
        with self._sequencing:
            self._sequencer.sources = [each for each in self._sequencer.sources if each.name != name]

    def sequence(self, most: int | None = None) -> int:
        """Store what was counted, and copy everything that waits to the log; how many leaves.

        Raises AuditUnavailable, AuditDamaged, and what a source raises.
        """
        with self._sequencing:
            self._note_counts()
            return self._sequencer.run(most)

    def _note_counts(self, *, all: bool = False) -> None:
        leaves = self.counts.leaves(all=all)
        try:
            self.note(*leaves)
        except AuditUnavailable:
            self.counts.give_back(leaves)
            raise

    def _publish(self, verifiers: Sequence[Verifier]) -> None:
        """Write the public keys beside the log."""
        folder = log_folder(self._folder)
        data = "".join(f"{each.vkey}\n" for each in verifiers).encode()
        if read_file(self._disk, f"{folder}/{_VKEYS}", _VKEYS_BYTES) != data:
            write_whole(self._disk, f"{folder}/{_VKEYS}.new", data)
            self._disk.rename(f"{folder}/{_VKEYS}.new", f"{folder}/{_VKEYS}")
            self._disk.sync_dir(folder)


def log_folder(audit: str) -> str:
    """The folder of the log itself, which others may read."""
    return f"{audit}/log"


def published_keys(disk: Disk, folder: str) -> list[Verifier]:
    """The public keys that lie beside a log. Whoever wrote the log wrote them: they prove nothing alone.

    Raises AuditDamaged.
    """
    data = read_file(disk, f"{folder}/{_VKEYS}", _VKEYS_BYTES)
    try:
        found = vkey_lines(data) if data is not None else []
    except ValueError as error:
        raise AuditDamaged(f"The public keys in {folder} cannot be read ({error}).") from error
    if not found:
        raise AuditDamaged(f"There are no public keys in {folder}.")
    return found
