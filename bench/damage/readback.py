"""What a fresh process sees of a store: every record by id, the listing, a few searches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.corpus import Corpus
from bench.peers import Peer

__all__ = ["fill", "heal", "look"]

K = 10
BATCH = 50
LONGEST_MESSAGE = 4_000
FIRST_ERRORS = 5
Answer = dict[str, Any]


def fill(peer: Peer, corpus: Corpus, folder: Path, records: int) -> Answer:
    """Writes the records in batches and closes the store."""
    peer.open(folder, corpus.dimension)
    for start in range(0, records, BATCH):
        peer.add(*corpus.slice(start, min(records, start + BATCH)))
    peer.await_searchable()
    peer.close()
    return {"filled": records}


def look(peer: Peer, corpus: Corpus, folder: Path, records: int, searches: int) -> Answer:
    """All that the store gives back, and the first errors it raised on the way.

    Keys: `errors` (a list of `at`, `type`, `message`), `read` and `listed` (rows of id, text, state; None if
    the call raised), `failed` (ids whose read raised), `found` (per search its rows and whether the store
    flagged it; None if it raised), `complaints`.
    """
    ids, vectors = corpus.slice(0, records)[0], corpus.query_vectors[:searches]
    seen: Answer = {"errors": [], "read": None, "failed": [], "listed": None, "found": [], "complaints": []}
    if not _try(seen, "open", lambda: peer.open(folder, corpus.dimension)):
        return seen | {"failed": ids}
    if not _try(seen, "read", lambda: seen.update(read=peer.read(ids)), quiet=True):
        seen["read"] = []
        for identity in ids:
            if not _try(seen, "read", lambda identity=identity: seen["read"].extend(peer.read([identity]))):
                seen["failed"].append(identity)
    _try(seen, "list", lambda: seen.update(listed=peer.everything(2 * records)))
    for vector in vectors:
        seen["found"].append(None)
        _try(seen, "search", lambda vector=vector: _search(peer, vector, seen["found"]))
    _try(
        seen, "examine", lambda: seen.update(complaints=[_plain(line, folder) for line in peer.complaints()])
    )
    _try(seen, "close", peer.close)
    for error in seen["errors"]:
        error["message"] = _plain(error["message"], folder)
    return seen


def heal(peer: Peer, corpus: Corpus, folder: Path) -> Answer:
    """The store's own repair: `report` is what it said (None: no such verb), `error` what it raised."""
    try:
        peer.open(folder, corpus.dimension)
        report = peer.heal()
        peer.close()
    except BaseException as error:
        return {"report": None, "error": f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]}
    return {"report": json.loads(_plain(json.dumps(report, default=str), folder)), "error": None}


def _search(peer: Peer, vector: Any, found: list[Any]) -> None:
    found[-1] = peer.find(vector, K)


def _try(seen: Answer, at: str, call: Callable[[], Any], *, quiet: bool = False) -> bool:
    """Whether the call came back; what it raised is noted. A panic of Rust is a BaseException."""
    try:
        call()
    except BaseException as error:
        if not quiet and len(seen["errors"]) < FIRST_ERRORS:
            note = {"at": at, "type": type(error).__name__, "message": str(error)[:LONGEST_MESSAGE]}
            if note not in seen["errors"]:
                seen["errors"].append(note)
        return False
    return True


def _plain(text: str, folder: Path) -> str:
    """Without the folder's own path."""
    return text.replace(f"{folder}/", "").replace(str(folder), "").replace(f"{str(folder)[1:]}/", "")
