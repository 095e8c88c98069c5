"""What an owner used, as far as it is kept: space now, and operations as the audit log has them.

The log has changes one by one and reads counted by the minute; a server's own counts live as long as its
process and are shown by `/v1/usage` meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Usage", "space"]


class Usage:
    """Counts leaves of one owner as they pass by. Times are milliseconds since the epoch."""

    def __init__(self) -> None:
        self._found: dict[str, list[int]] = {}

    def saw(self, leaf: Mapping[str, Any]) -> None:
        """One leaf. What is counted in it (reads) counts as often."""
        operation = "reads" if leaf["kind"] == "reads" else str(leaf["operation"])
        count, time = int(leaf.get("count", 1)), int(leaf["time"])
        known = self._found.setdefault(operation, [0, time, time])
        known[0] += count
        known[1], known[2] = min(known[1], time), max(known[2], time)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Each operation: how often, from when to when (seconds since the epoch)."""
        for operation, (count, first, last) in sorted(self._found.items()):
            yield {
                "what": "operation", "operation": operation, "count": count, "first": first / 1000,
                "last": last / 1000,
            }  # fmt: skip


def space(path: Path, stats: Mapping[str, Any]) -> dict[str, Any]:
    """What one memory takes. stats: as `Memory.stats` gives them."""
    files = [each for each in path.rglob("*") if each.is_file()]
    return {
        "what": "memory", "path": str(path), "files": len(files),
        "bytes": sum(each.stat().st_size for each in files), "fragments": stats["fragments"],
        "versions": stats["versions"], "vectors": stats["vectors"]["indexed"],
    }  # fmt: skip
