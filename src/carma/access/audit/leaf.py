"""The leaf: what the audit log says of one event, as canonical JSON (RFC 8785).

A leaf names nobody and quotes nothing. It has four kinds of members, and no other fits in: tags (HMACs of
ids under the owner's audit key), whole numbers, words from small vocabularies, and lists of tags with
versions. So it can be shown to anybody, and when the owner's audit key is destroyed nobody can tell any more
whose it was, while the log still verifies.

The bytes are canonical, so an event has one leaf however often it is made: that is what lets the sequencer
copy it again after a crash. Rejected: ids in the clear (they cannot be forgotten), salted hashes with the
salt beside them (short ids are guessed).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LEAF_BYTES", "MOST_LISTED", "Leaf", "Versions", "event_of", "parse_leaf"]

LEAF_BYTES = 65_535
"""The longest entry of a log (tlog-tiles: its length is a uint16)."""
MOST_LISTED = 500
"""So many fragments are named one by one; of more, a digest over all of them stands in the leaf."""

Versions = tuple[tuple[str, int], ...]
"""Tags of fragments, and their versions."""

_FORMAT = 1
_LARGEST = 2**53 - 1
_TAG = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[a-z][a-z_]{0,31}")
_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
_OPERATION = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_EVENT = re.compile(rb'[{,]"event":"([0-9a-f]{32})"')
_LISTS = ("written", "ended")
# For ASCII texts without quotation marks and whole numbers this is RFC 8785, and ten times as fast.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_RESERVED = {"leaf", "event", "time", "kind", "operation", "owner", *_LISTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One event. Made by the functions of `leaves`; ValueError where a member is not of its kind.

    event: 32 hexadecimal digits, made once and never again. time_ms: milliseconds since the epoch. kind:
    "change", "dream", "key", "account", "block", "denial", "denials", "reads", "forgeries", "access",
    "erasure". operation: what was done, a word. owner: the owner's tag, None if it is nobody's. tags, words,
    numbers: more members, by name. written, ended: at most `MOST_LISTED` fragments.
    """

    event: str
    time_ms: int
    kind: str
    operation: str
    owner: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    written: Versions = ()
    ended: Versions = ()

    def __post_init__(self) -> None:
        tags = [self.event, *self.tags.values(), *(tag for tag, _ in (*self.written, *self.ended))]
        if self.owner is not None:
            tags.append(self.owner)
        numbers = [self.time_ms, *self.numbers.values(), *(n for _, n in (*self.written, *self.ended))]
        names = [*self.tags, *self.words, *self.numbers]
        _all(_TAG, tags, "tag")
        _all(_WORD, [self.kind, *self.words.values()], "word")
        _all(_OPERATION, [self.operation], "operation")
        _all(_NAME, names, "name")
        if len(set(names)) != len(names) or _RESERVED & set(names):
            raise ValueError("a member of a leaf stands twice")
        if any(type(n) is not int or not 0 <= n <= _LARGEST for n in numbers):
            raise ValueError("a number of a leaf is not a whole number from 0 to 2^53 - 1")
        if max(len(self.written), len(self.ended)) > MOST_LISTED:
            raise ValueError("a leaf lists too many fragments")

    def to_bytes(self) -> bytes:
        """The leaf as the log keeps it."""
        value: dict[str, Any] = {
            "leaf": _FORMAT, "event": self.event, "time": self.time_ms, "kind": self.kind,
            "operation": self.operation, **self.tags, **self.words, **self.numbers,
        }  # fmt: skip
        if self.owner is not None:
            value["owner"] = self.owner
        for name, versions in zip(_LISTS, (self.written, self.ended), strict=True):
            if versions:
                value[name] = [list(each) for each in versions]
        data = _ENCODER.encode(value).encode("ascii")
        assert len(data) <= LEAF_BYTES
        return data

    def to_dict(self) -> dict[str, Any]:
        """The leaf as JSON values."""
        value: dict[str, Any] = json.loads(self.to_bytes())
        return value


def parse_leaf(data: bytes) -> Leaf:
    """The leaf that `data` holds. Raises ValueError unless they are the very bytes that it is written as."""
    try:
        value = json.loads(data)
        if type(value) is not dict or value.pop("leaf") != _FORMAT:
            raise ValueError("not a leaf of this format")
        written, ended = (tuple((tag, n) for tag, n in value.pop(name, ())) for name in _LISTS)
        event, time_ms, kind = value.pop("event"), value.pop("time"), value.pop("kind")
        operation, owner = value.pop("operation"), value.pop("owner", None)
        texts = {name: each for name, each in value.items() if type(each) is str}
        numbers = {name: each for name, each in value.items() if name not in texts}
        tags = {name: each for name, each in texts.items() if _TAG.fullmatch(each)}
        words = {name: each for name, each in texts.items() if name not in tags}
        leaf = Leaf(
            event=event, time_ms=time_ms, kind=kind, operation=operation, owner=owner, tags=tags, words=words,
            numbers=numbers, written=written, ended=ended,
        )  # fmt: skip
        if leaf.to_bytes() != data:
            raise ValueError("not canonical")
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a leaf ({type(error).__name__})") from error
    return leaf


def event_of(entry: bytes) -> str | None:
    """The event that an entry of the log is of; None if it is no leaf."""
    # A leaf is canonical and nothing in it can hold a quotation mark, so its event stands in one place.
    found = _EVENT.search(entry)
    return found[1].decode() if found is not None else None


def _all(pattern: re.Pattern[str], values: Sequence[object], what: str) -> None:
    for value in values:
        if type(value) is not str or not pattern.fullmatch(value):
            raise ValueError(f"a {what} of a leaf is not one")
