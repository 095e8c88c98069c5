"""What people type becomes what `Memory` takes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from carma.cli.failure import wants_json
from carma.cli.opening import store_path
from carma.cli.options import moment, pairs
from carma.errors import InvalidInput


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (None, None),
        ([], None),
        (["{}"], {}),
        (['{"a": {"b": [1]}}', "c=3"], {"a": {"b": [1]}, "c": 3}),
        (["a=1", "a=2"], {"a": 2}),
        (["a=text", "b=true", "c=null", 'd="3"', "e=", "f=x=y", "g=1.5"],
         {"a": "text", "b": True, "c": None, "d": "3", "e": "", "f": "x=y", "g": 1.5}),
        (["a=NaN"], {"a": "NaN"}),
    ],
)  # fmt: skip
def test_pairs_are_json_or_key_and_value(typed: list[str] | None, expected: object) -> None:
    """A value is JSON where it can be, else text."""
    assert pairs(typed, "--metadata") == expected


@pytest.mark.parametrize("typed", ["{", "[1]", "word", "=3", '{"a": }', '{"a": ' * 20_000])
def test_other_pairs_are_refused(typed: str) -> None:
    """The option is named."""
    with pytest.raises(InvalidInput, match="--metadata"):
        pairs([typed], "--metadata")


@pytest.mark.parametrize(
    ("typed", "seconds"), [("60", 60), ("1.5h", 5_400), ("30d", 2_592_000), ("2w", 1_209_600), ("90m", 5_400)]
)
def test_durations_count_from_now(typed: str, seconds: float) -> None:
    """A number, with a unit or without."""
    found = moment(typed, "--expires")
    assert found is not None
    assert abs(found - time.time() - seconds) < 5


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("2027-01-31", 1801353600.0), ("2027-01-31T12:00:00Z", 1801396800.0),
     ("2027-01-31T12:00:00+01:00", 1801393200.0), ("none", None)],
)  # fmt: skip
def test_moments_are_iso_8601(typed: str, expected: float | None) -> None:
    """Without a zone they are UTC."""
    assert moment(typed, "--expires") == expected


@pytest.mark.parametrize("typed", ["", "soon", "-5", "3 fortnights", "1800000000", "9999-99-99"])
def test_other_moments_are_refused(typed: str) -> None:
    """Also seconds since the epoch, which would else be taken for seconds from now."""
    with pytest.raises(InvalidInput, match="--expires"):
        moment(typed, "--expires")


def test_the_store_is_the_option_then_the_variable_then_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--store`, `CARMA_STORE`, `~/.carma/memory`; `~` is the home folder."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("CARMA_STORE", "~/mine")
    assert store_path(Path("here")) == Path("here")
    assert store_path(None) == Path("/home/ada/mine")
    monkeypatch.setenv("CARMA_STORE", "")
    assert store_path(None) == Path("/home/ada/.carma/memory")


def test_json_is_seen_also_where_the_line_cannot_be_parsed() -> None:
    """But not behind `--`, where it is text."""
    assert wants_json(["no-such-verb", "--json"])
    assert not wants_json(["add", "--", "--json"])
