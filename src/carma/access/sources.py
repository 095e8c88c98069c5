"""Where a request comes from, as far as it is charged for: one IPv4 address, or one IPv6 network of 64 bits.

Whoever has one IPv6 address has the 2^64 of its network, so they count as one. Headers that claim another
source are believed only from configured proxies, from right to left, up to the first address that is none of
them: what stands further left was written by the client and can be anything. Rejected: the leftmost address
(anybody could charge anybody), and reading both kinds of header (a proxy writes one and passes the other).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from carma.errors import InvalidInput

__all__ = ["LOCAL", "Networks", "among", "comes_from", "networks", "source_of"]

LOCAL = "local"
"""The source of what comes through a socket of this machine that has no address."""

_MOST_HOPS = 20
_MOST_CHARS = 4_096
_FOR = re.compile(r'(?i)(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^;,"\s]+))')

Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def networks(given: Iterable[str]) -> Networks:
    """Addresses and networks from a configuration, such as `10.0.0.0/8` or `::1`. Raises InvalidInput."""
    found = []
    for text in given:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise InvalidInput(f"{text!r} is neither an address nor a network.") from None
    return tuple(found)


def source_of(
    peer: str | None,
    forwarded: Sequence[str] = (),
    *,
    proxies: Networks = (),
    kind: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for",
) -> str:
    """The source that a request is charged to, as text: `192.0.2.7`, `2001:db8::/64` or `local`.

    peer: the address at the other end of the connection; None for a local socket. forwarded: the values of
    the header that proxies write, one for each line, in order. proxies: whose headers are believed. kind:
    which header that is (`forwarded`: RFC 7239).
    """
    address = _address(peer or "")
    if address is None:
        return LOCAL
    for text in _hops(",".join(forwarded)[-_MOST_CHARS:], kind):
        if not _among(address, proxies):
            break
        before = _address(text)
        if before is None:
            break
        address = before
    return _charged(address)


def among(source: str, allowed: Networks) -> bool:
    """Whether a source meets one of the networks: an IPv6 address that is named stands for its source."""
    if source == LOCAL:
        return False
    charged = ipaddress.ip_network(source)
    return any(charged.version == each.version and charged.overlaps(each) for each in allowed)


def comes_from(peer: str | None, those: Networks) -> bool:
    """Whether the other end of a connection, the address itself, lies in one of the networks."""
    address = _address(peer or "")
    return address is not None and _among(address, those)


def _hops(claimed: str, kind: str) -> list[str]:
    """The claimed addresses, nearest first."""
    parts = [part.strip() for part in claimed.split(",") if part.strip()]
    if kind == "forwarded":
        found = (_FOR.search(part) for part in parts)
        parts = [(match[1] or match[2] or "") if match else "" for match in found]
    return parts[::-1][:_MOST_HOPS]


def _address(text: str) -> _Address | None:
    """An address, also with a port, in brackets, with a zone, or IPv4 within IPv6; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def _among(address: _Address, those: Networks) -> bool:
    return any(address.version == each.version and address in each for each in those)


def _charged(address: _Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))
