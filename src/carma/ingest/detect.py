"""Which parser a file gets: by its suffix, then by its first bytes.

A file whose suffix promises text may hold a stray NUL, which is replaced; a file of unknown suffix with one
is taken for binary. What looks like a known binary format is binary whatever its name says.
"""

from __future__ import annotations

from typing import Literal

from carma.ingest.office import OFFICE_SUFFIXES
from carma.ingest.source import LANGUAGES

__all__ = ["HEAD_BYTES", "Format", "detect", "suffix_of"]

Format = Literal["markdown", "text", "rst", "html", "json", "jsonl", "python", "source", "office", "binary"]

HEAD_BYTES = 8_192
"""As much of a file as decides what it is."""

_SUFFIXES: dict[str, Format] = {
    **dict.fromkeys(LANGUAGES, "source"),
    **dict.fromkeys(("py", "pyi", "pyw"), "python"),
    **dict.fromkeys(("md", "markdown", "mdown", "mkd", "mdx"), "markdown"),
    **dict.fromkeys(("txt", "text", "log", "csv", "tsv", "org", "adoc", "tex"), "text"),
    **dict.fromkeys(("rst", "rest"), "rst"),
    **dict.fromkeys(("html", "htm", "xhtml"), "html"),
    **dict.fromkeys(("jsonl", "ndjson"), "jsonl"),
    **dict.fromkeys(OFFICE_SUFFIXES, "office"),
    "json": "json",
}
_MAGIC = (
    b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08",
    b"\x7fELF",
    b"%PDF-", b"7z\xbc\xaf\x27\x1c", b"\xd0\xcf\x11\xe0\xa1\xb1", b"SQLite format 3\x00", b"\xca\xfe\xba\xbe",
    b"BZh91AY&SY", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"Rar!\x1a\x07", b"OggS\x00",
    b"fLaC\x00", b"ID3\x03", b"ID3\x04",
    b"\x00asm", b"wOFF", b"wOF2", b"II*\x00", b"MM\x00*",
)  # fmt: skip
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 27}) + b"\x7f"


def detect(name: str, head: bytes) -> Format:
    """The format of a file called `name` whose first `HEAD_BYTES` bytes are `head`."""
    suffix = suffix_of(name)
    known = _SUFFIXES.get(suffix)
    if known == "office":
        return "office"
    if _is_binary(head, known is not None):
        return "binary"
    if known is not None:
        return known
    start = head.removeprefix(_BOMS[0]).lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    return "source" if start.startswith(b"#!") else "text"


def suffix_of(name: str) -> str:
    """The part after the last dot, in lower case; empty for a name without one."""
    stem, dot, suffix = name.rpartition(".")
    return suffix.lower() if dot and stem else ""


def _is_binary(head: bytes, promised_text: bool) -> bool:
    if head.startswith(_MAGIC):
        return True
    if head.startswith(_BOMS) or not head or _is_wide(head):
        return False
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if not promised_text and b"\x00" in head:
        return True
    if controls * 10 > len(head) and (controls > 4 or controls * 2 > len(head)):
        return True
    return controls * 100 > len(head) and controls > 2 and not _is_utf8(head)


def _is_wide(head: bytes) -> bool:
    """UTF-16 without a byte order mark: nearly every other byte is zero, on one side only."""
    pairs = len(head) // 2
    even, odd = head[0::2].count(0), head[1::2].count(0)
    return pairs >= 4 and max(even, odd) > pairs * 0.6 and min(even, odd) < pairs * 0.05


def _is_utf8(head: bytes) -> bool:
    """Whether the bytes are UTF-8, a character cut off at their end aside."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.end >= len(head) and error.reason.startswith("unexpected end")
    return True
