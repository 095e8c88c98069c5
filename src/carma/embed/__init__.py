"""Embedders: text to unit vectors. The packaged MiniLM, adapters to others, a cache, and a choice by name."""

from carma.embed.by_name import (
    KEY_VARIABLE,
    NAME_VARIABLE,
    embedder_by_name,
    embedder_for,
    embedder_names,
    register,
)
from carma.embed.cache import CachedEmbedder
from carma.embed.callable import CallableEmbedder
from carma.embed.minilm import MiniLM
from carma.embed.openai_compatible import OpenAICompatibleEmbedder
from carma.embed.port import Embedder, Fingerprint
from carma.embed.sentence_transformers import SentenceTransformersEmbedder

__all__ = [
    "KEY_VARIABLE",
    "NAME_VARIABLE",
    "CachedEmbedder",
    "CallableEmbedder",
    "Embedder",
    "Fingerprint",
    "MiniLM",
    "OpenAICompatibleEmbedder",
    "SentenceTransformersEmbedder",
    "embedder_by_name",
    "embedder_for",
    "embedder_names",
    "register",
]
