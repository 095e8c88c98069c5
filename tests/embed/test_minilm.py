"""What the packaged embedder promises."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blake3
import numpy as np
import pytest

from carma.embed import Embedder, Fingerprint, MiniLM
from carma.embed.minilm import BATCH_TOKENS, MODEL_FOLDER, batches
from carma.errors import EmbedderError, InvalidInput

TEXTS = [
    "The cat sleeps on the warm window sill.",
    "Quarterly revenue rose by eleven percent.",
    "Yes.",
    "The upload queue retries three times with growing pauses and then moves the job to the dead letters, "
    "where an operator can look at it, correct what was wrong, and send it again. " * 4,
    "naïve café 日本語 🙂",
    "",
] * 6


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


def test_digest_and_licence_of_the_model_are_recorded(minilm: MiniLM) -> None:
    """MODEL.json names the licence and the true digests; the fingerprint carries the model's."""
    card = json.loads((MODEL_FOLDER / "MODEL.json").read_text())
    assert card["licence"] == "Apache-2.0"
    assert "Apache License" in (MODEL_FOLDER / "LICENSE").read_text()
    for file, recorded in card["files"].items():
        content = (MODEL_FOLDER / file).read_bytes()
        assert (len(content), blake3.blake3(content).hexdigest()) == (recorded["bytes"], recorded["blake3"])
    assert minilm.fingerprint == Fingerprint(
        "all-MiniLM-L6-v2-int8", 384, card["files"]["model.onnx"]["blake3"]
    )
    assert card["against_fp32"]["mean_cosine"] >= 0.99
    assert card["files"]["model.onnx"]["bytes"] < 24_000_000


def test_the_packaged_model_is_an_embedder(minilm: MiniLM) -> None:
    """It fills the port, and its fingerprint survives the way through a dict."""
    assert isinstance(minilm, Embedder)
    assert Fingerprint.from_dict(minilm.fingerprint.to_dict()) == minilm.fingerprint


def test_texts_of_like_meaning_lie_closer(minilm: MiniLM) -> None:
    """A golden order: the paraphrase first, then the same topic, then the stranger."""
    query, same, topic, stranger = minilm.embed(
        [
            "How do I reset my password?",
            "I forgot my login and need a new password.",
            "The account page shows your e-mail address.",
            "Volcanoes form where tectonic plates meet.",
        ]
    )
    assert query @ same > query @ topic + 0.1 > query @ stranger + 0.2


def test_vectors_stay_what_they_were(minilm: MiniLM) -> None:
    """Cosines measured with the fp32 model hold within the error of eight bits."""
    a, b, c = minilm.embed(
        ["A man is eating food.", "A man is eating a piece of bread.", "A cheetah is running."]
    )
    assert [float(a @ b), float(a @ c)] == pytest.approx(GOLDEN, abs=0.03)


GOLDEN = [0.7553, 0.0916]


def test_rows_are_unit_float32_in_the_order_given(minilm: MiniLM) -> None:
    """Sorting by length inside does not show outside."""
    vectors = minilm.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 384) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for text, vector in zip(TEXTS[:6], vectors[:6], strict=True):
        assert np.abs(minilm.embed([text])[0] - vector).max() < 1e-5


def test_a_vector_does_not_depend_on_batch_mates(minilm: MiniLM) -> None:
    """Quantization is per token, so company changes nothing beyond the last bits of a float."""
    alone = minilm.embed([TEXTS[0]])[0]
    for mates in (TEXTS[1:3], TEXTS[3:6], ["!!! 0xDEADBEEF ###" * 9] * 5):
        assert float(alone @ minilm.embed([*mates, TEXTS[0]])[-1]) > 1 - 1e-5


def test_no_text_is_an_empty_table(minilm: MiniLM) -> None:
    """Zero texts give zero rows of the right width."""
    assert minilm.embed([]).shape == (0, 384)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\0", "\ud800", "a\udfffb", "\ud83d\ude00", "\u200b\ufeff", "ﷺ" * 300, "e" + "\u0301" * 5000],
    ids=ascii,
)
def test_odd_text_gives_a_vector(minilm: MiniLM, text: str) -> None:
    """No str raises or gives NaN."""
    assert np.linalg.norm(minilm.embed([text])[0]) == pytest.approx(1, abs=1e-5)


def test_a_million_characters_cost_milliseconds(minilm: MiniLM) -> None:
    """Long text is cut before it is tokenized."""
    minilm.embed(["warm"])
    for text in ("word " * 200_000, "x" * 1_000_000, " " * 999_990 + "the end", "\ud800" * 1_000_000):
        began = time.process_time()
        minilm.embed([text])
        assert time.process_time() - began < 0.5


def test_blanks_before_a_text_do_not_hide_it(minilm: MiniLM) -> None:
    """A million blanks and then words embed like the words."""
    padded, plain = minilm.embed([" " * 1_000_000 + "the end", "the end"])
    assert float(padded @ plain) > 0.9999


def test_threads_share_one_embedder() -> None:
    """Many threads, first call included, get the vectors that one would."""
    fresh = MiniLM(threads=1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: fresh.embed([text])[0], TEXTS))
    assert np.abs(np.array(answers) - fresh.embed(TEXTS)).max() < 1e-5


def test_a_forked_child_can_embed() -> None:
    """A child forked after the model was used embeds and ends; it waits for no thread of its parent."""
    script = (
        "import os, warnings; warnings.simplefilter('ignore')\n"
        "from carma.embed import MiniLM\n"
        "m = MiniLM(threads=2); m.embed(['parent'])\n"
        "pid = os.fork()\n"
        "if pid == 0: raise SystemExit(m.embed(['child ' * 50] * 8).shape != (8, 384))\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=30).returncode == 0


def test_the_model_runtime_is_loaded_late_and_reports_to_nobody() -> None:
    """Importing carma does not load ONNX Runtime; when it is loaded, its telemetry has been switched off."""
    script = (
        "import os, sys\n"
        "from carma.embed import MiniLM\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "MiniLM(threads=1).embed(['a'])\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    assert subprocess.run([sys.executable, "-c", script], env=environment, timeout=30).returncode == 0


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json"])
def test_a_flipped_bit_in_the_model_is_noticed(tmp_path: Path, file: str) -> None:
    """A damaged file is named, and nothing is embedded with it."""
    shutil.copytree(MODEL_FOLDER, tmp_path / "model")
    damaged = tmp_path / "model" / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 4
    damaged.write_bytes(content)
    with pytest.raises(EmbedderError, match=f"{file} is damaged"):
        MiniLM(folder=tmp_path / "model").embed(["text"])


def test_a_missing_model_is_an_embedder_error(tmp_path: Path) -> None:
    """Whether the card is gone or the weights, the error is typed."""
    with pytest.raises(EmbedderError, match=r"MODEL\.json"):
        MiniLM(folder=tmp_path)
    shutil.copy(MODEL_FOLDER / "MODEL.json", tmp_path)
    with pytest.raises(EmbedderError, match=r"tokenizer\.json"):
        MiniLM(folder=tmp_path).embed(["text"])


def test_fewer_tokens_are_another_fingerprint() -> None:
    """Vectors cut elsewhere differ, so the fingerprint does; bounds are checked."""
    assert MiniLM(max_tokens=128).fingerprint != MiniLM().fingerprint
    for bad in (0, 1, 257):
        with pytest.raises(InvalidInput):
            MiniLM(max_tokens=bad)
    with pytest.raises(InvalidInput):
        MiniLM(threads=0)


def test_a_batch_is_bounded_in_tokens_and_loses_nobody() -> None:
    """Every index appears once; padded size is within the bound unless a text is alone."""
    lengths = [int(n) for n in np.random.default_rng(7).integers(2, 257, 500)]
    groups = list(batches(lengths))
    assert sorted(i for group in groups for i in group) == list(range(500))
    assert all(len(g) == 1 or len(g) * max(lengths[i] for i in g) <= BATCH_TOKENS for g in groups)
