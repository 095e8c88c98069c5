"""How fast the audit log takes entries and is verified: `python -m bench.audit [--entries N] [--json]`.

append     leaves of about 350 bytes, ready made, in batches; each batch is durable (every file and folder
           synced, the checkpoint signed with both keys) before the next begins. Beside it, what the
           processor alone would allow, for machines that others use too
leaves     made from acts: tags and canonical JSON, nothing written
sequence   acts made into leaves and copied to the log by the sequencer
verify     a log of N entries: every entry and tile read, every hash made anew
tamper     one entry of N edited, one removed, two exchanged, here and there: each time the verifier has to
           name the kind and the entry; and the log cut off against a checkpoint that was kept
prove      an inclusion proof from the tiles, and its check

Exits with 1 if batches of 4,096 take fewer than 50,000 entries a second, or anything is not found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.machine import describe
from carma.access.audit.auditkey import AuditKey
from carma.access.audit.checkpoint import Signer
from carma.access.audit.leaves import leaf_for_act
from carma.access.audit.log import Log
from carma.access.audit.sequencer import Sequencer, Waiting
from carma.access.audit.tiles import ENTRIES, WIDTH, Place, pack_bundle, unpack_bundle, width_of
from carma.access.audit.tree import check_inclusion, leaf_hash
from carma.access.audit.verify import verify_log
from carma.models import Acted
from carma.ports.clock import SystemClock
from carma.ports.disk import LocalDisk

BATCHES = (1_000, 4_096, 16_384)
SECONDS = 5.0
GOAL = 50_000
"""Entries a second, in batches of 4,096."""
ROUNDS = 4
"""So many entries are edited, removed and exchanged, one after the other."""
KEY = AuditKey(bytes(range(32)))


def acted(number: int) -> Acted:
    """An act that wrote one fragment."""
    return Acted(
        seq=number + 1, event=f"{number:032x}", kind="change", operation="fragments.add", account="alice",
        key="carma_abcdefgh", request_id=f"request {number}", time_ms=1_750_000_000_000 + number,
        written=((f"{number * 7:032x}", 1),),
    )  # fmt: skip


def opened(folder: Path) -> Log:
    """A new log."""
    signer = Signer("example.com/bench", os.urandom(32), os.urandom(32))
    return Log(LocalDisk(), str(folder / "log"), str(folder / "private"), signer, SystemClock())


def append(folder: Path, batch: int, ready: list[bytes]) -> dict[str, Any]:
    """Entries a second in batches of one size."""
    log = opened(folder)
    count, took = 0, []
    begun, busy = time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < SECONDS:
        part = [ready[(count + at) % len(ready)] for at in range(batch)]
        start = time.perf_counter()
        log.append(part)
        took.append(time.perf_counter() - start)
        count += batch
    busy = time.process_time() - busy
    log.close()
    return {"batch": batch, "entries_per_s": round(count / sum(took)),
            "entries_per_cpu_s": round(count / busy),
            "batch_ms": round(statistics.median(took) * 1e3, 1)}  # fmt: skip


class Acts:
    """Acts as a source, made into leaves when they are asked for."""

    name = "bench"

    def __init__(self, count: int) -> None:
        self._count = count

    def waiting(self, after: int) -> Any:
        return (Waiting(n + 1, leaf_for_act(acted(n), KEY, "alice")) for n in range(after, self._count))

    def copied(self, upto: int) -> None:
        return


def timed(call: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    value = call()
    return time.perf_counter() - start, value


def measured(entries: int) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("CARMA_BENCH_DIR")) as name:
        folder = Path(name)
        out: dict[str, Any] = {"machine": describe(folder), "entries": entries}
        acts = [acted(number) for number in range(20_000)]
        busy = time.process_time()
        leaves = [leaf_for_act(act, KEY, "alice").to_bytes() for act in acts]
        out["leaves_per_cpu_s"] = round(len(acts) / (time.process_time() - busy))
        out["leaf_bytes"] = round(statistics.mean(map(len, leaves)))
        out["append"] = [append(folder / str(batch), batch, leaves) for batch in BATCHES]
        log = opened(folder / "verified")
        copying = Sequencer(log, LocalDisk(), str(folder / "positions"), [Acts(entries)])
        busy = time.process_time()
        seconds, count = timed(copying.run)
        out["sequence_per_s"] = round(count / seconds)
        out["sequence_per_cpu_s"] = round(count / (time.process_time() - busy))
        place = str(folder / "verified" / "log")
        runs = [timed(lambda: verify_log(LocalDisk(), place, log.signer.verifiers())) for _ in range(3)]
        assert all(report.sound and report.size == entries for _, report in runs)
        out["verify_s"] = round(min(seconds for seconds, _ in runs), 3)
        out["log_bytes_per_entry"] = round(
            sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file()) / entries
        )
        out.update(proofs(log, entries))
        out["tamper"] = tampered(Path(place), log, entries)
        log.close()
    return out


def proofs(log: Log, entries: int) -> dict[str, float]:
    """Milliseconds to make one proof from the tiles, and microseconds to check it."""
    reader = log.reader()
    leaf = leaf_hash(reader.bundle(0)[0])
    places = range(0, entries, max(entries // 200, 1))
    made, found = timed(lambda: [reader.inclusion(index) for index in places])
    checked, right = timed(
        lambda: [check_inclusion(0, entries, leaf, found[0], reader.checkpoint.root) for _ in range(1_000)]
    )
    assert all(right)
    return {"prove_ms": round(made / len(places) * 1e3, 3), "check_us": round(checked * 1e3, 1)}


def tampered(folder: Path, log: Log, entries: int) -> dict[str, Any]:
    """Change the log behind its back, in each way, and see whether the verifier names what was done."""
    chance, found, tried, took = random.Random(1), 0, 0, []
    verifiers = log.signer.verifiers()
    for _ in range(ROUNDS):
        for kind in ("changed", "removed", "reordered"):
            index = chance.randrange(entries // WIDTH) * WIDTH + chance.randrange(1, WIDTH - 2)
            file = folder / Place(ENTRIES, index // WIDTH, width_of(entries, 0, index // WIDTH)).path
            honest = file.read_bytes()
            file.write_bytes(_altered(honest, kind, index % WIDTH))
            seconds, report = timed(lambda: verify_log(LocalDisk(), str(folder), verifiers))
            file.write_bytes(honest)
            named = [(each.kind, each.start) for each in report.findings]
            tried, found = tried + 1, found + (named == [(kind, index)])
            took.append(seconds)
    checkpoint = folder / "checkpoint"
    held = checkpoint.read_bytes()
    earlier = min((folder / "history").iterdir(), key=lambda path: int(path.name))
    checkpoint.write_bytes(earlier.read_bytes())
    report = verify_log(LocalDisk(), str(folder), verifiers, held=[held])
    checkpoint.write_bytes(held)
    cut = [(each.kind, each.start, each.stop) for each in report.findings]
    return {
        "tried": tried, "found_and_located": found, "verify_s": round(statistics.median(took), 2),
        "truncation_found": cut == [("truncated", int(earlier.name), entries)],
    }  # fmt: skip


def _altered(bundle: bytes, kind: str, at: int) -> bytes:
    found = unpack_bundle(bundle, WIDTH)
    if kind == "changed":
        found[at] = found[at].replace(b'"leaf":1', b'"leaf":2')
    elif kind == "removed":
        del found[at]
    else:
        found[at], found[at + 1] = found[at + 1], found[at]
    return pack_bundle(found)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measured(given.entries)
    reached = found["append"][1]["entries_per_s"] >= GOAL
    tamper = found["tamper"]
    all_found = tamper["tried"] == tamper["found_and_located"] and tamper["truncation_found"]
    code = 0 if reached and all_found else 1
    if given.json:
        print(json.dumps(found, indent=2))
        return code
    for each in found["append"]:
        print(f"append, batches of {each['batch']:,}: {each['entries_per_s']:,} entries/s")
        print(f"  {each['batch_ms']} ms a batch; {each['entries_per_cpu_s']:,} per second of processor time")
    print(f"making leaves: {found['leaves_per_cpu_s']:,} per second of processor time, "
          f"{found['leaf_bytes']} bytes each")  # fmt: skip
    print(f"sequencing acts, leaves made on the way: {found['sequence_per_s']:,}/s, "
          f"{found['sequence_per_cpu_s']:,} per second of processor time")  # fmt: skip
    print(f"verify {given.entries:,} entries: {found['verify_s']} s")
    print(f"prove: {found['prove_ms']} ms; check a proof: {found['check_us']} µs")
    print(f"on disk: {found['log_bytes_per_entry']} bytes an entry, tiles included")
    print(f"edited, removed, exchanged: {tamper['found_and_located']} of {tamper['tried']} found and located")
    print(f"cut off: {'found' if tamper['truncation_found'] else 'MISSED'}; {tamper['verify_s']} s each")
    print(f"{'reached' if reached else 'MISSED '}  {GOAL:,} entries/s in batches of 4,096")
    print(f"{'reached' if all_found else 'MISSED '}  every change found and located")
    return code


if __name__ == "__main__":
    sys.exit(main())
