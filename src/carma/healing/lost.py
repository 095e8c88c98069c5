"""What is lost: live fragments whose true bytes nothing gives back, as rows of the registry know them.

Only the newest version of a fragment that was not deleted is ever lost: everything that rebuilds asks here
first, and asks again under the turn before it writes. So deleted text cannot come back by any rung.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from carma.healing.exact import Exact
from carma.store.manifest import DIGEST_BYTES
from carma.store.record import RecordDamaged
from carma.store.scan import Intact
from carma.store.store import Store

__all__ = ["Lost", "Standing", "came_back", "find_lost", "standing"]

_COLUMNS = (
    "seq, id, version, parent, position, kind, user, agent, session, created, text_digest, source, segment, "
    "offset, length"
)
_IN_FILES = f"""
SELECT {_COLUMNS} FROM fragments WHERE live AND (segment IN (SELECT value FROM json_each(?))
OR seq IN (SELECT seq FROM blanks) OR seq IN (SELECT lost_seq FROM reconstructions))
"""
_DOUBTFUL = """
SELECT seq, segment, offset, length FROM fragments WHERE live AND (seq IN (SELECT seq FROM blanks)
OR seq IN (SELECT lost_seq FROM reconstructions) OR seq NOT IN (SELECT rowid FROM tokens))
"""
_PADDING = bytes(16 - DIGEST_BYTES)


class Lost(NamedTuple):
    """A lost write. reason: what was found in its place. created_ms: of the fragment's first version."""

    seq: int
    id: bytes
    version: int
    parent: bytes | None
    position: float
    kind: str
    user: str | None
    agent: str | None
    session: str | None
    created_ms: int
    text_digest: bytes
    source: str | None
    segment: int
    offset: int
    length: int
    reason: str = ""

    @property
    def digest(self) -> bytes:
        """As many bytes of the digest of its text as are known (a manifest knows the first ones only)."""
        return self.text_digest.removesuffix(_PADDING)


class Standing(NamedTuple):
    """What stands for a lost write now. exact: its text has the true digest. score: against the sketch."""

    exact: bool
    score: float
    rung: str


def find_lost(store: Store, exact: Exact | None, segments: Iterable[int]) -> Iterator[Lost]:
    """The live fragments in some segments, and those that the ledger names, which cannot be read.

    exact: also leave out what these rungs give back; None: look only at its own place.
    """
    store.settle()
    for row in store.registry.rows(_IN_FILES, (json.dumps(sorted(segments)),)):
        lost = Lost(*row)
        try:
            store.read_entry(lost.seq, lost.segment, lost.offset, lost.length)
        except RecordDamaged as damage:
            if exact is None or exact.record(lost.seq, lost.segment, lost.offset) is None:
                yield lost._replace(reason=damage.reason)


def came_back(store: Store) -> list[Intact]:
    """The true records of live fragments that the registry knows as blanks, or of which it knows no words."""
    store.settle()
    found = []
    for seq, segment, offset, length in store.registry.rows(_DOUBTFUL):
        try:
            item = store.read(segment, offset, length)
        except RecordDamaged:
            continue
        if item.header.seq == seq and store.is_ours(item):
            found.append(item)
    return found


def standing(store: Store) -> dict[int, Standing]:
    """What stands for lost writes, by their number."""
    rows = store.registry.rows("SELECT lost_seq, exact, score, rung FROM reconstructions")
    return {row[0]: Standing(bool(row[1]), row[2], row[3]) for row in rows}
