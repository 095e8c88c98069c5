"""The rung "replica": what another copy of the memory still has.

A replica is another memory's folder (a snapshot, a backup), an archive, or a JSON Lines export. A record of
the same memory is taken whole: the same store id, write, version, time, length and text digest, and its own
payload digest proves the rest. From any other only the text is taken, where it is that of the same fragment
and version and has the lost text's digest. A folder or file that is none of these may still be where texts
were ingested from (`roots`).

A replica of an encrypted memory is opened with the same owner's key, whatever memory it is; one that another
key sealed says nothing. So a copy that outlived the key of its owner brings nothing back.

Rejected: asking a replica about each lost record; it is read once, for all of them.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from carma.errors import CarmaError, VaultNeeded, VaultWrong
from carma.healing.lingering import moved_to
from carma.ports.disk import LocalDisk
from carma.store.archived import Archived
from carma.store.identity import Identity
from carma.store.manifest import Manifest
from carma.store.opening import known_identity
from carma.store.parity import Spreads
from carma.store.payload import decode_text
from carma.store.record import RecordDamaged, RecordKind
from carma.store.scan import Intact, merge_copies
from carma.store.sealing import PLAIN, Sealing
from carma.store.segments import Segments

__all__ = ["Replicas"]

_MOST_TEXTS = 200_000
"""So many lost fragments are looked for at most."""


class Replicas:
    """Other copies of a memory. Opened for reading only, and only when something is lost.

    sources: paths. memory: the id of the memory that is healed. sealing: how it is sealed.
    """

    def __init__(self, sources: Sequence[str], memory: str, sealing: Sealing = PLAIN) -> None:
        self._memory = memory
        self._sealing = sealing
        self._paths = [os.path.abspath(os.path.expanduser(path)) for path in sources]
        self.roots = [path for path in self._paths if not _is_memory(path) and not _is_export(path)]
        """Those of the sources that hold what was ingested."""
        self._troubled: dict[str, str] = {}
        self._wanted: set[int] = set()
        self._asked: set[tuple[bytes, int]] = set()
        self._records: dict[int, Intact] = {}
        self._texts: dict[tuple[bytes, int], list[str]] = {}

    @property
    def troubles(self) -> Counter[str]:
        """Why sources could not be used, with counts."""
        return Counter(self._troubled.values())

    def look_for(self, writes: Iterable[int], fragments: Iterable[tuple[bytes, int]]) -> None:
        """Read the sources for these writes of the same memory, and for texts by fragment and version."""
        fresh = set(writes) - self._wanted
        asked = set(list(fragments)[:_MOST_TEXTS]) - self._asked
        if not fresh and not asked:
            return
        self._wanted |= fresh
        self._asked |= asked
        for path in self._paths:
            try:
                if _is_memory(path):
                    self._folder(path)
                elif tarfile.is_tarfile(path) if os.path.isfile(path) else False:
                    self._archive(path)
                elif _is_export(path):
                    self._lines(path)
                elif not os.path.exists(path):
                    self._troubled[path] = "a source does not exist"
            except (VaultNeeded, VaultWrong):
                self._troubled[path] = "a source is encrypted by another key"
            except (OSError, CarmaError, tarfile.TarError, EOFError):
                self._troubled[path] = "a source cannot be read"

    def record(self, manifest: Manifest, index: int) -> Intact | None:
        """The record of a spread, from a replica of the same memory, proven in its own place here."""
        there = self._records.get(manifest.records[index].seq)
        return moved_to(manifest, index, there) if there is not None else None

    def text(self, id: bytes, version: int, digest: bytes) -> str | None:
        """The text of a fragment's version, if one of the sources has one with this digest."""
        for text in self._texts.get((id, version), ()):
            if digest and self._sealing.text_digest(text).startswith(digest):
                return text
        return None

    # Reading

    def _folder(self, path: str) -> None:
        disk = LocalDisk()
        segments = Segments(disk, path)
        try:
            identity = known_identity(disk, path)
            segments.sealing = self._theirs(identity)
            self._take_all(identity, _everything(segments, Spreads(segments)), segments.sealing)
        finally:
            segments.close()

    def _archive(self, path: str) -> None:
        with open(path, "rb") as file:
            archive = Archived(file, path)
            self._take_all(archive.identity, archive.records(), self._theirs(archive.identity))

    def _theirs(self, identity: Identity | None) -> Sealing:
        """How a source is sealed. Raises VaultNeeded, VaultWrong."""
        if identity is None or identity.encryption is None:
            return PLAIN
        identity.check(self._sealing.cipher)
        return Sealing(self._sealing.cipher, identity.id)

    def _take_all(self, identity: Identity | None, items: Iterable[Intact], sealing: Sealing) -> None:
        # A record is taken as it is stored, so it must be sealed as ours are.
        same = identity is not None and identity.id == self._memory
        same = same and (sealing.cipher is None) == (self._sealing.cipher is None)
        for item in items:
            self._take(item, same, sealing)

    def _lines(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    value = json.loads(line)
                    key = bytes.fromhex(value["id"]), int(value["version"])
                    if value["state"] == "intact" and key in self._asked:
                        self._texts.setdefault(key, []).append(str(value["text"]))
                except (ValueError, KeyError, TypeError):
                    continue

    def _take(self, item: Intact, same: bool, sealing: Sealing) -> None:
        header = item.header
        if same and header.seq in self._wanted:
            self._records.setdefault(header.seq, item)
        key = (header.id, header.version)
        if header.kind == RecordKind.FRAGMENT and key in self._asked:
            with suppress(RecordDamaged):
                text = decode_text(sealing.payload(item.header, item.payload))
                self._texts.setdefault(key, []).append(text)


def _everything(segments: Segments, spreads: Spreads) -> Iterator[Intact]:
    """Every record that a memory's folder can give, read or decoded."""
    listed: set[int] = set()
    for manifest in spreads.manifests():
        listed.update(manifest.segments)
        yield from (item for _, item in spreads.members(manifest) if item is not None)
    for number in segments.numbers():
        if number not in listed:
            found = merge_copies(*segments.both(number), number)
            yield from (item for item in found if isinstance(item, Intact))


def _is_memory(path: str) -> bool:
    return os.path.isfile(f"{path}/memory.json") or os.path.isdir(f"{path}/segments")


def _is_export(path: str) -> bool:
    """Whether it is something that `carma export` wrote."""
    if not os.path.isfile(path):
        return False
    try:
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                return any(name.startswith("memory/") for name in archive.getnames()[:10])
        with open(path, "rb") as file:
            return b'"carma_export"' in file.readline(4096)
    except (OSError, tarfile.TarError):
        return False
