"""What the beacon decides without looking at a file: the order, the pace, and when the next tour is due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from carma.healing.pace import DEEP_EVERY_S, LIGHT_EVERY_S, Pace, due
from carma.healing.tour import Stop, Tour

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=3), unique=True, max_size=30)


@given(NAMES, st.integers(0, 4), st.sets(st.integers(0, 29)), st.floats(0, 1, exclude_max=True))
def test_a_tour_stops_everywhere_once(names: list[str], groups: int, bad: set[int], origin: float) -> None:
    """Whatever is hit on the way, each stop comes exactly once, and after a hit its group comes first."""
    stops = [Stop(name, f"g{at % groups}" if groups else "") for at, name in enumerate(names)]
    tour, met = Tour(stops, origin=origin), list[Stop]()
    hit = ""
    while (stop := tour.next()) is not None:
        if hit and any(other.group == hit for other in stops if other not in met):
            assert stop.group == hit
        met.append(stop)
        whole = names.index(stop.name) not in bad
        hit = hit if whole else stop.group
        tour.done(stop, whole)
    assert sorted(met) == sorted(stops) and tour.left == 0


@given(NAMES, st.integers(0, 30), st.sets(st.integers(0, 29)), st.floats(0, 1), st.floats(0, 1))
def test_a_resumed_tour_has_what_was_left(
    names: list[str], first: int, bad: set[int], origin: float, other: float
) -> None:
    """Breaking off after any number of stops: the two parts together are the whole, without a stop twice."""
    stops = [Stop(name) for name in names]
    tour = Tour(stops, 5, dict.fromkeys(names[::2], 4), origin=min(origin, 0.999))
    met: list[str] = []
    while len(met) < first and (stop := tour.next()) is not None:
        met.append(stop.name)
        tour.done(stop, names.index(stop.name) not in bad)
    rest = Tour(stops, 5, tour.seen, tour.hit, origin=min(other, 0.999))
    while (stop := rest.next()) is not None:
        met.append(stop.name)
        rest.done(stop, True)
    assert sorted(met) == sorted(names)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 6)), st.floats(0, 0.999))
def test_what_was_proven_longest_ago_comes_first(ages: dict[str, int], origin: float) -> None:
    """The order of a tour without damage is that of the tours in which stops were last found whole."""
    tour, met = Tour([Stop(name) for name in ages], 7, ages, origin=origin), list[int]()
    while (stop := tour.next()) is not None:
        met.append(ages[stop.name])
        tour.done(stop, True)
    assert met == sorted(ages.values())


@given(st.integers(0, 2**30), st.floats(0, 100), st.floats(1, 1e9), st.floats(0.01, 1))
def test_the_pace_is_never_passed(count: int, busy_s: float, rate: float, share: float) -> None:
    """Work and pause together take at least what rate and share of a core ask for."""
    pause = Pace(rate, share).pause_s(count, busy_s)
    assert pause >= 0
    assert (busy_s + pause) * rate >= count * (1 - 1e-9)
    assert busy_s <= share * (busy_s + pause) * (1 + 1e-9)


@given(st.floats(1e9, 2e9), st.floats(0, 2e5), st.floats(0, 2e5), st.floats(0, 1))
def test_a_tour_is_due_within_its_jitter(now: float, light: float, deep: float, chance: float) -> None:
    """Never before three quarters of its interval, always after five; the deep tour goes first."""
    what = due(now, now - light, now - deep, chance)
    if deep > DEEP_EVERY_S * 1.26:
        assert what == "deep"
    elif deep < DEEP_EVERY_S * 0.74:
        assert what != "deep"
        assert what == "light" or light < LIGHT_EVERY_S * 1.26
        assert what is None or light > LIGHT_EVERY_S * 0.74
    assert due(now, None, now, chance) == "light" and due(now, now, None, chance) == "deep"
    assert due(now, now + 5, now, chance) == "light", "a clock that was set back"
