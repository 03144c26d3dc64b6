"""Entries, head, and triggers that refuse to change what was sealed."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_REFUSAL = "aims_entries is append-only"


def upgrade() -> None:
    """Create the tables, the empty head and the triggers."""
    _create_entries()
    _create_head()
    if op.get_bind().dialect.name == "postgresql":
        _refuse_changes_on_postgresql()
    else:
        _refuse_changes_on_sqlite()


def _create_entries() -> None:
    op.create_table(
        "aims_entries",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("entry_id", sa.String(64), nullable=False),
        sa.Column("header", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("system", sa.Text),
        sa.Column("subject_type", sa.String(32), nullable=False),
        sa.Column("subject_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("lineage", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("event_time", sa.String(32), nullable=False),
        sa.Column("receipt_time", sa.String(32), nullable=False),
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.UniqueConstraint("entry_id", name="aims_entries_entry_id"),
        sa.UniqueConstraint("lineage", "version", name="aims_entries_lineage"),
    )
    for column in ("kind", "system", "run_id"):
        op.create_index(f"aims_entries_{column}", "aims_entries", [column])


def _create_head() -> None:
    table = op.create_table(
        "aims_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.String(64), nullable=False),
        sa.Column("peaks", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("id = 0", name="aims_head_one_row"),
    )
    empty = hashlib.sha256(b"").hexdigest()
    op.bulk_insert(table, [{"id": 0, "size": 0, "root": empty, "peaks": b""}])


def _refuse_changes_on_sqlite() -> None:
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER aims_entries_no_{action.lower()} BEFORE {action} ON aims_entries "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )


def _refuse_changes_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION aims_entries_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
    )
    for action in ("UPDATE", "DELETE", "TRUNCATE"):
        op.execute(
            f"CREATE TRIGGER aims_entries_no_{action.lower()} BEFORE {action} ON aims_entries "
            "FOR EACH STATEMENT EXECUTE FUNCTION aims_entries_refuse()"
        )
