"""`log_reference`: what a model was trained on, as counts that monitors compare with later."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aims_mlflow.api.attribution import install, is_attributable, is_strict, quietly, record
from aims_mlflow.errors import AimsError, SourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aims_mlflow.monitors.reference_summary import Role
    from aims_mlflow.monitors.summaries import DataSummary


def log_reference(
    frame: Any,
    *,
    target: str | None = None,
    prediction: str | None = None,
    score: str | None = None,
    name: str = "reference",
    min_count: int = 10,
    columns: Sequence[str] | None = None,
) -> DataSummary | None:
    """Save reference statistics with the active run, so that monitors need not read its data.

    The frame is counted here and now, column by column: categories, and bins of numbers with the
    sum of each. Never a row is saved: extremes are cut, and bins and categories of fewer than
    `min_count` rows are merged or pooled. Monitors of the model version that the run becomes
    compare new data with these counts (`aims/reference/<name>.json` of the run).

    Called with no open run inside a governed function (also from one of its threads), they go to
    the function's run, or to the one that is made for it at its end. A second call with the same
    name takes the place of the first.

    Args:
        frame: The data, n rows: pandas, Polars (also lazy), Arrow, DuckDB or Spark, or the path
            of a file, such as Parquet.
        target: The column of the true labels or values.
        prediction: The column of the model's predictions, made on these rows.
        score: The column of the model's scores.
        name: Tells several references of one run apart: letters, digits, `_`, `.` and `-`.
            Monitors take `reference` unless they name another.
        min_count: Rows below which nothing is counted by itself, at least 1.
        columns: The columns to count beside target, prediction and score; all by default.

    Returns:
        What is saved; None where an argument or the data cannot be used.

    Raises:
        AimsError: Only with `AIMS_STRICT=1`. Otherwise bad input is one line on standard error
            and a gap: training goes on, and the monitor says that the reference is missing.
    """
    roles: dict[Role, str | None] = {"target": target, "prediction": prediction, "score": score}
    try:
        install()
        return _logged(frame, roles, name, min_count, columns)
    except AimsError as error:
        quietly(_refused, error.message, error.fix)
        if is_strict():
            raise
    except Exception as error:  # a defect of ours must not stop a training run
        # A gap is sealed, and the text of an error may hold a value of the data.
        quietly(_refused, f"log_reference saved nothing: {type(error).__name__}", "", repr(error))
    return None


def _logged(
    frame: Any,
    roles: Mapping[Role, str | None],
    name: str,
    min_count: int,
    columns: Sequence[str] | None,
) -> DataSummary:
    from aims_mlflow.monitors.reference_summary import reference_summary
    from aims_mlflow.references import AUTOMATIC, is_name, reference_body

    if not is_attributable():
        raise UsageError(
            "log_reference was called with no active MLflow run, so nothing was saved.",
            "Call it inside `with mlflow.start_run():` or in a function decorated with govern.",
        )
    if not is_name(name) or name == AUTOMATIC:
        raise UsageError(
            f"log_reference cannot save under the name {name!r:.100}.",
            f"Use letters, digits, '_', '.' and '-', at most 100; not '{AUTOMATIC}'.",
        )
    count = partial(reference_summary, roles=roles, columns=columns, min_count=min_count)
    summary = _of_file(frame, count) if isinstance(frame, str | Path) else count(frame)
    _forget_automatic()
    record(reference_body(summary, name))
    return summary


def _of_file(path: str | Path, count: Callable[..., DataSummary]) -> DataSummary:
    from aims_mlflow.monitors.sources import open_source

    with open_source(path) as opened:
        try:
            return count(opened.frame, notes=opened.notes)
        except SourceError as error:  # a damaged page shows only while it is counted
            raise opened.explain(error) from error


def _forget_automatic() -> None:
    """What a person saves for a run makes one from its logged data set superfluous."""
    import mlflow

    from aims_mlflow.plugins.datasets import supersede

    run = mlflow.active_run()
    if run is not None:
        supersede(run.info.run_id)


def _refused(message: str, fix: str, detail: str = "") -> None:
    """Tell the person in one line, and leave a gap."""
    import mlflow

    from aims_mlflow import watch
    from aims_mlflow.secrets import cleared

    run = mlflow.active_run()
    named = f"run {run.info.run_name}: " if run else ""
    watch.warn_once(" ".join(f"{named}{message} {fix} {detail}".split()))
    clean = cleared(message)[0]
    watch.gap(mlflow.get_tracking_uri(), run.info.run_id if run else None, clean)
