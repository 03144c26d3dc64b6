"""The evidence ledger: an append-only Merkle log in SQLite or PostgreSQL."""
