"""A change is made once, however often it is asked for, and its answer can be had again."""

from __future__ import annotations

import threading
from hashlib import sha256

import pytest

from carma.access.keys.idempotency import KEY_CHARS, Idempotency
from carma.errors import IdempotencyConflict, InvalidInput, StillRunning
from carma.models import Answered

ONE, TWO = sha256(b"one").digest(), sha256(b"two").digest()


def answered(digest: bytes) -> Answered:
    return Answered(operation="add", body_digest=digest, ids=("f1",), versions=(1,), event="0" * 32, when=1.0)


def test_the_first_request_is_carried_out_and_a_repetition_gets_its_answer() -> None:
    """The same key and body: what was committed; nothing runs twice."""
    rule, committed, made = Idempotency(), dict[str, Answered](), []
    for _ in range(3):
        with rule.once("ada", "k", ONE, committed.get) as found:
            if found is None:
                made.append(1)
                committed["k"] = answered(ONE)
            else:
                assert found.ids == ("f1",)
    assert made == [1]


def test_another_body_is_refused() -> None:
    """With 422, whether the first has ended or still runs."""
    rule = Idempotency()
    with pytest.raises(IdempotencyConflict) as refused, rule.once("ada", "k", TWO, lambda key: answered(ONE)):
        pytest.fail("the block must not run")
    assert refused.value.status == 422
    with (
        rule.once("ada", "k", ONE, lambda key: None),
        pytest.raises(IdempotencyConflict),
        rule.once("ada", "k", TWO, lambda key: None),
    ):
        pytest.fail("the block must not run")


def test_a_request_that_still_runs_is_not_begun_again() -> None:
    """With 409; other keys and other accounts are not concerned, and after an error it may be repeated."""
    rule = Idempotency()
    with rule.once("ada", "k", ONE, lambda key: None):
        with pytest.raises(StillRunning) as refused, rule.once("ada", "k", ONE, lambda key: None):
            pytest.fail("the block must not run")
        assert refused.value.status == 409
        with (
            rule.once("bob", "k", TWO, lambda key: None) as found,
            rule.once("ada", "l", TWO, lambda key: None),
        ):
            assert found is None
    with pytest.raises(RuntimeError), rule.once("ada", "k", ONE, lambda key: None):
        raise RuntimeError
    with rule.once("ada", "k", ONE, lambda key: None) as found:
        assert found is None


def test_many_threads_make_it_once() -> None:
    """Sixteen threads with one key: one makes it, the others are told that it runs or what it came to."""
    rule, committed, made, start = Idempotency(), dict[str, Answered](), [], threading.Barrier(16)

    def work() -> None:
        start.wait()
        try:
            with rule.once("ada", "k", ONE, committed.get) as found:
                if found is None:
                    made.append(1)
                    committed["k"] = answered(ONE)
        except StillRunning:
            return

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


@pytest.mark.parametrize("key", ["", "x" * (KEY_CHARS + 1), "a\nb", "ä", "a\x00"])
def test_a_key_that_cannot_be_used_is_refused(key: str) -> None:
    """Empty, too long, or not printable ASCII."""
    with pytest.raises(InvalidInput), Idempotency().once("ada", key, ONE, lambda key: None):
        pytest.fail("the block must not run")
