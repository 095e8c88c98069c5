"""Static keys: accepted on this machine and under TLS, unless they are switched off; root keys never."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from carma.access.keys.authority import Authority
from carma.access.keys.wire import RequestHead
from carma.access.sources import networks, source_of
from carma.errors import StaticKeyRefused
from carma.serve.settings import ServeSettings

from .asking import ask, remember
from .running import Running, running


def test_a_static_key_is_all_that_curl_needs(served: Running) -> None:
    """One header, no session, any number of times."""
    with served.user() as client:
        remember(client)
        assert {ask(client, "tree").status_code for _ in range(50)} == {200}


def test_they_can_be_switched_off(tmp_path: Path) -> None:
    """Then only signed attempts are admitted."""
    with running(tmp_path / "data", ServeSettings(port=0, dashboard=False, static_keys=False)) as server:
        account, key = server.join("ada")
        refused = ask(server.client(key), "tree")
        assert refused.status_code == 401 and refused.json()["title"] == "StaticKeyRefused"
        assert ask(server.signing(account), "tree").status_code == 200


def test_in_clear_over_a_network_they_are_refused(served: Running) -> None:
    """What came from another machine without TLS, or by a proxy that was asked without it, is refused, right
    or wrong; a proxy on this machine that nobody vouched for is this machine.
    """
    authority = Authority(served.household.keys)
    _, key = served.join("far")
    head = RequestHead("GET", "/v1/tree", f"Bearer {key}")
    with pytest.raises(StaticKeyRefused):
        authority.admit(head, time.time())
    assert authority.admit(head._replace(secure=True), time.time()).attempt is None


def test_a_proxy_says_whether_it_was_asked_under_tls(tmp_path: Path) -> None:
    """With this machine named as a proxy, X-Forwarded-Proto decides; and without it nothing is secure."""
    settings = ServeSettings(port=0, dashboard=False, trusted_proxies=("127.0.0.0/8",))
    with running(tmp_path / "data", settings) as server:
        client = server.user()
        assert ask(client, "tree").status_code == 401
        assert ask(client, "tree", headers={"x-forwarded-proto": "http"}).status_code == 401
        assert ask(client, "tree", headers={"x-forwarded-proto": "https"}).status_code == 200
    assert source_of("10.0.0.9", ("9.9.9.9",), proxies=networks(("127.0.0.0/8",))) == source_of("10.0.0.9")


def test_what_a_stranger_forwards_is_not_believed(served: Running) -> None:
    """Without a proxy of ours the headers of one are nothing: the connection's own end counts."""
    with served.user() as client:
        answer = ask(client, "tree", headers={"x-forwarded-proto": "http", "x-forwarded-for": "203.0.113.9"})
        assert answer.status_code == 200
    assert "203.0.113" not in served.log


def test_a_root_key_on_the_wire_is_refused_and_flagged(served: Running) -> None:
    """As a bearer or as an attempt: 401, a line in the log, a leaf in the owner's audit log; and nothing of
    its secret in either.
    """
    account, key = served.join("careless")
    root = served.key(account, static=False)
    for scheme in ("Bearer", "Carma"):
        answer = served.client().get("/v1/tree", headers={"authorization": f"{scheme} {root}"})
        assert answer.status_code == 401 and answer.json()["title"] == "RootKeyExposed"
        assert root[-49:] not in answer.text
    assert served.line(event="key-alert", kind="root-key-exposed", account=account.id)
    assert root[-49:] not in served.log
    page = ask(served.client(key), "audit")
    assert "keys.root-key-exposed" in {each["leaf"]["operation"] for each in page.json()["entries"]}
    assert root[-49:] not in page.text


def test_a_key_ends_when_it_expires(served: Running) -> None:
    """To the second, without anybody doing anything."""
    account = served.join("brief")[0]
    ends = time.time() + 1.0
    key, _ = served.household.keys.create(account.id, "r", kind="static", expires=ends)
    with served.client(key.text) as client:
        assert ask(client, "tree").status_code == 200
        time.sleep(max(ends - time.time(), 0.0) + 0.05)
        answer = ask(client, "tree")
    assert answer.status_code == 401 and answer.json()["title"] == "KeyExpired"


def test_a_rotated_static_key_is_another_static_key(served: Running) -> None:
    """Over the wire it rotates itself; both work during the grace, then only the new one."""
    account, old = served.join("rotating")
    new = served.client(old).post("/v1/keys/rotate", json={"grace_s": 3600}).json()
    assert new["key"].startswith("carma_static_") and new["old_works_until"] > time.time() + 3000
    assert ask(served.client(old), "tree").status_code == 200
    assert ask(served.client(new["key"]), "tree").status_code == 200
    served.household.keys.revoke(old.rpartition("_")[0])
    assert ask(served.client(old), "tree").status_code == 401
    assert ask(served.client(new["key"]), "usage").json()["account"] == account.id
