"""What `mlflow.models.evaluate` evaluated, as the aggregates that `log_evaluation` would log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow import watch
from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.evidence import normalise
from aims_mlflow.plugins.declaration import declared_system
from aims_mlflow.plugins.store_hooks import install
from aims_mlflow.scope import TAG_SYSTEM, current_system

if TYPE_CHECKING:
    from aims_mlflow.governance.system import AISystem
    from aims_mlflow.monitors.tables import EvaluationTable


#: The name of this package's part of `evaluator_config`.
NAME = "aims"


class Predicted(NamedTuple):
    """Predictions (n,), class probabilities (n, k) where the model gives them, positive label."""

    y_pred: Any
    y_probs: Any = None
    positive_label: Any = None


def record(
    beside: Sequence[Any],
    *,
    model: Any,
    model_type: str,
    dataset: Any,
    run_id: str,
    config: Any,
    predictions: str | None,
) -> None:
    """Aggregate an evaluation of MLflow's and log it for the run; bad input is a gap.

    Args:
        beside: MLflow's evaluators that have evaluated the same data already.
        model: The pyfunc model; None where the dataset holds the predictions.
        model_type: `classifier` or `regressor`.
        dataset: MLflow's `EvaluationDataset`.
        run_id: The run that the evaluation belongs to.
        config: The `evaluator_config` that MLflow passes on.
        predictions: The column of the model's output that holds the prediction.
    """
    import mlflow

    uri = mlflow.get_tracking_uri()
    install()
    try:
        config = config if isinstance(config, Mapping) else {}
        predicted = _again(beside, dataset) or _predict(model, model_type, dataset, predictions)
        table = _aggregate(predicted, model_type, dataset, config, _declared(run_id))
        body, _notes = normalise(table.model_dump(mode="json"))
    except EvaluationInputError as error:
        watch.warn_once(" ".join(error.diagnostics().split("\n")))
        body = {"schema_version": "aims.evaluation_problem/1", "problem": error.message}
    except Exception as error:  # a defect of ours must not stop an evaluation of MLflow's
        watch.warn_once(f"mlflow.models.evaluate leaves no evaluation: {error!r}")
        # A gap is sealed, and the text of an error may hold a value of the data.
        lost = f"an evaluation of mlflow.models.evaluate was lost: {type(error).__name__}"
        watch.gap(uri, run_id, lost)
        return
    watch.evaluated(uri, run_id, body)


def _again(beside: Sequence[Any], dataset: Any) -> Predicted | None:
    """What MLflow's own evaluator predicted a moment ago on the same data."""
    for evaluator in beside:
        if getattr(evaluator, "dataset", None) is dataset and hasattr(evaluator, "y_pred"):
            probabilities = getattr(evaluator, "y_probs", None)
            return Predicted(evaluator.y_pred, probabilities, getattr(evaluator, "pos_label", None))
    return None


def _predict(model: Any, model_type: str, dataset: Any, predictions: str | None) -> Predicted:
    """Predict as MLflow's own evaluator does; the dataset's predictions where it has them."""
    if model is None:
        return Predicted(dataset.predictions_data)
    from mlflow.models.evaluation.evaluators.classifier import ClassifierEvaluator
    from mlflow.models.evaluation.evaluators.regressor import RegressorEvaluator

    own = ClassifierEvaluator() if model_type == "classifier" else RegressorEvaluator()
    own.dataset, own.predictions = dataset, predictions
    made = own._generate_model_predictions(model, own.X.copy_to_avoid_mutation())
    return Predicted(*made) if model_type == "classifier" else Predicted(made)


def _declared(run_id: str) -> AISystem | None:
    import mlflow

    run = mlflow.active_run()
    if run is None or run.info.run_id != run_id:
        run = mlflow.get_run(run_id)
    system_id = current_system() or run.data.tags.get(TAG_SYSTEM)
    return declared_system(system_id, run.info.experiment_id)


def _aggregate(
    predicted: Predicted,
    model_type: str,
    dataset: Any,
    config: Mapping[str, Any],
    declared: AISystem | None,
) -> EvaluationTable:
    from aims_mlflow.monitors.tables import aggregate

    features = _features(dataset)
    y_pred = _one_column(predicted.y_pred)
    task = "regression"
    if model_type == "classifier":
        task = _classes(dataset.labels_data, y_pred, predicted.y_probs, config)
    labels = (
        declared.positive_label if declared else None,
        predicted.positive_label,
        config.get("pos_label"),
    )
    positive = next((_plain(label) for label in labels if label is not None), None)
    table = aggregate(
        dataset.labels_data,
        y_pred,
        predicted.y_probs if task == "binary" else None,
        _sensitive(features, config, declared),
        dataset.name,
        task,
        features=features,
        declared=declared.sensitive_features if declared else (),
        slices=declared.slices if declared else (),
        positive_label=positive if task == "binary" else None,
    )
    if config.get("sample_weights") is None:
        return table
    note = "MLflow was given sample_weights; every row counts once here."
    return table.model_copy(update={"notes": (*table.notes, note)})


def _features(dataset: Any) -> dict[str, Any]:
    """The evaluated features by the names that MLflow gave them."""
    data = dataset.features_data
    columns = data.iloc if hasattr(data, "iloc") else data
    return {str(name): columns[:, i] for i, name in enumerate(dataset.feature_names)}


def _sensitive(
    features: Mapping[str, Any], config: Mapping[str, Any], declared: AISystem | None
) -> dict[str, Any] | None:
    """Declared features among the evaluated ones, and those that `evaluator_config` names."""
    names = [f.name for f in declared.sensitive_features] if declared else []
    found = {name: features[name] for name in names if name in features}
    ours = config.get(NAME, config)
    given = ours.get("sensitive_features") if isinstance(ours, Mapping) else None
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list | tuple) and all(isinstance(name, str) for name in given):
        if absent := sorted(set(given) - set(features)):
            raise EvaluationInputError(
                f"evaluator_config names the sensitive features {', '.join(absent)}, "
                "which are no columns of the evaluated data.",
                f"Name some of: {', '.join(list(features)[:20])}; or pass a data frame.",
            )
        found |= {name: features[name] for name in given}
    elif given is not None:
        from aims_mlflow.monitors.columns import read_features

        found |= {column.name: column.values for column in read_features(given)}
    return found or None


def _classes(truth: Any, y_pred: Any, y_probs: Any, config: Mapping[str, Any]) -> str:
    """`binary` or `multiclass`: as many classes as occur, are listed or have a probability."""
    import pandas as pd

    seen = pd.unique(pd.concat([pd.Series(truth), pd.Series(y_pred)], ignore_index=True).dropna())
    listed = config.get("label_list")
    shape = getattr(y_probs, "shape", ())
    known = (len(seen), len(listed) if listed is not None else 0, *shape[1:2])
    return "binary" if max(known) <= 2 else "multiclass"


def _one_column(values: Any) -> Any:
    """Predictions of the shape (n, 1), as some flavors give them, as (n,)."""
    if getattr(values, "ndim", 1) == 2 and values.shape[1] == 1:
        return values.to_numpy().ravel() if hasattr(values, "to_numpy") else values.ravel()
    return values


def _plain(label: Any) -> Any:
    """A NumPy label as Python's own."""
    return label.item() if hasattr(label, "item") else label
