"""HTML: its readable text, with headings as sections.

An own scanner of tags and text: `html.parser` names where a construct begins but not where it ends, and takes
quadratic time on unclosed constructs in Python versions still in use. Every search here either succeeds or
ends the scan, so the time is linear. The text is derived (entities, white space), so a fragment's span is the
stretch of the file that it was made from, not its literal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import NamedTuple

from carma.ingest.document import Document, clean
from carma.ingest.node import ParsedNode
from carma.ingest.outline import Outline

__all__ = ["parse_html"]

_TAG = re.compile(r"<(/?)([A-Za-z][^\s/>]*)((?:[^>=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?+)*+)>")
_TAG_BEGINS = re.compile(r"</?[A-Za-z]")
_ALT = re.compile(r"\balt\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_RAW = {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"}
_SKIPPED = {"template", "noscript", "svg", "math", "object", "canvas", "audio", "video", "select", "datalist"}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "head", "li", "main",
    "nav", "ol", "p", "section", "summary", "table", "tbody", "thead", "tfoot", "caption", "tr", "ul",
    "pre", "center", "legend", "option",
}  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}


class _Piece(NamedTuple):
    """A stretch of text, or a tag (`name` with a leading slash for an end tag)."""

    name: str
    attributes: str
    start: int
    end: int


def parse_html(document: Document) -> tuple[tuple[ParsedNode, ...], str]:
    """The tree, and the page's title (empty if it has none)."""
    reader = _Reader(document)
    for piece in _scan(document.text):
        reader.take(piece)
    reader.flush()
    return reader.outline.finish(), reader.title


def _scan(text: str) -> Iterator[_Piece]:
    """Tags and text in order, without comments, declarations, and what `script` and its like hold."""
    at = 0
    while at < len(text):
        if text[at] != "<" or not _markup(text, at):
            end = text.find("<", at + 1)
            end = len(text) if end < 0 else end
            yield _Piece("", "", at, end)
            at = end
            continue
        if text[at + 1] in "!?":
            close = "-->" if text.startswith("<!--", at) else ">"
            end = text.find(close, at + 2)
            at = len(text) if end < 0 else end + len(close)
            continue
        tag = _TAG.match(text, at)
        if tag is None:  # A tag that never ends: its characters are text, so that nothing is lost.
            yield _Piece("", "", at, len(text))
            return
        name = tag.group(2).lower()
        yield _Piece(tag.group(1) + name, tag.group(3), at, tag.end())
        at = tag.end()
        if name in _RAW and not tag.group(1):
            close_tag = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(text, at)
            end = close_tag.start() if close_tag else len(text)
            if name in ("title", "textarea"):
                yield _Piece("", "", at, end)
            at = end


def _markup(text: str, at: int) -> bool:
    return text[at + 1 : at + 2] in ("!", "?") or bool(_TAG_BEGINS.match(text, at))


def _margin(text: str) -> int:
    """How many white space characters `text` begins with."""
    return len(text) - len(text.lstrip())


class _Reader:
    """Gathers text until a block ends, then makes a node of it."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.outline = Outline()
        self.title = ""
        self._parts: list[str] = []
        self._start = self._end = 0
        self._heading = 0
        self._pre = False
        self._in_title = False
        self._skip = ""
        self._skip_depth = 0

    def take(self, piece: _Piece) -> None:
        if self._skip:
            self._skipping(piece.name)
        elif not piece.name:
            self._text(piece)
        elif piece.name in _SKIPPED:
            self._skip, self._skip_depth = piece.name, 1
        else:
            self._tag(piece)

    def flush(self) -> None:
        """End the block that was being gathered."""
        joined = "".join(self._parts)
        self._parts.clear()
        text = joined.strip("\r\n").rstrip() if self._pre else _SPACE.sub(" ", joined).strip(" |")
        if not text.strip():
            return
        if self._heading:
            level = self._heading
            title = self.document.derived("section", self._start, self._end, text, metadata={"level": level})
            self.outline.heading(level, title)
        else:
            kind = "code" if self._pre else "paragraph"
            self.outline.add(self.document.derived(kind, self._start, self._end, text))

    def _skipping(self, name: str) -> None:
        if name == self._skip:
            self._skip_depth += 1
        elif name == "/" + self._skip:
            self._skip_depth -= 1
            if not self._skip_depth:
                self._skip = ""

    def _text(self, piece: _Piece) -> None:
        text = clean(unescape(self.document.text[piece.start : piece.end]))
        if self._in_title:
            self.title = _SPACE.sub(" ", text).strip()[:500]
        else:
            self._gather(text, piece)

    def _gather(self, text: str, piece: _Piece) -> None:
        if not self._parts:
            if not text.strip():
                return
            self._start = piece.start + _margin(self.document.text[piece.start : piece.end])
        self._parts.append(text)
        if text.strip():
            self._end = piece.end - _margin(self.document.text[piece.start : piece.end][::-1])

    def _tag(self, piece: _Piece) -> None:
        name = piece.name.removeprefix("/")
        opens = name == piece.name
        if name == "title":
            self._in_title = opens
        elif name in _HEADINGS:
            self.flush()
            self._heading = _HEADINGS[name] if opens else 0
        elif name in _BLOCKS:
            self.flush()
            self._pre = opens if name == "pre" else self._pre
        elif name in ("td", "th"):
            if self._parts and opens:
                self._parts.append(" | ")
        elif name == "br":
            self._parts.append("\n" if self._parts else "")
        elif name == "img":
            alt = _ALT.search(piece.attributes)
            said = (alt.group(1) or alt.group(2) or "").strip() if alt else ""
            if said:
                self._gather(f" [image: {clean(unescape(said))}] ", piece)
