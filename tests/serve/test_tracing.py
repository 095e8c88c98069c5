"""Traces: one span for each operation, with its parent, and nothing in it that a log may not hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from carma.errors import InvalidInput
from carma.serve.tracing import NoTracer, OpenTelemetryTracer, provider_of
from tests.serve.running import Running, running

TEXT = "The combination of the safe is 31 12 99."
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, exporter: InMemorySpanExporter) -> Iterator[Running]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    folder = tmp_path_factory.mktemp("tracing")
    with running(folder / "data", tracer=OpenTelemetryTracer(provider)) as found:
        yield found


def spans(exporter: InMemorySpanExporter, count: int) -> list[ReadableSpan]:
    """The next spans that are finished."""
    end = time.monotonic() + 5
    while len(exporter.get_finished_spans()) < count:
        assert time.monotonic() < end
        time.sleep(0.01)
    found = list(exporter.get_finished_spans())
    exporter.clear()
    return found


def test_an_operation_is_a_span_below_its_parent(server: Running, exporter: InMemorySpanExporter) -> None:
    """`traceparent` (W3C) names the parent; route, method and status are told as the conventions ask."""
    client = server.user("ada")
    exporter.clear()
    made = client.post(
        "/v1/fragments", json={"text": TEXT}, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}
    )
    assert made.status_code == 201
    (span,) = spans(exporter, 1)
    assert span.name == "carma.add"
    assert span.kind is SpanKind.SERVER
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert dict(span.attributes) == {
        "carma.operation": "add", "http.request.method": "POST", "http.route": "/v1/fragments",
        "http.response.status_code": 201,
    }  # fmt: skip


def test_a_refused_request_is_a_span_with_the_errors_name(
    server: Running, exporter: InMemorySpanExporter
) -> None:
    """The code of the error and the status; it is the asker's error, so the span has not failed."""
    exporter.clear()
    with server.client() as stranger:
        assert stranger.get("/v1/usage").status_code == 401
    (span,) = spans(exporter, 1)
    assert span.attributes["error.type"] == "unauthorized"
    assert span.attributes["http.response.status_code"] == 401
    assert span.status.status_code is not StatusCode.ERROR
    assert span.parent is None


def test_spans_hold_no_text_no_id_and_no_secret(server: Running, exporter: InMemorySpanExporter) -> None:
    """Whatever is asked and however it ends."""
    _, key = server.join("bob")
    client = server.client(key)
    exporter.clear()
    id = client.post("/v1/fragments", json={"text": TEXT}).json()["items"][0]["id"]
    client.get(f"/v1/fragments/{id}")
    client.post("/v1/search", json={"query": "combination of the safe"})
    client.get("/v1/fragments", params={"where": '{"secret": "combination"}'})
    client.patch(f"/v1/fragments/{id}", json={"text": 7})
    shown = "\n".join(span.to_json() for span in spans(exporter, 5))
    for word in (key, id, "combination", "safe", "secret", "bob"):
        assert word not in shown


def test_where_spans_go_is_said_by_opentelemetrys_own_environment() -> None:
    """`console` and `none` need no further package; what is unknown is refused by name."""
    for name in ("console", "none"):
        provider = provider_of({"OTEL_TRACES_EXPORTER": name})
        assert isinstance(provider, TracerProvider)
        provider.shutdown()
    with pytest.raises(InvalidInput, match="zipkin"):
        provider_of({"OTEL_TRACES_EXPORTER": "zipkin"})


def test_without_traces_nothing_is_traced(tmp_path: Path, exporter: InMemorySpanExporter) -> None:
    """The usual server makes no span."""
    exporter.clear()
    with running(tmp_path / "data", tracer=NoTracer()) as server:
        assert server.user().get("/v1/usage").status_code == 200
    assert not exporter.get_finished_spans()
