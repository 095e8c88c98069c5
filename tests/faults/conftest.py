"""What the fault tests share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Cases = Callable[[int], None]


@pytest.fixture
def cases(record_property: Callable[[str, object], None]) -> Cases:
    """Told how many faults a test has tried; `python -m bench.promises` publishes the sums."""
    return lambda count: record_property("cases", count)
