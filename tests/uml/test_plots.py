"""The pictures are drawn, and where they cannot be it is said why."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from carma.cli.app import app
from carma.errors import MissingExtra
from carma.uml.plots import PICTURES, write_plots


def test_every_picture_is_drawn(tmp_path: Path) -> None:
    """`carma uml plot` draws f, its inverse, the layers and what they leave, and says what it wrote."""
    pytest.importorskip("matplotlib")
    result = CliRunner().invoke(app, ["uml", "plot", "--out", str(tmp_path / "new" / "folder")])
    written = [Path(line) for line in result.stdout.splitlines()]
    assert [path.stem for path in written] == ["compression", "inverse", "layers", "distinct"]
    assert sorted((tmp_path / "new" / "folder").iterdir()) == sorted(written)
    for path in written:
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        (wide, high), _ = PICTURES[path.stem]
        assert struct.unpack(">II", data[16:24]) == (round(wide * 150), round(high * 150))
        assert len(data) > 10_000


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typed error before anything is written."""
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtra) as missing:
        write_plots(tmp_path / "new")
    assert "carma-memory[report]" in missing.value.hint
    assert not (tmp_path / "new").exists()
