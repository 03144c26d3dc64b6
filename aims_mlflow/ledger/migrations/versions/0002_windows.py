"""Windows of monitors: who is working on which, and how each ended; and their histories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; the log keeps what the rows of windows stand for."""
    op.create_table(
        "aims_windows",
        sa.Column("system", sa.String(64), primary_key=True),
        sa.Column("monitor", sa.String(64), primary_key=True),
        sa.Column("window_end", sa.String(32), primary_key=True),
        sa.Column("window_start", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("token", sa.String(32)),
        sa.Column("expires_at", sa.String(32)),
        sa.Column("run_id", sa.Text),
        sa.Column("verdict", sa.String(16)),
        sa.Column("problem", sa.Text),
    )
    op.create_table(
        "aims_histories",
        sa.Column("store", sa.String(64), primary_key=True),
        sa.Column("system", sa.String(64), primary_key=True),
        sa.Column("series", sa.String(160), primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("begins", sa.String(32), nullable=False),
    )
