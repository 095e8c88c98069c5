"""What shows who asks: a root key, from which each attempt is signed, or a static key, sent as it is.

A static key goes over TLS or stays on this machine: on any other address it is refused before anything is
sent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

from carma.access.keys.signer import Signer
from carma.access.keys.text import RootKey, StaticKey, parse_attempt, parse_secret
from carma.access.keys.wire import AUDIENCE, AUTHORIZATION, SQUARE
from carma.errors import CarmaError, InvalidAnswer, InvalidInput
from carma.ports.clock import Clock, Entropy
from carma.uml.squares import as_text, check_square, from_text, square_of

__all__ = ["Credentials", "address_of", "credentials_of", "is_local"]

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Credentials(Protocol):
    """What an exchange asks of them."""

    @property
    def fingerprint(self) -> str:
        """The key's name, for people."""

    def sign(
        self, method: str, target: str, headers: Mapping[str, str], digest: bytes | None
    ) -> dict[str, str]:
        """The headers to add to one try."""

    def learn(self, status: int, headers: Mapping[str, str], sent: Mapping[str, str]) -> bool:
        """Take note of an answer; whether to try again at once."""

    def check(self, headers: Mapping[str, str], sent: Mapping[str, str]) -> None:
        """Compare what an answer shows with what was sent. Raises InvalidAnswer."""


class _Signed:
    """A root key: every try has an attempt key of its own, and its magic square beside it."""

    def __init__(self, key: RootKey, audience: str, clock: Clock | None, entropy: Entropy | None) -> None:
        self._signer = Signer(key, audience=audience, clock=clock, entropy=entropy)
        self.fingerprint = self._signer.fingerprint

    def sign(
        self, method: str, target: str, headers: Mapping[str, str], digest: bytes | None
    ) -> dict[str, str]:
        signed = self._signer.sign(method, target, headers, digest)
        return {**signed, SQUARE: as_text(square_of(_tag(signed)))}

    def learn(self, status: int, headers: Mapping[str, str], sent: Mapping[str, str]) -> bool:
        return self._signer.learn(status, headers, sent)

    def check(self, headers: Mapping[str, str], sent: Mapping[str, str]) -> None:
        shown = headers.get(SQUARE.lower())
        if shown is None:
            return
        try:
            right = check_square(_tag(sent), from_text(shown))
        except CarmaError:
            right = False
        if not right:
            raise InvalidAnswer("The answer's magic square is not that of the request.")

    def __repr__(self) -> str:
        return f"_Signed({self.fingerprint})"


class _Bearer:
    """A static key."""

    def __init__(self, key: StaticKey) -> None:
        self._key = key
        self.fingerprint = key.fingerprint

    def sign(
        self, method: str, target: str, headers: Mapping[str, str], digest: bytes | None
    ) -> dict[str, str]:
        return {AUTHORIZATION: f"Bearer {self._key.text}"}

    def learn(self, status: int, headers: Mapping[str, str], sent: Mapping[str, str]) -> bool:
        return False

    def check(self, headers: Mapping[str, str], sent: Mapping[str, str]) -> None:
        return

    def __repr__(self) -> str:
        return f"_Bearer({self.fingerprint})"


def _tag(signed: Mapping[str, str]) -> bytes:
    attempt = parse_attempt(signed[AUTHORIZATION].removeprefix("Carma "))
    assert attempt is not None
    return bytes.fromhex(attempt.tag)


def credentials_of(
    key: str, address: SplitResult, *, audience: str = AUDIENCE, clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> Credentials:  # fmt: skip
    """What a key signs with. Raises KeyMalformed, InvalidInput (a static key in clear over a network)."""
    parsed = parse_secret(key.strip())
    if isinstance(parsed, RootKey):
        return _Signed(parsed, audience, clock, entropy)
    if address.scheme != "https" and not is_local(address):
        raise InvalidInput(
            "A static key would travel in clear; nothing was sent.", hint="Use https, or a root key."
        )
    return _Bearer(parsed)


def is_local(address: SplitResult) -> bool:
    """Whether an address is one of this machine."""
    return address.hostname in _LOCAL


def address_of(url: str | None, *, insecure: bool = False) -> SplitResult:
    """The address of the server, else CARMA_URL. Raises InvalidInput: none, no such form, or in clear."""
    given = url or os.environ.get("CARMA_URL", "")
    if not given:
        raise InvalidInput("There is no address of a server.", hint="Give url=…, or set CARMA_URL.")
    address = urlsplit(given.rstrip("/"))
    shown = f"{address.scheme}://{address.hostname or ''}"
    try:
        whole = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        whole = False
    if not whole or address.query or address.fragment or address.path:
        raise InvalidInput(
            f"{shown} is no address of a server.", hint="For example https://memory.example:8443, no path."
        )
    if address.username is not None or address.password is not None:
        raise InvalidInput(
            "An address holds no name and password.", hint="Give the key as key=…, or CARMA_KEY."
        )
    if address.scheme == "http" and not is_local(address) and not insecure:
        raise InvalidInput(
            f"{shown} is not encrypted: texts would travel in clear.",
            hint="Use https; or insecure=True where the network itself is trusted.",
        )
    return address
