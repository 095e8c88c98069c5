"""What `make serve` does to the memory that it has filled."""

from __future__ import annotations

import time
from pathlib import Path

from carma.cli.first_harm import destroy, heal_after
from tests.serve.running import Running


def test_what_is_destroyed_for_show_is_blank_until_a_dream_gives_it_back_bit_for_bit(
    run: Running, tmp_path: Path
) -> None:
    """Nothing of the lost texts is shown before; no breaker trips; afterwards every text is as it was."""
    rooms = [f"Room {number} is white, and so is the door of room {number + 1}." for number in range(60)]
    (tmp_path / "rooms.md").write_text("# Rooms\n\n" + "\n\n".join(rooms))
    account, _ = run.join("shown")
    seat = run.server.services.block.seat(account.id)
    with seat.use() as memory:
        memory.ingest(tmp_path)
        texts = {each.id: each.text for each in memory.list(limit=100)}
    lost = destroy(run.server, account, 3)
    assert len(lost) == 3 and all(each.state == "blank" and not each.text for each in lost)
    with seat.use() as memory:
        assert {each.id for each in memory.blanks()} == {each.id for each in lost}
        assert memory.stats()["breaker"] is False and memory.dreams(1) == []
    heal_after(run.server, account, 0.0)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with seat.use() as memory:
            dreams = memory.dreams(1)
        if dreams and dreams[0].status == "completed":
            break
        time.sleep(0.05)
    assert (dreams[0].exact, dreams[0].still_blank, dreams[0].rungs["source"]) == (3, 0, 3)
    with seat.use() as memory:
        assert {each.id: each.text for each in memory.list(limit=100)} == texts
    heal_after(run.server, account, 0.0)
    with seat.use() as memory:
        assert len(memory.dreams()) == 1, "who has dreamt already needs no second dream"
