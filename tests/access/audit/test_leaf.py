"""Leaves: canonical, made of tags, numbers and words alone, and nobody's once the owner's key is gone."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.access.audit.auditkey import AuditKey, AuditKeys
from carma.access.audit.leaf import LEAF_BYTES, MOST_LISTED, Leaf, event_of, parse_leaf
from carma.access.audit.leaves import (
    leaf_for_act,
    leaf_for_block,
    leaf_for_count,
    leaf_for_denial,
    leaf_for_key_event,
)
from carma.access.audit.twofold import Twofold
from carma.errors import AuditDamaged, Shredded
from carma.models import Acted
from carma.testing import SeededEntropy, SimulatedDisk

from .making import leaf

KEY = AuditKey(bytes(range(32)))
EVENT = "0123456789abcdef" * 2
SECRETS = {
    "account": "alice@example.com",
    "key": "carma_abcdefgh_pi_1_perm_rw_meta_0_quantum_00000000_secretsecretsecretsecretsecret",
    "request_id": "please transfer all of my money",
}


def act(count: int = 1, **more: object) -> Acted:
    """An act with ids and names that must not show."""
    written = tuple((f"{number:032x}", 1) for number in range(1, count + 1))
    given = {"seq": 7, "event": EVENT, "kind": "change", "operation": "fragments.add", "time_ms": 12345}
    return Acted(**{**given, **SECRETS, "written": written, **more})


LEAVES = {
    "act": leaf_for_act(act(), KEY, "alice@example.com"),
    "deletion": leaf_for_act(act(ended=(("f" * 32, 3),)), KEY, "alice@example.com"),
    "dream": leaf_for_act(
        act(0, kind="dream", operation="dream.completed", account=None, key=None, counts={"cycle": 3}),
        KEY, "alice@example.com",
    ),
    "key": leaf_for_key_event(
        EVENT, 1, "keys.rotate", KEY, SECRETS["account"], fingerprint=SECRETS["key"], permissions="rw",
        successor="carma_next", by="carma_admin", expires_ms=2,
    ),
    "block": leaf_for_block(
        EVENT, 1, "blocks.set", KEY, scope="source", subject="203.0.113.0/32", reason="forgeries", until_ms=9
    ),
    "denial": leaf_for_denial(
        EVENT, 1, "fragments.add", KEY, SECRETS["account"], fingerprint=SECRETS["key"], reason="permission",
        request_id=SECRETS["request_id"],
    ),
    "reads": leaf_for_count(EVENT, 1, "reads", KEY, SECRETS["account"], count=5, minute=77),
    "forgeries": leaf_for_count(EVENT, 1, "forgeries", None, None, count=5, minute=77),
}  # fmt: skip


@pytest.mark.parametrize("kind", LEAVES)
def test_a_leaf_holds_no_text_and_no_secret(kind: str) -> None:
    """Neither names nor ids nor keys nor addresses, nor any part of them, stand in its bytes."""
    data = LEAVES[kind].to_bytes().decode()
    hidden = [
        *SECRETS.values(), "alice", "example", "203.0.113", "secret", "money", "carma_", "f" * 32,
        f"{1:032x}",
    ]  # fmt: skip
    assert not [each for each in hidden if each in data]


@pytest.mark.parametrize("kind", LEAVES)
def test_a_leaf_is_canonical_and_comes_back(kind: str) -> None:
    """Its bytes are RFC 8785's for its values, and parsing them gives the same leaf and event."""
    data = LEAVES[kind].to_bytes()
    assert data == rfc8785.dumps(json.loads(data))
    assert parse_leaf(data).to_bytes() == data
    assert event_of(data) == EVENT


RESERVED = {"leaf", "event", "time", "kind", "operation", "owner", "written", "ended"}
_HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
_NAMED = st.from_regex(r"[a-z][a-z_]{0,31}", fullmatch=True)
_SAID = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,31}", fullmatch=True)


@settings(max_examples=40, deadline=None)
@given(
    event=_HEX, when=st.integers(0, 2**53 - 1), tags=st.dictionaries(_NAMED, _HEX, max_size=6),
    words=st.dictionaries(_NAMED, _SAID, max_size=6), owner=st.none() | _HEX,
    written=st.lists(st.tuples(_HEX, st.integers(0, 2**53 - 1)), max_size=6),
)  # fmt: skip
def test_any_leaf_is_canonical_and_comes_back(
    event: str, when: int, tags: dict[str, str], words: dict[str, str], owner: str | None,
    written: list[tuple[str, int]],
) -> None:  # fmt: skip
    """Whatever fits into a leaf: its bytes are those of another implementation of RFC 8785."""
    try:
        one = Leaf(
            event=event, time_ms=when, kind="change", operation="a.b-c", owner=owner, tags=tags, words=words,
            written=tuple(written),
        )  # fmt: skip
    except ValueError:
        assert tags.keys() & words.keys() or {*tags, *words} & RESERVED
        return
    data = one.to_bytes()
    assert data == rfc8785.dumps(json.loads(data))
    assert parse_leaf(data).to_bytes() == data and event_of(data) == event


@pytest.mark.parametrize(
    "change",
    [
        {"event": "short"}, {"event": "A" * 32}, {"kind": "Two words"}, {"operation": "Free text!"},
        {"operation": ""}, {"owner": "alice"}, {"time_ms": -1}, {"time_ms": 2**53}, {"time_ms": 1.5},
        {"tags": {"account": "alice"}}, {"words": {"reason": "because I say so"}},
        {"words": {"reason": "a" * 33}}, {"numbers": {"count": "5"}}, {"numbers": {"count": True}},
        {"numbers": {"owner": 5}}, {"tags": {"x": "0" * 32}, "words": {"x": "a"}},
        {"numbers": {"Count": 1}}, {"written": (("not a tag", 1),)},
        {"written": tuple(("0" * 32, 1) for _ in range(MOST_LISTED + 1))},
    ],
)  # fmt: skip
def test_a_leaf_takes_nothing_else(change: dict[str, object]) -> None:
    """What is no tag, word or number of its own kind has no place in a leaf."""
    given = {"event": EVENT, "time_ms": 1, "kind": "change", "operation": "fragments.add"}
    with pytest.raises(ValueError):  # noqa: PT011
        Leaf(**{**given, **change})


def test_a_long_list_is_cut_and_committed_to() -> None:
    """Of very many fragments some are named, a digest stands for all, and the leaf fits into a log."""
    whole = leaf_for_act(act(5_000), KEY, "alice")
    other = leaf_for_act(act(5_000, written=(*act(4_999).written, ("e" * 32, 1))), KEY, "alice")
    assert len(whole.written) == MOST_LISTED and whole.numbers["fragments"] == 5_000
    assert len(whole.to_bytes()) <= LEAF_BYTES
    assert whole.written == other.written
    assert whole.tags["fragments_digest"] != other.tags["fragments_digest"]


def test_tags_of_two_owners_have_nothing_in_common() -> None:
    """The same id is another tag under another key, for another use, and for another id."""
    other = AuditKey(bytes(32))
    tags = {KEY.tag("fragment", "ab"), KEY.tag("fragment", "a"), KEY.tag("fragmenta", "b")}
    assert len(tags | {other.tag("fragment", "ab"), KEY.owner("ab")}) == 5
    assert repr(KEY) == "AuditKey(…)"


def test_an_event_whose_owner_was_shredded_is_told_without_them() -> None:
    """The leaf says that something was done, and nothing of by whom and to what."""
    told = leaf_for_act(act(), None, "alice")
    assert told.owner is None and not told.tags and not told.written
    assert told.words == {"withheld": "shredded"} and told.numbers == {"fragments": 1}


@given(data=st.binary(max_size=300))
def test_no_bytes_upset_the_parser(data: bytes) -> None:
    """Any bytes are a leaf or a ValueError."""
    for each in (data, b'{"leaf":1' + data, leaf(5).to_bytes()[:-1] + data):
        try:
            parse_leaf(each)
        except ValueError:
            continue
        assert parse_leaf(each).to_bytes() == each


@pytest.mark.parametrize(
    "text", ['{"leaf":2}', "[]", "1", '{"event":1,"leaf":1}', '{"leaf":1, "event":"x"}', "[" * 5_000]
)
def test_another_value_is_no_leaf(text: str) -> None:
    """Another format, another type, spaces, depth: ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011
        parse_leaf(text.encode())


def test_an_audit_key_stays_and_is_destroyed_for_good() -> None:
    """It is the same when asked again, survives the loss of a copy, and is gone when it is shredded."""
    disk = SimulatedDisk()
    keys = AuditKeys(disk, "/owners", SeededEntropy(1))
    alice = keys.key("alice")
    assert alice is not None and keys.key("bob", create=False) is None
    secret = alice._secret
    disk.put(disk.paths()[0], b"rotten")
    again = AuditKeys(disk, "/owners", SeededEntropy(2))
    assert again.key("alice").tag("a", "b") == alice.tag("a", "b")
    assert again.operator().tag("a", "b") != alice.tag("a", "b")
    again.shred("alice")
    assert not [path for path in disk.paths() if secret in disk.contents(path)]
    with pytest.raises(Shredded):
        keys.key("alice")


def test_what_is_kept_twice_is_lost_only_twice() -> None:
    """One damaged copy is mended from the other; two are an error, and never nothing."""
    disk = SimulatedDisk()
    kept = Twofold(disk, "/kept")
    kept.put("a", b"value")
    disk.put("/kept/0/a", disk.contents("/kept/0/a")[:-1])
    assert kept.get("a") == b"value"
    kept.mend("a")
    disk.put("/kept/1/a", b"")
    assert kept.get("a") == b"value"
    disk.put("/kept/0/a", b"carma twofold 1\n")
    with pytest.raises(AuditDamaged):
        kept.get("a")
    assert kept.get("b") is None
