"""`mlflow.models.evaluate(...)` feeds the evaluation report, with nothing else to call.

MLflow loads this module when it loads its own evaluators, so it is tiny and never raises. MLflow
calls a plugin only where `evaluators` is None or names it; the one function in which MLflow says
who evaluates is therefore wrapped, so that `evaluators="default"` feeds the report too, and the
predictions that MLflow's evaluator made are used again: nothing is predicted twice.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from mlflow.models.evaluation import base

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: The name of the plugin, as in the entry point.
NAME = "aims"
#: What MLflow can be told to evaluate and this package can score.
MODEL_TYPES = ("classifier", "regressor")

#: MLflow's evaluators that predict.
PREDICTING = ("classifier", "regressor", "default")


class AimsEvaluator(base.ModelEvaluator):  # type: ignore[misc]
    """Records what MLflow evaluates as aggregates of the run, and adds no metric of its own.

    `beside` are the other evaluators of the call; those that predict are called before this one.
    """

    name = NAME

    def __init__(self) -> None:
        self.beside: tuple[Any, ...] = ()

    @classmethod
    def can_evaluate(cls, *, model_type: Any, evaluator_config: Any, **kwargs: Any) -> bool:
        """Whether the process is governed and the model is a classifier or a regressor."""
        return model_type in MODEL_TYPES and bool(_guarded(_governed))

    def evaluate(
        self,
        *,
        model_type: str,
        dataset: Any,
        run_id: str,
        evaluator_config: Any,
        model: Any = None,
        extra_metrics: Any = None,
        custom_artifacts: Any = None,
        predictions: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Aggregate the evaluated data for the report; whatever goes wrong, MLflow goes on.

        Args:
            model_type: `classifier` or `regressor`.
            dataset: MLflow's evaluation dataset: features, labels, maybe predictions.
            run_id: The run that the evaluation belongs to.
            evaluator_config: May name `sensitive_features`, see `docs/mlflow-evaluate.md`.
            model: A pyfunc model; None where the dataset holds the predictions.
            extra_metrics: Not used.
            custom_artifacts: Not used.
            predictions: The column of the model's output that holds the prediction.
            **kwargs: Not used.

        Returns:
            An empty `EvaluationResult`; None beside other evaluators, whose results then are
            exactly those without this plugin.
        """
        _guarded(
            _record, self.beside, model, model_type, dataset, run_id, evaluator_config, predictions
        )
        return None if self.beside else base.EvaluationResult({}, {})


def _governed() -> bool:
    from aims_mlflow.plugins.run_context import _governed as governed

    # `govern` and `log_evaluation` set the store hook where nothing else says so.
    return "aims_mlflow.plugins.store_hooks" in sys.modules or governed()


def _guarded(step: Callable[..., Any], *args: Any) -> Any:
    """Run a step of ours inside MLflow's call: whatever goes wrong, MLflow's call goes on."""
    try:
        return step(*args)
    except Exception as error:
        print(f"aims: this evaluation is not recorded: {error!r}", file=sys.stderr)
        return None


def _set_hook() -> None:
    original = getattr(base, "resolve_evaluators_and_configs", None)
    if original is None or hasattr(original, "aims"):
        return

    @functools.wraps(original)
    def resolve(evaluators: Any, evaluator_config: Any, *args: Any, **kwargs: Any) -> Any:
        bundles = original(evaluators, evaluator_config, *args, **kwargs)
        model_type = kwargs.get("model_type", args[0] if args else None)
        return _guarded(_joined, bundles, evaluator_config, model_type) or bundles

    resolve.aims = True  # type: ignore[attr-defined]
    base.resolve_evaluators_and_configs = resolve


def _joined(bundles: Sequence[Any], evaluator_config: Any, model_type: Any) -> list[Any]:
    """The evaluators that MLflow chose, and ours behind the one that predicts.

    It comes before SHAP, which is slow and refuses some data that can very well be evaluated.
    """
    others = [bundle for bundle in bundles if bundle.name != NAME]
    ours = [bundle for bundle in bundles if bundle.name == NAME]
    if not AimsEvaluator.can_evaluate(model_type=model_type, evaluator_config=None):
        return list(bundles)
    if not ours:
        ours = [base.EvaluatorBundle(NAME, AimsEvaluator(), evaluator_config or {})]
    for bundle in ours:
        bundle.evaluator.beside = tuple(other.evaluator for other in others)
    place = max((i + 1 for i, o in enumerate(others) if o.name in PREDICTING), default=len(others))
    return [*others[:place], *ours, *others[place:]]


def _record(
    beside: Sequence[Any],
    model: Any,
    model_type: str,
    dataset: Any,
    run_id: str,
    config: Any,
    predictions: str | None,
) -> None:
    from aims_mlflow.plugins.evaluated import record

    record(
        beside,
        model=model,
        model_type=model_type,
        dataset=dataset,
        run_id=run_id,
        config=config,
        predictions=predictions,
    )


_guarded(_set_hook)
