"""Count an evaluation of any size in an engine: the table of `aggregate` without the rows.

Counts, sums, calibration bins and the score histogram are exact. ROC AUC, average precision and
the median absolute error are exact up to half a million rows; beyond, they come from fine bins,
exactly where no bin mixes different values, else with the bound that `CountRow.bounds` and a note
say. The data are passed over once to see what
they hold (labels and score), once to count groups, slices and labels, and once more where there
are scores or numbers to bin; a numeric feature without declared bins costs a pass more, and two
further ones where it has many values.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors.count_keys import read_keys
from aims_mlflow.monitors.count_overview import distinct, overview
from aims_mlflow.monitors.count_types import PREDICTED, SCORE, TRUTH, column_of
from aims_mlflow.monitors.counted_parts import CountedParts
from aims_mlflow.monitors.counted_rows import ClassCounts, ScoreCounts, SizeCounts, ValueCounts
from aims_mlflow.monitors.counting import (
    Scale,
    count_classes,
    count_scores,
    count_sizes,
    count_values,
    spread_of,
)
from aims_mlflow.monitors.rows import histogram_edges, positive_name
from aims_mlflow.monitors.tables import EvaluationTable
from aims_mlflow.monitors.targets import MAX_CLASSES, check_task, encode, infer_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aims_mlflow.governance.system import SensitiveFeature, Slice
    from aims_mlflow.monitors.columns import Column
    from aims_mlflow.monitors.count_keys import Keys
    from aims_mlflow.monitors.count_overview import Extremes, Overview
    from aims_mlflow.monitors.counted_rows import Counts, FineCounts
    from aims_mlflow.monitors.counting import Cells
    from aims_mlflow.monitors.tables import CountRow
    from aims_mlflow.monitors.targets import Labels, Task

#: Tasks whose rows can be counted: one label or one number for each row.
TASKS = ("binary", "multiclass", "regression")
#: Fine bins of all groups together, of one group at least and at most. Fewer rows than the first
#: need none.
_ALL_BINS, _LEAST_BINS, _MOST_BINS = 2**19, 512, 2**15
#: Whole numbers that lie closer together are counted without asking how many there are.
_NARROW = 1_000


def count_evaluation(
    frame: Any,
    *,
    target: str,
    prediction: str,
    score: str | None = None,
    declared: Sequence[SensitiveFeature] = (),
    slices: Sequence[Slice] = (),
    positive_label: str | int | bool | None = None,
    task: str | None = None,
    dataset: str = "production",
) -> EvaluationTable:
    """Reduce an evaluation to counts by group, in the engine that holds the rows.

    Args:
        frame: A data frame of pandas, Polars (lazy or not), PyArrow, DuckDB, PySpark or Narwhals.
        target: The column of the true labels or values. NaN and infinite values count as missing.
        prediction: The column of the predicted ones. Rows that lack either are left out, and a
            note says how many.
        score: The column with the probability of the positive class, used for binary tasks.
        declared: The system's sensitive features, each a column; a missing value is the group
            `(missing)`, a missing column is listed in `absent_features`.
        slices: The system's slices; those whose columns are missing are listed.
        positive_label: The positive label of a binary task; else 1, True or the greater label.
        task: `binary`, `multiclass` or `regression`; inferred as `aggregate` does when None.
        dataset: Name of the evaluated data.

    Returns:
        The table that `tables.aggregate` makes of the same rows, with `bounds` in addition.

    Raises:
        EvaluationInputError: No row has both a label and a prediction, labels that cannot be
            compared, too many classes, a task that is measured by query or by several labels.
        SourceError: A column is missing, or the engine cannot read the data.
        MonitorError: `frame` is no data frame, or groups have too many combinations.
    """
    _check_task(task)
    columns = {TRUTH: target, PREDICTED: prediction} | ({SCORE: score} if score else {})
    keys = read_keys(frame, columns, declared, slices)
    seen = overview(keys.frame, keys.numeric, keys.floats)
    _check_rows(seen, columns, dataset)
    keys = keys.labelled()
    task = _task_of_numbers(keys, seen, columns, task)
    keys = keys.binned()
    if task == "regression":
        counted = _count_values(keys, seen)
    else:
        counted = _count_classes(keys, seen, columns, task, positive_label)
    parts = CountedParts.of(keys, counted.cells, counted.counts, counted.fine, declared)
    overall = parts.overall()
    return EvaluationTable(
        dataset=dataset,
        task=counted.task,
        n=seen.rows,
        overall=overall,
        tables=parts.tables(),
        absent_features=keys.absent_features,
        slices=parts.slices(keys),
        absent_slices=keys.absent_slices,
        notes=(
            *counted.notes,
            *_ignored(columns, counted.task),
            *parts.notes,
            *_left_out(seen, columns, counted.task),
            *_blurred(overall),
        ),
        **counted.about,
    )


class _Counted(NamedTuple):
    """Counted cells, what they say of the whole, and those of fine bins where there are any."""

    task: Task
    cells: Cells
    counts: Counts
    fine: FineCounts | None
    about: dict[str, Any]
    notes: tuple[str, ...] = ()


def _check_task(task: str | None) -> None:
    check_task(task)
    if task is not None and task not in TASKS:
        raise EvaluationInputError(
            f"A {task} task cannot be counted: one row is not one answer of it.",
            f"Monitors count {', '.join(TASKS)}; log an evaluation of the window with "
            "aims_mlflow.log_evaluation instead.",
        )


def _check_rows(seen: Overview, columns: Mapping[str, str], dataset: str) -> None:
    if seen.rows:
        return
    if not seen.total:
        raise EvaluationInputError(
            f"There is nothing to evaluate: '{dataset}' has 0 rows.",
            "Look whether the window and the source are the right ones.",
        )
    for lacking, name, what in (
        (seen.without_prediction, PREDICTED, "a prediction"),
        (seen.without_truth, TRUTH, "a label yet"),
    ):
        if lacking == seen.total:
            raise EvaluationInputError(
                f"None of the {seen.total} rows of '{dataset}' has {what}: '{columns[name]}' is "
                "missing in all of them.",
                "Look at the column, or wait: `labels_lag` moves the window back by the time that "
                "labels need.",
            )
    raise EvaluationInputError(
        f"None of the {seen.total} rows of '{dataset}' has both '{columns[TRUTH]}' and "
        f"'{columns[PREDICTED]}'.",
        "Look whether labels and predictions were joined by the right key.",
    )


def _task_of_numbers(
    keys: Keys, seen: Overview, columns: Mapping[str, str], task: str | None
) -> str | None:
    """The task as far as it shows before labels are counted: `regression`, as given or None.

    Raises:
        EvaluationInputError: Regression of text, or whole numbers that are no labels.
    """
    extremes = {TRUTH: seen.truth, PREDICTED: seen.predicted}
    if task == "regression" or extremes.keys() <= set(keys.numeric):
        more = 0
        if task is None and seen.truth.fraction is None and seen.predicted.fraction is not None:
            more = distinct(keys.frame, [TRUTH])[TRUTH] - 2
        witnesses = [
            _witness(columns[key], key in keys.text, extremes[key], more if key == TRUTH else 0)
            for key in extremes
        ]
        if infer_task(witnesses[0], witnesses[1], task) == "regression":
            return "regression"
    wide = [key for key in extremes if key in keys.numeric and _wide(extremes[key])]
    for key, n in distinct(keys.frame, wide).items():
        if n > MAX_CLASSES:
            raise EvaluationInputError(
                f"'{columns[key]}' holds {n} different labels, which looks like regression.",
                f'Pass task="regression", or group the labels into at most {MAX_CLASSES} classes.',
            )
    return task


def _witness(name: str, text: bool, extremes: Extremes, more: int) -> Column:
    """A few values of a column of numbers by which its task is the same as by all of them."""
    if text:
        return column_of(f"'{name}'", ["text"])
    low, high = extremes.low or 0.0, extremes.high or 0.0
    between = [low + 1] if more > 0 else []
    fraction = [] if extremes.fraction is None else [extremes.fraction]
    return column_of(f"'{name}'", [low, high, *between, *fraction])


def _wide(extremes: Extremes) -> bool:
    return (extremes.high or 0.0) - (extremes.low or 0.0) > _NARROW


def _count_values(keys: Keys, seen: Overview) -> _Counted:
    cells = count_values(keys.frame, keys.names, seen.centre)
    scale = seen.error if 0 < seen.error < math.inf else 1.0
    fine = SizeCounts.of(count_sizes(keys.frame, keys.names, scale, _bins(keys, seen, cells)))
    return _Counted("regression", cells, ValueCounts(cells), fine, {})


def _count_classes(
    keys: Keys, seen: Overview, columns: Mapping[str, str], task: str | None, positive_label: Any
) -> _Counted:
    cells = count_classes(keys.frame, keys.names)
    truth, predicted = (
        column_of(f"'{columns[key]}'", cells.keys[key]) for key in (TRUTH, PREDICTED)
    )
    for column in (truth, predicted):
        if column.kind == "mixed":
            raise EvaluationInputError(
                f"{column.name} mixes values of different types.",
                "Give labels of one type: all text, all numbers or all booleans.",
            )
    found = infer_task(truth, predicted, task)
    labels = encode(truth, predicted, found, positive_label)
    about: dict[str, Any] = {"labels": labels.names}
    counts = ClassCounts.of(cells, labels)
    if found != "binary":
        return _Counted(found, cells, counts, None, about)
    about["positive_label"], note = positive_name(labels)
    if SCORE not in columns or seen.unscored == seen.rows:
        return _Counted(found, cells, counts, None, about, (note,))
    scores, more = _count_scores(keys, seen, cells, labels)
    unbinned = "y_score has no histogram: its range cannot be cut into equal bins."
    notes = (note,) if "score_histogram" in more else (note, unbinned)
    return _Counted(found, cells, counts, scores, about | more, notes)


def _count_scores(
    keys: Keys, seen: Overview, cells: Cells, labels: Labels
) -> tuple[ScoreCounts, dict[str, Any]]:
    low, high = seen.score.low or 0.0, seen.score.high or 0.0
    probabilities = low >= 0 and high <= 1
    edges = histogram_edges(low, high)
    centre, spread = (0.0, 1.0) if probabilities else spread_of(keys.frame, SCORE)
    positives = {
        value
        for value, label in zip(cells.keys[TRUTH], labels.true.tolist(), strict=True)
        if label == labels.positive
    }
    scale = Scale(_bins(keys, seen, cells) // 2, edges, centre, spread, probabilities)
    scores = ScoreCounts.of(count_scores(keys.frame, keys.names, list(positives), scale))
    about: dict[str, Any] = {} if edges is None else {"score_histogram": scores.histogram(edges)}
    if not scores.undefined():
        about["calibration"] = scores.calibration()
    return scores, about


def _bins(keys: Keys, seen: Overview, cells: Cells) -> int:
    """As many fine bins as all groups together can have cells; 0 for each value by itself."""
    if seen.rows <= _ALL_BINS:
        return 0
    parts = len(set(zip(*(cells.keys[name] for name in keys.names), strict=True))) or 1
    return min(max(_ALL_BINS // parts, _LEAST_BINS), _MOST_BINS)


def _ignored(columns: Mapping[str, str], task: Task) -> Iterator[str]:
    if SCORE in columns and task != "binary":
        yield f"y_score was ignored: it is used for binary tasks, and this is {task}."


def _left_out(seen: Overview, columns: Mapping[str, str], task: Task) -> Iterator[str]:
    """Notes on rows and values that are not measured."""
    for n, key in ((seen.without_truth, TRUTH), (seen.without_prediction, PREDICTED)):
        if n:
            yield f"{n} of {seen.total} rows are not measured: they have no '{columns[key]}'."
    if seen.unscored and task == "binary":
        yield (
            f"{seen.unscored} of {seen.rows} rows have no '{columns[SCORE]}': the metrics of the "
            "score are those of the others."
        )
    for key, n in seen.infinite.items():
        if n and (key != SCORE or task == "binary"):
            yield f"{n} infinite values of '{columns[key]}' were taken as missing."


def _blurred(overall: CountRow) -> Iterator[str]:
    if overall.bounds:
        off = " and ".join(f"{name} by {most:.2g}" for name, most in overall.bounds.items())
        yield f"Read from fine bins, and off by at most: {off} (of all rows)."
