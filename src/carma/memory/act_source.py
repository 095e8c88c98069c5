"""A memory as a source of the audit log: its acts and dreams, as leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from carma.access.audit.auditkey import AuditKey
from carma.access.audit.leaves import leaf_for_act
from carma.access.audit.sequencer import Waiting
from carma.memory.memory import Memory

__all__ = ["ActSource"]

_MARK_EVERY = 256
"""So many writes may pass before the memory is told again how far its acts were copied."""


class ActSource:
    """What a sequencer copies from a memory.

    owner: whose memory it is. key_of: gives an owner's audit key; None if it was shredded.
    """

    def __init__(self, memory: Memory, owner: str, key_of: Callable[[str], AuditKey | None]) -> None:
        self._memory = memory
        self._owner = owner
        self._key_of = key_of
        self._marked = 0

    @property
    def name(self) -> str:
        """The memory's own name, wherever it lies."""
        return f"memory {self._memory.id}"

    def waiting(self, after: int) -> Iterator[Waiting]:
        """The acts and dreams behind the write `after`."""
        key = self._key_of(self._owner)
        for act in self._memory.acts(after=after):
            yield Waiting(act.seq, leaf_for_act(act, key, self._owner))

    def copied(self, upto: int) -> None:
        """Tell the memory now and then, so that a rest leaves out what was copied."""
        if not self._memory.read_only and upto - self._marked >= _MARK_EVERY:
            self._memory.acts_copied(upto)
            self._marked = upto
