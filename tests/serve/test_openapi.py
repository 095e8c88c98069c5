"""The description of the interface is exact: every path of it is served, every answer has its shape, and
programs that were generated from it fit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from typer.testing import CliRunner

from carma.cli.app import app
from carma.client.operations import OPERATIONS, PREFIX
from carma.serve.app import description
from carma.serve.settings import ServeSettings
from carma.testing import HashEmbedder

from .asking import NAMES, ask, dream, remember
from .running import Running, running

_METHODS = {"get", "post", "patch", "delete", "put", "head", "options", "trace"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """What `carma openapi` prints."""
    found: dict[str, Any] = json.loads(CliRunner().invoke(app, ["openapi"]).stdout)
    return found


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method in _METHODS & set(item):
            yield path, method, item[method]


def test_it_describes_what_is_served(described: dict[str, Any]) -> None:
    """Its paths and methods are the routes, by their names, statuses and permissions: no more, no fewer."""
    found = {(each["operationId"], method.upper(), path) for path, method, each in _operations(described)}
    assert found == {(each.name, each.method, PREFIX + each.path) for each in OPERATIONS.values()}
    for _, _, each in _operations(described):
        operation = OPERATIONS[each["operationId"]]
        assert each["x-permission"] == operation.permission
        assert str(operation.status) in each["responses"]
        assert each["security"] == [{"attempt": []}, {"static": []}]
    assert described == json.loads(json.dumps(description()))


def test_it_says_which_headers_are_taken(described: dict[str, Any]) -> None:
    """Idempotency-Key on each operation that changes something, If-Match where a version can be named."""
    for _, _, each in _operations(described):
        name = each["operationId"]
        taken = {parameter["name"] for parameter in each.get("parameters", ()) if parameter["in"] == "header"}
        assert ("Idempotency-Key" in taken) == OPERATIONS[name].changes
        assert ("If-Match" in taken) == (name in ("update", "delete"))
        assert ("If-None-Match" in taken) == (name == "get")
        assert ("Last-Event-ID" in taken) == (name == "show_dream")
        assert "Carma-Account" in taken


def test_every_schema_is_one(described: dict[str, Any]) -> None:
    """JSON Schema 2020-12, as OpenAPI 3.1 has it; and every reference leads somewhere."""
    assert described["openapi"].startswith("3.1")
    for schema in described["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for reference in _references(described):
        place: Any = described
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _checked(described: dict[str, Any], name: str, answer: httpx.Response) -> None:
    """Raises if an answer is not what is described for its status."""
    operation = OPERATIONS[name]
    responses = described["paths"][PREFIX + operation.path][operation.method.lower()]["responses"]
    response = responses[str(answer.status_code)]
    if "$ref" in response:
        response = described["components"]["responses"][response["$ref"].rpartition("/")[2]]
    (schema,) = [
        content["schema"]
        for media, content in response["content"].items()
        if media == answer.headers["content-type"]
    ]
    whole = {**schema, "components": described["components"]}
    jsonschema_rs.Draft202012Validator(whole).validate(answer.json())
    assert set(answer.headers) >= {"x-request-id", "carma-square"}


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_has_its_shape(name: str, described: dict[str, Any], served: Running) -> None:
    """What an operation answers, and what it refuses with, is what is described for that status."""
    with served.user() as client, served.client() as nobody:
        above = remember(
            client, "The house.", metadata={"n": 1, "of": {"a": [1, None]}}, user="ada", expires=4e9
        )
        below = remember(client, "The garden.", parent=above["id"], source={"path": "a.md", "span": [0, 11]})
        client.post("/v1/search", json={"query": "garden"})
        cycle = dream(client, dry_run=True)
        more = {"json": {"query": "house", "explain": True}} if name == "search" else {}
        answers = [ask(client, name, id=below["id"], cycle=cycle, **more), ask(nobody, name)]
        if "{" in OPERATIONS[name].path:
            answers.append(ask(client, name, cycle=10**9))
        for answer in answers:
            _checked(described, name, answer)


def test_what_never_became_a_request_has_its_shape_too(described: dict[str, Any], served: Running) -> None:
    """A head over its bound is refused before there is a request; with an id all the same."""
    with served.user() as client:
        answer = client.get("/v1/fragments", params={"where": "x" * 40_000})
        assert answer.status_code == 431
        _checked(described, "list", answer)
        assert answer.json()["instance"].endswith(answer.headers["x-request-id"])


_SCHEMATHESIS = Path(sys.executable).with_name("st")
_HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
_CONFIG = """
hooks = "HOOKS"

# Rotating ends keys; so it is asked with a key of its own.
[[operations]]
include-operation-id = "rotate_key"
headers = { Authorization = "Bearer SPARE" }

# A query over its bound may be over the bound of a head too.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 415, 422, 428, 429, 431, "5xx"]

# While the memory dreams, who writes or wants another dream may be told to come again.
[[operations]]
include-operation-id = ["add", "update", "delete", "dream"]
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]

# What no schema can say: cursors come from the page before, and a filter means something. A query that only
# has a vector needs one as long as the embedder's.
[[operations]]
include-operation-id = ["list", "search", "audit"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 422]

# Nor these: an id may be taken and If-Match name another version (412); vectors are as long as the
# embedder's, a parent is not below its child, only what was rebuilt can be judged (422).
[[operations]]
include-operation-id = ["add", "update", "delete"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 422, 503]

# Earlier versions of what was deleted can be read until their bytes are gone, and the deletion is the last.
[[operations]]
include-operation-id = ["get", "history"]
checks.use_after_free.enabled = false
"""
_FREE = ServeSettings(
    port=0, dashboard=False, key_rate_per_s=1e6, key_burst=10**6, trusted_proxies=("127.0.0.1",)
)
_BEHIND = {"x-forwarded-proto": "https"}


def _run_schemathesis(folder: Path, described: dict[str, Any], phases: str, examples: int, seed: int) -> None:
    """Let schemathesis ask a real server whatever the description allows, and what it does not."""
    (folder / "openapi.json").write_text(json.dumps(described))
    with running(folder / "data", _FREE, embedder=HashEmbedder(48)) as server:
        _, key = server.join("schemathesis")
        rotating, spare = server.join("spare")
        config = _CONFIG.replace("HOOKS", str(_HOOKS)).replace("SPARE", spare)
        (folder / "schemathesis.toml").write_text(config)
        client = server.client(key, headers=_BEHIND)
        for n in range(5):
            remember(client, f"Fragment {n}.")
        done = subprocess.run(
            [
                str(_SCHEMATHESIS), "run", "openapi.json", f"--url={server.url}",
                f"--header=Authorization: Bearer {key}",
                f"--phases={phases}", f"--max-examples={examples}", f"--seed={seed}",
                "--no-color", "--continue-on-failure",
                "--warnings=off", "--suppress-health-check=all", "--output-sanitize=false",
            ],
            cwd=folder, capture_output=True, check=False, timeout=1_800,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        assert done.returncode == 0, _failures(done.stdout.decode()) + done.stderr.decode()[-2_000:]
        assert '"request-failed"' not in server.log
        assert set(client.get("/v1/usage").json()["requests"]) == {*NAMES} - {"rotate_key"}
        stored = server.household.keys.keys().values()
        assert sum(each.owner == rotating.id for each in stored) > 2, "no key was rotated"


def _failures(said: str) -> str:
    """What it says it found, without its progress."""
    return said[said.find("= FAILURES =") :][:16_000]


@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(described: dict[str, Any], tmp_path: Path) -> None:
    """Right requests are accepted, wrong ones refused and keys asked for, and every answer is as described:
    every border that the description draws, and a few drawn by lot.
    """
    _run_schemathesis(tmp_path, described, "examples,coverage,fuzzing", examples=4, seed=5)


@pytest.mark.nightly
@pytest.mark.timeout(2_400)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_schemathesis_finds_nothing_in_depth(described: dict[str, Any], tmp_path: Path, seed: int) -> None:
    """The same with many examples, and in sequences in which one answer leads to the next request."""
    _run_schemathesis(tmp_path, described, "examples,coverage,fuzzing,stateful", examples=200, seed=seed)


_CLIENT = """
import createClient from "openapi-fetch";
import type { components, paths } from "./carma.js";

type Fragment = components["schemas"]["Fragment"];

export async function main(url: string, key: string): Promise<string> {
  const memory = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });
  const added = await memory.POST("/v1/fragments", { body: { text: "From TypeScript." } });
  if (added.error) throw new Error(added.error.detail);
  const fragment = added.data.items[0]!;
  const changed = await memory.PATCH("/v1/fragments/{id}", {
    params: { path: { id: fragment.id }, header: { "If-Match": `"${fragment.version}"` } },
    body: { text: "Changed from TypeScript." },
  });
  const found = await memory.POST("/v1/search", { body: { query: "TypeScript", limit: 3 } });
  const first = found.data?.hits[0];
  if (!first || first.id !== changed.data?.id) throw new Error("it was not found");
  const state: Fragment["state"] = first.state;
  // @ts-expect-error: there is no such operation
  await memory.GET("/v1/nothing");
  // @ts-expect-error: a text is no number
  await memory.POST("/v1/fragments", { body: { text: 5 } });
  const gone = await memory.DELETE("/v1/fragments/{id}", { params: { path: { id: fragment.id } } });
  return `${state} ${gone.data?.deleted}`;
}

main(process.argv[2]!, process.argv[3]!).then((said) => console.log(said));
"""


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")
def test_a_generated_typescript_client_fits(described: dict[str, Any], tmp_path: Path) -> None:
    """Types made by openapi-typescript check, a program that uses them compiles under `strict`, wrong uses do
    not, and it runs against the server. Needs the network, for npm.
    """
    (tmp_path / "openapi.json").write_text(json.dumps(described))
    (tmp_path / "client.ts").write_text(_CLIENT)
    (tmp_path / "package.json").write_text('{"name": "fits", "private": true, "type": "module"}')
    packages = ["openapi-typescript@7", "openapi-fetch@0.17", "typescript@5", "@types/node@22"]

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=600)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()[-4_000:]
        return done.stdout.decode()

    run("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *packages)
    modules = tmp_path / "node_modules" / ".bin"
    run(str(modules / "openapi-typescript"), "openapi.json", "-o", "carma.ts", "--default-non-nullable=false")
    run(
        str(modules / "tsc"), "--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes",
        "--module", "nodenext", "--target", "es2022", "--types", "node", "--outDir", "out", "client.ts",
    )  # fmt: skip
    with running(tmp_path / "data") as server:
        _, key = server.join("typescript")
        assert run("node", "out/client.js", server.url, key).strip() == "intact 1"
