"""How Alembic runs the migrations: on the connection that the ledger gives it, in its transaction.

It reads no alembic.ini and leaves logging alone.
"""

from __future__ import annotations

from alembic import context

from aims_mlflow.ledger.schema import VERSION_TABLE, metadata


def run() -> None:
    """Bring the connection in `config.attributes["connection"]` to the requested revision."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
    )
    context.run_migrations()


# Alembic executes this file under this name; any other import must change nothing.
if __name__ == "env_py":
    run()
