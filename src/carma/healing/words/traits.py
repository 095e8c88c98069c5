"""What is known about a slot between two tokens, as hashed numbers for `Choice`.

Slot i lies before token i; the last slot lies after the last token. Three sets: what the tokens alone say
(the neighbours, their endings, the classes they belong to), what the sentence so far says (how it began, how
long it is, what is open), and what decides how the token after the slot is written. The sets are separate
because the search of `variants` knows the first before it starts and the others only on its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from carma.healing.words.choice import TRAIT_BITS

__all__ = ["Columns", "Path", "State", "case_traits", "columns_of", "following", "gap_traits", "path_traits"]

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]

PAD: Final = 4
"""Places before and after a text, so that a neighbour is always there."""

_CLASSES: Final = {
    word: number
    for number, words in enumerate(
        (
            "what who whom whose where when why which how",
            "do does did are is am was were have has had can could will would should may might any anything",
            "i you he she it we they me him them us",
            "my your his her its our their the a an this that these those some",
            "and but or so because if then while though",
            "wow hey hi hello thanks thank cool great awesome yeah yep nice congrats sorry sure oh woah whoa",
            "yes no haha well ok okay absolutely definitely totally glad good amazing",
            "of in on at to for with from by about as into after before over",
            "been be being not just really very too also never always",
            "monday tuesday wednesday thursday friday saturday sunday",
            "january february march april june july august september october november december",
            "m s t re ve ll d",
            "http https www com org net html jpg png",
        ),
        1,
    )
    for word in words.split()
}
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(29)
_MASK: Final = np.uint64((1 << TRAIT_BITS) - 1)
_ENDS: Final = frozenset(".!?\n…。！？")
_HASHES_KEPT: Final = 500_000


class State(NamedTuple):
    """Where a reader of a text is: the token at which the sentence began, what is open (0 nothing, 1 a
    bracket, 2 a quotation), and how the last token was written (its shape; 4 more if it began something)."""

    start: int = 0
    open: int = 0
    before: int = 4


class Columns(NamedTuple):
    """Per place (tokens of all texts, with padding around each): hash, class, hash of the ending, how often
    the token is capitalised inside a sentence (0 to 7, 8 unknown)."""

    token: Hashes
    kind: Hashes
    ending: Hashes
    capital: Hashes


class Path(NamedTuple):
    """Slots by place, each array (slots,): of the token after the slot, of the text's first token, past its
    last token; and the state in which the slot is met: place of the sentence's first token, open, before."""

    at: Ints
    first: Ints
    last: Ints
    start: Ints
    open: Ints
    before: Ints


_hashes: dict[str, int] = {}


def _hash(token: str) -> int:
    known = _hashes.get(token)
    if known is None:
        if len(_hashes) >= _HASHES_KEPT:
            _hashes.clear()
        known = _hashes[token] = xxh3_64_intdigest(token.encode("utf-8"))
    return known


def columns_of(texts: Sequence[Sequence[str]], capitals: Mapping[str, int]) -> Columns:
    """The columns of some texts' tokens."""
    before, after = ["\x01"] * PAD, ["\x02"] * PAD
    tokens = list(chain.from_iterable((*before, *text, *after) for text in texts))
    return Columns(
        np.fromiter((_hash(token) for token in tokens), np.uint64, len(tokens)),
        np.fromiter((_kind(token) for token in tokens), np.uint64, len(tokens)),
        np.fromiter((_hash(token[-3:]) for token in tokens), np.uint64, len(tokens)),
        np.fromiter((capitals.get(token, 8) for token in tokens), np.uint64, len(tokens)),
    )


def _kind(token: str) -> int:
    found = _CLASSES.get(token)
    if found is not None:
        return found
    return 50 + min(len(token), 5) if token.isdigit() else 60 if token < "\x03" else 0


def following(state: State, slot: int, gap: str, shape: int) -> State:
    """The state after a slot was filled with `gap` and its token written in `shape`."""
    start, open_, _ = state
    plain = gap in (" ", "-", "'", "’")
    if plain:
        return State(start, open_, shape)
    if not _ENDS.isdisjoint(gap) or "[" in gap or (":" in gap and start == 0 and 0 < slot <= 3):
        start = slot
    if "[" in gap or "(" in gap:
        open_ = 1
    elif "]" in gap or ")" in gap:
        open_ = 0
    elif gap.count('"') == 1 or "“" in gap or "”" in gap:
        open_ = 0 if open_ == 2 else 2
    return State(start, open_, shape + 4)


def _mixed(number: int, *columns: NDArray[np.uint64]) -> Hashes:
    mixed = np.full(len(columns[0]), number, np.uint64)
    for column in columns:
        mixed = (mixed ^ column) * _MIX
        mixed ^= mixed >> _SHIFT
    return mixed


def _stacked(hashes: list[Hashes]) -> Ints:
    return (np.stack(hashes, axis=1) & _MASK).astype(np.int64)


def gap_traits(columns: Columns, path: Path) -> Ints:
    """(slots, traits): what the tokens say about the gap."""
    at = path.at
    token, kind = columns.token, columns.kind
    left, right, left2, right2 = token[at - 1], token[at], token[at - 2], token[at + 1]
    kinds = kind[at - 1], kind[at], kind[at + 1]
    capital, ending = columns.capital, columns.ending
    done = np.minimum(at - path.first, 6).astype(np.uint64)
    rest = np.minimum(path.last - at, 6).astype(np.uint64)
    who = token[path.first]
    groups: tuple[tuple[Hashes, ...], ...] = (
        (left,), (right,), (left, right), (left2, left), (right, right2), (left2, left, right),
        (left, right, right2), (left2,), (right2,), kinds[:2], kinds, (kind[at - 2], *kinds[:2]),
        (ending[at - 1],), (ending[at],), (ending[at - 1], kinds[1]), (capital[at - 1], capital[at]),
        (capital[at], capital[at + 1]), (done, rest), (rest, left), (who,), (token[at - 3],),
        (token[at + 2],), (done, right), (kinds[0], right), (left, kinds[1]), (left2, right), (left, right2),
        (kinds[1], kinds[2], capital[at]), (rest, kinds[1]), (who, rest),
    )  # fmt: skip
    return _stacked([_mixed(number, *group) for number, group in enumerate(groups, 1)])


def path_traits(columns: Columns, path: Path) -> Ints:
    """(slots, traits): what the sentence so far says about the gap."""
    at, start = path.at, path.start
    token, kind = columns.token, columns.kind
    left, right, head, second = token[at - 1], token[at], token[start], token[start + 1]
    asks = kind[start]
    since = at - start
    length = np.where(since < 8, since, 8 + np.minimum(since // 4, 8)).astype(np.uint64)
    open_ = path.open.astype(np.uint64)
    opening = (start == path.first).astype(np.uint64)
    rest = np.minimum(path.last - at, 6).astype(np.uint64)
    groups: tuple[tuple[Hashes, ...], ...] = (
        (head,), (head, second), (length,), (length, right), (length, kind[at], kind[at - 1]),
        (asks, kind[at]), (asks, rest), (asks, length), (open_,), (open_, right), (open_, left), (head, left),
        (head, right), (opening, length), (head, second, right), (token[path.first], asks),
    )  # fmt: skip
    return _stacked([_mixed(number, *group) for number, group in enumerate(groups, 40)])


def case_traits(columns: Columns, path: Path, gap_class: Ints) -> Ints:
    """(slots, traits): what decides how the token after the slot is written."""
    at = path.at
    token, kind, capital = columns.token, columns.kind, columns.capital
    left, right, after = token[at - 1], token[at], token[at + 1]
    gap = gap_class.astype(np.uint64)
    open_, before = path.open.astype(np.uint64), path.before.astype(np.uint64)
    caps = capital[at], capital[at + 1]
    groups: tuple[tuple[Hashes, ...], ...] = (
        (right,), (right, after), (left, right), (after,), (left,), caps, (capital[at - 1], *caps),
        (columns.ending[at],), (kind[at],), (open_,), (before,), (before, right), (before, caps[0]),
        (before, *caps), (before, left), (gap,), (gap, right), (gap, *caps), (gap, kind[at]), (gap, after),
        (gap, caps[0]),
    )  # fmt: skip
    return _stacked([_mixed(number, *group) for number, group in enumerate(groups, 60)])
