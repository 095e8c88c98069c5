"""`Memory` and its async twin: one call per verb, used by every surface."""

from carma.memory.aio import AsyncMemory
from carma.memory.batch import SearchBatch
from carma.memory.memory import Memory

__all__ = ["AsyncMemory", "Memory", "SearchBatch"]
