"""Paging: a page has a bound, and cursors lead through everything once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from carma.serve.settings import ServeSettings

from .asking import remember
from .running import Running, running

COUNT = 57


@pytest.fixture(scope="module")
def client(served: Running) -> Iterator[httpx.Client]:
    """An account with some fragments, ten of them below the first."""
    with served.user() as client:
        top = remember(client, "The top.")
        items = [{"text": f"Number {n}.", "metadata": {"n": n}} for n in range(COUNT - 11)]
        items += [{"text": f"Below {n}.", "parent": top["id"]} for n in range(10)]
        assert client.post("/v1/fragments", json={"items": items}).status_code == 201
        yield client


def _walked(client: httpx.Client, path: str, name: str, **params: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(COUNT + 5):
        page = client.get(path, params={**params, **({"cursor": cursor} if cursor else {})}).json()
        assert len(page[name]) <= int(params["limit"])
        found += page[name]
        cursor = page["cursor"]
        if cursor is None:
            return found
    raise AssertionError("the cursors do not end")


@pytest.mark.parametrize("limit", ["1", "7", "19", "57", "58", "1000"])
def test_cursors_lead_through_everything_once(limit: str, client: httpx.Client) -> None:
    """Whatever the size of a page, each fragment comes once, and in the same order."""
    found = [each["id"] for each in _walked(client, "/v1/fragments", "items", limit=limit)]
    whole = [each["id"] for each in client.get("/v1/fragments", params={"limit": "1000"}).json()["items"]]
    assert found == whole and len(set(found)) == COUNT


def test_filters_and_parents_are_paged_too(client: httpx.Client) -> None:
    """`where` and `parent` go on behind a cursor."""
    few = _walked(client, "/v1/fragments", "items", limit="4", where='{"n": {"lt": 10}}')
    assert len(few) == 10
    first = client.get("/v1/fragments", params={"parent": "none", "limit": "1"}).json()["items"][0]
    below = _walked(client, "/v1/fragments", "items", limit="3", parent=first["id"])
    assert [each["text"] for each in below] == [f"Below {n}." for n in range(10)]


def test_what_is_added_meanwhile_moves_nothing(client: httpx.Client, served: Running) -> None:
    """A page stays in place while others write: nothing is shown twice or left out."""
    with served.user() as other:
        before = [remember(other, f"Number {n}.")["id"] for n in range(9)]
        page = other.get("/v1/fragments", params={"limit": "3"}).json()
        seen = [each["id"] for each in page["items"]]
        other.delete(f"/v1/fragments/{before[1]}")
        remember(other, "New.")
        while page["cursor"]:
            page = other.get("/v1/fragments", params={"limit": "3", "cursor": page["cursor"]}).json()
            seen += [each["id"] for each in page["items"]]
        assert len(seen) == len(set(seen)) and set(before) <= set(seen)


def test_ones_own_audit_is_paged(client: httpx.Client) -> None:
    """Newest first, each once, down to where the log begins."""
    for n in range(5):
        remember(client, f"Audited {n}.")
    found = [each["index"] for each in _walked(client, "/v1/audit", "entries", limit="2")]
    assert found == sorted(set(found), reverse=True) and len(found) >= 6


@pytest.mark.parametrize("cursor", ["x", "", "=====", "-1", "9" * 600, "bnVsbA==", "W10=", "é"])
def test_a_cursor_that_is_none_is_refused(cursor: str, client: httpx.Client) -> None:
    """Whatever was not given out is 422, and never an empty page."""
    for path in ("/v1/fragments", "/v1/audit"):
        answer = client.get(path, params={"cursor": cursor})
        assert answer.status_code == 422, (path, answer.text)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "1.5", "", "1e2", "99999999999999999999"])
def test_a_page_has_a_bound(limit: str, client: httpx.Client) -> None:
    """Nobody gets more than a thousand at once, or a page of another size than asked for."""
    for path in ("/v1/fragments", "/v1/blanks", "/v1/dreams", "/v1/audit"):
        assert client.get(path, params={"limit": limit}).status_code == 422, path
    body = {"query": "x", "limit": int(limit) if limit.lstrip("-").isdigit() else limit}
    assert client.post("/v1/search", json=body).status_code == 422


def test_a_server_may_bind_pages_tighter(tmp_path: Path) -> None:
    """`page_most`, `depth_most` and `topology_most` hold; who asks for nothing gets what there is."""
    settings = ServeSettings(port=0, dashboard=False, page_most=5, depth_most=3, topology_most=4)
    with running(tmp_path / "data", settings) as server, server.user() as client:
        assert client.post(
            "/v1/fragments", json={"items": [{"text": f"N {n}."} for n in range(9)]}
        ).is_success
        assert len(client.get("/v1/fragments").json()["items"]) == 5
        assert len(client.get("/v1/topology").json()["spots"]) == 4
        hits = client.post("/v1/search", json={"query": "N", "mode": "words"}).json()["hits"]
        assert len(hits) <= 5
        for path, query in (("fragments", "limit=6"), ("tree", "depth=4"), ("topology", "limit=5")):
            answer = client.get(f"/v1/{path}?{query}")
            assert answer.status_code == 413 and answer.json()["title"] == "TooLarge", path
        assert client.get("/v1/usage").json()["limits"]["page"] == 5
