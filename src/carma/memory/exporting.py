"""Exporting: JSON Lines for people and other programs, archives for a lossless move.

A JSON Lines export begins with one line about the memory and then has one fragment a line, with the given
vectors in base64. An archive is a tar file of a snapshot: every version, every deletion, every byte. Both are
written straight into their file, sealed on the way if they are for somebody: no text reaches a disk in the
clear that was not to. Rejected: an archive put together in a temporary folder (a killed process leaves it).
"""

from __future__ import annotations

import base64
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from carma.access.vault.recipients import Recipient
from carma.access.vault.sealedfile import SealedWriter
from carma.errors import InvalidInput, MemoryExists, StorageError
from carma.memory.handed import note_handed_out
from carma.memory.reading import fragment_of
from carma.memory.snapshot import parts_of
from carma.store.identity import identity_bytes
from carma.store.record import RecordDamaged, text_digest
from carma.store.store import Store

if TYPE_CHECKING:
    from carma.memory.parts import Parts

__all__ = ["EXPORT_FORMAT", "export", "export_values"]

EXPORT_FORMAT = 1
"""Of JSON Lines exports; stands in their first line."""


def export(
    parts: Parts, target: str, format: str, history: bool, to: Recipient | None = None
) -> dict[str, Any]:
    """Write the memory to the file `target`, under a temporary name until it is whole.

    to: whom the file is sealed for; the texts then reach no disk in the clear on the way.
    """
    if format not in ("jsonl", "archive"):
        raise InvalidInput(f"format is {format!r}; it is 'jsonl' or 'archive'.")
    if os.path.exists(target):
        raise MemoryExists(f"{target} exists already.")
    if not os.path.isdir(os.path.dirname(os.path.abspath(target))):
        raise InvalidInput(f"There is no folder {os.path.dirname(os.path.abspath(target))} to export to.")
    temporary = f"{target}.part"
    note_handed_out(parts.store, format, os.path.abspath(target), to.fingerprint if to is not None else None)
    try:
        with _written(temporary, to) as file:
            if format == "jsonl":
                counts = _export_lines(parts, file, history)
            else:
                counts = _export_archive(parts.store, file)
        os.replace(temporary, target)
    except OSError as error:
        raise StorageError(f"Could not write {target} ({error.strerror or error}).") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return {"path": target, "format": format, **counts}


@contextmanager
def _written(path: str, to: Recipient | None) -> Iterator[BinaryIO]:
    """A new file of mode 0600 to write to, sealed on the way if it is for somebody; durable behind the
    block.
    """
    with open(path, "wb", opener=_private) as file:
        if to is None:
            yield file
        else:
            with SealedWriter(file, to) as sealed:
                yield cast(BinaryIO, sealed)
        file.flush()
        os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _export_lines(parts: Parts, file: BinaryIO, history: bool) -> dict[str, Any]:
    counts = {"fragments": 0, "blank": 0}
    file.writelines(_line(value) for value in export_values(parts, history, counts))
    return counts


def export_values(
    parts: Parts, history: bool, counts: dict[str, int] | None = None
) -> Iterator[dict[str, Any]]:
    """The lines of an export: the one about the memory, then one for each fragment.

    history: also older versions and what was deleted. counts: fragments and blanks are counted in it.
    """
    counts = {"fragments": 0, "blank": 0} if counts is None else counts
    store = parts.store
    store.settle()
    sealed = store.sealing.cipher is not None
    which = "kind <> 'tombstone' OR NOT live" if history else "live"
    rows = store.registry.rows(
        f"SELECT seq, segment, offset, length FROM fragments WHERE {which} ORDER BY seq"
    )
    yield {"carma_export": EXPORT_FORMAT, "id": store.identity.id, "embedder": store.identity.embedder}
    for row in rows:
        try:
            entry = store.read_entry(*row)
            value = fragment_of(entry).to_dict()
            if entry.content is not None and entry.content.vector is not None:
                value["vector"] = base64.b64encode(entry.content.vector).decode()
                value["embedder_tag"] = (entry.content.embedder or b"").hex()
        except RecordDamaged:
            value = parts.reader.at(*row).to_dict()
            counts["blank"] += 1
        if sealed and value["digest"] and value["state"] != "blank":
            # Who reads the file has the text and not the key: the digest is to be one that proves it.
            value["digest"] = text_digest(value["text"]).hex()
        counts["fragments"] += 1
        yield value


def _line(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _export_archive(store: Store, file: BinaryIO) -> dict[str, Any]:
    counts = {"segments": 0, "bytes": 0, "damaged": 0}
    with tarfile.open(fileobj=file, mode="w|") as archive:

        def put(name: str, size: int, data: IO[bytes]) -> None:
            entry = tarfile.TarInfo(f"memory/{name}")
            entry.size, entry.mtime = size, int(store.clock.now())
            archive.addfile(entry, data)

        said = identity_bytes(store.identity)
        put("memory.json", len(said), BytesIO(said))
        # The mirror holds the same bytes; on the way one copy is enough.
        for part in parts_of(store):
            put(part.name, part.size, cast("IO[bytes]", part.data))
            counts["segments"] += part.name.startswith("segments/")
            counts["bytes"] += part.size
            counts["damaged"] += part.damaged
    return dict(counts)
