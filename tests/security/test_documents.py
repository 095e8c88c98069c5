"""The documents about security name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / name for name in ("SECURITY.md", "THREATS.md")]
TESTS = {path.name for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_as_a_proof_exists(page: Path) -> None:
    """By its path, or by its name alone."""
    text = page.read_text(encoding="utf-8")
    paths = set(re.findall(r"tests/[\w/.]*\w/?", text))
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path).exists()]
    assert set(re.findall(r"\btest_\w+\.py", text)) <= TESTS


def test_every_threat_says_what_remains() -> None:
    """Each row of the tables of threats has its four columns filled."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGES[1].read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and line.count("|") == 5
    ]
    threats = [row for row in rows if row[0] != "threat" and not set(row[0]) <= {"-"}]
    assert len(threats) > 30
    assert all(all(row) for row in threats)
