"""The embedders of the measurements: CARMA's own, and the fp32 MiniLM as Chroma runs it by default.

Chroma downloads its fp32 model from a bucket at first use. The benchmarks work without a network, so its
default is rebuilt here from the same weights: `python tools/export_model.py --reference FILE` writes them as
an fp32 ONNX file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.peers.peer import Embed, Vectors

REFERENCE = "CARMA_BENCH_FP32"
"""Environment variable: where the fp32 ONNX file is."""
CHROMA_BATCH = 32
MAX_TOKENS = 256


def reference_file() -> Path | None:
    """The fp32 model, if there is one."""
    path = Path(os.environ.get(REFERENCE, "bench/out/minilm-fp32.onnx"))
    return path if path.exists() else None


def make_embedder(name: str) -> Embed:
    """`packaged`: CARMA's int8 MiniLM. `fp32`: the same network in fp32. `fp32-padded`: as Chroma's default
    runs it.
    """
    if name == "packaged":
        return _packaged()
    return Reference(padded=name == "fp32-padded")


def _packaged() -> Embed:
    from carma.embed import MiniLM

    return MiniLM().embed


class Reference:
    """MiniLM in fp32 through ONNX Runtime.

    padded: do as Chroma's `ONNXMiniLM_L6_V2` does: tokenise one text after the other, pad every one to 256
    tokens, run 32 at once. Otherwise pad to the longest of the 32.
    """

    def __init__(self, *, padded: bool) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        from carma.embed.minilm import MODEL_FOLDER

        file = reference_file()
        if file is None:
            raise FileNotFoundError(
                "no fp32 model: python tools/export_model.py --reference bench/out/minilm-fp32.onnx"
            )
        self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(MODEL_FOLDER / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding(length=MAX_TOKENS if padded else None)
        self._padded = padded

    def __call__(self, texts: Sequence[str]) -> Vectors:
        parts = [
            self._run(texts[start : start + CHROMA_BATCH]) for start in range(0, len(texts), CHROMA_BATCH)
        ]
        return np.concatenate(parts)

    def _run(self, texts: Sequence[str]) -> Vectors:
        if self._padded:
            encoded = [self._tokenizer.encode(text) for text in texts]
        else:
            encoded = self._tokenizer.encode_batch(list(texts))
        given = {
            "input_ids": np.array([e.ids for e in encoded], np.int32),
            "mask": np.array([e.attention_mask for e in encoded], np.int32),
        }
        vectors: Vectors = self._session.run(None, given)[0]
        return vectors
