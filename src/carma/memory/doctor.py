"""`carma doctor`: what is wrong with a memory and the machine it lies on. Reads only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from carma.memory.stats import stats
from carma.store.scan import Damaged, merge_copies
from carma.store.segments import COPIES, is_log

if TYPE_CHECKING:
    from carma.memory.parts import Parts

__all__ = ["examine"]

_LOW_SPACE_BYTES = 512 * 2**20
_LOW_SPACE_SHARE = 0.02

Finding = dict[str, Any]


def examine(parts: Parts) -> list[Finding]:
    """Findings, worst first. Each has `level` (error, warning, note), `subject`, `what`, `advice`."""
    found = [
        *_records(parts),
        *_copies(parts),
        *_recovery(parts),
        *_gaps(parts),
        *_vectors(parts),
        *_machine(parts),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda finding: order[finding["level"]])


def _finding(level: str, subject: str, what: str, advice: str) -> Finding:
    return {"level": level, "subject": subject, "what": what, "advice": advice}


def _records(parts: Parts) -> Iterator[Finding]:
    """Records that no copy can prove."""
    segments = parts.store.segments
    for number in segments.numbers():
        for item in merge_copies(*segments.both(number), number):
            if not isinstance(item, Damaged):
                continue
            at_end = is_log(number) and number >= parts.store.cursor.segment and item.header is None
            if at_end and item.offset >= parts.store.cursor.offset:
                continue  # A write in progress.
            whose = (
                f"fragment {item.header.id.hex()} version {item.header.version}" if item.header else "unknown"
            )
            yield _finding(
                "error", segments.path("segments", number),
                f"{item.length} bytes at {item.offset} are damaged in every copy ({item.reason}; {whose}).",
                "Readers get a blank for it. Restore it with `carma import` from an export or archive.",
            )  # fmt: skip


def _copies(parts: Parts) -> Iterator[Finding]:
    """Copies that are missing or damaged while the other is whole."""
    segments = parts.store.segments
    for number in segments.numbers():
        size = segments.size(number)
        for copy in COPIES:
            data = segments.read_all(copy, number)
            path = segments.path(copy, number)
            if data is None:
                yield _finding(
                    "warning", path, "This copy is missing; the other one is used.", "Nothing is lost yet."
                )
                continue
            bad = [item for item in merge_copies(data, bytes, size, number) if isinstance(item, Damaged)]
            if bad:
                yield _finding(
                    "warning",
                    path,
                    f"{len(bad)} damaged places in this copy; the other one is used for them.",
                    "Nothing is lost yet. Check the disk.",
                )


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


def _gaps(parts: Parts) -> Iterator[Finding]:
    counted = stats(parts)
    if counted["gaps"]:
        yield _finding(
            "warning", parts.store.folder, f"{counted['gaps']} writes are named by nothing that can be read.",
            "They may be lost. Restore them with `carma import` from an export or archive.",
        )  # fmt: skip


def _vectors(parts: Parts) -> Iterator[Finding]:
    fresh = parts.keeper.freshness()
    if fresh["pending"]:
        yield _finding(
            "note", "vectors", f"{fresh['pending']} fragments are not embedded yet; words find them already.",
            "Run `carma flush`.",
        )  # fmt: skip
    if fresh.get("damaged_blocks"):
        yield _finding(
            "note", "vectors", f"{fresh['damaged_blocks']} damaged blocks in the vectors file were skipped.",
            "Their vectors are made again by themselves.",
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
