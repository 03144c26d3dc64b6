"""`log_evaluation`: what a model did on labelled data, as aggregates of the run."""

from __future__ import annotations

from typing import Any

from aims_mlflow.api.attribution import (
    declared_here,
    install,
    is_attributable,
    is_strict,
    quietly,
    record,
)
from aims_mlflow.errors import EvaluationInputError


def log_evaluation(
    y_true: Any,
    y_pred: Any,
    y_score: Any = None,
    sensitive_features: Any = None,
    dataset: str | None = None,
    task: str | None = None,
    *,
    features: Any = None,
    query: Any = None,
) -> None:
    """Log an evaluation of the active run as aggregates; never a row leaves the process.

    Logged are confusion counts by group and by intersection of groups, score histograms, residual
    sums and the few scalars that counts cannot give (ROC AUC, ...). Thresholds are judged later,
    from these tables.

    Called with no open run inside a governed function (also from one of its threads), the
    evaluation goes to the function's run, or to the one that is made for it at its end.

    Args:
        y_true: True labels or values, shape (n,): list, NumPy, pandas, Polars, Arrow.
        y_pred: Predicted labels or values, shape (n,); the scores that rank the documents for
            `task="ranking"`. Truth and predictions of 0 and 1, shape (n, labels), are multilabel.
        y_score: Probability of the positive class, shape (n,) or (n, 2); optional.
        sensitive_features: Protected attributes, n rows: a data frame, a dict of columns, a
            series. Numeric ones are cut at the `bins` that the profile declares.
        dataset: Name of the data that was evaluated, as logged to MLflow where it was.
        task: `binary`, `multiclass`, `multilabel`, `regression` or `ranking`; inferred when None,
            except ranking.
        features: Columns of the evaluated rows, n rows: a data frame or a dict. Only used to tell
            which rows belong to the declared slices.
        query: The query of each row, shape (n,), for `task="ranking"`.

    Raises:
        EvaluationInputError: Only with `AIMS_STRICT=1`. Otherwise bad input is one line on
            standard error and a gap on the evaluation report: training goes on.
    """
    try:
        install()
        _log_evaluation(y_true, y_pred, y_score, sensitive_features, dataset, task, features, query)
    except EvaluationInputError as error:
        quietly(_refused, error, dataset)
        if is_strict():
            raise
    except Exception as error:  # a defect of ours must not stop a training run
        from aims_mlflow.watch import warn_once

        warn_once(f"log_evaluation recorded nothing: {error!r}")


def _log_evaluation(
    y_true: Any,
    y_pred: Any,
    y_score: Any,
    sensitive: Any,
    dataset: str | None,
    task: str | None,
    features: Any,
    query: Any,
) -> None:
    from aims_mlflow.evidence import normalise
    from aims_mlflow.monitors.tables import aggregate

    if not is_attributable():
        raise EvaluationInputError(
            "log_evaluation was called with no active MLflow run, so nothing was recorded.",
            "Call it inside `with mlflow.start_run():` or in a function decorated with govern.",
        )
    declared = declared_here()
    table = aggregate(
        y_true,
        y_pred,
        y_score,
        sensitive,
        dataset,
        task,
        features=features,
        query=query,
        declared=declared.sensitive_features if declared else (),
        slices=declared.slices if declared else (),
        positive_label=declared.positive_label if declared else None,
    )
    body, _notes = normalise(table.model_dump(mode="json"))
    record(body)


def _refused(error: EvaluationInputError, dataset: Any) -> None:
    """Tell the person in one line, and let the evaluation report say INSUFFICIENT and why."""
    import mlflow

    from aims_mlflow import watch

    run = mlflow.active_run()
    named = f"run {run.info.run_name}: " if run else ""
    watch.warn_once(named + " ".join(error.diagnostics().split("\n")))
    problem = {"schema_version": "aims.evaluation_problem/1", "problem": error.message}
    if isinstance(dataset, str):
        problem["dataset"] = dataset
    if not record(problem):
        watch.gap(mlflow.get_tracking_uri(), None, error.message)
