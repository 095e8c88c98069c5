"""The log: a line of JSON for each request, without texts, without secrets, and bounded."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carma import Client
from carma.access.keys.text import SECRET
from carma.serve.log import Ration, failure, make_log
from carma.serve.settings import ServeSettings
from tests.serve.running import Running, SignedAuth, running

TEXT = "Quokkas sleep under the veranda of the lighthouse."
QUERY = "marsupials near the sea"
NAME = "Grace Hopper"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("log") / "data") as found:
        yield found


def lines(server: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.splitlines()]


def requests(server: Running) -> list[dict[str, Any]]:
    return [line for line in lines(server) if line["event"] == "request"]


def line_of(server: Running, request_id: str, status: int) -> dict[str, Any]:
    """The line of a request; it is written a moment after the answer."""
    end = time.monotonic() + 5
    while True:
        for line in requests(server):
            if (line["request_id"], line["status"]) == (request_id, status):
                return line
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_request_is_one_line_that_says_who_asked_what_and_how_it_ended(server: Running) -> None:
    """Id, operation, status, time, sizes, source, account, the key's fingerprint."""
    account, key = server.join("teller")
    client = server.client(key)
    asked = client.post("/v1/fragments", json={"text": TEXT}, headers={"x-request-id": "request-one"})
    line = line_of(server, "request-one", 201)
    assert asked.headers["x-request-id"] == "request-one"
    assert (line["method"], line["operation"], line["status"]) == ("POST", "add", 201)
    assert line["level"] == "info"
    assert line["account"] == account.id
    assert key.startswith(line["key"])
    assert line["source"] == "127.0.0.1"
    assert line["received_bytes"] == len(json.dumps({"text": TEXT}, separators=(",", ":")))
    assert line["sent_bytes"] > len(TEXT)
    assert 0 < line["ms"] < 30_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line["timestamp"])


def test_nothing_that_was_stored_asked_or_shown_stands_in_the_log(tmp_path: Path) -> None:
    """Every operation, right and wrong, with keys in the wrong places; then the log is searched, by our own
    expression for secrets too.
    """
    with running(tmp_path / "data") as server:
        joined = server.household.churn().join(NAME, "rwha")
        static = server.key(joined.account)
        root = joined.key.text
        with Client(server.url, root) as memory:
            id = memory.add(TEXT, metadata={"mood": "sleepy marsupial"}).id
            memory.search(QUERY)
            memory.update(id, text=f"{TEXT} Always.")
            new = memory.rotate_key()
            memory.history(id)
            memory.delete(id)
        with server.client(static) as client:
            client.get("/v1/fragments", params={"where": json.dumps({"mood": "sleepy"}), "key": static})
            client.get(f"/v1/fragments/{static}")
            client.post("/v1/search", json={"query": root})
            client.post("/v1/search", content=f'{{"query": "{root}'.encode())
            client.patch(f"/v1/fragments/{id}", json={"text": [TEXT]})
            client.get("/v1/usage", headers={"x-request-id": static})
            client.get("/v1/usage", headers={"idempotency-key": root, "user-agent": static})
        with server.client() as stranger:
            stranger.get("/v1/usage", headers={"authorization": f"Bearer {root}"})
            stranger.get(f"/{root}")
            stranger.get("/v1/usage", headers={"authorization": f"Basic {static}"})
            stranger.get("/v1/usage", headers={"carma-account": static})
        log = server.log
    assert len(log.splitlines()) > 15
    assert not re.search(SECRET, log)
    for secret in (static, root, new.key):
        assert secret[-49:] not in log
    for word in (TEXT, "Quokka", "veranda", QUERY, "marsupial", "sleepy", NAME, "Hopper", str(tmp_path), id):
        assert word not in log
    assert "root-key-exposed" in log, "what somebody should look at is there"


def test_an_unforeseen_error_is_told_by_kind_and_place_only() -> None:
    """Its message may quote a text; a key that gets into a line all the same is struck out."""
    out = io.BytesIO()
    log = make_log(out)
    static = "carma_static_abcdefgh_perm_r_" + "A" * 49
    try:
        raise ValueError(TEXT)
    except ValueError as error:
        log.error("request-failed", request_id="x", **failure(error))
    log.info("strange", what=f"somebody logged {static} here")
    first, second = out.getvalue().decode().splitlines()
    told = json.loads(first)
    assert told["error"] == "ValueError"
    assert "test_log.py" in told["places"][-1]
    assert "Quokka" not in first
    assert static not in second
    assert "[secret]" in second


def test_what_comes_from_outside_cannot_break_a_line() -> None:
    """Line ends and escapes in a value stay inside its quotes."""
    out = io.BytesIO()
    make_log(out).info("request", method='GET\r\n{"event":"forged"}', source="\x1b[31m\u2028")
    (line,) = out.getvalue().decode().split("\n")[:-1]
    assert json.loads(line)["event"] == "request"
    assert "\x1b" not in line


def test_a_flood_does_not_fill_the_disk(tmp_path: Path) -> None:
    """Of refused strangers so many lines a second are written, with a count of the others; whoever has a
    right key is logged always.
    """
    settings = ServeSettings(port=0, dashboard=False, strangers_logged_per_s=5)
    with running(tmp_path / "data", settings) as server:
        user = server.user("ada")
        with server.client() as stranger:
            for _ in range(150):
                stranger.get("/v1/usage")
        for _ in range(30):
            user.get("/v1/fragments/" + "0" * 32)
        found = requests(server)
    refused = [line for line in found if "account" not in line]
    assert 5 <= len(refused) < 100
    assert sum(line.get("left_out", 0) for line in refused) + len(refused) <= 150
    assert sum("account" in line for line in found) == 30


def test_the_ration_counts_what_it_leaves_out() -> None:
    """Two lines a second: the first of the next second says how many there were."""
    ration = Ration(2)
    assert [ration.take(10.0), ration.take(10.1), ration.take(10.2), ration.take(10.9)] == [0, 0, None, None]
    assert [ration.take(11.0), ration.take(11.5), ration.take(11.6)] == [2, 0, None]
    assert ration.take(20.0) == 1


def test_signed_requests_are_logged_by_their_fingerprint(server: Running) -> None:
    """The key's first part alone, which opens nothing."""
    joined = server.household.churn().join("signer", "rwha")
    with server.client() as client:
        client.auth = SignedAuth(joined.key.text)
        assert client.get("/v1/usage", headers={"x-request-id": "signed-one"}).status_code == 200
    line = line_of(server, "signed-one", 200)
    assert line["key"] == joined.key.fingerprint
