"""The embedder inside the package: all-MiniLM-L6-v2 in int8, run by ONNX Runtime on the CPU. No download, no
key.
 The idea: the graph (`tools/export_model.py`) goes from token ids to unit vectors and quantizes every token
by itself, so a text's vector does not depend on the texts it is embedded with. That leaves the order and the
size of batches free to be chosen for speed: texts sorted by token count, few padding tokens, and at most
`BATCH_TOKENS` a batch, which bounds memory. Spinning is off: threads that spin while they wait take the
second core from whoever needs it. The arena is off, so memory goes back after each call and does not grow
with the longest text ever seen. Rejected: padding all texts to one length, as the tokenizer file asks (four
times slower on chat turns).
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blake3
import numpy as np
from tokenizers import Tokenizer

from carma.embed.port import Fingerprint, Vectors
from carma.errors import EmbedderError, InvalidInput

if TYPE_CHECKING:  # heavy: loaded with the model
    from onnxruntime import InferenceSession

__all__ = ["MODEL_FOLDER", "MiniLM"]

MODEL_FOLDER = Path(__file__).parent / "model"
BATCH_TOKENS = 512  # padding included
READ_TEXTS = 1024  # texts tokenized at a time
CHARACTERS_PER_TOKEN = 64  # English has about 4.5: only a text of hardly anything but blanks is cut by this
MOST_THREADS = 4
_REINSTALL = "Reinstall carma: the model file inside the package is damaged or incomplete."


@dataclass(frozen=True, slots=True)
class _Loaded:
    session: InferenceSession
    tokenizer: Tokenizer
    pool: ThreadPoolExecutor


class MiniLM:
    """all-MiniLM-L6-v2, 384 dimensions, loaded at the first call and then shared by all threads.

    Arguments: `threads`, how many batches run at once (None: the cores this process may use, at most 4);
    `max_tokens`, 2 to 256: what a text has beyond is not seen; `folder`, where the model's files lie. Raises
    InvalidInput on another value, EmbedderError when the model's card (MODEL.json) cannot be read; a damaged
    model is noticed at the first call.
    """

    def __init__(
        self, threads: int | None = None, max_tokens: int = 256, *, folder: Path = MODEL_FOLDER
    ) -> None:
        card = _read_card(folder)
        if not 2 <= max_tokens <= card["max_tokens"]:
            raise InvalidInput(f"max_tokens must be 2 to {card['max_tokens']}, not {max_tokens}")
        if threads is not None and threads < 1:
            raise InvalidInput(f"threads must be at least 1, not {threads}")
        self._files: dict[str, dict[str, Any]] = card["files"]
        self._folder = folder
        self._threads = threads if threads is not None else min(MOST_THREADS, _usable_cores())
        self._max_tokens = max_tokens
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        name = f"{card['name']}-{card['variant']}" + (
            "" if max_tokens == card["max_tokens"] else f"/{max_tokens}"
        )
        _instances.add(self)
        self._fingerprint = Fingerprint(name, card["dimension"], self._files["model.onnx"]["blake3"])

    def __repr__(self) -> str:
        return f"MiniLM(threads={self._threads}, max_tokens={self._max_tokens})"

    @property
    def fingerprint(self) -> Fingerprint:
        """Name, 384, and the BLAKE3 of the model file."""
        return self._fingerprint

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed `texts`: float32 (len(texts), 384), unit rows in the order given. Any str is accepted, the
        empty one too.

        Raises EmbedderError when a model file is missing or damaged, or when ONNX Runtime fails.
        """
        vectors = np.empty((len(texts), self._fingerprint.dimension), np.float32)
        loaded = self._load()
        characters = self._max_tokens * CHARACTERS_PER_TOKEN
        for start in range(0, len(texts), READ_TEXTS):
            cleaned = [clean(text, characters) for text in texts[start : start + READ_TEXTS]]
            ids = _token_ids(loaded.tokenizer, cleaned)
            parts = list(batches([len(i) for i in ids]))
            run = partial(self._run, loaded.session)
            several = len(parts) > 1 and self._threads > 1
            answers = (loaded.pool.map if several else map)(run, [[ids[i] for i in part] for part in parts])
            for part, answer in zip(parts, answers, strict=True):
                vectors[[start + i for i in part]] = answer
        return vectors

    def _run(self, session: InferenceSession, ids: list[list[int]]) -> Vectors:
        width = max(map(len, ids))
        tokens, mask = np.zeros((2, len(ids), width), np.int32)
        for row, one in enumerate(ids):
            tokens[row, : len(one)] = one
            mask[row, : len(one)] = 1
        try:
            answer: Vectors = session.run(None, {"input_ids": tokens, "mask": mask})[0]
        except Exception as error:  # ONNX Runtime's exceptions have no public base
            raise EmbedderError(f"the embedding model failed: {error}") from error
        return answer

    def _load(self) -> _Loaded:
        loaded = self._loaded
        if loaded is not None:
            return loaded
        with self._lock:
            if self._loaded is None:
                tokenizer = Tokenizer.from_buffer(self._verified("tokenizer.json"))
                tokenizer.enable_truncation(self._max_tokens)
                tokenizer.no_padding()
                session = _session(self._verified("model.onnx"))
                pool = ThreadPoolExecutor(self._threads, thread_name_prefix="carma-embed")
                self._loaded = _Loaded(session, tokenizer, pool)
            return self._loaded

    def _leave_to_parent(self) -> None:
        """In a forked child: load anew when needed; never free the session: that waits for lost threads."""
        if self._loaded is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._loaded.session))
        self._lock, self._loaded = threading.Lock(), None

    def _verified(self, file: str) -> bytes:
        """The file's bytes, whose BLAKE3 is what MODEL.json says: what was checked is what is loaded."""
        try:
            content = (self._folder / file).read_bytes()
        except OSError as error:
            raise EmbedderError(
                f"cannot read the embedding model's {file}: {error.strerror}", hint=_REINSTALL
            ) from error
        found = blake3.blake3(content).hexdigest()
        expected = self._files[file]["blake3"]
        if found != expected:
            message = (
                f"the embedding model's {file} is damaged: its BLAKE3 is {found}, MODEL.json says {expected}"
            )
            raise EmbedderError(message, hint=_REINSTALL)
        return content


_instances: weakref.WeakSet[MiniLM] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for instance in list(_instances):
        instance._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def clean(text: str, characters: int) -> str:
    """`text` cut to `characters` and without lone surrogates: what the tokenizer takes, in bounded time."""
    if len(text) > characters:
        text = text.lstrip()[:characters]
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def batches(lengths: Sequence[int], most_tokens: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Group indices by rising length; a batch, padded, has at most `most_tokens`, or one text."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > most_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text. A single one, mostly a query, is not worth waking the tokenizer for."""
    if len(texts) == 1:
        return [tokenizer.encode(texts[0]).ids]
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def _session(model: bytes) -> InferenceSession:
    # The stock wheels report to their maker unless told not to before they are loaded, and the reporting
    # thread makes every forked child hang at its end. Someone who wants that sets the variable to 0.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Threads divide the batches among them; inside one batch they would mostly wait for each other.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    # The file is in its final form; higher levels would fuse Add + LayerNormalization into a slower node.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no public base
        raise EmbedderError(f"ONNX Runtime cannot load the embedding model: {error}") from error


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads((folder / "MODEL.json").read_text(encoding="utf-8"))
        for file in ("model.onnx", "tokenizer.json"):
            str(card["files"][file]["blake3"])
        if not all(type(card[key]) is int for key in ("dimension", "max_tokens")):
            raise TypeError("dimension and max_tokens must be integers")
        str(card["name"] + card["variant"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbedderError(
            f"cannot read the embedding model's MODEL.json: {error!r}", hint=_REINSTALL
        ) from error
    return card


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
