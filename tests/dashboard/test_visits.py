"""Visits and their cookies: how they end, and what the browser is told of them."""

from __future__ import annotations

import pytest

from carma.access.keys.authority import Principal
from carma.errors import RequestRefused
from carma.ports.clock import SystemEntropy
from carma.serve.dashboard.origin import check_host, check_origin, cookie_of, cookie_value
from carma.serve.dashboard.visits import Visits
from carma.serve.settings import ServeSettings
from carma.testing import SimulatedClock

_ADA = Principal("account of ada", "fingerprint", "rwha", "name")
_BOB = Principal("account of bob", "fingerprint", "r", "name")


def _visits(**settings: float) -> tuple[Visits, SimulatedClock]:
    clock = SimulatedClock()
    return Visits(ServeSettings(**settings), clock, SystemEntropy()), clock  # type: ignore[arg-type]


def test_a_visit_ends_when_nothing_is_done_and_after_its_time_in_any_case() -> None:
    """What is touched goes on up to a bound; what is not ends sooner."""
    visits, clock = _visits(dashboard_idle_s=100.0, dashboard_visit_s=250.0)
    token = visits.begin(_ADA)
    for _ in range(3):
        clock.advance(80)
        assert visits.find(token, touch=True) is not None
    clock.advance(11)
    assert visits.find(token) is None
    token = visits.begin(_ADA)
    clock.advance(99)
    visit = visits.find(token)
    assert visit is not None
    clock.advance(1)
    assert visits.find(token) is None
    assert visit.over.is_set()


def test_an_account_holds_a_bounded_number_of_visits() -> None:
    """The oldest of its own ends; another account's goes on."""
    visits, _ = _visits(dashboard_visits_most=2)
    others, first = visits.begin(_BOB), visits.begin(_ADA)
    later = [visits.begin(_ADA) for _ in range(2)]
    assert visits.find(first) is None
    assert all(visits.find(token) for token in (*later, others))


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "\u00e9" * 43, "A" * 10_000])
def test_a_cookie_that_nobody_was_given_opens_nothing(token: str) -> None:
    """Whatever stands in it, it is looked up by its digest and not found."""
    visits, _ = _visits()
    visits.begin(_ADA)
    assert visits.find(token) is None


def test_under_tls_the_cookie_is_bound_to_the_host() -> None:
    """It is secure and named so that no other host may set it; the one of plain HTTP is not read there."""
    plain, secure = cookie_value("token", False), cookie_value("token", True)
    assert secure.startswith("__Host-")
    for part in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in plain.split("; ")
        assert part in secure.split("; ")
    assert "Secure" in secure.split("; ")
    assert "Domain" not in secure
    assert cookie_of({"cookie": "carma_visit=token"}, True) == ""
    assert cookie_of({"cookie": "a=b; __Host-carma_visit=token"}, True) == "token"


@pytest.mark.parametrize("host", ["127.0.0.1:80", "[::1]:8360", "localhost", "memory.localhost:1", "ours:5"])
def test_addresses_localhost_and_named_hosts_are_served(host: str) -> None:
    """By its address nobody else can point a browser at this server."""
    check_host({"host": host}, False, ("ours",))
    check_origin({"host": host, "origin": f"http://{host}"}, False)


@pytest.mark.parametrize(
    "host", ["", "ours.example", "localhost.example", "127.0.0.1.nip.io", "a b", "[::1", "x:y"]
)
def test_other_names_are_refused_over_plain_http(host: str) -> None:
    """A name that was made to resolve to this machine is somebody else's page."""
    with pytest.raises(RequestRefused):
        check_host({"host": host}, False, ("ours",))
