"""What counts as wrong, as failed and as found: each lie is seen, and nothing honest is called a lie."""

from __future__ import annotations

import pytest

from carma.models import State
from carma.prove.corpus import Original
from carma.prove.measure import Answer, Round, Seen, Truth, percentile, recall
from carma.prove.queries import Query
from carma.store.record import text_digest

TEXT, OLDER = "the true text", "an outdated text"
KEPT, LOST = "aa" * 16, "bb" * 16


def digest(text: str) -> str:
    return text_digest(text).hex()


ORIGINALS = {id: Original(id, 1, 3, TEXT, digest(TEXT), "note", None) for id in (KEPT, LOST)}
TRUTH = Truth(ORIGINALS, frozenset({LOST}))
GET = Query("get", target=LOST)
SEARCH = Query("search", "tide", about=LOST)


def seen(state: State, text: str = TEXT, *, id: str = LOST, version: int = 3) -> Seen:
    return Seen(id, state, version, digest(text) if text else "")


def answer(*fragments: Seen, begun: float = 0.0, ended: float = 0.001, **more: object) -> Answer:
    return Answer(fragments, begun, ended, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "honest",
    [seen("intact"), seen("repaired"), seen("reconstructed", "something like it"), seen("blank", "")],
    ids=lambda each: each.state,
)
def test_what_says_what_it_is_is_not_wrong(honest: Seen) -> None:
    """The original, a flagged reconstruction of what was lost, and an empty blank."""
    assert list(TRUTH.wrong(GET, answer(honest), None)) == []


@pytest.mark.parametrize(
    "lie",
    [
        seen("intact", "another text"),
        seen("repaired", "another text"),
        seen("intact", OLDER, version=2),
        seen("repaired", TEXT, version=2),
        seen("intact", ""),
        seen("blank", TEXT),
        seen("reconstructed", "something like it", id=KEPT),
        seen("intact", id="cc" * 16),
    ],
)
def test_each_lie_is_wrong(lie: Seen) -> None:
    """Another text, an older version, a blank with a text, a reconstruction of what was never lost, an
    invention.
    """
    assert len(list(TRUTH.wrong(GET, answer(lie), None))) == 1


def test_a_fragment_that_is_said_not_to_exist_is_wrong() -> None:
    """A blank would have been right."""
    assert list(TRUTH.wrong(GET, answer(missing=True), None))


@pytest.mark.parametrize("query", [Query("list"), Query("list", target=KEPT), Query("tree", target=KEPT)])
def test_what_is_left_out_of_a_list_is_wrong(query: Query) -> None:
    """Where it was listed before; a blank in its place is right."""
    before = answer(seen("intact"), seen("intact", id=KEPT))
    assert list(TRUTH.wrong(query, answer(seen("intact", id=KEPT)), before))
    assert not list(TRUTH.wrong(query, answer(seen("intact", id=KEPT), seen("blank", "")), before))


def test_below_a_parent_it_may_be_missing_where_nothing_says_any_more_that_it_stood_there() -> None:
    """Not from the list of all, and nothing but what was lost."""
    truth = Truth(ORIGINALS, frozenset({LOST}), placeless=True)
    before = answer(seen("intact"), seen("intact", id=KEPT))
    only_kept, only_lost = answer(seen("intact", id=KEPT)), answer(seen("blank", ""))
    for query in (Query("list", target=KEPT), Query("tree", target=KEPT)):
        assert not list(truth.wrong(query, only_kept, before))
        assert list(truth.wrong(query, only_lost, before))
    assert list(truth.wrong(Query("list"), only_kept, before))


def test_below_what_lost_its_place_a_tree_may_end() -> None:
    """From above; from the lost one itself, in a list, and where places are known, nothing may."""
    top, below = "cc" * 16, "dd" * 16
    parents = {top: None, LOST: top, below: LOST, KEPT: top}
    texts = {id: Original(id, 1, 3, TEXT, digest(TEXT), "note", parent) for id, parent in parents.items()}
    truth = Truth(texts, frozenset({LOST}), placeless=True)
    before = answer(*(seen("intact", id=id) for id in (LOST, below, KEPT)))
    assert not list(truth.wrong(Query("tree", target=top), answer(seen("intact", id=KEPT)), before))
    assert len(list(truth.wrong(Query("tree", target=top), answer(seen("intact", id=below)), before))) == 1
    under = answer(seen("intact", id=below))
    assert list(truth.wrong(Query("tree", target=LOST), answer(), under))
    assert list(truth.wrong(Query("list", target=LOST), answer(), under))
    known = Truth(texts, frozenset({LOST}))
    assert len(list(known.wrong(Query("tree", target=top), answer(seen("intact", id=KEPT)), before))) == 2


def test_a_list_of_nothing_but_what_lost_its_place_may_be_empty() -> None:
    """One with anything else may not, nor one of a memory that knows the places."""
    empty, query = answer(), Query("list", target=KEPT)
    for placeless, before, failed in (
        (True, answer(seen("intact")), 0),
        (True, answer(seen("intact"), seen("intact", id=KEPT)), 1),
        (False, answer(seen("intact")), 1),
    ):
        phase = Round("reopened")
        phase.take(0, query, empty, Truth(ORIGINALS, frozenset({LOST}), placeless), before)
        assert phase.failed == failed


def test_an_exception_and_nothing_in_place_of_an_answer_have_failed() -> None:
    """Nothing where there was nothing before has not."""
    phase = Round("damaged")
    full, empty = answer(seen("intact")), answer()
    phase.take(0, SEARCH, answer(error="OSError()"), TRUTH, full)
    phase.take(1, SEARCH, empty, TRUTH, full)
    phase.take(2, SEARCH, empty, TRUTH, empty)
    phase.take(3, SEARCH, full, TRUTH, full)
    assert (phase.asked, phase.failed, phase.wrong, len(phase.examples)) == (4, 2, 0, 2)


def test_the_longest_wait_reaches_over_queries_that_failed() -> None:
    """From one answer to the next; not over a pause."""
    phase = Round("damaged")
    whole = answer(seen("intact"))
    phase.take(0, SEARCH, whole._replace(begun=1.0, ended=1.1), TRUTH, whole)
    phase.take(1, SEARCH, answer(error="x", begun=1.1, ended=1.4), TRUTH, whole)
    phase.take(2, SEARCH, whole._replace(begun=1.4, ended=1.5), TRUTH, whole)
    assert phase.longest_wait_ms == pytest.approx(400)
    phase.pause()
    phase.take(3, SEARCH, whole._replace(begun=9.0, ended=9.1), TRUTH, whole)
    assert phase.longest_wait_ms == pytest.approx(400)


def test_only_what_comes_with_a_text_is_found() -> None:
    """A blank among the hits is not; the overlap counts the same way."""
    queries = [SEARCH]
    before, damaged = Round("before"), Round("damaged")
    whole = answer(seen("intact"), seen("intact", id=KEPT))
    before.take(0, SEARCH, whole, TRUTH, None)
    damaged.take(0, SEARCH, answer(seen("blank", ""), seen("intact", id=KEPT)), TRUTH, whole)
    assert (before.finds(queries, TRUTH.lost), damaged.finds(queries, TRUTH.lost)) == (1.0, 0.0)
    assert (before.overlap(queries, before), damaged.overlap(queries, before)) == (1.0, 0.5)
    assert before.finds(queries, frozenset()) is None


def test_evidence_is_found_by_any_piece_of_its_turn() -> None:
    """The share of turns of which something was found; a turn that does not exist is never found."""
    assert recall(["a", "x"], [frozenset({"a", "b"}), frozenset({"c"}), frozenset(), frozenset({"x"})]) == 0.5


def test_percentiles_are_by_nearest_rank() -> None:
    """The smallest value that at least this share does not exceed."""
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (50, 99, 100)
    assert (percentile([7.0], 0.01), percentile([], 0.5)) == (7, 0)
