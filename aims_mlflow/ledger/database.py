"""Connections, transactions and migration of the ledger's database: SQLite or PostgreSQL.

Writers follow one another: BEGIN IMMEDIATE on SQLite, an advisory lock on PostgreSQL. Every error
of the driver or of the operating system leaves here as a `LedgerError` without any password.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from sqlalchemy import Engine, NullPool, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from aims_mlflow.errors import LedgerError, LedgerSchemaError
from aims_mlflow.ledger.failures import ledger_error
from aims_mlflow.ledger.schema import REVISIONS, VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection

#: Seconds that a writer waits for the others.
LOCK_TIMEOUT = 30
_CONNECT_TIMEOUT = 10
#: Key of the advisory lock, the same in every process: "aims" in ASCII, then 1.
_LOCK_KEY = 0x61696D73_00000001
_WRITES = "aims_writes"
_DRIVERS = ("psycopg", "psycopg2")
_FORMS = "Use sqlite:///path/to/aims.db or postgresql://user@host/database."


class Database:
    """A migrated database; safe to use from several threads and after a fork.

    Args:
        uri: `sqlite:///path` or `postgresql://user:password@host/name`.

    Raises:
        LedgerSchemaError: A newer version of this package wrote it.
        LedgerError: It cannot be used; says why.
    """

    def __init__(self, uri: str) -> None:
        self.url = _parse(uri)
        with self._reported("opened"):
            self._engine = _engine(self.url)
            self._pid = os.getpid()
            if self.url.get_backend_name() == "sqlite":
                self._migrate_file(Path(self.url.database or ""))
            elif self._revision() != REVISIONS[-1]:
                self._migrate()

    @property
    def where(self) -> str:
        """What a person calls this database: the URL without password and options."""
        return self.url.set(query={}).render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout.

        Raises:
            LedgerError: The database cannot be read.
        """
        with self._reported("read"), self._own_engine().connect() as connection:
            if self.url.get_backend_name() == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The only writing transaction of all processes; committed at the end.

        Raises:
            LedgerError: The database cannot be written, or was locked for 30 seconds.
        """
        engine = self._own_engine().execution_options(**{_WRITES: True})
        with self._reported("written"), engine.begin() as connection:
            if self.url.get_backend_name() == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._own_engine().dispose()

    @contextmanager
    def _reported(self, action: str) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise ledger_error(error, self.url, f"The ledger {self.where}", action) from error

    def _own_engine(self) -> Engine:
        """The engine, without the connections of the process that this one was forked from."""
        if self._pid != os.getpid():
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        return self._engine

    def _migrate_file(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Fails at once where nothing can be written; the lock would try for its whole timeout.
        path.open("ab").close()
        with FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT):
            if self._revision() == REVISIONS[-1]:
                return
            # Not possible inside a transaction, and SQLAlchemy begins one by itself.
            with closing(self._engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
            self._migrate()

    def _revision(self) -> str | None:
        with self.reading() as connection:
            return self._known_revision(connection)

    def _known_revision(self, connection: Connection) -> str | None:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        query = text(f"SELECT version_num FROM {VERSION_TABLE}")
        revision: str | None = connection.scalar(query)
        if revision is not None and revision not in REVISIONS:
            raise LedgerSchemaError(
                f"The ledger {self.where} was written by a newer aims-mlflow "
                f"(schema {revision}, this version knows up to {REVISIONS[-1]}).",
                "Upgrade: pip install --upgrade aims-mlflow.",
            )
        return revision

    def _migrate(self) -> None:
        with self.writing() as connection:
            # Another process may have done it while this one waited for its turn.
            if self._known_revision(connection) != REVISIONS[-1]:
                _upgrade(connection)


def _parse(uri: str) -> URL:
    try:
        url = make_url(uri)
    except ArgumentError:
        # The text is left out: it could hold a password.
        raise LedgerError("The ledger's URL cannot be read.", _FORMS) from None
    backend, _, driver = url.drivername.partition("+")
    if backend == "sqlite" and driver in {"", "pysqlite"}:
        return _absolute(url)
    if backend == "postgresql" and driver in {"", *_DRIVERS}:
        return _with_driver(url, driver)
    raise LedgerError(f"A ledger cannot be kept in '{url.drivername}'.", _FORMS)


def _absolute(url: URL) -> URL:
    path = url.database or ""
    if not path or path == ":memory:" or path.startswith("file:") or "\0" in path:
        raise LedgerError(f"The ledger needs a file, not '{url.drivername}:///{path}'.", _FORMS)
    return url.set(database=str(Path(path).absolute()))


def _with_driver(url: URL, wanted: str) -> URL:
    for driver in (wanted,) if wanted else _DRIVERS:
        if find_spec(driver):
            return url.set(drivername=f"postgresql+{driver}")
    raise LedgerError(
        "A ledger in PostgreSQL needs a driver, and none is installed.",
        "pip install 'aims-mlflow[postgresql]'",
    )


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        options = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_TIMEOUT}
        return create_engine(
            url, isolation_level="READ COMMITTED", pool_pre_ping=True, connect_args=options
        )
    # No pool: SQLite connections must not be carried across a fork.
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": LOCK_TIMEOUT})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, _record: object) -> None:
    # sqlite3 would begin transactions by its own rules; `_on_begin` does it instead.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = FULL")


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _upgrade(connection: Connection) -> None:
    # Alembic is slow to import and needed only where a ledger is new or old.
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
