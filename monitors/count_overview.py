"""What the rows of an evaluation hold before they are counted: gaps, extremes, quartiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.monitors.count_types import PREDICTED, SCORE, TRUTH, collected, number
from aims_mlflow.monitors.groups import quartile_edges, quartile_ranks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import narwhals as nw

#: A numeric feature without bins and with more values is cut at its quartiles in the engine.
MAX_NUMBERS = 1_000


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


def _extremes(found: Mapping[str, Any], name: str) -> Extremes:
    parts = (found.get(f"{name}_{part}") for part in ("low", "high", "fraction"))
    return Extremes(*map(_float, parts))


def _float(value: Any) -> float | None:
    """A number; None for null, and for the NaN that NumPy has in its place."""
    if value is None or value != value:
        return None
    return float(value)
