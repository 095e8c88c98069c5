"""PDF, Word, slides and sheets, by way of markitdown and Markdown (the extra `carma-memory[office]`).

The text does not lie in the file as it is read, so its fragments have no span; their source digest is that of
the whole file.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from dataclasses import replace
from importlib import import_module

from carma.errors import InvalidInput, MissingExtra, TooLarge
from carma.ingest.document import Document, clean
from carma.ingest.markdown import parse_markdown
from carma.ingest.node import ParsedNode

__all__ = ["OFFICE_SUFFIXES", "parse_office"]

_UNPACKED_MOST = 512 * 2**20
_CONVERTERS = {
    "pdf": "PdfConverter",
    "docx": "DocxConverter",
    "pptx": "PptxConverter",
    "xlsx": "XlsxConverter",
    "xls": "XlsConverter",
}
OFFICE_SUFFIXES = frozenset(_CONVERTERS)
_SLIDE = re.compile(r"<!-- Slide number: \d+ -->")


def parse_office(raw: bytes, suffix: str, *, limit: int) -> tuple[ParsedNode, ...]:
    """The document's sections and paragraphs.

    Raises `MissingExtra` where markitdown (or its part for this format) is not installed, `TooLarge` for an
    archive that unpacks to more than 512 MiB, `InvalidInput` for a document that cannot be read.
    """
    _check_unpacked(raw, suffix)
    text = _markdown(raw, suffix)
    document = Document.decode(clean(text).encode("utf-8"), limit=limit)
    return tuple(_without_spans(node) for node in parse_markdown(document))


def _check_unpacked(raw: bytes, suffix: str) -> None:
    if suffix not in ("docx", "pptx", "xlsx"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            size = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise InvalidInput(f"not a readable .{suffix} document: {error}") from error
    if size > _UNPACKED_MOST:
        raise TooLarge(f"the document unpacks to {size:,} bytes; at most {_UNPACKED_MOST:,} are read")


def _markdown(raw: bytes, suffix: str) -> str:
    """The document as Markdown, by the one converter for its suffix.

    markitdown's own choice among converters is not used: it takes a damaged PDF for plain text.
    """
    try:
        markitdown = import_module("markitdown")
        converters = import_module("markitdown.converters")
    except ImportError as error:
        raise MissingExtra(
            f"reading .{suffix} needs markitdown: pip install 'carma-memory[office]'"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = markitdown.MarkItDown(enable_builtins=False, enable_plugins=False)
            reader.register_converter(getattr(converters, _CONVERTERS[suffix])())
            result = reader.convert_stream(io.BytesIO(raw), file_extension=f".{suffix}")
    except Exception as error:  # Each of the third-party readers fails in its own way on damage.
        if "MissingDependencyException" in f"{type(error).__name__}: {error}":
            message = f"reading .{suffix} needs more of markitdown: pip install 'carma-memory[office]'"
            raise MissingExtra(message) from error
        raise InvalidInput(f"the document cannot be read: {type(error).__name__}: {error}"[:500]) from error
    return _SLIDE.sub("", str(result.text_content))


def _without_spans(node: ParsedNode) -> ParsedNode:
    children = tuple(_without_spans(child) for child in node.children)
    return replace(node, span=None, span_digest=None, line=None, children=children)
