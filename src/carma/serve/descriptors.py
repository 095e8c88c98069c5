"""How many files and connections this process may hold, and how they are shared out.

A connection costs a descriptor, and so does every file of an open memory. Where a flood of connections takes
the last one, it is the memories that fail. So the process takes as many as the system lets it have, the
memories' share is set aside, and what is left bounds the connections. Rejected: leaving it to `ulimit` (1,024
on most systems, which 60 open seats use up alone).
"""

from __future__ import annotations

import resource

__all__ = ["connections_for", "raise_limit"]

_WANTED = 65_536
_OF_A_SEAT = 40
"""What an open memory holds at once: segments, their mirrors, registry, vectors; measured, and doubled."""
_OF_THE_SERVER = 128
_LEAST_CONNECTIONS = 64


def raise_limit() -> int:
    """Take as many descriptors as the system gives, up to 65,536; how many there are now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return _WANTED if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        return soft
    return most


def connections_for(wanted: int, descriptors: int, seats: int) -> int:
    """How many connections there is room for beside the memories of all seats; at least 64."""
    room = descriptors - seats * _OF_A_SEAT - _OF_THE_SERVER
    return max(min(wanted, room), min(wanted, _LEAST_CONNECTIONS))
