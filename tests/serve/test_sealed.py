"""Sealed bodies: what only the server can open, and answers that only the asker can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from carma import Client
from carma.access.keys.text import parse_secret
from carma.access.sealed import SEALED_MEDIA, SealingKey, SealingPublicKey, open_answer, seal_request
from carma.ports.clock import SystemEntropy

from .asking import dream, remember
from .running import Running

_ENTROPY = SystemEntropy()
LONG = "The spare key hangs behind the blue door. " * 60


@pytest.fixture(scope="module")
def client(served: Running) -> Iterator[httpx.Client]:
    """A new account's client."""
    with served.user() as client:
        yield client


@pytest.fixture(scope="module")
def key(served: Running) -> SealingPublicKey:
    """The server's public key, as a client has it pinned."""
    return SealingPublicKey.of_text(served.household.sealing.public.text)


def _sealed(
    client: httpx.Client, key: SealingPublicKey, method: str, target: str, body: bytes = b"", **headers: str
) -> tuple[httpx.Response, bytes, bytes]:
    """A request with a sealed body; the answer, the key that opens it, and what was sent."""
    sent, opens = seal_request(body, "application/json", key, method, target, _sender(client), _ENTROPY)
    answer = client.request(
        method,
        target,
        content=sent,
        headers={"content-type": SEALED_MEDIA, **headers},
    )
    return answer, opens, sent


def _sender(client: httpx.Client) -> str:
    """The fingerprint of the static key that a client shows."""
    return parse_secret(client.headers["authorization"].removeprefix("Bearer ")).fingerprint


def _opened(asked: tuple[httpx.Response, bytes, bytes]) -> Any:
    answer, opens, sent = asked
    assert answer.headers["content-type"] == SEALED_MEDIA, answer.text
    body, media = open_answer(answer.content, opens, sent, answer.status_code)
    assert media.startswith("application/")
    return json.loads(body)


def test_a_sealed_text_is_stored_and_read(client: httpx.Client, key: SealingPublicKey) -> None:
    """Added sealed, it is the text that was inside; read sealed, nothing of it is on the wire."""
    text = f"Sealed {LONG}"
    made = _sealed(client, key, "POST", "/v1/fragments", json.dumps({"text": text}).encode())
    fragment = _opened(made)["items"][0]
    assert made[0].status_code == 201 and fragment["text"] == text
    assert b"spare key" not in made[2] and b"spare key" not in made[0].content
    read = _sealed(client, key, "GET", f"/v1/fragments/{fragment['id']}")
    assert _opened(read)["text"] == text and b"spare key" not in read[0].content
    assert client.get(f"/v1/fragments/{fragment['id']}").json()["text"] == text


def test_sealed_bodies_are_never_packed(client: httpx.Client, key: SealingPublicKey) -> None:
    """Neither way: the length of a packed text tells something about it."""
    remember(client, LONG)
    answer, *_ = _sealed(
        client, key, "POST", "/v1/search", b'{"query": "spare key"}', **{"accept-encoding": "gzip, zstd"}
    )
    assert answer.status_code == 200 and "content-encoding" not in answer.headers
    packed, *_ = _sealed(client, key, "POST", "/v1/search", b"{}", **{"content-encoding": "gzip"})
    assert packed.status_code == 415


def test_problems_are_sealed_too(client: httpx.Client, key: SealingPublicKey) -> None:
    """What is refused after the body was opened is told under the seal."""
    asked = _sealed(client, key, "POST", "/v1/fragments", b'{"text": 5}')
    assert asked[0].status_code == 422 and _opened(asked)["title"] == "InvalidInput"
    missing = _sealed(client, key, "GET", f"/v1/fragments/{'0' * 32}")
    assert missing[0].status_code == 404 and _opened(missing)["title"] == "FragmentNotFound"


def test_each_answer_has_a_key_of_its_own(client: httpx.Client, key: SealingPublicKey) -> None:
    """Nothing is kept between requests: an answer opens with the key of its own request only."""
    first = _sealed(client, key, "GET", "/v1/usage")
    second = _sealed(client, key, "GET", "/v1/usage")
    assert _opened(first)["account"] == _opened(second)["account"]
    for opens, sent in ((second[1], first[2]), (first[1], second[2])):
        with pytest.raises(Exception, match="not sealed for this request"):
            open_answer(first[0].content, opens, sent, 200)


@pytest.mark.parametrize(
    "change", ["bit", "cut", "longer", "empty", "other key", "other target", "other method", "other sender"]
)
def test_what_is_not_sealed_to_this_request_is_refused(
    change: str, client: httpx.Client, key: SealingPublicKey
) -> None:
    """Any change, and any other method, target, sender or server: 400, in the open; nothing is done."""
    before = len(client.get("/v1/fragments", params={"limit": "1000"}).json()["items"])
    to = SealingKey(_ENTROPY.bytes(96)).public if change == "other key" else key
    method = "PATCH" if change == "other method" else "POST"
    target = "/v1/search" if change == "other target" else "/v1/fragments"
    sender = "carma_static_aaaaaaaa_perm_rw" if change == "other sender" else _sender(client)
    sent, _ = seal_request(b'{"text": "x"}', "application/json", to, method, target, sender, _ENTROPY)
    changed = {
        "bit": sent[:-1] + bytes([sent[-1] ^ 1]), "cut": sent[:-1], "longer": sent + b"\0", "empty": b"",
    }.get(change, sent)  # fmt: skip
    answer = client.post("/v1/fragments", content=changed, headers={"content-type": SEALED_MEDIA})
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(client.get("/v1/fragments", params={"limit": "1000"}).json()["items"]) == before


def test_a_stream_is_not_sealed_and_says_so(client: httpx.Client, key: SealingPublicKey) -> None:
    """Who seals a request would read its events in the open: 406 instead, under the seal."""
    cycle = dream(client, dry_run=True)
    asked = _sealed(client, key, "GET", f"/v1/dreams/{cycle}", accept="text/event-stream")
    assert asked[0].status_code == 406 and _opened(asked)["title"] == "NotAcceptable"


def test_the_client_seals_by_itself(served: Running) -> None:
    """With the server's key it seals every request, with a static key and with attempts, whose tag covers the
    sealed bytes.
    """
    account, static = served.join("sealing")
    server_key = served.household.sealing.public.text
    for shown in (static, served.key(account, static=False)):
        with Client(served.url, shown, server_key=server_key) as memory:
            made = memory.add(LONG)
            assert memory.get(made.id).text == LONG
            assert memory.search("spare key", limit=1)[0].text == LONG
            assert memory.dream().status == "completed"
            assert memory.delete(made.id) == 1
