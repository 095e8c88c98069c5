"""What stands in front of every page, asked without a browser: hosts, origins, cookies, headers, sockets."""

from __future__ import annotations

import httpx
import pytest

from carma.serve.dashboard.places import PLACES
from tests.serve.running import Running

_ANY = {"sec-fetch-dest": "document"}


def _sign_in(run: Running, client: httpx.Client, key: str, **headers: str) -> httpx.Response:
    return client.post("/sign-in", headers={"authorization": f"Bearer {key}", "origin": run.url, **headers})


@pytest.mark.parametrize(
    "path", [place.path for place in PLACES] + ["/tree/x", "/dreams/1", "/topology/picture"]
)
def test_no_page_without_a_visit(run: Running, path: str) -> None:
    """Whoever is not signed in is led to the door, with nothing of anybody."""
    answer = run.client().get(path, headers=_ANY)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert not answer.content


@pytest.mark.parametrize(
    "path", ["/_nicegui/3/static/nicegui.js", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"]
)
def test_nothing_of_the_framework_without_a_visit(run: Running, path: str) -> None:
    """Neither its files nor its polling can be had by somebody who is not signed in."""
    assert run.client().get(path).status_code in (400, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example", "origin": "http://evil.example"},
        {"host": "carma.evil.example:80", "origin": "http://carma.evil.example:80"},
        {"host": "a@127.0.0.1"},
    ],
    ids=str,
)
def test_only_a_page_of_this_host_signs_in(run: Running, headers: dict[str, str]) -> None:
    """A foreign origin and a foreign name are refused with a right key too, and no cookie is given."""
    _, key = run.join(f"origins {headers}"[:60])
    answer = _sign_in(run, run.client(), key, **headers)
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


def test_a_cookie_is_worth_nothing_from_another_site(run: Running) -> None:
    """A signed-in browser that another site sends here is refused whatever would change something."""
    client = run.client()
    assert _sign_in(run, client, run.join("crossed")[1]).status_code == 204
    assert client.post("/sign-out", headers={"origin": "https://evil.example"}).status_code == 400
    assert client.get("/usage", headers={"host": "evil.example"}).status_code == 400
    assert client.post("/usage", headers={"origin": run.url}).status_code == 405
    assert client.post("/sign-out", headers={"origin": run.url}).status_code == 303


def test_two_cookies_of_one_name_open_nothing(run: Running) -> None:
    """A cookie that somebody has put beside the true one does not decide who is seen."""
    client = run.client()
    token = _sign_in(run, client, run.join("twice")[1]).cookies["carma_visit"]
    client.cookies.clear()
    answer = client.get("/", headers={"cookie": f"carma_visit={token}; carma_visit={token}"})
    assert answer.status_code == 303


def test_the_policy_runs_no_script_but_the_servers_own(run: Running) -> None:
    """Each page names a number used once, every script in it has it, and another answer has another."""
    client = run.client()
    _sign_in(run, client, run.join("policies")[1])
    seen = set()
    for _ in range(2):
        answer = client.get("/usage", headers=_ANY)
        policy = answer.headers["content-security-policy"]
        nonce = policy.partition("'nonce-")[2].partition("'")[0]
        assert len(nonce) >= 22
        seen.add(nonce)
        assert "unsafe-inline" not in policy
        assert "http" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        page = answer.text
        assert page.count("<script") == page.count(f'<script nonce="{nonce}"') > 3
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(seen) == 2
    door = run.client().get("/sign-in")
    assert "unsafe" not in door.headers["content-security-policy"]


def test_an_unknown_page_is_not_found(run: Running) -> None:
    """It is said in a page, with the status that says so."""
    client = run.client()
    _sign_in(run, client, run.join("lost")[1])
    answer = client.get("/nowhere/at/all", headers=_ANY)
    assert answer.status_code == 404
    assert "There is no such page." in answer.text
    assert client.get("/tree", headers=_ANY).status_code == 200


def test_wrong_keys_are_charged_to_their_source(run: Running) -> None:
    """Forgeries at the door go into the same count as those at the interface."""
    before = run.client().get("/metrics").text
    for _ in range(3):
        assert _sign_in(run, run.client(), "carma_static_aaaaaaaa_perm_r_" + "0" * 49).status_code in (
            400,
            401,
        )
    after = run.client().get("/metrics").text
    assert before != after
