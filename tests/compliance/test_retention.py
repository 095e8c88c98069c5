"""Retention removes what the rules say, keeps what a hold names, and leaves no byte of what it removed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma import Memory, Settings
from carma.compliance.retention import candidates, carry_out, on_hold, plan
from carma.compliance.rules import Rules, load_rules, parse_rules
from carma.errors import InvalidInput, MassDamage
from carma.testing import (
    Crash,
    HashEmbedder,
    SeededEntropy,
    SimulatedClock,
    SimulatedCrash,
    SimulatedDisk,
)
from tests.vault.readable import files_below, found_in, telling_text

DAY = 86_400.0


def rules(*each: dict[str, Any], holds: tuple[dict[str, Any], ...] = ()) -> Rules:
    return parse_rules(json.dumps({"format": "carma retention 1", "rules": each, "holds": holds}).encode())


def value(id: int, **more: Any) -> dict[str, Any]:
    """A fragment as an export writes it, without its text."""
    base = {
        "id": f"{id:032x}", "version": 1, "state": "intact", "parent": None, "kind": "note", "user": None,
        "agent": None, "session": None, "created": 0.0, "updated": 0.0, "expires": None, "source": None,
        "metadata": {},
    }  # fmt: skip
    return base | more


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """A plain memory, so that bytes which should be gone can be looked for."""
    with Memory.open(tmp_path / "memory", embedder=HashEmbedder()) as memory:
        yield memory


def test_a_rule_removes_by_age_and_metadata() -> None:
    """Age by the time of writing or of the last change, expiry, and filters; the first rule counts."""
    found = rules(
        {"name": "chats", "older_than": "90d", "by": "updated", "where": {"kind": "chat"}},
        {"name": "drafts", "older_than": "1h", "where": {"draft": True}},
        {"name": "over", "expired": True},
    )
    now = 100 * DAY
    planned = plan(
        found,
        [
            value(1, kind="chat", updated=9 * DAY),
            value(2, kind="chat", updated=11 * DAY),
            value(3, metadata={"draft": True}, created=now - 3_700),
            value(4, metadata={"draft": True}, created=now - 3_500),
            value(5, expires=now - 1),
            value(6, expires=now + 1),
            value(7, created=0.0),
        ],
        now,
    )
    assert {int(each.id, 16): each.rule for each in planned.due} == {1: "chats", 3: "drafts", 5: "over"}
    assert planned.by_rule == {"chats": 1, "drafts": 1, "over": 1} and planned.looked_at == 7


def test_a_hold_goes_before_every_rule() -> None:
    """What it names stays, with everything below it if it says so; a lost fragment stays under any hold."""
    top = value(1, metadata={"case": 17})
    fragments = [top, value(2, parent=top["id"]), value(3), value(4, state="blank")]
    everything = {"name": "all", "older_than": "1d"}
    assert len(plan(rules(everything), fragments, 9 * DAY).due) == 4
    held = plan(rules(everything, holds=({"name": "case", "where": {"case": 17}},)), fragments, 9 * DAY)
    assert {int(each.id, 16) for each in held.due} == {2, 3} and held.kept == {"case": 2}
    below = plan(
        rules(everything, holds=({"name": "case", "where": {"under": top["id"]}},)), fragments, 9 * DAY
    )
    assert {int(each.id, 16) for each in below.due} == {3} and below.kept == {"case": 3}
    assert not plan(rules(everything, holds=({"name": "stop", "where": {}},)), fragments, 9 * DAY).due


def test_a_lost_fragment_is_removed_by_age_alone() -> None:
    """Nobody knows its metadata, so no rule with a filter may take it."""
    lost = [value(1, state="blank")]
    filtered = plan(rules({"name": "chats", "older_than": "1d", "where": {"a": {"ne": 1}}}), lost, 9 * DAY)
    assert not filtered.due and filtered.unknown == 1
    assert len(plan(rules({"name": "all", "older_than": "1d"}), lost, 9 * DAY).due) == 1


@given(
    ages=st.lists(st.floats(0, 200), max_size=20),
    limit=st.integers(1, 150),
    held=st.sets(st.integers(0, 19)),
)
def test_a_plan_takes_what_is_old_and_not_held_and_nothing_else(
    ages: list[float], limit: int, held: set[int]
) -> None:
    """Against the definition, for any ages, limit and holds; a second plan over the rest is empty."""
    fragments = [
        value(at, created=(200 - age) * DAY, metadata={"held": at in held}) for at, age in enumerate(ages)
    ]
    found = rules({"name": "old", "older_than": f"{limit}d"}, holds=({"name": "h", "where": {"held": True}},))
    planned = plan(found, fragments, 200 * DAY)
    old = {at for at in range(len(ages)) if fragments[at]["created"] <= (200 - limit) * DAY}
    assert {int(each.id, 16) for each in planned.due} == old - held
    assert sum(planned.kept.values()) == len(old & held)
    rest = [each for each in fragments if each["id"] not in {due.id for due in planned.due}]
    assert not plan(found, rest, 200 * DAY).due


def test_what_is_due_goes_with_its_bytes_and_the_rest_stays(memory: Memory, tmp_path: Path) -> None:
    """Texts, metadata and older versions of what was removed are in no file; the others are whole."""
    now = memory.add("now").created
    old, young = now - 100 * DAY, now - DAY
    due = [
        memory.add(telling_text(at), created=old, metadata={"said": telling_text(50 + at)}) for at in range(6)
    ]
    memory.update(due[0].id, telling_text(40))
    kept = [memory.add(telling_text(100 + at), created=young) for at in range(3)]
    held = memory.add(telling_text(200), created=old, metadata={"case": 17})
    child = memory.add(telling_text(201), created=young, parent=due[1].id)
    memory.rest()
    found = rules({"name": "old", "older_than": "90d"}, holds=({"name": "case", "where": {"case": 17}},))
    planned = plan(found, candidates(memory), now)
    assert planned.by_rule == {"old": 6} and planned.kept == {"case": 1}
    assert len(memory.list(limit=100)) == 12, "a plan changes nothing"

    gone = [telling_text(at) for at in (*range(6), *range(50, 56), 40)]
    assert found_in(files_below(tmp_path / "memory"), gone)
    done = carry_out(memory, planned, account="ada", batch=4)
    assert (done.deleted, done.changed, done.batches, done.finished) == (6, 0, 2, True) and done.purged == 7
    memory.close()
    assert found_in(files_below(tmp_path / "memory"), gone) == []
    with Memory.open(tmp_path / "memory", embedder=HashEmbedder()) as again:
        texts = {each.text for each in again.list(limit=100)}
        assert texts == {"now", held.text, child.text, *(each.text for each in kept)}
        assert again.get(child.id).parent is None
        assert {each.operation for each in again.acts()} == {"retention.old"}
        assert on_hold(found, again) == {"case": 1}


def test_what_changed_since_the_plan_is_left_alone(memory: Memory) -> None:
    """A newer version, and what somebody deleted meanwhile."""
    fragments = [memory.add(telling_text(at), created=1.0) for at in range(3)]
    planned = plan(rules({"name": "old", "older_than": "90d"}), candidates(memory), 100 * DAY)
    memory.update(fragments[0].id, "still wanted")
    memory.delete(fragments[1].id)
    done = carry_out(memory, planned, account="ada")
    assert (done.deleted, done.changed) == (1, 2)
    assert memory.get(fragments[0].id).text == "still wanted"


def test_expired_fragments_go_for_good(memory: Memory, tmp_path: Path) -> None:
    """What no search shows any more is removed, and its bytes."""
    memory.add(telling_text(1), expires=memory.add("stays").created - 5)
    planned = plan(rules({"name": "over", "expired": True}), candidates(memory), memory.add("x").created)
    assert carry_out(memory, planned, account="ada").deleted == 1
    memory.close()
    assert found_in(files_below(tmp_path / "memory"), [telling_text(1)]) == []


def test_it_ends_behind_a_batch_when_it_is_told_to(memory: Memory) -> None:
    """What was not reached is in the next plan."""
    for at in range(6):
        memory.add(telling_text(at), created=1.0)
    found = rules({"name": "old", "older_than": "90d"})
    planned = plan(found, candidates(memory), 100 * DAY)
    done = carry_out(memory, planned, account="ada", batch=2, after_batch=lambda deleted: deleted < 4)
    assert (done.deleted, done.finished) == (4, False)
    assert len(plan(found, candidates(memory), 100 * DAY).due) == 2


def test_mass_damage_ends_it(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """While so much is damaged that nothing may be dropped, nothing is purged."""
    memory.add(telling_text(1), created=1.0)
    planned = plan(rules({"name": "old", "older_than": "90d"}), candidates(memory), 100 * DAY)
    monkeypatch.setattr(type(memory._upkeep), "_tripped", lambda self: True)
    with pytest.raises(MassDamage):
        carry_out(memory, planned, account="ada")


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"[]", b"{}", b'{"format": "carma retention 2", "rules": []}',
        b'{"format": "carma retention 1", "rules": [], "hold": []}',
        b'{"format": "carma retention 1", "rules": [{"name": "a"}]}',
        b'{"format": "carma retention 1", "rules": [{"name": "a", "older_than": "0d"}]}',
        b'{"format": "carma retention 1", "rules": [{"name": "a", "older_than": 90}]}',
        b'{"format": "carma retention 1", "rules": [{"name": "a", "older_than": "1d", "expired": true}]}',
        b'{"format": "carma retention 1", "rules": [{"name": "a", "older_then": "1d"}]}',
        b'{"format": "carma retention 1", "rules": [{"name": "A B", "older_than": "1d"}]}',
        b'{"format": "carma retention 1", "rules": [{"name": "a", "older_than": "1d", "by": "seen"}]}',
        (
            b'{"format": "carma retention 1", "rules": [{"name": "a", "expired": true,'
            b' "where": {"a": {"gx": 1}}}]}'
        ),
        b'{"format": "carma retention 1", "rules": [], "holds": [{"name": "h"}]}',
        (
            b'{"format": "carma retention 1", "rules": [{"name": "a", "expired": true}],'
            b' "holds": [{"name": "a", "where": {}}]}'
        ),
    ],
)  # fmt: skip
def test_rules_that_are_not_understood_are_refused(bad: bytes) -> None:
    """Whole: no rule of a file counts if one of them is mistyped."""
    with pytest.raises(InvalidInput):
        parse_rules(bad)


def test_rules_come_from_a_file(tmp_path: Path) -> None:
    """And one that is not there, or too long, is said to be."""
    (tmp_path / "rules.json").write_text('{"format": "carma retention 1", "rules": []}')
    assert load_rules(tmp_path / "rules.json") == Rules()
    with pytest.raises(InvalidInput):
        load_rules(tmp_path / "none.json")
    (tmp_path / "long.json").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(InvalidInput):
        load_rules(tmp_path / "long.json")


# A process that dies

KEPT, GONE = telling_text(900), telling_text(901)
_RULES = rules({"name": "old", "older_than": "90d"}, holds=({"name": "case", "where": {"case": 1}},))


def _memory(disk: SimulatedDisk) -> Memory:
    clock = SimulatedClock()
    return Memory.open(
        "/memory", disk=disk, clock=clock, entropy=SeededEntropy(1), embedder=HashEmbedder(),
        settings=Settings(segment_bytes=4_000, sleep=False),
    )  # fmt: skip


def _filled() -> tuple[SimulatedDisk, float]:
    disk = SimulatedDisk()
    with _memory(disk) as memory:
        now = memory.add(KEPT).created
        memory.add(telling_text(902), created=now - 100 * DAY, metadata={"case": 1})
        for at in range(3):
            memory.add(f"{GONE} {at}", created=now - 100 * DAY)
        memory.rest()
    return disk, now


def _retain(disk: SimulatedDisk, now: float) -> None:
    with _memory(disk) as memory:
        carry_out(memory, plan(_RULES, candidates(memory), now), account="ada", batch=2)


@pytest.mark.parametrize(
    "points", [14, pytest.param(10_000, marks=pytest.mark.nightly)], ids=["some calls", "all calls"]
)
def test_a_process_that_dies_at_a_call_loses_nothing_and_the_next_one_ends_it(points: int) -> None:
    """What is held or young stays whole, and the same call again leaves no byte of the rest."""
    template, now = _filled()
    assert any(GONE.encode() in template.contents(path) for path in template.paths())
    whole = template.copy()
    first = whole.calls
    _retain(whole, now)
    ran = whole.calls - first
    assert ran > 100
    for number in range(1, ran + 1, max(ran // points, 1)):
        disk = template.copy()
        disk.faults = [Crash(at=disk.calls + number, when="middle")]
        with suppress(SimulatedCrash):
            _retain(disk, now)
        disk.restart()
        _retain(disk, now)
        with _memory(disk) as memory:
            assert {each.text for each in memory.list()} == {KEPT, telling_text(902)}, number
        left = [path for path in disk.paths() if GONE.encode() in disk.contents(path)]
        assert left == [], f"died at call {number}"
