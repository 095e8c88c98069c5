"""The files below a path, in an order that does not depend on the file system.

Only names and sizes are read here. What cannot be taken is reported, item by item; what is hidden, or in a
folder named in `IngestOptions.skip`, is left out by design and not reported.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from carma.errors import InvalidInput
from carma.ingest.options import IngestOptions
from carma.ingest.report import Problem

__all__ = ["Entry", "Found", "shown", "walk"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder: its `Source.path`, the path to open it by, and a file's size in bytes.

    entries: a folder's files and folders by name.
    """

    path: str
    real: str
    size: int = 0
    is_folder: bool = False
    entries: tuple[Entry, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(slots=True)
class Found:
    """The result of a walk.

    blocked: paths that exist but were not taken, and the folders above them: what came from them earlier has
    not
        vanished.
    """

    root: Entry
    files: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)

    def block(self, path: str) -> None:
        """Note that something exists at `path` and could not be taken."""
        while path and path not in self.blocked:
            self.blocked.add(path)
            path = path.rpartition("/")[0]


def shown(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 become `\\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace").replace("\x00", "\ufffd")


def walk(path: str, options: IngestOptions) -> Found:
    """List what lies at the absolute `path`. Raises `InvalidInput` where that cannot be read."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            os.scandir(path).close()
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"cannot read {shown(path)}: {_reason(error)}", hint="Nothing was changed."
        ) from error
    name = shown(os.path.basename(path)) or "root"
    walker = _Walker(options, Found(Entry(name, path)))
    found = walker.found
    if stat.S_ISDIR(status.st_mode):
        top = walker.folder(name, path, 1, ((status.st_dev, status.st_ino),))
        found.root = top or Entry(name, path, is_folder=True)
    elif stat.S_ISREG(status.st_mode):
        found.root = walker.file(name, path, status)
    else:
        raise InvalidInput(f"{name} is neither a file nor a folder", hint="Nothing was changed.")
    return found


class _Walker:
    def __init__(self, options: IngestOptions, found: Found) -> None:
        self.options = options
        self.found = found

    def file(self, path: str, real: str, status: os.stat_result) -> Entry:
        self.found.files += 1
        self.found.bytes += status.st_size
        return Entry(path, real, status.st_size)

    def folder(self, path: str, real: str, depth: int, above: tuple[tuple[int, int], ...]) -> Entry | None:
        """The folder; None where nothing in it can be taken (a folder at the top is always one)."""
        try:
            with os.scandir(real) as listing:
                names = sorted(entry.name for entry in listing)
        except OSError as error:
            return self._refuse(path, "unreadable", f"the folder cannot be read: {_reason(error)}")
        entries = []
        for name in names:
            if name.startswith(".") and not self.options.hidden:
                continue
            entry = self._entry(f"{path}/{shown(name)}", os.path.join(real, name), name, depth, above)
            if entry is not None:
                entries.append(entry)
        if not entries and depth > 1:
            return None
        return Entry(path, real, is_folder=True, entries=tuple(entries))

    def _entry(
        self, path: str, real: str, name: str, depth: int, above: tuple[tuple[int, int], ...]
    ) -> Entry | None:
        try:
            status = os.lstat(real)
            if stat.S_ISLNK(status.st_mode):
                if not self.options.follow_links:
                    return self._refuse(path, "link", "a symbolic link; not followed")
                status = os.stat(real)
        except OSError as error:
            return self._refuse(path, "unreadable", f"cannot be looked at: {_reason(error)}")
        if stat.S_ISDIR(status.st_mode):
            return self._subfolder(path, real, name, depth, above, (status.st_dev, status.st_ino))
        if not stat.S_ISREG(status.st_mode):
            return self._refuse(path, "special-file", "neither a file nor a folder; not opened")
        if self.found.files >= self.options.files:
            return self._refuse(path, "too-many-files", f"more than {self.options.files:,} files; left out")
        if "\\x" in path and path.endswith(shown(name)) and not _is_text(name):
            warning = "the file name is not UTF-8; written with \\xNN"
            self.found.problems.append(Problem(path, "name-encoding", warning, skipped=False))
        return self.file(path, real, status)

    def _subfolder(
        self,
        path: str,
        real: str,
        name: str,
        depth: int,
        above: tuple[tuple[int, int], ...],
        identity: tuple[int, int],
    ) -> Entry | None:
        if name in self.options.skip:
            return None
        if identity in above:
            return self._refuse(path, "link", "leads back to a folder above it; not followed")
        if depth >= self.options.depth_levels:
            return self._refuse(path, "too-deep", f"nested deeper than {self.options.depth_levels} folders")
        if _is_memory(real):
            return self._refuse(path, "a-memory", "the folder is a memory; not ingested")
        return self.folder(path, real, depth + 1, (*above, identity))

    def _refuse(self, path: str, code: str, message: str) -> Entry | None:
        """Report an item that is not taken; returns None in its place."""
        self.found.problems.append(Problem(path, code, message))
        self.found.block(path)
        return None


def _is_memory(folder: str) -> bool:
    """Whether the folder holds a memory of CARMA, perhaps the very one that is being written."""
    return os.path.isfile(os.path.join(folder, "memory.json")) and os.path.isdir(
        os.path.join(folder, "segments")
    )


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
