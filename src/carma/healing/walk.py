"""One tour of the beacon under way: it goes from stop to stop, looks, and gathers what was found.

Where something is wrong it looks again a moment later, with what registry and manifests say by then: another
process may have been in the middle of a write, of a spreading or of a repair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from carma.healing.breaker import mass_damage
from carma.healing.exact import Exact
from carma.healing.inventory import Inventory, Place, take_inventory
from carma.healing.ledger import Loss, account, unnamed_writes
from carma.healing.look import Files, Seen
from carma.healing.look_index import look_at_identity, look_at_registry, look_at_vectors
from carma.healing.look_log import LogLook
from carma.healing.look_spread import SpreadLook
from carma.healing.pace import Pace
from carma.healing.progress import Counts, Progress
from carma.healing.survivors import Survivors
from carma.healing.tour import Stop, Tour
from carma.reports import Finding, ScanReport
from carma.store.log import Cursor
from carma.store.manifest import Manifest
from carma.store.segments import PARITY
from carma.store.store import Store

__all__ = ["Outcome", "Stopped", "Walk"]

_NAP_S = 0.25
"""So long it sleeps at once: a tour that has to end ends soon."""
_MOST_FINDINGS = 10_000
"""Findings that one report holds; what is beyond is counted."""
_NOWHERE = "SELECT seq, id FROM fragments WHERE live AND segment = 0"
"""Writes that were lost and left behind when their spread was written anew: they have no place any more."""
_LOOKS_S = (0.005, 0.05, 0.5)
"""Where something is wrong it is looked at again after so long: others may be at work there. A log segment
that grows gets all of these looks, because a write is seen in one copy before it is in the other.
"""
_RECORDS = "SELECT (SELECT count(*) FROM fragments) + (SELECT count(*) FROM other)"


class Outcome(NamedTuple):
    """What a tour saw, and the writes that it found lost."""

    report: ScanReport
    losses: tuple[Loss, ...]


class Stopped(Exception):
    """Somebody asked the tour to end."""


class Walk:
    """One tour under way: what was found so far, and how each kind of place is looked at."""

    def __init__(
        self,
        store: Store,
        exact: Exact,
        state: Progress,
        deep: bool,
        pace: Pace | None,
        stop: Callable[[], bool],
    ) -> None:
        self.deep = deep
        self._store = store
        self._exact = exact
        self._state = state
        self._pace = pace
        self._stop = stop
        self._started = self._breath = store.clock.monotonic()
        store.settle()
        self._account = account(store)
        files = Files(store, self._breathe)
        self._files = files
        self._spreads = SpreadLook(store, files, Survivors(store, exact), self._account)
        self._logs = LogLook(store, files, self._account)
        self._inventory = Inventory([], [])
        self._places: dict[str, Place] = {}
        self._close: set[str] = set()
        self._counts = state.counts if deep else Counts()
        self._findings: dict[Finding, None] = dict.fromkeys(state.findings if deep else ())
        self._losses: dict[int, Loss] = {}

    def begin(self, origin: float) -> Tour:
        """Take stock of the folder, and lay out the way."""
        self._inventory = take_inventory(self._store)
        self._add(Seen(findings=self._inventory.findings))
        self._add(self._nowhere())
        self._places = {place.name: place for place in self._inventory.places}
        stops = [Stop(place.name, place.group) for place in self._inventory.places]
        if not self.deep:
            return Tour(stops, origin=origin)
        return Tour(stops, self._state.number, self._state.seen, self._state.hit, origin)

    def _nowhere(self) -> Seen:
        rows = self._store.registry.rows(_NOWHERE)
        proven = self._account.proven
        what = "It was lost before the files around it were written anew."
        return Seen(
            records=len(rows),
            damaged=len(rows),
            known=len(rows),
            findings=[
                Finding(
                    kind="missing file",
                    path="segments",
                    seq=seq,
                    id=id.hex(),
                    redundant=seq in proven,
                    what=what,
                )
                for seq, id in rows
            ],
            losses=[Loss(seq, "missing file") for seq, _ in rows if seq not in proven],
        )

    def look(self, tour: Tour, stop: Stop) -> None:
        """Look at a stop, and again if something is wrong there."""
        self._breathe(0)
        place = self._places[stop.name]
        cursor = self._store.cursor
        seen = self._at(place, self.deep or stop.group in self._close, cursor)
        growing = place.kind == "log" and place.number + 1 >= cursor.segment
        for pause_s in _LOOKS_S[: None if growing else 1]:
            if seen is not None and not seen.findings:
                break
            self._store.clock.sleep(pause_s)
            now = self._still_there(place)
            seen = self._at(now, True, cursor) if now is not None else Seen()
        assert seen is not None
        self._add(seen, stop.name)
        tour.done(stop, not seen.findings)
        if seen.findings and stop.group and not self.deep and stop.group not in self._close:
            self._close.add(stop.group)
            tour.again(stop.group)

    def _still_there(self, place: Place) -> Place | None:
        """The place as it is now; None if it was replaced meanwhile."""
        self._store.settle()
        number = place.number if place.kind != "encoding" else PARITY + place.number * 16
        alive = "SELECT 1 FROM fragments WHERE live AND segment=?1"
        sql = f"SELECT 1 FROM rewritten WHERE segment=?1 AND NOT EXISTS ({alive})"
        if self._store.registry.one(sql, (number,)):
            return None
        if place.manifest is None:
            return place
        manifest = self._store.spreads.get(place.manifest.head.spread)
        return place._replace(manifest=manifest) if manifest is not None else None

    def _at(self, place: Place, close: bool, cursor: Cursor) -> Seen | None:
        """What is seen at a place; None if a light look is not enough there.

        cursor: how far the log was followed when it was first looked at; what came later is not judged.
        """
        manifest, number = place.manifest, place.number
        if place.kind == "identity":
            return look_at_identity(self._store, self._files)
        if place.kind == "registry":
            return look_at_registry(self._store, self._manifests(), close)
        if place.kind == "vectors":
            return look_at_vectors(self._store, self._files, place) if close else Seen(files=1)
        if place.kind == "log":
            return self._logs.log(number, cursor) if close else self._light(self._logs.in_order(number), 2)
        if manifest is None:
            return self._logs.loose(number)
        if place.kind == "encoding":
            return self._spreads.encoding(manifest, self._state.number) if close else Seen()
        if not close:
            return self._light(self._spreads.in_order(manifest, number), 1)
        look = self._spreads.segment if place.kind == "segment" else self._spreads.column
        return look(manifest, number)

    def _light(self, in_order: bool, files: int) -> Seen | None:
        return Seen(files=files, records=files) if in_order else None

    def _manifests(self) -> list[Manifest]:
        return [p.manifest for p in self._inventory.places if p.kind == "encoding" and p.manifest is not None]

    def _add(self, seen: Seen, name: str = "") -> None:
        fresh = seen.damaged > seen.known
        self._counts = self._counts.plus(seen, name if fresh and name else "")
        for finding in seen.findings:
            if len(self._findings) < _MOST_FINDINGS:
                self._findings[finding] = None
        self._losses.update((loss.seq, loss) for loss in seen.losses)

    def _breathe(self, count: int) -> None:
        """After each piece that was read: wait as the pace says, and end if that was asked for."""
        if self._stop():
            raise Stopped
        if self._pace is None:
            return
        clock = self._store.clock
        until = clock.monotonic() + self._pace.pause_s(count, clock.monotonic() - self._breath)
        while (pause := until - clock.monotonic()) > 0:
            clock.sleep(min(pause, _NAP_S))
            if self._stop():
                raise Stopped
        self._breath = clock.monotonic()

    def progress(self, tour: Tour) -> Progress:
        """Where this tour is, to go on from there."""
        return replace(
            self._state, seen=dict(tour.seen), hit=tuple(tour.hit), counts=self._counts,
            findings=tuple(self._findings),
        )  # fmt: skip

    def outcome(self, complete: bool) -> Outcome:
        """The report."""
        counts = self._counts
        total = max(int(self._store.registry.rows(_RECORDS)[0][0]), counts.records)
        settings = self._store.settings
        made, missing = self._exact.copies.count(anew=self.deep)
        report = ScanReport(
            deep=self.deep,
            files=counts.files,
            records=counts.records,
            bytes=counts.bytes,
            damaged=counts.damaged,
            lost=counts.lost,
            unnamed=unnamed_writes(self._store),
            findings=tuple(self._findings),
            complete=complete,
            breaker=mass_damage(
                len(counts.hit), counts.damaged - counts.known, total, settings.breaker_segments,
                settings.breaker_share,
            ),
            sketches=made,
            sketches_missing=missing,
            took_s=self._store.clock.monotonic() - self._started,
        )  # fmt: skip
        return Outcome(report, tuple(self._losses.values()))
