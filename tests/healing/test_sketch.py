"""The sketch: what it keeps, that it fits its budget, and that no bytes can make its reader crash."""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.embed.minilm import MODEL_FOLDER
from carma.healing.coder import Pile, number, one_of, read_number, symbols_to_bytes, uniform
from carma.healing.english import COMMON, FOLLOWING
from carma.healing.guide import score
from carma.healing.language import BY_CHARACTERS, language
from carma.healing.pieces import pieces
from carma.healing.signs import cosines, direction, signs_of
from carma.healing.sketch import BUDGET_BYTES, Sketch, decode_sketch, encode_sketch
from carma.healing.terms import SketchDamaged
from carma.healing.units import text_of, units_of
from carma.testing import HashEmbedder

TURN = (
    "Mira: Hey Tom! I finally went to the harbour museum on 14 March with Aunt Zelda, and it wasn't boring "
    "at all. We're going back next week, do you want to come? [image: a photo of an old sailing ship]"
)
LONG = (
    "The committee met in Rotterdam on 3 February 2019 to discuss the storm barrier. Engineer Pieter "
    "Vroom explained why the southern gate had failed twice in 2017 and presented a plan that would cost "
    "41 million euros. Several members asked whether the money could be found, and the treasurer, Ada "
    "Brink, answered that a loan from the province was likely. After lunch they visited the gate, looked "
    "at the damaged hinges, and agreed to meet again in June. The minutes were signed by all members who "
    "were there, and sent to the ministry in The Hague."
)
TEXTS = st.text(max_size=300)


def of(text: str, **options: int) -> Sketch:
    """The sketch of a text, as it is read back."""
    return decode_sketch(encode_sketch(text, HashEmbedder(384).embed([text])[0], **options))


def test_a_chat_turn_is_kept_to_the_letter() -> None:
    """A turn of some 200 characters goes into 96 bytes with case, gaps and signs."""
    sketch = of(TURN)
    assert sketch.exact
    assert sketch.whole
    assert sketch.text == TURN
    assert len(encode_sketch(TURN, None)) < len(TURN) / 2


@pytest.mark.parametrize("budget", [2, 3, 8, 16, 48, 64, 96, 192, 448])
def test_a_sketch_fits_its_budget(budget: int) -> None:
    """Whatever the budget, the sketch is no longer, and what it names stood in the text."""
    for text in (TURN, LONG, "", "ok", "名前" * 40, "🙂" * 70, "x" * 500, "4711 " * 90):
        coded = encode_sketch(text, HashEmbedder(384).embed([text])[0], budget_bytes=budget)
        assert 1 <= len(coded) <= budget
        assert {term.lower() for term in decode_sketch(coded).terms} <= {u.plain for u in units_of(text)[0]}


def test_no_room_means_no_sketch() -> None:
    """Less than two bytes hold nothing."""
    assert encode_sketch(TURN, None, budget_bytes=0) == encode_sketch(TURN, None, budget_bytes=1) == b""


@pytest.mark.parametrize("budget", [48, 64, 96])
def test_names_numbers_and_dates_come_first(budget: int) -> None:
    """Of a text that is too long, names, numbers and dates are kept before anything else, in their order."""
    terms = of(LONG, budget_bytes=budget).terms
    kept = [term.lower() for term in terms]
    wanted = [
        "rotterdam",
        "3",
        "february",
        "2019",
        "pieter",
        "vroom",
        "2017",
        "41",
        "million",
        "ada",
        "brink",
    ]
    if budget >= 96:
        assert [term for term in kept if term in wanted] == wanted
    else:
        assert len([term for term in kept if term in wanted]) >= budget // 12


def test_a_sketch_knows_what_it_left_out() -> None:
    """Of a long text the sketch tells how many terms there were, and it is not whole."""
    sketch = of(LONG)
    assert not sketch.whole
    assert sketch.total == len(units_of(LONG)[0])
    assert 0 < sketch.share < 1


def test_signs_and_case_are_kept_as_asked() -> None:
    """Signs only where asked for and where the text is not whole; without `surface` a turn has all terms but
    no case."""
    vector = HashEmbedder(384).embed([LONG])[0]
    assert of(LONG).signs == b""
    assert decode_sketch(encode_sketch(LONG, vector, sign_bytes=24)).signs == signs_of(vector, 24)
    assert of(TURN, sign_bytes=24).signs == b""
    plain = decode_sketch(encode_sketch(TURN, None, surface=False))
    assert plain.whole
    assert not plain.exact
    assert [term.lower() for term in plain.terms] == [unit.plain for unit in units_of(TURN)[0]]


def test_more_bytes_never_keep_less() -> None:
    """The share of the terms that is kept grows with the budget, up to all of them."""
    shares = [of(LONG, budget_bytes=budget).share for budget in (16, 32, 64, 96, 192, 448)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert of(LONG, budget_bytes=448).text == LONG


@pytest.mark.parametrize(
    "text",
    [
        "Ivan: Привет, как дела? Мы были в Москве 12 июня 2021 года.",
        "王芳: 我们明天去北京，好吗？",
        "नमस्ते, आप कैसे हैं?",
        "ขอบคุณมากค่ะ",
        "Σίσυφος ὈΔΥΣΣΕΎΣ straße İstanbul",
        "Café déjà vu — naïve façade…",
        "👨‍👩‍👧 yay 🎉🎉 ok",
        "pi is 3.14159265358979, call +49 30 1234567, at 23:59:07, 007, 1,250.50 €",
        "iPhone McDonald eBay LGBTQ+ NASA's x2 H2O",
        "def f(x):\n    return x ** 2\n\n# done\n",
        "  leading, trailing\t\n",
        '"Well," she said, "it\'s (almost) done" - and left.',
        "don't DON'T Don't dOn'T",
    ],
)
def test_any_script_comes_back_to_the_letter(text: str) -> None:
    """Other scripts, accents, emoji, long numbers, odd case, code and white space survive where they fit."""
    assert of(text, budget_bytes=192).text == text


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_every_text_comes_back_where_there_is_room(text: str) -> None:
    """With room enough the sketch of any text is the text."""
    sketch = decode_sketch(encode_sketch(text, None, budget_bytes=4096))
    assert sketch.exact
    assert sketch.text == text


@given(TEXTS, st.integers(2, 120), st.integers(1, 500))
@settings(max_examples=100, deadline=None)
def test_every_sketch_can_be_read(text: str, budget: int, dimension: int) -> None:
    """Any text, budget and dimension: the sketch fits, is read, and holds signs of the right size or none."""
    vector = np.resize(np.array([1.0, -1.0, 1.0], np.float32), dimension)
    coded = encode_sketch(text, vector, budget_bytes=budget)
    sketch = decode_sketch(coded)
    assert len(coded) <= budget
    assert len(sketch.signs) <= min((dimension + 7) // 8, 48)
    assert 0 <= sketch.share <= 1


@given(st.binary(max_size=200))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_a_sketch_or_a_typed_error(data: bytes) -> None:
    """The reader of sketches survives everything: a sketch of bounded size, or SketchDamaged."""
    try:
        sketch = decode_sketch(data)
    except SketchDamaged:
        return
    assert len(sketch.text) <= 200_000


@given(st.integers(0, 10_000))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_is_no_crash(where: int) -> None:
    """One bit of a real sketch flipped: another sketch, or SketchDamaged."""
    data = bytearray(encode_sketch(LONG, HashEmbedder(384).embed([LONG])[0]))
    at = where % (8 * len(data))
    data[at // 8] ^= 1 << at % 8
    with suppress(SketchDamaged):
        assert decode_sketch(bytes(data)).total >= 0


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x23abc", b"\x1f", b"\x14\xff\x00", b"\x10" * 5000])
def test_what_is_no_sketch_is_refused(data: bytes) -> None:
    """Nothing, another version, unknown flags, signs cut off, too many bytes: SketchDamaged."""
    with pytest.raises(SketchDamaged):
        decode_sketch(data)


def test_a_sketch_has_not_changed() -> None:
    """Sketches lie on disks: the bytes of this version are pinned, and so is what they mean."""
    assert encode_sketch("Mira: Hey Tom! Zelda didn't call on 14 March.", None).hex() == PINNED
    assert decode_sketch(bytes.fromhex(PINNED)).text == "Mira: Hey Tom! Zelda didn't call on 14 March."


PINNED = "139e8cc21a8914d264e67f493aa19c1e2070b9ae52181201"


def test_the_coder_is_exact() -> None:
    """Symbols come out in the order they went in, numbers too, and nothing is left over."""
    symbols = [uniform(5, 3), *number(0), *number(300), one_of(1, (200, 56), 8), *number(16_383)]
    pile = Pile(symbols_to_bytes(symbols))
    assert pile.take_uniform(3) == 5
    assert [read_number(pile), read_number(pile)] == [0, 300]
    assert pile.take_of((200, 56), 8) == 1
    assert not pile.empty
    assert read_number(pile) == 16_383
    assert pile.empty


def test_the_tables_of_english_are_of_known_pieces_each_once() -> None:
    """Every word of the tables is in the vocabulary, no list names one twice, and the widths fill their
    range."""
    known = pieces().numbers
    model = language()
    assert sum(model.widths) == 1 << 24
    for table in (COMMON, FOLLOWING):
        for entry in table.replace("\n    ", " ").splitlines():
            words = entry.split()[2 if table is FOLLOWING else 1 :]
            assert len(set(words)) == len(words), entry
            assert set(words) <= known.keys(), entry


def test_words_are_cut_as_the_embedder_cuts_them() -> None:
    """Plain words have the very pieces that the packaged model's tokenizer gives them."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(MODEL_FOLDER / "tokenizer.json"))
    for word in ("harbour", "unbelievably", "zelda", "rotterdam", "2019", "photosynthesis", "!"):
        assert list(pieces().cut(word)) == tokenizer.encode(word, add_special_tokens=False).ids


def test_a_word_without_pieces_is_kept_by_its_characters() -> None:
    """What the vocabulary cannot spell is not dropped."""
    assert pieces().cut("xxǅxx") == ()
    assert language().bits(BY_CHARACTERS) < 12
    assert of("say xxǅxx", budget_bytes=64).terms == ("say", "xxǅxx")


@pytest.mark.parametrize("text", [TURN, LONG, "a  b", " x\n", "", "名前、です"])
def test_units_are_the_text(text: str) -> None:
    """Cutting a text into units and putting them together changes nothing."""
    units, tail = units_of(text)
    assert text_of(units) + tail == text


@pytest.mark.parametrize(("dimension", "size"), [(384, 48), (64, 8), (100, 13), (384, 16), (1536, 48)])
def test_signs_estimate_the_cosine(dimension: int, size: int) -> None:
    """Signs say nearly how close two vectors lie: the same, the opposite, and in between."""
    random = np.random.default_rng(7)
    one, other = random.standard_normal((2, dimension)).astype(np.float32)
    one /= np.linalg.norm(one)
    near = one + 0.5 * other / np.linalg.norm(other)
    vectors = np.stack([one, -one, near / np.linalg.norm(near)]).astype(np.float32)
    signs = signs_of(one, size)
    assert len(signs) == size
    same, opposite, between = cosines(signs, vectors)
    assert same == pytest.approx(1)
    assert opposite < -0.9
    assert between == pytest.approx(float(vectors[2] @ one), abs=0.25)
    toward = direction(signs, dimension)
    assert toward is not None
    assert float(toward @ one) > 0.2
    assert float(toward @ toward) == pytest.approx(1, abs=1e-5)


def test_signs_of_another_embedder_lead_nowhere() -> None:
    """Against vectors of another dimension the signs claim no likeness, and nothing fails."""
    random = np.random.default_rng(3)
    one = random.standard_normal(384).astype(np.float32)
    others = random.standard_normal((20, 64)).astype(np.float32)
    assert np.abs(cosines(signs_of(one, 48), others)).max() < 0.5
    assert cosines(b"", others).tolist() == [0.0] * 20
    assert direction(b"", 64) is None


def test_the_score_puts_the_truth_first() -> None:
    """Against a sketch the lost text scores higher than its half, and that higher than another text."""
    embedder = HashEmbedder(384)
    texts = [LONG, LONG[: len(LONG) // 2], TURN]
    for text_of_sketch, budget in ((LONG, BUDGET_BYTES), (LONG, 448)):
        near = score(of(text_of_sketch, budget_bytes=budget), embedder.embed(texts), texts)
        assert near[0] > near[1] > near[2]
        assert near.dtype == np.float32
    assert score(Sketch(b"", (), 5, False, False), None, ["a", "b"]).tolist() == [0, 0]


def test_a_table_of_figures_keeps_some_of_its_words() -> None:
    """Numbers alone would fill the sketch; each is kept once, and words stand between them."""
    systems = product(("river", "harbour", "garden"), ("texts", "scores"))
    rows = [
        f"| {name} | ids and {what} | {number:,} queries each second | 0.956 |"
        for number, (name, what) in enumerate(systems, 81_234)
    ]
    sketch = decode_sketch(encode_sketch("\n".join(["| system | what | median |", *rows * 3])))
    kept = [unit.plain for unit in sketch.units]
    assert not sketch.whole and {"system", "median", "river", "queries"} <= set(kept)
    assert {"234", "239"} <= set(kept), "the first figure and the last"
