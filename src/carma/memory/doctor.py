"""`carma doctor`: what is wrong with a memory and the machine it lies on. Reads only.

The beacon finds the damage; here its findings are put into words for people, beside what only the open memory
and the machine can say.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from carma.healing.beacon import Beacon
from carma.healing.breaker import tripped
from carma.reports import Finding as Damage
from carma.reports import ScanReport

if TYPE_CHECKING:
    from carma.memory.parts import Parts

__all__ = ["examine"]

_LOW_SPACE_BYTES = 512 * 2**20
_LOW_SPACE_SHARE = 0.02
_MOST_OF_A_KIND = 100
"""Damage of one kind that is listed one by one; the rest is counted."""
_HARMLESS = ("orphan", "duplicate", "stale index")

Finding = dict[str, Any]


def examine(parts: Parts) -> list[Finding]:
    """Findings, worst first. Each has `level` (error, warning, note), `subject`, `what`, `advice`."""
    report = Beacon(parts.store, parts.exact).tour(deep=True).report
    found = [
        *_damage(parts, report),
        *_breaker(parts, report),
        *_recovery(parts),
        *_gaps(parts, report),
        *_sketches(report),
        *_vectors(parts),
        *_machine(parts),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda finding: order[finding["level"]])


def _finding(level: str, subject: str, what: str, advice: str) -> Finding:
    return {"level": level, "subject": subject, "what": what, "advice": advice}


def _damage(parts: Parts, report: ScanReport) -> Iterator[Finding]:
    """What the beacon found, with what follows from it."""
    listed: Counter[tuple[str, str]] = Counter()
    for each in report.findings:
        level, advice = _weight(each)
        listed[level, each.kind] += 1
        if listed[level, each.kind] > _MOST_OF_A_KIND:
            continue
        at = f" at {each.offset}" if each.offset is not None else ""
        whose = f" Fragment {each.id}." if each.id else ""
        yield _finding(
            level,
            f"{parts.store.folder}/{each.path}",
            f"{each.kind.capitalize()}{at}. {each.what}{whose}".strip(),
            advice,
        )
    for (level, kind), count in listed.items():
        if count > _MOST_OF_A_KIND:
            what = f"{kind.capitalize()}: {count - _MOST_OF_A_KIND} more."
            yield _finding(level, parts.store.folder, what, "See `carma scan --deep --json`.")


def _weight(damage: Damage) -> tuple[str, str]:
    if not damage.redundant:
        return "error", "Readers get a blank for what is lost. Run `carma dream`."
    if damage.kind in _HARMLESS or damage.path.startswith("index"):
        return "note", "Nothing is lost. What is disposable is made again or swept by itself."
    return "warning", "Nothing is lost yet: another copy or parity gives it back. Run `carma dream`."


def _breaker(parts: Parts, report: ScanReport) -> Iterator[Finding]:
    if tripped(parts.store) or report.breaker:
        yield _finding(
            "warning", parts.store.folder,
            "Mass damage was found: nothing is compacted, swept or purged until the breaker is cleared.",
            "Check the disk, run `carma dream`, then `carma scan --clear-breaker`.",
        )  # fmt: skip


def _recovery(parts: Parts) -> Iterator[Finding]:
    for r in parts.store.recovered:
        if r.torn_bytes:
            yield _finding(
                "note", parts.store.segments.path("segments", r.number),
                f"An unfinished write of {r.torn_bytes} bytes was found at the end and put into quarantine.",
                "A process was killed while writing. What it had acknowledged is there.",
            )  # fmt: skip
        elif r.mended:
            yield _finding(
                "note", parts.store.segments.path("segments", r.number),
                f"{r.mended} copy was mended from the other when the memory was opened.", "Nothing to do.",
            )  # fmt: skip


def _gaps(parts: Parts, report: ScanReport) -> Iterator[Finding]:
    if report.unnamed:
        yield _finding(
            "warning", parts.store.folder, f"{report.unnamed} writes are named by nothing that can be read.",
            "They failed, or are lost. Restore them with `carma import` from an export or archive.",
        )  # fmt: skip


def _sketches(report: ScanReport) -> Iterator[Finding]:
    if report.sketches_missing:
        total = report.sketches + report.sketches_missing
        yield _finding(
            "note", "sketches", f"{report.sketches_missing} of {total} fragments have no sketch yet.",
            "Run `carma flush`: where all exact copies are lost, the sketch says what was meant.",
        )  # fmt: skip


def _vectors(parts: Parts) -> Iterator[Finding]:
    fresh = parts.keeper.freshness()
    if fresh["pending"]:
        yield _finding(
            "note", "vectors", f"{fresh['pending']} fragments are not embedded yet; words find them already.",
            "Run `carma flush`.",
        )  # fmt: skip


def _machine(parts: Parts) -> Iterator[Finding]:
    real = parts.store.disk.real_path(parts.store.folder)
    if real is None:
        return
    usage = shutil.disk_usage(real)
    if usage.free < _LOW_SPACE_BYTES or usage.free < usage.total * _LOW_SPACE_SHARE:
        yield _finding(
            "warning", real, f"Only {usage.free // 2**20} MiB are free on this disk.",
            "A full disk refuses writes; nothing is lost, but nothing new is stored.",
        )  # fmt: skip
    if not os.access(real, os.W_OK):
        yield _finding("note", real, "The memory is open read-only.", "Writes are refused.")
    if os.stat(real).st_mode & 0o077:
        yield _finding(
            "warning", real, "Other users of this machine may look into the folder.", f"chmod 700 {real}"
        )
