"""The tables of a call journal, and what the journals of earlier versions hold in their place."""

from __future__ import annotations

import sqlite3

TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
  key TEXT PRIMARY KEY, kind TEXT NOT NULL, video TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL,
  text TEXT NOT NULL, finish TEXT NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cost REAL, seconds REAL NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tries (endpoint TEXT, outcome TEXT, number INTEGER NOT NULL,
  PRIMARY KEY (endpoint, outcome)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (video TEXT, unit TEXT, reason TEXT NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY (video, unit)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (step TEXT, video TEXT, part TEXT, position INTEGER NOT NULL, run INTEGER NOT NULL,
  body TEXT NOT NULL, PRIMARY KEY (step, video, part)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rows_in_order ON rows (step, position, part);
CREATE TABLE IF NOT EXISTS media (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT NOT NULL,
  probe TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (sha256 TEXT, endpoint TEXT, uri TEXT NOT NULL, mime TEXT NOT NULL,
  expires REAL NOT NULL, PRIMARY KEY (sha256, endpoint)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (ticket TEXT PRIMARY KEY, endpoint TEXT NOT NULL, model TEXT NOT NULL, id TEXT,
  at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch_calls (ticket TEXT, number INTEGER, key TEXT NOT NULL, kind TEXT NOT NULL,
  video TEXT NOT NULL, worst REAL NOT NULL, PRIMARY KEY (ticket, number)) WITHOUT ROWID;
"""
LEDGER = (
    "CREATE TABLE ledger (id TEXT PRIMARY KEY, key TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL, "
    "batch TEXT, state TEXT NOT NULL, outcome TEXT NOT NULL, worst REAL NOT NULL, cost REAL, "
    "input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, at TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX ledger_open ON ledger (state) WHERE state != 'settled'",
)
# What the journals of version 1 say of money, as rows of the ledger: answers with what they cost, tries that brought
# none (of those that may have been billed nobody kept the worst cost), and what stands in batches.
_FROM_ANSWERS = (
    "SELECT 'answer ' || key AS id, key, endpoint, model, NULL AS batch, 'settled' AS state, 'answered' AS outcome, "
    "COALESCE(cost, 0) AS worst, cost, input_tokens, output_tokens, at FROM calls"
)
_FROM_TRIES = (
    "WITH RECURSIVE each (endpoint, outcome, n) AS (SELECT endpoint, outcome, number FROM tries WHERE number > 0 "
    "UNION ALL SELECT endpoint, outcome, n - 1 FROM each WHERE n > 1) "
    "SELECT 'try ' || endpoint || ' ' || outcome || ' ' || n AS id, '' AS key, endpoint, '' AS model, NULL AS batch, "
    "CASE WHEN outcome IN ('server', 'network', 'timeout', 'malformed') THEN 'unknown' ELSE 'settled' END AS state, "
    "outcome, 0.0 AS worst, 0.0 AS cost, 0 AS input_tokens, 0 AS output_tokens, '' AS at FROM each"
)
_FROM_BATCHES = (
    "SELECT ticket || ':' || number AS id, key, endpoint, model, ticket AS batch, 'sent' AS state, 'sent' AS outcome, "
    "worst, NULL AS cost, 0 AS input_tokens, 0 AS output_tokens, '' AS at FROM batch_calls JOIN batches USING (ticket)"
)


def has(db: sqlite3.Connection, table: str) -> bool:
    """Whether the journal has a table."""
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None


def ledger_before(db: sqlite3.Connection) -> str:
    """The ledger of a journal that has none, as a query."""
    parts = [_FROM_ANSWERS, f"SELECT * FROM ({_FROM_TRIES})"] + [_FROM_BATCHES] * has(db, "batches")
    return " UNION ALL ".join(parts)
