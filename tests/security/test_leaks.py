"""No secret, no text and no stack trace leaves by a door that is not for it."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from carma.access.keys.text import SECRET
from carma.cli.app import app
from carma.memory.memory import Memory
from tests.security.conftest import World
from tests.serve.running import SignedAuth

TEXT = "The Zanzibarian quartermaster whispered xylophonic passphrases."


def _keys(world: World) -> dict[str, str]:
    server = world.server
    return {"static": server.key(world.ada), "root": server.key(world.ada, static=False)}


def _misuse(world: World, key: str) -> list[httpx.Response]:
    """Requests that carry a key in every place where it should not be, or in the wrong way."""
    client = world.server.client()
    cut, other = key[:-1], key[:-1] + ("a" if key[-1] != "a" else "b")
    sent = [
        client.get("/v1/fragments", headers={"authorization": value})
        for value in (
            key,
            f"Carma {key}",
            f"Bearer {cut}",
            f"Bearer {other}",
            f"Basic {key}",
            f"Bearer {key} {key}",
        )
    ]
    headers = {
        "carma-account": key, "user-agent": key, "carma-nonce": key, "idempotency-key": key,
        "cookie": f"k={key}", "referer": f"http://x/?key={key}", "traceparent": key, "x-forwarded-for": key,
        "content-digest": key, "x-request-id": key[:64],
    }  # fmt: skip
    sent += [client.get("/v1/fragments", headers={name: value}) for name, value in headers.items()]
    paths = (f"/v1/{key}", f"/{key}", f"/v1/fragments?key={key}", f"/v1/fragments/{key}")
    sent += [client.get(path) for path in paths]
    good = world.server.client(world.server.key(world.ada))
    sent += [
        good.get(f"/v1/fragments/{key}"), good.get("/v1/fragments", params={"where": key}),
        good.get("/v1/fragments", params={key: "1"}), good.post("/v1/search", json={key: 1}),
        good.post("/v1/search", content=key),
        good.post("/v1/fragments", json={"items": [{"text": 1, key: key}]}),
        good.get("/v1/fragments", params={"cursor": key}), good.request(key[:20], "/v1/fragments"),
    ]  # fmt: skip
    return sent


@pytest.mark.parametrize("kind", ["static", "root"])
def test_no_answer_log_metric_or_file_holds_a_key(world: World, kind: str) -> None:
    """After a key was sent in every wrong way, the expression for scanners finds it nowhere on the server."""
    key = _keys(world)[kind]
    assert re.search(SECRET, key)
    for answer in _misuse(world, key):
        assert 400 <= answer.status_code < 500, answer.text
        # What a caller's own request is told may name what they sent; never the secret part of a key.
        assert key[-49:-6] not in answer.text and not re.search(SECRET, str(answer.headers)), answer.text
    world.server.server.services.audit.copy()
    everything = {path: path.read_bytes() for path in world.server.data.rglob("*") if path.is_file()}
    for name, data in {**everything, "log": world.server.log.encode()}.items():
        assert key[-49:-6].encode() not in data, name
        assert not re.search(SECRET.encode(), data), name
    metrics = world.server.client().get("/metrics")
    assert metrics.is_success and key[-49:-6] not in metrics.text


def test_a_signed_client_sends_its_secret_nowhere(world: World) -> None:
    """Of a root key's secret nothing is in any byte that the server was sent or keeps."""
    key = _keys(world)["root"]
    client = world.server.client(auth=SignedAuth(key))
    seen: list[str] = []
    client.event_hooks["request"] = [lambda request: seen.append(str(request.url) + str(request.headers.raw))]
    assert client.get("/v1/fragments").is_success
    assert client.post("/v1/fragments", json={"items": [{"text": TEXT}]}).is_success
    assert len(seen) >= 3 and not any(key[-49:-6] in each for each in seen)


def test_no_stack_trace_leaves_the_process(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that nobody foresaw is a problem of RFC 9457; the log names kind and place, no message."""

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError(f"while reading {TEXT}")

    for verb in ("tree", "search", "get", "add_many", "history"):
        monkeypatch.setattr(Memory, verb, fail)
    client = world.server.client(world.server.key(world.ada))
    id = world.id
    asked = [
        ("GET", "/v1/tree", None), ("POST", "/v1/search", {"query": "boat"}),
        ("GET", f"/v1/fragments/{id}", None),
        ("POST", "/v1/fragments", {"items": [{"text": "x"}]}), ("GET", f"/v1/fragments/{id}/history", None),
    ]  # fmt: skip
    failed = 0
    for method, path, body in asked:
        answer = client.request(method, path, json=body)
        if answer.status_code == 500:
            failed += 1
            assert answer.json()["type"] == "urn:carma:error:internal"
        for word in ("Traceback", "RuntimeError", "Zanzibarian", ".py", 'File "'):
            assert word not in answer.text
    assert failed >= 4
    log = world.server.log
    assert "RuntimeError" in log and "Traceback" not in log and "Zanzibarian" not in log


def test_the_command_line_repeats_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever argument a key was mistaken for: neither output nor error shows its secret."""
    monkeypatch.setenv("CARMA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CARMA_KEK_FILE", str(tmp_path / "kek"))
    monkeypatch.setenv("CARMA_STORE", str(tmp_path / "memory"))
    runner = CliRunner()
    made = runner.invoke(app, ["keys", "create", "--user", "ada", "--permissions", "rw"])
    key = re.search(SECRET, made.stdout)
    assert key is not None
    secret = key[0]
    assert runner.invoke(app, ["add", "text"]).exit_code == 0
    for arguments in (
        ["get", secret], ["list", "--where", secret], ["list", "--cursor", secret],
        ["add", "x", "--id", secret], ["add", "x", "--metadata", secret], ["search", "x", "--under", secret],
        ["keys", "show", secret], ["keys", "revoke", secret], ["keys", "rotate", secret], ["keys", secret],
        ["keys", "check", secret], ["keys", "create", "--user", "ada", "--permissions", secret],
        ["audit", "prove", secret], ["vault", "shred", secret, "--yes"], ["users", "remove", secret],
        [secret], ["get", secret, "--json"], ["keys", "check", secret, "--json"], ["import", secret],
        ["list", "--store", secret], ["compliance", "verify", secret],
        ["compliance", "export", str(tmp_path / "x"), "--owner", secret],
    ):  # fmt: skip
        ran = runner.invoke(app, arguments)
        said = ran.stdout + ran.stderr
        assert secret[-49:-6] not in said, (arguments[0], said.replace(secret, "KEY"))
        assert "Traceback" not in said
