"""Limits: the rate of a key, the size of everything, and what the answer says about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from carma.errors import InvalidInput
from carma.serve.settings import ServeSettings

from .asking import ask, remember
from .running import Running, running

_SMALL = ServeSettings(
    port=0,
    dashboard=False,
    profile="one-per-second",
    body_bytes=20_000,
    small_body_bytes=2_000,
    items_most=5,
    threads=2,
)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of the global profile: one operation a second."""
    with running(tmp_path_factory.mktemp("slow") / "data", _SMALL) as found:
        yield found


def _patient(client: httpx.Client, method: str, path: str, **more: object) -> httpx.Response:
    """Ask again as long as the answer is 429, when it says so."""
    while True:
        answer = client.request(method, path, **more)  # type: ignore[arg-type]
        if answer.status_code != 429:
            return answer
        time.sleep(float(answer.headers["retry-after"]))


def test_one_second_per_operation(slow: Running) -> None:
    """The second one within a second is 429 at once, with Retry-After; after that time it is let through."""
    with slow.user() as client:
        assert ask(client, "usage").status_code == 200
        begun = time.monotonic()
        refused = ask(client, "usage")
        assert time.monotonic() - begun < 0.5, "it is told, not kept waiting"
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
        assert refused.json()["title"] == "TooManyRequests"
        time.sleep(1.05)
        assert ask(client, "usage").status_code == 200


def test_each_key_has_a_rate_of_its_own(slow: Running) -> None:
    """A key that asks too much costs no other key anything, not even one of the same account."""
    account, key = slow.join("two keys")
    first, second = slow.client(key), slow.client(slow.key(account))
    assert [ask(first, "usage").status_code for _ in range(3)] == [200, 429, 429]
    assert ask(second, "usage").status_code == 200


def test_a_refused_attempt_is_used_up(slow: Running) -> None:
    """The tag was right, so it burns, whatever the answer: sent again the same headers are a replay."""
    account = slow.join("replay")[0]
    client = slow.signing(account)
    assert ask(client, "usage").status_code == 200
    refused = ask(client, "usage")
    assert refused.status_code == 429
    with slow.client() as bare:
        names = ("authorization", "carma-nonce", "carma-date")
        again = bare.get("/v1/usage", headers={name: refused.request.headers[name] for name in names})
    assert again.status_code == 401 and again.json()["title"] == "ReplayedAttempt"


def test_usage_says_what_holds(slow: Running) -> None:
    """The bounds that a client can ask for are those that are kept."""
    with slow.user() as client:
        limits = ask(client, "usage").json()["limits"]
    assert limits == {
        "requests_per_s": 1.0, "burst": 1, "body_bytes": 20_000, "answer_bytes": 32 * 2**20, "items": 5,
        "page": 1_000,
    }  # fmt: skip


def test_bodies_are_bounded(slow: Running) -> None:
    """By Content-Length before a byte is read; searches more tightly, and items by their number."""
    with slow.user() as client:
        long = {"text": "x" * 20_001}
        assert _patient(client, "POST", "/v1/fragments", json=long).status_code == 413
        assert _patient(client, "POST", "/v1/search", json={"query": "x" * 2_001}).status_code == 413
        items = {"items": [{"text": f"Text {n}."} for n in range(6)]}
        assert _patient(client, "POST", "/v1/fragments", json=items).status_code == 422
        assert (
            _patient(client, "POST", "/v1/fragments", json={"items": items["items"][:5]}).status_code == 201
        )


def test_a_body_without_a_length_is_bounded_too(served: Running) -> None:
    """Sent in pieces it is counted as it comes."""
    with served.user() as client:

        def pieces() -> Iterator[bytes]:
            for _ in range(64):
                yield b"x" * 2**16

        answer = client.post("/v1/search", content=pieces(), headers={"content-type": "application/json"})
        assert answer.status_code == 413 and answer.headers["connection"] == "close"
        remember(client)


def test_a_body_is_what_its_digest_says(served: Running) -> None:
    """Content-Digest is compared where it is sent; another digest than sha-256 is not passed over."""
    with served.user() as client:
        for digest in ("sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:", "sha-512=:AAAA:", "md5"):
            answer = ask(client, "add", headers={"content-digest": digest})
            assert answer.status_code in (400, 422), digest
        assert ask(client, "list").json()["items"] == []


def test_no_operation_without_a_body_takes_one(served: Running) -> None:
    """GET and DELETE with a body are refused: two readers could disagree about where it ends."""
    with served.user() as client:
        id = remember(client)["id"]
        for method, path in (("GET", "/v1/tree"), ("DELETE", f"/v1/fragments/{id}")):
            answer = client.request(method, path, json={"x": 1})
            assert answer.status_code == 400 and "no body" in answer.json()["detail"]
        assert client.get(f"/v1/fragments/{id}").status_code == 200


def test_a_profile_that_nobody_knows_does_not_start(tmp_path: Path) -> None:
    """A misspelt rate must not become no rate."""
    with (
        pytest.raises(InvalidInput, match="no profile"),
        running(tmp_path / "data", ServeSettings(port=0, dashboard=False, profile="sever")),
    ):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_plain_http_beyond_this_machine_must_be_forced(host: str, tmp_path: Path) -> None:
    """Without certificates only loopback is listened on, unless it is asked for by name."""
    with (
        pytest.raises(InvalidInput, match="Plain HTTP"),
        running(tmp_path / "data", ServeSettings(port=0, dashboard=False, host=host)),
    ):
        pass
