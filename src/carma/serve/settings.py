"""Settings of the server: every bound it keeps, each named with its unit.

They are values, not a file: `carma serve` takes the few that people change as options, a program gives all it
likes. The defaults suit one block of 60 seats on a machine with two cores.
"""

from __future__ import annotations

from dataclasses import dataclass

from carma.healing.pace import LIGHT_EVERY_S

__all__ = ["ServeSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Bounds and policies of one server."""

    # Where
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 8360
    """The port to listen on; 0 takes a free one."""
    tls_certificate: str | None = None
    """File of the certificate chain (PEM)."""
    tls_key: str | None = None
    """File of its private key (PEM)."""
    insecure_http: bool = False
    """Allow plain HTTP on an address that other machines reach."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose X-Forwarded-For is believed."""
    audience: str = "carma"
    """What attempt keys are made for; another server's name here makes its keys useless there."""

    dashboard: bool = True
    """Serve the dashboard's pages at `/`, where it is installed."""

    # Keys
    static_keys: bool = True
    """Whether static keys are accepted at all; over plain HTTP they are only accepted on loopback."""
    metrics_port: int | None = None
    """Serve /metrics there, and only there."""
    metrics_key: str | None = None
    """Ask for this bearer at /metrics."""

    # Seats
    seats: int = 60
    """Seats of the block."""
    seat_idle_s: float = 300.0
    """A memory that nobody asked for this long is closed."""
    seat_retry_s: float = 5.0
    """A memory that could not be opened is tried again after this long, doubling ..."""
    seat_retry_most_s: float = 60.0
    """... up to this."""
    seat_calls_most: int = 8
    """Calls of one seat that run at once; more wait."""
    round_s: float = LIGHT_EVERY_S
    """Every seat is looked at once in this time, whether anybody asks for it or not."""
    look_s: float = 600.0
    """So long every byte of one seat is read at most before others have their turn."""
    health_s: float = 15.0
    """How old the health of an open seat may be."""

    # Work
    threads: int = 16
    """Threads that run the calls of memories."""
    waiting_most: int = 512
    """Calls that wait for a thread; over it the answer is 503."""
    dreams_most: int = 2
    """Dreams that run at once; more wait."""
    dreams_waiting_most: int = 60
    """Dreams that wait; over it the answer is 503."""

    # Requests
    head_bytes: int = 32 * 2**10
    """The longest request line and headers together."""
    headers_most: int = 64
    """The most headers of a request."""
    head_s: float = 10.0
    """A request's headers are there this long after its first byte, and a TLS handshake is over."""
    pipeline_most: int = 16
    """Requests that wait on one connection behind the one that runs."""
    body_s: float = 30.0
    """A body is there this long after its headers, and ..."""
    body_bytes_per_s: int = 64 * 2**10
    """... one second more for each so many bytes of it."""
    body_bytes: int = 32 * 2**20
    """The longest body that carries texts to store."""
    small_body_bytes: int = 1 * 2**20
    """The longest body of every other operation."""
    bodies_bytes: int = 256 * 2**20
    """All bodies that are held at once, together, unpacked."""
    body_values: int = 4_000_000
    """The most values in a body: a short number takes twenty times its own length once it is read."""
    items_most: int = 1_000
    """Fragments in one request to add."""
    page_most: int = 1_000
    """The largest page, and the most hits of a search."""
    depth_most: int = 64
    """How deep a tree is shown."""
    topology_most: int = 50_000
    """The most fragments of a topology."""

    # Connections
    connections_most: int = 4_096
    """Connections held at once; over it the one that has sent no whole request for longest is closed."""
    keep_alive_s: float = 60.0
    """A connection without a request is closed after this long."""
    backlog: int = 2_048
    """Connections that the system holds until they are accepted."""
    streams_most: int = 256
    """Event streams held at once ..."""
    account_streams_most: int = 4
    """... and by one account."""
    heartbeat_s: float = 15.0
    """A stream without news says so this often."""
    events_kept: int = 512
    """Events of a dream that a stream can resume after."""

    # Log
    strangers_logged_per_s: int = 100
    """Refused requests without a right key that are logged in a second; the rest are only counted."""

    # Answers
    answer_bytes: int = 32 * 2**20
    """The longest answer with fragments, before it is packed: a page ends there, anything else is 413. One
    fragment is always answered."""
    compress_from_bytes: int = 1_024
    """Shorter answers are not compressed."""

    # Dashboard
    dashboard_hosts: tuple[str, ...] = ()
    """Names that browsers may call this server by over plain HTTP, beside its addresses and localhost."""
    dashboard_idle_s: float = 1_800.0
    """Whoever does nothing for so long is signed out ..."""
    dashboard_visit_s: float = 43_200.0
    """... and everybody after so long."""
    dashboard_visits_most: int = 16
    """Sign-ins of one account at once; over it the oldest ends."""
    dashboard_sockets_most: int = 16
    """Open pages of one sign-in."""

    # Limits
    profile: str = "server"
    """What a key may ask: a named profile of `carma.access.limits`, or `server`, which is ..."""
    key_rate_per_s: float = 5_000.0
    """... so many requests, evenly spread, ..."""
    key_burst: int = 10_000
    """... and so many at once."""
    never_blocked: tuple[str, ...] = ()
    """Addresses or networks that are never blocked for what comes from them."""

    # Ending
    drain_s: float = 9.0
    """After SIGTERM everything has ended in this time."""
