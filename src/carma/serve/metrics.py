"""Metrics for Prometheus, named by the vocabulary.

Counters and histograms are told of what happens; gauges are read when somebody asks, from what the server
knows anyway (a scrape opens no memory). No label names an account: sixty of them are few, and still whose
they are is nobody's business who may read metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from carma.access.limits import Profile, decide
from carma.client.operations import OPERATIONS
from carma.models import SearchResult
from carma.ports.clock import Clock
from carma.reports import DreamReport, ScanReport
from carma.serve.block import Block
from carma.serve.dreams import Dreams
from carma.serve.seat import SeatHealth

__all__ = ["MEDIA", "Metrics"]

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
_LATENCIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ANYBODY = Profile("metrics without a key", rate_per_s=5.0, burst=50)
_DREAMS = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0)

Gauges = Callable[[], Iterable[tuple[str, str, float]]]
"""Names, what they say, and values, of whatever else is to be shown."""


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "carma_requests", "Requests answered.", ("operation", "status"), registry=registry
        )
        seconds = Histogram(
            "carma_request_seconds", "From the headers to the last byte of the answer.", ("operation",),
            buckets=_LATENCIES, registry=registry,
        )  # fmt: skip
        self._seconds = {name: seconds.labels(name) for name in (*OPERATIONS, "other")}
        self._keys = Counter("carma_key_outcomes", "What became of keys.", ("outcome",), registry=registry)
        self._degraded = Counter(
            "carma_searches_degraded", "Searches that said something was missing.", registry=registry
        )
        self._scans = Counter("carma_scans", "Scans by depth.", ("depth",), registry=registry)
        self._findings = Counter("carma_findings", "What scans found.", ("kind",), registry=registry)
        self._dreams = Counter("carma_dreams", "Dreams by how they ended.", ("status",), registry=registry)
        self._rungs = Counter("carma_rungs", "Fragments that a rung gave back.", ("rung",), registry=registry)
        self._dreamt = Histogram(
            "carma_dream_seconds", "How long dreams took.", buckets=_DREAMS, registry=registry
        )
        self._counted: dict[tuple[str, int], Counter] = {}
        self._shown, self._empty_ns = b"", 0

    def show(self, block: Block, dreams: Dreams, clock: Clock, gauges: Gauges = lambda: ()) -> None:
        """Show these too, from now on."""
        self._registry.register(_Gauges(block, dreams, clock, gauges))

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """A request was answered."""
        counter = self._counted.get((operation, status))
        if counter is None:
            counter = self._counted[operation, status] = self._requests.labels(operation, str(status))
        counter.inc()
        self._seconds[operation].observe(seconds)

    def key(self, outcome: str) -> None:
        """A key was accepted, or refused for a reason."""
        self._keys.labels(outcome).inc()

    def searched(self, result: SearchResult) -> None:
        """A search was answered."""
        if result.degraded:
            self._degraded.inc()

    def scanned(self, report: ScanReport) -> None:
        """A scan is over."""
        self._scans.labels("deep" if report.deep else "light").inc()
        for finding in report.findings:
            self._findings.labels(finding.kind).inc()

    def dreamt(self, report: DreamReport) -> None:
        """A dream is over."""
        self._dreams.labels(report.status).inc()
        self._dreamt.observe(report.actual_s)
        for rung, count in report.rungs.items():
            self._rungs.labels(rung).inc(count)

    def page(self) -> bytes:
        """All of them, as Prometheus reads them."""
        self._shown = generate_latest(self._registry)
        return self._shown

    def page_for_anybody(self, now_s: float) -> bytes:
        """The same for whoever asks without a key. Making it takes as long as many requests, so a flood is
        given the last one again. now_s: a monotonic clock's seconds.
        """
        decision = decide(_ANYBODY, self._empty_ns, round(now_s * 1e9))
        self._empty_ns = decision.empty_ns
        return self.page() if decision.allowed or not self._shown else self._shown


class _Gauges:
    """What is read when somebody asks."""

    def __init__(self, block: Block, dreams: Dreams, clock: Clock, gauges: Gauges) -> None:
        self._clock = clock
        self._block = block
        self._dreams = dreams
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are only known when it is collected."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The gauges as they are now."""
        seats = self._block.health()
        lost, rebuilt = sum(each.blanks for each in seats), sum(each.reconstructed for each in seats)
        repaired = sum(each.repaired for each in seats)
        whole = sum(each.fragments for each in seats) - lost - rebuilt - repaired
        yield _family(
            "carma_fragments", "Fragments, as seats were last seen.", "state",
            {"intact": whole, "repaired": repaired, "reconstructed": rebuilt, "blank": lost},
        )  # fmt: skip
        yield _family(
            "carma_vectors", "Vectors in the indexes, and still to be made.", "state",
            {"indexed": sum(each.indexed for each in seats), "pending": sum(each.pending for each in seats)},
        )  # fmt: skip
        degraded = sum(each.condition == "degraded" for each in seats)
        yield _family(
            "carma_seats", "Seats of the block.", "state",
            {
                "taken": len(seats), "open": self._block.open_seats, "degraded": degraded,
                "free": self._block.accounts.seats - len(seats),
            },
        )  # fmt: skip
        yield from _freshness(seats, self._clock.now())
        yield _family(
            "carma_scan_bytes", "Bytes of the deep scans under way, as seats were last seen.", "kind",
            {
                "done": sum(each.scan_done_bytes for each in seats),
                "total": sum(each.scan_total_bytes for each in seats),
            },
        )  # fmt: skip
        last = [feed.last for feed in self._dreams.running()]
        steps = {
            "done": sum(event.done for event in last if event),
            "total": sum(event.total for event in last if event),
        }
        yield _family("carma_dream_steps", "Steps of the dreams that run now.", "kind", steps)
        for name, what, value in self._gauges():
            yield GaugeMetricFamily(name, what, value=value)


def _freshness(seats: Sequence[SeatHealth], now: float) -> Iterator[Metric]:
    """How long ago the seat was looked at that waits longest; nothing of seats that never were."""
    ends = {
        "seen": [each.checked for each in seats if each.checked],
        "light": [each.light for each in seats if each.light],
        "deep": [each.deep for each in seats if each.deep],
    }
    yield _family(
        "carma_oldest_look_seconds", "Since the seat was seen that waits longest, by how closely.", "depth",
        {depth: max(now - min(times), 0.0) for depth, times in ends.items() if times},
    )  # fmt: skip


def _family(name: str, what: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family
