"""Formats of rows, CSV and JSON, as Parquet: once, so that passes over columns cost little."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from aims_mlflow.errors import SourceError
from aims_mlflow.monitors.source_failures import counted, denied, said, shown
from aims_mlflow.monitors.source_files import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from aims_mlflow.monitors.source_files import Format

#: Rows by which types are guessed first; where a later row disagrees, all rows are looked at.
_GUESSED_BY = 10_000
_HEAD = 1 << 16
_SEPARATORS = (",", ";", "\t", "|")
#: Texts that stand for no value, in a column whose other values are numbers.
_NO_VALUE = ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "-", "?", "")


def as_parquet(
    files: Sequence[File], form: Format, folder: Path, notes: list[str]
) -> tuple[File, ...]:
    """Each file as a temporary Parquet file under the same name.

    CSV has a header and is UTF-8; its separator is the most frequent of `,`, `;`, tab and `|` in
    the header. Types are those of all rows. JSON is an object per line, or one array of objects,
    which is read as a whole.

    Raises:
        SourceError: A file is not what its extension says; it is named.
    """
    written = []
    for number, file in enumerate(files):
        target = folder / f"rows-{number:06}.parquet"
        with _reading(file):
            _write(file, form, target, notes)
        written.append(File(target, file.name))
    size = sum(file.path.stat().st_size for file in written) / 1e6
    notes.append(
        f"{counted(len(files), f'{form.upper()} file')} became temporary Parquet of "
        f"{size:.1f} MB, so that columns can be read one by one"
    )
    return tuple(written)


@contextmanager
def _reading(file: File) -> Iterator[None]:
    """Name the file in what goes wrong."""
    import polars as pl

    try:
        yield
    except PermissionError:
        raise denied(shown(file.name)) from None
    except (pl.exceptions.PolarsError, OSError, EOFError, UnicodeDecodeError) as error:
        fix = "Write the file again, with a header, in UTF-8 and one record per line."
        raise SourceError(f"{shown(file.name)} cannot be read: {said(error)}", fix) from None


def _write(file: File, form: Format, target: Path, notes: list[str]) -> None:
    import polars as pl

    if form == "json":
        if _head(file).lstrip()[:1] == b"[":
            _array(file).write_parquet(target)
            return
        _sunk(lambda guess: pl.scan_ndjson(file.path, infer_schema_length=guess), target)
        return
    separator = "\t" if form == "tsv" else _separator(file, notes)
    guessed = target.with_suffix(".guessed.parquet")
    _sunk(
        lambda guess: pl.scan_csv(
            file.path,
            separator=separator,
            infer_schema_length=guess,
            try_parse_dates=True,
            glob=False,
        ),
        guessed,
    )
    _typed(file, guessed, target, notes)


def _sunk(scan: Callable[[int | None], pl.LazyFrame], target: Path) -> None:
    import polars as pl

    try:
        scan(_GUESSED_BY).sink_parquet(target)
    except pl.exceptions.PolarsError:
        scan(None).sink_parquet(target)


def _array(file: File) -> pl.DataFrame:
    import polars as pl
    import pyarrow as pa

    with pa.input_stream(str(file.path), compression="detect") as opened:
        return pl.read_json(opened.read(), infer_schema_length=None)


def _head(file: File) -> bytes:
    import pyarrow as pa

    with pa.input_stream(str(file.path), compression="detect") as opened:
        head: bytes = opened.read(_HEAD)
        return head


def _separator(file: File, notes: list[str]) -> str:
    header = _head(file).decode("utf-8", "ignore").partition("\n")[0]
    # max keeps the first of equals: a header of one column has none of them, and any will do.
    found = max(_SEPARATORS, key=header.count)
    if found != ",":
        notes.append(f"{shown(file.name)} is separated by {found!r}")
    return found


def _typed(file: File, guessed: Path, target: Path, notes: list[str]) -> None:
    """Give columns of text the type that all their values have: numbers, or none at all."""
    import polars as pl

    scanned = pl.scan_parquet(guessed, glob=False, hive_partitioning=False)
    texts = [name for name, dtype in scanned.collect_schema().items() if dtype == pl.String]
    tally = _counted(scanned, texts)
    casts = []
    for name in texts:
        present, real, floats, integers = (tally[f"{name}/{i}"] for i in range(4))
        if present == 0:
            casts.append(pl.lit(None).alias(name))
        elif real and floats == real:
            dtype = pl.Int64 if integers == real else pl.Float64
            casts.append(pl.col(name).cast(dtype, strict=False))
            if present > real:
                notes.append(
                    f"column '{shown(name)}' of {shown(file.name)} is numbers but for "
                    f"{counted(present - real, 'text')} such as NA, which count as missing"
                )
    if casts:
        scanned.with_columns(casts).sink_parquet(target)
        guessed.unlink()
    else:
        guessed.rename(target)


def _counted(scanned: pl.LazyFrame, texts: Sequence[str]) -> dict[str, int]:
    """Per column of text: values, values that are no NA, and how many are numbers and integers."""
    import polars as pl

    asked = []
    for name in texts:
        column = pl.col(name)
        real = column.filter(~column.is_in(_NO_VALUE))
        asked += [
            column.count().alias(f"{name}/0"),
            real.count().alias(f"{name}/1"),
            real.cast(pl.Float64, strict=False).count().alias(f"{name}/2"),
            real.cast(pl.Int64, strict=False).count().alias(f"{name}/3"),
        ]
    if not asked:
        return {}
    row: dict[str, int] = scanned.select(asked).collect(engine="streaming").row(0, named=True)
    return row
