"""Open what a monitor reads: files, URLs, tables, frames, each in any engine and cut to a window.

Whatever the source, the engine gets columns. Parquet is read where it lies; formats of rows (CSV,
JSON), databases and remote files become temporary Parquet once, so that the passes over single
columns that follow cost little. Nothing here holds a whole data set in memory, except the
engines `pandas` and `pyarrow`, which are in memory by nature.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import SourceError
from aims_mlflow.monitors.source_failures import missing_column, said
from aims_mlflow.monitors.source_templates import expand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from aims_mlflow.governance.monitoring import Engine
    from aims_mlflow.monitored import Window

__all__ = ["TIMEOUT", "Opened", "expand", "open_source"]

#: Seconds that a host or a database may take, unless the caller says otherwise.
TIMEOUT = 300.0


@dataclass(frozen=True)
class Opened:
    """Data that is ready to be counted; close it, or use it as a context manager.

    `frame` is a Polars LazyFrame, a DuckDB relation, a PyArrow table, a pandas or a Spark data
    frame. It can be used until `close()`, which removes temporary files, closes the DuckDB
    connection and stops the Spark session with its last user. `uri` shows no password. `files`
    counts what was matched, where the source is files. `notes` say what was done on the way,
    `problems` why the rows may not be those that happened in the window: nothing passes on them.
    """

    frame: Any
    uri: str
    engine: Engine
    files: int | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    paths: tuple[tuple[str, Path], ...] = field(default=(), repr=False, compare=False)
    _held: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back everything that is held; a second time does nothing."""
        self._held.close()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        import narwhals as nw

        return tuple(nw.from_native(self.frame).lazy().collect_schema().names())

    def require(self, names: Sequence[str]) -> None:
        """Make sure that these columns are there.

        Raises:
            SourceError: Some are not; it names the nearest that are.
        """
        known = self.columns
        lacking = [name for name in dict.fromkeys(names) if name not in known]
        if lacking:
            raise missing_column(lacking, known, self.uri)

    def explain(self, error: Exception) -> SourceError:
        """What an engine raised while it read the frame, as an error for a person.

        Lazy frames meet damaged pages only when they are counted. The files are tried one by one,
        so that the damaged one is named.
        """
        from aims_mlflow.monitors.source_parquet import damaged

        culprit = damaged(self.paths)
        where = f"{culprit} of {self.uri}" if culprit and culprit != self.uri else self.uri
        return SourceError(
            f"{where} cannot be read: {said(error)}",
            "Write the file again, or take it out of what the source matches."
            if culprit
            else "Check the source and the room on the disk and in memory.",
        )


def open_source(
    source: Any,
    *,
    engine: Engine = "polars",
    window: Window | None = None,
    timestamp: str | None = None,
    timezone: str = "UTC",
    base: Path | None = None,
    master: str | None = None,
    timeout: float = TIMEOUT,
    now: datetime | None = None,
) -> Opened:
    """Open a source in an engine.

    Args:
        source: A path, a glob, a folder, an fsspec URL, `sql:` or `sqlite:///`, `delta:`
            (docs/sources.md); or a frame of pandas, Polars, PyArrow, DuckDB, Spark or Narwhals; or
            an `mlflow.data` dataset. With a `window`, `{date}` and the like in a text are
            expanded.
        engine: What `frame` is to be of. Frames of Spark stay in Spark.
        window: Rows outside it are left out, where `timestamp` names a column.
        timestamp: A column of times, dates, ISO 8601 texts or epochs (s, ms, µs, ns).
        timezone: Where times without an offset were written, an IANA name.
        base: The folder that relative paths start at; the working directory by default.
        master: The Spark master; `SPARK_MASTER` or `local[*]` by default.
        timeout: Seconds for a remote host or a database to answer in full.
        now: The present, aware: rows that are clearly later become one of the `problems`. Without
            it rows after the window are those of later windows, however late.

    Raises:
        SourceError: The source cannot be read; the message says which file or host, and why.
        MonitorError: A placeholder in the source does not exist.
    """
    from aims_mlflow.monitors.source_opening import Opening, opened_frame, opened_text

    text = os.fspath(source) if isinstance(source, str | os.PathLike) else None
    with ExitStack() as held:
        opening = Opening(
            engine=engine,
            window=window,
            timestamp=timestamp,
            timezone=timezone,
            base=base or Path(),
            master=master,
            timeout=timeout,
            held=held,
            now=now,
        )
        if isinstance(text, bytes):
            raise SourceError("A source is bytes.", "Give it as a text.")
        if text is None:
            done = opened_frame(source, opening)
        else:
            done = opened_text(expand(text, window, timezone) if window else text, opening)
        return Opened(
            frame=done.frame,
            uri=done.uri,
            engine=done.engine,
            files=done.files,
            notes=tuple(dict.fromkeys(opening.notes)),
            problems=tuple(opening.problems),
            paths=done.paths,
            _held=held.pop_all(),
        )
