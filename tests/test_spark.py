"""Spark counts what Polars counts: on a real cluster of a master and two workers."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from aims_mlflow.errors import SourceError
from aims_mlflow.governance.system import SensitiveFeature
from aims_mlflow.monitored import Window
from aims_mlflow.monitors import spark
from aims_mlflow.monitors.counted import count_evaluation
from aims_mlflow.monitors.sources import open_source
from aims_mlflow.monitors.summarise import summarise

sys.path.insert(0, str(Path(__file__).parent))
from spark_cluster import spark_cluster

# Executors start slowly where other tests have the processors.
pytestmark = pytest.mark.timeout(900)
N = 5_000
START = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def cluster():
    """The master; its session is kept between the tests, as that of one runner would be."""
    with spark_cluster() as master, ExitStack() as held:
        session = spark.session(master, held)
        yield master
        held.close()
        assert type(session).getActiveSession() is None


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Parquet of two files, with NaN and nulls in every type of column that can hold them."""
    random = np.random.default_rng(0)
    holes = pl.Series(random.random(N) < 0.05)
    frame = pl.DataFrame(
        {
            "normal": random.normal(50, 10, N),
            "heavy": random.standard_t(2.5, N) * 1e3,
            "far": 1e9 + random.normal(0, 1, N),
            "few": random.integers(0, 7, N),
            "count": random.poisson(400, N),
            "flag": random.random(N) < 0.3,
            "grade": random.choice(["a", "b", "ß", ""], N),
            "sex": random.choice(["f", "m"], N),
            "y": random.integers(0, 2, N),
            "at": [START + timedelta(seconds=36 * i) for i in range(N)],
        }
    )
    kept = pl.exclude("at", "y")
    frame = frame.with_columns(pl.when(~holes.shuffle(seed=1)).then(kept).name.keep())
    # NaN and null in the same columns, on different rows.
    floats = pl.col("normal", "heavy")
    frame = frame.with_columns(
        pl.when(holes.shuffle(seed=2)).then(float("nan")).otherwise(floats).name.keep(),
        guess=pl.when(pl.Series(random.random(N) < 0.8))
        .then(pl.col("y"))
        .otherwise(1 - pl.col("y")),
    )
    folder = tmp_path_factory.mktemp("spark")
    frame.head(N // 3).write_parquet(folder / "a[1].parquet")
    frame.tail(N - N // 3).write_parquet(folder / "b.parquet")
    return folder


def rows(opened, *columns):
    return sorted(tuple(row) for row in opened.frame.select(*columns).collect())


def test_summaries_are_equal_to_the_last_count(cluster, data):
    with open_source("*.parquet", base=data) as local:
        expected = summarise(local.frame)
    with open_source("*.parquet", base=data, engine="spark", master=cluster) as opened:
        context = opened.frame.sparkSession.sparkContext
        assert context.master == cluster
        assert (opened.engine, opened.files, opened.notes) == ("spark", 2, ())
        found = summarise(opened.frame, like=expected)
        # The driver and one executor of each worker.
        assert context._jsc.sc().getExecutorMemoryStatus().size() == 3
    with open_source("*.parquet", base=data) as local:
        again = summarise(local.frame, like=expected)
    for mine, theirs in zip(found.columns, again.columns, strict=True):
        rounded = {"dtype": True, "mean": True, "std": True, "bins": {"sums"}}
        assert mine.model_dump(exclude=rounded) == theirs.model_dump(exclude=rounded)
        # Sums are of the same numbers in another order.
        if mine.mean is not None:
            assert (mine.mean, mine.std) == pytest.approx((theirs.mean, theirs.std), rel=1e-12)
        if mine.bins is not None:
            assert mine.bins.sums == pytest.approx(theirs.bins.sums, rel=1e-12)
    assert found.digest() == again.digest()


def test_evaluations_are_equal(cluster, data):
    asked = {"target": "y", "prediction": "guess", "declared": [SensitiveFeature(name="sex")]}
    with open_source("*.parquet", base=data) as local:
        expected = count_evaluation(local.frame, **asked)
    with open_source("*.parquet", base=data, engine="spark", master=cluster) as opened:
        found = count_evaluation(opened.frame, **asked)
    assert found == expected


@pytest.mark.parametrize(
    "form", ["times", "naive", "iso", "offset", "basic", "local", "epoch", "date"]
)
def test_a_window_has_the_same_rows(cluster, data, form, tmp_path):
    at = pl.col("at")
    forms = {
        "times": at,
        "naive": at.dt.convert_time_zone("Asia/Kolkata").dt.replace_time_zone(None),
        "iso": at.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        "offset": at.dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m-%d %H:%M:%S%:z"),
        "basic": at.dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "local": at.dt.convert_time_zone("Asia/Kolkata").dt.strftime("%Y-%m-%d %H:%M"),
        "epoch": at.dt.epoch("ms"),
        "date": at.dt.date(),
    }
    frame = pl.read_parquet(data / "b.parquet").select("far", at=forms[form]).with_row_index("i")
    holes = pl.when(pl.col("i") % 50 != 0).then("at").alias("at")
    frame.with_columns(holes).write_parquet(tmp_path / "c.parquet")
    window = Window(start=START + timedelta(hours=3), end=START + timedelta(hours=30))
    asked = {"base": tmp_path, "window": window, "timestamp": "at", "timezone": "Asia/Kolkata"}
    with open_source("c.parquet", **asked) as local:
        expected = sorted(local.frame.select("i").collect().rows())
    with open_source("c.parquet", engine="spark", master=cluster, **asked) as opened:
        assert rows(opened, "i") == expected
        assert opened.notes == local.notes
        assert "without a timestamp" in opened.notes[0]
    assert 0 < len(expected) < frame.height


def test_every_other_source_comes_to_spark(cluster, tmp_path):
    at = {"base": tmp_path, "engine": "spark", "master": cluster}
    frame = pl.DataFrame({"x": [1, None, 3], "s": ["a", "ß", None]})
    wanted = [(1, "a"), (3, None), (None, "ß")]
    frame.write_csv(tmp_path / "a.csv")
    frame.write_ndjson(tmp_path / "a.jsonl")
    with closing(sqlite3.connect(tmp_path / "a.db")) as database, database:
        database.execute("CREATE TABLE t (x, s)")
        database.executemany("INSERT INTO t VALUES (?, ?)", frame.rows())
    for source in ("a.csv", "a.jsonl", "sqlite:///a.db?table=t", frame, frame.to_pandas()):
        with open_source(source, **at) as opened:
            found = opened.frame.collect()
            assert sorted(map(tuple, found), key=repr) == wanted, source
    with ExitStack() as held:
        native = spark.session(cluster, held).createDataFrame([(1,)], "x int")
    with open_source(native) as opened:
        assert opened.engine == "spark"
        assert "where the frame lives" in opened.notes[0]
        assert rows(opened, "x") == [(1,)]


def test_files_of_different_types_come_together(cluster, tmp_path):
    pl.DataFrame({"x": [1], "y": [None]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"y": ["b"], "x": [0.5]}).write_parquet(tmp_path / "b.parquet")
    at = {"base": tmp_path, "engine": "spark", "master": cluster}
    with open_source("*.parquet", **at) as opened:
        assert rows(opened, "x", "y") == [(0.5, "b"), (1.0, None)]
    pl.DataFrame({"y": [1], "x": [0.5]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(SourceError, match=r"b\.parquet.*c\.parquet"):
        open_source("*.parquet", **at)


@pytest.mark.parametrize("name", ["a{b,c}.parquet", "a*.parquet", "a b\\?.parquet", "ß%20.parquet"])
def test_hostile_names_are_only_names(cluster, tmp_path, name):
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / name)
    pl.DataFrame({"x": [2]}).write_parquet(tmp_path / "ab.parquet")
    with open_source(name, base=tmp_path, engine="spark", master=cluster) as opened:
        assert rows(opened, "x") == [(1,)]


def test_what_spark_cannot_do_is_said(cluster, tmp_path):
    at = {"base": tmp_path, "engine": "spark"}
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(SourceError) as caught:
        open_source("a.parquet", master="local[1]", **at)
    assert cluster in caught.value.message
    for source in ("delta:table", "s3a://loans/a.parquet"):
        with pytest.raises(SourceError) as caught:
            open_source(source, master=cluster, **at)
        assert "package" in caught.value.fix, source
    with pytest.raises(SourceError, match="matches no file"):
        open_source("none.parquet", master=cluster, **at)
