"""A text from the ends of its neighbours, where a file was split with overlap.

The neighbours' spans say which bytes of the file their texts are. Where together they cover the lost span,
the bytes are put together and the digest decides. Neighbours that disagree (one is of an older version of the
file) are tried one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from carma.store.sealing import Digest, plain_digest

__all__ = ["Neighbour", "Span", "from_overlap"]

Span = tuple[int, int]
"""First and past-the-end byte in a file."""
Neighbour = tuple[Span, bytes]
"""Where a fragment of the same file lies, and its text in UTF-8."""

_COVERS_MOST: Final = 256
_DEPTH_MOST: Final = 64
_DIGEST_LEAST: Final = 8


def from_overlap(
    span: Span, digest: bytes, neighbours: Sequence[Neighbour], digest_of: Digest = plain_digest
) -> str | None:
    """The text of `span`, wholly covered by its neighbours, or None.

    digest: BLAKE3 of the text in UTF-8, or its first bytes (8 at least).
    neighbours: in any order; one whose text is not as long as its span (a derived text, another encoding) is
    left out. digest_of: of an encrypted memory the keyed one.
    """
    first, last = span
    if last <= first or len(digest) < _DIGEST_LEAST:
        return None
    useful = sorted(
        {
            (begin, end, text)
            for (begin, end), text in neighbours
            if begin < last and end > first and len(text) == end - begin
        },
        key=lambda one: (-one[1], one[0], one[2]),
    )
    for text in islice(_covers(first, last, useful), _COVERS_MOST):
        if digest_of(text)[: len(digest)] == digest:
            try:
                return text.decode("utf-8")
            except UnicodeDecodeError:
                return None
    return None


def _covers(first: int, last: int, useful: Sequence[tuple[int, int, bytes]]) -> Iterator[bytes]:
    """The ways to put the span together, those of fewest pieces first at every step."""
    stack: list[tuple[int, bytes, int]] = [(first, b"", 0)]
    while stack:
        at, done, depth = stack.pop()
        if at >= last:
            yield done
            continue
        if depth >= _DEPTH_MOST:
            continue
        # Furthest end first: pushed last, popped first.
        for begin, end, text in reversed(useful):
            if begin <= at < end:
                stop = min(end, last)
                stack.append((stop, done + text[at - begin : stop - begin], depth + 1))
