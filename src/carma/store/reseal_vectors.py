"""The vectors of a plain memory, taken along into the encrypted one: embedding them anew may take hours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from carma.store.encrypting import UNFINISHED
from carma.store.sealing import Sealing
from carma.store.store import Store
from carma.store.vectors import VectorsFile

__all__ = ["reseal_vectors"]

_DIGEST_BYTES = 16


def reseal_vectors(
    store: Store, sealing: Sealing, digests: Mapping[int, bytes], dimension: int, tag: bytes
) -> tuple[tuple[str, ...], int]:
    """Write the vectors of what is taken along, sealed; the names of their files, and how many there are.

    digests: of the texts by the number of the write, plain and keyed, one behind the other. A vector that was
    made for another text stays behind. Raises MemoryBusy, StorageError.
    """
    folder = f"{store.folder}/index"
    plain = VectorsFile(store.disk, folder, dimension, tag, clock=store.clock)
    sealed = VectorsFile(
        store.disk, folder, dimension, tag, clock=store.clock, sealer=sealing.file(b"vectors", tag),
        suffix=UNFINISHED,
    )  # fmt: skip
    count = 0
    for block in plain.follow():
        told = [digests.get(seq, b"") for seq in block.seqs.tolist()]
        mask = np.array([
            each[:_DIGEST_BYTES] == known.tobytes()
            for each, known in zip(told, block.text_digests, strict=True)
        ])  # fmt: skip
        keyed = b"".join(each[_DIGEST_BYTES:] for each, fits in zip(told, mask.tolist(), strict=True) if fits)
        sealed.append(block.seqs[mask], keyed, block.vectors[mask])
        count += int(mask.sum())
    names = [name for name in store.disk.listdir(folder) if name.endswith(UNFINISHED)]
    return tuple(name.removesuffix(UNFINISHED) for name in names), count
