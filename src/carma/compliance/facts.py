"""What an owner has, in counts and commitments: gathered before an erasure destroys what could tell.

A memory that cannot be opened any more (shredded, damaged, a missing key) is erased all the same; the facts
then say why it could not be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carma.compliance.estate import Estate
from carma.errors import CarmaError
from carma.memory.handed import handed_out
from carma.memory.held import held
from carma.memory.memory import Memory

__all__ = ["facts_of", "moment"]

_READABLE = {
    "nobody": "by nobody: the destroyed key seals it",
    "recipient": "by the recipient",
    "anyone": "by anyone who has it",
}


def facts_of(estate: Estate) -> dict[str, Any]:
    """Memories, keys, and what of them is elsewhere, as JSON values. Raises what the key store raises.

    What the owner's memories had noted for the audit log is copied there on the way.
    """
    memories, elsewhere = [], []
    for path in estate.memories:
        told, gone = _memory(estate, path)
        memories.append(told)
        elsewhere += gone
    keys = []
    for key in estate.stored_keys():
        assert estate.keys is not None
        keys.append({"fingerprint": estate.keys.fingerprint(key), "state": key.state})
    return {"memories": memories, "keys": keys, "elsewhere": elsewhere}


def moment(seconds: float) -> str:
    """A time as a certificate writes it: ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _memory(estate: Estate, path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else []
    told: dict[str, Any] = {"path": str(path), "files": len(files)}
    told["bytes"] = sum(each.stat().st_size for each in files)
    try:
        identity = estate.identity(path)
        if identity is None:
            return told, []
        told["id"] = identity.id
        told["encrypted"] = identity.encryption is not None
        if identity.encryption is not None:
            told |= {"key_id": identity.encryption["key"], "commitment": identity.encryption["commitment"]}
        with estate.opened(path, read_only=True) as memory:
            estate.copy_waiting(memory)
            told |= _counts(memory)
            return told, [*_handed(memory), *_sources(memory)]
    except CarmaError as error:
        return told | {"unread": error.code}, []


def _counts(memory: Memory) -> dict[str, Any]:
    fragments, versions = set(), 0
    for value in held(memory):
        if "text" in value and not value["deleted"]:
            versions += 1
            fragments.add(value["id"])
    return {"fragments": len(fragments), "versions": versions}


def _handed(memory: Memory) -> Iterator[dict[str, Any]]:
    """Exports and snapshots."""
    for each in handed_out(memory):
        told = {"what": each.form, "when": moment(each.when), "where": each.target}
        if each.sealed_for is not None:
            told["sealed_for"] = each.sealed_for
        yield told | {"readable": _READABLE[each.readable_by]}


def _sources(memory: Memory) -> Iterator[dict[str, Any]]:
    """What was ingested: CARMA read these files, and they stay where they are."""
    paths = (value["source"]["path"] for value in held(memory) if value.get("source"))
    for root in sorted({path.partition("/")[0] for path in paths}):
        yield {"what": "ingested files", "where": root, "readable": _READABLE["anyone"]}
