"""On its way in or out no text reaches a disk in the clear that was not to, also if the process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from carma.access.vault.recipients import Identity
from carma.store import database, registry
from carma.store.registry import Registry
from carma.testing import StandInCipher

from .conftest import Open
from .readable import files_below, found_in, telling_text

TEXTS = [telling_text(number) for number in range(60)]
IDENTITY = Identity(bytes(32))

EXPORT = """
import os, sys
from carma import Memory
from carma.access.vault import sealedfile
from carma.access.vault.recipients import Identity
from carma.testing import HashEmbedder

put = sealedfile.SealedWriter._put

def dying(self, piece, *, last):
    put(self, piece, last=last)
    self._file.flush()
    if last:
        os._exit(9)

sealedfile.SealedWriter._put = dying
with Memory.open(sys.argv[1], embedder=HashEmbedder()) as memory:
    memory.export(sys.argv[2], format="archive", to=Identity(bytes(32)).recipient)
"""

IMPORT = """
import os, sys
from carma import Memory
from carma.access.vault.recipients import Identity
from carma.memory import importing
from carma.testing import HashEmbedder, StandInCipher

def dying(parts, drafts, counts):
    assert drafts
    os._exit(9)

importing._merge = dying
with Memory.open(sys.argv[1], embedder=HashEmbedder(), cipher=StandInCipher()) as memory:
    memory.import_(sys.argv[2], identity=Identity(bytes(32)))
"""


def killed(program: str, folder: Path, *arguments: object) -> None:
    """Run a program that kills itself, with the temporary files of its own in `folder`."""
    folder.mkdir()
    line = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(line, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, check=False)
    assert done.returncode == 9, done.stderr.decode()


def test_an_archive_for_somebody_is_sealed_from_its_first_byte(tmp_path: Path, open_memory: Open) -> None:
    """Of a plain memory, onto another disk: killed at its end it leaves nothing there that can be read."""
    with open_memory(cipher=None) as memory:
        memory.add_many(TEXTS)
    other = tmp_path / "other disk"
    other.mkdir()
    killed(EXPORT, tmp_path / "tmp", tmp_path / "memory", other / "out")
    left = files_below(other) | files_below(tmp_path / "tmp")
    assert sum(map(len, left.values())) > 5_000
    assert found_in(left, TEXTS) == []


def test_an_import_unpacks_nothing(tmp_path: Path, open_memory: Open) -> None:
    """What was sealed for us goes into an encrypted memory, and nowhere else."""
    with open_memory("source", cipher=None) as memory:
        memory.add_many(TEXTS)
        memory.export(tmp_path / "sealed", format="archive", to=IDENTITY.recipient)
    open_memory("target").close()
    killed(IMPORT, tmp_path / "tmp", tmp_path / "target", tmp_path / "sealed")
    assert found_in(files_below(tmp_path / "target") | files_below(tmp_path / "tmp"), TEXTS) == []
    with open_memory("target") as memory:
        assert memory.import_(tmp_path / "sealed", identity=IDENTITY)["imported"] == len(TEXTS)
        assert {each.text for each in memory.list(limit=100)} == set(TEXTS)


def test_an_export_is_its_owners_alone(tmp_path: Path, open_memory: Open) -> None:
    """Whatever the umask: a plain export of an encrypted memory is for nobody else on the machine."""
    with open_memory() as memory:
        memory.add(TEXTS[0])
        before = os.umask(0)
        try:
            memory.export(tmp_path / "out.jsonl")
        finally:
            os.umask(before)
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600


# SQLite's own files

_SPILLS = {
    apsw.SQLITE_OPEN_TEMP_DB: "temporary tables",
    apsw.SQLITE_OPEN_TRANSIENT_DB: "sorting",
    apsw.SQLITE_OPEN_TEMP_JOURNAL: "the journal of temporary tables",
    apsw.SQLITE_OPEN_SUBJOURNAL: "taking a statement back",
    apsw.SQLITE_OPEN_SUPER_JOURNAL: "several files at once",
}


class Watched(apsw.VFS):
    """The VFS of encrypted registries, with a list of what is opened by it."""

    def __init__(self, below: str) -> None:
        super().__init__("watched", below)
        self.opened: list[str] = []

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        self.opened += [what for flag, what in _SPILLS.items() if flags[0] & flag]
        return super().xOpen(name, flags)  # type: ignore[arg-type, no-untyped-call]


def test_the_registry_spills_into_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorting, temporary tables, and statements that change many pages and are taken back."""
    watched = Watched(database.ENCRYPTED)
    for module in (database, registry):
        monkeypatch.setattr(module, "ENCRYPTED", "watched")
    index = Registry.create(str(tmp_path / "registry"), key=StandInCipher().subkey("registry"), cache_kib=64)
    try:
        with index.transaction() as db:
            db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT UNIQUE)")
            db.executemany(
                "INSERT INTO t VALUES(?, ?)", ((n, f"{n} {TEXTS[n % 60] * 20}") for n in range(300))
            )
            db.execute("CREATE TEMP TABLE other AS SELECT * FROM t")
            with pytest.raises(apsw.ConstraintError):
                db.execute("UPDATE t SET text = CASE id WHEN 299 THEN 'x' ELSE substr(text, 9) || id END, "
                           "id = CASE id WHEN 299 THEN 1 ELSE id END")  # fmt: skip
        assert len(index.rows("SELECT text FROM t ORDER BY substr(text, 12)")) == 300
        assert index.rows("SELECT count(DISTINCT text) FROM (SELECT text FROM t UNION SELECT text||1 FROM t)")
    finally:
        index.close()
    assert watched.opened == []
    left = {name: data for name, data in files_below(tmp_path).items() if name.startswith("registry")}
    assert left and found_in(left, TEXTS) == []
