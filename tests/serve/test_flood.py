"""Forgeries and floods from the owner's own address: the owner notices nothing, nothing of theirs moves."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from carma import Client
from carma.access.keys.signer import Signer
from carma.serve.settings import ServeSettings
from tests.serve.running import Running, SignedAuth, running

FORGERIES = 500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("flood") / "data") as found:
        yield found


def forged(root: str, nonce: str, seed: int) -> dict[str, str]:
    """Headers like those that the owner's client sends, with a tag that is a guess."""
    signer = Signer(root)
    signer.learn(401, {"Carma-Nonce": nonce, "Carma-Session": "1"})
    headers = signer.sign("GET", "/v1/usage", None, None)
    guess = random.Random(seed).randbytes(16).hex()
    return {**headers, "Authorization": headers["Authorization"][:-32] + guess}


def state_of(server: Running, root: str) -> tuple[object, ...]:
    return server.server._authority.state(root.split("_")[1])


def test_forgeries_from_the_owners_address_leave_the_owner_unharmed(server: Running) -> None:
    """500 guessed tags: the source is blocked, no state of the key moves, every call of the owner works."""
    joined = server.household.churn().join("owner", "rwha")
    nonce = server.server._authority.nonce
    statuses: Counter[int] = Counter()
    with Client(server.url, joined.key.text) as owner, server.client() as stranger:
        id = owner.add("Nobody shall keep me from this.").id
        before = state_of(server, joined.key.text)
        for number in range(FORGERIES):
            answer = stranger.get("/v1/usage", headers=forged(joined.key.text, nonce, number))
            statuses[answer.status_code] += 1
        assert state_of(server, joined.key.text) == before
        assert owner.get(id).text == "Nobody shall keep me from this."
        assert owner.add("Nor from this.").text == "Nor from this."
    assert set(statuses) <= {401, 403, 429}
    assert statuses[403] > FORGERIES // 2, "the source was blocked"
    # A client that has no session yet opens one, although its address is blocked.
    with Client(server.url, joined.key.text) as later:
        assert later.get(id).text == "Nobody shall keep me from this."
    # So does a static key, which shows itself from the first byte.
    key = server.key(joined.account)
    assert server.client(key).get(f"/v1/fragments/{id}").status_code == 200


def test_a_block_says_when_it_ends_and_is_in_the_audit_log(server: Running) -> None:
    """403 with Retry-After; the leaf names the source and is the operator's own."""
    with server.client() as stranger:
        for _ in range(200):
            answer = stranger.get("/v1/usage", headers={"authorization": "Bearer nonsense"})
        assert answer.status_code == 403
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["type"] == "urn:carma:error:blocked"
    blocks = server.server.limits._blocks.listed(time.time())
    assert [(block.scope, block.subject) for block in blocks] == [("source", "127.0.0.1")]
    server.server.services.audit.copy()
    reader = server.household.trail.log.reader()
    leaves = [json.loads(entry) for _, entry in reader.entries(0, reader.size)]
    assert any(leaf["operation"] == "blocks.set" for leaf in leaves)


def test_a_flood_while_the_owner_works_slows_but_fails_nothing(server: Running) -> None:
    """Eight strangers send as fast as they can; every one of the owner's calls succeeds."""
    joined = server.household.churn().join("worker", "rwha")
    over = threading.Event()
    strange: Counter[int] = Counter()

    def flood(seed: int) -> None:
        with httpx.Client(base_url=server.url, timeout=30) as stranger:
            while not over.is_set():
                key = {"authorization": f"Bearer carma_static_abcdefgh_perm_r_{seed:049d}"}
                answer = stranger.post("/v1/search", headers=key, json={"query": "x"})
                strange[answer.status_code] += 1

    threads = [threading.Thread(target=flood, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    try:
        with httpx.Client(base_url=server.url, auth=SignedAuth(joined.key.text), timeout=30) as owner:
            took = []
            for number in range(60):
                began = time.perf_counter()
                made = owner.post("/v1/fragments", json={"text": f"Under fire, number {number}."})
                assert made.status_code == 201, made.text
                got = owner.get(f"/v1/fragments/{made.json()['items'][0]['id']}")
                assert got.json()["text"] == f"Under fire, number {number}."
                took.append(time.perf_counter() - began)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert set(strange) <= {401, 403, 429}
    assert sum(strange.values()) > 50
    assert max(took) < 5.0


def test_a_busy_owner_is_bounded_by_the_rate_of_the_key_and_nobody_else_is(tmp_path: Path) -> None:
    """Over its rate a right key gets 429 with Retry-After; a neighbour at the same address goes on."""
    settings = ServeSettings(port=0, dashboard=False, key_rate_per_s=1.0, key_burst=20)
    with running(tmp_path / "data", settings) as server:
        busy, calm = server.user("busy"), server.user("calm")
        answers = [busy.get("/v1/usage") for _ in range(40)]
        refused = [each for each in answers if each.status_code == 429]
        assert len(refused) >= 15
        assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
        assert calm.get("/v1/usage").status_code == 200
        # Too many of one's own requests are no crime: nobody is blocked for them.
        assert not server.server.limits._blocks.listed(time.time())
