"""Logs for the tests: small ones on any disk, and leaves to put into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from carma.access.audit.checkpoint import Signer
from carma.access.audit.leaf import Leaf
from carma.access.audit.log import Log
from carma.access.audit.sequencer import Waiting
from carma.access.audit.tree import leaf_hash, root_of
from carma.ports.clock import Clock
from carma.ports.disk import Disk, File
from carma.testing import SimulatedClock

FOLDER = "/audit/log"
PRIVATE = "/audit/private"


def seed(name: str) -> bytes:
    """A seed of 32 bytes that is the same for the same name. For tests only."""
    return sha256(name.encode()).digest()


def signer(name: str) -> Signer:
    """The keys of a log or a witness of the tests."""
    return Signer(name, seed(f"{name} ed25519"), seed(f"{name} ml-dsa-44"))


SIGNER = signer("example.com/log")


def open_log(
    disk: Disk,
    folder: str = FOLDER,
    private: str = PRIVATE,
    *,
    by: Signer = SIGNER,
    clock: Clock | None = None,
) -> Log:
    """A log, open for writing."""
    return Log(disk, folder, private, by, clock or SimulatedClock())


def leaf(number: int, kind: str = "change") -> Leaf:
    """A leaf of an event with a number."""
    return Leaf(
        event=f"{number:032x}", time_ms=1_750_000_000_000 + number, kind=kind, operation="fragments.add",
        owner="0" * 32, tags={"account": "a" * 32}, numbers={"fragments": 1},
        written=((sha256(str(number).encode()).hexdigest()[:32], 1),),
    )  # fmt: skip


def entries(count: int, start: int = 0) -> list[bytes]:
    """Leaves as entries of a log, quickly: the bytes of `leaf` with another number."""
    return [b'{"event":"%032x","leaf":1,"n":%d}' % (number, number) for number in range(start, start + count)]


def root(entries: Sequence[bytes]) -> bytes:
    """The root over entries, from scratch."""
    return root_of([leaf_hash(entry) for entry in entries])


def logged(log: Log) -> list[bytes]:
    """Every entry of a log, proven."""
    return [entry for _, entry in log.reader().entries()]


class Shelf:
    """A source in a file of a disk: each line is an event's number. `fallen`: how far it was copied."""

    def __init__(self, disk: Disk, name: str) -> None:
        self.name = name
        self._disk = disk
        self._path = f"/audit/{name}"
        self.copied_upto: list[int] = []

    def put(self, *numbers: int) -> None:
        """Add events, durably."""
        self._disk.mkdir("/audit")
        file: File = self._disk.open(self._path, write=True, create=True)
        file.pwrite("".join(f"{number:031d}\n" for number in numbers).encode(), file.size())
        file.sync()
        self._disk.sync_dir("/audit")
        self._disk.sync_dir("/")

    def waiting(self, after: int) -> Iterator[Waiting]:
        try:
            file = self._disk.open(self._path)
        except FileNotFoundError:
            return
        lines = file.pread(1 << 20, 0).decode().split("\n")[:-1]
        for position, line in enumerate(lines, 1):
            if position > after:
                yield Waiting(position, leaf(int(line)))

    def copied(self, upto: int) -> None:
        self.copied_upto.append(upto)
