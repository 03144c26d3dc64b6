"""The passes that count an evaluation in an engine: from rows to cells.

A cell is what rows have in common (groups, slices, truth, prediction, fine bin), with their number
and sums. One code path through Narwhals serves pandas, Polars, DuckDB, PyArrow and PySpark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.errors import EvaluationInputError, MonitorError
from aims_mlflow.monitors.columns import Column, typed
from aims_mlflow.monitors.count_types import collected
from aims_mlflow.monitors.exact import CALIBRATION_BINS, TINY
from aims_mlflow.monitors.fine_bins import equal_bin, fine_bin, squashed
from aims_mlflow.monitors.groups import quartile_edges, quartile_ranks
from aims_mlflow.monitors.source_failures import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import narwhals as nw
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

#: Cells that are taken out of the engine at most.
MAX_CELLS = 2_000_000
#: A numeric feature without bins and with more values is cut at its quartiles in the engine.
MAX_NUMBERS = 1_000
#: The names that the columns have here. Engines that ignore case would mix up shorter ones.
TRUTH, PREDICTED, SCORE = "aims_truth", "aims_predicted", "aims_score"
POSITIVE, FINE = "aims_positive", "aims_fine"
CALIBRATION, HISTOGRAM = "aims_calibration", "aims_histogram"


class Extremes(NamedTuple):
    """What decides about a column of numbers; None where it has none.

    `fraction` is one of its values that is no whole number.
    """

    low: float | None
    high: float | None
    fraction: float | None


class Overview(NamedTuple):
    """The rows before they are counted.

    `rows` have truth and prediction; `total` are all. `without_truth` lack only the truth,
    `without_prediction` the prediction. `infinite` of each column is counted as missing.
    `unscored` of `rows` lack a score.
    """

    total: int
    rows: int
    without_truth: int
    without_prediction: int
    unscored: int
    infinite: dict[str, int]
    truth: Extremes
    predicted: Extremes
    score: Extremes
    centre: float
    error: float


class Cells(NamedTuple):
    """Counted cells: `n` rows in each (k,), what they have in common, and their sums."""

    n: Ints
    keys: dict[str, list[Any]]
    sums: dict[str, Floats]

    def taken(self, order: Ints) -> Cells:
        """The cells in another order."""
        places = order.tolist()
        return Cells(
            self.n[order],
            {name: [values[i] for i in places] for name, values in self.keys.items()},
            {name: values[order] for name, values in self.sums.items()},
        )


def number(expression: nw.Expr) -> nw.Expr:
    """As floats of 64 bits."""
    import narwhals as nw

    return expression.cast(nw.Float64)


def overview(frame: nw.LazyFrame[Any], numeric: Sequence[str], floats: Sequence[str]) -> Overview:
    """One pass over truth, prediction and score.

    Args:
        frame: With the columns `TRUTH`, `PREDICTED` and, where there is one, `SCORE`.
        numeric: Those of them that hold numbers.
        floats: Those that hold floats, and so may hold NaN and infinities.
    """
    import narwhals as nw

    scored = SCORE in frame.collect_schema()
    known = {name: ~nw.col(name).is_null() for name in (TRUTH, PREDICTED)}
    both = known[TRUTH] & known[PREDICTED]
    asked = {
        "total": nw.len(),
        "rows": both.cast(nw.Int64).sum(),
        "without_truth": (~known[TRUTH] & known[PREDICTED]).cast(nw.Int64).sum(),
        "unscored": (both & nw.col(SCORE).is_null()).cast(nw.Int64).sum() if scored else nw.lit(0),
    }
    for name in numeric:
        value = nw.when(both).then(nw.col(name))
        asked |= {f"{name}_low": value.min(), f"{name}_high": value.max()}
        if name in floats:
            whole = nw.col(name) == nw.col(name).floor()
            asked[f"{name}_fraction"] = nw.when(both & ~whole).then(nw.col(name)).min()
    if {TRUTH, PREDICTED} <= set(numeric):
        truth, predicted = number(nw.col(TRUTH)), number(nw.col(PREDICTED))
        asked["centre"] = nw.when(both).then(truth).mean()
        asked["error"] = nw.when(both).then((predicted - truth).abs()).mean()
    infinite = {f"{name}_infinite": nw.col(f"{name}_infinite").sum() for name in floats}
    found = collected(frame.select(**asked, **infinite)).to_pylist()[0]
    total, rows = int(found["total"]), int(found["rows"] or 0)
    without_truth = int(found["without_truth"] or 0)
    return Overview(
        total,
        rows,
        without_truth,
        total - rows - without_truth,
        int(found["unscored"] or 0),
        {name: int(found[f"{name}_infinite"] or 0) for name in floats},
        _extremes(found, TRUTH),
        _extremes(found, PREDICTED),
        _extremes(found, SCORE),
        _float(found.get("centre")) or 0.0,
        _float(found.get("error")) or 0.0,
    )


def distinct(frame: nw.LazyFrame[Any], names: Sequence[str]) -> dict[str, int]:
    """One pass: how many values the columns have; null counts as one."""
    import narwhals as nw

    if not names:
        return {}
    found = collected(frame.select(*(nw.col(name).n_unique() for name in names)))
    return {name: int(found[name][0].as_py()) for name in names}


def quartiles(frame: nw.LazyFrame[Any], name: str) -> list[float]:
    """Two passes: the edges that cut a column of many numbers at its quartiles, exactly."""
    import narwhals as nw

    present = frame.select(number(nw.col(name)).alias(name)).filter(~nw.col(name).is_null())
    found = collected(present.select(n=nw.len(), low=nw.col(name).min())).to_pylist()[0]
    ranks, low = quartile_ranks(int(found["n"])), float(found["low"])
    counts = present.group_by(name).agg(nw.len().alias("n"))
    below = counts.with_columns(below=nw.col("n").cum_sum().over(order_by=name))
    asked = {
        f"q{i}": nw.when(nw.col("below") >= rank).then(nw.col(name)).min()
        for i, rank in enumerate(ranks)
    }
    second = nw.when(nw.col(name) > low).then(nw.col(name)).min()
    edges = collected(below.select(**asked, second=second)).to_pylist()[0]
    return quartile_edges([float(edges[f"q{i}"]) for i in range(3)], low, float(edges["second"]))


def count_classes(frame: nw.LazyFrame[Any], keys: Sequence[str]) -> Cells:
    """One pass over groups, slices, truth and prediction: how many rows have them in common."""
    return _cells(frame, [*keys, TRUTH, PREDICTED], {})


def count_values(frame: nw.LazyFrame[Any], keys: Sequence[str], centre: float) -> Cells:
    """One pass over groups, slices, truth and prediction: the sums of a regression.

    `error` is prediction minus truth, `y` the truth and `t` the truth minus `centre`, which keeps
    the digits of sums of squares where the truth is far from zero.
    """
    import narwhals as nw

    truth, predicted = number(nw.col(TRUTH)), number(nw.col(PREDICTED))
    rows = frame.select(*keys, y=truth, t=truth - centre, e=predicted - truth)
    e, t = nw.col("e"), nw.col("t")
    rows = rows.with_columns(ee=e * e, tt=t * t)
    ee, tt = nw.col("ee"), nw.col("tt")
    rows = rows.with_columns(
        size=e.abs(), eeee=ee * ee, ttt=tt * t, tttt=tt * tt, eet=ee * t, eett=ee * tt
    )
    summed = ("e", "size", "ee", "eeee", "y", "t", "tt", "ttt", "tttt", "eet", "eett")
    sums = {name: nw.col(name).sum() for name in summed}
    return _cells(rows, keys, sums | {"low": nw.col("y").min(), "high": nw.col("y").max()})


def count_sizes(frame: nw.LazyFrame[Any], keys: Sequence[str], scale: float, bins: int) -> Cells:
    """One pass over groups, slices, truth and prediction: fine bins of the absolute error.

    Args:
        frame: The rows.
        keys: Groups and slices.
        scale: A usual error, above 0.
        bins: How many bins; 0 for each value by itself.
    """
    import narwhals as nw

    size = (number(nw.col(PREDICTED)) - number(nw.col(TRUTH))).abs()
    rows = frame.select(*keys, size=size)
    fine = fine_bin(squashed(nw.col("size"), 0.0, scale), bins) if bins else nw.col("size")
    rows = rows.with_columns(fine.alias(FINE))
    value = nw.col("size")
    ends = {"low": value.min(), "high": value.max()}
    return _cells(rows, [*keys, FINE], ends, numeric=(FINE,))


class Scale(NamedTuple):
    """How scores are binned: into `bins` fine ones, or each value by itself where that is 0.

    `edges` are those of the histogram, where there is one.

    Scores that are no probabilities lie around `centre`, `spread` wide.
    """

    bins: int
    edges: Floats | None
    centre: float
    spread: float
    probabilities: bool


def count_scores(
    frame: nw.LazyFrame[Any], keys: Sequence[str], positives: Sequence[Any], scale: Scale
) -> Cells:
    """One pass over groups, slices, truth and score: fine bins of the score, and sums of losses.

    Args:
        frame: The rows.
        keys: Groups and slices.
        positives: The values of the truth that are positive.
        scale: Of the scores.
    """
    import narwhals as nw

    hit = nw.col(TRUTH).is_in(list(positives)) if positives else nw.lit(False)
    rows = frame.filter(~nw.col(SCORE).is_null()).select(
        *keys, hit.cast(nw.Float64).alias(POSITIVE), s=number(nw.col(SCORE))
    )
    s, y = nw.col("s"), nw.col(POSITIVE)
    unit = s if scale.probabilities else squashed(s, scale.centre, scale.spread)
    rows = rows.with_columns(
        (fine_bin(unit, scale.bins) if scale.bins else s).alias(FINE),
        equal_bin(s, 0.0, 0.1, CALIBRATION_BINS - 1, closed="right").alias(CALIBRATION),
        _histogram_bin(s, scale.edges).alias(HISTOGRAM),
        square=(s - y) * (s - y),
        loss=-nw.when(y == 1.0).then(s).otherwise(1.0 - s).clip(TINY, 1.0 - TINY).log(),
    )
    rows = rows.with_columns(
        squares=nw.col("square") * nw.col("square"), losses=nw.col("loss") * nw.col("loss")
    )
    sums = {name: nw.col(name).sum() for name in ("s", "square", "squares", "loss", "losses")}
    return _cells(
        rows,
        [*keys, POSITIVE, FINE, CALIBRATION, HISTOGRAM],
        sums | {"low": s.min(), "high": s.max()},
        numeric=(POSITIVE, FINE, CALIBRATION, HISTOGRAM),
    )


def spread_of(frame: nw.LazyFrame[Any], column: str) -> tuple[float, float]:
    """The median and the interquartile range of the first rows, 0 and 1 where these say nothing.

    They only choose bins; whatever they are, bins tell how far what is read from them can be off.
    """
    import narwhals as nw
    import numpy as np

    rows = frame.select(number(nw.col(column)).alias(column)).filter(~nw.col(column).is_null())
    first = _floats(collected(rows.head(10_000)), column)
    if not len(first):
        return 0.0, 1.0
    low, centre, high = np.quantile(first, [0.25, 0.5, 0.75], method="inverted_cdf").tolist()
    spread = high - low
    return centre, spread if 0 < spread < np.inf else max(abs(centre), 1.0)


def _histogram_bin(score: nw.Expr, edges: Floats | None) -> nw.Expr:
    if edges is None:
        return score * 0.0
    low, high, last = float(edges[0]), float(edges[-1]), len(edges) - 2
    return equal_bin(score, low, (high - low) / (last + 1), last, closed="left")


def _cells(
    frame: nw.LazyFrame[Any],
    keys: Sequence[str],
    sums: Mapping[str, nw.Expr],
    numeric: Sequence[str] = (),
) -> Cells:
    import narwhals as nw
    import numpy as np

    named = [expression.alias(f"sum_{name}") for name, expression in sums.items()]
    if keys:
        grouped = frame.group_by(*keys).agg(nw.len().alias("aims_n"), *named)
    else:
        grouped = frame.select(nw.len().alias("aims_n"), *named)
    found = collected(grouped.head(MAX_CELLS + 1))
    if found.num_rows > MAX_CELLS:
        raise MonitorError(
            f"Groups, slices and labels have more than {MAX_CELLS:,} combinations.",
            "Declare bins for numeric sensitive features, name fewer of them, or leave out those "
            "that tell people apart one by one.",
        )
    return Cells(
        np.asarray(found["aims_n"].to_pylist(), dtype=np.int64),
        {k: found[k].to_pylist() for k in keys if k not in numeric},
        {k: _floats(found, k) for k in numeric}
        | {name: _floats(found, f"sum_{name}") for name in sums},
    )


def _floats(table: pa.Table, name: str) -> Floats:
    import numpy as np

    # DuckDB answers with decimals, which NumPy reads one by one.
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _extremes(found: Mapping[str, Any], name: str) -> Extremes:
    parts = (found.get(f"{name}_{part}") for part in ("low", "high", "fraction"))
    return Extremes(*map(_float, parts))


def _float(value: Any) -> float | None:
    """A number; None for null, and for the NaN that NumPy has in its place."""
    if value is None or value != value:
        return None
    return float(value)


def column_of(name: str, values: list[Any]) -> Column:
    """The values of a key as a column, as a training script's would be read.

    Raises:
        EvaluationInputError: They are of a type that cannot be compared.
    """
    import numpy as np

    array = np.empty(len(values), dtype=object)
    array[:] = values
    try:
        return typed(name, array)
    except (TypeError, ValueError) as error:
        raise EvaluationInputError(
            f"{name} holds values that cannot be compared: {shown(str(error))}",
            "Name a column of text, numbers or booleans.",
        ) from error
