"""Traces for OpenTelemetry, if it is installed and wanted; nothing otherwise.

One span for each operation, with the parent that `traceparent` names, and no attribute that a log may not
hold: the route and not the path, the error's code and not its message. Where spans go says OpenTelemetry's
own environment (`OTEL_TRACES_EXPORTER`, `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, …). An extra
(`pip install 'carma-memory[trace]'`), because most servers are watched without it. Rejected: the ready-made
instrumentation of FastAPI, which writes down whole URLs, and a task for each request.

Source: OpenTelemetry, "Semantic conventions for HTTP spans"; W3C Trace Context.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import Any, Protocol

from carma.client.operations import PREFIX, Operation
from carma.errors import CarmaError, InvalidInput, MissingExtra

__all__ = ["NoTracer", "OpenTelemetryTracer", "Span", "Tracer", "provider_of"]

_OTLP = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_EXTRA = "Traces need OpenTelemetry: pip install 'carma-memory[trace]'."
_EXPORTER = "Traces are sent by a package of its own: pip install opentelemetry-exporter-otlp-proto-http."


class Span(Protocol):
    """The span of one request."""

    def answered(self, status: int) -> None:
        """It was answered, with this HTTP status."""


class Tracer(Protocol):
    """Makes spans."""

    def span(self, operation: Operation, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """A span around the block. headers: of the request, for `traceparent` (W3C Trace Context)."""


class _Nothing:
    def answered(self, status: int) -> None:
        return


class NoTracer:
    """Traces nothing."""

    _nothing = nullcontext(_Nothing())

    def span(self, operation: Operation, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        return self._nothing


class _Told:
    """A span of OpenTelemetry."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def answered(self, status: int) -> None:
        self._span.set_attribute("http.response.status_code", status)


class OpenTelemetryTracer:
    """Traces by OpenTelemetry's API. provider: where spans go (None: its global one). Raises MissingExtra."""

    def __init__(self, provider: Any = None) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.propagate import extract
        except ImportError as error:
            raise MissingExtra(_EXTRA) from error
        self._tracer = trace.get_tracer("carma.serve", tracer_provider=provider)
        self._extract = extract
        self._kind = trace.SpanKind.SERVER
        self._failed = trace.StatusCode.ERROR

    @contextmanager
    def span(self, operation: Operation, headers: Mapping[str, str]) -> Iterator[Span]:
        """A span named `carma.<operation>`."""
        attributes = {
            "carma.operation": operation.name,
            "http.request.method": operation.method,
            "http.route": PREFIX + operation.path,
        }
        with self._tracer.start_as_current_span(
            f"carma.{operation.name}",
            context=self._extract(dict(headers)),
            kind=self._kind,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield _Told(span)
            except Exception as error:
                status, name = 500, type(error).__name__
                if isinstance(error, CarmaError):
                    status, name = error.status, error.code
                span.set_attribute("error.type", name)
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_status(self._failed)
                raise


def provider_of(environ: Mapping[str, str] = os.environ) -> Any:
    """Where spans go by OpenTelemetry's environment; to be shut down at the end, which sends the last ones.

    OTEL_TRACES_EXPORTER: `otlp` (the default, over HTTP), `console` or `none`; the SDK and the exporter read
    the rest themselves. Raises MissingExtra, InvalidInput.
    """
    name = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() or "otlp"
    if name not in ("otlp", "console", "none"):
        raise InvalidInput(f"OTEL_TRACES_EXPORTER is {name!r}; it is otlp, console or none.")
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    except ImportError as error:
        raise MissingExtra(_EXTRA) from error
    provider = TracerProvider()
    if name == "console":
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    elif name == "otlp":
        try:
            exporter = import_module(_OTLP).OTLPSpanExporter()
        except ImportError as error:
            raise MissingExtra(_EXPORTER) from error
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
