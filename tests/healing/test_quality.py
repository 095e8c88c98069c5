"""The measures of a reconstruction, on cases that can be counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.healing.quality import (
    entities,
    entity_recall,
    expected_calibration_error,
    judged_good,
    rouge_l,
    spread,
    token_f1,
)

WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat"])).map(" ".join)


@pytest.mark.parametrize(
    ("lost", "rebuilt", "expected"),
    [
        ("the cat sat", "the cat sat", 1.0),
        ("The cat, sat!", "the CAT sat", 1.0),
        ("the cat sat", "sat cat the", 1.0),
        ("a b c d", "a b", 2 / 3),
        ("a a b", "a b b", 2 / 3),
        ("a b", "c d", 0.0),
        ("a", "", 0.0),
        ("", "", 1.0),
    ],
)
def test_token_f1_counts_words_as_a_bag(lost: str, rebuilt: str, expected: float) -> None:
    """Case and signs do not count, repetitions do, order does not."""
    assert token_f1(lost, rebuilt) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lost", "rebuilt", "expected"),
    [
        ("the cat sat", "the cat sat", 1.0),
        ("a b c", "c b a", 1 / 3),
        ("police killed the gunman", "police kill the gunman", 0.75),
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("a", "", 0.0),
        ("", "", 1.0),
    ],
)
def test_rouge_l_counts_words_in_order(lost: str, rebuilt: str, expected: float) -> None:
    """The longest common subsequence decides; the sentences of the police are those of Lin's paper."""
    assert rouge_l(lost, rebuilt) == pytest.approx(expected)


@given(WORDS, WORDS)
def test_measures_stay_in_their_range(lost: str, rebuilt: str) -> None:
    """Both are 0 to 1, the same both ways round, and order can only cost."""
    assert 0 <= rouge_l(lost, rebuilt) <= token_f1(lost, rebuilt) + 1e-12 <= 1 + 1e-9
    assert token_f1(lost, rebuilt) == token_f1(rebuilt, lost)
    assert rouge_l(lost, rebuilt) == rouge_l(rebuilt, lost)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mira: Hey Tom! I saw it.", {"tom"}),
        ("Yesterday we met Ada Brink in The Hague.", {"ada", "brink", "the", "hague"}),
        ("Great! Thanks. Sounds good, I'm in.", set()),
        ("We paid 41 million on 3 February at 10:30 pm.", {"41", "million", "3", "february", "10", "30"}),
        ("See you on Friday, may it rain, or in May.", {"friday", "may"}),
        ("NASA called. Buenos Aires answered. New York too.", {"nasa", "buenos", "aires", "york"}),
        ("Zelda came. I like Zelda.", {"zelda"}),
        ("two of the 3rd", {"two", "3rd"}),
        ("", set()),
    ],
)
def test_names_numbers_and_dates_are_found_by_rule(text: str, expected: set[str]) -> None:
    """A capital that a word does not owe to its place is a name; digits, number words, months and days
    count."""
    assert set(entities(text)) == expected


def test_a_known_name_counts_at_the_beginning_too() -> None:
    """Evidence from elsewhere makes a name of a word that begins a sentence."""
    assert set(entities("Bailey sleeps.")) == set()
    assert set(entities("Bailey sleeps.", {"bailey"})) == {"bailey"}


def test_who_speaks_is_no_name_of_the_turn() -> None:
    """It stands before every turn, so any other turn of the session would recall it."""
    assert entity_recall("Ada: I met Tom.", "Ada: hello") == 0.0
    assert entity_recall("Ada Byron: I met Tom.", "tom") == 1.0
    assert entity_recall("Ada: hello there", "nothing") is None
    assert entity_recall("10:30 in Rome", "rome at 10:30") == 1.0
    assert entity_recall("Rome and Oslo: two towns", "oslo") == 0.5


def test_entity_recall_is_the_share_found() -> None:
    """Case is not asked for; where there was nothing to find there is no figure."""
    assert entity_recall("I met Ada and Tom on 3 June.", "ada was there in June") == 0.5
    assert entity_recall("nothing here", "Ada") is None
    assert entity_recall("Tom and Tom", "tom, just once. And Tom") == 1.0


def test_what_is_judged_good_has_the_words_and_the_names() -> None:
    """Enough words without the names are not good, and names without the words are not either."""
    lost = "we met Ada Brink near the old harbour"
    assert judged_good(lost, "we met ada brink near the harbour")
    assert not judged_good(lost, "we met someone somewhere near the old harbour")
    assert not judged_good(lost, "Ada Brink")
    assert judged_good("so it goes", "so it goes")


def test_spread_tells_mean_tenth_and_least() -> None:
    """Mean, 10th percentile and least of the values; nothing of nothing."""
    told = spread([0.0, *[1.0] * 10])
    assert told == {"mean": pytest.approx(10 / 11), "p10": 1.0, "min": 0.0}
    assert spread([]) == {}


def test_calibration_error_is_how_far_words_and_deeds_lie_apart() -> None:
    """Right on average is 0; sure of all and half of them good is 0.5; bins are weighed by their counts."""
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0)
    assert expected_calibration_error([1.0, 1.0], [True, False]) == pytest.approx(0.5)
    assert expected_calibration_error([0.9, 0.9, 0.9, 0.1], [True, True, True, True]) == pytest.approx(0.3)
    assert expected_calibration_error([], []) == 0
    with pytest.raises(ValueError, match="2 confidences for 1 verdicts"):
        expected_calibration_error([0.1, 0.2], [True])
