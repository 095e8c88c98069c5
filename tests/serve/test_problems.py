"""Problem details: every refusal has one shape, names its request, and tells nothing it should not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from carma import errors
from carma.access.keys.text import SECRET
from carma.errors import CarmaError
from carma.serve.problems import answer_of
from carma.serve.routes.describe import ERRORS
from carma.serve.shapes import Problem

from .asking import NAMES, NOBODYS, ask, remember
from .running import Running

_PROBLEM = TypeAdapter(Problem)
_KINDS = sorted({getattr(errors, name) for name in errors.__all__}, key=lambda each: each.__name__)
_TEXT = "PLUGH-4711 is a text that no error may quote."


@pytest.fixture(scope="module")
def client(served: Running) -> Iterator[httpx.Client]:
    """A new account's client."""
    with served.user() as client:
        yield client


def _checked(answer: httpx.Response) -> dict[str, object]:
    """The problem, after a look at everything that all problems have."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    value: dict[str, object] = answer.json()
    _PROBLEM.validate_python(value, strict=False)
    assert value["status"] == answer.status_code
    assert value["instance"] == f"urn:carma:request:{answer.headers['x-request-id']}"
    assert str(value["type"]).startswith("urn:carma:error:") and value["hint"]
    assert "Traceback" not in answer.text and ".py" not in answer.text
    assert not re.search(SECRET, answer.text)
    return value


_REFUSED = [
    ("not json", {"content": b"{"}, 400),
    ("bad utf-8", {"content": b'{"text": "\xff"}'}, 400),
    ("no object", {"content": b"[]"}, 422),
    ("a number", {"content": b"1"}, 422),
    ("nothing", {"content": b""}, 400),
    ("no text", {"json": {}}, 422),
    ("another type", {"json": {"text": 5}}, 422),
    ("an unknown name", {"json": {"text": "x", "txet": 1}}, 422),
    ("an id that is none", {"json": {"text": "x", "id": "7"}}, 422),
    ("not a number", {"content": b'{"text": "x", "position": NaN}'}, 422),
    ("a secret infinity", {"content": b'{"text": "x", "metadata": {"a": [-Infinity]}}'}, 422),
    ("a number too large", {"content": b'{"text": "x", "position": 1e999}'}, 422),
    ("no fragments", {"json": {"items": []}}, 422),
    ("another media type", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
    ("another query", {"json": {"text": "x"}, "params": {"really": "1"}}, 422),
    ("nested", {"content": b'{"metadata":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001}, None),
]  # fmt: skip


@pytest.mark.parametrize(("what", "request_", "status"), _REFUSED, ids=[each[0] for each in _REFUSED])
def test_what_is_wrong_is_said(
    what: str, request_: dict[str, object], status: int | None, client: httpx.Client
) -> None:
    """Each malformed body is a problem that says where it is wrong, and stores nothing."""
    given: dict[str, Any] = dict(request_)
    headers = {"content-type": "application/json", **given.pop("headers", {})}
    answer = client.post("/v1/fragments", headers=headers, **given)
    assert answer.status_code in ((status,) if status else (400, 422)), answer.text
    value = _checked(answer)
    if answer.status_code == 422:
        assert value["title"] == "InvalidInput"
        assert "errors" in value or "metadata" in str(value["detail"])
    assert client.get("/v1/fragments").json()["items"] == []


def test_where_it_is_wrong_is_named_as_the_asker_wrote_it(client: httpx.Client) -> None:
    """`errors` names places in the body, the query and the path, and no names of our own."""
    many = client.post("/v1/fragments", json={"items": [{"text": "x"}, {"text": ""}]})
    assert many.json()["errors"][0]["where"] == "items.1.text"
    one = client.post("/v1/fragments", json={"text": "x", "vector": []})
    assert one.json()["errors"][0]["where"] == "vector"
    change = client.patch(f"/v1/fragments/{NOBODYS}", json={"expires": "soon"})
    assert change.json()["errors"][0]["where"] == "expires"
    query = client.get("/v1/fragments", params={"limit": "many"})
    assert query.json()["errors"][0]["where"] == "limit"
    path = client.get("/v1/fragments/7")
    assert path.json()["errors"][0]["where"] == "id"


def test_no_error_quotes_what_was_sent(client: httpx.Client) -> None:
    """The value that was wrong is not in the answer, nor in the log: it may be a secret or a text."""
    bodies = ({"text": {"x": _TEXT}}, {"text": "x", "parent": _TEXT}, {"text": "x", "expires": _TEXT})
    for body in bodies:
        answer = client.post("/v1/fragments", json=body)
        assert answer.status_code == 422 and "PLUGH" not in answer.text
    assert "PLUGH" not in client.get("/v1/fragments", params={"limit": _TEXT}).text


def test_the_log_holds_no_text_and_no_key(served: Running) -> None:
    """Of a request the log has its id, its operation and its status; not what was in it."""
    with served.user("Grace Plugh-4711") as client:
        fragment = remember(client, _TEXT, metadata={"secret": _TEXT})
        client.post("/v1/search", json={"query": _TEXT})
        client.get("/v1/fragments", params={"where": json.dumps({"secret": _TEXT})})
        found = client.get(f"/v1/fragments/{fragment['id']}", headers={"x-request-id": "my-request-1"})
    assert found.headers["x-request-id"] == "my-request-1"
    mine = served.line(request_id="my-request-1")
    assert (mine["operation"], mine["status"], mine["method"]) == ("get", 200, "GET")
    assert "PLUGH" not in served.log.upper() and fragment["id"] not in served.log
    assert not re.search(SECRET, served.log)


@pytest.mark.parametrize("given", ["short", "x" * 65, "with space", "ümläut-request", "a/b/c/d/e", ""])
def test_an_odd_request_id_is_replaced(given: str, client: httpx.Client) -> None:
    """8 to 64 letters, digits, dots, dashes; anything else gets an id of ours."""
    answer = client.get("/v1/usage", headers={"x-request-id": given.encode()})
    assert answer.status_code == 200 and re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


@pytest.mark.parametrize("kind", _KINDS, ids=[each.__name__ for each in _KINDS])
def test_every_error_of_the_tree_can_be_told(kind: type[CarmaError]) -> None:
    """It becomes a problem with its own status; where the server failed by itself, without its details."""
    answer = answer_of(kind("Detail 4711."), "0123456789abcdef")
    value = json.loads(bytes(answer.body))
    _PROBLEM.validate_python(value)
    assert value["status"] == answer.status_code == kind.status
    assert ("4711" in value["detail"]) == (kind.status < 500)


def test_every_status_that_an_error_has_is_described() -> None:
    """What an operation may answer stands in OpenAPI, but for what is refused before one is known."""
    before = {405, 501, 504}
    assert {kind.status for kind in _KINDS} - before <= set(ERRORS)


def test_what_must_not_stand_twice_is_refused(client: httpx.Client) -> None:
    """Two of a header that decides something: two readers could each believe another one."""
    key = client.headers["authorization"]
    for name, value in (("authorization", key), ("if-match", '"1"'), ("idempotency-key", "a")):
        headers = [("authorization", key), (name, value), (name, value)]
        with httpx.Client(base_url=client.base_url) as bare:
            answer = bare.get("/v1/tree", headers=headers)
        assert answer.status_code == 400 and name in answer.json()["detail"]


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*"])
def test_who_takes_no_json_is_told(accept: str, client: httpx.Client) -> None:
    """406 where another form is asked for, before anything is done."""
    for name in NAMES:
        answer = ask(client, name, headers={"accept": accept})
        assert answer.status_code == 406, name
    fragment = remember(client)
    for taken in ("application/json", "*/*", "application/*", "text/html, application/json;q=0.1"):
        assert ask(client, "get", id=fragment["id"], headers={"accept": taken}).status_code == 200
