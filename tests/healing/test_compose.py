"""The composer: from whole terms, from some, from context alone, from nothing; bounded and the same each
time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from carma.healing.compose import Composed, compose
from carma.healing.context import Context, Nearby, sentences_of, spellings
from carma.healing.quality import token_f1
from carma.healing.signs import Vectors
from carma.healing.sketch import Sketch, decode_sketch, encode_sketch
from carma.healing.units import restored, units_of
from carma.testing import HashEmbedder

LOST = (
    "Mira: We took the night train to Ljubljana on 14 March because Aunt Zelda had found an old McDonald's "
    "menu from 1987 in her attic, and she wanted to show it to the curator of the little museum behind the "
    "castle before it closes for good in autumn."
)
AROUND = (
    "Tom: Did Aunt Zelda find anything in her attic? I heard that Zelda keeps everything.",
    "Mira: How lovely Ljubljana was! The curator of the little museum by the castle liked the menu.",
    "Tom: I have never been on a night train. Was the McDonald's menu really from 1987?",
    "Mira: My garden needs rain. The tomatoes are late this year.",
)


class Counting:
    """A hashing embedder that counts texts."""

    def __init__(self, dimension: int = 384) -> None:
        self._embedder = HashEmbedder(dimension)
        self.texts = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.texts += len(texts)
        return self._embedder.embed(texts)


def around(texts: Sequence[str] = AROUND) -> Context:
    """The texts as siblings, nearest first."""
    return Context(tuple(Nearby(f"{at:032x}", text, "sibling", at) for at, text in enumerate(texts, 1)))


def sketch_of(text: str, budget: int, dimension: int = 384) -> Sketch:
    """What is left of a text."""
    vector = HashEmbedder(dimension).embed([text])[0]
    return decode_sketch(encode_sketch(text, vector, budget_bytes=budget))


def test_a_sketch_to_the_letter_is_the_text() -> None:
    """Nothing is embedded, nothing taken from the context, and the text is the lost one."""
    embed = Counting()
    composed = compose(sketch_of(LOST, 192), around(), embed)
    assert composed == Composed(LOST, 1.0, "exact terms", (), 0.99)
    assert embed.texts == 0


def test_whole_terms_get_their_case_from_the_context() -> None:
    """Names stand as the context writes them, sentences begin with a capital, and the writer is named as a
    source."""
    written, _ = units_of("we met zelda in ljubljana. she ate at mcdonald's, it was cheap!")
    units = list(restored([(unit.plain, False) for unit in written]))
    embed = Counting()
    composed = compose(Sketch(b"", tuple(units), len(units), True, False), around(), embed)
    assert composed.text == "We met Zelda in Ljubljana. She ate at McDonald's, it was cheap!"
    assert composed.method == "terms"
    assert composed.similarity == 1.0
    assert set(composed.sources) <= {one.id for one in around().nearby}
    assert composed.sources
    assert embed.texts == 0


@pytest.mark.parametrize("dimension", [64, 384, 1536])
@pytest.mark.parametrize("budget", [16, 24, 48, 64, 96])
def test_some_terms_make_a_text_for_any_embedder(budget: int, dimension: int) -> None:
    """Whatever the budget and the embedder, there is a text, scored, within its bounds, and better with more
    bytes."""
    embed = Counting(dimension)
    composed = compose(sketch_of(LOST, budget, dimension), around(), embed)
    assert composed.text
    assert -1 <= composed.similarity <= 1
    assert 0.01 <= composed.confidence <= 0.99
    assert embed.texts <= 16
    assert token_f1(LOST, composed.text) > (0.6 if budget == 96 else 0.15)


def test_context_alone_makes_a_flagged_guess() -> None:
    """Without a sketch the nearest sentences stand in, with their sources and next to no confidence."""
    composed = compose(None, around(), Counting())
    assert composed.method == "context"
    assert composed.text
    assert composed.similarity == 0.0
    assert composed.confidence < 0.2
    assert composed.sources
    used = [sentence.text for sentence in sentences_of(around().nearest()) if sentence.text in composed.text]
    assert " ".join(used) == composed.text


def test_signs_choose_the_right_sentences() -> None:
    """A sketch of signs alone finds, among much that is beside the point, the sentences that say nearly the
    same."""
    vector = HashEmbedder(384).embed([LOST])[0]
    signs = decode_sketch(encode_sketch(LOST, vector, budget_bytes=50, sign_bytes=48)).signs
    noise = [f"Tom: Number {at} is about plumbing, invoices and parking lots." for at in range(40)]
    composed = compose(Sketch(signs, (), 40, False, False), around([*AROUND, *noise]), Counting())
    assert composed.method == "context"
    assert "plumbing" not in composed.text
    assert "attic" in composed.text or "curator" in composed.text
    assert composed.similarity > 0.1


def test_nothing_makes_nothing() -> None:
    """Neither sketch nor context: an empty text without confidence, and no error."""
    for sketch in (None, Sketch(b"", (), 0, False, False)):
        assert compose(sketch, Context(), Counting()) == Composed("", 0.0, "nothing", (), 0.0)


def test_terms_alone_need_no_context() -> None:
    """With terms and no context the terms are the text."""
    composed = compose(sketch_of(LOST, 64), Context(), Counting())
    assert composed.method == "terms"
    assert "ljubljana" in composed.text.lower()
    assert composed.sources == ()


def test_it_works_without_an_embedder() -> None:
    """Where no embedder can be had the terms decide, and without terms the nearest sentence stands in."""
    assert compose(sketch_of(LOST, 64), around(), None).text
    assert compose(None, around(), None).text == "Tom: Did Aunt Zelda find anything in her attic?"


@pytest.mark.parametrize("budget", [0, 16, 48])
def test_a_huge_context_costs_no_more(budget: int) -> None:
    """Thousands of neighbours and a text of megabytes: still at most sixteen texts, and a bounded answer."""
    embed = Counting()
    texts = [f"Tom: Sentence {at} tells of train {at} to Ljubljana. " * 3 for at in range(3_000)] + [
        "word " * 300_000
    ]
    composed = compose(sketch_of(LOST, budget) if budget else None, around(texts), embed)
    assert composed.text
    assert len(composed.text) <= 4_000
    assert embed.texts <= 16


def test_context_in_another_language_does_no_harm() -> None:
    """Sentences that share nothing with the sketch leave its terms as they are."""
    other = around(
        ["Вчера мы были на даче. Погода была хорошая.", "我们昨天去了北京。", "¿Dónde está la biblioteca?"]
    )
    composed = compose(sketch_of(LOST, 64), other, Counting())
    assert composed.method == "terms"
    assert composed.text == compose(sketch_of(LOST, 64), Context(), Counting()).text


def test_the_same_context_in_any_order_gives_the_same_text() -> None:
    """Composing is deterministic, and the order in which neighbours are handed over means nothing."""
    for budget in (0, 24, 48):
        sketch = sketch_of(LOST, budget) if budget else None
        first = compose(sketch, around(), Counting())
        assert first == compose(sketch, around(), Counting())
        assert first == compose(sketch, Context(around().nearby[::-1]), Counting())


def test_spellings_need_evidence() -> None:
    """A word counts as a name only where its capital is not owed to its place, and not if it is mostly
    lower-case."""
    found = spellings(
        around(
            ["Zoe: Rain fell. Then Rain, the dog, came.", "rain and rain and rain", "I saw Bo. Bo!"]
        ).nearest()
    )
    assert found["zoe"][0] == "Zoe"
    assert found["bo"] == ("Bo", f"{3:032x}")
    assert "rain" not in found
    assert "then" not in found


def test_sentences_are_each_taken_once_and_bounded() -> None:
    """The nearest come first, repetitions once, and never more than the bound."""
    sentences = sentences_of(
        around(["One here. Two here!", "Two here! Three?", *["x y. " * 9_000] * 3]).nearest()
    )
    assert [one.text for one in sentences] == ["One here.", "Two here!", "Three?", "x y."]
    many = sentences_of(around([" ".join(f"No {at}." for at in range(350)), "a. b. c. " * 100]).nearest())
    assert len(many) <= 400
