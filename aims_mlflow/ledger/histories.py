"""Which MLflow run holds which series of a monitor's history: one for each, whoever made it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, insert, select

from aims_mlflow.evidence import digest, isoformat
from aims_mlflow.ledger.schema import histories as table

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement, Connection

    from aims_mlflow.ledger.database import Database


class Series(NamedTuple):
    """The run of a series, and the end of the window that its steps are counted from."""

    run_id: str
    begins: datetime


class Histories:
    """The series of one MLflow store.

    Every method raises LedgerError where the database cannot be used.
    """

    def __init__(self, database: Database, store: str) -> None:
        self._database = database
        self._store = digest(store.encode())

    def run(self, system: str, series: str, begins: datetime, make: Callable[[], str]) -> Series:
        """The run of a series; made under the writers' lock where there is none yet."""
        with self._database.reading() as connection:
            found = self._find(connection, system, series)
        if found is not None:
            return found
        with self._database.writing() as connection:
            found = self._find(connection, system, series)
            if found is None:
                found = Series(make(), begins)
                values = {
                    "store": self._store,
                    "system": system,
                    "series": series,
                    "run_id": found.run_id,
                    "begins": isoformat(begins),
                }
                connection.execute(insert(table).values(values))
        return found

    def forget(self, system: str, series: str) -> None:
        """Drop a series whose run is gone from MLflow."""
        with self._database.writing() as connection:
            connection.execute(delete(table).where(*self._of(system, series)))

    def run_ids(self) -> set[str]:
        """The runs of every series."""
        query = select(table.c.run_id).where(table.c.store == self._store)
        with self._database.reading() as connection:
            return set(connection.scalars(query))

    def _find(self, connection: Connection, system: str, series: str) -> Series | None:
        query = select(table.c.run_id, table.c.begins).where(*self._of(system, series))
        row = connection.execute(query).one_or_none()
        return None if row is None else Series(row.run_id, datetime.fromisoformat(row.begins))

    def _of(self, system: str, series: str) -> list[ColumnElement[bool]]:
        return [
            table.c.store == self._store,
            table.c.system == system,
            table.c.series == series,
        ]
