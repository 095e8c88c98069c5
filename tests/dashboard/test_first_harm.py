"""What `make serve` does to the memory that it has filled."""

from __future__ import annotations

import time

from carma.cli.first_harm import destroy
from tests.serve.running import Running


def test_what_is_destroyed_for_show_comes_back_bit_for_bit(run: Running) -> None:
    """Fragments are gone from the disk, a dream finds them, and every text is as it was."""
    account, _ = run.join("shown")
    seat = run.server.services.block.seat(account.id)
    with seat.use() as memory:
        texts = {each.id: each.text for each in memory.add_many([f"Room {n} is white." for n in range(30)])}
    destroy(run.server, account, 3)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with seat.use() as memory:
            dreams = memory.dreams(1)
        if dreams and dreams[0].status == "completed":
            break
        time.sleep(0.05)
    assert (dreams[0].damaged, dreams[0].exact) == (3, 3)
    with seat.use() as memory:
        assert {each.id: each.text for each in memory.list(limit=100)} == texts
        assert memory.scan(deep=True).healthy
