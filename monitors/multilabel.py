"""Multilabel tasks: each row has every label or not, and each label is one column of 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors.columns import typed
from aims_mlflow.monitors.exact import Estimate, as_fields
from aims_mlflow.monitors.intervals import wilson
from aims_mlflow.monitors.rows import Prepared
from aims_mlflow.monitors.targets import label_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from aims_mlflow.monitors.rows import Part
    from aims_mlflow.monitors.targets import Inputs

    Bools = npt.NDArray[np.bool_]

#: More labels than this are too many for a report that people read.
MAX_LABELS = 100
_SHAPE = "Pass arrays of shape (n, L) with 0 or 1 for each label, or data frames of these columns."


def prepare_labels(given: Inputs) -> Prepared:
    """Rows of a multilabel task.

    Raises:
        EvaluationInputError: Another shape than (n, L) with L of 1 to 100, different labels on
            both sides, missing values, or values other than 0 and 1.
    """
    names, places = _names(given)
    truth = _indicators("y_true", given.truth, names)
    predicted = _indicators("y_pred", given.predicted[:, places], names)
    return Prepared("multilabel", _Labels(truth, predicted), {"labels": names})


@dataclass(frozen=True)
class _Labels:
    """Truth and prediction (n, L)."""

    truth: Bools
    predicted: Bools
    order: None = None

    def fields(self, part: Part, *, exact: bool) -> dict[str, Any]:
        import numpy as np

        truth, predicted = self.truth[part], self.predicted[part]
        n, right = len(truth), int((truth == predicted).all(axis=1).sum())
        hits = np.count_nonzero(truth & predicted, axis=0)
        in_truth = np.count_nonzero(truth, axis=0)
        in_predictions = np.count_nonzero(predicted, axis=0)
        neither = n - in_truth - in_predictions + hits
        cells = np.stack([hits, in_predictions - hits, in_truth - hits, neither], axis=1)
        counts = {"label_counts": tuple(tuple(row) for row in cells.tolist())}
        return counts | as_fields({"subset_accuracy": Estimate(right / n, wilson(right, n))})


def _names(given: Inputs) -> tuple[tuple[str, ...], list[int]]:
    """The labels, and where y_pred has the column of each."""
    for name, array in (("y_true", given.truth), ("y_pred", given.predicted)):
        if array.ndim != 2:
            raise EvaluationInputError(
                f"{name} has the shape {array.shape}, and a multilabel task needs (n, L).", _SHAPE
            )
    sizes = given.truth.shape[1], given.predicted.shape[1]
    if sizes[0] != sizes[1]:
        raise EvaluationInputError(f"y_true has {sizes[0]} labels and y_pred {sizes[1]}.", _SHAPE)
    if not 1 <= sizes[0] <= MAX_LABELS:
        raise EvaluationInputError(
            f"There are {sizes[0]} labels, and a multilabel task has 1 to {MAX_LABELS}.",
            "Evaluate the labels that matter, or several groups of them as datasets of their own.",
        )
    true, predicted = given.names
    names = true or predicted or tuple(f"label_{index}" for index in range(sizes[0]))
    other = predicted or names
    if set(names) != set(other):
        raise EvaluationInputError(
            f"y_true and y_pred name different labels: {', '.join(_first(set(names) ^ set(other)))}"
            " are on one side only.",
            "Give the columns of both data frames the same names.",
        )
    return tuple(label_text(name) for name in names), [other.index(name) for name in names]


def _indicators(name: str, values: npt.NDArray[Any], labels: tuple[str, ...]) -> Bools:
    import numpy as np

    found = np.empty(values.shape, dtype=bool)
    for index, label in enumerate(labels):
        where = f"{name}, label '{label}',"
        column = typed(where, values[:, index]).complete()
        if column.kind not in ("number", "bool") or not np.isin(column.values, (0, 1)).all():
            raise EvaluationInputError(
                f"{where} holds values other than 0 and 1.",
                "Pass one column with the label of each row, or for a multilabel task 0 or 1 for "
                "each label, for example (probabilities >= 0.5).",
            )
        found[:, index] = column.values
    return found


def _first(names: set[str]) -> list[str]:
    return [label_text(name) for name in sorted(names)[:6]]
