"""Every error CARMA raises on purpose, as one tree.

    CarmaError
    ├── InvalidInput            the caller's argument cannot be used as given
    │   ├── InvalidFilter       a `where` filter that does not parse
    │   └── TooLarge            over a named bound
    ├── FragmentNotFound        no fragment has this id (or it was deleted)
    ├── VersionConflict         `if_version` does not match what is stored
    ├── MemoryNotFound          no memory at this path
    ├── MemoryExists            a target that must be empty is not
    ├── MemoryBusy              another process holds the turn to write
    ├── MemoryClosed            the memory was closed (or the process forked)
    ├── ReadOnlyMemory          a write on a memory that cannot be written
    ├── FormatTooNew            written by a newer CARMA
    ├── NotAMemory              the path holds something else
    ├── EmbedderError           the embedder failed or answered nonsense
    │   └── EmbedderMismatch    another embedder filled this memory
    ├── StorageError            the disk refused
    │   ├── DiskFull            no space left
    │   ├── DurabilityError     a sync failed; the write may or may not exist
    │   └── NetworkFileSystem   locks and syncs cannot be relied on there
    ├── DreamFailed             a repair cycle ended with an error
    ├── MassDamage              so much is damaged that nothing may be dropped
    ├── ModelError              the language model failed or answered what cannot be used
    ├── MissingExtra            an optional package is not installed
    └── ArchiveDamaged          an archive or export that cannot be read

Each class carries a stable `code`, an HTTP `status`, a command line `exit_code` and a default `hint` that
says what to do. `problem()` renders the one JSON shape of an error (RFC 9457, problem details).
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "ArchiveDamaged",
    "CarmaError",
    "DiskFull",
    "DreamFailed",
    "DurabilityError",
    "EmbedderError",
    "EmbedderMismatch",
    "FormatTooNew",
    "FragmentNotFound",
    "InvalidFilter",
    "InvalidInput",
    "MassDamage",
    "MemoryBusy",
    "MemoryClosed",
    "MemoryExists",
    "MemoryNotFound",
    "MissingExtra",
    "ModelError",
    "NetworkFileSystem",
    "NotAMemory",
    "ReadOnlyMemory",
    "StorageError",
    "TooLarge",
    "VersionConflict",
]


class CarmaError(Exception):
    """Base of every error CARMA raises on purpose."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = "Run `carma doctor` to see what is wrong."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else self.default_hint

    def problem(self) -> dict[str, Any]:
        """The error as problem details: `type`, `title`, `status`, `detail`, `hint` (RFC 9457)."""
        return {
            "type": f"urn:carma:error:{self.code}",
            "title": type(self).__name__,
            "status": self.status,
            "detail": self.message,
            "hint": self.hint,
        }


class InvalidInput(CarmaError):
    """The caller's argument cannot be used as given; nothing was changed."""

    code = "invalid-input"
    status = 422
    exit_code = 2
    default_hint = "Nothing was changed. Correct the argument and call again."


class InvalidFilter(InvalidInput):
    """A `where` filter does not parse."""

    code = "invalid-filter"
    default_hint = "See docs/guides/search.md for the filter language."


class TooLarge(InvalidInput):
    """Something is over a named bound."""

    code = "too-large"
    status = 413
    default_hint = "Split it, or raise the named setting."


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


class DreamFailed(CarmaError):
    """A repair cycle ended with an error; what it had healed stays healed."""

    code = "dream-failed"
    exit_code = 16
    default_hint = "Run `carma dream` again; it goes on where it stopped. `carma dreams` says what happened."


class MassDamage(CarmaError):
    """So much is damaged at once that nothing may be dropped until someone has looked."""

    code = "mass-damage"
    status = 409
    exit_code = 14
    default_hint = "Look at `carma scan`; when it is clear what happened, `carma scan --clear-breaker`."


class MissingExtra(CarmaError):
    """An optional package is not installed."""

    code = "missing-extra"
    status = 501
    exit_code = 10
    default_hint = "Install the extra that the message names."


class ModelError(CarmaError):
    """The language model could not be asked, or answered something that cannot be used.

    reason: "unreachable", "slow", "refused" (4xx), "failed" (5xx), "nonsense" (no such answer as the API
    promises), "empty", "not-text", "refusal", "too-long", "echo".
    """

    code = "model-error"
    status = 502
    exit_code = 15
    default_hint = "Nothing was changed; the fragment is rebuilt without the model. Check the endpoint."

    def __init__(self, message: str, *, reason: str = "failed", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class ArchiveDamaged(CarmaError):
    """An archive or export cannot be read to its end."""

    code = "archive-damaged"
    status = 422
    exit_code = 11
    default_hint = "What was read before the damage was imported; the report counts it."
