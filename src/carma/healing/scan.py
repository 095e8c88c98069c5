"""One pass over a memory: the beacon looks, then the ledger is told what is new.

Looking and writing down stay apart: where the memory cannot be written there is the report and nothing else.
"""

from __future__ import annotations

from dataclasses import replace

from carma.healing import breaker
from carma.healing.exact import Exact
from carma.healing.ledger import note_blanks, note_healed
from carma.healing.walk import Outcome
from carma.reports import ScanReport
from carma.store.record import RecordDamaged
from carma.store.repair import readmit
from carma.store.scan import Intact
from carma.store.store import Store

__all__ = ["come_back", "take_note"]

_KNOWN = """
SELECT seq, segment, offset, length, seq IN (SELECT rowid FROM words)
FROM fragments WHERE live AND seq IN (SELECT seq FROM blanks)
"""


def take_note(store: Store, exact: Exact, outcome: Outcome) -> ScanReport:
    """Write down new losses, what came back, and mass damage; the report with the breaker as it now is.

    Raises MemoryBusy, StorageError.
    """
    report = outcome.report
    if store.read_only:
        return replace(report, breaker=report.breaker or breaker.tripped(store))
    note_blanks(store, outcome.losses)
    come_back(store, exact)
    if report.breaker:
        breaker.trip(store)
    return replace(report, breaker=breaker.tripped(store))


def come_back(store: Store, exact: Exact) -> int:
    """Take blanks off the ledger whose true text can be had again; how many.

    Raises MemoryBusy, StorageError.
    """
    store.settle()
    back: list[int] = []
    wordless: list[Intact] = []
    for seq, segment, offset, length, worded in store.registry.rows(_KNOWN):
        item = _true_record(store, exact, seq, segment, offset, length)
        if item is not None and not worded:
            wordless.append(item)
        if item is not None or exact.text(seq) is not None:
            back.append(seq)
    note_healed(store, back)
    if wordless:
        readmit(store, wordless)
    return len(back)


def _true_record(
    store: Store, exact: Exact, seq: int, segment: int, offset: int, length: int
) -> Intact | None:
    try:
        item = store.segments.read(segment, offset, length)
        if item.header.seq == seq and store.is_ours(item):
            return item
    except RecordDamaged:
        pass
    repaired = exact.record(seq, segment, offset)
    return repaired[0] if repaired is not None else None
