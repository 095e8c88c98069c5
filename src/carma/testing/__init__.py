"""Stand-ins for the world outside, for CARMA's own tests and for those of its users.

    disk = SimulatedDisk([Crash(at=120)])           # the process dies before the 120th call of the disk port
    memory = Memory.open("/memory", disk=disk, clock=SimulatedClock(), entropy=SeededEntropy(1),
                         embedder=HashEmbedder())
    ...                                             # raises SimulatedCrash
    disk.restart()                                  # open again on what a killed process leaves behind
    other = disk.power_loss(seed=7)                 # or on what a power loss leaves behind

A simulated disk has no path for SQLite, so the registry lives in memory and is rebuilt at each opening, and
no threads are started: one seed replays one run.
"""

from __future__ import annotations

from carma.testing.cipher import StandInCipher
from carma.testing.clocks import SeededEntropy, SimulatedClock
from carma.testing.disk import SimulatedDisk
from carma.testing.embedder import HashEmbedder
from carma.testing.faults import Crash, Drop, Fault, Misdirect, Refuse, SimulatedCrash

__all__ = [
    "Crash",
    "Drop",
    "Fault",
    "HashEmbedder",
    "Misdirect",
    "Refuse",
    "SeededEntropy",
    "SimulatedClock",
    "SimulatedCrash",
    "SimulatedDisk",
    "StandInCipher",
]
