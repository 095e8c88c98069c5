"""Subject access: everything that is held about an owner, as files that people and programs can read.

Every fragment with all its versions and metadata, what was rebuilt and what is lost, dreams, acts, what was
handed out, the account, the keys (never their secrets), usage, and the leaves of the audit log with the ids
that their tags stand for; and all of that once more as a page for people. The fragments have the form of
`carma export`, so another memory can take them in. The export itself is noted in each memory before it
begins, and its digest in the audit log when it is whole, so that anybody can be shown what was handed over.
Vectors that CARMA computed are left out and counted: whoever has the texts can compute them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carma.access.audit.auditkey import AuditKey
from carma.access.audit.leaf import Leaf, parse_leaf
from carma.access.audit.reader import LogReader
from carma.access.keys.record import StoredKey
from carma.access.vault.recipients import Recipient
from carma.compliance.bundle import Bundle
from carma.compliance.estate import Estate
from carma.compliance.page import TAIL, fragment_piece, page_head, table_piece, titled
from carma.compliance.usage import Usage, space
from carma.errors import NothingHeld
from carma.memory.handed import handed_out, note_access
from carma.memory.held import dreamt, held
from carma.memory.memory import Memory

__all__ = ["export_access", "logged_export"]

_KIND, _OPERATION = "access", "access.export"

_README = """\
{title}
{line}

Made at {when} (UTC).

Each .jsonl file has one JSON value a line, in UTF-8. Times are seconds since 1970-01-01 UTC.
index.json names every file with its length and its SHA-256.

memory-N/fragments.jsonl        every fragment, every version that is still stored, deleted ones too, with
                                metadata; the first line is about the memory. `carma import` takes this file.
                                "state" says how far a text is the original: intact, repaired,
                                reconstructed (rebuilt from its surroundings), blank (lost).
memory-N/reconstructions.jsonl  those of them that are reconstructed, with sources and confidence
memory-N/blanks.jsonl           those of them that are lost, with what is known of the loss
memory-N/dreams.jsonl           the repair cycles, with every step
memory-N/acts.jsonl             who changed what, when, as far as it was asked for through a key
memory-N/handed-out.jsonl       exports and snapshots that were made of the memory
account.jsonl                   the account and the seat
keys.jsonl                      the keys: what they may do, since when, what happened to them; no secrets,
                                which nobody can show: they are stored wrapped, or as digests
audit.jsonl                     the leaves of the audit log about this owner, with the ids behind their tags
usage.jsonl                     the space that is taken now, and how often what was asked for, by these leaves
page.html                       the same for people, without programs

What is long goes on in files with .2, .3 and so on before their last dot.
`carma compliance verify` compares every file with index.json.

Not in here: {vectors} vectors that were computed from the texts for searching, and indexes of their words.
Both say less than the texts and are made from them.
{memories}
"""


def export_access(estate: Estate, target: Path, *, to: Recipient | None = None) -> dict[str, Any]:
    """Write everything that is held about an owner to the new folder `target`, or to one tar file if its name
    ends in `.tar` or it is sealed.

    to: seal it for this recipient; then nothing of it touches a disk in the clear.
    Returns counts and the digest. Raises NothingHeld, MemoryExists, InvalidInput, StorageError, and what
    opening raises.
    """
    present, keys = estate.present(), estate.stored_keys()
    if not (present or keys or estate.account or estate.has_data_key()):
        raise NothingHeld(f"Nothing is held about {estate.owner!r} here.")
    counts: dict[str, Any] = {"path": str(target), "sealed": to is not None, "memories": len(present)}
    counts |= {"fragments": 0, "reconstructed": 0, "blank": 0, "dreams": 0, "acts": 0}
    with ExitStack() as stack:
        memories = [stack.enter_context(estate.opened(path)) for path in present]
        for memory in memories:
            note_access(memory, str(target.absolute()), to.fingerprint if to else None)
        estate.copy_waiting(*memories)
        with Bundle(target, to) as bundle:
            _fill(bundle, estate, memories, counts)
    counts["digest"] = bundle.digest
    _log(estate, bundle.digest)
    return counts


def logged_export(log: LogReader, digest: str) -> int | None:
    """The number of the leaf that says an export with this digest was made; None if there is none.

    digest: SHA-256 of the bundle's index, hexadecimal. Raises AuditDamaged.
    """
    for number, entry in log.entries():
        try:
            leaf = parse_leaf(entry)
        except ValueError:
            continue
        if leaf.kind == _KIND and dict(leaf.tags) == _digest_tags(digest):
            return number
    return None


def _log(estate: Estate, digest: str) -> None:
    """Say in the audit log that an export was made, and which."""
    if estate.trail is None:
        return
    key = estate.audit_key()
    leaf = Leaf(
        event=estate.trail.new_event(), time_ms=estate.trail.now_ms(), kind=_KIND, operation=_OPERATION,
        owner=key.owner(estate.owner) if key is not None else None, tags=_digest_tags(digest),
    )  # fmt: skip
    estate.trail.note(leaf)
    estate.trail.sequence()


def _digest_tags(digest: str) -> dict[str, str]:
    return {"bundle_head": digest[:32], "bundle_tail": digest[32:]}


def _fill(bundle: Bundle, estate: Estate, memories: Sequence[Memory], counts: dict[str, Any]) -> None:
    known: set[str] = set()
    use = Usage()
    for number, memory in enumerate(memories, 1):
        _memory(bundle, f"memory-{number}", memory, counts, known)
    account = [dict(estate.account)] if estate.account else []
    keys = [_key(estate, key) for key in estate.stored_keys()]
    bundle.lines("account", account)
    counts["keys"] = bundle.lines("keys", keys)
    counts["leaves"] = bundle.lines("audit", _leaves(estate, known, use))
    used = [*(space(Path(memory.path), memory.stats()) for memory in memories), *use.lines()]
    bundle.lines("usage", used)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    bundle.page("page", page_head(_title(estate), made), _pieces(memories, account, keys, used), TAIL)
    vectors = sum(int(memory.stats()["vectors"]["indexed"]) for memory in memories)
    listed = "".join(f"\nmemory-{at}: {memory.path}" for at, memory in enumerate(memories, 1))
    title = _title(estate)
    text = _README.format(title=title, line="=" * len(title), vectors=vectors, when=made, memories=listed)
    bundle.text("README.txt", text)


def _pieces(
    memories: Sequence[Memory],
    account: Sequence[Mapping[str, Any]],
    keys: Sequence[Mapping[str, Any]],
    used: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    """The page, piece by piece."""
    yield from titled("Account", map(table_piece, account), "No account.")
    yield from titled("Keys", map(table_piece, keys), "No keys.")
    yield from titled("Usage", map(table_piece, used))
    for number, memory in enumerate(memories, 1):
        texts = (fragment_piece(value) for value in held(memory) if "text" in value)
        yield from titled(f"Memory {number}", texts, "No fragments.")
        handed = (table_piece(asdict(each)) for each in handed_out(memory))
        yield from titled(f"What was handed out of memory {number}", handed)


def _memory(bundle: Bundle, folder: str, memory: Memory, counts: dict[str, Any], known: set[str]) -> None:
    """Put one memory into the bundle. known: gets the ids of its fragments."""

    def fragments() -> Iterator[dict[str, Any]]:
        for value in rest:
            known.add(value["id"])
            yield value

    rest = held(memory)
    head = next(rest)
    counts["fragments"] += bundle.lines(f"{folder}/fragments", fragments(), head)
    for name, state in (("reconstructions", "reconstructed"), ("blanks", "blank")):
        found = (value for value in held(memory) if value.get("state") == state)
        counts[state] += bundle.lines(f"{folder}/{name}", found)
    counts["dreams"] += bundle.lines(f"{folder}/dreams", (each.to_dict() for each in dreamt(memory)))
    counts["acts"] += bundle.lines(f"{folder}/acts", (asdict(each) for each in memory.acts()))
    bundle.lines(f"{folder}/handed-out", (asdict(each) for each in handed_out(memory)))


def _key(estate: Estate, key: StoredKey) -> dict[str, Any]:
    """What is known of a key, without anything that opens something."""
    assert estate.keys is not None
    return {
        "fingerprint": estate.keys.fingerprint(key), "kind": key.kind, "owner": key.owner,
        "permissions": key.permissions, "state": key.state, "created": key.created, "expires": key.expires,
        "grace_until": key.grace_until, "successor": key.successor, "used": key.used,
        "history": [event._asdict() for event in key.history],
    }  # fmt: skip


def _leaves(estate: Estate, known: set[str], use: Usage) -> Iterator[dict[str, Any]]:
    """The owner's leaves, with what their tags stand for where that is known. use: sees each of them."""
    keys = [key for key in (estate.audit_key(), estate.own_audit_key()) if key is not None]
    names = {tag: name for key in keys for tag, name in _tags(estate, key, known)}
    for number, leaf in estate.leaves():
        use.saw(leaf)
        listed = [tag for name in ("written", "ended") for tag, _ in leaf.get(name, ())]
        tags = [*listed, *(value for value in leaf.values() if isinstance(value, str))]
        yield {"number": number, "leaf": leaf, "known": {tag: names[tag] for tag in tags if tag in names}}


def _tags(estate: Estate, key: AuditKey, known: set[str]) -> Iterator[tuple[str, str]]:
    yield key.owner(estate.owner), estate.owner
    yield key.tag("account", estate.owner), estate.owner
    for stored in estate.stored_keys():
        assert estate.keys is not None
        name = estate.keys.fingerprint(stored)
        yield from ((key.tag(kind, name), name) for kind in ("key", "successor", "by"))
    yield from ((key.tag("fragment", id), id) for id in known)


def _title(estate: Estate) -> str:
    name = (estate.account or {}).get("name")
    return (
        f"Everything that is held about {name} ({estate.owner})"
        if name
        else (f"Everything that is held about {estate.owner}")
    )
