"""Aggregate an evaluation: from rows to the small tables that everything else is scored from.

Only aggregates leave this module: counts, sums, histograms and a few scalars; never a row. Groups
of fewer than five rows keep their size only. That is data minimisation and no promise of
anonymity: a group that is left out can be inferred where all the others and the total are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from aims_mlflow.evidence import Frozen
from aims_mlflow.monitors.columns import check_lengths, read_features
from aims_mlflow.monitors.groups import groupings
from aims_mlflow.monitors.multilabel import prepare_labels
from aims_mlflow.monitors.ranking import prepare_ranking
from aims_mlflow.monitors.rows import SUPPRESSED_BELOW, prepare_classes, prepare_values
from aims_mlflow.monitors.slices import absent_columns, slice_columns, slice_mask
from aims_mlflow.monitors.targets import Task, check_task, infer_task, read_inputs, read_targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from aims_mlflow.governance.system import SensitiveFeature, Slice
    from aims_mlflow.monitors.columns import Column
    from aims_mlflow.monitors.groups import Grouping
    from aims_mlflow.monitors.rows import Prepared, Rows
    from aims_mlflow.monitors.targets import Inputs

    Array = npt.NDArray[Any]

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
    `readings.LEVEL`), and `undefined` says why others are absent. `bounds` say how far those of
    `exact` can be off that come from fine bins; every other one is exact.
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
    bounds: dict[str, float] = {}


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
    features: Any = None,
    query: Any = None,
    declared: Sequence[SensitiveFeature] = (),
    slices: Sequence[Slice] = (),
    positive_label: str | int | bool | None = None,
) -> EvaluationTable:
    """Reduce an evaluation to counts by group.

    Args:
        y_true: True labels or values, shape (n,): a list, NumPy, pandas, Polars or Arrow. For a
            multilabel task 0 or 1 for each label, shape (n, L), or a data frame with one column
            for each label; for a ranking the relevance of each document, from 0 upwards.
        y_pred: Predicted labels or values of the same shape; for a ranking the scores by which
            the documents of a query are ranked, higher first.
        y_score: Probability of the positive class (n,), or both classes' (n, 2) in the order of
            the sorted labels; used for binary tasks only.
        sensitive_features: Protected attributes, n rows: a data frame, a dict of columns, a series
            or an array. A missing value is a group of its own, `(missing)`.
        dataset: Name of the evaluated data.
        task: `binary`, `multiclass`, `multilabel`, `regression` or `ranking`; all but a ranking
            are inferred like scikit-learn's `type_of_target` when None.
        features: The columns of the evaluated rows, a data frame or a dict with n rows; only the
            ones that `slices` name are read. Sensitive features need not be repeated.
        query: The query of each document, shape (n,); needed by a ranking.
        declared: The system's sensitive features, with the bins of numeric ones.
        slices: The system's slices; those that name columns which are not given are listed.
        positive_label: The positive label of a binary task; else 1, True or the greater label.

    Returns:
        The table: everything that scores and thresholds need.

    Raises:
        EvaluationInputError: Unequal lengths, missing or infinite values, nothing to evaluate,
            a wrong shape, text in place of numbers, an unknown task, too many classes or labels,
            a ranking without queries, a range on a column of text.
    """
    check_task(task)
    sensitive = read_features(sensitive_features)
    columns, lengths = slice_columns(features, sensitive, slices)
    given = read_inputs(y_true, y_pred, y_score, query)
    lengths |= {f"sensitive feature '{f.name}'": len(f.values) for f in sensitive}
    check_lengths(given.lengths() | lengths)
    prepared = _prepare(given, task, positive_label)
    grouped = groupings(sensitive, declared) if prepared.divisible else []
    named = {feature.name for feature in sensitive}
    n = len(given.truth)
    return EvaluationTable(
        dataset=dataset or UNNAMED,
        task=prepared.task,
        n=n,
        overall=CountRow(group={}, n=n, **prepared.rows.fields(slice(None), exact=True)),
        tables=tuple(_table(prepared.rows, grouping) for grouping in grouped),
        absent_features=tuple(f.name for f in declared if f.name not in named),
        notes=(
            *prepared.notes,
            *_ignored(given, prepared, sensitive, slices),
            *(note for grouping in grouped for note in grouping.notes),
        ),
        **_sliced(prepared, slices, columns),
        **prepared.about,
    )


def _prepare(given: Inputs, task: str | None, positive_label: Any) -> Prepared:
    if given.has_labels_in_columns(task):
        return prepare_labels(given)
    if task == "ranking":
        return prepare_ranking(given)
    truth, predicted = read_targets(given)
    found = infer_task(truth, predicted, task)
    if found == "regression":
        return prepare_values(truth, predicted)
    return prepare_classes(truth, predicted, found, given.scores, positive_label)


def _ignored(
    given: Inputs, prepared: Prepared, sensitive: Sequence[Column], slices: Sequence[Slice]
) -> Iterator[str]:
    """Notes on what was given and has no use for this task."""
    task = prepared.task
    if given.scores is not None and task != "binary":
        yield f"y_score was ignored: it is used for binary tasks, and this is {task}."
    if given.query is not None and task != "ranking":
        yield f"query was ignored: it is used for ranking, and this is {task}."
    if not prepared.divisible and (sensitive or slices):
        yield (
            f"Groups and slices are not measured: a {task} is measured by query, and the rows of "
            "one query may be in several of them."
        )


def _table(rows: Rows, grouping: Grouping) -> CountTable:
    import numpy as np

    # 16 bits make the stable sort a radix sort; there are never that many groups.
    codes = grouping.codes.astype(np.int16)
    order = np.argsort(codes if rows.order is None else codes[rows.order], kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(grouping.groups)))
    exact = len(grouping.features) == 1
    return CountTable(
        features=grouping.features,
        rows=tuple(
            _row(rows, group.values, part, merged=group.merged, exact=exact)
            for group, part in zip(grouping.groups, np.split(order, ends[:-1]), strict=True)
        ),
    )


def _sliced(
    prepared: Prepared, slices: Sequence[Slice], columns: Mapping[str, Column]
) -> dict[str, Any]:
    """The fields `slices` and `absent_slices`."""
    if not prepared.divisible:
        return {}
    absent = absent_columns(slices, columns)
    counted = []
    for declared in slices:
        if declared.name not in absent:
            mask = slice_mask(declared, columns)
            order = prepared.rows.order
            part = (mask if order is None else mask[order]).nonzero()[0]
            counted.append(_row(prepared.rows, {"slice": declared.name}, part))
    table = CountTable(features=("slice",), rows=tuple(counted)) if counted else None
    return {"slices": table, "absent_slices": absent}


def _row(
    rows: Rows, group: dict[str, str], part: Array, *, merged: bool = False, exact: bool = True
) -> CountRow:
    suppressed = len(part) < SUPPRESSED_BELOW
    fields = {} if suppressed else rows.fields(part, exact=exact)
    return CountRow(group=group, n=len(part), suppressed=suppressed, merged=merged, **fields)
