"""The rows of an evaluation, ready to be aggregated over any part of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors import exact as scalars
from aims_mlflow.monitors.targets import encode, positive_scores

if TYPE_CHECKING:
    import numpy.typing as npt

    from aims_mlflow.monitors.columns import Column
    from aims_mlflow.monitors.targets import Labels, Task

    Array = npt.NDArray[Any]
    Part = slice | Array

#: Groups with fewer rows keep their size only.
SUPPRESSED_BELOW = 5
#: Equal bins of the score histogram.
SCORE_BINS = 50
#: Scalars of the order of the scores alone, and those of scores that are probabilities.
OF_RANKS = ("roc_auc", "average_precision")
OF_PROBABILITIES = ("log_loss", "brier_score", "expected_calibration_error")


class Rows(Protocol):
    """Rows that can be aggregated in parts.

    `order` (n,) says which given row stands where; None where they stand as they were given.
    """

    @property
    def order(self) -> Array | None:
        """Indices of the given rows."""

    def fields(self, part: Part, *, exact: bool) -> dict[str, Any]:
        """Some rows as fields of a `CountRow`; with `exact` also what counts cannot give.

        Args:
            part: Ascending places, after `order`.
            exact: Whether to compute scalars and intervals that need every row.
        """


class Prepared(NamedTuple):
    """The rows of a task, and what they say of the whole: fields of an `EvaluationTable`.

    `divisible`: whether a group or a slice of the rows can be measured by itself.
    """

    task: Task
    rows: Rows
    about: dict[str, Any]
    notes: tuple[str, ...] = ()
    divisible: bool = True


def prepare_values(truth: Column, predicted: Column) -> Prepared:
    """Rows of a regression."""
    values = truth.values.astype(float)
    return Prepared("regression", _Values(values, predicted.values.astype(float) - values), {})


def prepare_classes(
    truth: Column, predicted: Column, task: Task, y_score: Array | None, positive_label: Any
) -> Prepared:
    """Rows of a classifier with one label for each row.

    Raises:
        EvaluationInputError: See `targets.encode` and `targets.positive_scores`.
    """
    import numpy as np

    labels = encode(truth, predicted, task, positive_label)
    k = len(labels.names)
    # Few classes fit small integers, which are quicker to gather; at most 100 x 100 cells.
    pairs = (labels.true * k + labels.predicted).astype(np.int16)
    about: dict[str, Any] = {"labels": labels.names}
    if task != "binary":
        return Prepared(task, _Classes(pairs, k), about)
    about["positive_label"], note = positive_name(labels)
    if y_score is None:
        return Prepared(task, _Classes(pairs, k), about, (note,))
    scores, notes = positive_scores(y_score, labels)
    positive = labels.true == labels.positive
    order = np.argsort(scores)
    positive, scores = positive[order], scores[order]
    about["score_histogram"] = _histogram(positive, scores)
    if about["score_histogram"] is None:
        notes.append("y_score has no histogram: its range cannot be cut into equal bins.")
    if not _undefined(positive, scores):
        about["calibration"] = scalars.calibration_bins(positive, scores)
    rows = _Scored(_Classes(pairs[order], k), order, positive, scores)
    return Prepared(task, rows, about, (note, *notes))


@dataclass(frozen=True)
class _Classes:
    """Rows of a classifier: `pairs` (n,) is true * k + predicted."""

    pairs: Array
    k: int
    order: None = None

    def fields(self, part: Part, *, exact: bool) -> dict[str, Any]:
        import numpy as np

        counts = np.bincount(self.pairs[part])
        cells = counts.nonzero()[0].tolist()
        return {"counts": tuple((*divmod(cell, self.k), int(counts[cell])) for cell in cells)}


@dataclass(frozen=True)
class _Scored:
    """Rows of a binary classifier with a score, in ascending order of the score.

    One sort serves all groups: a part of sorted rows is sorted.
    """

    classes: _Classes
    order: Array
    positive: Array
    scores: Array

    def fields(self, part: Part, *, exact: bool) -> dict[str, Any]:
        found = self.classes.fields(part, exact=exact)
        if not exact:
            return found
        positive, scores = self.positive[part], self.scores[part]
        found["undefined"] = _undefined(positive, scores)
        if "roc_auc" in found["undefined"]:
            return found
        return found | scalars.as_fields(scalars.binary_scalars(positive, scores))


@dataclass(frozen=True)
class _Values:
    """Rows of a regression."""

    truth: Array
    error: Array
    order: None = None

    def fields(self, part: Part, *, exact: bool) -> dict[str, Any]:
        import numpy as np

        truth, error = self.truth[part], self.error[part]
        # The mean of equal numbers may miss them by a rounding, and r2 would divide by that.
        constant = truth.min() == truth.max()
        size = np.abs(error)
        with np.errstate(over="ignore", invalid="ignore"):
            squared = np.square(error)
            deviation = np.zeros(len(truth)) if constant else np.square(truth - truth.mean())
            quartic = float(np.square(squared).sum())
            sums = {
                "error": float(error.sum()),
                "abs_error": float(size.sum()),
                "squared_error": float(squared.sum()),
                "y": float(truth.sum()),
                "squared_deviation_y": float(deviation.sum()),
            }
        if not np.isfinite(list(sums.values())).all():
            raise EvaluationInputError(
                "The squares of y_true or of the errors are beyond the range of numbers.",
                "Scale the target, for example to another unit.",
            )
        median = {"median_absolute_error": scalars.median(size)} if exact else {}
        found = scalars.as_fields(median)
        r2 = None if constant else scalars.r2_bounds(squared, deviation)
        if r2 is not None:
            found["intervals"]["r2"] = r2
        return found | {"sums": sums | {"quartic_error": quartic if np.isfinite(quartic) else None}}


def _undefined(positive: Array, scores: Array) -> dict[str, str]:
    """Which scalars of ascending scores mean nothing on these rows, and why."""
    hits = int(positive.sum())
    return undefined_scalars(len(positive), hits, probabilities=scalars.probabilities(scores))


def undefined_scalars(n: int, positives: int, *, probabilities: bool) -> dict[str, str]:
    """Which scalars of a binary score mean nothing, and why.

    Args:
        n: Rows.
        positives: Those of the positive class.
        probabilities: Whether all scores lie within 0 to 1.
    """
    every = OF_RANKS + OF_PROBABILITIES
    if n < SUPPRESSED_BELOW:
        return dict.fromkeys(every, f"fewer than {SUPPRESSED_BELOW} rows")
    if positives in (0, n):
        return dict.fromkeys(every, "y_true holds only one class")
    if not probabilities:
        reason = "y_score is no probability: it has values outside 0 to 1"
        return dict.fromkeys(OF_PROBABILITIES, reason)
    return {}


def positive_name(labels: Labels) -> tuple[str | None, str]:
    """The positive label of a binary task and a note that says it; None where it is not known."""
    if labels.positive is None:
        return None, f"Only the label '{labels.names[0]}' occurs, and no positive_label is given."
    name = labels.names[labels.positive]
    return name, f"The positive label is '{name}'."


def histogram_edges(low: float, high: float) -> Array | None:
    """The edges of the score histogram (`SCORE_BINS` + 1); None where no bins fit.

    0 to 1 where the scores lie within, else their extremes.
    """
    import numpy as np

    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low == high:
        low, high = low - 0.5, high + 0.5
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(low, high, SCORE_BINS + 1)
        return edges if (np.diff(edges) > 0).all() else None


def _histogram(positive: Array, scores: Array) -> dict[str, list[float]] | None:
    """Ascending scores in equal bins, closed on the left, by class; None where no bins fit."""
    import numpy as np

    edges = histogram_edges(float(scores[0]), float(scores[-1]))
    if edges is None:
        return None
    cuts = np.searchsorted(scores, edges[1:-1], side="left")
    positives = [int(np.count_nonzero(part)) for part in np.split(positive, cuts)]
    sizes = [len(part) for part in np.split(positive, cuts)]
    return {
        "edges": edges.tolist(),
        "negatives": [n - hits for n, hits in zip(sizes, positives, strict=True)],
        "positives": positives,
    }
