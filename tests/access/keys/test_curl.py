"""`carma curl`: a request signed by a root key, against a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from carma.access.keys.text import SECRET
from carma.cli.app import app
from tests.serve.running import Running, running

Curl = Callable[..., Result]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server") / "data", encrypted=False) as found:
        yield found


@pytest.fixture
def curl(server: Running, monkeypatch: pytest.MonkeyPatch) -> Curl:
    """Run `carma curl …` with the root key of a new account."""
    account, _ = server.join(f"ada{len(server.household.keys.keys())}")
    for name in ("CARMA_KEY_FILE", "CARMA_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CARMA_URL", server.url)
    monkeypatch.setenv("CARMA_KEY", server.key(account, static=False))

    def run(*arguments: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, ["curl", *arguments], input=stdin)
        assert not re.search(SECRET, result.output) and "Traceback" not in result.output
        return result

    return run


def test_a_signed_request_is_answered(curl: Curl, server: Running) -> None:
    """With headers if asked; the server has never seen the root key."""
    result = curl("/v1/tree?depth=2")
    assert result.exit_code == 0 and isinstance(json.loads(result.stdout), dict)
    shown = curl("/v1/fragments?limit=3", "-i")
    assert shown.stdout.startswith("HTTP/1.1 200") and "\n\n{" in shown.stdout
    assert not re.search(SECRET, server.log)


def test_a_change_is_made_once_under_its_idempotency_key(curl: Curl, tmp_path: Path) -> None:
    """A body from the line, a file or a pipe; the same key gives the same answer."""
    body = json.dumps({"items": [{"text": "Tea, no milk."}]})
    (tmp_path / "body").write_text(body)
    header = ("-H", "Idempotency-Key: once")
    ids = [
        json.loads(curl("/v1/fragments", *header, "-d", data, stdin=body).stdout)["items"][0]["id"]
        for data in (body, f"@{tmp_path / 'body'}", "-")
    ]
    assert len(set(ids)) == 1
    other = json.loads(curl("/v1/fragments", "-d", body).stdout)["items"][0]["id"]
    assert other != ids[0]
    assert len(json.loads(curl("/v1/fragments").stdout)["items"]) == 2
    gone = curl(f"/v1/fragments/{other}", "-X", "delete")
    assert gone.exit_code == 0 and json.loads(gone.stdout) == {"deleted": 1}


def test_errors_of_the_server_are_shown_as_they_came(curl: Curl) -> None:
    """With the exit code that the verbs have for them."""
    shown = curl(f"/v1/fragments/{'f' * 32}")
    assert shown.exit_code == 3 and json.loads(shown.stdout)["type"].endswith(":fragment-not-found")


def test_a_revoked_key_is_told_so(curl: Curl, server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, also in the middle of nowhere."""
    account, _ = server.join("bob")
    text = server.key(account, "r", static=False)
    monkeypatch.setenv("CARMA_KEY", text)
    assert curl("/v1/tree").exit_code == 0
    server.household.keys.revoke(text.rpartition("_")[0])
    assert curl("/v1/tree").exit_code == 22


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("v1/tree",), "slash"),
        (("/v1/tree", "-H", "Authorization: Bearer x"), "attempt"),
        (("/v1/tree", "-H", "carma-nonce: 1"), "attempt"),
        (("/v1/tree", "-H", "a\nb: c"), "header"),
        (("/v1/tree", "-H", "name: ä"), "header"),
        (("/v1/tree", "-d", "@/nowhere/at/all"), "read"),
    ],
)
def test_what_cannot_be_sent_is_refused(curl: Curl, arguments: tuple[str, ...], said: str) -> None:
    """Before anything is sent, with exit code 2."""
    result = curl(*arguments)
    assert result.exit_code == 2 and said in result.stderr


def test_a_server_that_is_not_there_is_said(curl: Curl) -> None:
    """Its own exit code, and no trace."""
    result = curl("/v1/tree", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 51 and "does not answer" in result.stderr
