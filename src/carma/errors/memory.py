"""What can go wrong with a memory on its disk, and with its embedder."""

from __future__ import annotations

from carma.errors.base import CarmaError

__all__ = [
    "ArchiveDamaged",
    "DiskFull",
    "DurabilityError",
    "EmbedderError",
    "EmbedderMismatch",
    "FormatTooNew",
    "FragmentNotFound",
    "MemoryBusy",
    "MemoryClosed",
    "MemoryExists",
    "MemoryNotFound",
    "NetworkFileSystem",
    "NotAMemory",
    "ReadOnlyMemory",
    "StorageError",
    "VersionConflict",
]


class FragmentNotFound(CarmaError):
    """No fragment has this id, or it was deleted or has expired."""

    code = "fragment-not-found"
    status = 404
    exit_code = 3
    default_hint = "Check the id with `carma list`."


class VersionConflict(CarmaError):
    """The stored version is not the one the caller expected."""

    code = "version-conflict"
    status = 412
    exit_code = 4
    default_hint = "Read the fragment again and repeat the change."


class MemoryNotFound(CarmaError):
    """There is no memory at this path."""

    code = "memory-not-found"
    status = 404
    exit_code = 3
    default_hint = "Check the path, or create one with `carma add` or `carma ingest`."


class MemoryExists(CarmaError):
    """A target that must be empty is not."""

    code = "memory-exists"
    status = 409
    exit_code = 4
    default_hint = "Choose another path; nothing was written."


class MemoryBusy(CarmaError):
    """Another process holds the turn to write and did not give it back in time."""

    code = "memory-busy"
    status = 503
    exit_code = 5
    default_hint = "Nothing was written. Try again, or end the process that holds the turn."

    def __init__(self, message: str, *, pid: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.pid = pid


class MemoryClosed(CarmaError):
    """The memory was closed, or the process forked after it was opened."""

    code = "memory-closed"
    status = 503
    default_hint = "Open the memory again with Memory.open(path)."


class ReadOnlyMemory(CarmaError):
    """A write was asked of a memory that cannot be written."""

    code = "read-only"
    status = 403
    exit_code = 6
    default_hint = "Reading works. Open it where you may write, or copy it with `carma snapshot`."


class FormatTooNew(CarmaError):
    """The memory was written by a newer CARMA."""

    code = "format-too-new"
    exit_code = 7
    default_hint = "Nothing was touched. Install the newer CARMA to open it."


class NotAMemory(CarmaError):
    """The path holds something that is not a memory."""

    code = "not-a-memory"
    exit_code = 7
    default_hint = "Nothing was touched. Choose an empty folder or a memory."


class EmbedderError(CarmaError):
    """The embedder failed, or answered something that is not a vector."""

    code = "embedder"
    status = 502
    exit_code = 8
    default_hint = "Texts are stored and findable by words; vectors follow when the embedder works again."


class EmbedderMismatch(EmbedderError):
    """The memory was filled by another embedder; vectors of two embedders do not compare."""

    code = "embedder-mismatch"
    status = 409
    default_hint = "Open with the embedder that filled it, or move it with `carma reembed`."


class StorageError(CarmaError):
    """The disk refused."""

    code = "storage"
    status = 507
    exit_code = 9
    default_hint = "Acknowledged writes are safe. Check the disk, then try again."


class DiskFull(StorageError):
    """No space is left; the write that raised this was not acknowledged."""

    code = "disk-full"
    default_hint = "Acknowledged writes are safe and readable. Free some space, then try again."


class DurabilityError(StorageError):
    """A sync failed: the write that raised this may or may not exist after a restart."""

    code = "durability"
    default_hint = (
        "Earlier writes are safe. The file is no longer written to; check the disk, then try again."
    )


class NetworkFileSystem(StorageError):
    """The path lies on a network file system, where locks and syncs cannot be relied on."""

    code = "network-file-system"
    default_hint = "Put the memory on a local disk; nothing was written."


class ArchiveDamaged(CarmaError):
    """An archive or export cannot be read to its end."""

    code = "archive-damaged"
    status = 422
    exit_code = 11
    default_hint = "What was read before the damage was imported; the report counts it."
