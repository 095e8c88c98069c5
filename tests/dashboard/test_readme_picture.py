"""The README's picture of the dashboard: taken by this test, of a memory of the documentation as it is now.

It goes into a temporary folder, or to the file that CARMA_README_PICTURE names (`make pictures` does), and
what is in the repository is held against it: the same size, and the same things to see at the same places.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
def test_the_picture_of_the_readme_shows_what_it_must(tmp_path: Path) -> None:
    """Every page in the navigation, every state in the legend, and names that are whole."""
    file = os.environ.get("CARMA_README_PICTURE") or tmp_path / "dashboard.png"
    command = [sys.executable, "-m", "tests.dashboard.readme", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
