"""Looking at what is disposable or small: memory.json, the registry, the vectors.

Nothing is ever lost by what is wrong here: the identity stands in every segment and manifest, and the index
is made again. The file of the trained vector index proves itself when it is loaded, and is not read by the
beacon.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import apsw

from carma.errors import CarmaError
from carma.healing.inventory import Place
from carma.healing.look import Files, Seen, kind_of
from carma.reports import Finding
from carma.store.identity import read_identity
from carma.store.manifest import Manifest
from carma.store.registry import Registry, RegistryDamaged, registry_names
from carma.store.store import Store
from carma.store.vectors import MAGIC, VectorsFile

__all__ = ["look_at_identity", "look_at_registry", "look_at_vectors"]

_VECTORS_HEAD = struct.Struct("<8sIII")
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0"
_UNKNOWN = """
SELECT value FROM json_each(?) WHERE value NOT IN (SELECT seq FROM fragments)
AND value NOT IN (SELECT seq FROM other)
AND NOT EXISTS (SELECT 1 FROM dropped WHERE value BETWEEN first AND last)
"""


def look_at_identity(store: Store, files: Files) -> Seen:
    """memory.json: there, proven, and of this memory."""
    contents = files.whole("memory.json")
    seen = Seen(files=int(not contents.trouble), bytes=len(contents.data))
    try:
        found = read_identity(store.disk, store.folder)
    except CarmaError:
        found = None
    if contents.trouble:
        what = "What the memory is stands in every segment too."
        kind = kind_of(contents.trouble)
        seen.findings.append(Finding(kind=kind, path="memory.json", redundant=True, what=what))
    elif found is None:
        what = "Its digest does not fit; the same stands in every segment."
        seen.findings.append(Finding(kind="bad digest", path="memory.json", redundant=True, what=what))
    elif found.id != store.identity.id:
        what = f"It is that of another memory, {found.id}."
        seen.findings.append(Finding(kind="misdirected", path="memory.json", redundant=True, what=what))
    return seen


def look_at_registry(store: Store, manifests: list[Manifest], deep: bool) -> Seen:
    """The registry: there, of this log, knowing every write that a manifest names; deep: every page."""
    names = registry_names(store.disk, f"{store.folder}/index")
    path = f"index/{names[0]}" if names else "index"
    seen = Seen(files=len(names[:1]))
    real = store.disk.real_path(f"{store.folder}/{path}")
    if real is None:
        return seen  # A simulated disk has none.
    if not names or store.registry.vanished(store.disk):
        what = "The registry is not there; it is made again from the segments."
        seen.findings.append(Finding(kind="missing file", path=path, redundant=True, what=what))
        return seen
    try:
        if not store.registry.fits(store.segments):
            what = "It does not belong to this log; it is made again from the segments."
            seen.findings.append(Finding(kind="stale index", path=path, redundant=True, what=what))
        seen.findings += _unknown(store, path, manifests)
        if deep:
            seen.bytes = store.disk.size(f"{store.folder}/{path}") or 0
            _check_pages(store, real)
    except (RegistryDamaged, apsw.Error) as error:
        what = f"It is damaged ({error}); it is made again from the segments."
        seen.findings.append(Finding(kind="bad digest", path=path, redundant=True, what=what))
    return seen


def _unknown(store: Store, path: str, manifests: list[Manifest]) -> Iterator[Finding]:
    """Writes that a manifest names and the registry does not know."""
    for manifest in manifests:
        seqs = "[" + ",".join(str(record.seq) for record in manifest.records) + "]"
        unknown = store.registry.rows(_UNKNOWN, (seqs,))
        if unknown:
            what = f"{len(unknown)} writes of spread {manifest.head.spread} are not in it."
            yield Finding(kind="stale index", path=path, seq=unknown[0][0], redundant=True, what=what)


def _check_pages(store: Store, real: str) -> None:
    """Read every page from the disk under the checksum VFS. Raises RegistryDamaged, apsw.Error."""
    if store.read_only and store.disk.size(f"{real}-wal"):
        return  # Another process is writing it; who only reads cannot read it whole.
    # A registry that is open answers from its cache; another connection has to read.
    registry = Registry.open(real, frozen=store.read_only, key=store.sealing.registry_key)
    try:
        _check_tables(registry)
    finally:
        registry.close()


def _check_tables(registry: Registry) -> None:
    """Table by table, those behind the word indexes included.

    The check of the whole database would also ask the word indexes to check themselves; while another process
    writes they call what it has just written corrupt (seen with SQLite 3.54.1).
    """
    for (table,) in registry.rows(_TABLES):
        rows = registry.rows(f'PRAGMA quick_check("{table}")')
        if rows != [("ok",)]:
            raise RegistryDamaged(str(rows[0][0]) if rows else "no answer")


def look_at_vectors(store: Store, files: Files, place: Place) -> Seen:
    """Every block of a vectors file of the newest generation."""
    size = files.size(place.name) or 0
    seen = Seen(files=1, bytes=size)
    if not size:
        return seen
    head = files.head(place.name, _VECTORS_HEAD.size)
    prefix, _, _ = place.name.removeprefix("index/vectors-").rpartition("-")
    dimension = int((store.identity.embedder or {}).get("dimension", 0))
    if len(head.data) == _VECTORS_HEAD.size:
        magic, _, _, said = _VECTORS_HEAD.unpack(head.data)
        dimension = said if magic == MAGIC and 0 < said <= 65_536 else dimension
    try:
        tag = bytes.fromhex(prefix)
        blocks = VectorsFile(
            store.disk, f"{store.folder}/index", max(dimension, 1), tag,
            sealer=store.sealing.file(b"vectors", tag),
        )  # fmt: skip
        for _ in blocks.follow():
            pass
    except (CarmaError, ValueError):
        what = "It cannot be read; its vectors are made again."
        seen.findings.append(Finding(kind="unreadable", path=place.name, redundant=True, what=what))
        return seen
    if blocks.damaged_blocks:
        what = f"{blocks.damaged_blocks} damaged places; their vectors are made again."
        seen.findings.append(Finding(kind="bad digest", path=place.name, redundant=True, what=what))
    return seen
