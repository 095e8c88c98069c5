"""The throw-away memory of an experiment, and what is true of it.

The input is taken in through a link that is removed afterwards, so that the memory stands alone: no rung can
read a lost text back from the file it came from. Of a part of the fragments an outdated wording is written
between the first and the last version, so that there is an older text which must never be given out.

Rejected: copying the input (a second copy of what may be large), leaving it where it is (the rung `source`
would make every experiment on files look exact).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from carma.config import Settings
from carma.embed import Embedder
from carma.errors import InvalidInput
from carma.memory.memory import Memory
from carma.models import Fragment
from carma.ports.disk import LocalDisk
from carma.prove.damage import Place
from carma.store.registry import Registry, registry_names

__all__ = ["Corpus", "Given", "Original", "build", "everything", "places"]

_PAGE = 500
_OUTDATED_EVERY = 50
_QUESTION_FILES = 1_000
_QUESTION_BYTES = 64 * 2**20
_WRITTEN_TEXT = ("paragraph", "turn", "note", "code")


class Original(NamedTuple):
    """A fragment as it was before anything happened. digest: of its text, hexadecimal."""

    id: str
    seq: int
    version: int
    text: str
    digest: str
    kind: str
    parent: str | None


class Given(NamedTuple):
    """A question that came with a conversation.

    evidence: for each turn that answers it the ids of its fragments; empty for a turn that does not exist.
    """

    text: str
    evidence: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """A memory at rest and the truth about it.

    names: of what was taken in. losable: ids of which a share is lost: the turns of a conversation, else
    everything.
    outdated: how many fragments have an older text that differs.
    """

    folder: str
    names: tuple[str, ...]
    originals: Mapping[str, Original]
    losable: tuple[str, ...]
    given: tuple[Given, ...]
    outdated: int
    problems: int


def build(
    paths: Sequence[Path],
    stage: Path,
    settings: Settings,
    embedder: Embedder,
    rng: Random,
    *,
    outdated: bool,
) -> Corpus:
    """Take folders and files into a new memory in `stage`, and let it come to rest.

    outdated: write an older wording of some fragments. Raises InvalidInput where a path cannot be read or
    there is no text, and what `Memory.ingest` raises.
    """
    folder = str(stage / "memory")
    given: list[tuple[str, Mapping[str, Any]]] = []
    problems = 0
    with Memory.open(folder, embedder=embedder, settings=settings) as memory:
        for number, path in enumerate(paths):
            link = _linked(path, stage / f"input-{number}")
            try:
                problems += len(memory.ingest(link).problems)
                given += _asked_in(link)
            finally:
                link.unlink()
        found = list(everything(memory))
        if not found:
            raise InvalidInput(f"There is no text in {', '.join(map(str, paths))}.")
        rewritten = _reword(memory, found, rng) if outdated else 0
        memory.flush()
        found = list(everything(memory))
    originals = {
        each.id: Original(each.id, each.seq, each.version, each.text, each.digest, each.kind, each.parent)
        for each in found
    }
    turns = tuple(each.id for each in found if each.kind == "turn")
    losable = turns if len(turns) * 2 >= len(found) else tuple(originals)
    questions = tuple(_questions(given, found))
    return Corpus(folder, tuple(map(_name, paths)), originals, losable, questions, rewritten, problems)


def everything(memory: Memory) -> Iterator[Fragment]:
    """All fragments in order of creation, page by page."""
    cursor = None
    while True:
        page = memory.list(limit=_PAGE, cursor=cursor)
        yield from page
        cursor = page.cursor
        if cursor is None:
            return


def places(folder: str) -> dict[int, Place]:
    """Where the registry of a closed memory says that its live fragments lie, by number of the write."""
    index = os.path.join(folder, "index")
    newest = registry_names(LocalDisk(), index)[0]
    registry = Registry.open(os.path.join(index, newest))
    try:
        rows = registry.rows("SELECT seq, segment, offset, length FROM fragments WHERE live ORDER BY seq")
    finally:
        registry.close()
    return {row[0]: Place(*row) for row in rows}


def _name(path: Path) -> str:
    return path.resolve().name or "root"


def _linked(path: Path, folder: Path) -> Path:
    """A link to a path, by its own name. Raises InvalidInput where there is nothing."""
    if not path.exists():
        raise InvalidInput(f"There is nothing at {path}.", hint="Name a folder or a conversation file.")
    folder.mkdir()
    link = folder / _name(path)
    link.symlink_to(path.resolve())
    return link


def _reword(memory: Memory, found: Sequence[Fragment], rng: Random) -> int:
    """Give some fragments an outdated version between their first and their newest; how many."""
    texts = [each for each in found if each.kind in _WRITTEN_TEXT]
    chosen = rng.sample(texts, -(-len(texts) // _OUTDATED_EVERY))
    for each in chosen:
        memory.update(each.id, f"Outdated, and not to be given out: {each.text[:200]}")
        memory.update(each.id, each.text)
    return len(chosen)


def _asked_in(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """The questions of LoCoMo files (an object with `qa`), each with the path of its file as sources name
    it.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.json"))[:_QUESTION_FILES]
    out: list[tuple[str, Mapping[str, Any]]] = []
    for file in files:
        if file.suffix != ".json" or not file.is_file() or file.stat().st_size > _QUESTION_BYTES:
            continue
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError):
            continue  # Ingest has said what it is, if it is anything.
        asked = value.get("qa") if isinstance(value, dict) else None
        name = file.relative_to(path.parent).as_posix()
        out += [(name, each) for each in asked or () if isinstance(each, dict) and each.get("question")]
    return out


def _questions(asked: Sequence[tuple[str, Mapping[str, Any]]], found: Sequence[Fragment]) -> Iterator[Given]:
    """The questions that name evidence, with the fragments of each of its turns."""
    turns: dict[tuple[str, str], set[str]] = {}
    for each in found:
        if each.source is not None and "dia_id" in each.metadata:
            turns.setdefault((each.source.path, str(each.metadata["dia_id"])), set()).add(each.id)
    for name, question in asked:
        named = dict.fromkeys(_dia_ids(question.get("evidence")))
        if named:
            evidence = tuple(frozenset(turns.get((name, dia), ())) for dia in named)
            yield Given(str(question["question"]), evidence)


def _dia_ids(evidence: object) -> Iterator[str]:
    """The ids of evidence turns; some entries name several, or write "D1:03"."""
    for entry in evidence if isinstance(evidence, list) else ():
        for part in str(entry).replace(";", " ").replace(",", " ").split():
            session, colon, turn = part.partition(":")
            if colon and session[:1] == "D" and session[1:].isdigit() and turn.isdigit():
                yield f"D{int(session[1:])}:{int(turn)}"
