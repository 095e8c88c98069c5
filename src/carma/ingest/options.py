"""The bounds of one ingest, each with its unit in its name."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["IngestOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """What is read, how it is cut, and how much is written at once; the defaults suit documents and chats."""

    file_bytes: int = 64 * 2**20
    """A longer file is reported and not read."""
    files: int = 1_000_000
    """More files than this are reported and left out."""
    depth_levels: int = 32
    """Folders nested deeper are reported and left out."""
    paragraph_chars: int = 1_200
    """A longer paragraph is cut at sentence or word borders."""
    batch_operations: int = 512
    """The most operations of one group commit."""
    batch_bytes: int = 4 * 2**20
    """The most text of one group commit, in UTF-8; one operation may be longer."""
    hidden: bool = False
    """Whether files and folders whose name begins with a dot are read."""
    skip: tuple[str, ...] = ("node_modules", "__pycache__")
    """Names of folders that are not entered."""
    follow_links: bool = False
    """Whether symbolic links are followed; loops never are."""
