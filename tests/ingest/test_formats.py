"""Each format gives the tree that a reader sees in it."""

from __future__ import annotations

import importlib.util
import io
import zipfile

import pytest

from carma.ingest.parse import parse

from .dict_sink import as_tree


def tree(name: str, text: str) -> list[object]:
    return as_tree(parse(name, text.encode()).nodes)


def test_markdown() -> None:
    """Sections nest by level; lists, tables, quotes, code, front matter and definitions are kept."""
    text = (
        "---\ntitle: T\n---\nIntro.\n\n# One #\n\n- a\n- b\n\n### Deep\n\n> said\n\n"
        "## Two\n\n| x |\n|---|\n| 1 |\n\n"
        "Set *ext*\n===\n\n~~~c\nint x;\n~~~\n\n[ref]: there\n"
    )
    assert tree("a.md", text) == [
        ["paragraph", "title: T", []],
        ["paragraph", "Intro.", []],
        [
            "section",
            "One",
            [
                ["paragraph", "- a\n- b", []],
                ["section", "Deep", [["paragraph", "> said", []]]],
                ["section", "Two", [["paragraph", "| x |\n|---|\n| 1 |", []]]],
            ],
        ],
        ["section", "Set *ext*", [["code", "int x;", []], ["paragraph", "[ref]: there", []]]],
    ]


def test_restructuredtext() -> None:
    """Levels come from the order of adornments; literal blocks and directives are kept."""
    text = (
        "=====\nTitle\n=====\n\nText::\n\n    literal\n\n    still\n\nPart\n----\n\n"
        ".. code-block:: python\n\n   x = 1\n\n"
        ".. note:: Mind.\n   This.\n\nNext\n----\n\nEnd.\n"
    )
    assert tree("a.rst", text) == [
        [
            "section",
            "Title",
            [
                ["paragraph", "Text::", []],
                ["code", "    literal\n\n    still", []],
                [
                    "section",
                    "Part",
                    [["code", "   x = 1", []], ["paragraph", ".. note:: Mind.\n   This.", []]],
                ],
                ["section", "Next", [["paragraph", "End.", []]]],
            ],
        ]
    ]


def test_python() -> None:
    """Functions and methods are fragments, classes are sections, decorators and comments go with them."""
    text = (
        '"""Doc."""\n\nimport os\n\n\n# Why.\n@cache\ndef f(x):\n\n    return x\n\n\n'
        'class C(B):\n    """Does."""\n\n'
        "    a = 1\n\n    def m(self):\n        pass\n"
    )
    nodes = parse("a.py", text.encode()).nodes
    assert as_tree(nodes) == [
        ["code", '"""Doc."""', []],
        ["code", "import os", []],
        ["code", "# Why.\n@cache\ndef f(x):\n\n    return x", []],
        [
            "section",
            "class C(B):",
            [
                ["code", '    """Does."""', []],
                ["code", "    a = 1", []],
                ["code", "    def m(self):\n        pass", []],
            ],
        ],
    ]
    assert nodes[2].metadata == {"name": "f", "symbol": "function"}
    assert nodes[3].children[2].metadata == {"name": "C.m", "symbol": "method"}


def test_python_that_does_not_parse_is_kept_by_blocks() -> None:
    """Python 2 and templates are source code too."""
    assert tree("a.py", "print 'x'\n\ndef {{ name }}():\n    pass\n") == [
        ["code", "print 'x'", []],
        ["code", "def {{ name }}():\n    pass", []],
    ]


def test_other_languages_by_blocks() -> None:
    """A blank line inside a body does not part it."""
    text = "import a\n\nfunction f() {\n  one\n\n  two\n}\n\n// last\nfunction g() {}\n"
    assert tree("a.js", text) == [
        ["code", "import a", []],
        ["code", "function f() {\n  one\n\n  two\n}", []],
        ["code", "// last\nfunction g() {}", []],
    ]


def test_html() -> None:
    """Readable text by headings; scripts, styles and comments are not."""
    text = (
        "<!doctype html><html><head><title>T &amp; t</title><style>p{}</style></head><body><h1>One</h1>"
        "<p>A <b>bold</b>\n word &lt;3<br>next<script>if (a<b) x('</p>')</script><!-- no <p> --><h2>Two</h2>"
        "<pre>\n  a\n    b\n</pre><table><tr><td>1</td><td>2</td></tr></table><img alt='a cat'> a < b"
    )
    parsed = parse("a.html", text.encode())
    assert parsed.metadata == {"title": "T & t"}
    pre = [["code", "  a\n    b", []], ["paragraph", "1 | 2", []], ["paragraph", "[image: a cat] a < b", []]]
    assert as_tree(parsed.nodes) == [
        ["section", "One", [["paragraph", "A bold word <3 next", []], ["section", "Two", pre]]]
    ]


@pytest.mark.parametrize(
    ("name", "text", "format"),
    [
        ("README", "words\n", "text"),
        ("page", "<!DOCTYPE html><p>x", "html"),
        ("tool", "#!/bin/sh\necho\n", "source"),
        ("A.MD", "# x\n", "markdown"),
        (".profile", "x = 1\n", "text"),
    ],
)
def test_the_format_follows_name_then_content(name: str, text: str, format: str) -> None:
    """A suffix in any case, else a look at the first bytes."""
    assert parse(name, text.encode()).format == format


def docx(text: str) -> bytes:
    """The smallest Word document."""
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    office = "http://schemas.openxmlformats.org"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{office}/package/2006/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
        "</Relationships>",
        "word/document.xml": f'<w:document xmlns:w="{office}/wordprocessingml/2006/main"><w:body><w:p><w:r>'
        f"<w:t>{text}</w:t></w:r></w:p></w:body></w:document>",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.skipif(
    importlib.util.find_spec("markitdown") is None, reason="the extra carma-memory[office] is not installed"
)
def test_a_word_document_becomes_paragraphs_without_spans() -> None:
    """Through markitdown; the source digest of its fragments is that of the file."""
    parsed = parse("letter.docx", docx("Dear Ada,"))
    assert as_tree(parsed.nodes) == [["paragraph", "Dear Ada,", []]]
    assert parsed.nodes[0].span is None
