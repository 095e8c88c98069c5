"""Content codings: answers packed by zstd or gzip for whoever takes them, bodies unpacked within a bound.

Sealed bodies and new keys are never packed: the length of a packed text tells something about it. Rejected:
Brotli (slower at the same size for short JSON), and packing streams (an event would wait in the packer).
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import zstandard

from carma.errors import RequestRefused, TooLarge, UnsupportedMedia

__all__ = ["CODINGS", "chosen", "packed", "unpacked"]

CODINGS = ("zstd", "gzip")
"""What we pack and unpack, the best first."""
_ZSTD_LEVEL = 3
_GZIP_LEVEL = 5
_GZIP = 16 + zlib.MAX_WBITS
_WINDOW = 8 * 2**20


@lru_cache(maxsize=256)
def chosen(accept_encoding: str) -> str | None:
    """The coding to answer in by `Accept-Encoding` (RFC 9110, section 12.5.3); None for none."""
    wanted: dict[str, float] = {}
    for part in accept_encoding.split(","):
        name, _, parameter = part.strip().lower().partition(";")
        wanted[name.strip()] = _quality(parameter)
    best = max(CODINGS, key=lambda name: wanted.get(name, wanted.get("*", 0.0)))
    return best if wanted.get(best, wanted.get("*", 0.0)) > 0 else None


def _quality(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def packed(body: bytes, coding: str) -> bytes:
    """A body in one of the codings."""
    if coding == "zstd":
        return zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(body)
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()


def unpacked(body: bytes, content_encoding: str | None, most: int) -> bytes:
    """A body without its coding, at most `most` bytes of it.

    Raises UnsupportedMedia, RequestRefused (damaged, or something behind its end), TooLarge.
    """
    coding = (content_encoding or "identity").strip().lower()
    if coding == "identity":
        return body
    if coding not in CODINGS:
        raise UnsupportedMedia(f"Bodies are taken plain, or packed by {' or '.join(CODINGS)}.")
    try:
        out, ended = _zstd(body, most) if coding == "zstd" else _gzip(body, most)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise RequestRefused(f"The body is not packed by {coding}.") from error
    if len(out) > most:
        raise TooLarge(f"The body is longer than {most} bytes when it is unpacked.")
    if not ended:
        raise RequestRefused(f"The body is not one whole piece packed by {coding}.")
    return out


def _gzip(body: bytes, most: int) -> tuple[bytes, bool]:
    unpacker = zlib.decompressobj(_GZIP)
    out = unpacker.decompress(body, most + 1)
    return out, unpacker.eof and not unpacker.unused_data


def _zstd(body: bytes, most: int) -> tuple[bytes, bool]:
    plain = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(body).read(most + 1)
    if len(plain) > most:
        return plain, True
    # The reader does not say whether the end was reached; what is known to be short can be unpacked at once.
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
    return unpacker.decompress(body), unpacker.eof and not unpacker.unused_data
