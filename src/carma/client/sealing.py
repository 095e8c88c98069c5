"""Sealed bodies, the client's half: what is sent sealed, and what must come back sealed.

An answer to a sealed request that is a success and came open is refused: somebody on the way would otherwise
only have to take the seal off. Refusals may come open, because a server refuses most requests before it reads
them. The path and the query are never sealed; a program that must hide a filter searches with a body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from carma.access.sealed import SEALED_MEDIA, SealingPublicKey, open_answer, seal_request
from carma.errors import InvalidAnswer, SealedDamaged
from carma.ports.clock import Entropy

__all__ = ["Envelope", "plain", "sealed"]


@dataclass(frozen=True, slots=True)
class Envelope:
    """Headers and body as they are sent. answer_key: opens the answer; None if nothing is sealed."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    answer_key: bytes | None = field(default=None, repr=False)


def sealed(
    headers: Mapping[str, str],
    body: bytes,
    key: SealingPublicKey,
    method: str,
    target: str,
    sender: str,
    entropy: Entropy,
) -> Envelope:
    """A request sealed to the server's key. One without a body is sealed too, so that its answer is.

    sender: the fingerprint of the key that it is sent with.
    """
    media = headers.get("content-type", "application/json")
    closed, answer_key = seal_request(body, media, key, method, target, sender, entropy)
    return Envelope({**headers, "content-type": SEALED_MEDIA}, closed, answer_key)


def plain(letter: Envelope, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """`headers` and `body` of an answer, opened. Raises InvalidAnswer."""
    if letter.answer_key is None:
        return {}
    if headers.get("content-type", "").partition(";")[0].strip() != SEALED_MEDIA:
        if 200 <= status < 300:
            raise InvalidAnswer("The answer to a sealed request came open; it was not used.")
        return {}
    try:
        opened, media = open_answer(body, letter.answer_key, letter.body, status)
    except SealedDamaged as error:
        raise InvalidAnswer(f"{error.message} It was not used.") from error
    return {"headers": {**headers, "content-type": media}, "body": opened}
