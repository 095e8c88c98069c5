"""Source code: functions and classes of Python by its own parser, other languages by their top-level blocks.

A general grammar for every language (tree-sitter) was rejected: binary grammars for a gain that search does
not notice, since blank lines and indentation already part the declarations of nearly all of them.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from carma.ingest.document import Document
from carma.ingest.node import ParsedNode
from carma.ingest.plain import block_lines

__all__ = ["LANGUAGES", "parse_python", "parse_source"]

LANGUAGES = {
    "c": "c", "h": "c", "cc": "cpp", "cpp": "cpp", "cxx": "cpp", "hpp": "cpp", "hh": "cpp",
    "cs": "csharp", "css": "css", "scss": "css", "dart": "dart", "ex": "elixir", "exs": "elixir",
    "erl": "erlang", "fs": "fsharp", "go": "go", "graphql": "graphql", "groovy": "groovy",
    "hs": "haskell", "java": "java", "js": "javascript", "cjs": "javascript", "mjs": "javascript",
    "jsx": "javascript", "jl": "julia", "json": "json", "json5": "json", "kt": "kotlin", "kts": "kotlin",
    "lisp": "lisp", "clj": "clojure", "lua": "lua", "m": "objective-c", "ml": "ocaml", "mli": "ocaml",
    "pas": "pascal", "php": "php", "pl": "perl", "pm": "perl", "proto": "protobuf", "py": "python",
    "pyi": "python", "pyw": "python", "r": "r", "rb": "ruby", "rs": "rust", "scala": "scala",
    "sh": "shell", "bash": "shell", "zsh": "shell", "fish": "shell", "ps1": "powershell", "sql": "sql",
    "swift": "swift", "tcl": "tcl", "tf": "terraform", "toml": "toml", "ini": "ini", "cfg": "ini",
    "ts": "typescript", "tsx": "typescript", "vb": "basic", "vue": "vue", "svelte": "svelte",
    "xml": "xml", "yaml": "yaml", "yml": "yaml", "zig": "zig", "cmake": "cmake", "mk": "make",
    "jsonl": "json", "ndjson": "json",
}  # fmt: skip
"""Suffix (lower case, without the dot) to language."""

_CLOSER = re.compile(r"[\]})]|end\b|else\b|elif\b|elsif\b|catch\b|finally\b|done\b|fi\b|esac\b")
_PARSE_MOST = 4 * 2**20
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def parse_source(document: Document) -> tuple[ParsedNode, ...]:
    """A `code` node for every block that begins, after a blank line, at the left border."""
    return tuple(_blocks(document, 0, len(document.lines)))


def parse_python(document: Document) -> tuple[ParsedNode, ...]:
    """A `code` node per function, a section per class with its methods; other lines by blocks.

    What does not parse (Python 2, a template, a nesting that exhausts the parser) is taken by blocks as a
    whole.
    """
    if len(document.text) > _PARSE_MOST:
        return parse_source(document)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(document.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return parse_source(document)
    return tuple(_definitions(document, tree.body, 0, len(document.lines), ""))


def _blocks(document: Document, first: int, stop: int) -> Iterator[ParsedNode]:
    """Runs of lines that begin at the smallest indentation among them, after a blank line."""
    margin: int | None = None
    start = end = None
    for begin, last in block_lines(document, first, stop):
        line = document.line_text(begin)
        body = line.lstrip()
        indent = len(line) - len(body)
        margin = indent if margin is None else min(margin, indent)
        if start is None or end is None:
            start = begin
        elif indent <= margin and not _CLOSER.match(body):
            yield from _code(document, start, end + 1)
            start = begin
        end = last
    if start is not None and end is not None:
        yield from _code(document, start, end + 1)


def _code(document: Document, first: int, stop: int, **metadata: str) -> list[ParsedNode]:
    start, end = document.lines[first][0], document.lines[stop - 1][1]
    return document.leaves("code", start, end, metadata=metadata, by_lines=True)


def _definitions(
    document: Document, body: list[ast.stmt], first: int, stop: int, owner: str
) -> Iterator[ParsedNode]:
    """The lines `first` up to `stop`, whose statements are `body`: definitions, and blocks between them."""
    cursor = first
    for statement in body:
        if not isinstance(statement, _Definition):
            continue
        begin = _begin(document, statement, cursor)
        end = min(statement.end_lineno or statement.lineno, stop)
        if begin < cursor or end <= begin:
            continue
        yield from _blocks(document, cursor, begin)
        yield from _definition(document, statement, begin, end, owner)
        cursor = end
    yield from _blocks(document, cursor, stop)


def _begin(document: Document, statement: _Definition, floor: int) -> int:
    """The first line of a definition: its decorators and the comment right above it belong to it."""
    begin = min([statement.lineno, *(decorator.lineno for decorator in statement.decorator_list)]) - 1
    while begin > floor and document.line_text(begin - 1).lstrip().startswith("#"):
        begin -= 1
    return begin


def _definition(
    document: Document, statement: _Definition, begin: int, end: int, owner: str
) -> Iterator[ParsedNode]:
    name = f"{owner}.{statement.name}"[-200:].lstrip(".")
    body_line = min(_first_line(statement.body[0]), end)
    if not isinstance(statement, ast.ClassDef) or owner.count(".") >= 2 or body_line <= statement.lineno - 1:
        symbol = "class" if isinstance(statement, ast.ClassDef) else "method" if owner else "function"
        yield from _code(document, begin, end, name=name, symbol=symbol)
        return
    header = _code(document, begin, max(body_line, begin + 1), name=name, symbol="class")
    inside = _definitions(document, statement.body, max(body_line, begin + 1), end, name)
    head, *rest = header
    yield _section(head, (*rest, *inside))


def _section(head: ParsedNode, children: tuple[ParsedNode, ...]) -> ParsedNode:
    return ParsedNode(
        kind="section",
        text=head.text,
        span=head.span,
        span_digest=head.span_digest,
        line=head.line,
        metadata=head.metadata,
        children=children,
    )


def _first_line(statement: ast.stmt) -> int:
    """The line (from 0) where a statement begins, its decorators included."""
    decorators = statement.decorator_list if isinstance(statement, _Definition) else []
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)]) - 1
