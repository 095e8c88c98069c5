"""Few arenas: threads that allocate do not get one each; and what is free is given back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys, threading
from carma.serve.allocator import few_arenas
if sys.argv[1] == "few":
    assert few_arenas()
held, go = [], threading.Event()
def allocate():
    held.append([bytes(100_000) for _ in range(20)])
    go.wait()
threads = [threading.Thread(target=allocate) for _ in range(32)]
for each in threads: each.start()
while len(held) < len(threads): pass
maps = open("/proc/self/maps").read().splitlines()
go.set()
# An arena that is not the first is a mapping of 64 MiB, of which the unused part may not be read.
ranges = (line.split()[0].split("-") for line in maps if " ---p " in line)
sizes = [int(b, 16) - int(a, 16) for a, b in ranges]
print(sum(32 * 2**20 < size < 64 * 2**20 for size in sizes))
"""


def arenas(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc")
def test_a_process_with_many_threads_has_few_arenas() -> None:
    """At most one beside the first, where there were more without."""
    assert arenas("few") <= 1 < arenas("many")


FREED = """
from carma.serve.allocator import give_back
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
held = [bytes(2_000) for _ in range(100_000)]
pin = bytes(2_000)  # The heap ends with it, so it cannot shrink by itself.
del held[:]
before = resident()
assert give_back()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc")
def test_what_is_free_is_given_back() -> None:
    """The process is smaller by most of what it had freed."""
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 150_000_000
