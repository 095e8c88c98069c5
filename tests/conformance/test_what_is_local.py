"""What a client has, what it refuses, and that nothing lies between."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from carma import AsyncClient, AsyncMemory, Client, Memory
from carma.access.keys.text import parse_secret
from carma.client.local import LOCAL
from carma.client.operations import OPERATIONS
from carma.errors import CarmaError, DreamNotFound, InvalidInput, MemoryClosed, NotRemote

from .conftest import Make
from .kinds import Spoken

REMOTE = ["Client", "AsyncClient"]
MAKING = {"open", "encrypt", "close"}


def verbs(kind: type) -> set[str]:
    """The public methods."""
    found = {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}
    return found - MAKING


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_verb_of_a_memory_is_there_or_refused(kind: type) -> None:
    """By the same name and with the same arguments; a client has more where it is about the account."""
    shared = verbs(Memory) - LOCAL.keys()
    assert verbs(Memory) | {"audit", "rotate_key", "usage"} == verbs(kind)
    assert verbs(AsyncMemory) == verbs(Memory)
    for name in sorted(shared):
        here, there = (inspect.signature(getattr(each, name)).parameters for each in (Memory, kind))
        assert [*here] == [*there][: len(here)], name
        kinds = {each: (here[each].kind, there[each].kind) for each in here}
        assert all(one == other for one, other in kinds.values()), name
        assert getattr(kind, name).__doc__, name


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_operation_has_a_verb(kind: type) -> None:
    """The 17 of the interface, by their names."""
    assert len(OPERATIONS) == 17 and OPERATIONS.keys() <= verbs(kind)


@pytest.mark.parametrize("kind", REMOTE)
@pytest.mark.parametrize("verb", sorted(LOCAL))
def test_what_stays_local_says_so(shared: Any, kind: str, verb: str) -> None:
    """With what to do instead, at the first call, whatever is given."""
    with pytest.raises(NotRemote, match=verb) as caught:
        getattr(shared(kind), verb)("x", y=1)
    assert caught.value.hint == LOCAL[verb]


@pytest.mark.parametrize("kind", REMOTE)
@pytest.mark.parametrize("local", [{"sources": ["x"]}, {"model": object()}, {"in_process": True}])
def test_a_dream_takes_nothing_of_this_machine(shared: Any, kind: str, local: dict[str, Any]) -> None:
    """Sources, a model and a process belong to where the memory lies; nothing is started."""
    with pytest.raises(NotRemote, match=next(iter(local))):
        shared(kind).dream(**local)


def test_a_dream_that_is_not_there(memory: Spoken) -> None:
    """The same error everywhere, and another for what is no number."""
    with pytest.raises(DreamNotFound):
        memory.show_dream(10**6)
    for wrong in (0, -1, "1", True):
        with pytest.raises(InvalidInput):
            memory.show_dream(wrong)


@pytest.mark.parametrize("kind", REMOTE)
def test_the_account_says_what_it_uses(make: Make, kind: str) -> None:
    """Counts of its memory, its requests and its bounds; its own entries of the audit log."""
    memory = make(kind)
    memory.add_many(["one", "two", "three"])
    usage = memory.usage()
    assert usage["memory"]["fragments"] == 3 and usage["requests"] and usage["limits"]["items"] == 1_000
    assert "path" not in usage["memory"] and usage["permissions"] == "rwha"
    entries = memory.audit(limit=5)["entries"]
    assert "add" in {each["leaf"].get("operation", "").rpartition(".")[2] for each in entries}
    assert all("one" not in str(each["leaf"].get("text", "")) for each in entries)


@pytest.mark.parametrize("kind", REMOTE)
def test_a_key_is_rotated_by_its_client(make: Make, kind: str) -> None:
    """The client goes on with the new one; it is told once, and only to whoever asked."""
    memory = make(kind)
    made = memory.add("tea")
    before = memory.memory.fingerprint
    new = memory.rotate_key(grace_s=60.0)
    assert parse_secret(new.key).fingerprint == new.fingerprint == memory.memory.fingerprint != before
    assert new.old_fingerprint == before and new.old_works_until is not None
    assert memory.get(made.id) == made
    with pytest.raises(CarmaError):
        memory.rotate_key(grace_s=-1.0)
    assert memory.get(made.id) == made


def test_whoever_closed_it_is_told(make: Make) -> None:
    """After `close` every verb of a client raises, and closing again is nothing."""
    for kind in REMOTE:
        memory = make(kind)
        memory.close()
        memory.close()
        with pytest.raises(MemoryClosed):
            memory.list()
