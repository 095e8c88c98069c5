"""What a guess is worth: what a sketch can tell apart, it does."""

from __future__ import annotations

from random import Random

from carma.healing.context import Nearby
from carma.healing.judge import MOST_GUESSED, order, worth
from carma.healing.quality import rouge_l
from carma.healing.sketch import Sketch, decode_sketch, encode_sketch
from carma.healing.units import text_of, units_of

TRUE = (
    "Ada: The ferry to Texel leaves at 7:40 on Monday, so we have to be at the harbour before seven. I asked "
    "Captain Quist whether he would wait for us, and he said that he had waited for nobody in twenty years. "
    "So please set the alarm, put the sandwiches into the blue bag, and do not forget the tickets again. "
    "They are on the shelf beside the door, under the letter from your sister, and they were not cheap. "
    "If it rains we shall take the bus to Den Helder and stay with the Bakkers until it is over."
)
NEAREST = [
    Nearby("a" * 32, "Bob: When does it leave tomorrow morning? I would like to sleep.", "sibling"),
    Nearby("b" * 32, "Bob: Fine, then I shall set the alarm for six. Is Captain Quist old?", "sibling"),
]


def _sketch() -> Sketch:
    sketch = decode_sketch(encode_sketch(TRUE))
    assert not sketch.whole and sketch.share < 0.8
    return sketch


def _worth(text: str) -> float:
    return worth(_sketch(), 0.0, text, NEAREST)


def test_a_true_text_is_worth_more_than_the_list_of_its_terms() -> None:
    """Both have all of them; the text has the length and runs as people write. Neither is worth a whole 1."""
    listed = text_of(_sketch().units)
    assert MOST_GUESSED < _worth(listed) < _worth(TRUE) < 1
    assert _worth(TRUE.replace("not cheap", "rather expensive")) > _worth(listed)


def test_what_contradicts_is_worth_less_than_the_list() -> None:
    """Other numbers, other names, one name or date too many, another order, half of it, or none of it."""
    shuffled = TRUE.split()
    Random(3).shuffle(shuffled)
    listed = _worth(text_of(_sketch().units))
    for text in (
        TRUE.replace("7:40", "8:15"),
        TRUE.replace("Quist", "Jansen"),
        TRUE + " It was in March.",
        TRUE + " So said Zebulon.",
        " ".join(shuffled),
        TRUE[: len(TRUE) // 3],
        "Completely unrelated words.",
    ):
        assert _worth(text) < listed, text


def test_the_order_is_that_of_the_longest_common_row() -> None:
    """As the measure of the same name counts it, which works in another way."""
    rng = Random(5)
    for _ in range(200):
        terms, text = (" ".join(rng.choices("abcdef", k=rng.randint(1, 12))) for _ in range(2))
        row = order(units_of(terms)[0], units_of(text)[0]) * len(terms.split())
        expected = rouge_l(terms, text) * (len(terms.split()) + len(text.split())) / 2
        assert abs(row - expected) < 1e-9
