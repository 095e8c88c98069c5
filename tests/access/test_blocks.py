"""Blocks: they end, they double, they are bounded, and an owner behind a blocked address gets in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.access.blocks import FIRST_S, LONGEST_S, REMEMBERED_S, Block, Blocks, next_block
from carma.access.gate import Gate
from carma.access.sources import networks
from carma.errors import Blocked, InvalidInput, TooManyRequests
from carma.testing import SimulatedClock

SOURCE = "192.0.2.7"


def _length(block: Block | None) -> float:
    assert block is not None
    assert block.until is not None
    return block.until - block.since


def test_a_block_ends_by_itself() -> None:
    """It holds until its end, to the second, for its own scope and subject only."""
    blocks = Blocks()
    block = blocks.block("source", SOURCE, "forged tags", 1_000.0)
    assert _length(block) == FIRST_S
    with pytest.raises(Blocked, match="forged tags") as caught:
        blocks.refuse("source", SOURCE, 1_059.0)
    assert caught.value.retry_after_s == 1.0
    blocks.refuse("source", SOURCE, 1_060.0)
    blocks.refuse("source", "192.0.2.8", 1_059.0)
    blocks.refuse("account", SOURCE, 1_059.0)
    assert blocks.listed(1_059.0) == [block]
    assert blocks.listed(1_060.0) == []


def test_a_clock_that_is_set_back_makes_no_block_longer() -> None:
    """A day back: it holds for its minute from then on, and not for a day."""
    blocks = Blocks()
    blocks.block("source", SOURCE, "forged tags", 100_000.0)
    blocks.refuse("account", SOURCE, 13_600.0)
    with pytest.raises(Blocked):
        blocks.refuse("source", SOURCE, 13_600.0)
    with pytest.raises(Blocked):
        blocks.refuse("source", SOURCE, 13_659.0)
    blocks.refuse("source", SOURCE, 13_660.0)


def test_each_block_in_a_row_is_twice_as_long_up_to_a_day() -> None:
    """60, 120, 240 … 86,400 s; being refused meanwhile makes none longer; a quiet day begins anew."""
    blocks, now, lengths = Blocks(), 0.0, []
    for _ in range(14):
        block = blocks.block("source", SOURCE, "again", now)
        assert blocks.block("source", SOURCE, "again", now + 1) == block
        lengths.append(_length(block))
        now += lengths[-1] + 5
    assert lengths == [min(FIRST_S * 2**step, LONGEST_S) for step in range(14)]
    assert _length(blocks.block("source", SOURCE, "later", now + REMEMBERED_S)) == FIRST_S


@given(st.integers(1, 10_000), st.floats(0, 1e10))
def test_no_history_makes_a_block_longer_than_the_longest(times: int, now: float) -> None:
    """However often somebody was blocked, the next one ends within a day."""
    before = Block("source", SOURCE, "r", now - 100, now - 1, times)
    assert 0 < _length(next_block(before, "source", SOURCE, "r", now)) <= LONGEST_S + 0.01


def test_the_allow_list_is_never_blocked() -> None:
    """Neither by itself nor by a person; another scope is another matter."""
    blocks = Blocks(allow=networks(["192.0.2.0/24", "2001:db8::/32"]))
    for source in (SOURCE, "2001:db8:1:2::/64"):
        assert blocks.block("source", source, "forged", 0.0) is None
        with pytest.raises(InvalidInput):
            blocks.order("source", source, "reason", 0.0, 60)
        blocks.refuse("source", source, 0.0)
    assert blocks.block("account", SOURCE, "forged", 0.0) is not None
    assert blocks.block("source", "198.51.100.9", "forged", 0.0) is not None


def test_a_person_orders_and_lifts_blocks() -> None:
    """With or without an end, with a reason; lifting it ends it at once."""
    blocks = Blocks()
    blocks.order("account", "ada", "asked for it", 0.0, None)
    with pytest.raises(Blocked, match="until a person ends it") as caught:
        blocks.refuse("account", "ada", 1e12)
    assert caught.value.retry_after_s is None
    lifted = blocks.lift("account", "ada")
    assert lifted is not None and lifted.ordered
    blocks.refuse("account", "ada", 0.0)
    assert blocks.lift("account", "ada") is None
    for reason, length in (("", 5.0), ("r", 0.0), ("r", -1.0), ("r", float("inf")), ("r", float("nan"))):
        with pytest.raises(InvalidInput):
            blocks.order("account", "ada", reason, 0.0, length)


def test_the_table_is_bounded_and_keeps_what_a_person_ordered() -> None:
    """Ten thousand sources push out each other, and not the block that somebody meant."""
    blocks = Blocks(most=50)
    blocks.order("key", "fingerprint", "leaked", 0.0, 1e6)
    for number in range(1_000):
        blocks.block("source", f"198.51.{number // 250}.{number % 250}", "forged", 1.0)
        assert len(blocks.listed(2.0)) <= 50
    with pytest.raises(Blocked):
        blocks.refuse("key", "fingerprint", 2.0)


def test_known_blocks_are_taken_over() -> None:
    """What a caller kept holds again, and doubles from there."""
    first = Blocks()
    block = first.block("source", SOURCE, "forged", 0.0)
    assert block is not None
    second = Blocks(known=[block])
    with pytest.raises(Blocked):
        second.refuse("source", SOURCE, 1.0)
    assert _length(second.block("source", SOURCE, "forged", 61.0)) == 2 * FIRST_S


def _flood(gate: Gate, clock: SimulatedClock, source: str, count: int) -> dict[str, int]:
    """What happens to `count` requests without a right tag, ten a second."""
    seen = {"charged": 0, "too many": 0, "blocked": 0, "began": 0}
    for _ in range(count):
        clock.sleep(0.1)
        try:
            seen["charged" if gate.wrong(source, "wrong tags") is None else "began"] += 1
        except TooManyRequests:
            seen["too many"] += 1
        except Blocked:
            seen["blocked"] += 1
    return seen


def test_an_owner_behind_a_blocked_address_is_never_locked_out() -> None:
    """50,000 forgeries from one address: it is slowed, then blocked; the owner there passes every time."""
    clock = SimulatedClock()
    blocks = Blocks()
    gate = Gate(blocks, clock=clock)
    seen = _flood(gate, clock, SOURCE, 500)
    assert seen["charged"] <= 20 + 50
    assert seen["began"] == 1 and seen["blocked"] > 300
    for _ in range(50):
        _flood(gate, clock, SOURCE, 990)
        gate.right("fingerprint", "ada", "one-per-second")
    assert blocks.find("source", SOURCE, clock.now()) is not None


def test_a_newcomer_who_mistypes_a_few_times_is_not_blocked() -> None:
    """Twenty wrong tags at once are charged; the next is told to wait, and after that it goes on."""
    clock = SimulatedClock()
    gate = Gate(Blocks(), clock=clock)
    for _ in range(20):
        assert gate.wrong(SOURCE, "wrong tag") is None
    with pytest.raises(TooManyRequests) as caught:
        gate.wrong(SOURCE, "wrong tag")
    clock.sleep(caught.value.retry_after_s)
    assert gate.wrong(SOURCE, "wrong tag") is None
    assert gate.wrong("198.51.100.9", "wrong tag") is None


def test_a_key_is_held_to_its_profile_and_to_its_blocks() -> None:
    """Its own rate, whoever else asks; and a block of the key or the account stops it."""
    clock = SimulatedClock()
    blocks = Blocks()
    gate = Gate(blocks, clock=clock)
    gate.right("a", "ada", "one-per-second")
    with pytest.raises(TooManyRequests):
        gate.right("a", "ada", "one-per-second")
    gate.right("b", "bob", "one-per-second")
    for scope, subject in (("key", "b"), ("account", "bob")):
        blocks.order(scope, subject, "reason", clock.now(), 10.0)  # type: ignore[arg-type]
        with pytest.raises(Blocked):
            gate.right("b", "bob", "one-per-second")
        clock.sleep(10.0)
        gate.right("b", "bob", "one-per-second")


def test_a_flood_of_sources_does_not_reset_the_limits_of_keys() -> None:
    """However many sources come by, who used up a second of their key waits."""
    clock = SimulatedClock()
    gate = Gate(Blocks(), clock=clock)
    gate.right("a", "ada", "one-per-second")
    for number in range(110_000):
        gate.wrong(f"source {number}", "wrong tag")
    with pytest.raises(TooManyRequests):
        gate.right("a", "ada", "one-per-second")
