"""What holds for every test: no example of Hypothesis has a deadline; machines are shared and noisy. And the
order: the folders whose files take longest come first, so that no core waits at the end for another's file.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

LONGEST = ("faults", "docs", "packaging", "simulation", "healing")

settings.register_profile("carma", deadline=None)
settings.load_profile("carma")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of the longest folders to the front; each folder keeps its own order."""
    first = {f"tests/{folder}": place for place, folder in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get("/".join(item.nodeid.split("/")[:2]), len(first)))
