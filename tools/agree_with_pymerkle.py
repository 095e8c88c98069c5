"""Hold the audit log's tree against another implementation, pymerkle, where somebody has installed it.

    python tools/agree_with_pymerkle.py [--entries 3000] [--seed 0]

pymerkle is published under the GPL, so CARMA neither needs nor loads it: the tests stand on the published
vectors, and this program is for whoever wants a second opinion. It writes a log of random entries in random
batches, reads roots and proofs back from its tiles, and compares: the roots of every size; for each of some
leaves the hashes of the inclusion proof; and that pymerkle's own proofs, of inclusion and of consistency,
hold for our roots and for no other. (Its consistency proofs name more hashes than RFC 6962 asks for, so those
are not compared one by one.)
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import tempfile
from typing import Any

from carma.access.audit.checkpoint import Signer
from carma.access.audit.log import Log
from carma.access.audit.reader import LogReader
from carma.access.audit.tree import leaf_hash
from carma.ports.clock import SystemClock
from carma.ports.disk import LocalDisk

PROOFS = 2_000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        pymerkle = importlib.import_module("pymerkle")
    except ModuleNotFoundError:
        print("pymerkle is not installed; there is nothing to compare with.", file=sys.stderr)
        return 2
    chance = random.Random(given.seed)
    entries = [chance.randbytes(chance.randrange(1, 400)) for _ in range(given.entries)]
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in entries:
        theirs.append_entry(entry)
    with tempfile.TemporaryDirectory() as folder:
        log = Log(
            LocalDisk(), f"{folder}/log", f"{folder}/private",
            Signer("example.com/log", chance.randbytes(32), chance.randbytes(32)), SystemClock(),
        )  # fmt: skip
        at = 0
        while at < len(entries):
            size = chance.randrange(1, 600)
            log.append(entries[at : at + size])
            at += size
        reader = log.reader()
        print(f"pymerkle {pymerkle.__version__}, {len(entries):,} entries, seed {given.seed}")
        print(f"roots of sizes 1 to {reader.size:,} equal: {_roots(reader, theirs):,}")
        print(f"inclusion proofs with equal hashes, theirs verified against our root: "
              f"{_inclusions(pymerkle, reader, theirs, entries, chance):,}")  # fmt: skip
        print(f"their consistency proofs verified against our roots, and refused for others: "
              f"{_growths(pymerkle, reader, theirs, chance):,}")  # fmt: skip
        log.close()
    return 0


def _roots(reader: LogReader, theirs: Any) -> int:
    for size in range(1, reader.size + 1):
        assert reader.root_at(size) == theirs.get_root(size), f"the roots of {size} entries differ"
    return reader.size


def _inclusions(
    pymerkle: Any, reader: LogReader, theirs: Any, entries: list[bytes], chance: random.Random
) -> int:
    for _ in range(PROOFS):
        size = chance.randrange(1, reader.size + 1)
        index = chance.randrange(size)
        proof = theirs.prove_inclusion(index + 1, size)  # It counts from 1.
        leaf = leaf_hash(entries[index])
        ours = reader.inclusion(index, size)
        path = sorted(bytes.fromhex(each) for each in proof.serialize()["path"])
        assert path == sorted([leaf, *ours]), f"the proofs of {index} in {size} differ"
        pymerkle.verify_inclusion(leaf, reader.root_at(size), proof)
    return PROOFS


def _growths(pymerkle: Any, reader: LogReader, theirs: Any, chance: random.Random) -> int:
    for _ in range(PROOFS):
        new = chance.randrange(2, reader.size + 1)
        old = chance.randrange(1, new)
        proof = theirs.prove_consistency(old, new)
        pymerkle.verify_consistency(reader.root_at(old), reader.root_at(new), proof)
        try:
            pymerkle.verify_consistency(reader.root_at(old), bytes(32), proof)
        except pymerkle.InvalidProof:
            continue
        raise AssertionError("a false root was accepted")
    return PROOFS


if __name__ == "__main__":
    sys.exit(main())
