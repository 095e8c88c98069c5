"""The registry's tables.

`fragments` has one row for every version that the segments hold; `live` marks the newest one of a fragment
that was not deleted. `words` is contentless: the texts stay in the segments, where they are proven on every
read. `tokens` keeps the words as they were written, in order, beside the stems of `words`: a lost text's
words can be read back from it. `blanks`, `reconstructions`, `quotes` (which fragment a reconstruction was
made of), `cycles`, `steps` and `acts` mirror the ledger in the segments. Metadata is flattened (`a.b`, one
row per list element), so that a filter is an index look-up. Rows of `metadata` that belong to a dead version
are swept at rest; every query joins them with what is live.
"""

from __future__ import annotations

__all__ = ["SCHEMA", "SCHEMA_VERSION"]

SCHEMA_VERSION = 3

SCHEMA = """
CREATE TABLE state(
    key TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;

CREATE TABLE fragments(
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    version INTEGER NOT NULL,
    live INTEGER NOT NULL,
    parent BLOB,
    position REAL NOT NULL,
    kind TEXT NOT NULL,
    user TEXT,
    agent TEXT,
    session TEXT,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    expires REAL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    text_digest BLOB NOT NULL,
    source TEXT
);
CREATE INDEX fragments_id ON fragments(id, version);
CREATE INDEX fragments_parent ON fragments(parent, position, seq) WHERE live;
CREATE INDEX fragments_text ON fragments(text_digest) WHERE live;
CREATE INDEX fragments_source ON fragments(source) WHERE live AND source IS NOT NULL;
CREATE INDEX fragments_expires ON fragments(expires) WHERE live AND expires IS NOT NULL;

CREATE TABLE metadata(
    key TEXT NOT NULL,
    value,
    seq INTEGER NOT NULL,
    PRIMARY KEY(key, value, seq)
) WITHOUT ROWID;

CREATE TABLE other(
    seq INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL
);

CREATE TABLE rewritten(
    segment INTEGER PRIMARY KEY,
    replaced_ms INTEGER NOT NULL,
    output INTEGER NOT NULL
);

CREATE TABLE dropped(
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL
);

CREATE VIRTUAL TABLE words USING fts5(
    text,
    content='',
    contentless_delete=1,
    tokenize='porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, 'row');

CREATE VIRTUAL TABLE tokens USING fts5(
    text,
    content='',
    contentless_delete=1,
    tokenize='unicode61 remove_diacritics 0'
);
CREATE VIRTUAL TABLE tokens_at USING fts5vocab(tokens, 'instance');

CREATE TABLE blanks(
    seq INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL
);

CREATE TABLE reconstructions(
    lost_seq INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    id BLOB NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    exact INTEGER NOT NULL,
    score REAL NOT NULL,
    rung TEXT NOT NULL,
    worded INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE quotes(
    source BLOB NOT NULL,
    lost_seq INTEGER NOT NULL,
    PRIMARY KEY(source, lost_seq)
) WITHOUT ROWID;

CREATE TABLE cycles(
    cycle INTEGER PRIMARY KEY,
    report TEXT NOT NULL
);
CREATE TABLE steps(
    cycle INTEGER NOT NULL,
    at INTEGER NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY(cycle, at)
) WITHOUT ROWID;

CREATE TABLE acts(
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    event BLOB NOT NULL,
    key TEXT,
    time INTEGER NOT NULL,
    note BLOB NOT NULL
);
CREATE INDEX acts_key ON acts(key) WHERE key IS NOT NULL;
"""
