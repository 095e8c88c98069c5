"""Two owners: what the one has does not exist for the other, by any route, id or header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from carma.client.operations import OPERATIONS

from .asking import BODIES, NOBODYS, ask, dream, remember
from .running import Running

_OWN = ("date", "x-request-id", "carma-square")
"""Headers that differ between any two answers."""
_BY_ID = sorted(name for name, each in OPERATIONS.items() if "{" in each.path)


class Two:
    """Two accounts with a few fragments and a dream each."""

    def __init__(self, served: Running, signed: bool) -> None:
        self.clients = []
        self.accounts = []
        for name in ("ada", "bob"):
            account, key = served.join(f"{name} {signed}")
            self.accounts.append(account)
            self.clients.append(served.signing(account) if signed else served.client(key))
        self.ids: list[list[str]] = []
        for client, who in zip(self.clients, ("Ada", "Bob"), strict=True):
            above = remember(client, f"{who} keeps bees.", metadata={"of": who})
            below = remember(client, f"{who}'s hive stands in the north.", parent=above["id"])
            gone = remember(client, f"{who} had a dog.")
            client.delete(f"/v1/fragments/{gone['id']}")
            client.patch(f"/v1/fragments/{below['id']}", json={"text": f"{who}'s hive stands in the south."})
            self.ids.append([above["id"], below["id"], gone["id"]])


@pytest.fixture(scope="module", params=[False, True], ids=["static", "root"])
def two(request: pytest.FixtureRequest, served: Running) -> Iterator[Two]:
    """The two accounts, by static keys or by signed attempts."""
    made = Two(served, request.param)
    yield made
    for client in made.clients:
        client.close()


def _shown(answer: httpx.Response, *ids: str) -> tuple[int, str, dict[str, str]]:
    """Everything that an answer tells, but for what was in the request itself and the request's id."""
    text = re.sub(r"urn:carma:request:[0-9a-f]+", "<request>", answer.text)
    text = re.sub(r'"took_ms":[0-9.]+', '"took_ms":0', text)
    for id in ids:
        text = text.replace(id, "<id>")
    headers = {name: value for name, value in answer.headers.items() if name not in _OWN}
    if "took_ms" in text:
        del headers["content-length"]  # The time that a search took has more or fewer digits.
    return answer.status_code, text, headers


def _requests(name: str, id: str) -> Iterator[dict[str, Any]]:
    """Every way to name an id in a request of an operation."""
    body = BODIES.get(name)
    yield {"id": id}
    if name == "get":
        yield {"id": id, "params": {"version": "1"}}
        yield {"id": id, "headers": {"if-none-match": '"1"'}}
        yield {"id": id, "headers": {"if-none-match": "*"}}
    if name == "update":
        yield {"id": id, "json": {"reconstruction": "accept"}}
        yield {"id": id, "json": {"parent": None}}
        yield {"id": id, "json": {"parent": id}}
    if name == "delete":
        yield {"id": id, "params": {"children": "true"}}
        yield {"id": id, "params": {"purge": "true"}}
    if name == "add":
        yield {"json": {**(body or {}), "parent": id}}
        yield {"json": {"items": [{"text": "One."}, {"text": "Two.", "parent": id}]}}
    if name == "list":
        yield {"params": {"parent": id}}
    if name == "tree":
        yield {"params": {"root": id}}
    if name == "search":
        yield {"json": {"query": "hive", "under": id}}


_WAYS = [
    (name, number)
    for name in ("add", "list", "tree", "search", "get", "update", "delete", "history")
    for number in range(len(list(_requests(name, ""))))
    if not (number == 0 and name in ("add", "list", "tree", "search"))
]


@pytest.mark.parametrize(("name", "number"), _WAYS)
def test_the_others_id_is_nobodys_id(name: str, number: int, two: Two) -> None:
    """Asked for every id of the other (live, changed, deleted) the answer is that for an id that never was:
    the same status, headers and body; and it is 404, unless the same is answered for nothing at all.
    """
    way = list(_requests(name, "<>"))[number]

    def answer(client: httpx.Client, id: str) -> tuple[int, str, dict[str, str]]:
        return _shown(ask(client, name, **list(_requests(name, id))[number]), id)

    for client, others in zip(two.clients, reversed(two.ids), strict=True):
        nothing = answer(client, NOBODYS)
        for id in others:
            assert answer(client, id) == nothing, (name, way)
        if name not in ("list", "search"):  # Of nobody there is an empty page.
            assert nothing[0] == 404, (name, way, nothing)


def test_nothing_of_it_was_changed(two: Two) -> None:
    """What the other tried left no trace: every fragment is as its owner left it."""
    for client, who, (above, below, gone) in zip(two.clients, ("Ada", "Bob"), two.ids, strict=True):
        assert client.get(f"/v1/fragments/{above}").json()["text"] == f"{who} keeps bees."
        now = client.get(f"/v1/fragments/{below}").json()
        assert (now["text"], now["version"], now["parent"]) == (
            f"{who}'s hive stands in the south.",
            2,
            above,
        )
        assert client.get(f"/v1/fragments/{gone}").status_code == 404


def test_nobody_sees_the_other_in_what_is_shown_whole(two: Two) -> None:
    """List, search, tree, topology, dreams, blanks, usage and audit of the one hold no id, text or name of
    the other.
    """
    names = ("list", "search", "tree", "topology", "dreams", "blanks", "usage", "audit", "scan")
    for client, account, others, who in zip(
        two.clients, reversed(two.accounts), reversed(two.ids), ("Bob", "Ada"), strict=True
    ):
        for name in names:
            shown = ask(client, name)
            assert shown.status_code == 200
            for secret in (*others, account.id, account.name, f"{who} keeps", f"{who}'s hive"):
                assert secret not in shown.text, (name, secret)


def test_a_dream_of_the_other_is_not_found(two: Two) -> None:
    """Cycles are counted for each memory: the other's number shows one's own dream, or none."""
    ada, bob = two.clients
    cycle = dream(ada)
    nothing = _shown(ask(bob, "show_dream", cycle=9), "dream 9")
    assert nothing[0] == 404 and 1 <= cycle < 9
    assert _shown(ask(bob, "show_dream", cycle=cycle), f"dream {cycle}") == nothing


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_account_that_is_not_the_keys_own_does_not_exist(name: str, two: Two) -> None:
    """Carma-Account with the other's id gets what an invented id gets: 404, on every operation."""
    for client, account in zip(two.clients, reversed(two.accounts), strict=True):
        other = _shown(ask(client, name, headers={"carma-account": account.id}), account.id)
        invented = _shown(ask(client, name, headers={"carma-account": "a" * 16}), "a" * 16)
        assert other == invented and other[0] == 404
    own = ask(two.clients[0], "tree", headers={"carma-account": two.accounts[0].id})
    assert own.status_code == 200


def test_the_sources_of_others_are_no_filter(two: Two) -> None:
    """A cursor or a filter made in the one memory finds nothing of it in the other."""
    ada, bob = two.clients
    for _ in range(3):
        remember(ada)
    cursor = ada.get("/v1/fragments", params={"limit": "1"}).json()["cursor"]
    page = bob.get("/v1/fragments", params={"cursor": cursor}).json()
    assert not {each["id"] for each in page["items"]} & set(two.ids[0])
    found = bob.get("/v1/fragments", params={"where": '{"of": "Ada"}'}).json()
    assert found["items"] == []
