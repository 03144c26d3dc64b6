"""The passes that count an evaluation in an engine: from rows to cells.

A cell is what rows have in common (groups, slices, truth, prediction, fine bin), with their number
and sums. One code path through Narwhals serves pandas, Polars, DuckDB, PyArrow and PySpark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.errors import MonitorError
from aims_mlflow.monitors.count_types import PREDICTED, SCORE, TRUTH, collected, number
from aims_mlflow.monitors.exact import CALIBRATION_BINS, TINY
from aims_mlflow.monitors.fine_bins import equal_bin, fine_bin, squashed

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
#: What cells of fine bins have in common.
POSITIVE, FINE = "aims_positive", "aims_fine"
CALIBRATION, HISTOGRAM = "aims_calibration", "aims_histogram"


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
