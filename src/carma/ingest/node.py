"""What a parser hands back: a tree of plain values, before anything is stored.

Parsers know nothing of ids, positions or the memory. That keeps each of them a function from bytes to a tree,
and leaves the comparison with what the memory already holds to `plan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

__all__ = ["Note", "Parsed", "ParsedNode", "digest_of"]


def digest_of(data: bytes) -> str:
    """BLAKE3 of `data`, first 128 bits, as 32 hexadecimal digits: as in `Source` and `Fragment`."""
    return blake3(data).digest(16).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedNode:
    """One fragment to be, and its children in order.

    kind: folder, file, section, paragraph, code, conversation, session or turn.
    span: first and past-the-end byte in the file, or None where no bytes can be pointed at (office
    documents). span_digest: digest of the span's bytes as they lie in the file; None when `span` is None.
    line: the line of the span's first byte, from 1. created: seconds since the epoch, UTC, where the file
    itself says when (a chat turn); else None.
    """

    kind: str
    text: str
    span: tuple[int, int] | None = None
    span_digest: str | None = None
    line: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    children: tuple[ParsedNode, ...] = ()
    created: float | None = None

    def walk(self) -> Iterator[ParsedNode]:
        """This node and all below it, parents before children, in the order of the file."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


@dataclass(frozen=True, slots=True)
class Note:
    """Something a parser had to say about a part of the file that it could not take as it stood."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The result of parsing one file.

    format: the parser that made it ("markdown", "chat", …).
    metadata: what is known about the file as a whole (title, encoding, language).
    nodes: the top level of its tree; empty when the file holds no text.
    notes: what was replaced or left out, and why.
    """

    format: str
    nodes: tuple[ParsedNode, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
