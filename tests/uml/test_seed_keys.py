"""The first texts' keys are made, found out and forged; the same attack on ours finds nothing."""

from __future__ import annotations

import hashlib
import json
import secrets
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.access.keys.making import make_root_keys, make_static_key
from carma.access.keys.text import attempt_header
from carma.errors import InvalidInput
from carma.ports.clock import SystemEntropy
from carma.uml.pi import position
from carma.uml.seed_keys import audit_report
from carma.uml.seed_scheme import CYCLE_S, is_key_of, make_key, parse_key, seeds_key, signature_prefix

SECOND = 1_750_012_345
"""Early among the scheme's million, so that it is found early."""
NOW = 1_750_500_000
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def _attempt(tag: str) -> str:
    return f"carma_abcdefg2_pi_123456_perm_rw_meta_70_quantum_{tag}"


def _root(secret: str) -> str:
    return f"carma_abcdefg2_pi_123456_perm_rw_meta_0_quantum_01ab9f77_{secret}aB3dE6"


def test_a_key_has_the_shape_of_the_first_texts() -> None:
    """Eight letters of the name, the place in Pi, permissions, six decimals, eight hexadecimal digits."""
    key = make_key("alice", 1_700_000_000)
    assert key == f"carma_alice_pi_{position('alice')}_perm_read_meta_492527_quantum_353332f3"
    assert make_key("bartholomew", SECOND).startswith("carma_bartholo_pi_")


def test_name_and_second_are_all_there_is() -> None:
    """No chance takes part: the same again is the same key, and after a million seconds it comes back."""
    assert make_key("alice", SECOND) == make_key("alice", SECOND) == make_key("alice", SECOND + CYCLE_S)
    assert make_key("alice", SECOND) != make_key("alice", SECOND + 1) != make_key("alicf", SECOND)


@pytest.mark.parametrize("user", ["alice", "a_pi_b", "_", "Zoë Ü", "semicolon;"])
def test_the_parts_of_a_key_are_found(user: str) -> None:
    """Also where the name has the scheme's own separators in it."""
    parsed = parse_key(make_key(user, SECOND, "read,write"))
    assert parsed is not None
    assert (parsed.user, parsed.permissions, parsed.second) == (user[:8], "read,write", None)
    assert parsed.place == position(user)


def test_before_it_was_mended_every_key_was_degenerate() -> None:
    """1,000 users, 1,000 seconds: each gets what the blanket `except` returns, name and second in clear."""
    for at in range(1000):
        assert seeds_key(f"user {at}", SECOND + at) == f"carma_user {at}_read_{SECOND + at}"


@pytest.mark.parametrize("user", ["alice", "o'neill_", "名前"])
def test_the_second_is_recovered_and_a_key_forged(user: str) -> None:
    """From the key alone, where it shows the whole name; the forged one passes the scheme's own check."""
    key = make_key(user, SECOND, "read")
    found = audit_report(key, now=NOW)
    assert (found.shape, found.user, found.second, found.tried) == ("seeds", user, SECOND, CYCLE_S)
    assert found.broken
    assert found.forged is not None
    assert found.forged != key
    assert found.forged_second == NOW
    assert is_key_of(found.forged, user, NOW)
    assert (found.bits_known_second, round(found.bits_any_second, 2)) == (0.0, 19.93)


def test_the_attack_takes_less_than_two_seconds() -> None:
    """Of processor time, for the second that is tried last."""
    key = make_key("alice", 1_749_999_999)
    begun = time.process_time()
    found = audit_report(key, now=NOW)
    assert (found.second, found.tried) == (1_749_999_999, CYCLE_S)
    assert time.process_time() - begun < 2


def test_a_longer_name_has_to_be_known() -> None:
    """The key shows eight letters of it; with the whole name, which is no secret, it falls too."""
    key = make_key("bartholomew", SECOND, "admin")
    alone = audit_report(key, now=NOW)
    assert (alone.broken, alone.second, alone.tried, alone.user_known) == (False, None, 0, False)
    assert "name" in alone.verdict
    known = audit_report(key, user="bartholomew", now=NOW)
    assert (known.broken, known.second, known.permissions) == (True, SECOND, "admin")
    assert not audit_report(key, user="bartholomea", now=NOW).broken


def test_an_unmended_key_tells_its_second() -> None:
    """Nothing has to be searched."""
    found = audit_report(seeds_key("alice", SECOND), now=NOW)
    assert (found.shape, found.second, found.tried) == ("seeds-fallback", SECOND, 0)
    assert found.forged == f"carma_alice_read_{NOW}"


def test_a_key_made_now_is_not_forged_as_itself() -> None:
    """The forged key is for another second, also when the key is from this one."""
    for made in (make_key, seeds_key):
        found = audit_report(made("alice", NOW), now=NOW)
        assert found.forged_second == NOW + 1
        assert found.forged != made("alice", NOW)


def test_an_altered_key_is_called_so() -> None:
    """No second gives it, and none is claimed."""
    key = make_key("alice", SECOND)
    found = audit_report(key[:-1] + ("0" if key[-1] != "0" else "1"), now=NOW)
    assert (found.second, found.forged, found.tried) == (None, None, CYCLE_S)
    assert "altered" in found.verdict


def test_a_tag_of_ours_that_hung_on_the_second_would_be_found() -> None:
    """The search is a real one: a tag made as the scheme makes its signatures does not pass."""
    prefix = signature_prefix("abcdefg2", "rw", 123_456)
    weak = hashlib.sha256(prefix + b"%d" % (SECOND % CYCLE_S))
    found = audit_report(_attempt(weak.hexdigest()[:32]), now=NOW)
    assert (found.second, found.bits_known_second) == (SECOND, 0.0)
    number, secret = int.from_bytes(weak.digest(), "big"), ""
    for _ in range(43):
        number, letter = divmod(number, 62)
        secret = BASE62[letter] + secret
    assert audit_report(_root(secret), now=NOW).second == SECOND


def test_a_fingerprint_is_called_so() -> None:
    """It has the shape of the first texts' keys, and is the name of one of ours."""
    found = audit_report(_root("")[:-7], now=NOW)
    assert (found.shape, found.broken, found.bits_known_second) == ("fingerprint", False, None)


def _ours() -> dict[str, str]:
    """Keys as the access layer makes them today, by their shape."""
    _, root = make_root_keys(SystemEntropy(), bytes(32), "rw")[0]
    _, static = make_static_key(SystemEntropy(), bytes(32), "r")
    attempt = attempt_header(root.name, "rw", 2**40) + secrets.token_hex(16)
    return {"attempt": attempt, "root": root.text, "static": static.text}


@pytest.mark.parametrize(("shape", "bits"), [("attempt", 128), ("root", 128), ("static", 256)])
def test_the_same_attack_on_a_key_of_ours_finds_nothing(shape: str, bits: int) -> None:
    """A million seconds are tried, none fits, 2^128 are left (of a static key 2^256); no secret is shown."""
    key = _ours()[shape]
    found = audit_report(key, now=NOW)
    assert (found.shape, found.broken, found.second, found.tried) == (shape, False, None, CYCLE_S)
    assert found.bits_known_second == found.bits_any_second == bits
    assert f"2^{bits}" in found.verdict
    told = repr(found) + json.dumps(found.to_dict())
    assert (key in told) == (shape == "attempt")
    assert shape == "attempt" or key[-49:-6] not in told


@pytest.mark.parametrize("shape", ["seeds", "fallback"])
def test_a_report_is_json(shape: str) -> None:
    """With every field, and whether it was broken."""
    key = make_key("alice", SECOND) if shape == "seeds" else seeds_key("alice", SECOND)
    told = json.loads(json.dumps(audit_report(key, now=NOW).to_dict()))
    assert set(told) == {
        "shape", "key", "user", "user_known", "permissions", "second", "tried", "forged", "forged_second",
        "bits_known_second", "bits_any_second", "took_s", "verdict", "broken",
    }  # fmt: skip
    assert told["broken"]
    assert told["shape"].startswith("seeds")


@pytest.mark.parametrize(
    "key",
    ["", "carma", "carma_", "carma_a_b", "x" * 10_000, "carma_" + "_" * 20_000, "carma_alice_pi_1_perm_r",
     _attempt("0123456789ABCDEF" * 2), _attempt("0" * 31), _attempt("0" * 33), _root("a" * 42)],
)  # fmt: skip
def test_what_is_no_key_is_refused_and_not_repeated(key: str) -> None:
    """Of whatever length; the message holds nothing of it."""
    with pytest.raises(InvalidInput) as refused:
        audit_report(key)
    assert len(key) < 10 or key not in refused.value.message


@settings(max_examples=200)
@given(st.text(max_size=120).map(lambda text: f"carma_{text}") | st.text(max_size=60))
def test_any_text_is_parsed_or_not(text: str) -> None:
    """Without an error, and what is parsed has the parts it says."""
    parsed = parse_key(text)
    if parsed is not None:
        assert parsed.user in text
        assert parsed.permissions in text
