"""Idempotency-Key: a change is made once, however often its request comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from carma.errors import DiskFull
from carma.memory.purging import unpurged

from .asking import remember
from .running import Running, running


@pytest.fixture
def client(served: Running) -> Iterator[httpx.Client]:
    """A new account's client."""
    with served.user() as client:
        yield client


def _key(name: str) -> dict[str, str]:
    return {"idempotency-key": name}


def _count(client: httpx.Client) -> int:
    return len(client.get("/v1/fragments", params={"limit": "1000"}).json()["items"])


def _same(first: httpx.Response, second: httpx.Response) -> bool:
    own = ("date", "x-request-id", "carma-square")
    shown = [
        (each.status_code, each.content, {k: v for k, v in each.headers.items() if k not in own})
        for each in (first, second)
    ]
    return shown[0] == shown[1]


def test_a_repeated_add_gives_the_first_answer(client: httpx.Client) -> None:
    """The same key and body: the same fragments with the same ids, and nothing was added twice."""
    body = {"items": [{"text": f"Number {n}."} for n in range(5)]}
    first = client.post("/v1/fragments", json=body, headers=_key("a"))
    second = client.post("/v1/fragments", json=body, headers=_key("a"))
    assert _same(first, second)
    assert _count(client) == 5


def test_the_answer_is_rendered_again_as_it_was_written(client: httpx.Client) -> None:
    """What was written since does not change what the first request came to."""
    first = client.post("/v1/fragments", json={"text": "First."}, headers=_key("a"))
    id = first.json()["items"][0]["id"]
    update = {"json": {"text": "Second."}, "headers": _key("b")}
    changed = client.patch(f"/v1/fragments/{id}", **update)
    assert _same(client.post("/v1/fragments", json={"text": "First."}, headers=_key("a")), first)
    client.patch(f"/v1/fragments/{id}", json={"text": "Third."})
    again = client.patch(f"/v1/fragments/{id}", **update)
    assert again.json()["text"] == "Second." and again.json()["version"] == 2
    assert again.headers["etag"] == changed.headers["etag"]
    assert client.get(f"/v1/fragments/{id}").json()["text"] == "Third."


def test_a_repeated_delete_counts_what_it_deleted(client: httpx.Client) -> None:
    """The second one does not find anything, and answers as the first did."""
    above = remember(client)
    remember(client, "Below.", parent=above["id"])
    path = f"/v1/fragments/{above['id']}"
    first = client.delete(path, params={"children": "true"}, headers=_key("d"))
    assert first.json() == {"deleted": 2}
    assert _same(client.delete(path, params={"children": "true"}, headers=_key("d")), first)
    assert client.delete(path, params={"children": "true"}, headers=_key("e")).status_code == 404


def test_a_purge_that_was_cut_off_is_made_up_for(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refused between deleting and purging: the same request, repeated, leaves no byte behind."""
    account, key = served.join("purging")
    client, seat = served.client(key), served.server.services.block.seat(account.id)
    path = f"/v1/fragments/{remember(client)['id']}"
    asked: dict[str, Any] = {"params": {"purge": "true"}, "headers": _key("p")}

    def refused() -> None:
        raise DiskFull("No space is left.")

    with seat.use() as memory:
        with monkeypatch.context() as patch:
            patch.setattr(memory._upkeep, "purge", refused)
            assert client.delete(path, **asked).status_code == 507
        assert unpurged(memory) == 1
        assert client.delete(path, **asked).json() == {"deleted": 1}
        assert unpurged(memory) == 0


def test_another_request_under_the_same_key_is_refused(client: httpx.Client) -> None:
    """Another body, another target or another operation: 422, and nothing is changed."""
    fragment = remember(client)
    path = f"/v1/fragments/{fragment['id']}"
    client.post("/v1/fragments", json={"text": "One."}, headers=_key("k"))
    others: list[dict[str, Any]] = [
        {"method": "POST", "url": "/v1/fragments", "json": {"text": "Two."}},
        {"method": "PATCH", "url": path, "json": {"text": "One."}},
        {"method": "DELETE", "url": path},
        {"method": "POST", "url": "/v1/dreams", "json": {}},
    ]
    for other in others:
        answer = client.request(**other, headers=_key("k"))
        assert answer.status_code == 422, other
        assert answer.json()["type"] == "urn:carma:error:idempotency-conflict"
    assert _count(client) == 2
    assert client.get(path).json() == fragment
    change = {"text": "Two."}
    for if_match, status in (('"1"', 200), ('"1"', 200), ('"2"', 422)):
        headers = {**_key("m"), "if-match": if_match}
        assert client.patch(path, json=change, headers=headers).status_code == status


def test_many_at_once_are_one(client: httpx.Client) -> None:
    """Twenty equal requests at once: one carries it out; each of the rest has its answer, or 409 to wait."""
    begin = threading.Barrier(20)

    def ask(_: int) -> httpx.Response:
        begin.wait()
        return client.post("/v1/fragments", json={"text": "Only once."}, headers=_key("race"))

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    done = [each for each in answers if each.status_code == 201]
    waiting = [each for each in answers if each.status_code == 409]
    assert done and len(done) + len(waiting) == 20
    assert {each.json()["items"][0]["id"] for each in done} == {done[0].json()["items"][0]["id"]}
    assert {each.json()["type"] for each in waiting} <= {"urn:carma:error:still-running"}
    assert _count(client) == 1


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\tbed"])
def test_a_key_that_is_none_is_refused_everywhere(key: str, client: httpx.Client) -> None:
    """1 to 200 printable characters, on every operation that takes one."""
    fragment = remember(client)
    asked = [
        client.post("/v1/fragments", json={"text": "One."}, headers=_key(key)),
        client.patch(f"/v1/fragments/{fragment['id']}", json={"text": "One."}, headers=_key(key)),
        client.delete(f"/v1/fragments/{fragment['id']}", headers=_key(key)),
        client.post("/v1/dreams", json={}, headers=_key(key)),
    ]
    assert [each.status_code for each in asked] == [422] * 4
    assert _count(client) == 1 and client.get("/v1/dreams").json() == {"dreams": []}


def test_a_repeated_dream_is_the_same_dream(client: httpx.Client) -> None:
    """It is dreamt once, also when it is asked for again after it is over."""
    remember(client)
    first = client.post("/v1/dreams", json={}, headers=_key("night")).json()
    with client.stream(
        "GET", f"/v1/dreams/{first['cycle']}", headers={"accept": "text/event-stream"}
    ) as events:
        events.read()
    again = client.post("/v1/dreams", json={}, headers=_key("night")).json()
    assert again["cycle"] == first["cycle"] and again["status"] == "completed"
    assert len(client.get("/v1/dreams").json()["dreams"]) == 1
    assert client.post("/v1/dreams", json={"dry_run": True}, headers=_key("night")).status_code == 422


def test_keys_of_two_owners_are_two_keys(served: Running) -> None:
    """The same Idempotency-Key of another account is another request."""
    for client in (served.user(), served.user()):
        assert client.post("/v1/fragments", json={"text": "Mine."}, headers=_key("one")).status_code == 201
        assert _count(client) == 1


def test_what_was_done_is_known_after_a_restart(tmp_path: Path) -> None:
    """The key lies in the record of the change: another server over the same folder answers from it."""
    body = {"json": {"text": "Before the restart."}, "headers": _key("r")}
    with running(tmp_path / "data") as server:
        account, key = server.join("ada")
        first = server.client(key).post("/v1/fragments", **body)
    with running(tmp_path / "data") as server:
        client = server.client(key)
        again = client.post("/v1/fragments", **body)
        assert again.status_code == 201 and again.json() == first.json()
        assert _count(client) == 1
        signed = server.signing(account).post("/v1/fragments", **body)
        assert signed.json() == first.json()


def test_a_new_key_is_never_shown_twice(served: Running) -> None:
    """Rotating again before the new key was used makes another one; the lost one opens nothing."""
    account = served.join("rotates")[0]
    with served.client(served.key(account)) as client:
        first = client.post("/v1/keys/rotate", json={}, headers=_key("new")).json()
        second = client.post("/v1/keys/rotate", json={}, headers=_key("new")).json()
    assert first["key"] != second["key"]
    assert served.client(first["key"]).get("/v1/usage").status_code == 401
    assert served.client(second["key"]).get("/v1/usage").status_code == 200
