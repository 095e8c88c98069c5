"""Limits: never more than the rate and the burst, never a lock-out, and the time to wait is the right one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.access.limits import PROFILES, Limiter, Profile, decide, retry_after
from carma.errors import InvalidInput, TooManyRequests

NS = 1_000_000_000
PROFILE = st.builds(Profile, st.just("p"), st.floats(0.01, 1e6), st.integers(1, 1_000))
PAUSES = st.lists(st.integers(0, 5 * NS), max_size=200)


@given(PROFILE, PAUSES)
def test_no_stretch_of_time_lets_more_through_than_rate_and_burst(
    profile: Profile, pauses: list[int]
) -> None:
    """Between any two accepted requests lie at most burst + rate x time of them, both counted."""
    now, empty, accepted = 0, 0, []
    for pause in pauses:
        now += pause
        decision = decide(profile, empty, now)
        empty = decision.empty_ns
        if decision.allowed:
            accepted.append(now)
    for first in range(len(accepted)):
        for last in range(first, min(len(accepted), first + 50)):
            most = profile.burst + (accepted[last] - accepted[first]) // profile.interval_ns
            assert last - first + 1 <= most


@given(PROFILE, PAUSES, st.integers(1, 1_500))
def test_whoever_waits_as_long_as_told_is_let_through_and_not_a_moment_sooner(
    profile: Profile, pauses: list[int], cost: int
) -> None:
    """The wait is exact to the nanosecond, and asking too soon does not make it longer."""
    now, empty = 0, 0
    for pause in pauses:
        now += pause
        decision = decide(profile, empty, now, cost)
        empty = decision.empty_ns
        if not decision.allowed:
            wait = round(decision.retry_after_s * NS)
            assert decide(profile, empty, now + wait, cost).allowed
            assert not decide(profile, empty, now + wait - 1, cost).allowed
            assert 0 < wait <= profile.interval_ns * profile.burst


@given(PROFILE, st.integers(0, 10**18), st.integers(0, 10**18))
def test_a_clock_that_jumps_locks_nobody_out_for_longer_than_a_full_bucket(
    profile: Profile, before: int, now: int
) -> None:
    """Whatever the state says, after the time of a full bucket a request passes."""
    decision = decide(profile, before, now)
    assert decision.empty_ns <= now + profile.interval_ns * profile.burst
    assert decide(profile, decision.empty_ns, now + profile.interval_ns * profile.burst).allowed


def test_one_per_second_is_one_per_second() -> None:
    """The second request of a second is refused, the one after exactly a second is not."""
    limiter = Limiter()
    limiter.take("one-per-second", "key", 100.0)
    for now, left in ((100.0, 1.0), (100.25, 0.75), (100.999, 0.001)):
        with pytest.raises(TooManyRequests) as caught:
            limiter.take("one-per-second", "key", now)
        assert caught.value.retry_after_s == pytest.approx(left)
        assert retry_after(caught.value.retry_after_s) == 1
    limiter.take("one-per-second", "key", 101.0)
    limiter.take("one-per-second", "another key", 101.0)
    limiter.take("interactive", "key", 101.0)


def test_a_burst_is_let_through_at_once_and_then_the_rate() -> None:
    """Fifty at once, then one every tenth of a second."""
    limiter = Limiter()
    profile = PROFILES["interactive"]
    for _ in range(profile.burst):
        limiter.take("interactive", "key", 5.0)
    passed = sum(limiter.ask("interactive", "key", 5.0 + step / 100).allowed for step in range(1, 1_001))
    assert passed == 100


def test_a_request_may_count_for_several() -> None:
    """A batch of ten takes ten places; one larger than the burst takes the whole bucket, and passes."""
    limiter = Limiter({"p": Profile("p", 1.0, 10)})
    assert limiter.ask("p", "a", 0.0, cost=10).allowed
    assert limiter.ask("p", "a", 0.0).retry_after_s == 1.0
    assert limiter.ask("p", "b", 0.0, cost=1_000).allowed
    assert limiter.ask("p", "b", 0.0, cost=1_000).retry_after_s == 10.0


def test_the_table_is_bounded_and_forgets_who_asked_longest_ago() -> None:
    """Of many keys the last ones are known; one that was forgotten starts afresh."""
    limiter = Limiter(most=100)
    for number in range(1_000):
        limiter.take("one-per-second", number, 0.0)
        assert len(limiter) <= 100
    assert limiter.ask("one-per-second", 0, 0.0).allowed
    assert not limiter.ask("one-per-second", 999, 0.0).allowed


@pytest.mark.parametrize(
    ("rate", "burst"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1), (1e10, 1), (1, 10**7)]
)
def test_a_profile_that_makes_no_sense_is_refused(rate: float, burst: int) -> None:
    """Rates and bursts have bounds; a name that is not known is told."""
    with pytest.raises(InvalidInput):
        Profile("p", rate, burst)
    with pytest.raises(InvalidInput, match="interactive"):
        Limiter().ask("nonsense", "key", 0.0)


@pytest.mark.parametrize(("seconds", "header"), [(0.0, 1), (0.001, 1), (1.0, 1), (1.001, 2), (59.5, 60)])
def test_retry_after_is_whole_seconds_and_never_too_soon(seconds: float, header: int) -> None:
    """Rounded up, at least 1."""
    assert retry_after(seconds) == header
