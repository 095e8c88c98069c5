"""`Memory` (memory.py) and its async twin (aio.py): one call per verb, used by every surface."""
