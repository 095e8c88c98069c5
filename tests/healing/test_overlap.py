"""What the overlap rung promises: the exact span out of its neighbours, or nothing."""

from __future__ import annotations

from itertools import pairwise

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from carma.healing.overlap import from_overlap

TEXT = "Die Fähre legt um 7:40 ab – nicht später. The last one returns at 23:10, says Zoë."
RAW = TEXT.encode()


def piece(first: int, last: int) -> tuple[tuple[int, int], bytes]:
    return (first, last), RAW[first:last]


def digest_of(first: int, last: int) -> bytes:
    return blake3(RAW[first:last]).digest(16)


def test_a_text_covered_by_its_neighbours_comes_back() -> None:
    """Two overlapping neighbours, in any order, one of them longer than needed."""
    neighbours = [piece(30, len(RAW)), piece(0, 36)]
    assert from_overlap((20, 50), digest_of(20, 50), neighbours) == RAW[20:50].decode()
    assert from_overlap((20, 50), digest_of(20, 50)[:8], neighbours[::-1]) == RAW[20:50].decode()


def test_a_gap_or_a_wrong_digest_gives_nothing() -> None:
    """One missing byte is one too many; so is a digest of something else, or one too short to prove it."""
    assert from_overlap((20, 50), digest_of(20, 50), [piece(0, 35), piece(36, 60)]) is None
    assert from_overlap((20, 50), digest_of(20, 51), [piece(0, 60)]) is None
    assert from_overlap((20, 50), digest_of(20, 50)[:7], [piece(0, 60)]) is None
    assert from_overlap((20, 20), digest_of(20, 20), [piece(0, 60)]) is None
    assert from_overlap((20, 50), digest_of(20, 50), []) is None


def test_a_neighbour_of_another_version_does_not_stand_in_the_way() -> None:
    """Of neighbours that disagree, those are taken that the digest confirms."""
    edited = (10, 45), RAW[10:45].replace(b"7:40", b"8:40").replace(b"nicht", b"NICHT")
    assert from_overlap((20, 50), digest_of(20, 50), [edited, piece(0, 30), piece(28, 60)]) is not None


def test_a_derived_text_is_not_taken_for_the_bytes_of_its_span() -> None:
    """A text that is not as long as its span says nothing about the bytes there."""
    assert from_overlap((20, 50), digest_of(20, 50), [((0, 60), b"a summary")]) is None


def test_half_a_character_is_no_text() -> None:
    """A span that cuts a character has a digest, and still no text."""
    cut = RAW.index("ä".encode()) + 1
    assert from_overlap((cut, cut + 5), digest_of(cut, cut + 5), [piece(0, 40)]) is None


def test_many_neighbours_that_all_disagree_end_soon() -> None:
    """A thousand neighbours over the same bytes are a bounded number of tries."""
    wrong = [((at, at + 40), bytes([65 + at % 26]) * 40) for at in range(1_000)]
    assert from_overlap((20, 900), b"\0" * 16, wrong) is None


@given(st.data())
def test_any_cover_gives_the_exact_span(data: st.DataObject) -> None:
    """Whatever the cuts are, pieces that overlap give the span back."""
    raw = data.draw(st.text(min_size=4, max_size=60)).encode("utf-8", "replace")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=6)) | {0, len(raw)})
    more = data.draw(st.integers(0, 5))
    pieces = [((a, min(len(raw), b + more)), raw[a : b + more]) for a, b in pairwise(cuts)]
    found = from_overlap((0, len(raw)), blake3(raw).digest(16), data.draw(st.permutations(pieces)))
    assert found == raw.decode("utf-8")
