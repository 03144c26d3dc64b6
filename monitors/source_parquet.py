"""Parquet files as one lazy frame, whatever their schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.errors import SourceError
from aims_mlflow.monitors.source_failures import counted, denied, said, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import polars as pl

    from aims_mlflow.monitors.source_files import File

    Schema = dict[str, pl.DataType]


class Scanned(NamedTuple):
    """A lazy frame; `paths` where it is exactly the rows of these Parquet files."""

    lazy: pl.LazyFrame
    paths: tuple[Path, ...] = ()


def scan(files: Sequence[File], notes: list[str]) -> Scanned:
    """Parquet files as one lazy frame of the columns that any of them has.

    Types that differ are brought together where no value changes its meaning: integers of
    different width, integers and floats, units of time, texts and categories, a column without
    values.

    Raises:
        SourceError: A file is damaged, or two files disagree about a column; it names both.
    """
    import polars as pl

    groups = schema_groups(files)
    scans = [
        pl.scan_parquet([file.path for file in group], glob=False, hive_partitioning=False)
        for _, group in groups
    ]
    if len(groups) == 1:
        return Scanned(scans[0], tuple(file.path for file in files))
    common = common_schema(groups, notes)
    cast = [
        part.with_columns(pl.col(name).cast(common[name]) for name in schema)
        for part, (schema, _) in zip(scans, groups, strict=True)
    ]
    return Scanned(pl.concat(cast, how="diagonal").select(list(common)))


def schema_groups(files: Sequence[File]) -> list[tuple[Schema, list[File]]]:
    """The files by schema, in the order of their first file."""
    groups: dict[tuple[tuple[str, pl.DataType], ...], list[File]] = {}
    for file in files:
        groups.setdefault(tuple(_schema(file).items()), []).append(file)
    return [(dict(schema), group) for schema, group in groups.items()]


def _schema(file: File) -> Schema:
    import polars as pl

    try:
        scanned = pl.scan_parquet([file.path], glob=False, hive_partitioning=False)
        return dict(scanned.collect_schema())
    except PermissionError:
        raise denied(shown(file.name)) from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(
            f"{shown(file.name)} is no readable Parquet file: {said(error)}",
            "Write it again, or take it out of what the source matches. Is it still being written?",
        ) from None


def common_schema(groups: Sequence[tuple[Schema, list[File]]], notes: list[str]) -> Schema:
    """The type of each column that all files can be read as.

    Raises:
        SourceError: There is none.
    """
    common: Schema = {}
    first: dict[str, File] = {}
    for schema, (file, *_) in groups:
        for name, dtype in schema.items():
            seen = common.setdefault(name, dtype)
            told = first.setdefault(name, file)
            both = _common(seen, dtype)
            if both is None:
                raise SourceError(
                    f"Column '{shown(name)}' is {seen} in {shown(told.name)} and {dtype} in "
                    f"{shown(file.name)}.",
                    "Write both with the same type, or narrow the glob to files that agree.",
                )
            if both != seen:
                common[name], first[name] = both, file
    notes.extend(_said(groups, common))
    return common


def _said(groups: Sequence[tuple[Schema, list[File]]], common: Schema) -> Iterable[str]:
    for name, dtype in common.items():
        lacking = [group for schema, group in groups if name not in schema]
        if lacking:
            count = sum(map(len, lacking))
            yield (
                f"column '{shown(name)}' is not in {counted(count, 'file')} (such as "
                f"{shown(lacking[0][0].name)}): its values there count as missing"
            )
        types = dict.fromkeys(str(schema[name]) for schema, _ in groups if name in schema)
        if len(types) > 1:
            yield f"column '{shown(name)}' is {' and '.join(types)} in the files: read as {dtype}"


def _common(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    """The type that holds the values of both; None where they mean different things."""
    import polars as pl

    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    if one.is_integer() and other.is_integer():
        if one.is_unsigned_integer() and other.is_unsigned_integer():
            return pl.UInt64()
        return None if pl.UInt64 in (one, other) else pl.Int64()
    if one.is_numeric() and other.is_numeric():
        return pl.Float64()
    texts = (pl.String, pl.Categorical, pl.Enum)
    if isinstance(one, texts) and isinstance(other, texts):
        return pl.String()
    if isinstance(one, pl.Datetime) and isinstance(other, pl.Datetime):
        return pl.Datetime("us", one.time_zone) if one.time_zone == other.time_zone else None
    return None


def damaged(paths: Iterable[tuple[str, Path]]) -> str | None:
    """The name of the first of some Parquet files that cannot be read to its end."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, path in paths:
        try:
            with pq.ParquetFile(path) as file:
                for _ in file.iter_batches():
                    pass
        except (pa.ArrowException, OSError):
            return shown(name)
    return None
