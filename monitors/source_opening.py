"""From a source to the frame of an engine: which reader, which detours, which window."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from aims_mlflow.errors import SourceError
from aims_mlflow.monitors import source_files, source_sql, source_sql_reading
from aims_mlflow.monitors.source_failures import refused, said, shown, shown_url, within
from aims_mlflow.monitors.source_folders import private_folder
from aims_mlflow.monitors.source_frames import as_polars, unwrapped
from aims_mlflow.monitors.source_parquet import Scanned, scan
from aims_mlflow.monitors.source_rows import as_parquet
from aims_mlflow.monitors.source_window import Cut, in_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import ExitStack
    from datetime import datetime

    import narwhals as nw
    import polars as pl

    from aims_mlflow.governance.monitoring import Engine
    from aims_mlflow.monitored import Window
    from aims_mlflow.monitors.source_files import File

T = TypeVar("T")
#: Schemes that Spark reads by itself, on every worker.
_SPARK_SCHEMES = frozenset({"hdfs", "viewfs", "s3", "s3a", "gs", "abfs", "abfss", "wasbs", "dbfs"})


@dataclass
class Opening:
    """What `open_source` was asked, and what is held and said on the way."""

    engine: Engine
    window: Window | None
    timestamp: str | None
    timezone: str
    base: Path
    master: str | None
    timeout: float
    held: ExitStack
    now: datetime | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def folder(self) -> Path:
        """A folder that only this user can read, removed with everything that is held."""
        return private_folder(self.held)

    def cut(self, frame: nw.LazyFrame[Any], what: str) -> nw.LazyFrame[Any]:
        """The rows of the window, where one is asked for."""
        if self.window is None or self.timestamp is None:
            return frame
        done = in_window(
            frame, self.window, self.timestamp, ZoneInfo(self.timezone), what, now=self.now
        )
        self.notes += done.notes
        self.problems += done.problems
        return done.frame


class Done(NamedTuple):
    """What `Opened` is made of."""

    frame: Any
    uri: str
    engine: Engine
    files: int | None = None
    paths: tuple[tuple[str, Path], ...] = ()


def opened_text(text: str, opening: Opening) -> Done:
    """Open a path, a URL, `sql:`, `sqlite:` or `delta:`."""
    if not text.strip() or "\0" in text:
        raise SourceError("A source is empty or no text.", "Give a path, a URL or a table.")
    asked = source_sql.parsed(text, opening.base)
    if asked is not None:
        return _sql(asked, opening)
    if text.startswith("delta:"):
        return _delta(text, opening)
    return _files(text, opening)


def _sql(asked: source_sql.Asked, opening: Opening) -> Done:
    cut = Cut(opening.window, opening.timestamp, ZoneInfo(opening.timezone), opening.now)
    files = source_sql_reading.fetched(asked, opening.folder(), opening.timeout, cut, opening.notes)
    return _of_files(files, None, asked.shown, opening, own=True)


def _files(text: str, opening: Opening) -> Done:
    protocol = source_files.scheme(text)
    if protocol == "file":
        text, protocol = text.removeprefix("file://"), None
    what = shown_url(text) if protocol else shown(text)
    if opening.engine == "spark" and protocol in _SPARK_SCHEMES:
        return _by_spark([text], source_files.format_of(text) or "parquet", what, opening)
    if protocol:
        files = source_files.fetched(text, opening.folder(), opening.timeout)
        opening.notes.append("remote files were copied here once, and are removed afterwards")
    else:
        files = source_files.local(text, opening.base, what)
    known, form = source_files.one_format(files, what, opening.notes)
    kept: Sequence[File] = known
    if form != "parquet":
        kept = as_parquet(known, form, opening.folder(), opening.notes)
    own = protocol is not None or form != "parquet"
    return _of_files(kept, len(kept), what, opening, own=own)


def _of_files(
    files: Sequence[File], count: int | None, what: str, opening: Opening, *, own: bool
) -> Done:
    """Parquet files on this machine, in the engine; `own` ones are temporary."""
    paths = tuple((file.name, file.path) for file in files)
    scanned = scan(files, opening.notes)
    if opening.engine == "spark":
        from aims_mlflow.monitors import spark

        session = spark.session(opening.master, opening.held)
        frame = spark.of_parquet(session, scanned, opening.notes, own=own, folder=opening.folder)
        return Done(_cut_natively(frame, what, opening), what, "spark", count, paths)
    return Done(_in_engine(scanned, what, opening), what, opening.engine, count, paths)


def opened_frame(source: Any, opening: Opening) -> Done:
    """Open a frame in memory or an `mlflow.data` dataset."""
    import narwhals as nw

    try:
        given = unwrapped(source)
        if given.text is not None:
            return opened_text(given.text, opening)._replace(uri=given.name)
        frame = nw.from_native(given.frame)
        names = list(frame.collect_schema().names())
    except nw.exceptions.NarwhalsError as error:
        raise SourceError(
            f"A frame cannot be used: {said(error)}", "Give every column its own name."
        ) from None
    if not names:
        raise SourceError(f"{given.name} has no columns.", "Give one with columns.")
    if frame.implementation.is_spark_like():
        if opening.engine != "spark":
            opening.notes.append("counted on Spark, where the frame lives")
        return Done(_cut_natively(given.frame, given.name, opening), given.name, "spark")
    if _is_of(frame, opening) and (opening.window is None or opening.timestamp is None):
        return Done(given.frame, given.name, opening.engine)
    scanned = Scanned(as_polars(frame, opening.notes))
    if opening.engine == "spark":
        from aims_mlflow.monitors import spark

        session = spark.session(opening.master, opening.held)
        frame_there = spark.of_frame(session, scanned.lazy, opening.notes)
        return Done(_cut_natively(frame_there, given.name, opening), given.name, "spark")
    return Done(_in_engine(scanned, given.name, opening), given.name, opening.engine)


def _is_of(frame: nw.DataFrame[Any] | nw.LazyFrame[Any], opening: Opening) -> bool:
    import polars as pl

    if opening.engine == "polars":
        return isinstance(frame.to_native(), pl.LazyFrame)
    return bool(frame.implementation.value == opening.engine)


def _cut_natively(frame: Any, what: str, opening: Opening) -> Any:
    import narwhals as nw

    return opening.cut(nw.from_native(frame).lazy(), what).to_native()


def _in_engine(scanned: Scanned, what: str, opening: Opening) -> Any:
    """A Polars frame, cut to the window, in the engine."""
    import narwhals as nw
    import polars as pl

    if opening.engine == "duckdb" and scanned.paths and not _of_text(scanned.lazy, opening):
        return _cut_natively(_read_by_duckdb(scanned.paths, opening), what, opening)
    lazy: pl.LazyFrame = opening.cut(nw.from_native(scanned.lazy), what).to_native()
    match opening.engine:
        case "polars":
            return lazy
        case "duckdb":
            copy = opening.folder() / "rows.parquet"
            _guarded(lambda: lazy.sink_parquet(copy), what)
            opening.notes.append("the rows were copied to temporary Parquet for DuckDB")
            return _read_by_duckdb([copy], opening)
    collected = _guarded(lambda: lazy.collect(engine="streaming"), what)
    # Texts and categories in the layouts that every Arrow consumer knows.
    table = collected.to_arrow(compat_level=pl.CompatLevel.oldest())
    if opening.engine == "pyarrow":
        return table
    import pandas as pd

    # Arrow types keep integers and booleans with nulls what they are.
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _of_text(lazy: pl.LazyFrame, opening: Opening) -> bool:
    """Whether the timestamps are texts, which Polars reads and DuckDB does not."""
    import polars as pl

    asked = opening.window is not None and opening.timestamp is not None
    return asked and lazy.collect_schema().get(opening.timestamp or "") == pl.String


def _guarded(work: Callable[[], T], what: str) -> T:
    import polars as pl

    try:
        return work()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(
            f"{what} cannot be read: {said(error)}", "Write the damaged file again."
        ) from None


def _read_by_duckdb(paths: Iterable[Path], opening: Opening) -> Any:
    try:
        import duckdb
    except ImportError:
        raise SourceError(
            "The engine duckdb is not installed.", "Run: pip install 'aims-mlflow[duckdb]'"
        ) from None
    connection = duckdb.connect()
    opening.held.callback(connection.close)
    # DuckDB 2.0 miscounts NaN in Parquet that PyArrow wrote while it trusts their statistics.
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET autoinstall_known_extensions = false")
    relation = connection.read_parquet([_literal(p) for p in paths], hive_partitioning=False)
    # Narwhals knows no TIMESTAMPTZ_NS.
    fine = [
        f"{quoted}::TIMESTAMPTZ AS {quoted}"
        for name, dtype in zip(relation.columns, relation.types, strict=True)
        if str(dtype) == "TIMESTAMPTZ_NS" and (quoted := '"' + name.replace('"', '""') + '"')
    ]
    return relation.project(f"* REPLACE ({', '.join(fine)})") if fine else relation


def _literal(path: Path) -> str:
    """A path in which DuckDB sees no glob."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))


def _delta(text: str, opening: Opening) -> Done:
    """A Delta table, by `deltalake`; on Spark by Spark's own reader."""
    path = text.removeprefix("delta:")
    protocol = source_files.scheme(path)
    what = f"delta:{shown_url(path) if protocol else shown(path)}"
    place = path if protocol else str(opening.base / Path(path).expanduser())
    if opening.engine == "spark":
        return _by_spark([place], "delta", what, opening)
    try:
        import deltalake
    except ImportError:
        raise SourceError(
            f"{what} needs deltalake.", "Run: pip install 'aims-mlflow[delta]'"
        ) from None
    import polars as pl

    def scanned() -> tuple[int, pl.LazyFrame]:
        table = deltalake.DeltaTable(place)
        return table.version(), pl.scan_delta(table)

    try:
        version, lazy = within(opening.timeout, what, lambda _: scanned())
    except (deltalake.exceptions.DeltaError, OSError) as error:
        raise refused(what, error, path) from None
    opening.notes.append(f"version {version} of the Delta table")
    return Done(_in_engine(Scanned(lazy), what, opening), what, opening.engine)


def _by_spark(paths: list[str], form: str, what: str, opening: Opening) -> Done:
    from aims_mlflow.monitors import spark

    session = spark.session(opening.master, opening.held)
    frame = spark.read(session, paths, form, what)
    return Done(_cut_natively(frame, what, opening), what, "spark")
