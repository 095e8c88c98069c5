"""What `make serve` does to a memory that it has just filled: it destroys fragments on the disk; they heal.

What was just written stands in the log and its mirror. Both copies of a few records become zeros, which is
more than the redundancy of the log bears, so a newcomer finds blanks. A dream gives them back exactly, from
the files that they were taken from. It is left to the newcomer; if nobody starts it, it starts by itself.

Few at a time, because many would look like a failing disk and trip the breaker. Rejected: damage to a memory
at rest, which every read decodes from parity: nothing of it is ever seen.
"""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carma.models import Fragment
    from carma.serve.accounts import Account
    from carma.serve.server import Server

__all__ = ["WAIT_S", "destroy", "heal_after"]

WAIT_S = 120.0
"""So long a newcomer may look at what is lost."""
_FLUSH_S = 10.0
"""Well below the idle time after which a memory rests, and its log is no log any more."""


def destroy(server: Server, account: Account, count: int) -> list[Fragment]:
    """Destroy so many fragments of an account's memory that were just written; the blanks that are found.

    Raises what `Seat.use` raises.
    """
    from carma.prove.corpus import everything
    from carma.prove.damage import records_in, segments_of, zero
    from carma.store.segments import COPIES, is_log

    seat = server.services.block.seat(account.id)
    with seat.use() as memory:
        memory.flush(_FLUSH_S)
        live = {each.seq for each in everything(memory) if each.source is not None and each.text.strip()}
        segments = segments_of(str(seat.folder))
        places = {
            item.header.seq: (number, item.header.offset, item.header.end - item.header.offset)
            for number in segments.numbers()
            if is_log(number)
            for item in records_in(segments, number)
            if item.header.seq in live
        }
        chosen = Random(0).sample(sorted(places), min(count, len(places)))
        for number, offset, length in (places[seq] for seq in chosen):
            for copy in COPIES:
                zero(segments.path(copy, number), offset, length)
        memory.scan(deep=True)
        return memory.blanks()


def heal_after(server: Server, account: Account, wait_s: float) -> None:
    """Dream on the account's behalf after a while, unless there was a dream meanwhile.

    Raises what `Seat.use` and `Dreams.start` raise.
    """
    from carma.models import Act
    from carma.serve.requests import DreamOrder

    threading.Event().wait(wait_s)
    seat = server.services.block.seat(account.id)
    with seat.use() as memory:
        dreamt = bool(memory.dreams(1))
    if not dreamt:
        server.services.dreams.start(seat, DreamOrder(), Act(account=account.id, operation="dream"))
