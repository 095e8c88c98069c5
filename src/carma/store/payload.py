"""What a record's payload says, and its encoding as MessagePack.

Keys are one letter, because a chat turn is 150 bytes and a record is written twice; docs/FORMAT.md names
them. Only fields that differ from their default are written, so two equal fragments have equal bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgpack

from carma.errors import InvalidInput, TooLarge
from carma.models import Source

__all__ = [
    "Content",
    "decode_content",
    "decode_text",
    "encode_content",
    "pack_map",
    "unpack_map",
    "validate_metadata",
    "validate_source",
]

_METADATA_DEPTH = 16
_WHOLE = 1 << 63
_SOURCE_DIGEST = re.compile("[0-9a-fA-F]{32}")


class Content(NamedTuple):
    """The content of one version of a fragment, as it is stored.

    parent: id of 16 bytes. created_ms: None if it is the time of the first version's write.
    vector: float32, little-endian, given by the caller; `embedder` is the fingerprint tag it belongs to.
    """

    text: str
    parent: bytes | None = None
    position: float | None = None
    kind: str = "note"
    metadata: Mapping[str, Any] = {}
    user: str | None = None
    agent: str | None = None
    session: str | None = None
    created_ms: int | None = None
    expires: float | None = None
    source: Source | None = None
    vector: bytes | None = None
    embedder: bytes | None = None


_KEYS = ("t", "p", "o", "k", "m", "u", "a", "s", "c", "x", "f", "v", "e")
_DEFAULTS = Content("")


def encode_content(content: Content) -> bytes:
    """Canonical bytes of a content: same content, same bytes."""
    fields: dict[str, Any] = {"t": content.text}
    for key, value, default in zip(_KEYS[1:], content[1:], _DEFAULTS[1:], strict=True):
        if value is not None and value != default:
            fields[key] = _encode_source(value) if isinstance(value, Source) else value
    return msgpack.packb(fields, use_bin_type=True)  # type: ignore[no-any-return]


def decode_text(payload: bytes) -> str:
    """Only the text of a proven payload of a fragment."""
    text: str = msgpack.unpackb(payload, raw=False, strict_map_key=False)["t"]
    return text


def decode_content(payload: bytes) -> Content:
    """The content of a proven payload."""
    fields = msgpack.unpackb(payload, raw=False, strict_map_key=False)
    get = fields.get
    source = get("f")
    return Content(
        fields["t"], get("p"), get("o"), get("k", "note"), get("m") or {}, get("u"), get("a"), get("s"),
        get("c"), get("x"), _decode_source(source) if source is not None else None, get("v"), get("e"),
    )  # fmt: skip


def _encode_source(source: Source) -> list[Any]:
    start, end = source.span or (None, None)
    digest = bytes.fromhex(source.digest) if source.digest else None
    return [source.path, start, end, digest, source.line]


def _decode_source(value: list[Any]) -> Source:
    path, start, end, digest, line = value
    span = (start, end) if start is not None else None
    return Source(path=path, span=span, digest=digest.hex() if digest else None, line=line)


def pack_map(value: Mapping[str, Any]) -> bytes:
    """Any other payload (memory, footer, rewrite) as a MessagePack map."""
    return msgpack.packb(dict(value), use_bin_type=True)  # type: ignore[no-any-return]


def unpack_map(payload: bytes) -> dict[str, Any]:
    """The map of a proven payload."""
    value = msgpack.unpackb(payload, raw=False, strict_map_key=False)
    assert isinstance(value, dict)
    return value


def validate_source(source: Any) -> Source | None:
    """`source`, or InvalidInput if a record could not hold it: a path that is text, numbers from 0 to 2^63,
    a span that does not end before it begins, a digest of 32 hexadecimal digits.
    """
    if source is None:
        return None
    if not isinstance(source, Source) or not isinstance(source.path, str):
        raise InvalidInput("source must be a Source with a path.")
    try:
        source.path.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("The path of the source has a lone surrogate.") from error
    span, line, digest = source.span, source.line, source.digest
    if span is not None and not (len(span) == 2 and all(map(_is_whole, span)) and span[0] <= span[1]):
        raise InvalidInput("The span of the source must be its first and its past-the-end byte.")
    if line is not None and not _is_whole(line):
        raise InvalidInput("The line of the source must be a whole number.")
    if digest and not (isinstance(digest, str) and _SOURCE_DIGEST.fullmatch(digest)):
        raise InvalidInput("The digest of the source must be 32 hexadecimal digits.")
    return source


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _WHOLE


def validate_metadata(metadata: Mapping[str, Any], limit_bytes: int) -> dict[str, Any]:
    """A plain copy of `metadata`, or InvalidInput: text keys, JSON values, finite numbers, bounded depth and
    size.
    """
    plain = _plain(metadata, 0, "metadata")
    assert isinstance(plain, dict)
    if plain:
        try:
            size = len(msgpack.packb(plain, use_bin_type=True))
        except (OverflowError, ValueError, UnicodeEncodeError) as error:
            raise InvalidInput(f"The metadata cannot be stored: {error}.") from error
        if size > limit_bytes:
            raise TooLarge(f"The metadata has {size} bytes; metadata_bytes allows {limit_bytes}.")
    return plain


def _plain(value: Any, depth: int, where: str) -> Any:
    if depth > _METADATA_DEPTH:
        raise InvalidInput(f"{where} is nested deeper than {_METADATA_DEPTH} levels.")
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(f"{where} is {value}; numbers must be finite.")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidInput(f"{where} has the key {key!r}; keys must be text.")
        return {key: _plain(inner, depth + 1, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, depth + 1, f"{where}[{n}]") for n, inner in enumerate(value)]
    raise InvalidInput(
        f"{where} is a {type(value).__name__}; metadata holds text, numbers, true, false, null, lists, maps."
    )
