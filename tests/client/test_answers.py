"""From answers back to types and errors, and from arguments to bodies."""

from __future__ import annotations

import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma import errors
from carma.client.bodies import as_id, batches, body_of, item_of, query_of
from carma.client.events import EventReader
from carma.client.problems import error_of
from carma.client.settings import ClientSettings
from carma.client.wire import read, read_result, result_dict
from carma.errors import CarmaError, InvalidAnswer, InvalidInput, RemoteProblem, ServerUnreachable
from carma.models import Blank, Fragment, Hit, HitParts, Node, Page, Repair, SearchResult, Source
from carma.reports import DreamReport, Finding, FindingKind, ScanReport, Spot, Step, Thread, Topology

from .conftest import World
from .network import pieces

TEXTS = st.text(max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2**40)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
METADATA = st.dictionaries(TEXTS, JSONS, max_size=3)
NAMES = st.lists(TEXTS, max_size=2).map(tuple)
SOURCES = st.builds(Source, path=TEXTS, span=st.none() | st.tuples(COUNTS, COUNTS), line=st.none() | COUNTS)
BLANKS = st.builds(Blank, reason=TEXTS, children=NAMES, priority=NUMBERS)
REPAIRS = st.builds(Repair, rung=TEXTS, confidence=st.none() | NUMBERS, sources=NAMES)
FRAGMENTS = st.builds(
    Fragment, id=TEXTS, text=TEXTS, version=COUNTS, metadata=METADATA, user=st.none() | TEXTS,
    state=st.sampled_from(["intact", "repaired", "reconstructed", "blank"]), position=NUMBERS,
    created=NUMBERS, expires=st.none() | NUMBERS, deleted=st.booleans(), source=st.none() | SOURCES,
    blank=st.none() | BLANKS, repair=st.none() | REPAIRS,
)  # fmt: skip
NODES = st.recursive(
    st.builds(Node, fragment=st.none() | FRAGMENTS, more=COUNTS),
    lambda inner: st.builds(Node, fragment=FRAGMENTS, children=st.lists(inner, max_size=2).map(tuple)),
    max_leaves=3,
)
FINDINGS = st.builds(
    Finding, kind=st.sampled_from(get_args(FindingKind)), path=TEXTS, offset=st.none() | COUNTS
)
SCANS = st.builds(
    ScanReport, deep=st.booleans(), files=COUNTS, records=COUNTS, bytes=COUNTS, damaged=COUNTS, lost=COUNTS,
    unnamed=COUNTS, findings=st.lists(FINDINGS, max_size=2).map(tuple), took_s=NUMBERS,
)  # fmt: skip
STEPS = st.builds(Step, cycle=COUNTS, target=TEXTS, name=TEXTS, rung=TEXTS, before=TEXTS, after=TEXTS)
DREAMS = st.builds(
    DreamReport, cycle=COUNTS, status=st.sampled_from(["completed", "failed"]),
    rungs=st.dictionaries(TEXTS, COUNTS, max_size=2), score=st.none() | NUMBERS,
    steps=st.lists(STEPS, max_size=2).map(tuple),
)  # fmt: skip
SPOTS = st.builds(Spot, id=TEXTS, label=TEXTS, kind=TEXTS, state=st.just("blank"), level=COUNTS)
THREADS = st.builds(Thread, first=TEXTS, second=TEXTS, weight=NUMBERS)
TOPOLOGIES = st.builds(
    Topology, spots=st.lists(SPOTS, max_size=2).map(tuple), threads=st.lists(THREADS, max_size=2).map(tuple)
)
PAGES = st.builds(Page, items=st.lists(FRAGMENTS, max_size=2).map(tuple), cursor=st.none() | TEXTS)
PARTS = st.none() | st.builds(HitParts, vector=st.none() | NUMBERS, words=st.none() | NUMBERS)
HITS = st.lists(st.builds(Hit, fragment=FRAGMENTS, score=NUMBERS, parts=PARTS), max_size=2).map(tuple)
MOMENTS = st.integers(0, 9).map(float)
RESULTS = st.builds(SearchResult, hits=HITS, reasons=NAMES, degraded=st.booleans(), took_ms=MOMENTS)


def travelled(value: Any) -> Any:
    """As JSON, there and back."""
    return json.loads(json.dumps(value))


@settings(max_examples=40)
@given(st.one_of(FRAGMENTS, NODES, SCANS, DREAMS, TOPOLOGIES, PAGES))
def test_every_type_comes_back_as_it_was(value: Any) -> None:
    """What `to_dict` gives, through JSON, reads back to an equal value of the same type."""
    assert read(type(value), travelled(value.to_dict())) == value


@settings(max_examples=40)
@given(RESULTS)
def test_a_search_comes_back_whole(result: SearchResult) -> None:
    """Hits with all of their fragments, scores and parts."""
    assert read_result(travelled(result_dict(result))) == result


WRONG = {
    "text": 5, "metadata": [], "version": "1", "state": "fine", "source": "x", "deleted": 1, "position": True
}  # fmt: skip


@settings(max_examples=40)
@given(FRAGMENTS, st.sampled_from(sorted(WRONG)))
def test_a_member_of_the_wrong_type_is_named(fragment: Fragment, name: str) -> None:
    """What is not what it should be never becomes a value; the error says where."""
    value = travelled(fragment.to_dict()) | {name: WRONG[name]}
    with pytest.raises(InvalidAnswer, match=name):
        read(Fragment, value)


def test_what_is_not_known_is_passed_over() -> None:
    """A newer server may say more; what it must say is asked for."""
    assert read(Fragment, {"id": "a", "text": "b", "new": 1}) == Fragment(id="a", text="b")
    wrong: Any
    for wrong in ({"text": "b"}, [], None, "x"):
        with pytest.raises(InvalidAnswer):
            read(Fragment, wrong)
    for wrong in ({}, {"hits": {}}, {"hits": [1]}, {"hits": [{"id": "a", "text": "b"}]}, []):
        with pytest.raises(InvalidAnswer):
            read_result(wrong)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_of_the_tree_comes_back_typed(name: str) -> None:
    """The problem of each error, through JSON, is the same error: class, message and hint."""
    kind: type[CarmaError] = getattr(errors, name)
    sent = kind("What happened.", hint="What to do.")
    headers = {"content-type": "application/problem+json; charset=utf-8", "retry-after": "3"}
    found = error_of(sent.status, headers, json.dumps(sent.problem()).encode())
    assert type(found) is kind and (found.message, found.hint) == ("What happened.", "What to do.")
    assert getattr(found, "retry_after_s", 3.0) == 3.0


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("application/problem+json", b'{"type": "urn:carma:error:newer", "detail": "So."}', RemoteProblem),
        ("application/problem+json", b"{", InvalidAnswer),
        ("application/problem+json", b"[]", InvalidAnswer),
        ("text/html", b"<h1>\x1b[31mhello\xff</h1>" * 99, InvalidAnswer),
        ("", b"", InvalidAnswer),
    ],
)
def test_what_is_no_problem_of_ours_is_told_as_such(
    kind: str, body: bytes, expected: type[CarmaError]
) -> None:
    """A newer error keeps its message and status; a proxy's page is named, shortened and made harmless."""
    error = error_of(500, {"content-type": kind}, body)
    assert type(error) is expected and len(error.message) < 300 and "\x1b" not in error.message
    if isinstance(error, RemoteProblem):
        assert (error.message, error.remote_status, error.remote["detail"]) == ("So.", 500, "So.")


@settings(max_examples=40)
@given(JSONS)
def test_bodies_are_what_was_given(value: Any) -> None:
    """JSON there, the same value back; arrays of NumPy as lists."""
    assert json.loads(body_of(value)) == value
    assert json.loads(body_of({"v": np.array([1.5, 2.0], np.float32)})) == {"v": [1.5, 2.0]}


@pytest.mark.parametrize(
    "wrong", [{"m": {1: 2}}, {"m": float("nan")}, {"m": [float("inf")]}, {"m": object()}, {"m": b"x"}]
)
def test_what_json_would_change_is_refused(wrong: dict[str, Any]) -> None:
    """Before anything is sent, naming the place."""
    with pytest.raises(InvalidInput, match="m"):
        body_of(wrong)


def test_arguments_become_queries() -> None:
    """None and what was not given are left out; truth is a word; a filter is JSON."""
    assert (
        query_of(a=None, b=True, c=False, d=3, e="x y", f={"k": 1})
        == "?b=true&c=false&d=3&e=x+y&f=%7B%22k%22%3A1%7D"
    )
    assert query_of() == ""
    assert as_id("018F3C5E-7b00-7000-8000-0000000000aa") == "018f3c5e7b00700080000000000000aa"
    for wrong in ("7", "../../etc", "g" * 32, None, b"0" * 32):
        with pytest.raises(InvalidInput):
            as_id(wrong)


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1, max_size=50), max_size=30), st.integers(1, 7), st.integers(20, 400))
def test_batches_hold_everything_in_order(texts: list[str], items: int, size: int) -> None:
    """Within both bounds, unless one item alone is larger."""
    settings = ClientSettings(batch_items=items, batch_bytes=size)
    bodies = list(batches((item_of(text, 0, {}) for text in texts), settings))
    sent = [json.loads(body)["items"] for body in bodies]
    assert [item["text"] for batch in sent for item in batch] == texts
    assert all(len(batch) <= items for batch in sent)
    assert all(len(body) <= size + 14 or len(batch) == 1 for body, batch in zip(bodies, sent, strict=True))


@pytest.mark.parametrize("wrong", [5, {"txt": "x"}, {"text": "x", "purge": 1}, {"text": 5}, {}])
def test_items_are_checked_before_they_are_sent(wrong: Any) -> None:
    """As `Memory.add_many` checks them: their form, their names, their text."""
    with pytest.raises(InvalidInput, match="Item 3"):
        item_of(wrong, 3, {})


STREAM = (
    b": alive\n\nretry: 1000\n\n"
    b'id: 7-1\nevent: progress\ndata: {"done": 1, "total": 3, "what": "x"}\n\n'
    b'id: 7-2\r\nevent: progress\r\ndata: {"done": 2,\r\ndata:  "total": 3, "what": "y"}\r\n\r\n'
)
END = b'id: 7-3\nevent: report\ndata: {"cycle": 7, "status": "completed", "exact": 4}\n\n'


@given(st.lists(st.integers(1, 40), max_size=12))
def test_events_are_read_however_they_are_cut(sizes: list[int]) -> None:
    """The same events from every way in which a stream arrives."""
    reader = EventReader()
    found = [event for piece in pieces(STREAM + END, sizes) for event in reader.feed(piece)]
    assert [(each.id, each.kind) for each in found] == [
        ("7-1", "progress"),
        ("7-2", "progress"),
        ("7-3", "report"),
    ]
    assert found[1].json() == {"done": 2, "total": 3, "what": "y"}


def test_a_dream_is_followed_over_broken_streams(world: World) -> None:
    """The stream is taken up behind the last event; progress is told once each; the report ends it."""
    told: list[tuple[int, int, str]] = []
    world.network.streams = [STREAM, b"LOST", END]
    report = world.network.run(world.verbs().dream(progress=lambda *what: told.append(what)))
    assert report == DreamReport(cycle=7, status="completed", exact=4)
    assert told == [(1, 3, "x"), (2, 3, "y")]
    follows = [send for send in world.network.asked if send.stream]
    assert [send.headers.get("last-event-id") for send in follows][-1] == "7-2"


def test_a_dream_that_tells_nothing_is_given_up(world: World) -> None:
    """After as many silent streams as there are tries; the error says that the dream goes on."""
    with pytest.raises(ServerUnreachable, match="broke off 5 times") as caught:
        world.network.run(world.verbs().dream())
    assert "goes on" in caught.value.hint


def test_an_event_without_end_is_refused() -> None:
    """Nothing grows without bound."""
    reader = EventReader()
    piece = b"data: " + b"x" * 2**20

    def endless() -> None:
        for _ in range(40):
            list(reader.feed(piece))

    with pytest.raises(InvalidAnswer, match="no end"):
        endless()
