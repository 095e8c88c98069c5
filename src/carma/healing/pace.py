"""When the beacon looks, and how fast: pure decisions over numbers, time passed in.

A scrub that runs flat out is felt by readers; one that always begins at full hours meets every other job of
the machine. So a tour in the background takes a small share of the disk and of one core, and its hour is
shaken. A tour that somebody asked for is not slowed down.

Source: Schwarz et al., "Disk Scrubbing in Large Archival Storage Systems", MASCOTS 2004, for looking in idle
time and at a bounded rate.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["BACKGROUND", "DEEP_EVERY_S", "JITTER", "LIGHT_EVERY_S", "Pace", "due"]

LIGHT_EVERY_S = 600.0
DEEP_EVERY_S = 86_400.0
JITTER = 0.25
"""An interval is shortened or lengthened by up to this share of it."""


class Pace(NamedTuple):
    """The most that looking may take.

    bytes_per_s: of reading. core_share: of one core, 0 to 1.
    """

    bytes_per_s: float
    core_share: float

    def pause_s(self, read_bytes: int, busy_s: float) -> float:
        """How long to wait, in seconds, after so many bytes that took so long."""
        return max(read_bytes / self.bytes_per_s, busy_s / self.core_share, busy_s) - busy_s


BACKGROUND = Pace(bytes_per_s=8 * 2**20, core_share=0.05)


def due(
    now: float, last_light: float | None, last_deep: float | None, chance: float
) -> Literal["light", "deep"] | None:
    """The tour that is due, the deep one first.

    now, last_light, last_deep: seconds since the epoch; None: there was none. A last tour that lies in the
    future says that the clock was set back, and counts as none. chance: 0 to 1, drawn once after each tour
    and kept until the next, for it decides by how much this interval is longer or shorter.
    """
    stretch = 1 - JITTER + 2 * JITTER * chance
    if _over(now, last_deep, DEEP_EVERY_S * stretch):
        return "deep"
    return "light" if _over(now, last_light, LIGHT_EVERY_S * stretch) else None


def _over(now: float, last: float | None, after_s: float) -> bool:
    return last is None or last > now or now - last >= after_s
