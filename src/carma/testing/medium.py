"""What a simulated disk holds: files with the writes that are not durable yet, and names that are not durable
yet.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

__all__ = ["SECTOR_BYTES", "Inode", "NameChange", "Write"]

SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Write:
    """A write, or with `data` None a cut to `offset` bytes."""

    offset: int
    data: bytes | None


@dataclass(slots=True)
class Inode:
    """A file or a folder, apart from its names.

    seen: what reading gives. durable: what outlives a power loss. pending: what was done since the last sync.
    """

    folder: bool = False
    seen: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write] = field(default_factory=list)
    modified: float = 0.0

    def change(self, write: Write) -> None:
        """Do it, for now only in what reading gives."""
        _apply(self.seen, write)
        self.pending.append(write)

    def sync(self) -> None:
        """Make everything pending durable."""
        for write in self.pending:
            _apply(self.durable, write)
        self.pending.clear()

    def after_power_loss(self, chance: random.Random) -> Inode:
        """The file as it is found afterwards: each pending write survived, was lost, or survived in some
        sectors.
        """
        left = bytearray(self.durable)
        for write in self.pending:
            fate = chance.choice(("survived", "lost", "torn"))
            if fate == "survived":
                _apply(left, write)
            elif fate == "torn" and write.data is not None:
                _tear(left, write, chance)
        return Inode(self.folder, bytearray(left), left, [], self.modified)

    def copy(self) -> Inode:
        """The same file on another disk."""
        return Inode(
            self.folder, bytearray(self.seen), bytearray(self.durable), list(self.pending), self.modified
        )


@dataclass(frozen=True, slots=True)
class NameChange:
    """A name that was given (`new`), taken away (`old`) or both at once (a rename)."""

    old: str | None
    new: str | None
    inode: Inode | None

    def apply(self, names: dict[str, Inode]) -> None:
        """Do it in a table of names."""
        if self.old is not None:
            names.pop(self.old, None)
        if self.new is not None and self.inode is not None:
            names[self.new] = self.inode


def _apply(content: bytearray, write: Write) -> None:
    if write.data is None:
        del content[write.offset :]
        content.extend(bytes(write.offset - len(content)))
        return
    content.extend(bytes(max(write.offset - len(content), 0)))
    content[write.offset : write.offset + len(write.data)] = write.data


def _tear(content: bytearray, write: Write, chance: random.Random) -> None:
    """Let some sectors of a write arrive; at times the file has its new length and zeros where nothing
    arrived.
    """
    assert write.data is not None
    end = write.offset + len(write.data)
    for sector in range(write.offset // SECTOR_BYTES * SECTOR_BYTES, end, SECTOR_BYTES):
        if chance.random() < 0.5:
            first, last = max(sector, write.offset), min(sector + SECTOR_BYTES, end)
            _apply(content, Write(first, write.data[first - write.offset : last - write.offset]))
    if chance.random() < 0.5:
        content.extend(bytes(max(end - len(content), 0)))
