"""A plain memory becomes an encrypted one, on a real disk: its files, its processes, what is lost of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from carma import Memory
from carma.errors import (
    BecameEncrypted,
    CarmaError,
    EncryptionUnfinished,
    HealFirst,
    MemoryBusy,
    MemoryNotFound,
    NotEncrypted,
    VaultWrong,
)
from carma.testing import StandInCipher

from .conftest import Open
from .readable import files_below, found_in, telling_text


def filled(open_memory: Open, name: str = "memory", count: int = 60) -> tuple[dict[str, str], list[str]]:
    """A plain memory; its texts by id, and all that was said."""
    with open_memory(name, cipher=None) as memory:
        texts = {
            (each := memory.add(telling_text(n), user=telling_text(500 + n))).id: each.text
            for n in range(count)
        }
        memory.flush()
    with open_memory(name, cipher=None) as memory:
        late = memory.add(telling_text(900))
        memory.flush()
        texts[late.id] = late.text
    return texts, [*texts.values(), *(telling_text(500 + n) for n in range(count))]


def test_nothing_plain_is_left_in_any_file(tmp_path: Path, open_memory: Open) -> None:
    """Segments, mirror, parity, registry with its write-ahead log, vectors, quarantine."""
    texts, said = filled(open_memory)
    folder = tmp_path / "memory"
    quarantined = folder / "quarantine"
    quarantined.mkdir(exist_ok=True)
    (quarantined / "segments-1-000001.seg").write_bytes(said[0].encode())
    assert found_in(files_below(folder), said)
    told: list[tuple[int, int]] = []
    done = Memory.encrypt(folder, cipher=StandInCipher(), progress=lambda at, of: told.append((at, of)))
    assert (done["records"], done["vectors"], done["lost"], done["encrypted"]) == (61, 61, 0, True)
    assert told == [(61, 61)]
    assert found_in(files_below(folder), said) == []
    with open_memory() as memory:
        assert {id: memory.get(id).text for id in texts} == texts
        assert memory.stats()["vectors"]["pending"] == 0
        assert memory.scan(deep=True).healthy
        memory.add("and it goes on")
    assert Memory.encrypt(folder, cipher=StandInCipher())["encrypted"] is False
    with pytest.raises(VaultWrong):
        Memory.encrypt(folder, cipher=StandInCipher("bob"))


def test_every_old_file_is_overwritten_before_it_goes(tmp_path: Path, open_memory: Open) -> None:
    """Somebody who still holds the old files open sees zeros in them, and no text."""
    _, said = filled(open_memory)
    folder = tmp_path / "memory"
    with ExitStack() as stack:
        paths = [path for path in folder.rglob("*") if path.is_file()]
        held = {path.name: stack.enter_context(path.open("rb")) for path in paths}
        Memory.encrypt(folder, cipher=StandInCipher())
        assert found_in({name: file.read() for name, file in held.items()}, said) == []


KILLED = """
import os, sys
from carma import Memory
from carma.store import encrypting
from carma.testing import StandInCipher

erase, left = encrypting.erase, [7]

def erasing(disk, path):
    left[0] -= 1
    if left[0] == 0:
        os._exit(9)
    erase(disk, path)

encrypting.erase = erasing
Memory.encrypt(sys.argv[1], cipher=StandInCipher())
"""


def test_a_killed_process_leaves_a_whole_memory_and_the_next_one_ends_it(
    tmp_path: Path, open_memory: Open
) -> None:
    """On a real disk, with SQLite's files: among the old files, when some of them are gone."""
    texts, said = filled(open_memory)
    folder = tmp_path / "memory"
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], capture_output=True, check=False)
    assert done.returncode == 9, done.stderr.decode()
    assert found_in(files_below(folder), said)
    with pytest.raises(EncryptionUnfinished):
        open_memory(cipher=None)
    with open_memory() as memory:
        assert {id: memory.get(id).text for id in texts} == texts
        assert memory.stats()["vectors"]["pending"] == 0
    assert found_in(files_below(folder), said) == []


def test_whoever_has_it_open_is_refused(tmp_path: Path, open_memory: Open) -> None:
    """Before: encrypting waits for nobody. After: an open reader writes nothing plain any more."""
    _, said = filled(open_memory)
    folder = tmp_path / "memory"
    memory = open_memory(cipher=None)
    with pytest.raises(MemoryBusy):
        Memory.encrypt(folder, cipher=StandInCipher())
    memory.close()
    # A reader that keeps no registry open is not noticed; what it does afterwards is refused.
    shutil.rmtree(folder / "index")
    reader = open_memory(cipher=None, read_only=True)
    Memory.encrypt(folder, cipher=StandInCipher())
    with pytest.raises(BecameEncrypted) as caught:
        reader.search(said[0])
    assert caught.value.exit_code == 38
    reader.close()
    assert found_in(files_below(folder), said) == []


def test_lost_fragments_are_healed_first_or_stay_blank(tmp_path: Path, open_memory: Open) -> None:
    """Their texts could not be proven any more; with leave to lose them, they stay blanks, named."""
    folder = tmp_path / "memory"
    texts, _ = filled(open_memory)
    with open_memory(cipher=None) as memory:
        memory.compact(linger_s=0)
    for path in sorted((folder / "parity").iterdir()):
        path.unlink()
    gone = min((folder / "segments").glob("c*"))
    gone.unlink()
    with open_memory(cipher=None) as memory:
        memory.scan(deep=True)
        lost = {id for id in texts if memory.get(id).state == "blank"}
    assert 0 < len(lost) < 10
    before = files_below(folder)
    with pytest.raises(HealFirst):
        Memory.encrypt(folder, cipher=StandInCipher())
    after = files_below(folder)
    assert {n: d for n, d in after.items() if "index" not in n} == {
        n: d for n, d in before.items() if "index" not in n
    }
    done = Memory.encrypt(folder, cipher=StandInCipher(), leave_lost=True)
    assert done["lost"] == len(lost)
    with open_memory() as memory:
        assert {id for id in texts if memory.get(id).state == "blank"} == lost
        assert {id: memory.get(id).text for id in texts.keys() - lost} == {
            id: text for id, text in texts.items() if id not in lost
        }
        assert memory.count() == len(texts)


def test_what_a_dream_has_found_again_is_not_lost(tmp_path: Path, open_memory: Open) -> None:
    """A record is gone, and its true text stands in another: it goes along, proven by the keyed digest."""
    folder = tmp_path / "memory"
    with open_memory(cipher=None) as memory:
        texts = {(each := memory.add(f"The ferry number {n} leaves at {n} o'clock.")).id: each.text
                 for n in range(40)}  # fmt: skip
        memory.compact(linger_s=0)
    columns = sorted((folder / "parity").iterdir())
    for path in columns[1:-1]:
        path.unlink()
    for path in sorted((folder / "segments").glob("c*"))[:3]:
        path.unlink()
    with open_memory(cipher=None) as memory:
        memory.dream(in_process=True)
        states = {id: memory.get(id).state for id in texts}
    assert set(states.values()) == {"intact", "repaired"} and "repaired" in states.values()
    assert Memory.encrypt(folder, cipher=StandInCipher())["lost"] == 0
    for index in (True, False):
        if not index:
            shutil.rmtree(folder / "index")
        with open_memory() as memory:
            assert {id: memory.get(id).text for id in texts} == texts
            assert {id: memory.get(id).state for id in texts} == states
    assert found_in(files_below(folder), texts.values()) == []


def test_an_empty_memory_can_be_encrypted(tmp_path: Path, open_memory: Open) -> None:
    """One without a fragment, and one in which everything was deleted."""
    open_memory(cipher=None).close()
    with open_memory("deleted", cipher=None) as memory:
        memory.delete(memory.add(telling_text(1)).id, purge=True)
    for name in ("memory", "deleted"):
        Memory.encrypt(tmp_path / name, cipher=StandInCipher())
        with open_memory(name) as memory:
            assert memory.count() == 0
            assert memory.get(memory.add("first").id).text == "first"
    with pytest.raises(MemoryNotFound):
        Memory.encrypt(tmp_path / "nowhere", cipher=StandInCipher())


def test_the_owner_gets_a_key_only_where_one_is_needed(
    tmp_path: Path, vault: object, open_memory: Open
) -> None:
    """Encrypting makes the owner's first key; for a wrong name nothing is made."""
    filled(open_memory, count=3)
    Memory.encrypt(tmp_path / "memory", vault=vault, owner="alice")  # type: ignore[arg-type]
    with pytest.raises(CarmaError):
        Memory.encrypt(tmp_path / "memory", vault=vault, owner="alyce")  # type: ignore[arg-type]
    assert vault.owners() == ["alice"]  # type: ignore[attr-defined]
    with open_memory(vault=vault, owner="alice") as memory:
        assert memory.count() == 4


def test_two_who_encrypt_at_once_do_it_once(tmp_path: Path, open_memory: Open) -> None:
    """One does it; the other is told that it is busy, or finds it done."""
    texts, said = filled(open_memory)
    outcomes: list[object] = []

    def encrypt() -> None:
        try:
            outcomes.append(Memory.encrypt(tmp_path / "memory", cipher=StandInCipher())["encrypted"])
        except (MemoryBusy, BecameEncrypted, NotEncrypted) as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=encrypt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if True not in outcomes:
        encrypt()
    with open_memory() as memory:
        assert {id: memory.get(id).text for id in texts} == texts
    assert found_in(files_below(tmp_path / "memory"), said) == []
