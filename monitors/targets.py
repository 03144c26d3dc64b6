"""Say what kind of task truth and predictions are, and encode their labels and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.evidence import normalise
from aims_mlflow.monitors.columns import Column, as_column, column_names, read_array, typed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Task = Literal["binary", "multiclass", "multilabel", "regression", "ranking"]
TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel", "regression", "ranking")
#: More classes than this look like a number that was meant to be predicted.
MAX_CLASSES = 100


class Labels(NamedTuple):
    """Truth and prediction as indices (n,) into the sorted `names`; `positive` is one of these."""

    names: tuple[str, ...]
    positive: int | None
    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]


class Inputs(NamedTuple):
    """What was given, as arrays of n rows; `names` are the label columns of each data frame."""

    truth: Array
    predicted: Array
    scores: Array | None
    query: Array | None
    names: tuple[tuple[str, ...] | None, tuple[str, ...] | None]

    def lengths(self) -> dict[str, int]:
        """The rows of each input that was given, by its name."""
        named = {
            "y_true": self.truth,
            "y_pred": self.predicted,
            "y_score": self.scores,
            "query": self.query,
        }
        return {name: len(array) for name, array in named.items() if array is not None}

    def has_labels_in_columns(self, task: str | None) -> bool:
        """Whether this is a multilabel task: named so, or several columns on both sides."""
        wide = all(a.ndim == 2 and a.shape[1] > 1 for a in (self.truth, self.predicted))
        return task == "multilabel" or (task is None and wide)


def read_inputs(y_true: Any, y_pred: Any, y_score: Any, query: Any) -> Inputs:
    """Truth, predictions, scores and queries as arrays of their own shapes.

    Raises:
        EvaluationInputError: One of them cannot be read.
    """
    return Inputs(
        read_array("y_true", y_true),
        read_array("y_pred", y_pred),
        None if y_score is None else read_array("y_score", y_score),
        None if query is None else read_array("query", query),
        (column_names("y_true", y_true), column_names("y_pred", y_pred)),
    )


def read_targets(given: Inputs) -> tuple[Column, Column]:
    """Truth and predictions with one value for each row, of one kind and complete.

    Raises:
        EvaluationInputError: See `aggregate`.
    """
    truth, predicted = as_column("y_true", given.truth), as_column("y_pred", given.predicted)
    return _known(truth), _known(predicted)


def check_task(task: str | None) -> None:
    """Refuse a task that is none of `TASKS`; None is inferred.

    Raises:
        EvaluationInputError: Naming the tasks.
    """
    if task is not None and task not in TASKS:
        raise EvaluationInputError(f"Unknown task '{task}'.", f"Use one of: {', '.join(TASKS)}.")


def infer_task(truth: Column, predicted: Column, task: str | None) -> Task:
    """The task: as given, else after scikit-learn's `type_of_target` of the truth.

    Raises:
        EvaluationInputError: The task needs numbers where there is text, or the predictions look
            like probabilities.
    """
    texts = [c.name for c in (truth, predicted) if c.kind == "text"]
    if task == "regression" and texts:
        raise EvaluationInputError(
            f"{texts[0]} holds text, and regression needs numbers.",
            'Convert it to numbers, or pass task="multiclass".',
        )
    if len(texts) == 1:
        raise EvaluationInputError(
            f"{texts[0]} holds text and the other one numbers, so no label can match.",
            "Pass the same labels in y_true and y_pred, for example both encoded or both decoded.",
        )
    if task is not None:
        return cast("Task", task)
    if texts:
        return _by_labels(truth, predicted)
    return "regression" if _continuous(truth, predicted) else _by_labels(truth, predicted)


def encode(truth: Column, predicted: Column, task: Task, positive_label: Any) -> Labels:
    """Labels as indices, in their natural order; for a binary task, with the positive one.

    Raises:
        EvaluationInputError: Too many classes, not two of them in a binary task, or a positive
            label that is none of them.
    """
    import numpy as np
    import pandas as pd

    codes, uniques = pd.factorize(np.concatenate([truth.values, predicted.values]), sort=True)
    if len(uniques) > MAX_CLASSES:
        raise EvaluationInputError(
            f"y_true and y_pred hold {len(uniques)} different labels, which looks like regression.",
            f'Pass task="regression", or group the labels into at most {MAX_CLASSES} classes.',
        )
    names = [label_text(value) for value in uniques.tolist()]
    if task == "binary":
        names, positive, shift = _binary(names, positive_label)
    else:
        positive, shift = None, 0
    codes = codes.astype(np.int64) + shift
    return Labels(tuple(names), positive, codes[: len(truth.values)], codes[len(truth.values) :])


def positive_scores(scores: Array, labels: Labels) -> tuple[npt.NDArray[np.float64], list[str]]:
    """The score of the positive class (n,) of a binary task, and notes on how it was read.

    Raises:
        EvaluationInputError: Not numbers, not complete, or of another shape than (n,) or (n, 2).
    """
    notes = []
    if scores.ndim == 2 and scores.shape[1] == 2:
        # The columns of predict_proba follow the sorted labels, whichever is the positive one.
        index = 0 if labels.positive == 0 and len(labels.names) == 2 else 1
        scores = scores[:, index]
        notes.append(f"Column {index} of y_score was taken as the score of the positive label.")
    if scores.ndim != 1:
        raise EvaluationInputError(
            f"y_score has the shape {scores.shape}, and a binary task needs (n,) or (n, 2).",
            "Pass the probability of the positive class, for example predict_proba(X)[:, 1].",
        )
    column = typed("y_score", scores).complete()
    if column.kind not in ("number", "bool"):
        raise EvaluationInputError(
            "y_score holds text, and probabilities are numbers.", "Pass predict_proba(X)[:, 1]."
        )
    return column.values.astype("float64"), notes


def label_text(value: Any) -> str:
    """A label or group as text: 1.0 is `1`, True is `True`.

    >>> label_text(1.0), label_text(0.25), label_text("yes"), label_text(True)
    ('1', '0.25', 'yes', 'True')
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(normalise(str(value))[0])


def _known(column: Column) -> Column:
    column.complete()
    if column.kind == "mixed":
        raise EvaluationInputError(
            f"{column.name} mixes values of different types.",
            "Pass labels of one type: all text, all numbers or all booleans.",
        )
    return column


def _by_labels(truth: Column, predicted: Column) -> Task:
    import pandas as pd

    found = set(pd.unique(truth.values).tolist()) | set(pd.unique(predicted.values).tolist())
    return "binary" if len(found) <= 2 else "multiclass"


def _continuous(truth: Column, predicted: Column) -> bool:
    import numpy as np

    if (truth.values != np.round(truth.values.astype(float))).any():
        return True
    values = predicted.values.astype(float)
    if (values == np.round(values)).all():
        return False
    few = np.unique(truth.values)
    unit = bool(((values >= 0) & (values <= 1)).all())
    if len(few) <= 2 and (unit or set(few.tolist()) <= {0, 1}):
        raise EvaluationInputError(
            "y_pred looks like probabilities, and y_true holds labels.",
            "Pass the predicted labels as y_pred and the probabilities as y_score, "
            'or task="regression" if the target is a number.',
        )
    return True


def _binary(names: list[str], positive_label: Any) -> tuple[list[str], int | None, int]:
    """The two labels, the positive one's index, and how far the codes move for an added label."""
    if len(names) > 2:
        raise EvaluationInputError(
            f"A binary task has two labels, and there are {len(names)}: {', '.join(names[:6])}.",
            'Pass task="multiclass", or labels of two values.',
        )
    wanted = _positive_name(names, positive_label)
    if wanted is None:
        return names, None, 0
    if wanted not in names and len(names) == 1:
        # scikit-learn's order: the columns of a score matrix follow the sorted labels.
        return ([wanted, *names], 0, 1) if wanted < names[0] else ([*names, wanted], 1, 0)
    if wanted not in names:
        raise EvaluationInputError(
            f"The positive label '{wanted}' is none of the labels: {', '.join(names)}.",
            "Correct positive_label in the system's file, or the labels in y_true and y_pred.",
        )
    if names in (["1"], ["True"]):
        return ["0" if names == ["1"] else "False", *names], 1, 1
    return names, names.index(wanted), 0


def _positive_name(names: list[str], positive_label: Any) -> str | None:
    """The name of the positive label; None when one unknown label is all there is."""
    if positive_label is not None:
        wanted = label_text(positive_label)
        # YAML reads `true` and 1 apart, and Python holds them for equal.
        for same in ({"1", "True"}, {"0", "False"}):
            if wanted in same and wanted not in names:
                return next((name for name in names if name in same), wanted)
        return wanted
    for name in ("1", "True"):
        if name in names:
            return name
    if len(names) == 2:
        return names[1]
    return {"0": "1", "False": "True"}.get(names[0])
