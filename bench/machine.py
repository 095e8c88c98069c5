"""What the figures were taken on: processor, memory, disk, versions, and how long this disk takes to sync.

The time of one `fdatasync` is stated because every durable figure is bounded by it: a store that syncs once
per batch of 100 on a disk that needs 5 ms cannot pass 20,000 fragments a second, however fast its code is.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "chromadb",
    "lancedb",
    "qdrant-client",
    "mem0ai",
    "langgraph-checkpoint-sqlite",
    "faiss-cpu",
    "numpy",
    "onnxruntime",
    "apsw-sqlite3mc",
)


def describe(folder: Path) -> dict[str, Any]:
    """The machine as JSON values; `folder` lies on the disk whose sync is timed."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(_memory_bytes() / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "fdatasync_ms": sync_ms(folder),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "when": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def sync_ms(folder: Path, *, writes: int = 60, length_bytes: int = 4096) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds, of appending `length_bytes` and calling `fdatasync`."""
    path = folder / "sync.probe"
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    taken = []
    try:
        for _ in range(writes):
            os.write(handle, b"\0" * length_bytes)
            began = time.perf_counter()
            os.fdatasync(handle)
            taken.append((time.perf_counter() - began) * 1e3)
    finally:
        os.close(handle)
        path.unlink()
    return {
        "median": round(statistics.median(taken), 3),
        "p95": round(sorted(taken)[int(0.95 * len(taken))], 3),
    }


def resident_mb(pid: int | str = "self") -> float:
    """Resident memory of a process in MB (10**6 bytes): counted page by page, where the kernel offers that.

    `VmRSS` in /proc/<pid>/status is only a sum of per-processor counters and may lag by some pages.
    """
    try:
        return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Rss:") * 1024 / 1e6
    except OSError:
        return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS:") * 1024 / 1e6


def anonymous_mb(pid: int | str = "self") -> float:
    """The part of resident memory that no file backs, in MB: mapped files may leave whenever memory is
    short.
    """
    return _kilobytes(Path(f"/proc/{pid}/status"), "RssAnon:") * 1024 / 1e6


def peak_mb(pid: int | str = "self") -> float:
    """The most memory that was ever resident, in MB."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM:") * 1024 / 1e6


def _kilobytes(path: Path, key: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
