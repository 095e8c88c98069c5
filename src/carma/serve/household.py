"""What belongs to a data directory: accounts, keys, vault, audit log; opened together, by a server or a
command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from carma.access.audit.trail import AuditTrail
from carma.access.data import SEALING_CONTEXT, Unlocked
from carma.access.journal import Journal
from carma.access.keys.store import KeyStore
from carma.access.sealed import PRIVATE_BYTES, SealingKey
from carma.access.vault.vault import Vault
from carma.errors import KekWrong, OwnerNotFound
from carma.ports.cipher import Cipher
from carma.ports.clock import Clock, Entropy, SystemClock, SystemEntropy
from carma.serve.accounts import Account, Accounts
from carma.serve.churn import Churn

__all__ = ["Household", "open_household"]


@dataclass(frozen=True, slots=True)
class Household:
    """The open parts of a data directory. sealing: opens bodies that are sealed to this server."""

    unlocked: Unlocked
    accounts: Accounts
    keys: KeyStore
    vault: Vault | None
    trail: AuditTrail
    sealing: SealingKey

    @property
    def seats(self) -> Path:
        """The folder of the seats."""
        return Path(self.unlocked.folder.seat(0, 1)).parent

    def churn(self, last_words: Callable[[Account], None] = lambda account: None) -> Churn:
        """What adds and removes accounts."""
        return Churn(self.unlocked.folder, self.accounts, self.keys, self.vault, self.trail, last_words)

    def close(self) -> None:
        """Give everything back."""
        self.trail.close()
        self.accounts.close()
        self.keys.close()
        if self.vault is not None:
            self.vault.close()


def open_household(
    unlocked: Unlocked,
    *,
    encrypted: bool = True,
    seats: int = 60,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> Household:
    """Open the parts of a data directory; what is not there yet is made. encrypted: False for plain seats.

    Raises KekWrong, JournalDamaged, AuditUnavailable, AuditDamaged, StorageError.
    """
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    disk, folder, kek = unlocked.disk, unlocked.folder, unlocked.kek
    keys = KeyStore(
        Journal(disk, folder.keys, clock=clock), kek, reload=unlocked.reload, clock=clock, entropy=entropy
    )
    vault = unlocked.vault(clock=clock, entropy=entropy) if encrypted else None
    trail = AuditTrail(
        folder.audit, disk=disk, clock=clock, entropy=entropy, kek=kek,
        cipher_of=_cipher_of(vault) if vault is not None else None,
    )  # fmt: skip
    accounts = Accounts(disk, folder.accounts, seats=seats, clock=clock, entropy=entropy)
    return Household(unlocked, accounts, keys, vault, trail, _sealing_key(unlocked, entropy))


def _cipher_of(vault: Vault) -> Callable[[str], Cipher | None]:
    """Gives the data key of an owner who has one; a question makes none."""

    def cipher_of(owner: str) -> Cipher | None:
        try:
            return vault.cipher(owner, create=False)
        except OwnerNotFound:
            return None

    return cipher_of


def _sealing_key(unlocked: Unlocked, entropy: Entropy) -> SealingKey:
    """The server's key for sealed bodies: made once, kept in four copies, wrapped."""
    journal = Journal(unlocked.disk, unlocked.folder.sealing)
    records = journal.news()
    if not records:
        with journal.turn():
            records = journal.news()
            if not records:
                raw = entropy.bytes(PRIVATE_BYTES)
                # The key of now, whatever this process was started with.
                journal.append([unlocked.reload().wrap(raw, SEALING_CONTEXT)])
                records = journal.news()
    try:
        raw = unlocked.kek.unwrap(records[-1], SEALING_CONTEXT)
    except KekWrong:  # It was rotated since this process asked for it.
        raw = unlocked.reload().unwrap(records[-1], SEALING_CONTEXT)
    journal.close()
    return SealingKey(raw)
