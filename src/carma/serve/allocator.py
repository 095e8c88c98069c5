"""How the C library hands out memory: from few arenas, so that a server that runs for long stays small.

glibc gives threads arenas of their own, up to eight for each core, and what one of them gave back is not used
for another. A server with dozens of threads that pack, seal and embed holds twice the memory for that, and
more of it with every minute (docs/BENCHMARKS.md). Two arenas are enough: the interpreter's lock lets few
threads allocate at once. Without effect on other C libraries. Rejected: the environment variable
MALLOC_ARENA_MAX (it is read before a program can set it), another allocator (one more thing to install).
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["few_arenas"]

_M_ARENA_MAX = -8
"""mallopt(3)."""


def few_arenas(most: int = 2) -> bool:
    """Let there be at most so many arenas from now on; whether the C library took it."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, most))
    except (AttributeError, OSError):
        return False
