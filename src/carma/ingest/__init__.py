"""From folders, files and chats to fragments: read, parse, compare, and bring a memory up to date.

The core is free of input and output: `parse` turns bytes into a tree, `plan` compares a tree with what the
memory holds. `walk` and `sync` do the reading, and `IngestSink` is the border to the memory.
"""

from carma.ingest.options import IngestOptions
from carma.ingest.parse import parse
from carma.ingest.report import IngestReport, Problem, Progress
from carma.ingest.sink import Add, Delete, Existing, IngestSink, Move, Operation, Restate, Update
from carma.ingest.sync import ingest_path

__all__ = [
    "Add",
    "Delete",
    "Existing",
    "IngestOptions",
    "IngestReport",
    "IngestSink",
    "Move",
    "Operation",
    "Problem",
    "Progress",
    "Restate",
    "Update",
    "ingest_path",
    "parse",
]
