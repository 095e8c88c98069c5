"""How the C library hands out memory: from few arenas, so that a server that runs for long stays small.

glibc gives threads arenas of their own, up to eight for each core, and what one of them gave back is not used
for another. A server with dozens of threads that pack, seal and embed holds twice the memory for that, and
more of it with every minute (docs/BENCHMARKS.md). Two arenas are enough: the interpreter's lock lets few
threads allocate at once. What is freed in the middle of an arena stays with the process until it is told to
give it back; the block's rounds do so every minute. Without effect on other C libraries. Rejected: the
environment variable MALLOC_ARENA_MAX (it is read before a program can set it), another allocator (one more
thing to install).
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["few_arenas", "give_back"]

_M_ARENA_MAX = -8
"""mallopt(3)."""


def few_arenas(most: int = 2) -> bool:
    """Let there be at most so many arenas from now on; whether the C library took it."""
    return _told("mallopt", _M_ARENA_MAX, most)


def give_back() -> bool:
    """Give the system back what is free; whether there was something. Takes some milliseconds."""
    return _told("malloc_trim", 0)


def _told(function: str, *arguments: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(getattr(ctypes.CDLL(None), function)(*arguments))
    except (AttributeError, OSError):
        return False
