"""The cipher of one owner: round trips, what it refuses, and what it tells about its key."""

from __future__ import annotations

import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.access.vault.context import context, derived
from carma.access.vault.datakey import DataKeyCipher, commitment_of, key_id_of
from carma.ports.cipher import Cipher, CipherDamaged

KEY = bytes(range(32))
FIELD = st.one_of(st.binary(max_size=8), st.text(max_size=4), st.integers(-(2**63), 2**63 - 1))
FIELDS = st.lists(FIELD, max_size=5)


@given(st.binary(max_size=500), st.binary(max_size=80))
def test_what_is_sealed_opens_in_its_context(data: bytes, where: bytes) -> None:
    """A round trip through any bytes, `overhead` bytes longer in between."""
    cipher: Cipher = DataKeyCipher(KEY)
    sealed = cipher.seal(data, where)
    assert len(sealed) == len(data) + cipher.overhead
    assert cipher.open(sealed, where) == data


def test_the_same_bytes_are_sealed_differently_each_time() -> None:
    """Nobody sees from two sealed pieces whether they hold the same."""
    cipher = DataKeyCipher(KEY)
    assert len({cipher.seal(b"same", b"") for _ in range(100)}) == 100


def test_every_flipped_bit_and_every_cut_is_refused() -> None:
    """A sealed piece with one bit flipped, or shorter or longer than it was, does not open."""
    cipher = DataKeyCipher(KEY)
    sealed = cipher.seal(b"a short text", b"where")
    wrong = [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0"]
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        wrong.append(bytes(flipped))
    for each in wrong:
        with pytest.raises(CipherDamaged):
            cipher.open(each, b"where")


def test_another_context_and_another_key_are_refused() -> None:
    """What was sealed for one place and owner does not open for another."""
    cipher, other = DataKeyCipher(KEY), DataKeyCipher(bytes(32))
    sealed = cipher.seal(b"text", context("record", "ada", 7))
    for opener, where in ((cipher, context("record", "ada", 8)), (other, context("record", "ada", 7))):
        with pytest.raises(CipherDamaged):
            opener.open(sealed, where)


@given(FIELDS, FIELDS)
def test_two_lists_of_fields_never_make_one_context(
    left: list[bytes | str | int], right: list[bytes | str | int]
) -> None:
    """Contexts are equal exactly where the lists are, types included."""
    same = [(type(each), each) for each in left] == [(type(each), each) for each in right]
    assert (context(*left) == context(*right)) == same


def test_fields_that_join_to_the_same_bytes_make_different_contexts() -> None:
    """Where one field ends and the next begins counts, and so does the type."""
    made = [context("ab", "c"), context("a", "bc"), context("abc"), context(b"abc"), context("", "abc"),
            context(1, 2), context(b"\0" * 7 + b"\1", 2)]  # fmt: skip
    assert len(set(made)) == len(made)


def test_a_key_is_refused_whose_commitment_differs() -> None:
    """The stored commitment lets one key through and no other."""
    assert DataKeyCipher(KEY, commitment_of(KEY)).key_id == key_id_of(KEY)
    for bit in range(256):
        wrong = bytearray(KEY)
        wrong[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CipherDamaged):
            DataKeyCipher(bytes(wrong), commitment_of(KEY))


def test_digests_are_keyed() -> None:
    """Equal for equal data of one owner; another owner's, or a bare BLAKE3, is another."""
    from blake3 import blake3

    mine, theirs = DataKeyCipher(KEY), DataKeyCipher(bytes(32))
    assert mine.digest(b"yes") == DataKeyCipher(KEY).digest(b"yes") != mine.digest(b"no")
    assert len({mine.digest(b"yes"), theirs.digest(b"yes"), blake3(b"yes").digest()}) == 3


def test_every_use_has_a_key_of_its_own() -> None:
    """Subkeys, digest key, id and commitment differ from each other and from the data key."""
    cipher = DataKeyCipher(KEY)
    made = [cipher.subkey("audit"), cipher.subkey("cache"), cipher.commitment, derived(KEY, "seal"),
            derived(KEY, "digest"), KEY]  # fmt: skip
    assert len(set(made)) == len(made)
    assert cipher.subkey("audit") == DataKeyCipher(KEY).subkey("audit")


def test_a_cipher_does_not_show_its_key() -> None:
    """Neither its repr nor a pickle holds the key."""
    cipher = DataKeyCipher(KEY)
    assert KEY.hex() not in repr(cipher)
    with pytest.raises(TypeError):
        pickle.dumps(cipher)


def test_threads_may_share_a_cipher_and_no_nonce_comes_twice() -> None:
    """Eight threads seal and open under one half of the nonce, and go on when it is drawn anew."""
    cipher = DataKeyCipher(KEY)
    cipher.seal(b"", b"")
    cipher._nonces._drawn = 65_536 - 500
    nonces: list[bytes] = []
    wrong: list[int] = []

    def work(who: int) -> None:
        for number in range(400):
            data = b"%d %d" % (who, number)
            sealed = cipher.seal(data, b"here")
            nonces.append(sealed[:24])
            if cipher.open(sealed, b"here") != data:
                wrong.append(who)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(set(nonces)) == len(nonces) == 3_200
    assert len({nonce[:12] for nonce in nonces}) >= 2
