"""`carma demo`: a real folder goes into a throw-away memory, is asked, and answers with scores and sources.

`make demo` runs it over the project's own documentation, with questions chosen for it; for any other folder
the questions are made from its headings, or, where it has none, from its first words.
"""

from __future__ import annotations

import re
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.cli.output import Output, one_line
from carma.cli.show import hit_lines, hits_table, tree_lines, tree_picture
from carma.errors import InvalidInput

if TYPE_CHECKING:
    from carma.memory.memory import Memory
    from carma.models import Fragment, Node, SearchResult

__all__ = ["QUESTIONS", "demo", "own_docs", "questions_for"]

QUESTIONS = (
    "What happens to a write when the process is killed?",
    "How is a damaged record found, and what does a reader get?",
    "How do I find only the fragments of one user?",
    "How can a memory be deleted for good?",
    "Which kinds of files can be ingested?",
    "Why does a search say that it is degraded?",
)
"""Questions about the project's own documentation."""

_ASKED = 6
_HITS = 3
_TREE_CHILDREN = 4
_TREE_LEVELS = 4
_WIDTH = 72
_LINES = 3
_WORD = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True, slots=True)
class _Asked:
    question: str
    result: SearchResult


def demo(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[PATH]", help="A folder; else CARMA's own docs.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON of a stable shape.")] = False,
) -> None:
    """Take a folder into a throw-away memory and ask it questions."""
    from carma.memory.memory import Memory

    folder = path.expanduser() if path is not None else own_docs()
    stage = _Stage(Output(as_json))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="carma-demo-") as place, Memory.open(f"{place}/memory") as memory:
        stage.title(f"CARMA remembers {folder.name or folder}")
        facts = _take_in(stage, memory, folder)
        stage.title("The tree")
        stage.tree(memory.tree(depth=_TREE_LEVELS))
        questions = QUESTIONS if path is None else questions_for(list(_fragments(memory)))
        asked = []
        for number, question in enumerate(questions, 1):
            asked.append(_Asked(question, memory.search(question, limit=_HITS)))
            stage.title(f"Question {number}: {question}")
            stage.hits(asked[-1].result)
        facts |= _summary(asked, memory, time.monotonic() - begun)
    stage.end(facts, asked)


def own_docs() -> Path:
    """The documentation beside this source. Raises InvalidInput where CARMA was installed without it."""
    docs = Path(__file__).resolve().parents[3] / "docs"
    if not docs.is_dir():
        raise InvalidInput(
            "This CARMA has no documentation beside it.", hint="Name a folder: carma demo PATH"
        )
    return docs


def _take_in(stage: _Stage, memory: Memory, folder: Path) -> dict[str, Any]:
    with stage.out.progress("Ingesting", "files") as update:
        report = memory.ingest(folder, progress=lambda now: update(now.done_files, now.total_files, now.path))
    if not report.added:
        raise InvalidInput(f"There is no text in {folder}.")
    stage.say(
        f"{report.files} files became {report.added} fragments in {report.took_s:.2f} s: stored twice, "
        "synced, and findable by words."
    )
    begun = time.monotonic()
    memory.flush()
    embed_s = time.monotonic() - begun
    stage.say(f"Their meaning was embedded on this machine in another {embed_s:.2f} s.")
    if report.problems:
        stage.say(f"{len(report.problems)} things in the folder could not be taken as they stand.")
    return {
        "files": report.files,
        "fragments": report.added,
        "problems": len(report.problems),
        "ingest_s": round(report.took_s, 3),
        "embed_s": round(embed_s, 3),
    }


def _fragments(memory: Memory) -> Iterator[Fragment]:
    """All fragments, page by page."""
    cursor = None
    while True:
        page = memory.list(limit=500, cursor=cursor)
        yield from page
        cursor = page.cursor
        if cursor is None:
            return


def questions_for(fragments: Sequence[Fragment]) -> tuple[str, ...]:
    """Questions from what a folder holds: its headings, else the first words of its texts, spread evenly."""
    headings = dict.fromkeys(
        one_line(each.text).strip("#=-*_ ")[:60] for each in fragments if each.kind == "section"
    )
    topics = [heading for heading in headings if _WORD.search(heading)]
    if len(topics) < 2:
        texts = [each for each in fragments if each.kind not in ("folder", "file", "section", "session")]
        found = (" ".join(_WORD.findall(each.text)[:6]) for each in texts)
        topics = list(dict.fromkeys(topic for topic in found if topic))
    step = max(len(topics) / _ASKED, 1.0)
    chosen = [topics[int(number * step)] for number in range(min(_ASKED, len(topics)))]
    return tuple(topic if topic.endswith("?") else f"What is said about {topic}?" for topic in chosen)


def _summary(asked: Sequence[_Asked], memory: Memory, took_s: float) -> dict[str, Any]:
    times = sorted(each.result.took_ms for each in asked)
    findings = [each for each in memory.doctor() if each["level"] == "error"]
    return {
        "questions": len(asked),
        "answered": sum(bool(each.result.hits) for each in asked),
        "degraded": sum(each.result.degraded for each in asked),
        "median_ms": round(times[len(times) // 2], 3) if times else None,
        "errors_found": len(findings),
        "took_s": round(took_s, 3),
    }


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _wrapped(text: str) -> list[str]:
    """The beginning of a text in lines that fit 80 columns."""
    return textwrap.wrap(text, _WIDTH, max_lines=_LINES, placeholder=" …")


class _Stage:
    """Shows the demo as it goes: drawn on a terminal, plain in a pipe, and nothing until the end as JSON."""

    def __init__(self, out: Output) -> None:
        self.out = out

    def title(self, text: str) -> None:
        if self.out.as_json:
            return
        if self.out.terminal:
            from rich.text import Text

            self.out.console().print(Text(f"\n{one_line(text)}", style="bold"))
        else:
            print(f"\n== {one_line(text)}")

    def say(self, text: str) -> None:
        if self.out.terminal:
            self.out.console().print(text)
        elif not self.out.as_json:
            print(textwrap.fill(text, _WIDTH + 7))
        sys.stdout.flush()

    def tree(self, node: Node) -> None:
        if self.out.terminal:
            self.out.console().print(tree_picture(node, most=_TREE_CHILDREN))
        elif not self.out.as_json:
            for line in tree_lines(node):
                print(_cut(line.partition("\t")[2]))

    def hits(self, result: SearchResult) -> None:
        if self.out.terminal:
            self.out.console().print(hits_table(result.hits))
        elif not self.out.as_json:
            for line in hit_lines(result):
                score, _, _, source, text = line.split("\t")[:5]
                print(f"{float(score):.3f}  {source}", *_wrapped(text), sep="\n       ")
        sys.stdout.flush()

    def end(self, facts: dict[str, Any], asked: Sequence[_Asked]) -> None:
        if self.out.as_json:
            answers = [{"question": each.question, **each.result.to_dict()} for each in asked]
            self.out.show({"summary": facts, "answers": answers}, lambda: ())
            return
        self.title("Summary")
        self.say(
            f"{facts['files']} files, {facts['fragments']} fragments. {facts['answered']} of "
            f"{facts['questions']} questions answered, each in {facts['median_ms']:.1f} ms (median)."
        )
        self.say(
            f"The memory was checked: {facts['errors_found'] or 'no'} errors. All of it took "
            f"{facts['took_s']:.1f} s; the memory was a throw-away and is gone."
        )
