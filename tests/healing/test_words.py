"""What the words rung promises: the index's tokens become text again, exact where a digest is known."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import apsw
import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.errors import InvalidInput
from carma.healing.words import Restorer
from carma.healing.words.choice import Choice
from carma.healing.words.learnt import Learnt
from carma.healing.words.phrases import Phrases
from carma.healing.words.variants import Edge, Node, ways
from carma.healing.words.written import OTHER, Splitter, shape_of, shaped

NAMES = ("Ada", "Bo", "McKay")
THINGS = ("ferry", "brass key", "iPod", "harbour", "NASA letter", "stove")
SAYINGS = (
    "{a}: Hey {b}! Did you see the {x}?",
    "{a}: I'm sure it's with the {x}, isn't it?",
    "{a}: Wow, {b}, that's great! I found the {x} in May.",
    "{a}: On 3.5 days out of 7 - at 10:30 - the {x} is here.",
    "{a}: We've seen the {x} at https://example.org/{y}/7, so come!",
    "{a}: No. The {x} isn't mine; ask {b}. [image: a photo of a {y}]",
)


def talk(count: int, seed: int = 1) -> list[str]:
    dice = random.Random(seed)
    return [
        dice.choice(SAYINGS).format(
            a=dice.choice(NAMES),
            b=dice.choice(NAMES),
            x=dice.choice(THINGS),
            y=dice.choice(THINGS).split()[0],
        )
        for _ in range(count)
    ]


def digest_of(text: str, length: int = 16) -> bytes:
    return blake3(text.encode()).digest(length)


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(talk(200), budget_ms=None)


@pytest.fixture
def index() -> Iterator[apsw.Connection]:
    db = apsw.Connection(":memory:")
    db.execute(
        "CREATE VIRTUAL TABLE tokens USING fts5(text, content='', contentless_delete=1, "
        "tokenize='unicode61 remove_diacritics 0');"
        "CREATE VIRTUAL TABLE tokens_at USING fts5vocab(tokens, 'instance')"
    )
    yield db
    db.close()


def indexed(db: apsw.Connection, texts: Sequence[str]) -> list[list[str]]:
    """The tokens of the texts, in order, out of a real word index."""
    db.executemany("INSERT INTO tokens(rowid, text) VALUES(?, ?)", list(enumerate(texts)))
    found: list[list[str]] = [[] for _ in texts]
    for term, doc, _ in db.execute("SELECT term, doc, offset FROM tokens_at ORDER BY doc, offset"):
        found[doc].append(term)
    return found


def test_lost_texts_come_back_exactly_from_the_index(index: apsw.Connection, restorer: Restorer) -> None:
    """Case, contractions, decimals, URLs and punctuation, out of the tokens that FTS5 itself kept."""
    lost = talk(40, seed=7)
    found = [
        restorer.restore(tokens, digest=digest_of(text))
        for tokens, text in zip(indexed(index, lost), lost, strict=True)
    ]
    assert sum(one.exact for one in found) >= 36
    assert all(one.text == text for one, text in zip(found, lost, strict=True) if one.exact)


def test_the_tokens_are_kept_whatever_is_found(index: apsw.Connection, restorer: Restorer) -> None:
    """Without a digest, or with one that nothing has, it is the likeliest text and has the same tokens."""
    lost = ["naïve \u201eÜBER\u201c", "日本語 のテキスト", "x", "a_b 1,000.5%", "ΑΣ ς Σ", *talk(3, seed=9)]
    for tokens in indexed(index, lost):
        for digest in (None, b"\0" * 16):
            restored = restorer.restore(tokens, digest=digest, variants=200)
            assert not restored.exact
            assert Splitter()(restored.text).tokens == tokens
            assert restored.tried <= 200


def test_a_memory_that_shows_nothing_still_gives_readable_english() -> None:
    """The primer knows contractions, capitals and sentence ends."""
    restorer = Restorer()
    assert (
        restorer.restore(["i", "m", "here", "and", "i", "think", "it", "s", "fine"]).text
        == "I'm here, and I think it's fine."
    )
    lost = "I don't know. What's that?"
    assert restorer.restore(["i", "don", "t", "know", "what", "s", "that"], digest=digest_of(lost))[:2] == (
        lost,
        True,
    )
    assert restorer.restore([]).text is not None


def test_a_beginning_of_the_digest_is_enough_but_not_a_shorter_one(restorer: Restorer) -> None:
    """Eight bytes prove; seven are an error of the caller."""
    lost = "Bo: I'm sure it's with the ferry, isn't it?"
    tokens = Splitter()(lost).tokens
    assert restorer.restore(tokens, digest=digest_of(lost, 8)).exact
    for length in (0, 7, 33):
        with pytest.raises(InvalidInput):
            restorer.restore(tokens, digest=b"\0" * length)


def test_what_stands_nearby_is_believed() -> None:
    """A metadata value or a run of a sibling's words brings its own case and punctuation."""
    restorer = Restorer(talk(50))
    tokens = ["ada", "look", "at", "the", "quo", "vadis", "zürich", "poster"]
    assert "QUO--Vadis/zürich" in restorer.restore(tokens, nearby=["the QUO--Vadis/zürich thing"]).text
    assert restorer.restore(tokens, nearby=["ADA", ""]).text.startswith("ADA")


def test_the_number_of_variants_and_the_time_are_bounded(restorer: Restorer) -> None:
    """A search that cannot succeed ends at the first bound that is met."""
    tokens = Splitter()(" ".join(talk(3))).tokens
    assert restorer.restore(tokens, digest=b"\0" * 16, variants=1).tried == 1
    assert restorer.restore(tokens, digest=b"\0" * 16, variants=3_000).tried == 3_000

    class Clock:
        seconds = 0.0

        def monotonic(self) -> float:
            Clock.seconds += 0.02
            return Clock.seconds

        def now(self) -> float:
            return 0.0

        def sleep(self, seconds: float) -> None:
            raise AssertionError

    timed = Restorer(talk(20), variants=10**9, budget_ms=50.0, clock=Clock())
    assert 256 <= timed.restore(tokens, digest=b"\0" * 16).tried <= 1_024


def test_the_same_texts_restore_the_same_way() -> None:
    """Nothing depends on the process's hash seed, the clock or the order of a set."""
    tokens = ["bo", "hey", "ada", "did", "you", "see", "the", "ipod", "on", "3", "5", "days"]
    first, again = (
        Restorer(talk(60)).restore(tokens, digest=b"\0" * 16, variants=500, budget_ms=60_000)
        for _ in range(2)
    )
    assert first == again


def test_a_long_text_costs_time_in_proportion_to_its_length(restorer: Restorer) -> None:
    """Hundreds of tokens, fewer states for each, tokens kept."""
    text = " ".join(talk(60, seed=3))
    tokens = Splitter()(text).tokens
    assert len(tokens) > 600
    assert Splitter()(restorer.restore(tokens, digest=b"\0" * 16, variants=50).text).tokens == tokens


def test_what_is_learnt_is_bounded() -> None:
    """Texts beyond the number of slots are thinned out evenly, long ones left out, and nothing breaks."""
    small = Learnt((f"word{number} other, thing." for number in range(5_000)), Splitter(), slots=400)
    assert small.plain._weights.shape[0] < 400 * 46
    assert Restorer(["x " * 5_000], slots=100).restore(["x", "y"]).text


@given(st.text(max_size=80))
def test_a_text_is_taken_apart_without_loss(text: str) -> None:
    """Gaps and forms put together are the text, and forms are the tokens in some shape."""
    written = SPLITTER(text)
    joined = "".join(part for pair in zip(written.gaps, [*written.forms, ""], strict=True) for part in pair)
    assert joined == text.encode("utf-8", "replace").decode("utf-8")
    for token, form in zip(written.tokens, written.forms, strict=True):
        shape = shape_of(token, form)
        assert shape == OTHER or shaped(token, shape) == form


SPLITTER = Splitter()


@settings(max_examples=60)
@given(st.data())
def test_ways_come_each_once_and_in_order_of_their_cost(data: st.DataObject) -> None:
    """Against all ways of a small lattice, listed one by one."""
    levels = [
        [Node() for _ in range(data.draw(st.integers(1, 3)))] for _ in range(data.draw(st.integers(1, 4)))
    ]
    levels[0] = levels[0][:1]
    costs = st.integers(0, 3).map(float)
    after: list[list[Node | None]] = [[*level] for level in levels[1:]]
    after.append([None])
    for level, heads in zip(levels, after, strict=True):
        for node in level:
            for number in range(data.draw(st.integers(1, 3))):
                head = data.draw(st.sampled_from(heads))
                node.edges.append(
                    Edge(data.draw(costs), bytes([65 + number]) + (b"." if head else b"!"), head)
                )

    def everything(node: Node | None) -> list[tuple[float, bytes]]:
        if node is None:
            return [(0.0, b"")]
        return [
            (edge.cost + cost, edge.piece + rest)
            for edge in node.edges
            for cost, rest in everything(edge.head)
        ]

    expected = sorted(everything(levels[0][0]))
    for level in reversed(levels):
        for node in level:
            node.settle()
    cost_of = {text: cost for cost, text in expected}
    found = list(ways(levels[0][0]))
    assert sorted(found) == sorted(cost_of)
    assert [cost_of[text] for text in found] == sorted(cost_of.values())


def test_a_choice_learns_what_decides() -> None:
    """Two traits, one of which decides: its probability rises, and the probabilities are some."""
    dice = np.random.default_rng(1)
    sign = dice.integers(0, 2, 400)
    traits = np.stack([10 + sign, 20 + dice.integers(0, 2, 400)], axis=1)
    choice = Choice(traits, sign, 2, epochs=40, rate=0.5)
    logs = choice.logs(np.array([[10, 20], [11, 21], [99, 98]]))
    assert np.allclose(np.exp(logs).sum(axis=1), 1.0, atol=1e-5)
    assert logs[0, 0] > -0.1
    assert logs[1, 1] > -0.1
    assert abs(logs[2, 0] - logs[2, 1]) < 0.5


small_texts = st.lists(st.sampled_from(["ada", "ferry", "May", "7", "Bo"]), max_size=5).map(" ".join)


@given(nearby=st.lists(small_texts, max_size=4), lost=small_texts)
def test_a_phrase_never_says_more_than_it_has_words(nearby: list[str], lost: str) -> None:
    """Also where a nearby text is as short as one word and stands at the end of the lost one."""
    splitter = Splitter()
    tokens = splitter(lost).tokens
    hints = Phrases(nearby, splitter).hints(tokens)
    assert set(hints) <= set(range(len(tokens)))
    for slot, hint in hints.items():
        assert hint.form is None or hint.form.lower() == tokens[slot]
