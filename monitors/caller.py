"""Ask a model for predictions and scores, and read what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors.columns import read_array, typed

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Predict = Callable[[Any], Any]


class Caller:
    """Asks a model, whatever it is.

    Args:
        model: Has `predict`, or is called itself.
        predict: Takes the place of the model's own `predict` and `predict_proba`.

    Raises:
        EvaluationInputError: There is nothing to call.
    """

    def __init__(self, model: Any, predict: Predict | None) -> None:
        own = getattr(model, "predict", None)
        found = predict or own or model
        if not callable(found):
            raise EvaluationInputError(
                f"The model ({type(model).__name__}) has no predict and cannot be called.",
                "Pass a model with predict(X), or predict=a function of X.",
            )
        self._predict: Predict = found
        # A function that stands in for `predict` may prepare X, which `predict_proba` would miss.
        self._scores = None if predict else getattr(model, "predict_proba", None)

    @property
    def has_scores(self) -> bool:
        """Whether the model gives scores at all."""
        return self._scores is not None

    def predictions(self, inputs: Any) -> Array:
        """Labels or values (n,), or (n, labels)."""
        return _column_of("the predictions", self._predict(inputs))

    def scores(self, inputs: Any) -> Array | None:
        """Scores (n, 2); None where the model knows more classes than two."""
        if self._scores is None:
            return None
        found = read_array("the result of predict_proba", self._scores(inputs))
        return found if found.ndim == 1 or found.shape[1] == 2 else None


def read_truth(targets: Any) -> Array:
    """The true values (n,), complete, or (n, labels) as they are.

    A missing value is named by its row, which it would lose once rows are drawn.

    Raises:
        EvaluationInputError: They cannot be read, or values are missing or infinite.
    """
    truth = _column_of("y", targets)
    return typed("y", truth).complete().values if truth.ndim == 1 else truth


def _column_of(name: str, values: Any) -> Array:
    array = read_array(name, values)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
