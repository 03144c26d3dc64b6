"""Aggregate an evaluation: from rows to the small tables that everything else is scored from.

Only aggregates leave this module: counts, sums, histograms and a few scalars; never a row. Groups
of fewer than five rows keep their size only. That is data minimisation and no promise of
anonymity: a group that is left out can be inferred where all the others and the total are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.evidence import Frozen
from aims_mlflow.monitors.columns import read_features
from aims_mlflow.monitors.groups import groupings
from aims_mlflow.monitors.targets import (
    Task,
    encode,
    infer_task,
    positive_scores,
    read_targets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from aims_mlflow.governance.system import SensitiveFeature
    from aims_mlflow.monitors.columns import Column
    from aims_mlflow.monitors.groups import Grouping
    from aims_mlflow.monitors.targets import Labels

    Array = npt.NDArray[Any]
    Rows = slice | Array

#: Groups with fewer rows keep their size only.
SUPPRESSED_BELOW = 5
#: Equal bins of the score histogram.
SCORE_BINS = 50
#: The dataset's name where the caller gives none.
UNNAMED = "evaluation"


class ErrorSums(Frozen):
    """What regression metrics need of a group; error is prediction minus truth.

    `squared_deviation_y` is the sum of squared deviations of the truth from the group's own mean:
    the plain sum of squares would lose its digits on targets far from zero.
    """

    error: float
    abs_error: float
    squared_error: float
    y: float
    squared_deviation_y: float
    quartic_error: float | None = None


class CountRow(Frozen):
    """The aggregates of one group; `group` is empty for all rows.

    `counts` are (true, predicted, n) with indices into the table's labels; `label_counts` are
    (tp, fp, fn, tn) for each label of a multilabel task. `exact` holds scalars that counts cannot
    give, computed from the rows, `intervals` their confidence intervals (low, high at
    `readings.LEVEL`), and `undefined` says why others are absent.
    `suppressed`: fewer than five rows, only `n` is kept. `merged`: many groups beyond the limit.
    """

    group: dict[str, str]
    n: int
    suppressed: bool = False
    merged: bool = False
    counts: tuple[tuple[int, int, int], ...] = ()
    label_counts: tuple[tuple[int, int, int, int], ...] = ()
    sums: ErrorSums | None = None
    exact: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    undefined: dict[str, str] = {}


class CountTable(Frozen):
    """The groups of one sensitive feature, or of a combination of them."""

    features: tuple[str, ...]
    rows: tuple[CountRow, ...]


class EvaluationTable(Frozen):
    """One evaluated dataset, aggregated.

    `score_histogram` holds `edges` (k + 1), `negatives` (k) and `positives` (k), bins closed on
    the left. `calibration` holds `edges` (11), and for each of the ten bins `n`, `positives` and
    `score_sum`, bins as in `sklearn.calibration.calibration_curve(strategy="uniform")`; only where
    the scores are probabilities. `slices` has one row `{"slice": name}` for each declared slice
    whose columns were given; `absent_slices` are the others, with the columns that are missing.
    `n_queries` counts the queries of a ranking.
    """

    schema_version: Literal["aims.evaluation_table/1"] = "aims.evaluation_table/1"
    dataset: str
    task: Task
    n: int
    labels: tuple[str, ...] = ()
    positive_label: str | None = None
    overall: CountRow
    tables: tuple[CountTable, ...] = ()
    absent_features: tuple[str, ...] = ()
    slices: CountTable | None = None
    absent_slices: dict[str, tuple[str, ...]] = {}
    n_queries: int | None = None
    calibration: dict[str, list[float]] | None = None
    score_histogram: dict[str, list[float]] | None = None
    notes: tuple[str, ...] = ()

    def table(self, features: Sequence[str]) -> CountTable | None:
        """The groups of these features, in whatever order they are named."""
        return next((t for t in self.tables if sorted(t.features) == sorted(features)), None)


def aggregate(
    y_true: Any,
    y_pred: Any,
    y_score: Any = None,
    sensitive_features: Any = None,
    dataset: str | None = None,
    task: str | None = None,
    *,
    declared: Sequence[SensitiveFeature] = (),
    positive_label: str | int | bool | None = None,
) -> EvaluationTable:
    """Reduce an evaluation to counts by group.

    Args:
        y_true: True labels or values, shape (n,): a list, NumPy, pandas, Polars or Arrow.
        y_pred: Predicted labels or values, shape (n,).
        y_score: Probability of the positive class (n,), or both classes' (n, 2) in the order of
            the sorted labels; used for binary tasks only.
        sensitive_features: Protected attributes, n rows: a data frame, a dict of columns, a series
            or an array. A missing value is a group of its own, `(missing)`.
        dataset: Name of the evaluated data.
        task: `binary`, `multiclass` or `regression`; inferred like scikit-learn's
            `type_of_target` when None.
        declared: The system's sensitive features, with the bins of numeric ones.
        positive_label: The positive label of a binary task; else 1, True or the greater label.

    Returns:
        The table: everything that scores and thresholds need.

    Raises:
        EvaluationInputError: Unequal lengths, missing or infinite values, nothing to evaluate,
            a wrong shape, text in place of numbers, an unknown task, too many classes.
    """
    features = read_features(sensitive_features)
    truth, predicted, scores = read_targets(y_true, y_pred, y_score, features)
    found = infer_task(truth, predicted, task)
    data, about = (
        _values(truth, predicted)
        if found == "regression"
        else _classes(encode(truth, predicted, found, positive_label), found, scores)
    )
    notes = about.pop("notes", [])
    if scores is not None and found != "binary":
        notes.append(f"y_score was ignored: it is used for binary tasks, and this is {found}.")
    grouped = groupings(features, declared)
    names = {feature.name for feature in features}
    return EvaluationTable(
        dataset=dataset or UNNAMED,
        task=found,
        n=len(truth.values),
        overall=CountRow(group={}, n=len(truth.values), **data.fields(slice(None), exact=True)),
        tables=tuple(CountTable(features=g.features, rows=tuple(_rows(data, g))) for g in grouped),
        absent_features=tuple(f.name for f in declared if f.name not in names),
        notes=tuple(notes + [note for grouping in grouped for note in grouping.notes]),
        **about,
    )


class _Data(Protocol):
    def fields(self, rows: Rows, *, exact: bool) -> dict[str, Any]:
        """The aggregates of some rows; with `exact` also the scalars that counts cannot give."""


@dataclass(frozen=True)
class _Classes:
    """Rows of a classifier: `pairs` is true * k + predicted; `positive` and `scores` if binary."""

    pairs: Array
    k: int
    positive: Array | None
    scores: Array | None

    def fields(self, rows: Rows, *, exact: bool) -> dict[str, Any]:
        import numpy as np

        counts = np.bincount(self.pairs[rows])
        cells = counts.nonzero()[0].tolist()
        found = {"counts": tuple((*divmod(cell, self.k), int(counts[cell])) for cell in cells)}
        if not exact or self.positive is None or self.scores is None:
            return found
        return found | _ranking(self.positive[rows], self.scores[rows])


@dataclass(frozen=True)
class _Values:
    """Rows of a regression."""

    truth: Array
    error: Array

    def fields(self, rows: Rows, *, exact: bool) -> dict[str, Any]:
        import numpy as np

        truth, error = self.truth[rows], self.error[rows]
        # The mean of equal numbers may miss them by a rounding, and r2 would divide by that.
        constant = truth.min() == truth.max()
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = np.zeros(1) if constant else truth - truth.mean()
            sums = {
                "error": error.sum(),
                "abs_error": np.abs(error).sum(),
                "squared_error": np.square(error).sum(),
                "y": truth.sum(),
                "squared_deviation_y": np.square(deviation).sum(),
            }
        if not np.isfinite(list(sums.values())).all():
            raise EvaluationInputError(
                "The squares of y_true or of the errors are beyond the range of numbers.",
                "Scale the target, for example to another unit.",
            )
        median = {"median_absolute_error": float(np.median(np.abs(error)))} if exact else {}
        return {"sums": ErrorSums(**{k: float(v) for k, v in sums.items()}), "exact": median}


def _values(truth: Column, predicted: Column) -> tuple[_Data, dict[str, Any]]:
    values = truth.values.astype(float)
    return _Values(values, predicted.values.astype(float) - values), {}


def _classes(labels: Labels, task: Task, y_score: Array | None) -> tuple[_Data, dict[str, Any]]:
    k = len(labels.names)
    pairs = labels.true * k + labels.predicted
    about: dict[str, Any] = {"labels": labels.names}
    if task != "binary":
        return _Classes(pairs, k, None, None), about
    positive = labels.true == labels.positive
    name, about["notes"] = _positive_label(labels)
    about["positive_label"] = name
    scores = None
    if y_score is not None:
        scores, notes = positive_scores(y_score, labels)
        about["notes"] += notes
        about["score_histogram"] = _histogram(positive, scores)
    return _Classes(pairs, k, positive, scores), about


def _positive_label(labels: Labels) -> tuple[str | None, list[str]]:
    if labels.positive is None:
        return None, [f"Only the label '{labels.names[0]}' occurs, and no positive_label is given."]
    name = labels.names[labels.positive]
    return name, [f"The positive label is '{name}'."]


def _rows(data: _Data, grouping: Grouping) -> Iterator[CountRow]:
    import numpy as np

    # 16 bits make the stable sort a radix sort; there are never that many groups.
    order = np.argsort(grouping.codes.astype(np.int16), kind="stable")
    ends = np.cumsum(np.bincount(grouping.codes, minlength=len(grouping.groups)))
    for group, rows in zip(grouping.groups, np.split(order, ends[:-1]), strict=True):
        suppressed = len(rows) < SUPPRESSED_BELOW
        exact = len(grouping.features) == 1
        fields = {} if suppressed else data.fields(rows, exact=exact)
        yield CountRow(
            group=group.values, n=len(rows), suppressed=suppressed, merged=group.merged, **fields
        )


def _ranking(positive: Array, scores: Array) -> dict[str, Any]:
    """What needs every score: scikit-learn's metrics of these names, or why they are undefined."""
    from sklearn import metrics

    names = ("roc_auc", "average_precision", "log_loss", "brier_score")
    if len(positive) < SUPPRESSED_BELOW:
        return {"undefined": dict.fromkeys(names, f"fewer than {SUPPRESSED_BELOW} rows")}
    if positive.all() or not positive.any():
        return {"undefined": dict.fromkeys(names, "y_true holds only one class")}
    exact = {
        "roc_auc": float(metrics.roc_auc_score(positive, scores)),
        "average_precision": float(metrics.average_precision_score(positive, scores)),
    }
    if scores.min() < 0 or scores.max() > 1:
        reason = "y_score is no probability: it has values outside 0 to 1"
        return {"exact": exact, "undefined": dict.fromkeys(names[2:], reason)}
    exact["log_loss"] = float(metrics.log_loss(positive, scores))
    exact["brier_score"] = float(metrics.brier_score_loss(positive, scores))
    return {"exact": exact}


def _histogram(positive: Array, scores: Array) -> dict[str, list[float]]:
    import numpy as np

    low, high = float(scores.min()), float(scores.max())
    span = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    edges = np.histogram_bin_edges(scores, bins=SCORE_BINS, range=span)
    return {
        "edges": edges.tolist(),
        "negatives": np.histogram(scores[~positive], bins=edges)[0].tolist(),
        "positives": np.histogram(scores[positive], bins=edges)[0].tolist(),
    }
