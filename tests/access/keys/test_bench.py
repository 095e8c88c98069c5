"""Keys are distinct and tell nothing of owner, time or each other: the tests of `bench/keys.py`, in small."""

from __future__ import annotations

import numpy as np
import pytest
from bench.keys import SIGMAS, TESTS, created, independence, look

from carma.access.keys.making import make_root_keys
from carma.ports.clock import SystemEntropy


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_many_keys_are_distinct_and_independent_of_owner_and_time(count: int) -> None:
    """No letter of name or secret is likelier for an owner, at a time, or behind another key."""
    found = independence(count)
    assert found["distinct"] == count
    assert all(found[name] < SIGMAS for name in TESTS), found


def test_keys_of_the_store_are_independent_of_owner_and_time() -> None:
    """The same of keys made for named owners, a minute apart."""
    found = created(600)
    assert found["distinct"] == 600
    assert all(found[name] < SIGMAS for name in TESTS), found


@pytest.mark.parametrize("what", TESTS)
def test_the_tests_find_keys_that_are_not_independent(what: str) -> None:
    """Letters that lean, or follow the owner, the time or the key before, in every tenth key: each is found
    by the test of that name.
    """
    count, owners = 20_000, 16
    texts = [key.text for _, key in make_root_keys(SystemEntropy(), b"n" * 32, "rwha", count)]
    order = np.arange(count)
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    planted = {
        "letters_alike": lambda at: "A",
        "by_owner": lambda at: letters[at % owners],
        "by_time": lambda at: letters[at * owners // count],
        "from_key_to_key": lambda at: texts[at - 1][-20],
    }[what]
    step = 2 if what == "from_key_to_key" else 10
    for at in range(1, count):
        if at % step == 1:
            texts[at] = f"{texts[at][:-20]}{planted(at)}{texts[at][-19:]}"
    found = look(texts, owners=order % owners, times=order * owners // count)
    assert found[what] > SIGMAS, found
