"""What a simulated disk can be told to do wrong, each at one numbered call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Crash", "Drop", "Fault", "Misdirect", "Refuse", "SimulatedCrash"]


class SimulatedCrash(BaseException):
    """The process died here. Not an `Exception`, so that nothing on the way handles it by mistake."""


@dataclass(frozen=True, slots=True)
class Crash:
    """The process dies at call `at`: before it, in the middle (a write is cut short) or after it."""

    at: int
    when: Literal["before", "middle", "after"] = "before"


@dataclass(frozen=True, slots=True)
class Refuse:
    """Calls `at` up to `at + calls - 1` fail, with an input/output error or because the disk is full.

    A sync that fails drops what was to be synced, and the next one reports success, as Linux does.
    """

    at: int
    reason: Literal["io", "full"] = "io"
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Drop:
    """The write at call `at` is reported as done and never happens."""

    at: int


@dataclass(frozen=True, slots=True)
class Misdirect:
    """The write at call `at` lands at `offset` of the same file instead."""

    at: int
    offset: int


Fault = Crash | Refuse | Drop | Misdirect
