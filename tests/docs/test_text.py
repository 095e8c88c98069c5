"""The project's texts: links lead somewhere, one word for one thing, and no place of somebody's machine."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pages import IDS, PAGES, ROOT, prose

_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")

# Pieces, so that this file does not hold what it looks for.
_HOSTS = [
    f"{name}.{top}"
    for name, top in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("debian", "org"))
]
_PLACES = ["work", "farm", "root"]
_FOREIGN = re.compile(
    "|".join(re.escape(host) for host in _HOSTS) + "|" + rf"(?<![\w.~<>-])/(?:{'|'.join(_PLACES)})/[\w.-]"
)

# A second word for a thing that DESIGN names, and the word to write.
_SECOND_WORDS = {
    r"chunks?": "fragment",
    r"snippets?": "fragment",
    r"memory (?:banks?|stores?)": "memory",
    r"tombstones? fragments?": "blank",
    r"scrubbers?": "beacon",
}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """Files that a page links to exist, and so do the headings."""
    broken = []
    for number, line in prose(page):
        for match in _LINK.finditer(line):
            path, _, anchor = match["target"].partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}:{number} {match['target']}")
    assert not broken


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    titles = (re.match(r"#+ +(.*)", line) for line in page.read_text(encoding="utf-8").splitlines())
    return {_anchor(title[1]) for title in titles if title}


def _anchor(title: str) -> str:
    kept = (c for c in title.strip().lower() if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")


def test_every_decision_is_listed() -> None:
    """The list of decisions has a link to each of them."""
    folder = ROOT / "docs" / "decisions"
    listed = {match["target"] for _, line in prose(folder / "README.md") for match in _LINK.finditer(line)}
    assert {page.name for page in folder.glob("[0-9]*.md")} <= listed


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_one_word_for_one_thing(page: Path) -> None:
    """The words of the architecture stand in the documentation, and no second ones."""
    found = [
        f"{page.relative_to(ROOT)}:{number} {match[0]!r}: write {word!r}"
        for number, line in prose(page)
        for second, word in _SECOND_WORDS.items()
        for match in re.finditer(rf"\b{second}\b", line, re.IGNORECASE)
    ]
    assert not found


def test_no_file_names_a_registry_or_a_place_of_one_machine() -> None:
    """No text of the project holds the host of a package registry or a path that exists on one machine."""
    found = [
        f"{path.relative_to(ROOT)}:{number} {match[0]}"
        for path in _texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in _FOREIGN.finditer(line)
    ]
    assert not found


def test_the_package_is_called_by_its_published_name() -> None:
    """What is typed behind `pip install` is `carma-memory`: the bare name is somebody else's."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"\bcarma\[[a-z]|pip install ['\"]?carma(?!-)\b", line)
    ]
    assert not found


def _texts() -> Iterator[Path]:
    """The files of the project that are text: what git tracks or would, else (in a source archive) all."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    names = listed.stdout.decode().split("\0")[:-1]
    files = [ROOT / name for name in names] if listed.returncode == 0 else list(ROOT.rglob("*"))
    for path in files:
        if path.is_file() and path.stat().st_size < 2**20 and path.suffix not in {".onnx", ".png", ".pyc"}:
            try:
                path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            yield path
