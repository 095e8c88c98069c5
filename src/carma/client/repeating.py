"""Idempotency keys: under which name a change is sent, so that a repeated request changes nothing twice.

Every change has a key of its own. Whoever was left without an answer (`AnswerLost`) repeats the same change
under the key that the error names:

    with repeating(error.idempotency_key):
        client.add("The spare key hangs behind the blue door.")
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from carma.errors import InvalidInput
from carma.ports.clock import Entropy

__all__ = ["next_key", "repeating"]

_KEY = re.compile(r"[!-~]{1,200}")
_current: ContextVar[list[str] | None] = ContextVar("carma_idempotency", default=None)


@contextmanager
def repeating(key: str) -> Iterator[None]:
    """Send the changes of the block under `key`: the first under it, the next under `key-2` and so on.

    Raises InvalidInput if it cannot be a header: 1 to 200 visible ASCII characters.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InvalidInput("An idempotency key has 1 to 200 visible ASCII characters.")
    token = _current.set([key])
    try:
        yield
    finally:
        _current.reset(token)


def next_key(entropy: Entropy) -> str:
    """The key for the next change: of the block, else a new one of 128 random bits."""
    used = _current.get()
    if used is None:
        return entropy.bytes(16).hex()
    used.append(used[0])
    return used[0] if len(used) == 2 else f"{used[0]}-{len(used) - 1}"
