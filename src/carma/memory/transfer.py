"""Export and import: JSON Lines for people and other programs, archives for a lossless move.

A JSON Lines export begins with one line about the memory and then has one fragment a line, with the given
vectors in base64. An archive is a tar file of a snapshot: every version, every deletion, every byte.
Importing merges: what is here already stays, a higher version wins, a deletion is kept as a deletion. Records
of an archive are proven one by one.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carma.errors import ArchiveDamaged, InvalidInput, MemoryExists, StorageError
from carma.memory.ids import id_bytes
from carma.memory.reading import fragment_of
from carma.memory.snapshot import snapshot
from carma.models import Source
from carma.ports.disk import LocalDisk
from carma.store.commit import View
from carma.store.entry import Draft, Entry, entry_of
from carma.store.identity import read_identity
from carma.store.payload import Content, encode_content, validate_metadata
from carma.store.record import NO_DIGEST, RecordDamaged, RecordKind, text_digest
from carma.store.scan import Intact, merge_copies
from carma.store.segments import Segments

if TYPE_CHECKING:
    from carma.memory.parts import Parts

__all__ = ["export", "import_"]

FORMAT = 1
_BATCH = 500


# Out


def export(parts: Parts, target: str, format: str, history: bool) -> dict[str, Any]:
    """Write the memory to the file `target`, under a temporary name until it is whole."""
    if format not in ("jsonl", "archive"):
        raise InvalidInput(f"format is {format!r}; it is 'jsonl' or 'archive'.")
    if os.path.exists(target):
        raise MemoryExists(f"{target} exists already.")
    if not os.path.isdir(os.path.dirname(os.path.abspath(target))):
        raise InvalidInput(f"There is no folder {os.path.dirname(os.path.abspath(target))} to export to.")
    temporary = f"{target}.part"
    try:
        counts = (
            _export_lines(parts, temporary, history)
            if format == "jsonl"
            else _export_archive(parts, temporary)
        )
        os.replace(temporary, target)
    except OSError as error:
        raise StorageError(f"Could not write {target} ({error.strerror or error}).") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return {"path": target, "format": format, **counts}


def _export_lines(parts: Parts, path: str, history: bool) -> dict[str, Any]:
    store = parts.store
    store.settle()
    which = "kind <> 'tombstone' OR NOT live" if history else "live"
    rows = store.registry.rows(
        f"SELECT seq, segment, offset, length FROM fragments WHERE {which} ORDER BY seq"
    )
    counts = {"fragments": 0, "blank": 0}
    with open(path, "w", encoding="utf-8") as file:
        head = {"carma_export": FORMAT, "id": store.identity.id, "embedder": store.identity.embedder}
        file.write(json.dumps(head, ensure_ascii=False) + "\n")
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
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
            counts["fragments"] += 1
        file.flush()
        os.fsync(file.fileno())
    return counts


def _export_archive(parts: Parts, path: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(path))) as folder:
        counts = snapshot(parts.store, f"{folder}/memory")
        with tarfile.open(path, "w") as archive:
            # The mirror holds the same bytes; on the way one copy is enough.
            for name in ("memory.json", "segments", "index"):
                archive.add(f"{folder}/memory/{name}", arcname=f"memory/{name}")
    return dict(counts)


# In


def import_(parts: Parts, source: str) -> dict[str, Any]:
    """Merge an export into the memory."""
    if not os.path.isfile(source):
        raise InvalidInput(f"{source} is not a file.")
    drafts = _archive_drafts(source) if tarfile.is_tarfile(source) else _line_drafts(parts, source)
    counts = {"imported": 0, "kept": 0, "unreadable": 0}
    batch: list[Draft] = []
    try:
        for draft in drafts:
            if draft is None:
                counts["unreadable"] += 1
                continue
            batch.append(draft)
            if len(batch) >= _BATCH:
                _merge(parts, batch, counts)
                batch = []
    finally:
        _merge(parts, batch, counts)
    return {"path": source, **counts}


def _merge(parts: Parts, drafts: Sequence[Draft], counts: dict[str, int]) -> None:
    """Write those drafts that are news: an unknown version of a fragment, or the end of one that is alive."""
    if not drafts:
        return
    store = parts.store
    store.settle()
    known = {
        (row[0], row[1])
        for draft in drafts
        for row in store.registry.rows("SELECT id, version FROM fragments WHERE id=?", (draft.id,))
    }
    news = [draft for draft in drafts if (draft.id, draft.version) not in known]

    def prepare(view: View) -> Sequence[Draft]:
        return news

    if news:
        store.commit(prepare)
    counts["imported"] += len(news)
    counts["kept"] += len(drafts) - len(news)


def _line_drafts(parts: Parts, path: str) -> Iterator[Draft | None]:
    """Drafts of a JSON Lines export; None for a line that is a blank. Raises ArchiveDamaged."""
    limit = parts.store.settings.metadata_bytes
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                value = json.loads(line)
                if number == 1:
                    if value["carma_export"] > FORMAT:
                        raise ArchiveDamaged(f"{path} was written by a newer CARMA.")
                    continue
                yield _line_draft(value, limit)
            except (ValueError, KeyError, TypeError, AttributeError, InvalidInput, binascii.Error) as error:
                raise ArchiveDamaged(f"Line {number} of {path} cannot be read ({error}).") from error


def _line_draft(value: dict[str, Any], metadata_bytes: int) -> Draft | None:
    if value["state"] == "blank":
        return None
    id, version = id_bytes(value["id"]), int(value["version"])
    if value.get("deleted"):
        return Draft(RecordKind.TOMBSTONE, id, version, b"", NO_DIGEST, None)
    vector = value.get("vector")
    content = Content(
        value["text"],
        id_bytes(value["parent"]) if value.get("parent") else None,
        float(value["position"]),
        value["kind"],
        validate_metadata(value["metadata"], metadata_bytes),
        value["user"],
        value["agent"],
        value["session"],
        round(value["created"] * 1000),
        value["expires"],
        Source.from_dict(value["source"]) if value["source"] else None,
        base64.b64decode(vector) if vector else None,
        bytes.fromhex(value["embedder_tag"]) if vector else None,
    )
    digest = text_digest(content.text)
    if value.get("digest") and value["digest"] != digest.hex():
        raise ArchiveDamaged(f"The text of fragment {value['id']} does not have its digest.")
    time_ms = round(value["updated"] * 1000)
    return Draft(RecordKind.FRAGMENT, id, version, encode_content(content), digest, content, False, time_ms)


def _archive_drafts(path: str) -> Iterator[Draft | None]:
    """Drafts of every record of an archive; None for a damaged one. Raises ArchiveDamaged, FormatTooNew."""
    with tempfile.TemporaryDirectory(prefix="carma-import-") as folder:
        try:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ArchiveDamaged(f"{path} is not a whole archive ({error}).") from error
        disk, root = LocalDisk(), f"{folder}/memory"
        if read_identity(disk, root) is None:
            raise ArchiveDamaged(f"{path} holds no memory.")
        segments = Segments(disk, root)
        for entry in _entries(segments):
            if entry is None:
                yield None
            else:
                payload = encode_content(entry.content) if entry.content is not None else b""
                content = entry.content
                if content is not None and content.created_ms is None:
                    content = content._replace(created_ms=entry.created_ms, position=entry.position)
                    payload = encode_content(content)
                yield Draft(
                    RecordKind(entry.kind),
                    entry.id,
                    entry.version,
                    payload,
                    entry.text_digest,
                    content,
                    time_ms=entry.time_ms,
                )
        segments.close()
        shutil.rmtree(root, ignore_errors=True)


def _entries(segments: Segments) -> Iterator[Entry | None]:
    """Every fragment and tombstone in the order of writing; None for a damaged one."""
    found: dict[int, tuple[int, int, int]] = {}
    damaged = 0
    for number in segments.numbers():
        for item in merge_copies(*segments.both(number), number):
            if not isinstance(item, Intact):
                damaged += 1
            elif item.header.kind in (RecordKind.FRAGMENT, RecordKind.TOMBSTONE):
                header = item.header
                found[header.seq] = (number, header.offset, header.end - header.offset)
    yield from (None for _ in range(damaged))
    for seq in sorted(found):
        yield entry_of(segments.read(*found[seq]))
