"""Gathering: how much one call may bring together before it is answered.

A memory takes texts of 16 MiB and gives up to a thousand fragments at once, so a server has to stop while it
gathers: what is encoded first and measured then has filled the memory of the process already. A record's
length is known before it is read, and what was read is weighed as the JSON it will be, not less. `list` ends
its page where the bound is; every other verb raises TooLarge and says what to ask for instead. One fragment
is always given, whatever it weighs.

Rejected: a bound on the encoded answer (too late), pages of `history` and `tree` (they are asked for whole,
or by version and by `list`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from json.encoder import encode_basestring
from typing import Final

from carma.errors import TooLarge
from carma.memory.reading import Reader
from carma.models import Fragment

__all__ = ["BoundedReader", "Gathered", "gathering", "weight"]

_FIELDS: Final = 1_024
"""A fragment as JSON without its texts and lists is shorter than this, with a hit's score and parts."""
_ID: Final = 36
_as_json = json.JSONEncoder(ensure_ascii=False).encode


class Gathered:
    """What one call has gathered so far. most: bytes; None for no bound. hint: what to ask for instead."""

    __slots__ = ("_count", "_held", "_hint", "_most")

    def __init__(self, most: int | None, hint: str | None = None) -> None:
        self._most = most
        self._hint = hint
        self._held = 0
        self._count = 0

    def fits(self, size: int) -> bool:
        """Whether so many bytes more are within the bound; the first fragment always is."""
        return self._most is None or not self._count or self._held + size <= self._most

    def add(self, size: int) -> None:
        """Another fragment of this size is there. Raises TooLarge if that is too much."""
        self.expect(size)
        self._held += size
        self._count += 1

    def expect(self, size: int) -> None:
        """A fragment of at least this size is about to be read. Raises TooLarge if that is too much."""
        if not self.fits(size):
            raise TooLarge(
                f"The answer would be longer than {self._most:,} bytes (answer_bytes).", hint=self._hint
            )


_now: ContextVar[Gathered | None] = ContextVar("carma_gathered", default=None)


@contextmanager
def gathering(most: int | None, hint: str) -> Iterator[None]:
    """What a `BoundedReader` reads within the block is one answer. Raises TooLarge when it is too much."""
    token = _now.set(Gathered(most, hint) if most is not None else None)
    try:
        yield
    finally:
        _now.reset(token)


class BoundedReader(Reader):
    """A reader that keeps to the bound of the call it reads for."""

    def at(self, seq: int, segment: int, offset: int, length: int) -> Fragment:
        """As `Reader.at`. Raises TooLarge, before it reads, where there is no room for it."""
        gathered = _now.get()
        if gathered is None:
            return super().at(seq, segment, offset, length)
        gathered.expect(length)
        fragment = super().at(seq, segment, offset, length)
        gathered.add(weight(fragment))
        return fragment


def weight(fragment: Fragment) -> int:
    """Bytes that a fragment takes in an answer, or a little more."""
    size = _FIELDS + _quoted(fragment.text) + _quoted(fragment.kind)
    for word in (fragment.user, fragment.agent, fragment.session):
        if word is not None:
            size += _quoted(word)
    if fragment.metadata:
        size += _bytes(_as_json(fragment.metadata))
    if fragment.source is not None:
        size += _quoted(fragment.source.path)
    if fragment.blank is not None:
        size += len(fragment.blank.children) * _ID + _quoted(fragment.blank.reason)
    if fragment.repair is not None:
        size += len(fragment.repair.sources) * _ID + _quoted(fragment.repair.method or "")
    return size


def _quoted(text: str) -> int:
    """Bytes of a text as JSON in UTF-8."""
    return _bytes(encode_basestring(text))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
