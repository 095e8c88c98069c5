"""The guard: whether a request may go on, by its headers alone.

Order matters. First the key, because a right key decides that nobody else's behaviour counts: only requests
without a right tag are charged to the address they come from, and only they are refused for it. Then the
account's blocks, the key's rate, and the permission, which every operation names in one table and which is
refused where the table has none. All of it happens after the attempt was burned, so a refusal costs the
attempt, as ACCESS asks.

Whoever has no session yet is told the nonce whatever else came from that address, and is not charged for
asking: else a stranger behind the same address could keep an owner from ever opening one. Rejected: limits
before keys (the same, for all requests).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple, Protocol

from carma.access.blocks import Block
from carma.access.gate import Gate as Limits
from carma.access.keys.authority import Admitted, Authority, Principal
from carma.access.keys.permissions import check_permission
from carma.access.keys.wire import RequestHead
from carma.access.sources import comes_from, networks, source_of
from carma.client.operations import Operation
from carma.errors import CarmaError, InvalidInput, KeyMalformed, NewSession, RequestRefused, Unauthorized
from carma.ports.clock import Clock
from carma.serve.settings import ServeSettings
from carma.uml.squares import check_square, from_text

__all__ = ["Admission", "Guard", "Source", "Witness", "answer_tag"]

_TAG_LETTERS = 32


class Source(NamedTuple):
    """Where a request came from. secure: under TLS, or not over any wire."""

    address: str
    secure: bool


class Admission(NamedTuple):
    """A request that may go on. tag: of its attempt key, else of its id; the squares are made of it."""

    principal: Principal
    tag: bytes


class Witness(Protocol):
    """Hears what became of requests: the audit log."""

    def denied(self, principal: Principal, operation: str, reason: str, request_id: str) -> None:
        """A right key was refused."""

    def forged(self) -> None:
        """A request came without a right tag."""

    def blocked(self, block: Block) -> None:
        """A source was blocked."""


class Guard:
    """Admits requests. One for each server.

    told: hears of every outcome for a key, by name, for the metrics.
    """

    def __init__(
        self,
        authority: Authority,
        limits: Limits,
        witness: Witness,
        settings: ServeSettings,
        clock: Clock,
        told: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self._authority = authority
        self._limits = limits
        self._witness = witness
        self._profile = settings.profile
        self._clock = clock
        self._told = told
        self._proxies = networks(settings.trusted_proxies)

    def admit(
        self,
        operation: Operation,
        method: str,
        target: str,
        headers: Mapping[str, str],
        source: Source,
        request_id: str,
    ) -> Admission:
        """Who asks. Raises what `Authority.admit` raises, TooManyRequests, Blocked, Forbidden,
        RequestRefused (a square that is not the tag's).
        """
        get = headers.get
        head = RequestHead(
            method, target, get("authorization", ""), get("carma-nonce", ""), get("carma-date", ""),
            get("content-digest", ""), get("idempotency-key", ""), get("carma-account", ""), source.secure,
        )  # fmt: skip
        try:
            admitted = self._authority.admit(head, self._clock.now())
        except CarmaError as error:
            self._told(error.code)
            self._charge(error, source)
            raise
        self.let_in(admitted.principal, operation.name, request_id)
        tag = _tag(head.authorization, admitted, request_id)
        square = get("carma-square")
        if square is not None:
            _check_square(tag, square)
        self._told("accepted")
        return Admission(admitted.principal, tag)

    def source(self, scope: Mapping[str, object], headers: Mapping[str, str]) -> Source:
        """Where a request came from; what proxies say about it counts if we know them."""
        client = scope.get("client")
        peer = str(client[0]) if isinstance(client, tuple | list) and client else None
        secure = scope.get("scheme") == "https"
        if not self._proxies:
            return Source(_charged(peer), secure or _is_local(peer))
        forwarded = headers.get("x-forwarded-for")
        address = source_of(peer, (forwarded,) if forwarded else (), proxies=self._proxies)
        if comes_from(peer, self._proxies):
            secure = secure or headers.get("x-forwarded-proto", "").strip().lower() == "https"
            return Source(address, secure)
        return Source(address, secure or _is_local(peer))

    def is_forwarded_securely(self, scope: Mapping[str, object], headers: Mapping[str, str]) -> bool:
        """Whether a proxy that we know says that it was asked under TLS."""
        client = scope.get("client")
        peer = str(client[0]) if isinstance(client, tuple | list) and client else None
        known = comes_from(peer, self._proxies)
        return known and headers.get("x-forwarded-proto", "").strip().lower() == "https"

    def let_in(self, principal: Principal, operation: str, request_id: str) -> None:
        """Blocks, rate and permission of somebody whose key is right. Raises Blocked, TooManyRequests,
        Forbidden.
        """
        try:
            self._limits.right(principal.key, principal.account, self._profile)
            check_permission(principal.permissions, operation)
        except CarmaError as error:
            self._told(error.code)
            self._witness.denied(principal, operation, error.code, request_id)
            raise

    def _charge(self, error: CarmaError, source: Source) -> None:
        """Charge a request without a right tag to its source. Raises Blocked, TooManyRequests."""
        wrong = isinstance(error, KeyMalformed) or (isinstance(error, Unauthorized) and not error.tag_right)
        if not wrong or isinstance(error, NewSession):
            return
        self._witness.forged()
        block = self._limits.wrong(source.address, error.code)
        if block is not None:
            self._told("source-blocked")
            self._witness.blocked(block)


def answer_tag(admission: Admission | None, request_id: str) -> bytes:
    """What the Carma-Square of an answer is made of: the request's tag, else its id."""
    return admission.tag if admission is not None else _id_tag(request_id)


def _tag(authorization: str, admitted: Admitted, request_id: str) -> bytes:
    if admitted.attempt is None:
        return _id_tag(request_id)
    return bytes.fromhex(authorization[-_TAG_LETTERS:])


def _id_tag(request_id: str) -> bytes:
    return hashlib.sha256(request_id.encode()).digest()[:16]


def _check_square(tag: bytes, text: str) -> None:
    try:
        right = check_square(tag, from_text(text))
    except InvalidInput as error:
        raise RequestRefused(error.message) from error
    if not right:
        raise RequestRefused("Carma-Square is not the square of this request's tag.")


@lru_cache(maxsize=4096)
def _charged(peer: str | None) -> str:
    return source_of(peer)


@lru_cache(maxsize=4096)
def _is_local(peer: str | None) -> bool:
    try:
        return peer is None or ip_address(peer).is_loopback
    except ValueError:
        return False
