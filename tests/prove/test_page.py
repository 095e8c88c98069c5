"""The report of the experiment: the page, the pictures and the summary for a terminal."""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.prove.differences import MOST_WORDS, marked
from carma.prove.page import report_page, summary_lines, write_pngs, write_report
from carma.prove.plots import plots
from carma.prove.verdict import rows, verdict

EVIL = "</style><script>alert(1)</script> \"q\" 'a' &amp; \x00\x1b[31m\u202e $x_ ${y}"


def full() -> dict[str, Any]:
    """A made-up report with every member."""
    return {
        "title": "A conversation",
        "started": "2026-11-21T11:00:00Z",
        "command": "carma prove talk.json --loss 0.05",
        "seed": 7,
        "damage": "mixed",
        "redundancy": "sketch",
        "loss": 0.05,
        "input": ["talk.json"],
        "fragments": 5882,
        "lost": 294,
        "queries": 1000,
        "asked": {"before": 1000, "dreaming": 1834},
        "failed_queries": 0,
        "wrong_answers": 0,
        "recovered": 291,
        "exact": 31,
        "reconstructed": 260,
        "blank": 3,
        "cycles": 2,
        "rungs": {"compose": 244, "parity": 25},
        "took_s": 96.3,
        "similarity": {"mean": 0.8741, "p10": 0.741, "min": 0.412},
        "token_f1": 0.561,
        "rouge_l": 0.498,
        "entity_recall": 0.772,
        "judge": {
            "good_means": "close enough",
            "judged": 260,
            "good": 0.623,
            "found_again": {"before": 0.991, "healed": 0.978},
        },
        "answer_overlap_at_10": {"damaged": 0.932, "healed": 0.978},
        "latency_ms": {"before": {"p50": 3.21, "p99": 7.4}, "dreaming": {"p50": 4.02, "p99": 12.8}},
        "downtime_ms": 0.0,
        "dream": {"planned_s": 612.2, "actual_s": 31.72, "errors": []},
        "confidence_calibration": {
            "ece": 0.061,
            "bins": [
                {"low": 0.5, "high": 0.6, "count": 40, "confidence": 0.55, "good": 0.5},
                {"from": 0.8, "to": 0.9, "fragments": 60, "confidence": 0.85, "good": 0.9},
                {"low": 0.9, "high": 1.0, "count": 0, "confidence": None, "good": None},
            ],
        },
        "curves": {
            "cycles": [
                {
                    "cycle": 0,
                    "exact": 0,
                    "reconstructed": 0,
                    "blank": 294,
                    "score": None,
                    "cosine": None,
                    "token_f1": None,
                },
                {
                    "cycle": 1,
                    "exact": 31,
                    "reconstructed": 240,
                    "blank": 23,
                    "score": 0.83,
                    "cosine": 0.85,
                    "token_f1": 0.5,
                },
                {
                    "cycle": 2,
                    "exact": 31,
                    "reconstructed": 260,
                    "blank": 3,
                    "score": 0.85,
                    "cosine": 0.874,
                    "token_f1": 0.56,
                },
            ],
            "latency_series": {"before": [3.0, 3.2, 3.1], "dreaming": [4.0, 200.0, 4.1]},
            "similarity_histogram": [0.41, 0.82, 0.88, 0.93, 1.0],
        },
        "samples": [
            {
                "id": "a" * 32,
                "original": "Caroline went to Oslo on 7 May.",
                "reconstruction": "Caroline went to Bergen on 7 May",
                "state": "reconstructed",
                "rung": "compose",
                "confidence": 0.71,
                "cosine": 0.9,
            },
            {
                "id": "b" * 32,
                "original": "gone for good",
                "reconstruction": "",
                "state": "blank",
                "reason": "no context is left",
            },
            {
                "id": "c" * 32,
                "original": "the very same",
                "reconstruction": "the very same",
                "state": "repaired",
                "rung": "parity",
            },
        ],
    }


class Page(HTMLParser):
    """The elements of a page, and its texts by the element they stand in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]


def test_the_page_says_every_figure(tmp_path: Path) -> None:
    """The verdict, each row of the table, each chart and each sample are on the page."""
    text = write_report(full(), tmp_path).read_text("utf-8")
    page = Page(text)
    everything = " ".join(data for _, data in page.texts)
    assert verdict(full())[0] in everything
    for row in rows(full()):
        assert row.name in everything and row.value in everything
    charts = plots(full())
    assert page.of("figcaption") == [charts[n].title for n in _ORDER]
    assert len([tag for tag, _ in page.elements if tag == "svg"]) == len(charts) == 8
    assert page.of("del")[1:] == ["Oslo"] and page.of("ins")[1:] == ["Bergen"]
    for wanted in (
        "5,882",
        "no context is left",
        "the same text, to the letter",
        "carma prove talk.json --loss 0.05",
    ):
        assert wanted in everything


_ORDER = (
    "latency",
    "latency_series",
    "outcome",
    "rungs",
    "cycles_left",
    "similarity",
    "cycles",
    "calibration",
)


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(tmp_path: Path) -> None:
    """No script, no address, no inline style; the policy forbids all but its own style."""
    (tmp_path / "topology.html").write_text("x")
    (tmp_path / "topology.png").write_bytes(b"\x89PNG not looked into")
    text = write_report(full(), tmp_path).read_text("utf-8")
    page = Page(text)
    assert not re.search(r"(?i)https?:|url\(|@import", text)
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert "style" not in attributes and not [name for name in attributes if name.startswith("on")]
    assert [a["href"] for t, a in page.elements if t == "a"] == ["topology.html"]
    images = [a["src"] or "" for t, a in page.elements if t == "img"]
    assert images == ["data:image/png;base64," + b64encode(b"\x89PNG not looked into").decode()]
    policy = next(a["content"] for t, a in page.elements if "http-equiv" in a) or ""
    digest = b64encode(sha256("".join(page.of("style")).encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"style-src 'sha256-{digest}'" in policy and "unsafe" not in policy


def test_stored_text_cannot_become_markup(tmp_path: Path) -> None:
    """Hostile text at every place of the report adds no element but the marks of differences."""
    hostile = _everywhere(full())
    with_evil = [t for t, _ in Page(report_page(hostile)).elements if t not in ("del", "ins")]
    assert "script" not in with_evil
    assert with_evil.count("article") == 3
    text = report_page(hostile)
    assert "alert(1)" in text and "<script" not in text
    assert not any(c in text for c in "\x00\x1b\u202e")


def _everywhere(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: EVIL if key in ("damage", "redundancy") else _everywhere(each) for key, each in value.items()
        } | ({EVIL: 3} if "compose" in value else {})
    if isinstance(value, list):
        return [_everywhere(each) for each in value]
    return EVIL + value if isinstance(value, str) else value


@pytest.mark.parametrize("name", sorted(full()))
def test_a_member_that_is_missing_or_of_another_kind_is_left_out(name: str) -> None:
    """Without any one member, or with nonsense in it, page, charts and summary are still made, and say
    nothing of it.
    """
    whole = full()
    for value in (..., None, "nonsense", [], {}, [None, 3], {"a": {"b": None}}, math.nan, True):
        report = {key: each for key, each in whole.items() if key != name}
        if value is not ...:
            report[name] = value
        text = report_page(report)
        assert "None" not in text and "nan" not in re.sub(r"(?s)<style>.*</style>", "", text).lower().split()
        summary_lines(report)


def test_an_empty_report_is_a_page_that_says_so() -> None:
    """Nothing is invented where there are no figures."""
    page = Page(report_page({}))
    assert "The report holds no figures." in " ".join(page.of("p"))
    assert not [tag for tag, _ in page.elements if tag in ("svg", "table", "article", "img", "a")]
    assert summary_lines({}) == ["The report holds no figures."]


@pytest.mark.parametrize(
    ("change", "well", "wanted"),
    [
        (
            {"exact": 294, "reconstructed": 0, "blank": 0},
            True,
            "All 294 lost fragments came back bit for bit.",
        ),
        ({"blank": 0}, True, "31 bit for bit, 260 reconstructed from what was left."),
        ({}, False, "3 still blank"),
        ({"blank": 0, "failed_queries": 1}, False, "1 query failed, no answer was wrong."),
        ({"blank": 0, "wrong_answers": 2}, False, "No query failed, 2 answers were wrong."),
        ({"blank": 0, "dream": {"errors": ["broken"]}}, False, "A dream broke off."),
    ],
)
def test_the_verdict_is_good_only_if_all_is_well(change: dict[str, Any], well: bool, wanted: str) -> None:
    """A blank, a failure, a wrong answer or a broken dream each turn the verdict, and are named."""
    sentence, good = verdict(full() | change)
    assert (good, wanted in sentence) == (well, True), sentence


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_summary_keeps_to_the_width_and_cannot_steer_a_terminal(width: int) -> None:
    """No line is longer than asked for, and none holds a control character."""
    lines = summary_lines(_everywhere(full()), width)
    assert max(map(len, lines)) <= width
    assert all(c.isprintable() for line in lines for c in line)
    joined = " ".join(summary_lines(full(), width))
    assert "1,000" in joined and "260" in joined


def test_what_went_wrong_is_quoted() -> None:
    """Failed queries and broken dreams are named in their own words; without any there is no such section."""
    report = full() | {"examples": ["get <x>: wrong text"], "dream": {"errors": ["DiskFull: no space"]}}
    assert {"get <x>: wrong text", "DiskFull: no space"} == set(Page(report_page(report)).of("li")) - _tiles()
    assert "What went wrong" not in report_page(full())


def _tiles() -> set[str]:
    return set(Page(report_page(full())).of("li"))


@given(st.text(max_size=200), st.text(max_size=200))
@settings(deadline=None)
def test_marked_texts_keep_every_word(one: str, other: str) -> None:
    """Without the marks, each side reads as it was, for any text; nothing of it becomes markup."""
    for text, shown in zip((one, other), marked(one, other), strict=True):
        page = Page(f"<p>{shown}</p>")
        assert {tag for tag, _ in page.elements} <= {"p", "del", "ins"}
        read = "".join(data for _, data in page.texts)
        printable = "".join(c if c.isprintable() else " " for c in " ".join(re.findall(r"\S+", text)))
        assert read.split() == printable.split()


def test_long_texts_are_cut_with_a_sign() -> None:
    """Beyond the bound a text ends in an ellipsis."""
    left, right = marked("word " * (MOST_WORDS + 1), "word " * MOST_WORDS)
    assert left.endswith("…") and not right.endswith("…")


def test_the_charts_are_written_as_pictures_too(tmp_path: Path) -> None:
    """One PNG for each chart of the report, 1200 pixels wide, with more in it than its ground."""
    image = pytest.importorskip("matplotlib.image")
    written = write_pngs(_everywhere(full()) | {"title": "t"}, tmp_path)
    assert {path.stem for path in written} == set(plots(full()))
    for path in written:
        pixels = np.round(image.imread(path)[:, :, :3] * 255).astype(np.int64)
        assert pixels.shape[1] == 1200
        assert len(np.unique(pixels @ [65536, 256, 1])) > 20


def test_the_page_takes_what_the_report_file_says(tmp_path: Path) -> None:
    """A report that went through JSON gives the same page."""
    assert report_page(json.loads(json.dumps(full()))) == report_page(full())
