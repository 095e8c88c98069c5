"""ETag, If-Match, If-None-Match: nobody overwrites what they have not seen."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from .asking import NOBODYS, remember
from .running import Running

LONG = "The spare key hangs behind the blue door. " * 60


@pytest.fixture
def client(served: Running) -> Iterator[httpx.Client]:
    """A new account's client."""
    with served.user() as client:
        yield client


def _change(client: httpx.Client, id: str, text: str, if_match: str) -> httpx.Response:
    return client.patch(f"/v1/fragments/{id}", json={"text": text}, headers={"if-match": if_match})


def test_an_update_names_the_version_it_saw(client: httpx.Client) -> None:
    """The tag of `get` and of `update` lets exactly the next change through; an old one is 412."""
    id = remember(client)["id"]
    seen = client.get(f"/v1/fragments/{id}").headers["etag"]
    changed = _change(client, id, "Second.", seen)
    assert changed.status_code == 200 and changed.headers["etag"] != seen
    refused = _change(client, id, "Lost.", seen)
    assert refused.status_code == 412 and refused.json()["title"] == "VersionConflict"
    assert _change(client, id, "Third.", changed.headers["etag"]).status_code == 200
    assert _change(client, id, "Fourth.", "*").status_code == 200
    assert client.get(f"/v1/fragments/{id}").json()["text"] == "Fourth."


def test_of_many_who_saw_the_same_one_wins(client: httpx.Client) -> None:
    """Twenty updates at once with the same tag: one is written, nineteen are told."""
    id = remember(client)["id"]
    seen = client.get(f"/v1/fragments/{id}").headers["etag"]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: _change(client, id, f"Text {n}.", seen), range(20)))
    assert sorted(each.status_code for each in answers) == [200] + [412] * 19
    winner = next(each.json() for each in answers if each.status_code == 200)
    assert client.get(f"/v1/fragments/{id}").json()["text"] == winner["text"]
    assert client.get(f"/v1/fragments/{id}").json()["version"] == 2


@pytest.mark.parametrize("tag", ["3", 'W/"1"', '"1", "2"', '"abc"', "", '"', '"1'])
def test_what_is_no_tag_of_ours_is_refused(tag: str, client: httpx.Client) -> None:
    """A precondition that cannot be understood is never taken for none."""
    id = remember(client)["id"]
    assert _change(client, id, "Second.", tag).status_code == 400
    assert client.get(f"/v1/fragments/{id}").json()["version"] == 1


def test_judging_a_reconstruction_keeps_to_the_tag(client: httpx.Client) -> None:
    """If-Match holds for `reconstruction` as for every other change."""
    id = remember(client)["id"]
    for choice in ("accept", "reject"):
        answer = client.patch(
            f"/v1/fragments/{id}", json={"reconstruction": choice}, headers={"if-match": '"7"'}
        )
        assert answer.status_code == 412


def test_a_deletion_names_the_version_it_saw(client: httpx.Client) -> None:
    """Another one is 412 and deletes nothing; the right one, or any, goes through, once."""
    path = f"/v1/fragments/{remember(client)['id']}"
    first = client.get(path).headers["etag"]
    assert client.patch(path, json={"text": "Two."}).status_code == 200
    refused = client.delete(path, headers={"if-match": first})
    assert (refused.status_code, refused.json()["title"]) == (412, "VersionConflict")
    assert client.delete(path, headers={"if-match": "no tag"}).status_code == 400
    assert client.get(path).json()["text"] == "Two."
    assert client.delete(path, headers={"if-match": '"2"'}).json() == {"deleted": 1}
    assert client.delete(path, headers={"if-match": '"2"'}).status_code == 412
    assert client.delete(path, headers={"if-match": "*"}).status_code == 412
    assert client.delete(path).status_code == 404
    other = f"/v1/fragments/{remember(client)['id']}"
    assert client.delete(other, headers={"if-match": "*"}).json() == {"deleted": 1}


def test_a_deletion_that_named_a_version_can_be_repeated(client: httpx.Client) -> None:
    """Under its Idempotency-Key it is answered again; with another tag it is another request."""
    path = f"/v1/fragments/{remember(client)['id']}"
    headers = {"idempotency-key": f"delete {path}", "if-match": '"1"'}
    answers = [client.delete(path, headers=headers) for _ in range(2)]
    assert [(each.status_code, each.json()) for each in answers] == [(200, {"deleted": 1})] * 2
    assert client.delete(path, headers={**headers, "if-match": '"2"'}).status_code == 422


def test_of_many_who_delete_what_they_saw_none_deletes_what_was_changed(client: httpx.Client) -> None:
    """An update and a deletion that saw the same version: one of the two goes through."""
    for _ in range(10):
        path = f"/v1/fragments/{remember(client)['id']}"
        tag = {"if-match": '"1"'}
        with ThreadPoolExecutor(2) as pool:
            changed = pool.submit(client.patch, path, json={"text": "Two."}, headers=tag)
            gone = pool.submit(client.delete, path, headers=tag)
        assert sorted((changed.result().status_code, gone.result().status_code)) == [200, 412]
        assert client.get(path).status_code == (200 if changed.result().is_success else 404)


def test_of_nothing_no_version_matches(client: httpx.Client) -> None:
    """If-Match on a fragment that is not there is 412, as RFC 9110 has it; without it 404."""
    assert _change(client, NOBODYS, "One.", '"1"').status_code == 412
    assert client.patch(f"/v1/fragments/{NOBODYS}", json={"text": "One."}).status_code == 404


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
def test_who_has_the_answer_gets_none(coding: str, client: httpx.Client) -> None:
    """If-None-Match with the tag, alone, among others, weak or `*`: 304 with the same tag and no body."""
    id = remember(client, LONG)["id"]
    path, packing = f"/v1/fragments/{id}", {"accept-encoding": coding}
    whole = client.get(path, headers=packing)
    tag = whole.headers["etag"]
    assert whole.headers.get("content-encoding", "identity") == coding
    for shown in (tag, f'"x", {tag}', f"W/{tag}"):
        answer = client.get(path, headers={**packing, "if-none-match": shown})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert answer.headers["vary"] == "accept-encoding"
    assert client.get(path, headers={"if-none-match": "*"}).status_code == 304
    assert client.get(path, headers={"if-none-match": '"other"'}).status_code == 200
    assert _change(client, id, "Second.", tag).status_code == 200
    assert client.get(path, headers={**packing, "if-none-match": tag}).status_code == 200


def test_other_bytes_have_another_tag(client: httpx.Client) -> None:
    """A strong tag names one sequence of bytes: packed answers have tags of their own."""
    path = f"/v1/fragments/{remember(client, LONG)['id']}"
    tags = [
        client.get(path, headers={"accept-encoding": each}).headers["etag"] for each in ("", "gzip", "zstd")
    ]
    assert len(set(tags)) == 3
