"""A file's bytes and its text, with the way back from a character to its byte.

The text has as many characters as the bytes decode to: what cannot be kept (NUL, lone surrogates, undecodable
bytes) is replaced by U+FFFD one for one, so a character's index still leads to its byte. `codecs` with
"replace" was rejected because it merges several bad bytes into one replacement and the way back is lost.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from carma.ingest.node import Note, ParsedNode, digest_of
from carma.ingest.split import pieces

__all__ = ["Document", "clean"]

_BREAK = re.compile(r"\r\n|\r|\n")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_STEP = 1024
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def clean(text: str) -> str:
    """`text` with every NUL and lone surrogate replaced by U+FFFD: the text that can be stored."""
    return _UNSTORABLE.sub("\ufffd", text)


@dataclass(frozen=True)
class Document:
    """One decoded file.

    raw: the bytes of the file.
    text: its characters, storable. `exact` is the same text before the replacements.
    encoding, errors: how `exact` encodes back to `raw[base:]`.
    limit: the most characters of one fragment.
    """

    raw: bytes
    text: str
    exact: str
    encoding: str = "utf-8"
    errors: str = "strict"
    base: int = 0
    limit: int = 1_200
    notes: tuple[Note, ...] = ()

    @classmethod
    def decode(cls, raw: bytes, *, limit: int = 1_200) -> Document:
        """Decode by byte order mark, else UTF-8, else UTF-16 if it looks so, else Windows-1252 or Latin-1.

        Bytes that are no UTF-8 in a file that otherwise is (it has at least as many multi-byte characters as
        bad bytes) are replaced one by one; a file with more bad bytes than that is taken for Windows-1252.
        """
        notes: list[Note] = []
        encoding, base = _encoding_of(raw)
        body = raw[base:]
        errors = "strict"
        if encoding == "utf-8":
            exact, encoding, errors = _decode_utf8(body)
        else:
            width = 4 if "32" in encoding else 2
            errors = "surrogatepass"
            wide = _decode_wide(body[: len(body) // width * width], encoding, notes)
            exact = body.decode("latin-1") if wide is None else wide
            if wide is None:
                encoding, errors = "latin-1", "strict"
        if errors == "surrogateescape":
            bad = sum("\udc80" <= c <= "\udcff" for c in exact)
            notes.append(Note("encoding", f"{bad} bytes are not UTF-8 and were replaced by U+FFFD"))
        elif encoding in ("cp1252", "latin-1"):
            notes.append(Note("encoding", f"not UTF-8; read as {encoding}, please check the letters"))
        text, replaced = _UNSTORABLE.subn("\ufffd", exact)
        if replaced and errors != "surrogateescape":
            notes.append(
                Note("replaced", f"{replaced} NUL or lone surrogate characters were replaced by U+FFFD")
            )
        elif "\x00" in exact:
            notes.append(Note("replaced", f"{exact.count(chr(0))} NUL characters were replaced by U+FFFD"))
        return cls(raw, text, exact, encoding, errors, base, limit, tuple(notes))

    def offset(self, index: int) -> int:
        """The byte where character `index` begins."""
        if self._one_byte:
            return self.base + index
        step = index // _STEP
        part = self.exact[step * _STEP : index]
        return self._checkpoints[step] + len(part.encode(self.encoding, self.errors))

    @cached_property
    def _one_byte(self) -> bool:
        return len(self.exact) == len(self.raw) - self.base

    @cached_property
    def _checkpoints(self) -> list[int]:
        at = self.base
        found = [at]
        for first in range(0, len(self.exact), _STEP):
            at += len(self.exact[first : first + _STEP].encode(self.encoding, self.errors))
            found.append(at)
        return found

    @cached_property
    def lines(self) -> list[tuple[int, int]]:
        """First and past-the-end character of every line, without its line break (CR, LF or CR LF)."""
        found = []
        start = 0
        for match in _BREAK.finditer(self.text):
            found.append((start, match.start()))
            start = match.end()
        if start < len(self.text):
            found.append((start, len(self.text)))
        return found

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _ in self.lines]

    def line_text(self, number: int) -> str:
        """The text of line `number`, from 0."""
        start, end = self.lines[number]
        return self.text[start:end]

    def line_at(self, index: int) -> int:
        """The line (from 1) that holds character `index`."""
        return max(1, bisect_right(self._starts, index))

    def node(
        self,
        kind: str,
        start: int,
        end: int,
        *,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        children: tuple[ParsedNode, ...] = (),
        created: float | None = None,
    ) -> ParsedNode:
        """A node for the characters `start` to `end`; its text is theirs unless (derived) `text` is given."""
        span = (self.offset(start), self.offset(end))
        return ParsedNode(
            kind=kind,
            text=self.text[start:end] if text is None else text,
            span=span,
            span_digest=digest_of(self.raw[span[0] : span[1]]),
            line=self.line_at(start),
            metadata=metadata or {},
            children=children,
            created=created,
        )

    def leaves(
        self,
        kind: str,
        start: int,
        end: int,
        *,
        metadata: Mapping[str, Any] | None = None,
        by_lines: bool = False,
    ) -> list[ParsedNode]:
        """The characters `start` to `end` as one node, or as several where they are longer than the limit."""
        cuts = pieces(self.text, start, end, self.limit, by_lines=by_lines)
        return [self.node(kind, first, last, metadata=metadata) for first, last in cuts]

    def derived(
        self, kind: str, start: int, end: int, text: str, *, metadata: Mapping[str, Any] | None = None
    ) -> list[ParsedNode]:
        """Text made from the characters `start` to `end`; where too long, several nodes of that one span."""
        cuts = pieces(text, 0, len(text), self.limit, by_lines=kind == "code")
        whole = self.node(kind, start, end, metadata=metadata)
        return [replace(whole, text=text[first:last]) for first, last in cuts]


def _encoding_of(raw: bytes) -> tuple[str, int]:
    """Encoding and length of the byte order mark; UTF-16 without one is told by where its zeros lie."""
    for mark, name in _BOMS:
        if raw.startswith(mark):
            return name, len(mark)
    head = raw[:8192]
    if len(head) >= 8 and len(raw) % 2 == 0:
        even, odd = head[0::2].count(0), head[1::2].count(0)
        pairs = len(head) // 2
        if odd > pairs * 0.6 and even < pairs * 0.05:
            return "utf-16-le", 0
        if even > pairs * 0.6 and odd < pairs * 0.05:
            return "utf-16-be", 0
    return "utf-8", 0


def _decode_utf8(body: bytes) -> tuple[str, str, str]:
    """Text, encoding and error handler of bytes that ought to be UTF-8."""
    try:
        return body.decode("utf-8"), "utf-8", "strict"
    except UnicodeDecodeError:
        escaped = body.decode("utf-8", "surrogateescape")
    bad = sum("\udc80" <= c <= "\udcff" for c in escaped)
    good = sum(c > "\x7f" for c in escaped) - bad
    if bad <= good:
        return escaped, "utf-8", "surrogateescape"
    try:
        return body.decode("cp1252"), "cp1252", "strict"
    except UnicodeDecodeError:
        return body.decode("latin-1"), "latin-1", "strict"


def _decode_wide(body: bytes, encoding: str, notes: list[Note]) -> str | None:
    """UTF-16 or UTF-32, lone surrogates let through; None where the bytes are neither."""
    try:
        return body.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        notes.append(Note("encoding", f"the byte order mark says {encoding}, the bytes are not"))
        return None
