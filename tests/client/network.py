"""A network in one process: the server's real Authority on one end, the client's steps on the other, and in
between whatever a network does to requests and answers, by a list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, TypeVar

from carma.access.keys.authority import Authority
from carma.access.keys.store import KeyStore
from carma.access.keys.wire import RequestHead, check_body
from carma.access.sealed import SEALED_MEDIA, SealingKey, open_request, seal_answer
from carma.client.exchange import Effect, Lost, More, Outcome, Received, Send, Steps, Stop
from carma.errors import CarmaError, NewSession, StillRunning, TooManyRequests
from carma.testing import SeededEntropy, SimulatedClock
from carma.uml.squares import as_text, square_of

R = TypeVar("R")
URL = "https://memory.example"
Handler = Callable[[str, str, Any], Any]


class Network:
    """Carries requests to a server and answers back.

    faults: what happens to the next requests, one each; then all goes well. `done` has the bodies that the
    server acted on, `asked` all requests that reached it; `waited` the pauses of the client.
    """

    def __init__(self, store: KeyStore, handler: Handler, clock: SimulatedClock) -> None:
        self._store = store
        self._handler = handler
        self._clock = clock
        self._authority = Authority(store, entropy=SeededEntropy(1))
        self._starts = 1
        self._answers: dict[str, Any] = {}
        self.faults: list[str] = []
        self.done: list[Any] = []
        self.asked: list[Send] = []
        self.waited: list[float] = []
        self.streams: list[bytes] = []
        self.sealing: SealingKey | None = None

    def run(self, steps: Steps[R]) -> R:
        """Carry steps out over this network."""
        try:
            effect = next(steps)
            while True:
                effect = steps.send(self._perform(effect))
        except StopIteration as end:
            value: R = end.value
            return value

    def restart(self) -> None:
        """The server begins anew, with another nonce."""
        self._starts += 1
        self._authority = Authority(self._store, entropy=SeededEntropy(self._starts))

    def _perform(self, effect: Effect) -> Outcome:
        if isinstance(effect, Send):
            return self._send(effect)
        if isinstance(effect, More):
            piece = self.streams.pop(0) if self.streams else b""
            return Lost("reset.", sent=True) if piece == b"LOST" else Received(200, {}, piece)
        if not isinstance(effect, Stop):
            self.waited.append(effect.seconds)
            self._clock.advance(effect.seconds)
        return None

    def _send(self, send: Send) -> Outcome:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "refused":
            return Lost("connection refused.", sent=False)
        if fault == "untrusted":
            return Lost("its certificate is not trusted.", sent=False, final=True)
        if fault == "dropped":
            return Lost("reset.", sent=True)
        if fault == "gateway":
            return Received(502, {"content-type": "text/html"}, b"<html>Bad Gateway \x1b[31m</html>")
        if fault.startswith("moved "):
            _, status, location = fault.split(" ")
            return Received(int(status), {"location": location}, b"")
        if fault == "restarted":
            self.restart()
        self.asked.append(send)
        answer = self._answer(send, fault)
        return Lost("reset.", sent=True) if fault == "answer lost" else answer

    def _answer(self, send: Send, fault: str) -> Received:
        """The server's: admit, act once for each idempotency key, answer."""
        headers = {name.lower(): value for name, value in send.headers.items()}
        target = send.url.removeprefix(URL)
        get = headers.get
        head = RequestHead(
            send.method, target, get("authorization", ""), get("carma-nonce", ""), get("carma-date", ""),
            get("content-digest", ""), get("idempotency-key", ""), get("carma-account", ""), True,
        )  # fmt: skip
        try:
            admitted = self._authority.admit(head, self._clock.now())
            check_body(get("content-digest", ""), sha256(send.body).digest() if send.body else None)
            if fault == "busy":
                raise TooManyRequests("Too fast.", retry_after_s=2.0)
            if fault == "running":
                raise StillRunning("It is being carried out.")
            tag = bytes.fromhex(head.authorization[-32:]) if admitted.attempt else b""
            return self._acted(send, target, headers, tag, admitted.principal.key)
        except CarmaError as error:
            return _problem(error)

    def _acted(self, send: Send, target: str, headers: dict[str, str], tag: bytes, sender: str) -> Received:
        body, opened = send.body, None
        if headers.get("content-type") == SEALED_MEDIA:
            if self.sealing is None:  # Somebody in between takes the seal off.
                return Received(200, {"content-type": "application/json"}, b"{}")
            opened = open_request(body, self.sealing, send.method, target, sender)
            body = opened.body
        key = headers.get("idempotency-key", "")
        if not key or key not in self._answers:
            value = json.loads(body) if body else None
            self._answers[key] = self._handler(send.method, target, value)
            self.done.append(value)
        answer = json.dumps(self._answers[key]).encode()
        given = {"content-type": "application/json", "carma-square": as_text(square_of(tag))}
        if send.stream:
            given["content-type"], answer = "text/event-stream", b""
        if opened is not None:
            media, entropy = given["content-type"], SeededEntropy(9)
            answer = seal_answer(answer, media, opened.answer_key, opened.digest, 200, entropy)
            given["content-type"] = SEALED_MEDIA
        return Received(200, given, answer)


def _problem(error: CarmaError) -> Received:
    headers = {"content-type": "application/problem+json"}
    if isinstance(error, NewSession):
        headers["carma-nonce"] = error.nonce
        if error.session is not None:
            headers["carma-session"] = str(error.session)
    if isinstance(error, TooManyRequests):
        headers["retry-after"] = str(int(error.retry_after_s))
    value = {**error.problem(), "instance": "urn:carma:request:7"}
    return Received(error.status, headers, json.dumps(value).encode())


def pieces(text: bytes, sizes: Iterable[int]) -> list[bytes]:
    """A text cut into pieces of these sizes, the rest at the end."""
    out, at = [], 0
    for size in sizes:
        out.append(text[at : at + size])
        at += size
    return [piece for piece in [*out, text[at:]] if piece]
