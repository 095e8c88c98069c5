"""Paragraphs of real English prose from the documentation that a machine already has.

Man pages, info files, package documentation, docstrings and comments of installed Python code, READMEs.
Every source is capped, so that no single one dominates, and a paragraph counts once, whatever its spacing
and case. The order is a seeded shuffle: the same machine gives the same corpus.
"""

from __future__ import annotations

import ast
import gzip
import html
import os
import random
import re
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

CHARS = (40, 1000)
FILE_CHARS = 2_000_000
BOILERPLATE = re.compile(
    r"copyright|warranty|licensed under|permission is hereby|redistribution|license agreement|apache license",
    re.IGNORECASE,
)
Paragraphs = Callable[[str], Iterable[str]]


def collect(wanted: int, *, seed: int = 7) -> list[str]:
    """Up to `wanted` different paragraphs in a shuffled order."""
    mix = random.Random(seed)
    seen: set[str] = set()
    found: list[str] = []
    for roots, endings, paragraphs, cap in _sources():
        files = sorted(set(_files(roots, endings)))
        mix.shuffle(files)
        found += _take(files, paragraphs, cap, seen)
    mix.shuffle(found)
    return found[:wanted]


def _sources() -> list[tuple[list[Path], tuple[str, ...], Paragraphs, int]]:
    """Folders, file endings, how to read them, and the most paragraphs taken."""
    share, library = Path("/usr/share"), Path("/usr/lib")
    python = Path(sysconfig.get_path("stdlib"))
    others = [p for p in python.parent.parent.parent.glob("*/lib/python3*") if p != python]
    toolchains = (Path.home() / ".rustup" / "toolchains").glob("*/share/doc/rust/html")
    books = chain.from_iterable(
        t.glob(b) for t in toolchains for b in ("book", "cargo", "reference", "rust*", "std", "*-book")
    )
    sections = [share / "man" / f"man{number}" for number in (1, 5, 7, 8)]
    text = (".txt", ".md", ".rst", "README", "NEWS", ".gz")
    return [
        (sections, (".gz", ".1", ".5", ".7", ".8"), _man, 26_000),
        ([share / "info"], (".gz", ".info"), _plain, 6_000),
        ([share / "doc"], (".html",), _html, 16_000),
        ([share / "doc"], text, _plain, 16_000),
        (sorted(share.glob("cmake*/Help")), (".rst",), _plain, 6_000),
        (sorted(share.glob("vim/vim*/doc")), (".txt",), _plain, 6_000),
        ([library / "node_modules"], (".md",), _plain, 8_000),
        ([python], (".md", ".rst", ".txt"), _plain, 8_000),
        ([python], (".py",), _python, 30_000),
        (sorted(others), (".py",), _python, 16_000),
        (sorted(library.glob("google-cloud-sdk/lib")), (".py",), _python, 14_000),
        (sorted([share / "perl", *share.glob("perl5")]), (".pod", ".pm"), _plain, 8_000),
        ([library / "python3"], (".py",), _python, 6_000),
        (sorted(books), (".html",), _html, 16_000),
    ]


def _files(roots: Iterable[Path], endings: tuple[str, ...]) -> Iterator[str]:
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                if name.endswith(endings) and "changelog" not in name.lower():
                    yield os.path.join(folder, name)


def _take(files: Iterable[str], paragraphs: Paragraphs, cap: int, seen: set[str]) -> list[str]:
    taken: list[str] = []
    for path in files:
        for raw in paragraphs(_read(path)):
            text = re.sub(r"\s+", " ", raw).strip(" *#>-|=~")
            key = re.sub(r"[^a-z]+", "", text.lower())[:160]
            if not _is_prose(text) or key in seen:
                continue
            seen.add(key)
            taken.append(text)
            if len(taken) >= cap:
                return taken
    return taken


def _is_prose(text: str) -> bool:
    if not CHARS[0] <= len(text) <= CHARS[1] or BOILERPLATE.search(text):
        return False
    words = text.split()
    letters = sum(c.isalpha() or c == " " for c in text)
    plain = sum(word.isalpha() and word.islower() for word in words)
    return len(words) >= 7 and letters >= 0.82 * len(text) and plain >= 0.4 * len(words)


def _read(path: str) -> str:
    try:
        if path.endswith(".gz"):
            with gzip.open(path, "rt", encoding="utf-8", errors="replace") as packed:
                return packed.read(FILE_CHARS)
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(FILE_CHARS)
    except (OSError, EOFError, gzip.zlib.error):  # type: ignore[attr-defined]
        return ""


def _plain(text: str) -> Iterable[str]:
    return re.split(r"\n\s*\n", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def _html(text: str) -> Iterable[str]:
    for match in re.finditer(r"<(p|li|dd)\b[^>]*>(.*?)</(?:p|li|dd)>", text, re.DOTALL):
        yield html.unescape(re.sub(r"<[^>]+>", "", match.group(2)))


def _man(text: str) -> Iterable[str]:
    text = re.sub(r"^['.]\\\".*$", "", text, flags=re.MULTILINE)
    text = re.sub(
        r"^\.(?:PP|TP|P|LP|IP|SH|SS|Pp|Sh|It|sp|br|RS|RE|nf|fi|HP)\b.*$", "\n\n", text, flags=re.MULTILINE
    )
    text = re.sub(r"^\.[A-Za-z]+ ?", "", text, flags=re.MULTILINE)
    text = re.sub(r"\\f[A-Z]|\\f\(..|\\&|\\\||\\c|\\s[-+]?\d", "", text)
    text = text.replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\")
    return _plain(re.sub(r"\\\((?:lq|rq)", '"', text))


def _python(text: str) -> Iterable[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from list(_plain(ast.get_docstring(node) or ""))[:6]
    for match in re.finditer(r"(?:^[ \t]*#[ ]?(?![!#]).*\n){2,}", text, re.MULTILINE):
        yield re.sub(r"^[ \t]*# ?", "", match.group(0), flags=re.MULTILINE)
