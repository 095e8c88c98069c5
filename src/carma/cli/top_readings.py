"""What `carma top` knows: readings of a server or a memory, and what two of them say together.

A reading is a moment and numbers. Rates and latencies come from the difference of two readings; the first
one is compared with the start of the server, so that a single look says something too. Everything here is a
function of values. Rejected: a library for the format of Prometheus (the part that is needed is one line of
grammar, and whoever watches a server need not have installed one).

Source: Prometheus, "Exposition formats", 0.0.4; `histogram_quantile` of its query language.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Page", "memory_view", "parse_page", "quantile", "server_view"]

Labels = tuple[tuple[str, str], ...]

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?", re.ASCII)
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?', re.ASCII)
_OTHER = "other"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of metrics. at: seconds since the epoch. values: by name and labels."""

    at: float
    values: Mapping[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """One number; 0 if it is not on the page."""
        return self.values.get((name, tuple(sorted(labels.items()))), 0.0)

    def of(self, name: str) -> dict[Labels, float]:
        """All numbers of a name, by their labels."""
        return {labels: value for (each, labels), value in self.values.items() if each == name}

    def by(self, name: str, label: str) -> dict[str, float]:
        """The numbers of a name, summed by the value of one label."""
        found: dict[str, float] = {}
        for labels, value in self.of(name).items():
            word = dict(labels).get(label, "")
            found[word] = found.get(word, 0.0) + value
        return found


def parse_page(text: str, at: float) -> Page:
    """A page as a server shows it; lines that are no samples are passed over."""
    values: dict[tuple[str, Labels], float] = {}
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is None or line.startswith("#"):
            continue
        labels = tuple(sorted((each[1], _plain(each[2])) for each in _LABEL.finditer(match[2] or "")))
        try:
            values[match[1], labels] = float(match[3])
        except ValueError:
            continue
    return Page(at, values)


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), value)


def quantile(buckets: Mapping[float, float], q: float) -> float | None:
    """The value below which the share `q` lies, from cumulative counts by upper bound; None of nothing.

    Linear within a bucket; the bound of the last finite one if it lies above that.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    wanted, below, low = q * total, 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted:
            if math.isinf(bound):
                return low
            share = (wanted - below) / (count - below) if count > below else 1.0
            return low + (bound - low) * share
        below, low = count, bound
    return low


def server_view(target: str, ready: Mapping[str, Any], page: Page, before: Page | None) -> dict[str, Any]:
    """What is shown of a server: the state of `ready`, and the changes since `before`, or since its start."""
    started = page.value("process_start_time_seconds") or page.at
    since = Page(started, {}) if before is None else before
    span_s = max(page.at - since.at, 1e-3)
    seats = dict(ready.get("seats", {}))
    return {
        "server": target,
        "status": ready.get("status", "unknown"),
        "reasons": list(ready.get("reasons", ())),
        "up_s": max(page.at - started, 0.0),
        "span_s": span_s,
        "seats": {**seats, "degraded": list(ready.get("degraded", ()))},
        "fragments": page.by("carma_fragments", "state"),
        "vectors": page.by("carma_vectors", "state"),
        "requests": _requests(page, since, span_s, None),
        "operations": _operations(page, since, span_s),
        "keys": _rates(page, since, span_s, "carma_key_outcomes_total", "outcome"),
        "healing": _healing(page),
        "process": {
            "resident_bytes": page.value("process_resident_memory_bytes"),
            "cpu": (
                page.value("process_cpu_seconds_total") - since.value("process_cpu_seconds_total")
            ) / span_s,
            "connections": page.value("carma_connections"),
            "evicted": page.value("carma_connections_evicted"),
            "streams": page.value("carma_streams"),
            "calls": page.value("carma_calls"),
            "bodies_bytes": page.value("carma_bodies_bytes"),
        },
    }  # fmt: skip


def _operations(page: Page, since: Page, span_s: float) -> list[dict[str, Any]]:
    """What is asked at all, the busiest first."""
    names = sorted(page.by("carma_requests_total", "operation"))
    rows = [{"operation": name, **_requests(page, since, span_s, name)} for name in names]
    return sorted(
        (row for row in rows if row["per_s"] > 0), key=lambda row: (-row["per_s"], row["operation"])
    )


def _requests(page: Page, since: Page, span_s: float, operation: str | None) -> dict[str, Any]:
    """Rate, latencies and failures of one operation, or of all of them."""
    total = refused = failed = 0.0
    for labels, value in page.of("carma_requests_total").items():
        named = dict(labels)
        if operation is None or named.get("operation") == operation:
            more = _grown(value, since.values.get(("carma_requests_total", labels), 0.0))
            total += more
            refused += more if named.get("status", "").startswith("4") else 0.0
            failed += more if named.get("status", "").startswith("5") else 0.0
    buckets: dict[float, float] = {}
    for labels, value in page.of("carma_request_seconds_bucket").items():
        named = dict(labels)
        if (operation is None and named.get("operation") != _OTHER) or named.get("operation") == operation:
            bound = float(named["le"].replace("+Inf", "inf"))
            more = _grown(value, since.values.get(("carma_request_seconds_bucket", labels), 0.0))
            buckets[bound] = buckets.get(bound, 0.0) + more
    return {
        "per_s": total / span_s,
        "p50_ms": _ms(quantile(buckets, 0.5)),
        "p99_ms": _ms(quantile(buckets, 0.99)),
        "refused_per_s": refused / span_s,
        "failed_per_s": failed / span_s,
    }


def _healing(page: Page) -> dict[str, Any]:
    steps, scan = page.by("carma_dream_steps", "kind"), page.by("carma_scan_bytes", "kind")
    return {
        "dreams_waiting": page.value("carma_dreams_waiting"),
        "steps_done": steps.get("done", 0.0),
        "steps_total": steps.get("total", 0.0),
        "scan_done_bytes": scan.get("done", 0.0),
        "scan_total_bytes": scan.get("total", 0.0),
        "dreams": page.by("carma_dreams_total", "status"),
        "rungs": page.by("carma_rungs_total", "rung"),
        "findings": page.by("carma_findings_total", "kind"),
        "oldest_look_s": page.by("carma_oldest_look_seconds", "depth"),
    }


def _rates(page: Page, since: Page, span_s: float, name: str, label: str) -> dict[str, float]:
    before = since.by(name, label)
    return {
        word: _grown(value, before.get(word, 0.0)) / span_s for word, value in page.by(name, label).items()
    }


def _grown(now: float, before: float) -> float:
    """How much a counter grew; one that is smaller than before began anew with its server."""
    return now - before if now >= before else now


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def memory_view(
    target: str, at: float, stats: Mapping[str, Any], dreams: Iterable[Mapping[str, Any]],
    before: tuple[float, Mapping[str, Any]] | None,
) -> dict[str, Any]:  # fmt: skip
    """What is shown of a memory: its `stats`, its last dreams, the writes since `before` (moment, stats)."""
    vectors, sizes = stats["vectors"], stats["bytes"]
    lost, rebuilt, repaired = stats["blanks"], stats["reconstructed"], stats["repaired"]
    sick = lost or stats["breaker"] or stats["gaps"] or vectors["error"]
    writes = None if before is None else (stats["writes"] - before[1]["writes"]) / max(at - before[0], 1e-3)
    return {
        "memory": target,
        "status": "degraded" if sick else "healthy",
        "fragments": {
            "intact": stats["fragments"] - lost - rebuilt - repaired, "repaired": repaired,
            "reconstructed": rebuilt, "blank": lost,
        },
        "vectors": {"indexed": vectors["indexed"], "pending": vectors["pending"]},
        "writes": stats["writes"],
        "writes_per_s": writes,
        "versions": stats["versions"],
        "deleted": stats["deleted"],
        "breaker": stats["breaker"],
        "gaps": stats["gaps"],
        "bytes": dict(sizes),
        "dreams": [
            {name: dream[name] for name in ("cycle", "status", "started", "actual_s", "rungs")}
            for dream in dreams
        ],
    }  # fmt: skip
