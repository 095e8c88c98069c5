"""What each system has asked of the disk when `add` returns: its sync calls, counted by `strace`.

Ten batches of ten fragments with vectors. A system that shows no sync call has handed its data to the
operating system only: it survives the death of the process, not a loss of power.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.corpus import Corpus
from bench.figures import Figure, Measurement
from bench.peers import make
from bench.rounds import Context

BATCHES = 10
EACH = 10
CALLS = "fsync,fdatasync,sync_file_range,msync,syncfs"
BEGIN, END = "bench-begin", "bench-end"


def promises(context: Context) -> Measurement:
    """Sync calls per batch of ten."""
    result = Measurement("promises", "what `add` has synced when it returns, batches of ten")
    if shutil.which("strace") is None:
        result.notes.append("strace is not installed: not counted.")
        return result
    for name in context.systems:
        if name == "faiss" or not context.has(name):
            continue
        folder = context.scratch(name)
        log = folder / "calls.txt"
        work = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "bench.measures.promises",
            name,
            str(context.corpus.folder),
            str(folder),
        ]
        trace = ["strace", "-f", "-qq", "-e", f"trace={CALLS},access,faccessat,faccessat2", "-o", str(log)]
        done = subprocess.run([*trace, *work], capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            result.notes.append(f"{name} failed: {done.stderr.strip().splitlines()[-1:]}")
            continue
        between = log.read_text(errors="replace").split(BEGIN, 1)[1].split(END, 1)[0]
        counts = {call: len(re.findall(rf"\b{call}\(", between)) for call in CALLS.split(",")}
        facts = {call: count for call, count in counts.items() if count} | {
            "promise": type(make(name)).promise
        }
        result.figures.append(
            Figure(name, "sync calls", "per batch of 10", [sum(counts.values()) / BATCHES], facts)
        )
    return result


def main(system: str, corpus_folder: str, folder: str) -> None:
    """The traced process; two looks at paths that do not exist mark begin and end in the trace."""
    import os

    peer, corpus = make(system), Corpus.read(Path(corpus_folder))
    store = Path(folder) / "store"
    store.mkdir()
    peer.open(store, corpus.dimension)
    peer.add(*corpus.slice(0, EACH))
    os.access(BEGIN, os.F_OK)
    for batch in range(1, BATCHES + 1):
        peer.add(*corpus.slice(batch * EACH, (batch + 1) * EACH))
    os.access(END, os.F_OK)
    peer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
