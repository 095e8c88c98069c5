"""Any k shards give all of them back, and the parity is the one that others compute."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.store.erasure import (
    MOST_DATA,
    MOST_PARITY,
    Bytes,
    TooFewShards,
    decode,
    decode_one,
    encode,
    parity_count,
)

DRAWS = 20_000
"""Stripes drawn for each probability."""
ASKED = 40
"""Of the stripes with so many losses, the decoder is asked at the first few."""


def slow_product(a: int, b: int) -> int:
    """Multiplication in GF(256) by the book: carry-less, then reduced by x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11D << bit - 8
    return product


INVERSE = {a: next(b for b in range(1, 256) if slow_product(a, b) == 1) for a in range(1, 256)}


def slow_parity(data: list[bytes], parity: int) -> list[bytes]:
    """The parity rows of ISA-L's `gf_gen_cauchy1_matrix` times the data, byte by byte."""
    k, out = len(data), []
    for row in range(k, k + parity):
        coefficients = [INVERSE[row ^ column] for column in range(k)]
        shard = bytearray(len(data[0]))
        for coefficient, column in zip(coefficients, data, strict=True):
            for at, byte in enumerate(column):
                shard[at] ^= slow_product(coefficient, byte)
        out.append(bytes(shard))
    return out


def shards(k: int, length: int, seed: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (k, length), np.uint8)


def without(data: Bytes, parity: Bytes, gone: set[int]) -> tuple[list[Bytes | None], list[Bytes | None]]:
    """The shards of a stripe without those in `gone`, numbered data first."""
    k = len(data)
    return (
        [None if at in gone else data[at] for at in range(k)],
        [None if k + at in gone else parity[at] for at in range(len(parity))],
    )


def returns(data: Bytes, parity: Bytes, gone: set[int]) -> bool:
    """Whether all data come back; if not, the decoder has said so."""
    try:
        found = decode(*without(data, parity, gone))
    except TooFewShards:
        return False
    assert all(np.array_equal(one, other) for one, other in zip(found, data, strict=True))
    return True


@given(k=st.integers(1, MOST_DATA), length=st.integers(1, 40), seed=st.integers(0, 1 << 30))
@settings(max_examples=60, deadline=None)
def test_parity_is_what_an_independent_implementation_computes(k: int, length: int, seed: int) -> None:
    """Byte for byte, with the matrix of ISA-L and the polynomial 0x11d."""
    data, m = shards(k, length, seed), parity_count(k)
    assert [shard.tobytes() for shard in encode(data, m)] == slow_parity([d.tobytes() for d in data], m)


def test_the_first_parity_bytes_of_a_full_stripe_are_these() -> None:
    """Pinned, so that files written today are decoded for ever: data shard i is the byte i + 1."""
    data = np.arange(1, MOST_DATA + 1, dtype=np.uint8).reshape(MOST_DATA, 1)
    expected = slow_parity([bytes([at + 1]) for at in range(MOST_DATA)], MOST_PARITY)
    assert b"".join(expected).hex() == PINNED
    assert encode(data, MOST_PARITY).tobytes().hex() == PINNED


PINNED = "e71acda8aafd76b6"


@given(k=st.integers(1, MOST_DATA), length=st.integers(1, 300), draw=st.data())
@settings(max_examples=150, deadline=None)
def test_as_many_shards_as_there_is_parity_may_be_lost_anywhere(
    k: int, length: int, draw: st.DataObject
) -> None:
    """Data or parity: up to m losses cost nothing, and one lost data shard beyond is refused."""
    m = parity_count(k)
    data = shards(k, length, draw.draw(st.integers(0, 1 << 30)))
    parity = encode(data, m)
    order = draw.draw(st.permutations(range(k + m)))
    lost = draw.draw(st.integers(0, m))
    assert returns(data, parity, set(order[:lost]))
    beyond = {draw.draw(st.integers(0, k - 1))}
    beyond |= set([at for at in order if at not in beyond][:m])
    assert len(beyond) == m + 1
    with pytest.raises(TooFewShards):
        decode(*without(data, parity, beyond))


def test_every_choice_of_survivors_of_a_small_stripe_decodes() -> None:
    """No square part of the matrix fails to invert: all choices of m losses, for 1, 2, 3 and 5 records."""
    for k in (1, 2, 3, 5):
        m = parity_count(k)
        data = shards(k, 9, k)
        parity = encode(data, m)
        for lost in combinations(range(k + m), m):
            assert returns(data, parity, set(lost))


@pytest.mark.parametrize("length", [32_767, 32_768, 32_769, 100_001])
def test_shards_longer_than_a_block_are_encoded_alike(length: int) -> None:
    """The parity of a long shard is that of its pieces, wherever the encoder cuts."""
    data = shards(4, length, length)
    parity = encode(data, 5)
    pieces = [encode(np.ascontiguousarray(data[:, at : at + 1_000]), 5) for at in range(0, length, 1_000)]
    assert np.array_equal(parity, np.concatenate(pieces, axis=1))
    assert returns(data, parity, {0, 1, 2, 3, 6})


def test_redundancy_grows_with_the_stripe_and_never_below_three_files() -> None:
    """Any 3 files may go, whatever the number of records; a full stripe has 8."""
    counts = [parity_count(k) for k in range(1, MOST_DATA + 1)]
    assert counts == sorted(counts)
    assert counts[0] >= 4
    assert counts[-1] == MOST_PARITY


def expected(k: int, m: int, loss: float) -> float:
    """P(a lost record comes back): at most m - 1 of the other k + m - 1 shards are lost."""
    others = k + m - 1
    return sum(comb(others, n) * loss**n * (1 - loss) ** (others - n) for n in range(m))


@pytest.mark.parametrize(
    ("k", "loss", "at_least"),
    [(20, 0.05, 0.99996), (20, 0.10, 0.996), (10, 0.05, 0.9999), (10, 0.10, 0.997), (4, 0.10, 0.9995)],
)
def test_the_formula_reaches_what_is_promised(k: int, loss: float, at_least: float) -> None:
    """The probabilities of the design, rounded as they are told there."""
    assert round(expected(k, parity_count(k), loss), 5) >= at_least


@pytest.mark.parametrize("k", [20, 10])
@pytest.mark.parametrize("loss", [0.05, 0.10, 0.30])
def test_lost_shards_come_back_as_often_as_the_binomial_says(k: int, loss: float) -> None:
    """Independent losses, parity equally at risk: within 3 sigma, by the decoder's rule; the decoder is asked
    itself at the first stripes of each number of losses, and must agree.
    """
    m = parity_count(k)
    chance = random.Random(f"{k} {loss}")
    data = shards(k, 3, k)
    parity = encode(data, m)
    asked: Counter[int] = Counter()
    back = 0
    for _ in range(DRAWS):
        # One data shard is lost for certain; the others are lost by chance.
        gone = {0} | {at for at in range(1, k + m) if chance.random() < loss}
        asked[len(gone)] += 1
        if asked[len(gone)] <= ASKED:
            assert returns(data, parity, gone) == (len(gone) <= m)
        back += len(gone) <= m
    p = expected(k, m, loss)
    assert abs(back - DRAWS * p) <= 3 * (DRAWS * p * (1 - p)) ** 0.5


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_one_short_shard_is_decoded_from_the_beginnings_of_the_others(data: st.DataObject) -> None:
    """`decode_one` gives what `decode` gives, of the length that is wanted, for any loss the parity bears."""
    k = data.draw(st.integers(1, MOST_DATA))
    m, length = parity_count(k), data.draw(st.integers(1, 90))
    lengths = data.draw(st.lists(st.integers(0, length), min_size=k, max_size=k))
    filled = shards(k, length, data.draw(st.integers(0, 2**32)))
    for shard, size in zip(filled, lengths, strict=True):
        shard[size:] = 0
    lost = data.draw(st.sets(st.integers(0, k - 1), min_size=1, max_size=min(m, k)))
    wanted = data.draw(st.sampled_from(sorted(lost)))
    want = data.draw(st.integers(1, length))
    held = [
        None if at in lost else shard[:size].tobytes()
        for at, (shard, size) in enumerate(zip(filled, lengths, strict=True))
    ]
    parity = [row[:want].tobytes() for row in encode(filled, m)[: len(lost)]]
    assert decode_one(held, wanted, parity) == filled[wanted, :want].tobytes()
