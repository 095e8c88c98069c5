"""`carma serve` that cannot run says so before it has made anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from carma.cli.app import app

from .test_tls import certificate


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tls-certificate", "nope.pem", "--tls-key", "nope.pem"], "nope.pem cannot be read"),
        (["--tls-certificate", "chain.pem", "--tls-key", "other.pem"], "cannot be used"),
        (["--tls-certificate", "chain.pem"], "needs both files"),
        (["--host", "0.0.0.0"], "Plain HTTP"),
        (["--profile", "nope"], "no profile 'nope'"),
        (["--trusted-proxy", "nope"], "nope"),
        (["--embedder", "nope"], "nope"),
        (["--log", "nope"], "nope"),
        (["--first-contact", "--fill", "nope"], "nope cannot be taken in"),
    ],
)
def test_nothing_is_made_for_a_start_that_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a data directory, nor a key-encryption key with its only recovery code."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("CARMA_DATA", "CARMA_KEK_FILE", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    certificate(tmp_path)
    Path("other.pem").write_text("not a key")
    done = CliRunner().invoke(app, ["serve", "--port", "0", *words])
    assert done.exit_code == 2 and said in done.stderr and "recovery" not in done.stderr, done.stderr
    assert [*home.iterdir()] == []
