"""Metrics are shown to anybody where no key was set, and making a page takes as long as many requests."""

from __future__ import annotations

from itertools import count

from carma.serve.metrics import Metrics


def test_a_flood_of_questions_for_metrics_is_given_the_last_page_again() -> None:
    """Fifty at once are made, then five a second; whoever scrapes every few seconds always sees a new one."""
    metrics, numbers = Metrics(), count()

    def fresh(now_s: float) -> bool:
        outcome = f"outcome-{next(numbers)}."
        metrics.key(outcome)
        return outcome.encode() in metrics.page_for_anybody(now_s)

    flood = [fresh(1_000.0) for _ in range(60)]
    assert flood == [True] * 50 + [False] * 10
    assert [fresh(1_000.21), fresh(1_000.22)] == [True, False]
    assert all(fresh(1_060.0 + 5 * scrape) for scrape in range(20))
