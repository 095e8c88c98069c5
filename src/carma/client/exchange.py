"""One request and its answer, without input and output.

`exchange` is a generator: it hands out what is to be done (`Send`, `Wait`) and is sent what came of it
(`Received`, `Lost`). It signs every try anew, renews the session when the server says so, repeats what was
lost under the same Idempotency-Key, and follows a redirect only to the same server. The idea is that of
httpx's `_auth`: one algorithm drives the client that blocks and the one that is awaited. Rejected: repeating
in the transport, which knows neither keys nor which requests may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType
from typing import TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

from carma.access.sealed import SealingPublicKey
from carma.client.budget import Budget
from carma.client.credentials import Credentials
from carma.client.operations import Operation
from carma.client.problems import error_of, is_passing
from carma.client.sealing import Envelope, plain, sealed
from carma.client.settings import ClientSettings
from carma.errors import AnswerLost, InvalidAnswer, ServerUnreachable, Unauthorized
from carma.ports.clock import Clock, Entropy

__all__ = ["Effect", "Exchanger", "Lost", "More", "Outcome", "Received", "Send", "Steps", "Stop", "Wait"]

R = TypeVar("R")

_REDIRECTS = 3
_MOVED = (301, 302, 303, 307, 308)
_DOOR = (401, 403, 429)
"""Who is turned away at the door learns nothing of what an earlier try did."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this, and give back `Received` or `Lost`. url: whole.

    stream: leave the body of a good answer where it is; `More` asks for it piece by piece, `Stop` ends it.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    answer_s: float = 30.0
    stream: bool = False


@dataclass(frozen=True, slots=True)
class More:
    """Give the next piece of the stream as a `Received` with a body; with none at its end; or `Lost`."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Let the stream go."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Let so much time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Received:
    """An answer. headers: by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer came. reason: ends a sentence. sent: the server may have got the request. final: trying again
    will not help.
    """

    reason: str
    sent: bool
    final: bool = False


Effect: TypeAlias = Send | More | Stop | Wait
Outcome: TypeAlias = Received | Lost | None
Steps: TypeAlias = Generator[Effect, Outcome, R]
"""What yields effects, is sent their outcome, and returns an R."""


class Exchanger:
    """Makes exchanges with one server.

    url: its address without a path behind it. server_key: bodies are sealed to it, both ways; None: they are
    not. always: headers of every request. renewed: asked when the key opens nothing any more; what to go on
    with, None if there is nothing new.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        settings: ClientSettings,
        clock: Clock,
        entropy: Entropy,
        server_key: SealingPublicKey | None = None,
        always: Mapping[str, str] = MappingProxyType({}),
        renewed: Callable[[], Credentials | None] = lambda: None,
    ) -> None:
        self.url = url
        self.credentials = credentials
        self.settings = settings
        self.server_key = server_key
        self._always = always
        self._renewed = renewed
        self._clock = clock
        self._entropy = entropy

    def exchange(
        self,
        operation: Operation,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        slow: bool = False,
        stream: bool = False,
    ) -> Steps[Received]:
        """The answer to one request, successful; it was sent as often as needed.

        target: path and query. slow: wait longer. Raises what the server reports, ServerUnreachable,
        AnswerLost, InvalidAnswer.
        """
        given = {"accept": "application/json", **self._always, **(headers or {})}
        if body:
            given.setdefault("content-type", "application/json")
        budget = Budget(self.settings, self._clock, self._entropy)
        while True:
            credentials = self.credentials  # Another thread may rotate the key meanwhile.
            letter = self._letter(operation, target, given, body, credentials.fingerprint, stream)
            digest = sha256(letter.body).digest() if letter.body else None
            signed = credentials.sign(operation.method, target, letter.headers, digest)
            outcome = yield Send(
                operation.method,
                self.url + target,
                {**letter.headers, **signed},
                letter.body,
                self.settings.slow_answer_s if slow else self.settings.answer_s,
                stream,
            )
            if isinstance(outcome, Lost):
                budget.maybe_done = budget.maybe_done or (outcome.sent and operation.changes)
                if outcome.final or not budget.may_try_again():
                    raise self._gave_up(outcome, budget, given)
                yield Wait(budget.wait_s())
                continue
            assert isinstance(outcome, Received)
            if credentials.learn(outcome.status, outcome.headers, signed):
                if budget.may_renew():
                    continue
                raise self._gave_up(Lost("it asks for a new session again and again.", True), budget, given)
            if outcome.status in _MOVED:
                target = self._moved(operation, target, outcome, budget)
                continue
            answer = replace(outcome, **plain(letter, outcome.status, outcome.headers, outcome.body))
            if 200 <= answer.status < 300:
                credentials.check(answer.headers, signed)
                return answer
            error = error_of(answer.status, answer.headers, answer.body)
            passing = is_passing(error, answer.status)
            if passing and operation.changes and isinstance(error, InvalidAnswer):
                budget.maybe_done = True  # A gateway lost an answer, not the request.
            if passing and budget.may_try_again(error):
                yield Wait(budget.wait_s(error))
                continue
            if isinstance(error, Unauthorized) and not passing and budget.may_renew_key():
                fresh = self._renewed()
                if fresh is not None:
                    self.credentials = fresh
                    continue
            if budget.maybe_done and (passing or error.status in _DOOR):
                raise self._gave_up(Lost(error.message, True), budget, given) from error
            raise error

    def _letter(
        self, operation: Operation, target: str, headers: Mapping[str, str], body: bytes, sender: str,
        stream: bool,
    ) -> Envelope:  # fmt: skip
        """What is sent in one try: sealed anew each time, if the server's key is known."""
        if self.server_key is None or stream:
            return Envelope(headers, body)
        return sealed(headers, body, self.server_key, operation.method, target, sender, self._entropy)

    def _gave_up(self, lost: Lost, budget: Budget, headers: Mapping[str, str]) -> ServerUnreachable:
        if not budget.maybe_done:
            return ServerUnreachable(f"{self.url} does not answer: {lost.reason}")
        return AnswerLost(
            f"The answer of {self.url} was lost after {budget.sent} tries: {lost.reason}",
            idempotency_key=headers.get("idempotency-key"),
        )

    def _moved(self, operation: Operation, target: str, answer: Received, budget: Budget) -> str:
        """The target that a redirect names, if it is on the same server. Raises InvalidAnswer."""
        there = urlsplit(urljoin(self.url + target, answer.headers.get("location", "")))
        here = urlsplit(self.url)
        same = (there.scheme, there.netloc) == (here.scheme, here.netloc)
        repeatable = answer.status in (307, 308) or operation.method == "GET"
        budget.redirects += 1
        if not same or not repeatable or budget.redirects > _REDIRECTS:
            raise InvalidAnswer(
                f"The server sends on to {there.scheme}://{there.netloc}, which was not followed.",
                hint="Give the address of the server itself; a key is never sent anywhere else.",
            )
        return there.path + (f"?{there.query}" if there.query else "")
