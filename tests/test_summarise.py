"""Any data of any engine give the same counts, in as few passes as they need."""

from __future__ import annotations

import datetime as dt
import importlib.util
import math
import os
import shutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.errors import MonitorError, SourceError
from aims_mlflow.governance.monitoring import Expectation
from aims_mlflow.monitors import summarise as module
from aims_mlflow.monitors.summaries import (
    FEW_VALUES,
    MAX_CATEGORIES,
    ColumnSummary,
    DataSummary,
)
from aims_mlflow.monitors.summarise import count_in_bins, summarise
from aims_mlflow.monitors.suppression import suppress

ROWS = 3_000
DAY = dt.datetime.fromisoformat("2026-03-01T12:30:00")


def hostile() -> pa.Table:
    """Columns of every type, with NaN and nulls in each that can have them."""
    rng = np.random.default_rng(4)

    def holes(values: Any, kind: pa.DataType | None = None) -> pa.Array:
        return pa.array(values, kind, mask=rng.random(ROWS) < 0.1)

    nan = rng.normal(1e9, 1, ROWS)
    nan[rng.random(ROWS) < 0.2] = math.nan
    infinite = rng.standard_t(2, ROWS)
    infinite[:5] = [math.inf, -math.inf, math.inf, math.nan, 0.0]
    days = [DAY + dt.timedelta(hours=int(hour)) for hour in rng.integers(0, 1000, ROWS)]
    kinds = [f"kind {i}" for i in rng.integers(0, 7, ROWS)]
    return pa.table(
        {
            "far": holes(nan),
            "infinite": holes(infinite),
            "single": holes(rng.normal(size=ROWS).astype("float32")),
            "skewed": holes(rng.lognormal(0, 2, ROWS)),
            "zeros": holes(np.where(rng.random(ROWS) < 0.9, -0.0, rng.exponential(1, ROWS))),
            "few": holes(rng.choice([0.1, 0.2, 0.30000000000000004, 0.3], ROWS)),
            "count": holes(rng.poisson(300, ROWS)),
            "small": holes(rng.integers(-3, 3, ROWS).astype("int8")),
            "large": holes(rng.integers(0, 2**63, ROWS, dtype="uint64") * np.uint64(2)),
            "flag": holes(rng.random(ROWS) < 0.3),
            "kind": holes(kinds),
            "zone": holes(days, pa.timestamp("us", "UTC")),
            "time": holes(days, pa.timestamp("us")),
            "constant": pa.array([7.25] * ROWS),
            "nothing": pa.array([None] * ROWS, pa.float64()),
        }
    )


def lazily(folder: Path) -> pl.LazyFrame:
    pq.write_table(hostile(), folder / "hostile.parquet")
    return pl.scan_parquet(folder / "hostile.parquet")


def duck_parquet(folder: Path) -> duckdb.DuckDBPyRelation:
    pq.write_table(hostile(), folder / "duck.parquet")
    return duckdb.connect().read_parquet(str(folder / "duck.parquet"))


ENGINES: dict[str, Callable[[Path], Any]] = {
    "polars lazy": lazily,
    "pandas nullable": lambda _: hostile().to_pandas(types_mapper=nullable),
    "pandas arrow": lambda _: hostile().to_pandas(types_mapper=pd.ArrowDtype),
    "pyarrow": lambda _: hostile(),
    "duckdb": lambda _: duckdb.connect().from_arrow(hostile()),
    "duckdb parquet": duck_parquet,
    "narwhals": lambda _: nw.from_native(hostile()),
}


def nullable(kind: pa.DataType) -> Any:
    return {
        pa.float64(): pd.Float64Dtype(),
        pa.float32(): pd.Float32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.int8(): pd.Int8Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }.get(kind)


@pytest.fixture(scope="module")
def expected() -> DataSummary:
    return summarise(pl.from_arrow(hostile()), duplicates=True)


def column(summary: DataSummary, name: str) -> ColumnSummary:
    found = summary.column(name)
    assert found is not None
    return found


def assert_same(one: DataSummary, other: DataSummary) -> None:
    for left, right in zip(one.columns, other.columns, strict=True):
        assert left.model_dump(exclude={"dtype", "mean", "std", "bins"}) == right.model_dump(
            exclude={"dtype", "mean", "std", "bins"}
        )
        for value, same in ((left.mean, right.mean), (left.std, right.std)):
            assert value == (same if same is None else pytest.approx(same, rel=1e-9))
        if left.bins is not None and right.bins is not None:
            assert left.bins.counts == right.bins.counts
            assert left.bins.sums == pytest.approx(right.bins.sums, rel=1e-9)
    assert one.digest() == other.digest()


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_counts_the_same(engine: str, expected: DataSummary, tmp_path: Path) -> None:
    found = summarise(ENGINES[engine](tmp_path), duplicates=True)
    assert_same(found, expected)
    assert found.duplicates == expected.duplicates


def test_numpy_columns_of_pandas_count_the_same(expected: DataSummary) -> None:
    frame = hostile().to_pandas()
    found = summarise(frame, duplicates=True)
    # pandas makes floats of integers, once one is missing.
    families = {c.name: c.family for c in found.columns}
    assert families["count"] == families["small"] == "float"
    same = expected.model_copy(
        update={
            "columns": tuple(
                c.model_copy(update={"family": families[c.name]}) for c in expected.columns
            )
        }
    )
    assert_same(found, same)
    assert list(frame.columns) == hostile().column_names


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    missing = (
        "pyspark" if importlib.util.find_spec("pyspark") is None else
        "Java" if shutil.which("java") is None else None
    )  # fmt: skip
    if missing is not None:
        if os.environ.get("CI"):
            pytest.fail(f"{missing} is not installed")
        pytest.skip(f"{missing} is not installed")
    from pyspark.sql import SparkSession

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    yield session
    session.stop()


def test_spark_counts_the_same(spark: Any, tmp_path: Path) -> None:
    # Spark has no unsigned integers.
    table = hostile().drop_columns(["large"])
    pq.write_table(table, tmp_path / "hostile.parquet")
    found = summarise(spark.read.parquet(str(tmp_path / "hostile.parquet")), duplicates=True)
    assert_same(found, summarise(table, duplicates=True))
    assert found.engine == "pyspark"
    assert count_in_bins(spark.read.parquet(str(tmp_path / "hostile.parquet")), "skewed", [0, 1, 9])


def test_what_is_counted_is_what_numpy_counts(expected: DataSummary) -> None:
    for name in ("far", "infinite", "single", "skewed", "zeros", "count"):
        values = hostile()[name].to_pandas().to_numpy(dtype=float, na_value=math.nan)
        finite = values[np.isfinite(values)]
        found = column(expected, name)
        assert found.missing == np.isnan(values).sum()
        assert found.infinite == np.isinf(values).sum()
        assert found.present - found.infinite == len(finite)
        assert (found.minimum, found.maximum) == (finite.min(), finite.max())
        assert found.mean == pytest.approx(finite.mean(), rel=1e-12)
        assert found.std == pytest.approx(finite.std(), rel=1e-5)
        assert sum(found.bins.counts) == len(finite) if found.bins else found.values
    assert column(expected, "few").values is not None
    assert [value for value, _ in column(expected, "few").values or ()] == [
        0.1, 0.2, 0.3, 0.30000000000000004,
    ]  # fmt: skip
    assert column(expected, "constant").values == ((7.25, ROWS),)
    assert column(expected, "nothing").missing == ROWS
    flags = hostile()["flag"].to_pandas().dropna()
    assert dict(column(expected, "flag").values or ())[True] == int(flags.sum())
    assert column(expected, "time").maximum == column(expected, "time").maximum
    assert "large: integers beyond 2^53" in " ".join(expected.notes)


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.floats(width=64),
            st.floats(-1e3, 1e3),
            st.sampled_from([0.0, -0.0, 1.0, 1e300, -1e300, 5e-324, 1e9, 1e9 + 1e-6]),
            st.none(),
        ),
        max_size=150,
    )
)
def test_any_floats_are_counted_or_said_not_to_be(values: list[float | None]) -> None:
    found = summarise(pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)})).columns[0]
    present = [value for value in values if value is not None and not math.isnan(value)]
    finite = np.array([value for value in present if math.isfinite(value)])
    assert found.n == len(values)
    assert found.present == len(present)
    assert found.infinite == len(present) - len(finite)
    if not len(finite):
        assert found.values == ()
        return
    assert (found.minimum, found.maximum) == (finite.min(), finite.max())
    if found.uncounted:
        assert np.abs(finite).max() > 1e290 or np.ptp(finite) > 1e100
        return
    if found.values is not None:
        distinct, counts = np.unique(finite, return_counts=True)
        assert [value for value, _ in found.values] == list(distinct)
        assert [count for _, count in found.values] == list(counts)
        return
    assert found.bins is not None
    assert sum(found.bins.counts) == len(finite)
    spread = float(np.ptp(finite))
    assert math.fsum(found.bins.sums) == pytest.approx(math.fsum(finite), abs=1e-9 * spread)
    for first, last, count, total in zip(
        found.bins.first, found.bins.last, found.bins.counts, found.bins.sums, strict=True
    ):
        low, high = found.bins.edge(first), found.bins.edge(last + 1)
        slack = 1e-9 * max(abs(low), abs(high), found.bins.scale)
        assert low - slack <= total / count <= high + slack


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(size=n),
    "heavy tails": lambda rng, n: rng.standard_t(2.5, n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "far from zero": lambda rng, n: rng.normal(1e9, 1, n),
    "two peaks": lambda rng, n: np.where(
        rng.random(n) < 0.5, rng.normal(0, 1, n), rng.normal(40, 3, n)
    ),
    "sorted": lambda rng, n: np.sort(rng.normal(size=n)),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.97, 0, rng.exponential(size=n)),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distances_from_bins_are_those_of_the_rows(name: str) -> None:
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(1)
    before = DISTRIBUTIONS[name](rng, 60_000)
    after = DISTRIBUTIONS[name](rng, 40_000) * 1.02
    reference = summarise(pl.DataFrame({"x": before}))
    current = summarise(pl.DataFrame({"x": after}), like=reference)
    one, other = reference.columns[0], current.columns[0]
    assert one.bins is not None and other.bins is not None
    assert (one.bins.centre, one.bins.scale) == (other.bins.centre, other.bins.scale)
    points = [
        (np.array(bins.sums) / np.array(bins.counts), np.array(bins.counts))
        for bins in (one.bins, other.bins)
    ]
    found = wasserstein_distance(points[0][0], points[1][0], points[0][1], points[1][1])
    truth = wasserstein_distance(before, after)
    assert found / before.std() == pytest.approx(truth / before.std(), abs=2e-4)
    assert one.std == pytest.approx(before.std(), rel=1e-5)
    assert one.mean == pytest.approx(before.mean(), rel=1e-12, abs=1e-12)


def test_a_first_part_that_misleads_costs_a_pass_and_no_accuracy() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([np.full(module.SAMPLE, 5.0), rng.normal(1e6, 100, 50_000)])
    found = summarise(pl.DataFrame({"late": values}))
    assert any(
        scan.startswith("again late: the sample was unlike the rest") for scan in found.scans
    )
    (late,) = found.columns
    assert late.bins is not None
    assert late.std == pytest.approx(values.std(), rel=1e-6)
    means = np.array(late.bins.sums) / np.array(late.bins.counts)
    assert (np.abs(means - 1e6) < 100).sum() >= 3


def test_few_values_may_be_rare() -> None:
    values = np.repeat([0.0, 1.0], module.SAMPLE)
    rare = [3.0, 17.5]
    (found,) = summarise(pl.DataFrame({"x": [*values, *rare]})).columns
    counts = ((0.0, module.SAMPLE), (1.0, module.SAMPLE), (3.0, 1), (17.5, 1))
    assert found.values == counts


def test_the_sample_may_have_few_values_and_the_data_many() -> None:
    values = [*np.zeros(module.SAMPLE), *np.arange(1, 1_001) / 7]
    (found,) = summarise(pl.DataFrame({"x": values})).columns
    assert found.values is None and found.bins is not None
    assert sum(found.bins.counts) == len(values)


@pytest.mark.parametrize("n", [1, FEW_VALUES, FEW_VALUES + 1])
def test_numbers_are_counted_one_by_one_up_to_a_limit(n: int) -> None:
    (found,) = summarise(pl.DataFrame({"x": list(range(n))})).columns
    assert (found.values is not None) == (n <= FEW_VALUES)
    assert found.distinct == n


def test_data_without_rows_or_columns() -> None:
    empty = summarise(hostile().slice(0, 0), duplicates=True)
    assert empty.n == empty.duplicates == 0
    for found in empty.columns:
        assert found.n == found.missing == 0
        assert found.values == () or found.uncounted
    assert summarise(pl.DataFrame()).n == 0
    assert summarise(pd.DataFrame(index=range(3))).columns == ()


def test_texts_of_too_many_kinds_are_said_not_to_be_counted() -> None:
    n = 2 * MAX_CATEGORIES
    frame = pl.DataFrame(
        {
            "id": [f"{i:08d}" for i in range(n)],
            "late": ["same"] * (n // 2) + [f"late {i}" for i in range(n // 2)],
            "limit": [f"value {i % MAX_CATEGORIES}" for i in range(n)],
            "essay": ["a word " * 200] * n,
            "gone": [None, "x"] * (n // 2),
        }
    )
    found = summarise(frame, expect={"id": Expectation(categories=("00000007",))})
    identifier = column(found, "id")
    assert identifier.values is None and identifier.uncounted.startswith("more than 10,000")
    assert identifier.outside == n - 1
    assert column(found, "late").uncounted
    assert len(column(found, "limit").values or ()) == MAX_CATEGORIES
    assert column(found, "essay").uncounted.startswith("free text")
    assert column(found, "gone").missing == n // 2


def test_identifiers_are_given_up_after_a_part_of_the_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from aims_mlflow.monitors import engines

    monkeypatch.setattr(engines, "_SLICE", 6_000)
    n = 30_000
    pl.DataFrame(
        {
            "id": [f"{i}" for i in range(n)],
            "many": [None if i % 10 == 0 else f"{i % 2_000}" for i in range(n)],
        }
    ).write_parquet(tmp_path / "ids.parquet")
    lazy = pl.scan_parquet(tmp_path / "ids.parquet")
    found = summarise(lazy)
    assert column(found, "id").uncounted and column(found, "id").missing == 0
    assert column(found, "many").missing == n // 10
    many = dict(column(found, "many").values or ())
    assert len(many) == 1_800 and many["1"] == n // 2_000
    assert found.digest() == summarise(lazy.collect().to_arrow()).digest()


def test_long_and_broken_texts_are_bounded() -> None:
    frame = pd.DataFrame({"x": ["a" * 100_000, "a" * 100_001, "b", "b", "b"] + ["c"] * 5_000})
    (found,) = summarise(frame).columns
    assert found.values is not None and found.distinct == 4
    assert max(len(str(value)) for value, _ in found.values) <= 200
    assert sum(count for _, count in found.values) == len(frame)


def test_types_without_a_count_are_named() -> None:
    frame = pl.DataFrame(
        {
            "list": [[1], [2, 3], None],
            "struct": [{"a": 1}, {"a": 2}, None],
            "binary": [b"a", b"b", None],
            "took": [dt.timedelta(1), dt.timedelta(2), None],
            "price": [Decimal("1.10"), Decimal("2.20"), None],
            "null": pl.Series([None, None, None], dtype=pl.Null),
            "enum": pl.Series(["a", "b", None], dtype=pl.Enum(["a", "b"])),
            "category": pl.Series(["a", "a", None], dtype=pl.Categorical),
        }
    )
    found = summarise(frame, duplicates=True)
    for name in ("list", "struct", "binary", "took"):
        assert column(found, name).uncounted.startswith("values of this type")
        assert column(found, name).missing == 1
    assert column(found, "null").uncounted == "no value"
    assert column(found, "price").values == ((1.1, 1), (2.2, 1))
    assert any(note.startswith("price: decimals") for note in found.notes)
    assert column(found, "enum").values == (("a", 1), ("b", 1))
    assert column(found, "category").values == (("a", 2),)
    assert found.duplicates == 0


def test_python_objects_of_pandas_are_typed_by_their_values() -> None:
    frame = pd.DataFrame(
        {
            "flag": pd.Series([True, None, False], dtype=object),
            "date": pd.Series([dt.date(2026, 1, 1), None, dt.date(2026, 1, 3)], dtype=object),
            "mixed": pd.Series([1, "a", None], dtype=object),
            7: [1.0, 2.0, 3.0],
        }
    )
    found = summarise(frame)
    assert column(found, "flag").values == ((False, 1), (True, 1))
    assert column(found, "date").minimum == 1767225600.0
    assert column(found, "mixed").uncounted == "values of this type are not counted"
    assert column(found, "mixed").dtype == "Object"
    assert column(found, "7").mean == 2.0
    assert frame.columns.tolist() == ["flag", "date", "mixed", 7]


def test_what_is_not_expected_is_counted() -> None:
    frame = pl.DataFrame(
        {
            "age": [17.0, 18.0, 99.0, 100.0, math.nan, None, math.inf],
            "code": [1, 2, 3, 4, 5, None, 1],
            "kind": ["a", "b", "c", None, "a", "a", "a"],
            "flag": [True, False, None, True, True, True, True],
            "when": [DAY] * 7,
        }
    )
    found = summarise(
        frame,
        expect={
            "age": Expectation.model_validate({"range": {"min": 18, "max": 99}}),
            "code": Expectation(categories=(1, "2", "no number")),
            "kind": Expectation(categories=("a", "b")),
            "flag": Expectation(categories=(True,)),
            "when": Expectation.model_validate({"range": {"min": 0}}),
            "absent": Expectation(categories=(1,)),
        },
    )
    outside = {c.name: c.outside for c in found.columns}
    assert outside == {"age": 3, "code": 3, "kind": 1, "flag": 1, "when": None}
    assert any(note.startswith("when: what is expected") for note in found.notes)


def test_repeated_rows_are_counted_once_each() -> None:
    frame = pl.DataFrame(
        {"x": [1.0, math.nan, None, 1.0, None, 0.0, -0.0], "s": ["a", "b", "b", "a", "b", "", ""]}
    )
    for native in (frame, frame.to_arrow(), duckdb.connect().from_arrow(frame.to_arrow())):
        assert summarise(native, duplicates=True).duplicates == 4
    assert summarise(frame).duplicates is None
    scans = summarise(frame, duplicates=True).scans
    assert scans[-1] == "all columns: rows that repeat an earlier one"


def test_numbers_at_the_ends_of_what_a_float_holds() -> None:
    largest = 1.7976931348623157e308
    frame = pl.DataFrame(
        {
            "largest": [largest, -largest, 1.0] * 20,
            "smallest": [5e-324 * i for i in range(60)],
            "scales": [10.0 ** (5 * i - 150) for i in range(60)],
            "apart": [*(1e-300 * i for i in range(59)), 1e300],
        }
    )
    found = summarise(frame)
    assert column(found, "largest").values == ((-largest, 20), (1.0, 20), (largest, 20))
    assert column(found, "smallest").maximum == 59 * 5e-324
    assert column(found, "scales").bins is not None
    apart = column(found, "apart")
    assert apart.maximum == 1e300
    assert apart.uncounted or apart.bins is not None
    assert DataSummary.model_validate_json(found.model_dump_json()).digest() == found.digest()


def test_bins_of_given_edges_are_those_of_numpy(tmp_path: Path) -> None:
    values = hostile()["infinite"].to_pandas().to_numpy()
    finite = values[np.isfinite(values)]
    edges = np.histogram_bin_edges(finite, "sturges")
    expected, _ = np.histogram(finite, edges)
    for engine in ENGINES.values():
        assert count_in_bins(engine(tmp_path), "infinite", list(edges)) == list(expected)
    assert count_in_bins(hostile(), "small", [-3, 0, 2]) == [
        sum(-3 <= v < 0 for v in hostile()["small"].to_pylist() if v is not None),
        sum(0 <= v <= 2 for v in hostile()["small"].to_pylist() if v is not None),
    ]
    assert count_in_bins(hostile().slice(0, 0), "far", [0, 1]) == [0]


def test_what_cannot_be_counted_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="no data frame"):
        summarise({"x": [1, 2]})
    with pytest.raises(MonitorError, match="no column 'fra'"):
        summarise(hostile(), columns=["fra"])
    with pytest.raises(MonitorError) as error:
        summarise(hostile(), columns=["zeroes"])
    assert "zeros" in error.value.fix
    with pytest.raises(MonitorError, match="named x"):
        summarise(pd.DataFrame([[1, 2]], columns=["x", "x"]))
    with pytest.raises(MonitorError, match="holds no numbers"):
        count_in_bins(hostile(), "kind", [0, 1])
    for edges in ([1.0], [1.0, 1.0], [0.0, math.nan], [0.0, math.inf], [-math.inf, 0.0]):
        with pytest.raises(MonitorError, match="make no bins"):
            count_in_bins(hostile(), "far", edges)
    lazy = lazily(tmp_path)
    whole = (tmp_path / "hostile.parquet").read_bytes()
    (tmp_path / "hostile.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError):
        summarise(lazy)


def test_a_column_that_cannot_be_read_leaves_the_others_alone(tmp_path: Path) -> None:
    # Uncompressed, and large enough that the damage is within one column.
    table = pa.table({"good": np.arange(50_000.0), "bad": np.arange(50_000.0)[::-1]})
    path = tmp_path / "damaged.parquet"
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    chunk = pq.read_metadata(path).row_group(0).column(1)
    damaged = bytearray(path.read_bytes())
    start = chunk.data_page_offset
    damaged[start + 40 : start + 4_000] = bytes(3_960)
    path.write_bytes(bytes(damaged))
    found = summarise(pl.scan_parquet(path))
    assert column(found, "good").bins is not None
    assert column(found, "bad").uncounted.startswith("could not be read")


def test_only_the_columns_asked_for_are_counted_and_roles_are_kept() -> None:
    found = summarise(
        hostile(), columns=["kind", "far", "kind"], roles={"target": "kind", "prediction": "far"}
    )
    assert [c.name for c in found.columns] == ["kind", "far"]
    assert found.roles == {"target": "kind", "prediction": "far"}


def test_one_pass_is_enough_as_a_rule(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"x": rng.normal(size=50_000), "n": rng.integers(0, 9, 50_000)})
    assert summarise(frame).scans == (
        "all rows: how many there are, extremes of times",
        "first 10,000 rows: where bins should lie",
        "each of 2 columns: counts, sums, extremes",
    )


MAGNITUDES = st.builds(
    lambda digits, power, sign: sign * digits * 10.0**power,
    st.floats(1, 10),
    st.integers(-300, 299),
    st.sampled_from([-1, 1]),
)


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame, pa.table])
@settings(max_examples=30, deadline=None)
@given(
    numbers=st.lists(MAGNITUDES, min_size=1, max_size=80),
    close=st.lists(st.integers(0, 9), max_size=30),
    integers=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=80),
)
def test_numbers_of_all_magnitudes_leave_other_columns_alone(
    kind: Any, numbers: list[float], close: list[int], integers: list[int]
) -> None:
    usual = [i / 7 for i in range(200)]
    reference = summarise(kind({"x": usual, "whole": list(range(200)), "ok": usual}))
    # Values of one bin far away are what was squared.
    numbers = [*numbers, *(numbers[0] * (1 + 3e-4 * i) for i in close), *usual][:200]
    integers = [*integers, *range(200)][:200]
    frame = kind({"x": numbers, "whole": integers, "ok": usual})
    for like in (None, reference):
        counted = summarise(frame, like=like)
        assert column(counted, "ok").bins == column(reference, "ok").bins
        assert not column(counted, "ok").uncounted
        for name, values in (("x", numbers), ("whole", integers)):
            one = column(counted, name)
            assert (one.minimum, one.maximum) == (float(min(values)), float(max(values)))
            assert one.values is not None or one.bins is not None or one.uncounted
            if one.bins is not None:
                assert sum(one.bins.counts) == len(values)
        kept = suppress(counted)
        assert column(kept, "ok") == column(suppress(reference), "ok")
        assert DataSummary.model_validate_json(kept.model_dump_json()).digest() == kept.digest()


def test_numbers_beyond_what_can_be_counted_cost_their_own_column_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = module.NumberColumn.take

    def overflowing(counter: Any, found: Any) -> str | None:
        if counter.name == "x":
            raise OverflowError("too large")
        return take(counter, found)

    monkeypatch.setattr(module.NumberColumn, "take", overflowing)
    found = summarise(pl.DataFrame({"x": [1.0, 2.0], "ok": [3.0, 4.0]}))
    assert column(found, "x").uncounted == (
        "could not be read: its numbers are beyond what can be counted (too large)"
    )
    assert column(found, "ok").values == ((3.0, 1), (4.0, 1))
