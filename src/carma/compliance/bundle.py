"""A bundle: files of JSON Lines with a table of their digests, as a folder or as one tar file.

A tar file may be sealed for a recipient; then nothing of it reaches a disk in the clear. Files are written in
parts of a few megabytes, because a tar file wants the length before the content and a text must not wait in a
temporary file. `index.json` names every file with its length and SHA-256; its own SHA-256 is the digest of
the bundle, by which it can be named and proven elsewhere. Whoever reads a bundle compares every digest first.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, Self, cast

from carma.access.vault.recipients import Identity, Recipient
from carma.access.vault.sealedfile import PIECE_BYTES, SealedReader, SealedWriter, is_sealed, verify_file
from carma.errors import ArchiveDamaged, InvalidInput, MemoryExists, StorageError

__all__ = ["INDEX", "PART_BYTES", "Bundle", "Checked", "check_bundle", "read_bundle"]

INDEX = "index.json"
PART_BYTES = 8 * 2**20
_FORMAT = "carma bundle 1"
_MOST_FILE_BYTES = 256 * 2**20


class _Target(Protocol):
    def put(self, name: str, data: bytes) -> None: ...


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, name: str, data: bytes) -> None:
        path = self._path / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def put(self, name: str, data: bytes) -> None:
        about = tarfile.TarInfo(name)
        about.size, about.mode = len(data), 0o600
        self._archive.addfile(about, io.BytesIO(data))


class Bundle:
    """A bundle to write, in a `with` block; it gets its name when the block ends without an exception.

    target: a new folder, or a new tar file where the name ends in `.tar` or it is sealed. to: whom it is
    sealed for. Raises MemoryExists, InvalidInput, StorageError.
    """

    def __init__(self, target: Path, to: Recipient | None = None) -> None:
        if target.exists():
            raise MemoryExists(f"{target} exists already.")
        if not target.absolute().parent.is_dir():
            raise InvalidInput(f"There is no folder {target.absolute().parent} to write to.")
        self._target = target
        self._to = to
        self._draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        self._stack = ExitStack()
        self._sink: _Target
        self.index: dict[str, dict[str, Any]] = {}
        """Lines, bytes and SHA-256 of each file that was written."""
        self.digest = ""
        """SHA-256 of the index in hexadecimal, once the block has ended."""

    @property
    def is_tar(self) -> bool:
        """Whether it becomes one file."""
        return self._to is not None or self._target.suffix == ".tar"

    def __enter__(self) -> Self:
        try:
            if not self.is_tar:
                self._draft.mkdir(mode=0o700)
                self._sink = _Folder(self._draft)
                return self
            descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            out: BinaryIO = self._stack.enter_context(open(descriptor, "wb"))
            self._stack.callback(os.fsync, descriptor)
            self._stack.callback(out.flush)
            if self._to is not None:
                out = cast(BinaryIO, self._stack.enter_context(SealedWriter(out, self._to)))
            archive = self._stack.enter_context(tarfile.open(fileobj=out, mode="w|"))
            self._sink = _Tar(archive)
        except OSError as error:
            raise StorageError(f"Could not write {self._target} ({error.strerror}).") from error
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            with self._stack:
                if kind is not None:
                    # What is sealed must see that it was not finished.
                    self._stack.__exit__(kind, *rest)  # type: ignore[arg-type]
                    return
                value = {"format": _FORMAT, "files": self.index}
                index = (json.dumps(value, indent=1) + "\n").encode()
                self.digest = _digest(index)
                self._sink.put(INDEX, index)
            if self._target.exists():
                raise MemoryExists(f"{self._target} exists already.")
            os.rename(self._draft, self._target)
        except OSError as error:
            raise StorageError(f"Could not write {self._target} ({error.strerror}).") from error
        finally:
            if self._draft.is_dir():
                shutil.rmtree(self._draft, ignore_errors=True)
            else:
                self._draft.unlink(missing_ok=True)

    def text(self, name: str, text: str) -> None:
        """Put in a plain text."""
        self._put(name, text.encode(), text.count("\n"))

    def page(self, name: str, head: str, pieces: Iterable[str], tail: str) -> int:
        """Put in `<name>.html`: pieces between a head and a tail; how many. What is long goes on in
        `<name>.2.html`, and so on.
        """
        part, total, size, held = 1, 0, 0, list[str]()
        for piece in pieces:
            length = len(piece.encode())
            if size and size + length > PART_BYTES:
                more = f'<p><a href="{_file_name(name, part + 1, "html")}">more</a></p>'
                self.text(_file_name(name, part, "html"), "".join([head, *held, more, tail]))
                part, size, held = part + 1, 0, []
            held.append(piece)
            size += length
            total += 1
        self.text(_file_name(name, part, "html"), "".join([head, *held, tail]))
        return total

    def lines(
        self, name: str, values: Iterable[Mapping[str, Any]], head: Mapping[str, Any] | None = None
    ) -> int:
        """Put in `<name>.jsonl`, one value a line; how many. What is long goes on in `<name>.2.jsonl`.

        head: the first line of every part; it is not counted.
        """
        first = [_line(head)] if head is not None else []
        part, total, held = 1, 0, list(first)
        size = 0
        for line in map(_line, values):
            if size and size + len(line) > PART_BYTES:
                self._put(_file_name(name, part, "jsonl"), b"".join(held), len(held))
                part, held, size = part + 1, list(first), 0
            held.append(line)
            size += len(line)
            total += 1
        self._put(_file_name(name, part, "jsonl"), b"".join(held), len(held))
        return total

    def _put(self, name: str, data: bytes, lines: int) -> None:
        self._sink.put(name, data)
        self.index[name] = {"lines": lines, "bytes": len(data), "sha256": sha256(data).hexdigest()}


def _line(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _file_name(name: str, part: int, kind: str) -> str:
    return f"{name}.{kind}" if part == 1 else f"{name}.{part}.{kind}"


class Checked(NamedTuple):
    """A bundle that is whole. digest: SHA-256 of its index, hexadecimal. files: how many, the index apart."""

    digest: str
    files: int
    bytes: int


def check_bundle(path: Path, identity: Identity | None = None) -> Checked:
    """Compare every file of a bundle with its digest; one at a time is held. Raises as `read_bundle`."""
    index, found, total = b"", dict[str, str](), 0
    for name, data in _files(path, identity):
        if name == INDEX:
            index = data
        else:
            found[name] = _digest(data)
            total += len(data)
    _compare(path, index, found)
    return Checked(_digest(index), len(found), total)


def read_bundle(path: Path, identity: Identity | None = None) -> dict[str, bytes]:
    """The files of a bundle by name, each proven by its digest.

    identity: opens a sealed one. Raises ArchiveDamaged (SealedDamaged, SealedTruncated), IdentityWrong,
    InvalidInput.
    """
    files = dict(_files(path, identity))
    index = files.pop(INDEX, b"")
    _compare(path, index, {name: _digest(data) for name, data in files.items()})
    return files


def _compare(path: Path, index: bytes, found: Mapping[str, str]) -> None:
    """Raise ArchiveDamaged unless the index names just these files with these digests."""
    try:
        value = json.loads(index)
        known = {name: about["sha256"] for name, about in value["files"].items()}
        if value["format"] != _FORMAT:
            raise ArchiveDamaged(f"{path} is no bundle of this format.")
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveDamaged(f"{path} has no table of its files.") from error
    wrong = sorted(known.keys() ^ found.keys())
    wrong += sorted(name for name in known.keys() & found.keys() if found[name] != known[name])
    if wrong:
        raise ArchiveDamaged(f"{path}: {wrong[0]} is missing, or is not what was written.")


def _files(path: Path, identity: Identity | None) -> Iterator[tuple[str, bytes]]:
    if not path.exists():
        raise InvalidInput(f"There is nothing at {path}.")
    return _folder_files(path) if path.is_dir() else _tar_files(path, identity)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _folder_files(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.is_symlink():
            yield file.relative_to(path).as_posix(), file.read_bytes()


def _tar_files(path: Path, identity: Identity | None) -> Iterator[tuple[str, bytes]]:
    sealed = is_sealed(path)
    if sealed != (identity is not None):
        raise InvalidInput(f"{path} is {'sealed: an identity opens it' if sealed else 'not sealed'}.")
    try:
        with ExitStack() as stack:
            file: Any = stack.enter_context(open(path, "rb"))
            if identity is not None:
                verify_file(path, identity)
                file = stack.enter_context(io.BufferedReader(SealedReader(file, identity), PIECE_BYTES))
            archive = stack.enter_context(tarfile.open(fileobj=file, mode="r|"))
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    if member.size > _MOST_FILE_BYTES:
                        raise ArchiveDamaged(f"{path}: {member.name} is too long for a bundle.")
                    yield member.name, content.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ArchiveDamaged(f"{path} is not a whole bundle ({error}).") from error
