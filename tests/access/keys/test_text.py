"""How keys read: exact shapes, no bias, and clear errors that never repeat a secret."""

from __future__ import annotations

import re
import string
from collections import Counter
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.access.keys.making import key_name, make_root_keys, make_static_key, secrets_of
from carma.access.keys.permissions import LETTERS, NEEDS, as_permissions, check_permission, in_words
from carma.access.keys.text import (
    SECRET,
    AttemptKey,
    RootKey,
    StaticKey,
    attempt_header,
    check_letters,
    parse_attempt,
    parse_key,
    parse_secret,
    pi_place,
    redacted,
)
from carma.client.operations import OPERATIONS
from carma.errors import Forbidden, InvalidInput, KeyMalformed
from carma.ports.clock import SystemEntropy
from carma.testing import SeededEntropy

NAME_KEY = b"n" * 32
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
ROOT = make_root_keys(SeededEntropy(1), NAME_KEY, "rwha")[0][1]
STATIC = make_static_key(SeededEntropy(2), NAME_KEY, "r")[1]
ATTEMPT = attempt_header(ROOT.name, "rw", (7 << 32) + 5) + "0123456789abcdef" * 2


def test_a_root_key_has_the_shape_that_was_promised() -> None:
    """108 characters with all permissions: user8, place in Pi, permissions, 0, sig8, 43 letters, CRC-32."""
    shape = (
        r"carma_[a-z2-7]{8}_pi_[0-9]{6}_perm_rwha_meta_0_quantum_[0-9a-f]{8}_[0-9A-Za-z]{43}[0-9A-Za-z]{6}"
    )
    assert re.fullmatch(shape, ROOT.text)
    assert len(ROOT.text) == 108
    assert ROOT.fingerprint == ROOT.text[:58]
    assert ROOT.text.split("_")[3] == pi_place(ROOT.name, 0)
    number = 0
    for letter in ROOT.text[-6:]:
        number = number * 62 + BASE62.index(letter)
    assert number == crc32(ROOT.text[:-6].encode())


def test_attempt_and_static_keys_have_their_shapes() -> None:
    """The attempt key's place and number move, and a static key says that it is one."""
    attempt = parse_attempt(ATTEMPT)
    assert attempt is not None
    assert (attempt.session, attempt.counter, attempt.text) == (7, 5, ATTEMPT)
    assert attempt_header("abcdefgh", "rw", 1) != attempt_header("abcdefgh", "rw", 2).replace("_2_", "_1_")
    assert re.fullmatch(r"carma_static_[a-z2-7]{8}_perm_r_[0-9A-Za-z]{49}", STATIC.text)


@pytest.mark.parametrize("text", [ROOT.text, STATIC.text, ATTEMPT])
def test_what_was_made_is_parsed(text: str) -> None:
    """Each kind comes back whole."""
    key = parse_key(text)
    assert key.text == text
    assert isinstance(key, RootKey | StaticKey | AttemptKey)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), permissions=st.sets(st.sampled_from(LETTERS), min_size=1))
def test_any_key_made_is_parsed(seed: int, permissions: set[str]) -> None:
    """Whatever the random bytes and the permissions are."""
    for _, made in make_root_keys(SeededEntropy(seed), NAME_KEY, "".join(permissions), 3):
        parsed = parse_secret(made.text)
        assert isinstance(parsed, RootKey)
        assert (parsed.name, parsed.permissions) == (made.name, made.permissions)
        assert (parsed.secret, parsed.fingerprint) == (made.secret, made.fingerprint)


def test_any_single_changed_character_is_noticed() -> None:
    """Every position, with three other letters: the check sum or the shape does not fit."""
    for text in (ROOT.text, STATIC.text):
        for at, letter in enumerate(text):
            for other in {letter.swapcase(), "_", "7"} - {letter}:
                with pytest.raises(KeyMalformed):
                    parse_secret(text[:at] + other + text[at + 1 :])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "carma_"),
        ("nonsense", "carma_"),
        (ROOT.text.upper(), "small letters"),
        (ROOT.text + " ", "white space"),
        (ROOT.text[:-1], "missing"),
        (ROOT.text[:-49], "fingerprint"),
        (ROOT.fingerprint, "fingerprint"),
        (ROOT.text.swapcase(), "small letters"),
        (ROOT.text[:-20] + ROOT.text[-20:].swapcase(), "check sum"),
        (ROOT.text * 2, "at most"),
        ("x" * 10_000_000, "at most"),
        (ROOT.text.replace("_rwha_", "_xy_"), "permission"),
        (ROOT.text.replace("_rwha_", "_ar_"), "order"),
        (ROOT.text.replace("_meta_0_", "_meta_1_"), "form"),
        (ATTEMPT[:-1], "form"),
        (ATTEMPT.replace("_rw_", "_wr_"), "order"),
        (ATTEMPT.replace("_meta_", "_meta_0"), "form"),
        (ROOT.text.replace(ROOT.name, "ä" * 8), "form"),
        (ROOT.text.replace("_pi_", "_pi_\u0661"), "form"),
        (ROOT.text + "\n", "white space"),
        ("\x00" + ROOT.text, "carma_"),
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused_with_a_reason(text: str, said: str) -> None:
    """Malformed, truncated, oversized, wrong-case: the reason helps, and never repeats the text."""
    with pytest.raises(KeyMalformed) as caught:
        parse_key(text)
    assert said in caught.value.message
    assert ROOT.text[-49:-6] not in str(caught.value.problem())


def test_a_place_that_is_not_the_names_is_refused() -> None:
    """With a right check sum too."""
    wrong = re.sub("_pi_[0-9]{6}", "_pi_000001", ROOT.text[:-6])
    with pytest.raises(KeyMalformed, match="Pi"):
        parse_secret(wrong + check_letters(wrong))
    assert parse_attempt(re.sub("_pi_[0-9]{6}", "_pi_000001", ATTEMPT)) is None


@settings(max_examples=150, deadline=None)
@given(
    text=st.one_of(
        st.text(max_size=200),
        st.from_regex(SECRET, fullmatch=True),
        st.builds(
            lambda at, cut, new: ROOT.text[:at] + new + ROOT.text[at + cut :],
            st.integers(0, 108), st.integers(0, 9), st.text(max_size=9),
        ),
        st.builds(
            lambda at, cut, new: ATTEMPT[:at] + new + ATTEMPT[at + cut :],
            st.integers(0, 100), st.integers(0, 9), st.text(max_size=9),
        ),
    )
)  # fmt: skip
def test_the_parser_takes_or_refuses_any_text(text: str) -> None:
    """No other error, nothing half taken, and what is taken reads the same again."""
    try:
        key = parse_key(text)
    except KeyMalformed:
        return
    assert key.text == text
    assert key.name in text and key.permissions in text


def test_letters_of_secrets_are_drawn_alike() -> None:
    """Chi-square of 430,000 letters over 62, at each place and over all, stays within 6 sigma."""
    secrets = secrets_of(SystemEntropy(), 10_000)
    assert len(set(secrets)) == 10_000

    def sigmas(letters: str) -> float:
        counts = Counter(letters)
        expected = len(letters) / 62
        chi = sum((counts[letter] - expected) ** 2 / expected for letter in BASE62)
        return (chi - 61) / (2 * 61) ** 0.5

    assert abs(sigmas("".join(secrets))) < 6
    assert all(abs(sigmas("".join(secret[at] for secret in secrets))) < 6 for at in range(43))


def test_names_come_from_the_id_under_the_stores_key() -> None:
    """The same id has the same name in one store and another one in the next."""
    assert key_name(b"i" * 16, NAME_KEY) == key_name(b"i" * 16, NAME_KEY)
    assert key_name(b"i" * 16, NAME_KEY) != key_name(b"i" * 16, b"m" * 32)
    assert key_name(b"i" * 16, NAME_KEY)[0] != key_name(b"j" * 16, NAME_KEY)[0]


def test_the_published_expression_finds_every_key_and_redaction_takes_it_out() -> None:
    """Root and static keys, in the middle of other text; fingerprints and attempt keys are left."""
    text = f'{{"a": "{ROOT.text}"}} Bearer {STATIC.text}, {ROOT.fingerprint} {ATTEMPT}'
    assert [match[0] for match in re.finditer(SECRET, text)] == [ROOT.text, STATIC.text]
    clean = redacted(text)
    assert not re.search(SECRET, clean)
    assert ROOT.text[-49:-6] not in clean and STATIC.text[-49:-6] not in clean
    assert clean.count(ROOT.fingerprint) == 2 and ATTEMPT in clean


def test_permissions_are_letters_in_their_order() -> None:
    """Letters or words; twice, none or another is refused."""
    assert as_permissions("wr") == as_permissions("write, read") == "rw"
    assert as_permissions("ahwr") == LETTERS
    assert in_words("ra") == "read, admin"
    for bad in ("", "rr", "x", "read,read", "r w", "R", "read;write"):
        with pytest.raises(InvalidInput):
            as_permissions(bad)


@pytest.mark.parametrize("operation", [*NEEDS, "unknown", ""])
@pytest.mark.parametrize("letter", LETTERS)
def test_a_permission_opens_what_needs_it_and_nothing_else(letter: str, operation: str) -> None:
    """The whole matrix; what is not in the table is open to nobody, admin included."""
    if NEEDS.get(operation) == letter:
        check_permission(letter, operation)
        check_permission(LETTERS, operation)
    else:
        with pytest.raises(Forbidden):
            check_permission(letter, operation)


def test_every_operation_of_the_interface_names_its_permission() -> None:
    """The table of letters and the table of operations say the same."""
    assert {name: row.permission[0] for name, row in OPERATIONS.items()} == dict(NEEDS)
