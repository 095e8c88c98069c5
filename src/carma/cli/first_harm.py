"""What `make serve` does to a memory that it has just filled: it destroys fragments on the disk; they heal.

The same damage as `carma prove` does by default: a record's bytes become zeros. Few at a time, because many
would look like a failing disk and trip the breaker.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from carma.errors import MemoryBusy

if TYPE_CHECKING:
    from carma.serve.accounts import Account
    from carma.serve.server import Server

__all__ = ["destroy"]

_CLOSE_S = 60.0


def destroy(server: Server, account: Account, count: int) -> None:
    """Destroy so many fragments of an account's memory, find them, and dream of them on the account's behalf.

    Raises MemoryBusy, and what `Seat.use` raises.
    """
    from carma.models import Act
    from carma.prove.corpus import everything
    from carma.prove.damage import Place, damage, records_in, segments_of
    from carma.serve.requests import DreamOrder

    seat = server.services.block.seat(account.id)
    with seat.use() as memory:
        memory.flush()
        live = {fragment.seq for fragment in everything(memory)}
    if not seat.close(_CLOSE_S):
        raise MemoryBusy("The memory is in use.", hint="Nothing was destroyed.")
    segments = segments_of(str(seat.folder))
    places = {
        item.header.seq: Place(
            item.header.seq, number, item.header.offset, item.header.end - item.header.offset
        )
        for number in segments.numbers()
        for item in records_in(segments, number)
        if item.header.seq in live
    }
    rng = Random(0)
    chosen = rng.sample(sorted(places), min(count, len(places)))
    damage(str(seat.folder), [places[seq] for seq in chosen], "delete", rng)
    with seat.use() as memory:
        memory.scan(deep=True)
    server.services.dreams.start(seat, DreamOrder(), Act(account=account.id, operation="dream"))
