"""Words asked of the registry's FTS5 table: reading a query, the frequency of a word, BM25 of what
matches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import Any, Final, NamedTuple

import apsw
import numpy as np
from numpy.typing import NDArray

from carma.search.words import POSTINGS_MAX, Attempt, plan, read

__all__ = ["Found", "WordIndex"]

Ints = NDArray[np.int64]

FREQUENCIES_KEPT: Final = 50_000
FRESH_SHARE: Final = 8
"""Kept frequencies are asked anew when the memory has grown or shrunk by an eighth."""

_BEST = "SELECT rowid, rank FROM words WHERE words MATCH ?{among} ORDER BY rank LIMIT ?"
_NEWEST = "SELECT rowid, rank FROM words WHERE words MATCH ?{among} ORDER BY rowid DESC LIMIT ?"
_AMONG = " AND carma_allowed(rowid)"


class Found(NamedTuple):
    """What words found: seq of each fragment and its BM25 (higher is better), best first."""

    seqs: Ints
    scores: NDArray[np.float64]


class WordIndex:
    """The table `words` and its vocabulary, through connections that `reader` lends.

    reader: gives a connection for one thread alone, as a context manager (`Registry.reader`).

    Safe to use from several threads.
    """

    def __init__(self, reader: Callable[[], AbstractContextManager[apsw.Connection]]) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._frequency: dict[str, int] = {}
        self._asked_at = 0

    def search(self, text: str, limit: int, *, total: int, allowed: Ints | None = None) -> Found:
        """The fragments that a text finds by its words.

        total: how many fragments there are. allowed: seqs that may be found, in any order; None for all.

        Raises what the reader raises, and `apsw.Error`.
        """
        with self._reader() as db:
            folds, stems = _tokenizers(db)
            query = read(text, lambda words: _tokens(folds, words))
            # A filter is asked before BM25 is worked out, so more words can be afforded under one.
            bound = POSTINGS_MAX if allowed is None else POSTINGS_MAX * 2
            among = _among(db, allowed)
            for attempt in plan(query, lambda word: self._count(db, stems, word, total), bound):
                found = _ask(db, attempt, limit, among)
                if len(found.seqs):
                    return found
        return Found(np.empty(0, np.int64), np.empty(0))

    def _count(self, db: apsw.Connection, stems: Any, word: str, total: int) -> int:
        """In how many fragments a word occurs, or occurred when it was last asked."""
        if (
            abs(total - self._asked_at) * FRESH_SHARE > self._asked_at
            or len(self._frequency) > FREQUENCIES_KEPT
        ):
            with self._lock:
                self._frequency, self._asked_at = {}, total
        count = self._frequency.get(word)
        if count is None:
            count = 0
            for stem in _tokens(stems, word):
                row = db.execute("SELECT doc FROM vocabulary WHERE term = ?", (stem,)).fetchone()
                count = max(count, row[0] if row else 0)
            if count:  # a word that is not there yet may come with the next write
                self._frequency[word] = count
        return count


def _tokenizers(db: apsw.Connection) -> tuple[Any, Any]:
    """The index's tokenizer without and with stemming (the `tokenize` of the table, store/schema.py)."""
    unicode = ["unicode61", "remove_diacritics", "2"]
    return db.fts5_tokenizer("unicode61", unicode[1:]), db.fts5_tokenizer("porter", unicode)


def _tokens(tokenizer: Any, text: str) -> list[str]:
    encoded = text.encode("utf-8", "replace")
    found: Sequence[str] = tokenizer(
        encoded, apsw.FTS5_TOKENIZE_QUERY, None, include_offsets=False, include_colocated=False
    )
    return list(found)


def _among(db: apsw.Connection, allowed: Ints | None) -> str:
    """Tells SQLite which rows may be found; the piece of SQL that asks it."""
    if allowed is None:
        return ""
    size = int(allowed.max(initial=0)) + 1
    passes = np.zeros(size, np.uint8)
    passes[allowed] = 1
    table = passes.tobytes()

    def allows(*seq: Any) -> int:
        return table[seq[0]] if seq[0] < size else 0

    db.create_scalar_function("carma_allowed", allows, 1)
    return _AMONG


def _ask(db: apsw.Connection, attempt: Attempt, limit: int, among: str) -> Found:
    if attempt.newest is None:
        rows: list[Any] = db.execute(_BEST.format(among=among), (attempt.match, limit)).fetchall()
    else:
        rows = db.execute(_NEWEST.format(among=among), (attempt.match, attempt.newest)).fetchall()
        rows.sort(key=itemgetter(1))
        del rows[limit:]
    table = np.array(rows, np.float64).reshape(-1, 2)  # a seq stays below 2**53
    return Found(table[:, 0].astype(np.int64), -table[:, 1])
