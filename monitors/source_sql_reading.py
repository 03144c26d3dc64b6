"""Tables and queries of a database, read in bounded batches into Parquet on disk."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import SourceError
from aims_mlflow.monitors.source_failures import missing_column, refused, said, shown, within
from aims_mlflow.monitors.source_files import File
from aims_mlflow.monitors.source_window import Cut, late_from, local_from

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from threading import Event

    import polars as pl
    from sqlalchemy import URL, Connection, Select, TextClause
    from sqlalchemy import Engine as Database

    from aims_mlflow.monitors.source_sql import Asked

#: Rows that are in memory at a time.
_BATCH = 50_000
#: Types that Arrow has another type for.
_CONVERTED = (Decimal, memoryview, datetime)


def fetched(
    asked: Asked, folder: Path, seconds: float, cut: Cut, notes: list[str]
) -> tuple[File, ...]:
    """Read a table or a query into Parquet files of at most 50,000 rows each.

    The database is asked not to write, nothing is committed, and a statement is cancelled after
    `seconds`. Of a table whose timestamp column is one of times or dates only the window is read.

    Raises:
        SourceError: The driver is missing, the host is not reached, credentials or the statement
            are refused, the table or column does not exist, or it takes too long.
    """
    import sqlalchemy.exc

    reading = _Reading(asked, folder, seconds, cut, notes)
    try:
        return within(seconds, asked.shown, reading.run)
    except SourceError:
        reading.cancel()
        raise
    except sqlalchemy.exc.NoSuchModuleError as error:
        raise SourceError(
            f"No driver knows the database of {asked.shown}: {said(error)}",
            "Install the SQLAlchemy dialect of the database.",
        ) from None
    except ImportError as error:
        raise SourceError(
            f"The driver of {asked.shown} is missing: {said(error)}",
            f"Run: pip install {_package(asked.url)}",
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        original = getattr(error, "orig", None) or error
        # No cause: drivers put the URL, and with it the password, into their texts.
        raise refused(asked.shown, original, *_secrets(asked.url)) from None


def _package(url: URL) -> str:
    if url.get_backend_name() == "postgresql":
        return "'aims-mlflow[postgresql]'"
    return url.get_driver_name() or url.get_backend_name()


def _secrets(url: URL) -> list[str]:
    from urllib.parse import quote, quote_plus

    password = str(url.password or "")
    return [p for p in (password, quote(password, ""), quote_plus(password)) if p]


class _Reading:
    """One statement, read to its end or cancelled from another thread."""

    def __init__(
        self, asked: Asked, folder: Path, seconds: float, cut: Cut, notes: list[str]
    ) -> None:
        self._asked = asked
        self._folder = folder
        self._seconds = seconds
        self._cut = cut
        self._notes = notes
        self._driver: Any = None
        self._errors: tuple[type[Exception], ...] = ()

    def cancel(self) -> None:
        """Stop the statement where the driver can: psycopg's `cancel`, SQLite's `interrupt`."""
        stops = (getattr(self._driver, name, None) for name in ("cancel", "interrupt"))
        stop = next(filter(callable, stops), None)
        if stop is not None:
            # The connection can be gone by now, which is all that was wanted.
            with suppress(*self._errors):
                stop()

    def run(self, given_up: Event) -> tuple[File, ...]:
        import sqlalchemy

        database = sqlalchemy.create_engine(
            self._asked.url, poolclass=sqlalchemy.NullPool, connect_args=self._options()
        )
        with database.connect() as connection:
            self._errors = (connection.dialect.loaded_dbapi.Error,)
            self._driver = connection.connection.driver_connection
            self._restrict(connection)
            statement = self._statement(database, connection)
            streamed = connection.execution_options(stream_results=True, yield_per=_BATCH)
            result = streamed.execute(statement)
            return self._written(list(result.keys()), result.partitions(), given_up)

    def _options(self) -> dict[str, Any]:
        wait = max(1, round(min(self._seconds, 30)))
        match self._asked.url.get_driver_name():
            case "psycopg" | "psycopg2" | "pymysql" | "mysqldb":
                return {"connect_timeout": wait}
        return {}

    def _restrict(self, connection: Connection) -> None:
        match connection.dialect.name:
            case "postgresql":
                milliseconds = max(1, round(self._seconds * 1000))
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
            case "sqlite":
                connection.exec_driver_sql("PRAGMA query_only = ON")

    def _statement(self, database: Database, connection: Connection) -> Select[Any] | TextClause:
        import sqlalchemy as sa

        if self._asked.query is not None:
            # A colon in a query is no parameter: there are none.
            return sa.text(self._asked.query.replace(":", r"\:"))
        schema, _, name = (self._asked.table or "").rpartition(".")
        inspector = sa.inspect(connection)
        try:
            columns = inspector.get_columns(name, schema=schema or None)
        except sa.exc.NoSuchTableError:
            known = inspector.get_table_names(schema=schema or None)
            error = missing_column([name], known, self._asked.shown)
            raise SourceError(error.message.replace("column", "table"), error.fix) from None
        table = sa.table(name, *(sa.column(c["name"]) for c in columns), schema=schema or None)
        return self._of_window(sa.select(table), columns, database)

    def _of_window(
        self, statement: Select[Any], columns: Sequence[Any], database: Database
    ) -> Select[Any]:
        import sqlalchemy as sa

        window, timestamp, zone, _now = self._cut
        if window is None or timestamp is None:
            return statement
        dtype = next((c["type"] for c in columns if c["name"] == timestamp), None)
        if dtype is None:
            names = [c["name"] for c in columns]
            raise missing_column([timestamp], names, self._asked.shown, "the timestamp")
        # SQLite keeps times as texts of any form.
        if not isinstance(dtype, sa.DateTime) or database.dialect.name == "sqlite":
            return statement
        low, high = (
            (moment if dtype.timezone else local_from(moment, zone))
            for moment in (window.start, window.end)
        )
        column = sa.column(timestamp, dtype)
        wanted = sa.and_(column >= low, column < high) | column.is_(None)
        if self._cut.now is not None:
            late = late_from(window, self._cut.now)
            wanted |= column >= (late if dtype.timezone else local_from(late, zone))
        # What no window holds is read too: it shows that the times cannot be trusted.
        self._notes.append("the database was asked for the window's rows, not for other windows'")
        return statement.where(wanted)

    def _written(self, names: list[str], batches: Any, given_up: Event) -> tuple[File, ...]:
        import polars as pl

        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(
                f"{self._asked.shown} gives two columns '{shown(twice[0])}'.",
                "Name the columns of the query apart with AS.",
            )
        files = []
        for number, rows in enumerate(batches):
            if given_up.is_set():
                break
            columns = zip(names, zip(*rows, strict=True), strict=True)
            frame = pl.DataFrame([self._series(name, values) for name, values in columns])
            files.append(self._saved(frame, number))
        if not files:
            empty = pl.DataFrame({name: [] for name in names}, dict.fromkeys(names, pl.Null))
            files.append(self._saved(empty, 0))
        return tuple(files)

    def _saved(self, frame: pl.DataFrame, number: int) -> File:
        path = self._folder / f"{number:06}.parquet"
        frame.write_parquet(path)
        return File(path, f"{self._asked.shown}, rows from {number * _BATCH}")

    def _series(self, name: str, values: Sequence[Any]) -> pl.Series:
        import polars as pl

        types = set(map(type, values)) - {type(None)}
        if any(issubclass(kind, _CONVERTED) for kind in types):
            values = [_plain(value) for value in values]
            types = set(map(type, values)) - {type(None)}
        if types == {int, float}:
            values = [None if value is None else float(value) for value in values]
        try:
            if types == {datetime} and any(v.tzinfo for v in values if v is not None):
                return pl.Series(name, values, pl.Datetime("us", "UTC"))
            series = pl.Series(name, values, strict=True)
            if series.dtype != pl.Object:
                return series
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
            # Told below, together with what became objects.
            pass
        self._notes.append(f"column '{shown(name)}' has no type of columns: read as text")
        return pl.Series(name, [None if v is None else str(v) for v in values], pl.String)


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            # 15 digits are more than any monitor looks at.
            return float(value)
        case memoryview():
            return bytes(value)
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC)
    return value
