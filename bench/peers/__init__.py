"""The systems that are measured, by name; each is imported only in the process that measures it."""

from __future__ import annotations

import importlib
import importlib.util

from bench.peers.peer import Peer

PEERS = {
    "carma": "carma_memory.CarmaPeer",
    "chroma": "chroma.ChromaPeer",
    "lancedb": "lance.LancePeer",
    "qdrant": "qdrant.QdrantPeer",
    "mem0": "mem0_faiss.Mem0Peer",
    "langgraph": "langgraph_sqlite.LangGraphPeer",
    "faiss": "raw_faiss.FaissPeer",
}
MODULES = {
    "carma": "carma.memory",
    "chroma": "chromadb",
    "lancedb": "lancedb",
    "qdrant": "qdrant_client",
    "mem0": "mem0",
    "langgraph": "langgraph.store.sqlite",
    "faiss": "faiss",
}


def make(name: str) -> Peer:
    """A new, unopened peer."""
    module, kind = PEERS[name].split(".")
    peer: Peer = getattr(importlib.import_module(f"bench.peers.{module}"), kind)()
    return peer


def installed(name: str) -> bool:
    """Whether the system can be imported here."""
    try:
        return importlib.util.find_spec(MODULES[name]) is not None
    except ModuleNotFoundError:
        return False


__all__ = ["MODULES", "PEERS", "Peer", "installed", "make"]
