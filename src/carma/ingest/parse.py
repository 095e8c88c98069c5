"""From a file's name and bytes to its tree: the one place that knows all parsers."""

from __future__ import annotations

from carma.errors import InvalidInput
from carma.ingest.chat import Chat, parse_chat, parse_chat_lines
from carma.ingest.detect import HEAD_BYTES, Format, detect, suffix_of
from carma.ingest.document import Document, clean
from carma.ingest.html import parse_html
from carma.ingest.markdown import parse_markdown
from carma.ingest.node import Parsed
from carma.ingest.office import parse_office
from carma.ingest.plain import parse_plain
from carma.ingest.rst import parse_rst
from carma.ingest.source import LANGUAGES, parse_python, parse_source

__all__ = ["RULES", "BinaryFile", "parse"]

RULES = 1
"""Goes up when a parser begins to cut files in another way: files ingested before are then parsed again."""


class BinaryFile(InvalidInput):
    """The file holds no text that can be read here."""

    code = "binary-file"
    default_hint = "Nothing was changed. Convert it to text first."


def parse(name: str, raw: bytes, *, paragraph_chars: int = 1_200) -> Parsed:
    """Parse one file, held in `raw`.

    name: its name; the suffix decides before the content does.
    paragraph_chars: the most characters of one fragment.

    Raises `BinaryFile`; for office documents also `MissingExtra`, `TooLarge`, `InvalidInput`.
    """
    format = detect(name, raw[:HEAD_BYTES])
    if format == "binary":
        raise BinaryFile("binary file: no text that can be read here")
    if format == "office":
        return Parsed(format="office", nodes=parse_office(raw, suffix_of(name), limit=paragraph_chars))
    document = Document.decode(raw, limit=paragraph_chars)
    metadata = {} if document.encoding == "utf-8" else {"encoding": document.encoding}
    parsed = _parse_text(format, suffix_of(name), document)
    nodes, notes = parsed.nodes, document.notes + parsed.notes
    return Parsed(format=parsed.format, nodes=nodes, metadata={**metadata, **parsed.metadata}, notes=notes)


def _parse_text(format: Format, suffix: str, document: Document) -> Parsed:
    if format in ("json", "jsonl"):
        return _parse_json(format, document)
    if format == "html":
        nodes, title = parse_html(document)
        return Parsed(format="html", nodes=nodes, metadata={"title": clean(title)} if title else {})
    if format in ("python", "source"):
        nodes = parse_python(document) if format == "python" else parse_source(document)
        language = LANGUAGES.get(suffix)
        return Parsed(format="source", nodes=nodes, metadata={"language": language} if language else {})
    return Parsed(format=format, nodes=_PARSERS[format](document))


def _parse_json(format: Format, document: Document) -> Parsed:
    """A chat export, or else the JSON as source code."""
    readers = (parse_chat, parse_chat_lines) if format == "json" else (parse_chat_lines, parse_chat)
    for reader in readers:
        chat: Chat | None = reader(document)
        if chat is not None:
            return Parsed(format="chat", nodes=chat[0], notes=chat[1])
    return Parsed(format="source", nodes=parse_source(document), metadata={"language": "json"})


_PARSERS = {"markdown": parse_markdown, "text": parse_plain, "rst": parse_rst}
