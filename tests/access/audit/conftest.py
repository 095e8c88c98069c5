"""One large log for the whole session, which the tests damage and put right again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from carma.access.audit.tiles import ENTRIES, WIDTH, Place, pack_bundle, unpack_bundle, width_of
from carma.access.audit.verify import AuditReport, verify_log
from carma.ports.disk import LocalDisk

from .making import SIGNER, entries, open_log

SIZE = 100_000


class LargeLog:
    """A log of 100,000 entries in a folder. checkpoints: as they were when it had so many entries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints: dict[int, bytes] = {}
        log = open_log(LocalDisk(), str(folder / "log"), str(folder / "private"))
        for start in range(0, SIZE, 10_000):
            log.append(entries(10_000, start))
            self.checkpoints[start + 10_000] = log.checkpoint()
        log.close()

    def path(self, place: Place) -> Path:
        return self.folder / "log" / place.path

    def bundle(self, index: int) -> Place:
        """The bundle that holds an entry."""
        number = index // WIDTH
        return Place(ENTRIES, number, width_of(SIZE, 0, number))

    def entries_of(self, place: Place) -> list[bytes]:
        return unpack_bundle(self.path(place).read_bytes(), place.width)

    @contextmanager
    def changed(self, files: dict[Place, bytes]) -> Iterator[None]:
        """Within the block these files hold something else."""
        before = {place: self.path(place).read_bytes() for place in files}
        try:
            for place, data in files.items():
                self.path(place).write_bytes(data)
            yield
        finally:
            for place, data in before.items():
                self.path(place).write_bytes(data)

    def with_entries(self, place: Place, found: list[bytes]) -> dict[Place, bytes]:
        return {place: pack_bundle(found)}

    def verify(self, **options: object) -> AuditReport:
        return verify_log(LocalDisk(), str(self.folder / "log"), SIGNER.verifiers(), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> LargeLog:
    return LargeLog(tmp_path_factory.mktemp("large"))
