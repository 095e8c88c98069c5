"""reStructuredText: section titles by their adornment, literal blocks and directives as they are written.

An own scanner and not docutils: docutils gives no byte spans and only some line numbers, resolves `include`
and `raw` while it parses, and stops at broken input. What it does with a well-formed file, sections and
blocks, takes few rules (reStructuredText Markup Specification, "Sections", "Literal Blocks", "Explicit Markup
Blocks").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from carma.ingest.document import Document
from carma.ingest.node import ParsedNode
from carma.ingest.outline import Outline

__all__ = ["parse_rst"]

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*\s*$")
_CODE = re.compile(r"\.\. +(?:code-block|code|sourcecode|highlight|parsed-literal)::[ \t]*(\S*)")
_EXPLICIT = re.compile(r"\.\.(?:\s|$)")
_LEVELS_MOST = 10


def parse_rst(document: Document) -> tuple[ParsedNode, ...]:
    """Sections by title, with paragraphs and code in them."""
    return _Scanner(document).run()


class _Scanner:
    """Walks the lines once. `styles`: the adornments in the order of first use, which is their level."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.outline = Outline()
        self.styles: list[tuple[str, bool]] = []
        self.count = len(document.lines)

    def run(self) -> tuple[ParsedNode, ...]:
        at = 0
        while at < self.count:
            if self._blank(at):
                at += 1
            else:
                at = self._title(at) or self._explicit(at) or self._paragraph(at)
        return self.outline.finish()

    def _blank(self, number: int) -> bool:
        return number >= self.count or not self.document.line_text(number).strip()

    def _adornment(self, number: int) -> str:
        """The adornment on this line, or an empty string."""
        if number >= self.count:
            return ""
        line = self.document.line_text(number)
        return line.rstrip() if _ADORNMENT.match(line) else ""

    def _title(self, at: int) -> int:
        """Take a title (underlined, perhaps overlined) or a transition; returns the line after, else 0."""
        over = self._adornment(at)
        if over:
            if len(over) >= 2 and not self._blank(at + 1) and self._adornment(at + 2)[:1] == over[0]:
                return self._open(at + 1, over[0], over=True)
            return at + 1 if len(over) >= 4 and self._blank(at + 1) else 0
        title = self.document.line_text(at).rstrip()
        under = self._adornment(at + 1)
        if under and not title[0].isspace() and len(under) >= min(len(title), 4):
            return self._open(at, under[0], over=False)
        return 0

    def _open(self, at: int, mark: str, *, over: bool) -> int:
        style = (mark, over)
        if style not in self.styles:
            self.styles.append(style)
        level = min(self.styles.index(style) + 1, _LEVELS_MOST)
        title = self.document.leaves("section", *self.document.lines[at], metadata={"level": level})
        self.outline.heading(level, title)
        return at + 2

    def _explicit(self, at: int) -> int:
        """Take a directive, a comment, a footnote or a target: its line and what is indented below it."""
        line = self.document.line_text(at)
        if not _EXPLICIT.match(line):
            return 0
        code = _CODE.match(line)
        stop = self._indented(at + 1)
        if code is None:
            self._add("paragraph", at, stop, {"block": "directive" if "::" in line else "comment"})
        else:
            metadata = {"language": code.group(1)[:80]} if code.group(1) else {}
            self._add("code", at + 1 if stop > at + 1 else at, stop, metadata)
        return stop

    def _paragraph(self, at: int) -> int:
        """Take a run of non-blank lines, and the literal block that it announces with `::`."""
        stop = at + 1
        while not self._blank(stop):
            stop += 1
        self._add("paragraph", at, stop, None)
        if self.document.line_text(stop - 1).rstrip().endswith("::") and self._indent(stop - 1) == 0:
            end = self._indented(stop)
            if end > stop:
                self._add("code", stop, end, {})
            return end
        return stop

    def _indent(self, number: int) -> int:
        line = self.document.line_text(number)
        return len(line) - len(line.lstrip())

    def _indented(self, at: int) -> int:
        """The line after the indented block that begins at or after `at`; `at` itself if there is none."""
        stop = at
        while at < self.count:
            if not self._blank(at):
                if not self._indent(at):
                    break
                stop = at + 1
            at += 1
        return stop

    def _add(self, kind: str, first: int, stop: int, metadata: Mapping[str, str] | None) -> None:
        start, end = self.document.lines[first][0], self.document.lines[stop - 1][1]
        by_lines = bool(metadata) or kind == "code"
        self.outline.add(self.document.leaves(kind, start, end, metadata=metadata, by_lines=by_lines))
