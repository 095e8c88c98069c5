"""The files of a memory by their digests, to see afterwards which of them are what they were."""

from __future__ import annotations

import os
from pathlib import Path

from blake3 import blake3

__all__ = ["digests_of"]

_FOLDERS = ("segments", "mirror", "parity")


def digests_of(folder: str) -> dict[str, bytes]:
    """The BLAKE3 digest of every file that holds records, by its path in the memory's folder."""
    out = {}
    for part in _FOLDERS:
        for path in sorted(Path(folder, part).glob("*")):
            out[os.path.relpath(path, folder)] = blake3(path.read_bytes()).digest()
    return out
