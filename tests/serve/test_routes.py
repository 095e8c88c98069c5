"""The 17 operations: each is served where the table says, with both kinds of key, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute

from carma.client.operations import OPERATIONS, PREFIX

from .asking import NAMES, ask, dream, remember
from .running import Running

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_BESIDE = ("/healthz", "/readyz", "/metrics")


@pytest.fixture(scope="module", params=["static", "root"])
def client(request: pytest.FixtureRequest, served: Running) -> Iterator[httpx.Client]:
    """A new account's client: with a static key, or one that signs every attempt."""
    account, key = served.join(request.param)
    with served.client(key) if request.param == "static" else served.signing(account) as client:
        yield client


def test_there_are_seventeen() -> None:
    """No more and no fewer, as the third seed has it."""
    assert len(OPERATIONS) == 17


def test_the_routes_are_those_of_the_table(served: Running) -> None:
    """Below /v1 the application has exactly the operations, each by its name, path and method."""
    routes = {
        (route.operation_id, next(iter(route.methods)), route.path)
        for route in served.server.app.routes
        if isinstance(route, APIRoute) and route.path.startswith(PREFIX)
    }
    wanted = {(each.name, each.method, PREFIX + each.path) for each in OPERATIONS.values()}
    assert routes == wanted


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_answers(name: str, client: httpx.Client) -> None:
    """With a right key and a right request each has the status of the table and an object as its answer."""
    fragment = remember(client)
    if name == "show_dream":
        answer = ask(client, name, cycle=dream(client, dry_run=True))
    else:
        answer = ask(client, name, id=fragment["id"])
    assert answer.status_code == OPERATIONS[name].status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json(), dict)
    assert answer.headers["x-request-id"] and answer.headers["carma-square"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_one_text_or_many_are_added(client: httpx.Client) -> None:
    """A text alone, or `items` in one commit; the answer has them in the order asked for."""
    one = client.post("/v1/fragments", json={"text": "One."})
    many = client.post("/v1/fragments", json={"items": [{"text": f"Number {n}."} for n in range(40)]})
    assert [each["text"] for each in one.json()["items"]] == ["One."]
    assert [each["text"] for each in many.json()["items"]] == [f"Number {n}." for n in range(40)]
    for each in many.json()["items"]:
        assert client.get(f"/v1/fragments/{each['id']}").json() == each


def test_what_is_written_is_found_changed_and_forgotten(client: httpx.Client) -> None:
    """A fragment's life: add, search, update, history, tree, delete."""
    above = remember(client, "The house by the lake.")
    below = remember(client, "Its boiler was serviced in spring.", parent=above["id"])
    hits = client.post("/v1/search", json={"query": "boiler serviced", "explain": True}).json()["hits"]
    assert hits[0]["id"] == below["id"] and hits[0]["parts"]["words"] is not None
    changed = client.patch(f"/v1/fragments/{below['id']}", json={"text": "The boiler was replaced."}).json()
    assert (changed["version"], changed["parent"]) == (2, above["id"])
    history = client.get(f"/v1/fragments/{below['id']}/history").json()["items"]
    assert [each["text"] for each in history] == [
        "Its boiler was serviced in spring.",
        "The boiler was replaced.",
    ]
    tree = client.get("/v1/tree", params={"root": above["id"]}).json()
    assert [each["fragment"]["id"] for each in tree["children"]] == [below["id"]]
    gone = client.delete(f"/v1/fragments/{above['id']}", params={"children": "true", "purge": "true"})
    assert gone.json() == {"deleted": 2}
    assert client.get(f"/v1/fragments/{below['id']}").status_code == 404


def test_a_search_without_a_thread_answers_like_one_with(client: httpx.Client) -> None:
    """Few hits by meaning are found on the event loop, many in a thread: the same, and the same errors."""
    items = [{"text": f"Number {at} of the texts that are compared."} for at in range(30)]
    client.post("/v1/fragments", json={"items": items})

    def scores(limit: int) -> list[float]:
        asked = {"query": "texts that are compared", "mode": "vector", "limit": limit}
        found = client.post("/v1/search", json=asked).json()
        assert not found["degraded"]
        return [hit["score"] for hit in found["hits"]]

    many = scores(25)  # In a thread, where new texts may be waited for.
    assert scores(10) == many[:10]
    for limit in (10, 25):
        wrong = client.post("/v1/search", json={"vector": [0.5, 0.5], "mode": "vector", "limit": limit})
        assert wrong.status_code == 422 and wrong.json()["title"]


def test_nothing_else_is_served(served: Running) -> None:
    """Every other method is 405 with Allow, every other path 404; before any key is asked for."""
    paths = {PREFIX + each.path.format(id="0" * 32, cycle=1) for each in OPERATIONS.values()}
    with served.client() as client:
        for path in paths:
            allowed = {
                each.method
                for each in OPERATIONS.values()
                if PREFIX + each.path.format(id="0" * 32, cycle=1) == path
            }
            for method in _METHODS:
                answer = client.request(method, path)
                if method in allowed:
                    assert answer.status_code == 401
                else:
                    assert answer.status_code == 405, (method, path)
                    assert set(answer.headers["allow"].split(", ")) == allowed
        for path in ("/v1", "/v1/", "/v1/fragments/", "/v1/nothing", "/v1/fragments/x/y/z", "/v2/fragments"):
            assert client.get(path).status_code == 404, path
        for path in ("/docs", "/redoc", "/openapi.json", "/v1/openapi.json"):
            assert client.get(path).status_code == 404, path


@pytest.mark.parametrize("path", _BESIDE)
def test_what_is_beside_them_needs_no_key(path: str, served: Running) -> None:
    """/healthz, /readyz and /metrics answer anybody, by GET and HEAD only."""
    with served.client() as client:
        assert client.get(path).status_code == 200
        assert client.head(path).content == b""
        assert client.post(path).status_code == 405


def test_a_reconstruction_is_judged_by_update(
    tmp_path_factory: pytest.TempPathFactory, served: Running
) -> None:
    """There is nothing to judge about an intact fragment, and judging stands alone in its request."""
    with served.user() as client:
        fragment = remember(client)
        path = f"/v1/fragments/{fragment['id']}"
        for choice in ("accept", "reject"):
            refused = client.patch(path, json={"reconstruction": choice})
            assert refused.status_code in (409, 422) and "reconstruct" in refused.json()["detail"]
        both = client.patch(path, json={"reconstruction": "accept", "text": "Other."})
        assert both.status_code == 422
        assert client.patch(path, json={"reconstruction": "maybe"}).status_code == 422
        assert client.patch(path, json={}).status_code == 422
        assert client.patch(path, json={"text": None}).status_code == 422
        assert client.get(path).json() == fragment
