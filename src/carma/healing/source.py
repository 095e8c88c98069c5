"""A text from the file that it was ingested from, if the file still holds it.

The file is read again, parsed as it was when it was ingested, and whatever then has the lost text's digest is
that text: at the old place, moved within the file, or after an edit elsewhere in it. Where no parser finds it
(the file is of another format now), windows as long as the old span are compared with the span's digest, near
the old place first. Modification times were not used, because a digest is a proof and a time is not.

Nothing outside the given roots is opened: every part of a path is opened below the one before it, and a
symbolic link is never followed.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from blake3 import blake3

from carma.models import Source
from carma.store.sealing import Digest, plain_digest

__all__ = ["Reader", "Sources", "from_source", "read_below"]

Reader = Callable[[str, Sequence[str], int], bytes | None]
"""`read(root, parts, most)`: the bytes of the file `parts` below the folder `root` (of `root` itself if there
are no parts), None where it cannot be read, is no regular file, has more than `most` bytes, or a link is on
the way."""

Has = Callable[[bytes, bytes], bool]
"""Whether bytes have a digest, of which the first bytes are known."""

FILE_BYTES: Final = 64 << 20
_WINDOWS_MOST: Final = 100_000
_WINDOW_BYTES_MOST: Final = 64 << 20
_FILES_KEPT: Final = 2
_TEXTS_KEPT: Final = 200_000
_DIGEST_BYTES: Final = 16
_DIGEST_LEAST: Final = 8


def read_below(root: str, parts: Sequence[str], most: int) -> bytes | None:
    """A `Reader` of the machine's own files. Never waits on a pipe, never raises an OSError."""
    folder = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    regular = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    opened: list[int] = []
    try:
        if parts:
            opened.append(os.open(root, folder))
            for part in parts[:-1]:
                opened.append(os.open(part, folder | os.O_NOFOLLOW, dir_fd=opened[-1]))
            handle = os.open(parts[-1], regular, dir_fd=opened[-1])
        else:
            handle = os.open(root, regular)
        opened.append(handle)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            return None
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(most + 1)
        return data if len(data) <= most else None
    except (OSError, ValueError):
        return None
    finally:
        for handle in opened:
            os.close(handle)


def from_source(
    read: Reader | None, roots: Sequence[str], source: Source, digest: bytes, *, file_bytes: int = FILE_BYTES
) -> str | None:
    """One text; `Sources` is quicker for several of one file.

    read: how files are read; None: `read_below`. See `Sources` for the rest.
    """
    return Sources(roots, read=read, file_bytes=file_bytes).find(source, digest)


class Sources:
    """The files that a memory was ingested from. Keeps what the last few files held.

    roots: the folders and files that were ingested, or folders that hold them now; absolute paths.
    file_bytes: a longer file is not read. paragraph_chars: as they were ingested with. digest_of: how texts
    are digested; of an encrypted memory the keyed way.
    """

    def __init__(
        self,
        roots: Sequence[str],
        *,
        read: Reader | None = None,
        file_bytes: int = FILE_BYTES,
        paragraph_chars: int = 1_200,
        digest_of: Digest = plain_digest,
    ) -> None:
        self._digest_of = digest_of
        self._roots = [root.rstrip("/") or "/" for root in roots]
        self._read = read_below if read is None else read
        self._file_bytes, self._paragraph_chars = file_bytes, paragraph_chars
        self._files: OrderedDict[str, list[tuple[bytes, dict[bytes, str]]]] = OrderedDict()

    def find(self, source: Source, digest: bytes) -> str | None:
        """The text with this digest (BLAKE3 of it in UTF-8, or its first 8 bytes or more), or None; never
        raises because of what a file holds or is."""
        if len(digest) < _DIGEST_LEAST:
            return None
        parts = source.path.split("/")
        if any(part in ("", ".", "..") or "\x00" in part for part in parts):
            return None
        has = self._has
        if source.span is None and has(parts[-1].encode("utf-8", "replace"), digest):
            return parts[-1]  # A folder's or a file's own fragment says its name.
        for raw, texts in self._held(source.path, parts):
            found = (
                _look_up(texts, digest, has)
                or _in_span(raw, source, digest, has)
                or _elsewhere(raw, source, digest, has)
            )
            if found is not None:
                return found
        return None

    def _held(self, path: str, parts: Sequence[str]) -> list[tuple[bytes, dict[bytes, str]]]:
        """What the files that may be meant hold: bytes, and the texts of their fragments by digest."""
        known = self._files.get(path)
        if known is None:
            known = []
            for root, below in self._places(parts):
                raw = self._read(root, below, self._file_bytes)
                if raw is not None:
                    known.append((raw, _texts(parts[-1], raw, self._paragraph_chars, self._digest_of)))
            self._files[path] = known
            while len(self._files) > _FILES_KEPT:
                self._files.popitem(last=False)
        self._files.move_to_end(path)
        return known

    def _places(self, parts: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
        """Where the file may lie: a path begins with the name of what was ingested."""
        for root in self._roots:
            if os.path.basename(root) == parts[0]:
                yield root, parts[1:]
        for root in self._roots:
            yield root, parts

    def _has(self, data: bytes, digest: bytes) -> bool:
        return self._digest_of(data)[: len(digest)] == digest


def _texts(name: str, raw: bytes, paragraph_chars: int, digest_of: Digest) -> dict[bytes, str]:
    """The texts that an ingest would make of a file, by digest."""
    from carma.ingest.parse import parse  # Heavy: it brings the parsers along.

    try:
        parsed = parse(name, raw, paragraph_chars=paragraph_chars)
    except Exception:  # Whatever a parser makes of a damaged file, here it only means: not found.
        return {}
    found: dict[bytes, str] = {}
    for top in parsed.nodes:
        for node in top.walk():
            if len(found) >= _TEXTS_KEPT:
                return found
            try:
                found[digest_of(node.text.encode("utf-8"))[:_DIGEST_BYTES]] = node.text
            except UnicodeEncodeError:
                continue
    return found


def _look_up(texts: dict[bytes, str], digest: bytes, has: Has) -> str | None:
    if len(digest) >= _DIGEST_BYTES:
        text = texts.get(digest[:_DIGEST_BYTES])
        return text if text is not None and has(text.encode("utf-8"), digest) else None
    return next((text for full, text in texts.items() if full.startswith(digest)), None)


def _in_span(raw: bytes, source: Source, digest: bytes, has: Has) -> str | None:
    """The span as it stands, as plain text."""
    if source.span is None:
        return None
    first, last = source.span
    return _text_of(raw[max(0, first) : max(0, last)], digest, has)


def _elsewhere(raw: bytes, source: Source, digest: bytes, has: Has) -> str | None:
    """A window as long as the span whose bytes have the span's digest and whose text has the text's."""
    if source.span is None or source.digest is None:
        return None
    first, last = source.span
    length = last - first
    if length <= 0 or length > len(raw):
        return None
    try:
        wanted = bytes.fromhex(source.digest)
    except ValueError:
        return None
    windows = min(_WINDOWS_MOST, _WINDOW_BYTES_MOST // length)
    view = memoryview(raw)
    for at in _outwards(first, len(raw) - length, windows):
        if blake3(view[at : at + length]).digest(len(wanted)) == wanted:
            return _text_of(raw[at : at + length], digest, has)
    return None


def _outwards(middle: int, last: int, most: int) -> Iterator[int]:
    """The numbers 0 to `last`, nearest to `middle` first, at most so many."""
    middle = min(max(middle, 0), last)
    low, high = middle, middle + 1
    while most > 0 and (low >= 0 or high <= last):
        if low >= 0:
            yield low
            low, most = low - 1, most - 1
        if high <= last and most > 0:
            yield high
            high, most = high + 1, most - 1


def _text_of(data: bytes, digest: bytes, has: Has) -> str | None:
    """The bytes of a span as text, in the encodings that an ingest knows, if it has the digest."""
    if not data:
        return None
    if has(data, digest):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return None
    from carma.ingest.document import Document

    text = Document.decode(data).text
    return text if has(text.encode("utf-8"), digest) else None
