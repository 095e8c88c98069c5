"""Importing: what an export wrote is merged into a memory.

What is here already stays, a higher version wins, a deletion is kept as a deletion. Records of an archive are
proven one by one, where they lie in it; a sealed file is proven to its end before anything of it is taken in.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from carma.access.vault.recipients import Identity
from carma.access.vault.sealedfile import PIECE_BYTES, SealedReader, is_sealed, verify_file
from carma.errors import ArchiveDamaged, InvalidInput
from carma.memory.exporting import EXPORT_FORMAT
from carma.memory.ids import id_bytes
from carma.models import Source
from carma.store.archived import Archived
from carma.store.commit import View
from carma.store.entry import Draft, Entry, entry_of
from carma.store.payload import Content, encode_content, validate_metadata
from carma.store.record import NO_DIGEST, RecordDamaged, RecordKind, text_digest
from carma.store.sealing import PLAIN, Sealing

if TYPE_CHECKING:
    from carma.memory.parts import Parts

__all__ = ["import_"]

_TAR_BEGIN, _TAR_END = 257, 262
"""Where a tar file says what it is (POSIX.1-1988)."""
_BATCH = 500


def import_(parts: Parts, source: str, identity: Identity | None = None) -> dict[str, Any]:
    """Merge an export into the memory.

    identity: opens a sealed one, which is proven to its end before anything of it is taken in.
    """
    if not os.path.isfile(source):
        raise InvalidInput(f"{source} is not a file.")
    with _read(source, identity) as file:
        return {"path": source, **_merge_all(parts, source, file)}


@contextmanager
def _read(path: str, identity: Identity | None) -> Iterator[BufferedReader]:
    """An export to read from. Raises InvalidInput, IdentityWrong, SealedDamaged, SealedTruncated."""
    sealed = is_sealed(Path(path))
    if sealed and identity is None:
        raise InvalidInput(f"{path} is sealed.", hint="Name the identity that opens it: `--identity FILE`.")
    if identity is not None and not sealed:
        raise InvalidInput(f"{path} is not sealed.", hint="Leave the identity out to import it as it is.")
    with open(path, "rb") as file:
        if identity is None:
            yield file
            return
        verify_file(Path(path), identity)
        with BufferedReader(SealedReader(file, identity), PIECE_BYTES) as opened:
            yield cast(BufferedReader, opened)


def _merge_all(parts: Parts, source: str, file: BufferedReader) -> dict[str, int]:
    if file.peek(_TAR_END)[_TAR_BEGIN:_TAR_END] == b"ustar":
        drafts = _archive_drafts(source, file, parts.store.sealing)
    else:
        drafts = _line_drafts(parts, source, file)
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
    return counts


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
        parts.actor.commit(prepare)
    counts["imported"] += len(news)
    counts["kept"] += len(drafts) - len(news)


def _line_drafts(parts: Parts, path: str, file: BufferedReader) -> Iterator[Draft | None]:
    """Drafts of a JSON Lines export; None for a line that is a blank. Raises ArchiveDamaged."""
    limit = parts.store.settings.metadata_bytes
    for number, line in enumerate(file, 1):
        try:
            value = json.loads(line)
            if number == 1:
                if value["carma_export"] > EXPORT_FORMAT:
                    raise ArchiveDamaged(f"{path} was written by a newer CARMA.")
                continue
            yield _line_draft(value, limit, parts.store.sealing)
        except (ValueError, KeyError, TypeError, AttributeError, InvalidInput, binascii.Error) as error:
            raise ArchiveDamaged(f"Line {number} of {path} cannot be read ({error}).") from error


def _line_draft(value: dict[str, Any], metadata_bytes: int, sealing: Sealing) -> Draft | None:
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
    if value.get("digest") and value["digest"] != text_digest(content.text).hex():
        raise ArchiveDamaged(f"The text of fragment {value['id']} does not have its digest.")
    digest = sealing.text_digest(content.text)
    time_ms = round(value["updated"] * 1000)
    return Draft(RecordKind.FRAGMENT, id, version, encode_content(content), digest, content, False, time_ms)


def _archive_drafts(path: str, file: BufferedReader, sealing: Sealing) -> Iterator[Draft | None]:
    """Drafts of every write of an archive; None for a damaged one.

    sealing: of the memory that takes them in; an encrypted archive must be sealed by the same key.
    Raises ArchiveDamaged, FormatTooNew, VaultNeeded, VaultWrong.
    """
    archive = Archived(file, path)
    identity = archive.identity
    theirs = PLAIN
    if identity.encryption is not None:
        identity.check(sealing.cipher)
        theirs = Sealing(sealing.cipher, identity.id)
    yield from (None for _ in range(archive.damaged))
    for item in archive.records():
        if item.header.kind in (RecordKind.FRAGMENT, RecordKind.TOMBSTONE):
            try:
                yield _draft(entry_of(item, theirs), sealing)
            except RecordDamaged:
                yield None


def _draft(entry: Entry, sealing: Sealing) -> Draft:
    content = entry.content
    if content is not None and content.created_ms is None:
        content = content._replace(created_ms=entry.created_ms, position=entry.position)
    return Draft(
        RecordKind(entry.kind),
        entry.id,
        entry.version,
        encode_content(content) if content is not None else b"",
        sealing.text_digest(content.text) if content is not None else NO_DIGEST,
        content,
        time_ms=entry.time_ms,
    )
