"""How a seat's memory is opened: encrypted under its owner's data key, with the embedder that all share."""

from __future__ import annotations

from pathlib import Path

from carma.access.vault.vault import Vault
from carma.config import Settings
from carma.embed import Embedder
from carma.errors import EmbedderMismatch
from carma.memory.memory import Memory
from carma.serve.accounts import Account
from carma.serve.block import Opener

__all__ = ["SEAT", "seat_opener"]

SEAT = Settings(embed_cache_entries=256, decoded_bytes=2**20, condense_most_s=2.0)
"""How the memory of a seat is set: sixty of them may be open at once, and each cached vector takes 1.8 KB."""


def seat_opener(vault: Vault | None, embedder: Embedder | None, settings: Settings) -> Opener:
    """Opens the memory of an account. vault: None for plain memories.

    A memory that was filled by another embedder keeps its own; its cache is its own in any case.
    """

    def opener(folder: Path, account: Account) -> Memory:
        owner = account.id if vault is not None else None
        try:
            return Memory.open(folder, embedder=embedder, settings=settings, vault=vault, owner=owner)
        except EmbedderMismatch:
            return Memory.open(folder, settings=settings, vault=vault, owner=owner)

    return opener
