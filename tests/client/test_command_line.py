"""`carma … --url`: every operation has its words, and they print what they print of a folder."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from carma import Memory
from carma.access.keys.text import SECRET
from carma.access.sealed import PRIVATE_BYTES, SealingKey
from carma.cli.app import app
from carma.client.operations import OPERATIONS
from carma.testing import HashEmbedder
from tests.serve.running import ALL, Running, running

PROGRAM: Any = typer.main.get_command(app)
ONE, TWO, TOP = (f"{number:032x}" for number in (1, 2, 3))

WORDS: dict[str, list[list[str]]] = {
    "add": [["add", "A new text.", "--kind", "fact"], ["add", "--many", "-"]],
    "list": [["list", "--limit", "2"], ["list", "--parent", TOP, "--where", "stars=5"]],
    "get": [["get", ONE, TWO], ["get", ONE, "--version", "1"]],
    "update": [["update", ONE, "Green tea.", "--if-version", "1", "--metadata", "a=1"]],
    "delete": [["delete", TWO, "--purge"], ["delete", TOP, "--children"]],
    "history": [["history", ONE]],
    "tree": [["tree"], ["tree", TOP, "--depth", "1"]],
    "search": [["search", "tea", "--explain", "--where", "stars=5"], ["search", "tea", "--mode", "words"]],
    "scan": [["scan"], ["scan", "--deep"]],
    "dream": [["dream", "--budget", "5"]],
    "dreams": [["dreams", "--steps"]],
    "show_dream": [["dreams", "1"]],
    "blanks": [["blanks", "--reconstructed"]],
    "topology": [["topology", "--out", "drawn.json", "--no-threads"]],
}
"""Operations that a memory of this machine has too, as they are typed; in the order in which they are run."""
ONLY_REMOTE = {
    "rotate_key": ["keys", "rotate"],
    "usage": ["stats"],
    "audit": ["audit", "tail", "-n", "5"],
}
PASSING = {"created", "updated", "seq", "position", "digest", "took_ms"}
"""Not the same twice: moments, numbers of writes (and places by them), digests (a seat's are keyed)."""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Carma = Callable[..., Ran]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server") / "data", embedder=HashEmbedder()) as found:
        yield found


@pytest.fixture
def carma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Carma:
    """Runs a command with an empty home, in an empty folder."""
    for name in ("CARMA_KEY", "CARMA_KEY_FILE", "CARMA_URL", "CARMA_STORE", "CARMA_DATA", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str | None = None) -> Ran:
        # The runner's own `invoke` would make the whole program anew each time.
        with CliRunner().isolation(input=stdin) as (out, err, _):
            code = PROGRAM.main(list(arguments), standalone_mode=False)
            ran = Ran(code, out.getvalue().decode(), err.getvalue().decode())
        assert not re.search(SECRET, ran.err) and "Traceback" not in ran.err
        return ran

    return run


@pytest.fixture
def key_file(server: Running, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The root key of a new account, in its file."""
    account, _ = server.join(request.node.name)
    path = tmp_path / "key"
    path.write_text(server.key(account, ALL, static=False))
    path.chmod(0o600)
    return path


def fill(carma: Carma, where: tuple[str, ...]) -> None:
    items: list[dict[str, Any]] = [
        {"text": "Teas", "id": TOP, "kind": "folder"},
        {"text": "Tea is warm.", "id": ONE, "parent": TOP, "metadata": {"stars": 5}},
        {"text": "Tea is cold.", "id": TWO, "parent": TOP, "metadata": {"stars": 2}},
    ]
    done = carma("add", "--many", "-", *where, stdin="\n".join(map(json.dumps, items)))
    assert done.code == 0, done.err


def lasting(value: Any) -> Any:
    """A JSON value without what passes; ids that were made are told apart by their length only."""
    if isinstance(value, dict):
        return {name: lasting(each) for name, each in value.items() if name not in PASSING}
    if isinstance(value, list):
        return [lasting(each) for each in value]
    if isinstance(value, str) and len(value) == 32 and value not in (ONE, TWO, TOP):
        return "id"
    return round(value, 6) if isinstance(value, float) else value


def test_every_operation_has_its_words() -> None:
    """The 17 of the interface."""
    assert WORDS.keys() | ONLY_REMOTE.keys() == OPERATIONS.keys()


def test_a_server_is_asked_as_a_folder_is(carma: Carma, server: Running, key_file: Path) -> None:
    """The same words print the same JSON, the same lines and the same exit code."""
    with Memory.open("here", embedder=HashEmbedder()):
        pass
    places = ("--store", "here"), ("--url", server.url, "--key-file", str(key_file))
    for place in places:
        fill(carma, place)
    many = '"one"\n{"text": "two", "user": "ann"}'
    order = [name for name in WORDS if name != "delete"] + ["delete"]
    for words in (each for name in order for each in WORDS[name]):
        stdin = many if "-" in words else None
        here, there = (carma(*words, *place, "--json", stdin=stdin) for place in places)
        assert here.code == there.code == 0, (words, here.err, there.err)
        one, other = (lasting(json.loads(ran.out)) for ran in (here, there))
        if words[0] in ("scan", "dream", "dreams"):  # How many files there are is their own affair.
            assert one.keys() == other.keys() and one.get("status") == other.get("status"), words
        else:
            assert one == other, words
    one, other = (re.sub(r"\b[0-9a-f]{32}\b", "", carma("list", *place).out) for place in places)
    assert one == other and one.count("\n") > 2


def test_ingest_and_reconstructions_over_a_server(carma: Carma, server: Running, key_file: Path) -> None:
    """Files are cut here; a choice about what is not reconstructed is refused there."""
    where = ("--url", server.url, "--key-file", str(key_file), "--json")
    Path("tea.md").write_text("# Tea\n\nGreen tea.\n")
    report = json.loads(carma("ingest", "tea.md", *where).out)
    assert report["added"] == 3 and json.loads(carma("ingest", "tea.md", *where).out)["unchanged"] == 1
    (hit,) = json.loads(carma("search", "green tea", "-n", "1", *where).out)["hits"]
    for choice in ("--accept", "--reject"):
        refused = carma("update", hit["id"], choice, *where)
        assert refused.code == 2 and "no reconstruction" in json.loads(refused.err)["detail"]
    assert carma("update", hit["id"], "x", "--accept", *where).code == 2


def test_what_only_a_server_has(
    carma: Carma, server: Running, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usage, one's own audit entries, and a new key, which is written to its file and shown nowhere."""
    monkeypatch.setenv("CARMA_URL", server.url)
    monkeypatch.setenv("CARMA_KEY_FILE", str(key_file))
    assert carma("add", "tea").code == 0
    usage = json.loads(carma(*ONLY_REMOTE["usage"], "--json").out)
    assert usage["memory"]["fragments"] == 1 and usage["limits"]["items"] == 1_000
    assert "memory.fragments\t1" in carma("stats").out
    entries = json.loads(carma(*ONLY_REMOTE["audit"], "--json").out)["items"]
    assert entries and [each["number"] for each in entries] == sorted(each["number"] for each in entries)
    assert carma("audit", "tail", "--owner", "ann").code == 2
    before = key_file.read_text()
    done = carma(*ONLY_REMOTE["rotate_key"], "--grace", "1", "--json")
    assert done.code == 0 and json.loads(done.out)["old_works_until"]
    after = key_file.read_text().strip()
    assert after != before and not re.search(SECRET, done.out) and key_file.stat().st_mode & 0o777 == 0o600
    assert carma("list").out.count("tea") == 1
    assert carma("keys", "rotate", "abcdefgh", "--url", server.url).code == 2
    monkeypatch.delenv("CARMA_KEY_FILE")
    monkeypatch.setenv("CARMA_KEY", after)
    refused = carma("keys", "rotate")
    assert refused.code == 2 and "--key-file" in refused.err and carma("list").code == 0


def test_what_is_local_says_so(
    carma: Carma, server: Running, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With CARMA_URL set, verbs that no server has exit with 50 and a hint, and touch no folder here."""
    monkeypatch.setenv("CARMA_URL", server.url)
    monkeypatch.setenv("CARMA_KEY_FILE", str(key_file))
    for words in (
        ["export", "out.jsonl"], ["snapshot", "copy"], ["reembed", "hash"], ["doctor"], ["flush"],
        ["repair-index"], ["scan", "--clear-breaker"], ["dream", "--source", "."],
    ):  # fmt: skip
        ran = carma(*words, "--json")
        problem = json.loads(ran.err)
        assert (ran.code, problem["title"], ran.out) == (50, "NotRemote", ""), words
        assert problem["hint"]
    Path("in.jsonl").write_text("")
    assert carma("import", "in.jsonl").code == 50
    monkeypatch.delenv("CARMA_KEY_FILE")
    assert carma("export", "out.jsonl").code == 50, "it asked for a key first"
    assert not Path("copy").exists() and not Path("out.jsonl").exists() and not Path(".carma").exists()


def _commands(group: Any, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield from _commands(command, *path, name) if hasattr(command, "commands") else [(*path, name)]


@pytest.mark.parametrize("words", [*_commands(PROGRAM)], ids=" ".join)
def test_every_verb_takes_an_address_or_refuses_it(carma: Carma, words: tuple[str, ...]) -> None:
    """What no server has is told by a code of its own, before a key or anything else is asked for."""
    for url in (["--url", "http://127.0.0.1:9"], ["--url=http://127.0.0.1:9"]):
        ran = carma(*words, *url, "--json")
        problem = json.loads(ran.err) if ran.err.startswith("{") else {}
        takes = "--url" in carma(*words, "--help").out
        assert takes != (problem.get("title") == "NotRemote" and ran.code == 50 and bool(problem["hint"]))
        assert takes or ran.out == ""


def test_a_server_key_is_taken_from_its_file(carma: Carma, server: Running, key_file: Path) -> None:
    """`--server-key-file` seals what is sent; `users add` prints what goes into it."""
    wrong = SealingKey(secrets.token_bytes(PRIVATE_BYTES)).public.text
    Path("right").write_text(server.household.sealing.public.text)
    Path("wrong").write_text(wrong)
    where = ("--url", server.url, "--key-file", str(key_file), "--server-key-file")
    assert carma("add", "tea", *where, "right").code == 0
    assert carma("search", "tea", *where, "right").out.count("tea") == 1
    assert "seal" in carma("search", "tea", *where, "wrong").err
    assert carma("search", "tea", *where, "missing").code == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["list", "--url", "http://127.0.0.1:9", "--store", "x"], 2, "two memories"),
        (["list", "--url", "http://memory.example"], 2, "not encrypted"),
        (["--url", "http://127.0.0.1:9", "list"], 2, "no key"),
        (["list", "--url", "http://127.0.0.1:9", "--vault"], 2, "encrypts its seats itself"),
        (["keys", "rotate"], 2, "Which key?"),
        (["list", "--url", "http://127.0.0.1:9", "--key-file", "missing"], 2, "cannot be read"),
    ],
)
def test_mistakes_are_told_in_a_line(carma: Carma, words: list[str], code: int, said: str) -> None:
    """Before anything is sent, with a hint."""
    ran = carma(*words)
    assert (ran.code, ran.out) == (code, "") and said in ran.err and ran.err.count("\n") == 2


def test_a_server_that_is_not_there_and_one_that_refuses(
    carma: Carma, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit codes of their own: 51 where nobody answers, 22 for a wrong key, 23 without the permission."""
    account, key = server.join("refused")
    monkeypatch.setenv("CARMA_KEY", key)
    assert carma("list", "--url", "http://127.0.0.1:9").code == 51
    monkeypatch.setenv("CARMA_KEY", server.key(account, "r"))
    refused = carma("add", "tea", "--url", server.url, "--json")
    assert json.loads(refused.err)["title"] == "Forbidden" and refused.code == 23
    server.household.keys.revoke(key.split("_")[2])
    monkeypatch.setenv("CARMA_KEY", key)
    assert carma("list", "--url", server.url).code in range(20, 30)
