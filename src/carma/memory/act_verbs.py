"""The verbs about acting: change a memory on somebody's behalf, and see what was changed for whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from carma.memory.base import Base
from carma.models import Act, Acted, Answered

__all__ = ["ActVerbs"]


class ActVerbs(Base):
    """Verbs for whoever changes a memory for others: a server, and the audit log behind it."""

    def acting(self, act: Act) -> AbstractContextManager[None]:
        """Within the block, what is changed is noted as changed by `act`, in the same append as the change.

        It holds for the code in the block and for tasks and threads that copy its context; for this memory
        only. With an Idempotency-Key a block makes one change: a second one, or the same request again,
        raises RequestRepeated and changes nothing. Raises InvalidInput.
        """
        return self._actor.acting(act)

    def answered(self, idempotency_key: str) -> Answered | None:
        """What a request with this Idempotency-Key came to; None if it never came, or longer ago than
        `Settings.idempotency_hours`.
        """
        self._ready()
        return self._actor.answered(idempotency_key)

    def acts(self, *, after: int = 0) -> Iterator[Acted]:
        """Every act and dream noted after the write number `after`, in the order of writing.

        For the sequencer of the audit log. Acts that it has copied may be left out by a rest, except the last
        one.
        """
        self._ready()
        return self._actor.acts(after)

    def acts_copied(self, upto: int) -> None:
        """Note that the audit log has every act up to the write number `upto`. Raises ReadOnlyMemory,
        MemoryBusy, StorageError.
        """
        self._ready()
        self._actor.copied(upto)
