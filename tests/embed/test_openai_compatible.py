"""What the HTTP embedder promises, against a real server on this machine."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from carma.embed import Embedder, Fingerprint, OpenAICompatibleEmbedder
from carma.errors import EmbedderError, InvalidInput
from carma.testing.embedder import HashEmbedder

KEY = "sk-very-secret-0123456789"
Answer = tuple[int, dict[str, str], bytes]


class Server:
    """Answers embedding requests with `answer(request body)` and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.answer: Callable[[dict[str, Any]], Answer] = embeddings
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append({"path": self.path, **body})
                outer.keys.append(self.headers.get("Authorization"))
                status, headers, content = outer.answer(body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"


class StoppedClock:
    """A clock whose sleeps are written down and not slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def embeddings(body: dict[str, Any]) -> Answer:
    rows = HashEmbedder(8).embed(body["input"]) * 3
    data = [{"index": i, "embedding": row.tolist()} for i, row in enumerate(rows)]
    return 200, {}, json.dumps({"data": data[::-1]}).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def remote(server: Server, clock: StoppedClock) -> Iterator[OpenAICompatibleEmbedder]:
    embedder = OpenAICompatibleEmbedder(server.url, "small", KEY, batch=3, timeout_s=5, clock=clock)
    yield embedder
    embedder.close()


def test_texts_come_back_as_unit_rows_in_order(server: Server, remote: OpenAICompatibleEmbedder) -> None:
    """Batches are bounded, answers are ordered by `index`, the key is sent, the width is learnt."""
    texts = [f"text number {i}" for i in range(7)]
    assert np.allclose(remote.embed(texts), HashEmbedder(8).embed(texts), atol=1e-6)
    assert [len(r["input"]) for r in server.requests] == [3, 3, 1]
    assert {r["path"] for r in server.requests} == {"/v1/embeddings"}
    assert server.keys[0] == f"Bearer {KEY}"
    assert isinstance(remote, Embedder) and remote.fingerprint == Fingerprint("small", 8, "small")


def test_odd_texts_are_sent_in_a_form_servers_take(server: Server, remote: OpenAICompatibleEmbedder) -> None:
    """Empty text, lone surrogates and very long text neither raise nor go out unbounded."""
    assert remote.embed(["", "\ud800", "x" * 1_000_000]).shape == (3, 8)
    assert [len(t) for t in server.requests[0]["input"]] == [1, 1, 20_000]
    assert remote.embed([]).shape == (0, 8)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_failure_is_tried_again_within_bounds(
    server: Server, remote: OpenAICompatibleEmbedder, clock: StoppedClock, status: int
) -> None:
    """The third attempt succeeds; the wait the server asks for is kept, up to a bound."""
    answers = [(status, {"Retry-After": "2"}, b""), (status, {"Retry-After": "86400"}, b"")]
    server.answer = lambda body: answers.pop(0) if answers else embeddings(body)
    assert remote.embed(["a"]).shape == (1, 8)
    assert clock.slept == [2.0, 8.0]


def test_a_lasting_failure_ends_after_the_attempts(server: Server, remote: OpenAICompatibleEmbedder) -> None:
    """Three requests, then a typed error."""
    server.answer = lambda body: (500, {}, b"broken")
    with pytest.raises(EmbedderError, match="500: broken"):
        remote.embed(["a"])
    assert len(server.requests) == 3


def test_a_refusal_is_not_repeated_and_the_key_is_never_shown(
    server: Server, remote: OpenAICompatibleEmbedder
) -> None:
    """Even a server that echoes the key does not bring it into the error, its chain or the repr."""
    server.answer = lambda body: (401, {}, f"bad key {KEY}".encode())
    with pytest.raises(EmbedderError, match=r"401: bad key \[key\]") as caught:
        remote.embed(["a"])
    assert len(server.requests) == 1
    shown = "".join(traceback.format_exception(caught.value)) + repr(remote) + str(caught.value.problem())
    assert KEY not in shown


@pytest.mark.parametrize(
    "content",
    [
        b"<html>not json</html>",
        b"[]",
        b"{}",
        b'{"data": 7}',
        b'{"data": []}',
        b'{"data": [{"index": 0}]}',
        b'{"data": [{"index": 1, "embedding": [1, 2]}]}',
        b'{"data": [{"index": [], "embedding": [1, 2]}]}',
        b'{"data": [{"index": 0, "embedding": [1, NaN]}]}',
        b'{"data": [{"index": 0, "embedding": "AAAA"}]}',
        b'{"data": [{"index": 0, "embedding": []}]}',
        b'{"data": [{"index": 0, "embedding": [0, 0]}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=lambda content: content[:40].decode("latin-1"),
)
def test_a_nonsense_answer_is_a_typed_error(
    server: Server, remote: OpenAICompatibleEmbedder, content: bytes
) -> None:
    """Whatever a server answers with 200, nothing but EmbedderError comes out."""
    server.answer = lambda body: (200, {}, content)
    with pytest.raises(EmbedderError):
        remote.embed(["a"])


def test_a_wrong_width_is_refused(server: Server, remote: OpenAICompatibleEmbedder) -> None:
    """Once the width is known, given or learnt, another one is an error."""
    remote.embed(["a"])
    server.answer = lambda body: (200, {}, b'{"data": [{"index": 0, "embedding": [1, 2]}]}')
    with pytest.raises(EmbedderError, match="shape"):
        remote.embed(["b"])


def test_an_unreachable_host_is_a_clear_error(server: Server, clock: StoppedClock) -> None:
    """The error names the host; tries and waits are bounded; neither key nor password appears."""
    server.http.server_close()
    port = server.http.server_address[1]
    embedder = OpenAICompatibleEmbedder(f"http://user:pass-word@127.0.0.1:{port}", "m", KEY, clock=clock)
    with pytest.raises(EmbedderError, match=f"127.0.0.1:{port} cannot be reached") as caught:
        embedder.embed(["a"])
    embedder.close()
    assert len(clock.slept) == 2
    shown = "".join(traceback.format_exception(caught.value)) + repr(embedder)
    assert KEY not in shown and "pass-word" not in shown


def test_arguments_that_cannot_be_used_are_refused() -> None:
    """A bad URL, a key with a line break and zero bounds are input errors that do not show the key."""
    for url in ("", "localhost:11434/v1", "ftp://host/v1", "http://", "http://:80/v1"):
        with pytest.raises(InvalidInput):
            OpenAICompatibleEmbedder(url, "m")
    with pytest.raises(InvalidInput) as caught:
        OpenAICompatibleEmbedder("http://host/v1", "m", KEY + "\n")
    assert KEY not in str(caught.value)
    with pytest.raises(InvalidInput):
        OpenAICompatibleEmbedder("http://host/v1", "m", batch=0)
