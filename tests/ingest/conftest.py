from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from carma.ingest import IngestReport, ingest_path
from carma.ports.clock import SystemClock

from .dict_sink import DictSink, Ingest


@pytest.fixture
def sink() -> DictSink:
    return DictSink()


@pytest.fixture
def ingest(sink: DictSink) -> Ingest:
    def run(path: Path, **more: Any) -> IngestReport:
        return ingest_path(more.pop("sink", sink), path, clock=SystemClock(), **more)

    return run
