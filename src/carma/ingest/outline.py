"""Builds nested sections from headings that only carry a level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from carma.ingest.node import ParsedNode

__all__ = ["Outline"]


class Outline:
    """Takes headings and leaves in the order of the file and nests them by the headings' levels."""

    def __init__(self) -> None:
        self._top: list[ParsedNode] = []
        self._open: list[tuple[int, ParsedNode, list[ParsedNode]]] = []

    def heading(self, level: int, title: list[ParsedNode]) -> None:
        """Open a section. `title` is its node, followed by what did not fit into a title's length."""
        if not title:
            return
        self._close(level)
        self._open.append((level, title[0], [replace(rest, kind="paragraph") for rest in title[1:]]))

    def add(self, leaves: Iterable[ParsedNode]) -> None:
        """Put leaves into the section that is open."""
        (self._open[-1][2] if self._open else self._top).extend(leaves)

    def finish(self) -> tuple[ParsedNode, ...]:
        """Close all sections and return the top level."""
        self._close(0)
        return tuple(self._top)

    def _close(self, level: int) -> None:
        while self._open and self._open[-1][0] >= level:
            _, node, children = self._open.pop()
            (self._open[-1][2] if self._open else self._top).append(replace(node, children=tuple(children)))
