"""Who is kept out for a while: by source, key or account, with a reason and an end, twice as long each time.

A block is a value; the table of blocks is bounded and forgets the oldest first. A source on the allow-list is
never blocked. How often somebody was blocked is remembered for a day after the block has ended. Rejected:
blocks without an end (they outlive the reason and the person who knew it); a block by a person may have none
only by saying so.

The table lives in one process and nothing of it is stored; `known` takes over what a caller kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from carma.access.sources import Networks, among
from carma.errors import Blocked, InvalidInput

__all__ = ["Block", "Blocks", "Scope", "next_block"]

Scope = Literal["source", "key", "account"]

FIRST_S = 60.0
"""The first block of somebody."""
LONGEST_S = 86_400.0
"""The longest block that nobody ordered."""
REMEMBERED_S = 86_400.0
"""How long after its end a block makes the next one longer."""
_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class Block:
    """Somebody is kept out.

    subject: a source (`sources.source_of`), a key's fingerprint or an account. since, until: seconds since
    the epoch, UTC; until is None if only a person ends it. times: the how-manieth block in a row it is.
    ordered: by a person.
    """

    scope: Scope
    subject: str
    reason: str
    since: float
    until: float | None
    times: int = 1
    ordered: bool = False

    def holds(self, now: float) -> bool:
        """Whether it is in force at `now`."""
        return self.until is None or now < self.until


def next_block(
    before: Block | None, scope: Scope, subject: str, reason: str, now: float, *, first_s: float = FIRST_S
) -> Block:
    """The block that follows: twice as long as the last one if that ended not long ago, else the first."""
    recent = before is not None and (before.until is None or now - before.until < REMEMBERED_S)
    times = before.times + 1 if before is not None and recent else 1
    length = min(first_s * 2 ** min(times - 1, 30), LONGEST_S)
    return Block(scope, subject, reason[:_REASON_CHARS], now, now + length, times)


class Blocks:
    """The blocks in force, and those that ended lately. Safe to share between threads.

    allow: sources that are never blocked. known: blocks to begin with. most: the bound of the table, where
    blocks that a person ordered are forgotten last.
    """

    def __init__(
        self,
        *,
        allow: Networks = (),
        known: Iterable[Block] = (),
        first_s: float = FIRST_S,
        most: int = 10_000,
    ) -> None:
        self._allow = allow
        self._first_s = first_s
        self._most = most
        self._turn = threading.Lock()
        self._blocks: OrderedDict[tuple[Scope, str], Block] = OrderedDict()
        for block in known:
            self._keep(block)

    def find(self, scope: Scope, subject: str, now: float) -> Block | None:
        """The block in force against somebody, if there is one."""
        with self._turn:
            block = self._blocks.get((scope, subject))
            if block is not None and block.until is not None and now < block.since:
                # The clock was set back: it lasts as long as it was meant to, from now on.
                block = replace(block, since=now, until=now + block.until - block.since)
                self._blocks[scope, subject] = block
        return block if block is not None and block.holds(now) else None

    def refuse(self, scope: Scope, subject: str, now: float) -> None:
        """Raise Blocked if there is a block in force."""
        block = self.find(scope, subject, now)
        if block is not None:
            left = None if block.until is None else block.until - now
            ends = "until a person ends it" if left is None else f"for {left:.0f} s more"
            raise Blocked(f"This {scope} is blocked {ends}: {block.reason}.", retry_after_s=left)

    def block(self, scope: Scope, subject: str, reason: str, now: float) -> Block | None:
        """Block somebody, twice as long as last time; None if the allow-list protects them.

        A block in force stays as it is: being refused makes none longer.
        """
        if self._is_allowed(scope, subject):
            return None
        with self._turn:
            before = self._blocks.get((scope, subject))
            if before is not None and before.holds(now):
                return before
            block = next_block(before, scope, subject, reason, now, first_s=self._first_s)
            self._keep(block)
        return block

    def order(self, scope: Scope, subject: str, reason: str, now: float, length_s: float | None) -> Block:
        """A block by a person, in place of any other. length_s: None for one without an end.

        Raises InvalidInput: no reason, a length below 0, or a source on the allow-list.
        """
        if not reason.strip():
            raise InvalidInput("A block needs a reason.")
        if length_s is not None and not 0 < length_s < float("inf"):
            raise InvalidInput("A block lasts longer than 0 s, or has no end.")
        if self._is_allowed(scope, subject):
            raise InvalidInput(f"{subject} is on the allow-list.")
        until = None if length_s is None else now + length_s
        with self._turn:
            block = Block(scope, subject, reason.strip()[:_REASON_CHARS], now, until, ordered=True)
            self._keep(block)
        return block

    def lift(self, scope: Scope, subject: str) -> Block | None:
        """End a block and forget it; what it was."""
        with self._turn:
            return self._blocks.pop((scope, subject), None)

    def listed(self, now: float) -> list[Block]:
        """The blocks in force, oldest first."""
        with self._turn:
            return sorted((each for each in self._blocks.values() if each.holds(now)), key=lambda b: b.since)

    def _is_allowed(self, scope: Scope, subject: str) -> bool:
        return scope == "source" and among(subject, self._allow)

    def _keep(self, block: Block) -> None:
        place = (block.scope, block.subject)
        self._blocks[place] = block
        self._blocks.move_to_end(place)
        if len(self._blocks) > self._most:
            automatic = (other for other, each in self._blocks.items() if not each.ordered)
            del self._blocks[next(automatic, next(iter(self._blocks)))]
