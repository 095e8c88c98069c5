"""Where a client's key comes from, and where a new one is kept: a file that nobody else may read.

    key=… or key_file=…  >  CARMA_KEY  >  CARMA_KEY_FILE  >  ~/.config/carma/key

Never from the command line, where every process of the machine can read it. A file that others can read is
refused, not quietly tightened: somebody may have read it already, and its owner should know.

Below the key a second line may hold the server's public key, to which bodies are sealed: who was given the
one was given the other with it, and what is pinned beside the key cannot be taken off on the way.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from carma.access.sealed import SealingPublicKey
from carma.errors import InvalidInput

__all__ = ["default_key_file", "key_of", "pinned", "replace_key"]

_MOST_BYTES: Final = 4_096
_MODE: Final = 0o600


def default_key_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The file that is looked into when none was named; XDG_CONFIG_HOME is honoured."""
    config = environ.get("XDG_CONFIG_HOME") or ""
    above = Path(config) if os.path.isabs(config) else Path(environ.get("HOME") or Path.home()) / ".config"
    return above / "carma" / "key"


def key_of(key: str | None, file: str | os.PathLike[str] | None) -> tuple[str, Path | None]:
    """The key's text and the file it came from, None if it came from none.

    Raises InvalidInput: there is none, or its file can be read by others or not at all.
    """
    if key is None and file is None:
        key = os.environ.get("CARMA_KEY") or None
    if key is not None:
        return key, None
    named = file or os.environ.get("CARMA_KEY_FILE")
    path = Path(named).expanduser() if named else default_key_file()
    if not named and not path.exists():
        raise InvalidInput(
            "There is no key.", hint=f"Set CARMA_KEY, or put it into {path} (0600), or name another file."
        )
    return _read(path)[0], path


def pinned(server_key: str | None, path: Path | None) -> SealingPublicKey | None:
    """The server's key: what was given, else CARMA_SERVER_KEY, else what the key's file holds; None for none.

    server_key: "" is none, whatever else there is. path: the file that the key came from, if from one. Raises
    InvalidInput.
    """
    where = "server_key"
    if server_key is None:
        where, server_key = "CARMA_SERVER_KEY", os.environ.get("CARMA_SERVER_KEY") or None
    if server_key is None and path is not None:
        where, server_key = f"The second line of {path}", _read(path)[1]
    if not server_key:
        return None
    try:
        return SealingPublicKey.of_text(server_key)
    except InvalidInput as error:
        raise InvalidInput(
            f"{where} is no server's key. {error.message}", hint="`carma users add` prints it with the key."
        ) from error


def _read(path: Path) -> tuple[str, str | None]:
    """What stands in the file: the key, and the server's."""
    try:
        with path.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            text = opened.read(_MOST_BYTES)
    except OSError as error:
        raise InvalidInput(f"The key's file {path} cannot be read: {error.strerror or error}.") from error
    if stat.S_IMODE(mode) & 0o077:
        raise InvalidInput(f"Others can read the key's file {path}.", hint=f"Run: chmod 600 {path}")
    lines = text.decode("ascii", "replace").split() or [""]
    if len(lines) > 2:
        raise InvalidInput(f"{path} holds more than a key and, below it, the server's.")
    return lines[0], lines[1] if len(lines) == 2 else None


def _server_key_in(path: Path) -> str | None:
    try:
        return _read(path)[1]
    except InvalidInput:
        return None


def replace_key(path: Path, key: str) -> None:
    """Write the key's file anew: whole or not at all, durably, readable by its owner only. The server's key
    stays. Raises OSError.

    A link stays a link: what it points to is replaced.
    """
    path = Path(os.path.realpath(path))
    below = _server_key_in(path)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{key}\n{below}\n" if below else f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
