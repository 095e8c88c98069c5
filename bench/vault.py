"""The figures of the vault: `python -m bench.vault [--owners N] [--json FILE]`.

    seal, open    200 bytes under one data key, beside AES-256-GCM of `cryptography` with a ready key
    owners        ms to make a data key (durable in four files), µs to have it again, to list and to open all
    rotation      s (and s of processor) to wrap all data keys by a new key-encryption key, with the exchange
                  of the key's file: the median of five, and the slowest
    shredding     s to destroy one of them, journal rewritten and overwritten

Each figure of µs is the best of five rounds; everything else is one run. The files lie in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.machine import describe
from carma.access.journal import Journal
from carma.access.vault.context import context
from carma.access.vault.datakey import DataKeyCipher
from carma.access.vault.kek import KekPlace, create_kek, load_kek
from carma.access.vault.rotation import rotate_key_file
from carma.access.vault.vault import Vault
from carma.ports.disk import LocalDisk

TEXT_BYTES = 200
ROUNDS, CALLS = 5, 20_000


def microseconds(call: Callable[[], object], calls: int = CALLS) -> float:
    """The mean time of a call in the best of five rounds, in µs."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, (time.perf_counter() - begun) / calls)
    return round(best * 1e6, 2)


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes, in s."""
    begun = time.perf_counter()
    call()
    return round(time.perf_counter() - begun, 4)


def sealing() -> dict[str, float]:
    """µs for `TEXT_BYTES` bytes."""
    cipher, text = DataKeyCipher(os.urandom(32)), os.urandom(TEXT_BYTES)
    where = context("record", "ada", os.urandom(16), 3, "payload")
    sealed = cipher.seal(text, where)
    bare, nonce = AESGCM(os.urandom(32)), os.urandom(12)
    return {
        "seal_us": microseconds(lambda: cipher.seal(text, where)),
        "open_us": microseconds(lambda: cipher.open(sealed, where)),
        "digest_us": microseconds(lambda: cipher.digest(text)),
        "bare_aes_gcm_us": microseconds(lambda: bare.encrypt(nonce, text, where)),
    }


def owners(count: int, folder: Path) -> dict[str, float]:
    """Figures of a vault with `count` owners."""
    place = KekPlace(path=folder / "config" / "kek")
    create_kek(place)
    log = str(folder / "vault")

    def opened() -> Vault:
        return Vault(Journal(LocalDisk(), log), load_kek(place))

    vault = opened()
    made = seconds(lambda: [vault.cipher(f"owner {number}") for number in range(count)])
    figures: dict[str, float] = {
        "owners": count,
        "make_ms": round(made / count * 1e3, 3),
        "again_us": microseconds(lambda: vault.cipher("owner 1"), 2_000),
        "open_vault_s": seconds(lambda: opened().cipher("owner 1", create=False)),
        "list_s": seconds(vault.owners),
        "journal_bytes": os.path.getsize(f"{log}/0.log"),
    }
    used = time.process_time()
    rotations = [
        seconds(lambda: rotate_key_file(place, [vault.rotate_kek], lambda code: None)) for _ in range(ROUNDS)
    ]
    figures["rotate_s"], figures["rotate_worst_s"] = statistics.median(rotations), max(rotations)
    figures["rotate_cpu_s"] = round((time.process_time() - used) / ROUNDS, 4)
    figures["shred_s"] = seconds(lambda: vault.shred("owner 1"))
    assert len(opened().owners()) == count - 1
    assert opened().check() == []
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--owners", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = owners(arguments.owners, folder)
        found = {"machine": describe(folder), "sealing": sealing(), "vault": figures}
    text = json.dumps(found, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
