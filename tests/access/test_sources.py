"""Which source a request is charged to, and that nobody can choose another one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.access.sources import LOCAL, among, comes_from, networks, source_of
from carma.errors import InvalidInput

PROXIES = networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("[2001:db8::1]:443", "2001:db8::/64"),
        ("192.0.2.7:5000", "192.0.2.7"),
        (None, LOCAL),
        ("", LOCAL),
        ("testclient", LOCAL),
    ],
)
def test_an_address_is_charged_as_32_or_64_bits(peer: str | None, source: str) -> None:
    """IPv4 by itself, IPv6 by its network, in whatever form it comes."""
    assert source_of(peer) == source


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_addresses_of_one_ipv6_network_are_one_source(address: ipaddress.IPv6Address, low: int) -> None:
    """Whoever walks through the 2^64 addresses of a network stays the same source."""
    other = ipaddress.IPv6Address(int(address) >> 64 << 64 | low)
    if address.ipv4_mapped is None and other.ipv4_mapped is None:
        assert source_of(str(address)) == source_of(str(other))


@given(st.text(max_size=50), st.lists(st.text(max_size=80), max_size=4))
def test_headers_of_somebody_who_is_no_proxy_are_not_believed(peer_tail: str, forwarded: list[str]) -> None:
    """Without a configured proxy at the other end nothing in a header matters."""
    assert source_of("192.0.2.7", forwarded, proxies=PROXIES) == "192.0.2.7"
    assert source_of("192.0.2.7", forwarded, proxies=PROXIES, kind="forwarded") == "192.0.2.7"
    assert source_of("10.0.0.1", [peer_tail], proxies=()) == "10.0.0.1"


@given(st.text(max_size=100))
def test_what_a_client_writes_in_front_changes_nothing(lie: str) -> None:
    """A proxy appends the address that it saw; whatever stands left of it is ignored."""
    assert source_of("10.0.0.1", [f"{lie}, 198.51.100.9"], proxies=PROXIES) == "198.51.100.9"
    assert source_of("10.0.0.1", [lie, "198.51.100.9"], proxies=PROXIES) == "198.51.100.9"
    said = [f"{lie}, for=198.51.100.9;proto=https"]
    assert source_of("10.0.0.1", said, proxies=PROXIES, kind="forwarded") == "198.51.100.9"


@pytest.mark.parametrize(
    ("forwarded", "source"),
    [
        (["198.51.100.9"], "198.51.100.9"),
        (["203.0.113.5, 198.51.100.9, 10.0.0.2"], "198.51.100.9"),
        (["198.51.100.9", "10.0.0.3, 10.0.0.2"], "198.51.100.9"),
        (["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
        (["2001:db8::7, fd00::1"], "2001:db8::/64"),
        (["nonsense"], "10.0.0.1"),
        (["198.51.100.9, nonsense"], "10.0.0.1"),
        ([], "10.0.0.1"),
        (["x" * 100_000 + ", 198.51.100.9"], "198.51.100.9"),
        (["10.0.0.2, " * 10_000 + "10.0.0.2"], "10.0.0.2"),
    ],
)
def test_proxies_are_walked_from_the_nearest_to_the_first_that_is_none(
    forwarded: list[str], source: str
) -> None:
    """Several proxies, several lines, nothing, nonsense, and far too much."""
    assert source_of("10.0.0.1", forwarded, proxies=PROXIES) == source


@pytest.mark.parametrize(
    ("forwarded", "source"),
    [
        (["for=198.51.100.9"], "198.51.100.9"),
        (['For="[2001:db8:cafe::17]:4711"'], "2001:db8:cafe::/64"),
        (["for=203.0.113.5, proto=https;for=198.51.100.9;by=10.0.0.1"], "198.51.100.9"),
        (["for=unknown"], "10.0.0.1"),
        (["for=_hidden"], "10.0.0.1"),
        (["by=198.51.100.9"], "10.0.0.1"),
    ],
)
def test_the_standard_header_is_read_where_it_is_configured(forwarded: list[str], source: str) -> None:
    """Forwarded (RFC 7239) with ports, brackets, other parameters and hidden names."""
    assert source_of("10.0.0.1", forwarded, proxies=PROXIES, kind="forwarded") == source


def test_networks_are_parsed_and_asked() -> None:
    """Addresses and networks of both kinds; what is neither is refused."""
    allowed = networks(["192.0.2.0/24", "2001:db8::1"])
    assert among("192.0.2.7", allowed)
    assert among("2001:db8::/64", allowed) and not among("2001:db8:0:1::/64", allowed)
    assert not among("198.51.100.9", allowed)
    assert not among(LOCAL, allowed)
    with pytest.raises(InvalidInput):
        networks(["example.org"])


def test_only_the_proxy_itself_counts_as_the_proxy() -> None:
    """Another machine of the same network may not speak for it; one that is named exactly is found."""
    proxies = networks(["2001:db8::1", "10.0.0.0/8"])
    assert comes_from("2001:db8::1", proxies) and not comes_from("2001:db8::2", proxies)
    assert comes_from("10.9.9.9", proxies) and not comes_from("192.0.2.1", proxies)
    assert not comes_from(None, proxies) and not comes_from("nonsense", proxies)
