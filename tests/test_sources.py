"""What a monitor reads: every kind of source, in every engine, and every way in which it fails."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import sqlite3
import string
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import fsspec
import narwhals as nw
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.errors import AimsError, MonitorError, SourceError
from aims_mlflow.monitored import Window
from aims_mlflow.monitors.source_failures import said
from aims_mlflow.monitors.source_folders import remove_stale
from aims_mlflow.monitors.sources import expand, open_source

ENGINES = ("polars", "pandas", "duckdb", "pyarrow")
DAY = Window(
    start=datetime(2026, 11, 23, tzinfo=UTC),
    end=datetime(2026, 11, 24, tzinfo=UTC),
)
FRAME = pl.DataFrame(
    {
        "n": [1, None, 3, 4],
        "x": [0.5, float("nan"), None, 2.5],
        "s": ["a", None, "ß", ""],
        "b": [True, None, False, True],
        "t": [datetime(2026, 11, 23, h, tzinfo=UTC) for h in (0, 6, 12, 18)],
    }
)


def rows(opened, *columns):
    """The rows of any engine, as tuples of plain Python, NaN as "nan"."""
    frame = nw.from_native(opened.frame).lazy()
    frame = frame.select(*columns) if columns else frame
    found = frame.collect("pyarrow").to_native().to_pylist()
    plain = [tuple("nan" if v != v else v for v in row.values()) for row in found]
    return sorted(plain, key=repr)


def expected(frame, *columns):
    frame = frame.select(columns) if columns else frame
    return sorted((tuple("nan" if v != v else v for v in r) for r in frame.rows()), key=repr)


def failure(source, **options):
    with pytest.raises(SourceError) as caught:
        open_source(source, **options).close()
    assert caught.value.fix
    return caught.value.message


# Templates


def test_the_window_stands_in_the_source():
    window = Window(
        start=datetime(2026, 11, 22, 23, tzinfo=UTC),
        end=datetime(2026, 11, 23, 23, tzinfo=UTC),
    )
    assert expand("dt={date}/h={hour}", window, "Europe/Berlin") == "dt=2026-11-23/h=00"
    assert expand("{start}..{end}", window) == (
        "2026-11-22T23:00:00.000000Z..2026-11-23T23:00:00.000000Z"
    )
    assert expand("{start:%Y/%m/%d}/{end:%H}", window, "Europe/Berlin") == "2026/11/23/00"
    assert expand("{{date}}", window) == "{date}"


@pytest.mark.parametrize(
    "hostile",
    [
        "{nope}",
        "{}",
        "{0}",
        "{start.__class__}",
        "{start.tzinfo.utcoffset}",
        "{start[0]}",
        "{start!r}",
        "{start:{end}}",
        "{start:>999999999}",
        "{start:" + "%Y" * 60 + "}",
        "{date",
        "date}",
    ],
)
def test_other_placeholders_are_refused(hostile):
    with pytest.raises(MonitorError) as caught:
        expand(hostile, DAY)
    assert "{date}, {hour}, {start} and {end}" in caught.value.fix


@given(st.text(alphabet="{}:%!.[]dates\x00 ", max_size=20))
@settings(max_examples=50)
def test_a_template_is_expanded_or_refused(template):
    try:
        expand(template, DAY)
    except MonitorError as error:
        assert error.fix


# Files


@pytest.mark.parametrize("engine", ENGINES)
def test_parquet_is_the_same_in_every_engine(tmp_path, engine):
    FRAME.write_parquet(tmp_path / "a.parquet")
    with open_source("a.parquet", engine=engine, base=tmp_path) as opened:
        assert rows(opened) == expected(FRAME)
        assert (opened.engine, opened.uri, opened.files) == (engine, "a.parquet", 1)
        assert opened.columns == tuple(FRAME.columns)
        assert opened.notes == ()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", ["csv", "csv.gz", "csv.zst", "tsv", "jsonl", "jsonl.gz", "json"])
def test_formats_of_rows_have_types(tmp_path, engine, form):
    frame = FRAME.with_columns(pl.col("s").replace("", None))
    name = tmp_path / f"a.{form}"
    if form == "json":
        listed = [
            {k: None if v != v else v for k, v in row.items()}
            for row in frame.iter_rows(named=True)
        ]
        name.write_text(json.dumps(listed, default=str))
        frame = frame.with_columns(pl.col("x").fill_nan(None))
    elif form.startswith("jsonl"):
        frame = frame.with_columns(pl.col("x").fill_nan(None))
        text = frame.with_columns(pl.col("t").cast(pl.String)).write_ndjson()
        name.write_bytes(gzip.compress(text.encode()) if form.endswith("gz") else text.encode())
    else:
        text = frame.write_csv(separator="\t" if form == "tsv" else ",").encode()
        packed = {"gz": gzip.compress, "zst": lambda b: pa.compress(b, "zstd", asbytes=True)}
        name.write_bytes(packed.get(form.rpartition(".")[2], lambda b: b)(text))
    with open_source(str(name), engine=engine) as opened:
        assert rows(opened, "n", "x", "s", "b") == expected(frame, "n", "x", "s", "b")
        assert "temporary Parquet" in opened.notes[0]
    with open_source(str(name), engine=engine, window=DAY, timestamp="t") as opened:
        assert len(rows(opened)) == 4


def test_temporary_files_are_gone_when_closed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "a.csv").write_text("x\n1\n")
    opened = open_source(tmp_path / "a.csv")
    assert list((tmp_path / "tmp").iterdir())
    opened.close()
    opened.close()
    assert list((tmp_path / "tmp").iterdir()) == []
    (tmp_path / "a.csv").write_text('x,y\n1,"2\n')
    assert "a.csv" in failure(tmp_path / "a.csv")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_late_text_in_a_column_of_numbers_is_seen(tmp_path):
    numbers = "\n".join(["1"] * 12_000)
    (tmp_path / "a.csv").write_text(f"x,y,z\n{numbers.replace('1', '1,,2.5')}\nlate,,NA\n3,7,1\n")
    with open_source("a.csv", base=tmp_path) as opened:
        schema = opened.frame.collect_schema()
        assert schema == {"x": pl.String, "y": pl.Int64, "z": pl.Float64}
        assert rows(opened)[-1] == ("late", None, None)
    assert "column 'z' of a.csv is numbers but for 1 text such as NA" in opened.notes[0]


def test_a_country_called_na_stays_a_category(tmp_path):
    (tmp_path / "a.csv").write_text("country\nNA\nDE\n")
    with open_source("a.csv", base=tmp_path) as opened:
        assert rows(opened) == [("DE",), ("NA",)]


def test_a_semicolon_separates_where_the_header_says_so(tmp_path):
    (tmp_path / "a.csv").write_text("a;b,c\n1;2\n")
    with open_source("a.csv", base=tmp_path) as opened:
        assert opened.columns == ("a;b", "c")
    (tmp_path / "a.csv").write_text("a;b;c\n1;2;3\n")
    with open_source("a.csv", base=tmp_path) as opened:
        assert rows(opened) == [(1, 2, 3)]
        assert "separated by ';'" in opened.notes[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_folders_and_globs_at_any_depth(tmp_path, engine):
    for folder in ("dt=1", "dt=2/deep", "dt=2/_temporary"):
        (tmp_path / folder).mkdir(parents=True)
        FRAME.write_parquet(tmp_path / folder / "part.parquet")
    (tmp_path / "dt=1" / "_SUCCESS").touch()
    (tmp_path / "dt=1" / "README.md").write_text("not data")
    for source, files in (("dt=1", 1), (".", 2), ("dt=*/*.parquet", 1), ("**/*.parquet", 3)):
        with open_source(source, engine=engine, base=tmp_path) as opened:
            assert opened.files == files, source
            assert rows(opened) == expected(pl.concat([FRAME] * files))
    with open_source("dt=1", base=tmp_path) as opened:
        assert opened.notes == ("passed over 1 file of no known format",)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name", ["a[1].parquet", "a*.parquet", "what?.parquet", "a b'c\";--.parquet", "ß{x}.parquet"]
)
def test_hostile_names_are_only_names(tmp_path, engine, name):
    FRAME.head(1).write_parquet(tmp_path / name)
    FRAME.write_parquet(tmp_path / "a1.parquet")
    with open_source(name, engine=engine, base=tmp_path) as opened:
        assert rows(opened) == expected(FRAME.head(1))


# Files that cannot be read


def test_what_cannot_be_read_is_named(tmp_path):
    at = {"base": tmp_path}
    FRAME.write_parquet(tmp_path / "good.parquet")
    (tmp_path / "empty.parquet").touch()
    (tmp_path / "a.txt").write_text("x")
    whole = (tmp_path / "good.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-20])
    (tmp_path / "broken.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 9999)[:-30])
    (tmp_path / "latin.csv").write_bytes("a,b\n1,ä\n".encode("latin-1"))
    (tmp_path / "ragged.csv").write_text("a,b\n1,2,3\n")
    (tmp_path / "object.json").write_text('{"a":\n1}')
    (tmp_path / "numbers.json").write_text("[1, 2]")
    (tmp_path / "lying.csv.gz").write_text("a\n1\n")
    assert failure("none/*.parquet", **at) == "none/*.parquet matches no file."
    assert failure("empty.parquet", **at) == "empty.parquet is empty."
    assert "known format (a.txt)" in failure("a.txt", **at)
    assert "mixes formats: broken.csv.gz and cut.parquet" in failure("*.*", **at)
    for name in sorted(path.name for path in tmp_path.iterdir()):
        if name not in ("good.parquet", "lying.csv.gz"):
            assert name in failure(name, **at)
    assert "cut.parquet" in failure("[cg]*t*.parquet", **at)
    for source in ("", " ", "a\0b", "x" * 5000):
        assert failure(source, **at)


ROW = "unclosed Jane Smith,078-05-1120,6,7"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "a,b\n1,2\n" + "3,4\n" * 20000 + f'"{ROW}\n'),
        ("b.csv", "a,b\n1,2\n" + "3,4\n" * 20000 + f"{ROW}\n"),
        ("c.jsonl", '{"a": 1}\n' * 20000 + f'{{"a": "{ROW}\n'),
        ("d.json", f'[{{"a": 1}}, {{"a": "{ROW}]'),
        ("e.csv", f"t\n{ROW.partition(',')[0]}\n"),
    ],
)
def test_what_cannot_be_read_is_told_without_the_rows(tmp_path, engine, name, content):
    (tmp_path / name).write_text(content)
    at = {"window": DAY, "timestamp": "t"} if name == "e.csv" else {}
    with pytest.raises(SourceError) as caught:
        open_source(name, base=tmp_path, engine=engine, **at).close()
    told = caught.value.diagnostics()
    assert name in told
    assert not any(part in told for part in ("Jane", "Smith", "078", "1120"))


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (
            "could not parse `Jane Roe` as dtype `i64` at column 'age' (column number 2)",
            "could not parse … column 'age', column number 2",
        ),
        ("CSV parse error: Expected 2 columns, got 4: Jane,3,4", "Expected 2 columns, got 4 …"),
        ("Error tokenizing data. Expected 4 fields in line 4, saw 5", "in line 4, saw 5"),
        ("Unknown string format, unable to parse: Jane Roe", "unable to parse …"),
        ("CSV Error on Line: 30002\nOriginal Line: Jane,3", "on Line: 30002 Original Line …"),
        ("Conversion Error: Type INT32 with value 31415 can't be cast", "INT32 with value …"),
        ('invalid input syntax for type integer: "Jane"\nCONTEXT: Jane', "for type integer …"),
        ('violates "k"\nDETAIL:  Key (name)=(Jane) already exists.', "violates …"),
        ("Incorrect integer value: 'Jane' for column 'x' at row 1", "… column 'x', row 1"),
        ('error deserializing value "String("Jane")" as numeric', "deserializing value …"),
        ('connection to server at "::1" failed: user "ada"', 'at "::1" failed: user "ada"'),
        ('relation "loans" does not exist', 'relation "loans" does not exist'),
        ("can't connect: it doesn't answer", "can't connect: it doesn't answer"),
    ],
)
def test_values_are_taken_out_of_any_drivers_message(raised, shown):
    told = said(ValueError(raised))
    assert told.startswith("ValueError: ") and told.endswith(shown)
    assert "Jane" not in told and "31415" not in told


def test_what_a_database_cannot_convert_is_told_without_the_value(loans):
    told = failure("sql:LOANS_DB?query=SELECT 'Jane Roe'::text::int AS x")
    assert told.startswith("sql:LOANS_DB?query=")
    assert told.endswith(
        "cannot be read: InvalidTextRepresentation: invalid input syntax for type integer …"
    )


def test_folders_of_dead_processes_are_removed_and_of_living_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "a.csv").write_text("x\n1\n")
    left = tmp_path / "aims-source-dead"
    left.mkdir()
    (left / "rows.parquet").write_bytes(b"Jane")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "aims-source-link").symlink_to(elsewhere)
    with open_source(tmp_path / "a.csv") as opened:
        assert remove_stale() == 1
        assert not left.exists() and elsewhere.is_dir()
        assert rows(opened) == [(1,)]


def test_a_folder_that_may_not_be_entered(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    FRAME.write_parquet(closed / "a.parquet")
    FRAME.write_parquet(tmp_path / "b.parquet")
    (tmp_path / "b.parquet").chmod(0o000)
    closed.chmod(0o000)
    before = os.geteuid()
    folders = [tmp_path, *tmp_path.parents[:2]]
    modes = [folder.stat().st_mode for folder in folders]
    for folder in folders:
        folder.chmod(0o755)
    with contextlib.suppress(PermissionError):
        os.seteuid(65534)
    try:
        for source in ("closed/a.parquet", "closed", "closed/*.parquet", "b.parquet", "*.parquet"):
            assert "permission denied" in failure(source, base=tmp_path), source
    finally:
        os.seteuid(before)
        closed.chmod(0o700)
        for folder, mode in zip(folders, modes, strict=True):
            folder.chmod(mode)


def test_damaged_pages_are_found_and_named(tmp_path):
    for name in ("a", "b"):
        FRAME.write_parquet(tmp_path / f"{name}.parquet", compression="snappy")
    data = bytearray((tmp_path / "b.parquet").read_bytes())
    data[4:60] = b"\xff" * 56
    (tmp_path / "b.parquet").write_bytes(data)
    with open_source("*.parquet", base=tmp_path) as opened:
        with pytest.raises(Exception) as raised:
            opened.frame.collect()
        error = opened.explain(raised.value)
        assert isinstance(error, SourceError)
        assert error.message.startswith("b.parquet of *.parquet cannot be read")
    assert "cannot be read" in failure("*.parquet", base=tmp_path, engine="pyarrow")


def test_missing_columns_are_said_with_near_names(tmp_path):
    FRAME.rename({"n": "income"}).write_parquet(tmp_path / "a.parquet")
    with open_source("a.parquet", base=tmp_path) as opened:
        opened.require(["income", "x"])
        with pytest.raises(SourceError) as caught:
            opened.require(["incom", "x", "q"])
        assert caught.value.message == "a.parquet has no columns 'incom', 'q'."
        assert "Did you mean 'income'?" in caught.value.fix
    assert "'ts' (the timestamp)" in failure("a.parquet", base=tmp_path, window=DAY, timestamp="ts")


# Types that differ between files


@pytest.mark.parametrize("engine", ENGINES)
def test_harmless_differences_are_brought_together(tmp_path, engine):
    pl.DataFrame({"i": [1], "f": [1], "c": ["a"], "e": [None]}).write_parquet(tmp_path / "a.pq")
    pl.DataFrame(
        {"f": [0.5], "i": [2], "c": ["b"], "e": ["x"], "new": [True]},
        {"f": pl.Float32, "i": pl.Int8, "c": pl.Categorical, "e": pl.String, "new": pl.Boolean},
    ).write_parquet(tmp_path / "b.pq")
    with open_source("*.pq", base=tmp_path, engine=engine) as opened:
        names = ("i", "f", "c", "e", "new")
        assert rows(opened, *names) == [(1, 1.0, "a", None, None), (2, 0.5, "b", "x", True)]
        assert any("'new' is not in 1 file (such as a.pq)" in n for n in opened.notes)
        assert any("'f' is Int64 and Float32" in n for n in opened.notes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1], ["1"]),
        ([True], [1]),
        ([date(2026, 1, 1)], [datetime(2026, 1, 1)]),  # noqa: DTZ001
        ([datetime(2026, 1, 1, tzinfo=UTC)], [datetime(2026, 1, 1)]),  # noqa: DTZ001
        ([[1]], [1]),
        ([2**63], [-1]),
    ],
)
def test_files_that_disagree_are_both_named(tmp_path, one, other):
    pl.DataFrame({"v": one}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"v": other}).write_parquet(tmp_path / "b.parquet")
    message = failure("*.parquet", base=tmp_path)
    assert "'v'" in message
    assert "a.parquet" in message
    assert "b.parquet" in message


def test_an_empty_column_of_csv_agrees_with_any(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,\n2,\n")
    (tmp_path / "b.csv").write_text("x,y\n1,5\nNA,6\n")
    with open_source("*.csv", base=tmp_path) as opened:
        assert opened.frame.collect_schema() == {"x": pl.Int64, "y": pl.Int64}


# Windows


def _stamped(values, dtype=None):
    return pl.DataFrame({"t": values}, {"t": dtype} if dtype else None).with_row_index("i")


MOMENTS = [
    DAY.start - timedelta(seconds=1),
    DAY.start,
    DAY.end - timedelta(microseconds=1000),
    DAY.end,
    None,
]
FORMS = {
    "aware": _stamped(MOMENTS, pl.Datetime("us", "UTC")),
    "ns": _stamped(MOMENTS, pl.Datetime("ns", "UTC")),
    "elsewhere": _stamped(MOMENTS, pl.Datetime("us", "UTC")).with_columns(
        pl.col("t").dt.convert_time_zone("Asia/Tokyo")
    ),
    "naive": _stamped([m and m.replace(tzinfo=None) for m in MOMENTS], pl.Datetime("ms")),
    "iso": _stamped([m and m.isoformat() for m in MOMENTS]),
    "zulu": _stamped([m and m.strftime("%Y-%m-%d %H:%M:%S.%fZ") for m in MOMENTS]),
    "offset": _stamped([m and m.astimezone(ZoneInfo("Asia/Kolkata")).isoformat() for m in MOMENTS]),
    "basic": _stamped([m and m.strftime("%Y-%m-%d %H:%M:%S.%f+0000") for m in MOMENTS]),
    "hours": _stamped([m and m.strftime("%Y-%m-%dT%H:%M:%S.%f+00") for m in MOMENTS]),
    "local": _stamped([m and m.strftime("%Y-%m-%dT%H:%M:%S.%f") for m in MOMENTS]),
    "ms": _stamped([m and round(m.timestamp() * 1000) for m in MOMENTS]),
    "us": _stamped([m and round(m.timestamp() * 1e6) for m in MOMENTS]),
    "s": _stamped([m and m.timestamp() for m in MOMENTS]),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["file", "frame"])
def test_a_window_includes_its_start_and_not_its_end(tmp_path, engine, form, kind):
    FORMS[form].write_parquet(tmp_path / "a.parquet")
    source = "a.parquet" if kind == "file" else FORMS[form].to_pandas()
    with open_source(source, base=tmp_path, engine=engine, window=DAY, timestamp="t") as opened:
        assert rows(opened, "i") == [(1,), (2,)]
        assert opened.columns == ("i", "t")
        assert "left out 1 row without a timestamp" in opened.notes
        assert "of 5 rows of what was opened, 1 before and 1 after the window" in opened.notes
        (problem,) = opened.problems
        assert problem.startswith("1 of 5 rows (20.0%) of ")


def test_the_filter_stays_lazy_and_reaches_the_file(tmp_path):
    FORMS["aware"].write_parquet(tmp_path / "a.parquet")
    with open_source("a.parquet", base=tmp_path, window=DAY, timestamp="t") as opened:
        assert isinstance(opened.frame, pl.LazyFrame)
        assert "SELECTION" in opened.frame.explain()


@pytest.mark.parametrize("engine", ENGINES)
def test_dates_and_local_times_are_of_the_zone(engine):
    zone = ZoneInfo("America/New_York")
    window = Window(
        start=datetime(2026, 11, 23, tzinfo=zone), end=datetime(2026, 11, 24, tzinfo=zone)
    )
    at = {"engine": engine, "window": window, "timestamp": "t", "timezone": "America/New_York"}
    days = [date(2026, 11, d) for d in (22, 23, 24)]
    with open_source(_stamped(days), **at) as opened:
        assert rows(opened, "i") == [(1,)]
    naive = [datetime(2026, 11, 23), datetime(2026, 11, 23, 23), datetime(2026, 11, 24)]  # noqa: DTZ001
    for frame in (_stamped(naive), _stamped([m.isoformat(" ", "minutes") for m in naive])):
        with open_source(frame, **at) as opened:
            assert rows(opened, "i") == [(0,), (1,)]
    with open_source(_stamped([str(day) for day in days]), **at) as opened:
        assert rows(opened, "i") == [(1,)]


@pytest.mark.parametrize("text", [False, True])
def test_each_local_time_is_in_one_hour_when_the_clock_goes_back(text):
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 24, 22, tzinfo=UTC)
    local = [datetime(2026, 10, 25, h, m) for h in range(6) for m in (0, 30)]  # noqa: DTZ001
    frame = _stamped([m.isoformat() for m in local] if text else local)
    found = []
    for hour in range(8):
        start = first + timedelta(hours=hour)
        window = Window(start=start, end=start + timedelta(hours=1))
        with open_source(frame, window=window, timestamp="t", timezone="Europe/Berlin") as opened:
            found += [local[i].replace(tzinfo=berlin) for (i,) in rows(opened, "i")]
            assert all(start <= m < window.end for m in found[len(found) - len(rows(opened)) :])
    assert len(found) == len(set(found)) == len(local)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", ["aware", "naive", "iso", "ms", "s"])
def test_rows_of_the_future_are_a_problem_and_those_of_later_windows_are_not(engine, form):
    now = DAY.end + timedelta(days=3)
    later = [DAY.start, DAY.end, now, now + timedelta(minutes=30)]
    shape = {
        "aware": lambda m: m,
        "naive": lambda m: m.replace(tzinfo=None),
        "iso": datetime.isoformat,
        "ms": lambda m: round(m.timestamp() * 1000),
        "s": datetime.timestamp,
    }[form]
    at = {"engine": engine, "window": DAY, "timestamp": "t"}
    with open_source(_stamped(list(map(shape, later))), **at, now=now) as opened:
        assert rows(opened, "i") == [(0,)]
        assert opened.problems == ()
    wrong = [*later, now + timedelta(hours=2), datetime(2031, 1, 1, tzinfo=UTC)]
    with open_source(_stamped(list(map(shape, wrong))), **at, now=now) as opened:
        assert rows(opened, "i") == [(0,)]
        assert "left out 2 rows of the future: a clock is wrong" in opened.notes
        assert "of 6 rows of what was opened, 3 after the window" in opened.notes
        (problem,) = opened.problems
        assert problem.startswith("2 of 6 rows (33.3%) of ")
    # Without a present nothing is of the future, whatever the clock of this machine says.
    with open_source(_stamped(list(map(shape, wrong))), **at) as opened:
        assert opened.problems == ()


@pytest.mark.parametrize("engine", ENGINES)
def test_epochs_that_are_no_numbers_are_no_time(engine):
    times = [DAY.start.timestamp(), float("nan"), float("inf"), None]
    with open_source(_stamped(times), engine=engine, window=DAY, timestamp="t", now=DAY.end) as own:
        assert rows(own, "i") == [(0,)]
        assert [problem[:22] for problem in own.problems] == ["3 of 4 rows (75.0%) of"]


def test_a_database_tells_of_rows_without_a_time(loans):
    with psycopg.connect(loans) as connection:
        connection.execute('UPDATE "Loans; DROP" SET at = NULL WHERE id < 400')
        connection.execute("UPDATE \"Loans; DROP\" SET at = '2031-01-01' WHERE id = 400")
    now = DAY.end + timedelta(days=2)
    at = {"window": DAY, "timestamp": "at", "now": now}
    with open_source("sql:LOANS_DB?table=Loans; DROP", **at) as opened:
        assert len(rows(opened, "id")) == 120_000 - 86_400
        unset, late = opened.problems
        assert unset.startswith("400 of 34,001 rows")
        assert late.startswith("1 of 34,001 rows")


@pytest.mark.parametrize(
    "values", [["yesterday"], [20261123], [0], [1.7e9, 1.7e12], [True], [b"x"], [None], [[1]]]
)
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_no_timestamp_is_refused(values, engine):
    frame = pl.DataFrame({"t": values})
    assert "'t'" in failure(frame, engine=engine, window=DAY, timestamp="t")


def test_an_empty_window_is_no_error(tmp_path):
    _stamped(MOMENTS[:1]).write_parquet(tmp_path / "a.parquet")
    for engine in ENGINES:
        with open_source(
            "a.parquet", base=tmp_path, engine=engine, window=DAY, timestamp="t"
        ) as opened:
            assert rows(opened) == []


# Remote


@pytest.mark.parametrize("engine", ENGINES)
def test_urls_are_read_through_fsspec(tmp_path, engine):
    folder = f"/aims-{uuid4().hex}"
    memory = fsspec.filesystem("memory")
    for day in ("2026-11-22", "2026-11-23"):
        with memory.open(f"{folder}/dt={day}/part[1].parquet", "wb") as out:
            FRAME.write_parquet(out)
    at = {"engine": engine, "window": DAY}
    for source in (
        f"memory:/{folder}/dt={{date}}/*.parquet",
        f"memory:/{folder}/dt={{date}}",
        f"memory:/{folder}/dt={{date}}/part[1].parquet",
    ):
        with open_source(source, **at) as opened:
            assert rows(opened) == expected(FRAME)
            assert opened.files == 1
            assert "copied here once" in opened.notes[0]
    FRAME.write_parquet(tmp_path / "a b.parquet")
    with open_source(f"file://{tmp_path}/a b.parquet", engine=engine) as opened:
        assert rows(opened) == expected(FRAME)
    assert "matches no file" in failure(f"memory:/{folder}/none/*.parquet")


@pytest.fixture
def http(tmp_path):
    """A web server of a folder that refuses `/secret` and knows nothing else."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Handler(SimpleHTTPRequestHandler):
        def send_head(self):
            if self.path.startswith("/secret"):
                return self.send_error(403)
            return super().send_head()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_web_and_its_refusals(tmp_path, http):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"x\n1\n"))
    with open_source(f"http://{http}/a.csv.gz?sig=hunter2hunter2") as opened:
        assert rows(opened) == [(1,)]
        assert opened.uri == f"http://{http}/a.csv.gz"
    message = failure(f"http://ada:hunter2hunter2@{http}/secret.csv?X-Amz-Signature=hunter3hunter")
    assert "refused the credentials" in message
    assert "hunter" not in message
    assert "matches no file" in failure(f"http://{http}/none.csv")


def test_a_driver_that_is_missing_names_its_package():
    for source, package in (("s3://loans/a.parquet", "s3fs"), ("gs://loans/a.csv", "gcsfs")):
        with pytest.raises(SourceError) as caught:
            open_source(source)
        assert package in caught.value.fix
    assert failure("nosuch://loans/a.parquet")


@pytest.fixture
def silent():
    """The address of a listener that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed():
    """An address that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_host_that_never_answers_is_given_up(silent, monkeypatch):
    assert "within 1 s" in failure(f"http://{silent}/a.csv", timeout=1)
    monkeypatch.setenv("LOANS_DB", f"postgresql://ada:hunter22@{silent}/loans")
    message = failure("sql:LOANS_DB?table=loans", timeout=2)
    assert "within 2 s" in message or "cannot be reached" in message
    assert "hunter22" not in message


def test_a_host_that_is_not_there(closed, monkeypatch):
    assert "cannot be reached" in failure(f"http://{closed}/a.csv")
    monkeypatch.setenv("LOANS_DB", f"postgresql://ada:hunter22@{closed}/loans")
    assert "cannot be reached" in failure("sql:LOANS_DB?table=loans")
    monkeypatch.setenv("LOANS_DB", "postgresql://ada:hunter22@nowhere.invalid/loans")
    assert "cannot be reached" in failure("sql:LOANS_DB?table=loans")


# Databases


@pytest.fixture
def loans(postgres_url, monkeypatch):
    """A PostgreSQL table of an own database, its URL in LOANS_DB; gives the URL."""
    name = f"loans_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    url = postgres_url.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(url) as connection:
        connection.execute(
            'CREATE TABLE "Loans; DROP" (id bigint, amount numeric(12,2), rate float8, ok boolean,'
            " grade text, at timestamptz, day date, tags text[], who uuid, extra jsonb)"
        )
        connection.execute(
            'INSERT INTO "Loans; DROP" SELECT i, i * 1.25,'
            " CASE WHEN i % 7 = 0 THEN float8 'NaN' ELSE i END, i % 2 = 0, chr(65 + i % 3),"
            " timestamptz '2026-11-22 00:00Z' + i * interval '1 second',"
            " date '2026-11-22', ARRAY['a'], gen_random_uuid(), '{\"a\": 1}'"
            " FROM generate_series(0, 119999) AS i"
        )
        connection.execute("CREATE SEQUENCE numbers")
    monkeypatch.setenv("LOANS_DB", url)
    return url


@pytest.mark.parametrize("engine", ENGINES)
def test_a_table_of_postgresql(loans, engine):
    with open_source("sql:LOANS_DB?table=Loans; DROP", engine=engine) as opened:
        lazy = nw.from_native(opened.frame).lazy()
        found = lazy.select(
            nw.len().alias("n"),
            nw.col("id").n_unique().alias("ids"),
            nw.col("amount").sum(),
            nw.col("ok").cast(nw.Int64).sum(),
            nw.col("who").n_unique(),
        ).collect("pyarrow")
        row = found.rows()[0][:5]
        assert row == (120_000, 120_000, 1.25 * 119_999 * 60_000, 60_000, 120_000)
        assert opened.uri == "sql:LOANS_DB?table=Loans; DROP"
    with open_source(
        "sql:LOANS_DB?table=public.Loans; DROP", engine=engine, window=DAY, timestamp="at"
    ) as opened:
        assert len(rows(opened, "id")) == 120_000 - 86_400
        assert (
            "the database was asked for the window's rows, not for other windows'" in opened.notes
        )
        assert opened.problems == ()


def test_a_query_of_postgresql_and_its_placeholders(loans):
    query = """sql:LOANS_DB?query=SELECT id, at::date AS d, '50%:x' AS p FROM "Loans; DROP"
               WHERE at >= '{start}' AND at < '{end}' ORDER BY id LIMIT 2"""
    with open_source(query, window=DAY) as opened:
        assert rows(opened) == [
            (86_400, date(2026, 11, 23), "50%:x"),
            (86_401, date(2026, 11, 23), "50%:x"),
        ]


def test_a_database_is_read_and_never_written(loans):
    assert "read-only" in failure("sql:LOANS_DB?query=SELECT nextval('numbers') AS n")
    assert failure('sql:LOANS_DB?query=DELETE FROM "Loans; DROP" RETURNING id')
    assert failure('sql:LOANS_DB?query=DROP TABLE "Loans; DROP"')
    with psycopg.connect(loans) as connection:
        assert connection.execute('SELECT count(*) FROM "Loans; DROP"').fetchone() == (120_000,)


def test_what_a_database_refuses(loans, monkeypatch):
    assert "no table 'Loan; DROP'" in failure("sql:LOANS_DB?table=Loan; DROP")
    assert "column" in failure('sql:LOANS_DB?query=SELECT nope FROM "Loans; DROP"')
    assert "syntax" in failure("sql:LOANS_DB?query=SELEC 1")
    assert "two columns 'a'" in failure("sql:LOANS_DB?query=SELECT 1 AS a, 2 AS a")
    assert "no column 'att'" in failure(
        "sql:LOANS_DB?table=Loans; DROP", window=DAY, timestamp="att"
    )
    monkeypatch.setenv("LOANS_DB", loans.replace("correct-horse", "hunter%402 2"))
    message = failure("sql:LOANS_DB?table=loans")
    assert "refused the credentials" in message
    assert "hunter" not in message
    monkeypatch.setenv("LOANS_DB", "not a url hunter22")
    message = failure("sql:LOANS_DB?table=loans")
    assert "LOANS_DB holds no URL" in message
    assert "hunter" not in message
    monkeypatch.setenv("LOANS_DB", "mysql+nodriver://ada:hunter22@localhost/x")
    assert "hunter" not in failure("sql:LOANS_DB?table=loans")
    monkeypatch.delenv("LOANS_DB")
    assert "LOANS_DB is not set" in failure("sql:LOANS_DB?table=loans")


def test_a_slow_statement_is_cancelled_in_the_database(loans):
    assert "within 1 s" in failure("sql:LOANS_DB?query=SELECT pg_sleep(600) AS x", timeout=1)
    with psycopg.connect(loans) as connection:
        for _ in range(100):
            count = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE state = 'active' AND query LIKE '%pg_sleep(600)%'"
                " AND pid <> pg_backend_pid()"
            ).fetchone()
            if count == (0,):
                break
            connection.execute("SELECT pg_sleep(0.05)")
        assert count == (0,)


def test_credentials_do_not_belong_into_a_declaration():
    for source in (
        "postgresql://ada:hunter22@db/loans?table=t",
        "mysql+pymysql://ada:hunter22@db/loans",
        "sql:postgresql://ada:hunter22@db/loans?table=t",
        "sql:LOANS_DB",
        "sql:LOANS_DB?table=",
        "sql:",
        "sqlite:///x",
    ):
        assert "hunter22" not in failure(source)


def test_sqlite_of_any_types(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as database, database:
        database.execute("CREATE TABLE t (mixed, numbers, text, at)")
        database.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?)",
            [(1, 1, "a", "2026-11-23 01:00:00"), ("x", 2.5, None, "2026-11-22 01:00:00")],
        )
    with open_source("sqlite:///a.db?table=t", base=tmp_path, window=DAY, timestamp="at") as opened:
        assert rows(opened) == [("1", 1.0, "a", "2026-11-23 01:00:00")]
        assert any("'mixed'" in note for note in opened.notes)
    with open_source("sqlite:///a.db?query=SELECT text FROM t WHERE 0", base=tmp_path) as opened:
        assert rows(opened) == []
    assert "no SQLite file" in failure("sqlite:///b.db?table=t", base=tmp_path)
    assert not (tmp_path / "b.db").exists()
    assert failure("sqlite:///a.db?query=DELETE FROM t", base=tmp_path)
    (tmp_path / "c.db").write_text("no database, but long enough to look like one" * 100)
    assert "not a database" in failure("sqlite:///c.db?table=t", base=tmp_path)
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c"
    assert "within 1 s" in failure(f"sqlite:///a.db?query={endless}", base=tmp_path, timeout=1)


# Delta


@pytest.mark.parametrize("engine", ENGINES)
def test_delta_tables(tmp_path, engine):
    import deltalake

    table = FRAME.with_columns(part=pl.lit("p")).to_arrow(compat_level=pl.CompatLevel.oldest())
    deltalake.write_deltalake(str(tmp_path / "d"), table, partition_by=["part"])
    deltalake.write_deltalake(str(tmp_path / "d"), table, mode="append")
    deltalake.DeltaTable(str(tmp_path / "d")).delete("n = 4")
    with open_source("delta:d", base=tmp_path, engine=engine) as opened:
        kept = FRAME.filter(pl.col("n").ne_missing(4))
        assert rows(opened, "n", "s", "b") == expected(pl.concat([kept] * 2), "n", "s", "b")
        assert "version 2 of the Delta table" in opened.notes
        assert "part" in opened.columns
    assert failure("delta:none", base=tmp_path)


# Frames and datasets


def _frames():
    import duckdb

    table = FRAME.to_arrow(compat_level=pl.CompatLevel.oldest())
    yield FRAME
    yield FRAME.lazy()
    yield nw.from_native(FRAME)
    yield table
    yield table.to_pandas(types_mapper=pd.ArrowDtype)
    yield FRAME.to_pandas()
    yield duckdb.connect().from_arrow(table)


@pytest.mark.parametrize("engine", ENGINES)
def test_frames_in_memory_go_to_any_engine(engine):
    kinds = {"polars": pl.LazyFrame, "pandas": pd.DataFrame, "pyarrow": pa.Table}
    for frame in _frames():
        with open_source(frame, engine=engine) as opened:
            assert isinstance(opened.frame, kinds.get(engine, object))
            assert "in memory" in opened.uri
            found = rows(opened, "s", "b", "t")
            assert found == expected(FRAME, "s", "b", "t")


def test_an_odd_pandas_frame():
    frame = pd.DataFrame({1: [1, "x", None], "y": [1.0, 2.0, float("nan")]}, index=[5, 5, 9])
    with open_source(frame) as opened:
        assert rows(opened) == [("1", 1.0), ("x", 2.0), (None, None)]
        assert "'1' holds values of several types" in opened.notes[0]
    assert failure(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    assert failure(pd.DataFrame())


@pytest.mark.parametrize("engine", ENGINES)
def test_datasets_of_mlflow(tmp_path, engine):
    import mlflow.data
    from mlflow.data.dataset_source_registry import resolve_dataset_source

    FRAME.write_parquet(tmp_path / "a.parquet")
    frame = FRAME.drop("b").to_pandas()
    held = mlflow.data.from_pandas(frame, name="loans")
    place = resolve_dataset_source(str(tmp_path / "a.parquet"))
    named = mlflow.data.meta_dataset.MetaDataset(place, name="loans")
    for dataset in (held, named):
        with open_source(dataset, engine=engine) as opened:
            assert opened.uri == "dataset loans"
            assert len(rows(opened)) == 4


@pytest.mark.parametrize("source", [1, None, object(), b"a.csv", ["a.csv"], {"a": 1}, string])
def test_a_source_that_is_none(source):
    assert failure(source)


def test_a_path_object_is_a_source(tmp_path):
    FRAME.write_parquet(tmp_path / "a.parquet")
    with open_source(Path("a.parquet"), base=tmp_path) as opened:
        assert opened.uri == "a.parquet"


@given(st.text(max_size=30))
@settings(max_examples=50)
def test_any_text_is_opened_or_refused(text):
    with contextlib.suppress(AimsError), open_source(f"nowhere/{text}"):
        pass


def test_spark_that_cannot_start_says_why(tmp_path, closed, monkeypatch):
    pytest.importorskip("pyspark")
    FRAME.write_parquet(tmp_path / "a.parquet")
    at = {"base": tmp_path, "engine": "spark"}
    monkeypatch.setenv("SPARK_MASTER", f"spark://{closed}")
    assert f"spark://{closed} cannot be reached" in failure("a.parquet", **at)
    assert "no Spark master" in failure("a.parquet", master="spark://here", **at)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert "needs Java" in failure("a.parquet", **at)


def test_nothing_heavy_is_imported_with_the_module():
    import subprocess
    import sys

    code = (
        "import sys, aims_mlflow.monitors.sources, aims_mlflow.monitors.source_opening;"
        "import aims_mlflow.monitors.spark;"
        "print({'pandas','numpy','polars','narwhals','duckdb','pyspark','sqlalchemy','fsspec'}"
        " & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
