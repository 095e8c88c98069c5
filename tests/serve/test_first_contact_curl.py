"""`carma curl`: one signed request from the command line, and its answer as it came."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from carma.cli.app import app
from carma.errors import Forbidden, FragmentNotFound, InvalidInput, ServerUnreachable, VersionConflict

from .asking import remember
from .running import Running


class Curl:
    """Runs it with a root key in a file."""

    def __init__(self, served: Running, home: Path, permissions: str = "rwha") -> None:
        self.account = served.join(f"curl {permissions}")[0]
        self.key_file = home / f"key-{permissions}"
        self.key_file.write_text(served.key(self.account, permissions, static=False) + "\n")
        self.key_file.chmod(0o600)
        self.url = served.url

    def __call__(self, *arguments: str, url: str | None = None, given: bytes = b"") -> Result:
        environ = {"CARMA_URL": url or self.url, "CARMA_KEY": None, "CARMA_KEY_FILE": str(self.key_file)}
        return CliRunner().invoke(app, ["curl", *arguments], input=given, env=environ)


@pytest.fixture(scope="module")
def curl(served: Running, tmp_path_factory: pytest.TempPathFactory) -> Curl:
    return Curl(served, tmp_path_factory.mktemp("curl"))


def test_it_signs_what_it_sends(curl: Curl, served: Running, tmp_path: Path) -> None:
    """A body from the line, a file or a pipe; the answer is printed, with its headers if asked for."""
    (tmp_path / "body").write_text('{"text": "From a file."}')
    bodies = (
        ('{"text": "From the line."}', b""), (f"@{tmp_path / 'body'}", b""), ("-", b'{"text": "Piped."}'),
    )  # fmt: skip
    for body, given in bodies:
        done = curl("/v1/fragments", "-d", body, given=given)
        assert done.exit_code == 0, done.stderr
    id = json.loads(done.stdout)["items"][0]["id"]
    changed = curl(f"/v1/fragments/{id}", "-X", "PATCH", "-H", 'If-Match: "1"', "-d", '{"text": "x"}', "-i")
    head, _, body = changed.stdout.partition("\n\n")
    assert head.startswith("HTTP/1.1 200") and 'etag: "2"' in head and json.loads(body)["text"] == "x"
    with served.client(served.key(curl.account)) as client:
        assert len(client.get("/v1/fragments").json()["items"]) == 3


def test_it_follows_a_stream(curl: Curl, served: Running) -> None:
    """Events are printed while they come."""
    with served.client(served.key(curl.account)) as client:
        remember(client)
        cycle = client.post("/v1/dreams", json={}).json()["cycle"]
    done = curl(f"/v1/dreams/{cycle}", "-H", "Accept: text/event-stream")
    assert done.exit_code == 0 and "event: report\n" in done.stdout


def test_its_exit_code_is_that_of_the_problem(curl: Curl, served: Running, tmp_path: Path) -> None:
    """The problem is printed, and the code is the one that every verb has for it."""
    missing = curl(f"/v1/fragments/{'0' * 32}")
    assert missing.exit_code == FragmentNotFound.exit_code
    assert json.loads(missing.stdout)["title"] == "FragmentNotFound"
    conflict = curl(f"/v1/fragments/{'0' * 32}", "-X", "PATCH", "-H", 'If-Match: "1"', "-d", '{"text": "x"}')
    assert conflict.exit_code == VersionConflict.exit_code
    reader = Curl(served, tmp_path, "r")
    assert reader("/v1/fragments", "-d", '{"text": "x"}').exit_code == Forbidden.exit_code
    unreachable = curl("/v1/tree", url="http://127.0.0.1:1")
    assert unreachable.exit_code == ServerUnreachable.exit_code
    assert "Traceback" not in unreachable.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["v1/tree"], ["/v1/tree", "-H", "nonsense"], ["/v1/tree", "-H", "Authorization: Bearer x"],
        ["/v1/tree", "-d", "@/nowhere"], ["/v1/tree", "-H", "X: é"], ["/v1/tree", "--url", "http://example.org"],
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_sent_is_not(arguments: list[str], curl: Curl) -> None:
    """Wrong usage is said, with its exit code, and nothing goes out."""
    done = curl(*arguments)
    assert done.exit_code == InvalidInput.exit_code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
