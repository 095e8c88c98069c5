"""The client's side: makes the headers of each request from a root key, and learns from the answers.

It does no input and no output: `sign` gives headers, `learn` takes the status and headers of an answer and
says whether the same request should be sent again. The first request of a life is answered with the server's
nonce, the second opens a session, the third is the request itself; after that every request is one request.
It moves on after every attempt, whatever comes of it. Rejected: asking for a session ahead of time by a route
of its own (one more thing for a proxy, a firewall or a server to get wrong).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from hashlib import sha256
from weakref import WeakSet

from carma.access.keys.text import COUNTER_BITS, PLACES, RootKey, parse_attempt, parse_secret
from carma.access.keys.wire import (
    AUDIENCE,
    AUTHORIZATION,
    CONTENT_DIGEST,
    DATE,
    IDEMPOTENCY_KEY,
    NONCE,
    NONCE_LETTERS,
    SESSION,
    TAG_BYTES,
    Tagger,
    digest_field,
    field,
    place_of,
    tag_key,
)
from carma.errors import InvalidInput
from carma.ports.clock import Clock, Entropy, SystemClock, SystemEntropy

__all__ = ["Signer"]

_NEW_SESSION = 401
_MOST_ATTEMPTS = (1 << COUNTER_BITS) - 1


class Signer:
    """Signs requests with one root key. Threads may share it; a fork goes on in a session of its own.

    key: the root key or its text. audience: the server's name, if it was given another than the usual one.
    Raises KeyMalformed.
    """

    def __init__(
        self,
        key: RootKey | str,
        *,
        audience: str = AUDIENCE,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        parsed = parse_secret(key) if isinstance(key, str) else key
        if not isinstance(parsed, RootKey):
            raise InvalidInput("A static key signs nothing; it is sent as it is, as a bearer token.")
        self.fingerprint = parsed.fingerprint
        self._front, self._middle = f"carma_{parsed.name}_pi_", f"_perm_{parsed.permissions}_meta_"
        self._pi = sha256(f"{parsed.name}/".encode()).copy
        self._tagger = Tagger(tag_key(parsed.secret))
        self._audience = audience
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._lock = threading.Lock()
        self._nonce, self._session, self._counter = "", 0, 0
        self._place = ""
        _SIGNERS.add(self)

    def sign(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body_digest: bytes | None = None,
    ) -> dict[str, str]:
        """The headers to add to a request. Call it for every attempt, also to repeat a request.

        target: path and query exactly as they will be sent. headers: those the request has already; of them
        Idempotency-Key is signed. body_digest: SHA-256 of the body (32 bytes), None if it is empty.
        """
        digest = digest_field(body_digest) if body_digest is not None else ""
        date = str(int(self._clock.now()))
        given = next(
            (value for name, value in (headers or {}).items() if name.lower() == IDEMPOTENCY_KEY.lower()), ""
        )
        attempt, nonce = self.attempt(method, target, digest, given, date)
        added = {AUTHORIZATION: f"Carma {attempt}", DATE: date}
        if nonce:
            added[NONCE] = nonce
        if digest:
            added[CONTENT_DIGEST] = digest
        return added

    def attempt(self, method: str, target: str, digest: str, idempotency: str, date: str) -> tuple[str, str]:
        """A new attempt key for one request, and the nonce it was made for. Arguments are header texts."""
        with self._lock:
            place, nonce = self._place, self._nonce
            if self._session and self._counter < _MOST_ATTEMPTS:
                self._counter += 1
                number = self._session << COUNTER_BITS | self._counter
            else:
                place = place_of(self._audience, nonce) + field("0")
                number = int.from_bytes(self._entropy.bytes(COUNTER_BITS // 8), "big")
        # `text.attempt_header`, `wire.signed_text` and `Tagger.tag`, with what does not change made ready.
        digits = str(number)
        hashed, begun = self._pi(), self._tagger.fresh()
        hashed.update(digits.encode())
        at = int.from_bytes(hashed.digest()[:4], "big") % PLACES
        header = f"{self._front}{at:06d}{self._middle}{digits}_quantum_"
        try:
            begun.update(
                f"carma/1 {len(header)}:{header}{place}{len(method)}:{method}"
                f"{len(target)}:{target}{len(digest)}:{digest}{len(idempotency)}:{idempotency}"
                f"{len(date)}:{date}".encode("latin-1")
            )
            return header + begun.finalize()[:TAG_BYTES].hex(), nonce
        except UnicodeEncodeError:
            raise InvalidInput(
                "The request has letters that no header may have; percent-encode them."
            ) from None

    def learn(self, status: int, headers: Mapping[str, str], sent: Mapping[str, str] | None = None) -> bool:
        """Take note of an answer; whether the request should be signed anew and sent again, at once.

        status, headers: of the answer. sent: what `sign` gave for this request; where several threads share
        a signer, it keeps an answer to an older attempt from closing a session that works.

        True at most twice in a row from an honest server: once for its nonce, once for the session.
        """
        if status != _NEW_SESSION:
            return False
        found = {name.lower(): value for name, value in headers.items()}
        nonce, session = found.get(NONCE.lower(), ""), found.get(SESSION.lower(), "")
        if len(nonce) != NONCE_LETTERS or not nonce.isascii() or not nonce.isalnum():
            return False
        number = int(session) if session.isascii() and session.isdigit() and len(session) < 10 else 0
        with self._lock:
            if nonce != self._nonce:
                if sent is None or sent.get(NONCE, "") == self._nonce:
                    self._begin(nonce, number)
            elif number > self._session or (not number and self._was_ours(sent)):
                self._begin(nonce, number)
        return True

    def _forked(self) -> None:
        """In a fork, which must not go on with its parent's numbers: it opens a session of its own."""
        self._lock = threading.Lock()
        self._session = 0

    def _begin(self, nonce: str, session: int) -> None:
        self._nonce, self._session, self._counter = nonce, session, 0
        self._place = place_of(self._audience, nonce) + field(str(session))

    def _was_ours(self, sent: Mapping[str, str] | None) -> bool:
        """Whether an attempt was made in the session that is current now."""
        if sent is None:
            return True
        attempt = parse_attempt(sent.get(AUTHORIZATION, "").removeprefix("Carma "))
        return attempt is not None and attempt.session == self._session

    def __repr__(self) -> str:
        return f"Signer({self.fingerprint})"


_SIGNERS: WeakSet[Signer] = WeakSet()


def _in_fork() -> None:
    for signer in list(_SIGNERS):
        signer._forked()


os.register_at_fork(after_in_child=_in_fork)
