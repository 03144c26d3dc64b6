"""What a person calls to perturb a model's inputs: `evaluate_robustness`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aims_mlflow.api.attribution import (
    declared_here,
    install,
    is_attributable,
    is_strict,
    quietly,
    record,
)
from aims_mlflow.errors import EvaluationInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aims_mlflow.governance.system import AISystem, Perturbation, RobustnessPlan
    from aims_mlflow.readings import Robustness

    Advance = Callable[[int, int, str], None]


def evaluate_robustness(
    model: Any,
    X: Any,
    y: Any,
    *,
    perturbations: Sequence[Perturbation | Mapping[str, Any]] | None = None,
    metrics: Sequence[str] | None = None,
    dataset: str | None = None,
    task: str | None = None,
    max_rows: int | None = None,
    seed: int | None = None,
    predict: Callable[[Any], Any] | None = None,
    progress: bool | None = None,
) -> Robustness:
    """Measure how a model's metrics fall when its inputs are perturbed, and log it to the run.

    Without `perturbations`, those that the system declares under `robustness` are used, else
    `monitors.perturbations.DEFAULTS`. What a perturbation cannot be applied to, or the model has
    no answer to (missing values), is a result with a note and without falls. A permutation
    shuffles one column at a time: its result holds the largest fall of each metric, the results
    `<id>/<column>` those of each column.

    Inside a run, or a governed function, the result is logged like an evaluation: aggregates only.
    What a model says when it refuses inputs may show rows of them: it goes to standard error alone.

    Args:
        model: Anything with `predict(X)`, or a function of X. `predict_proba` is used for metrics
            of binary scores where the model has it.
        X: Inputs, shape (n, p): a pandas or Polars data frame, or a NumPy array, the columns of
            which are named `0`, `1`, ... It is never changed.
        y: True labels or values, shape (n,), or (n, labels) for a multilabel task.
        perturbations: `Perturbation`s or mappings such as
            `{"id": "noise", "kind": "noise", "amount": 0.1, "columns": ["age"]}`.
        metrics: Names as in thresholds. By default accuracy and f1 (f1_macro with more classes;
            roc_auc where there are scores), or mae, rmse and r2; and what the declared thresholds
            hold against a perturbation.
        dataset: Name of the evaluated data.
        task: `binary`, `multiclass`, `multilabel` or `regression`; inferred when None.
        max_rows: Rows that are used at most; more are sampled and the result says so. By default
            as declared, else 10,000.
        seed: Of every draw; by default as declared, else 0.
        predict: Takes the place of the model's `predict` (and `predict_proba`).
        progress: Show a progress bar on standard error; None where that is a terminal.

    Returns:
        The falls, their intervals and how the rows were drawn; without results, and with a note
        that says why, where an argument cannot be used or the model fails on X as it is.

    Raises:
        EvaluationInputError: Only with `AIMS_STRICT=1`. Otherwise that is one line on standard
            error and a gap on the evaluation report: training goes on.
    """
    try:
        return _evaluate(
            model,
            X,
            y,
            perturbations=perturbations,
            metrics=metrics,
            dataset=dataset,
            task=task,
            max_rows=max_rows,
            seed=seed,
            predict=predict,
            progress=progress,
        )
    except EvaluationInputError as error:
        _say_refused(error)
        if is_strict():
            raise
        return _nothing(error.message)


def _evaluate(
    model: Any,
    X: Any,
    y: Any,
    *,
    perturbations: Any,
    metrics: Any,
    dataset: Any,
    task: Any,
    max_rows: Any,
    seed: Any,
    predict: Any,
    progress: bool | None,
) -> Robustness:
    from aims_mlflow.monitors.robustness import Request, evaluate
    from aims_mlflow.monitors.tables import UNNAMED

    declared, note = _declared()
    plan = declared.robustness if declared else None
    with _progress_bar(progress) as advance:
        given: dict[str, Any] = {
            "perturbations": _perturbations(perturbations, plan) or None,
            "metrics": (metrics,) if isinstance(metrics, str) else metrics,
            "further": _judged(declared),
            "dataset": _name(dataset) if dataset is not None else UNNAMED,
            "task": task,
            "positive_label": declared.positive_label if declared else None,
            "max_rows": _whole("max_rows", max_rows, 1) or (plan.max_rows if plan else None),
            "seed": plan.seed if seed is None and plan else _whole("seed", seed, 0),
            "predict": predict,
            "advance": advance,
            "failed": _refused,
        }
        request = Request(**{key: value for key, value in given.items() if value is not None})
        result = evaluate(model, X, y, request)
    if note:
        result = result.model_copy(update={"notes": (*result.notes, note)})
    _record(result)
    return result


def _say_refused(error: EvaluationInputError) -> None:
    """Tell the person in one line, and let the evaluation report say INSUFFICIENT and why."""
    from aims_mlflow.watch import warn_once

    warn_once("evaluate_robustness: " + " ".join(error.diagnostics().split("\n")))
    reason = f"a robustness evaluation was refused: {error.message}"
    body = {"schema_version": "aims.evaluation_problem/1", "problem": reason}
    if quietly(is_attributable):
        quietly(install)
        quietly(record, body)


def _nothing(reason: str) -> Robustness:
    from aims_mlflow.monitors.tables import UNNAMED
    from aims_mlflow.readings import Robustness

    return Robustness(
        dataset=UNNAMED,
        task="unknown",
        n=0,
        n_total=0,
        seed=0,
        error_bound=0.0,
        results=(),
        notes=(f"refused: {reason}",),
    )


def _declared() -> tuple[AISystem | None, str]:
    """The declaration that applies here, and a note where it could not be read."""
    from aims_mlflow.watch import warn_once

    try:
        return declared_here(), ""
    except Exception as error:  # MLflow does not answer: what is measured does not depend on it
        note = f"the system's declaration could not be read ({type(error).__name__})"
        warn_once(f"{note}, so evaluate_robustness uses its own defaults")
        return None, note


def _judged(declared: AISystem | None) -> tuple[str, ...]:
    """The metrics that declared thresholds hold against a perturbation."""
    thresholds = declared.thresholds if declared else ()
    return tuple(t.metric for t in thresholds if t.perturbation is not None and t.metric)


def _perturbations(given: Any, plan: RobustnessPlan | None) -> tuple[Perturbation, ...]:
    """Those of the call, else the declared ones; none where neither names any."""
    declared = plan.perturbations if plan else ()
    if given is None:
        return declared
    found = _read(given)
    for one in found:
        # A threshold knows the perturbation by its id: a weaker one must not answer for it.
        if any(one.id == other.id and one != other for other in declared):
            raise EvaluationInputError(
                f"Perturbation '{one.id}' is not the one that the system declares by this id.",
                "Give it another id, or leave perturbations=None to use the declared ones.",
            )
    return found


def _read(given: Any) -> tuple[Perturbation, ...]:
    from pydantic import ValidationError

    from aims_mlflow.governance.system import Perturbation

    if not given or isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise EvaluationInputError(
            f"perturbations cannot be {'empty' if given == [] else f'a {type(given).__name__}'}.",
            'Pass a list, for example [{"id": "noise", "kind": "noise", "amount": 0.1}].',
        )
    found = []
    for i, item in enumerate(given):
        try:
            found.append(Perturbation.model_validate(item))
        except ValidationError as error:
            first = error.errors()[0]
            at = "".join(f"[{part!r}]" for part in first["loc"])
            raise EvaluationInputError(
                f"perturbations[{i}]{at}: {first['msg'].removeprefix('Value error, ')}.",
                'Write it like {"id": "noise", "kind": "noise", "amount": 0.1}; the kinds are '
                "noise, missing, category_swap, rounding and permutation.",
            ) from error
    return tuple(found)


def _refused(perturbation: str, error: str) -> None:
    from aims_mlflow.watch import warn_once

    warn_once(f"the model has no answer to the inputs of perturbation '{perturbation}': {error}")


def _name(dataset: Any) -> str:
    if not isinstance(dataset, str):
        raise EvaluationInputError(
            f"dataset is a {type(dataset).__name__}, and its name is needed.",
            'Pass a text, for example dataset="test-2026-10".',
        )
    return dataset


def _whole(name: str, value: Any, least: int) -> int | None:
    if value is None:
        return None
    import operator

    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise EvaluationInputError(
            f"{name} is {value!r:.80}.", f"Pass a whole number of at least {least}."
        )
    return number


@contextmanager
def _progress_bar(wanted: bool | None) -> Iterator[Advance | None]:
    """A bar on a terminal, nothing in a log."""
    if wanted is False:
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    console = Console(stderr=True)
    if not (wanted or console.is_terminal):
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("robustness", total=None)

        def advance(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=escape(what))

        yield advance


def _record(result: Robustness) -> None:
    """Log the result to the run it belongs to; say so where there is none."""
    from aims_mlflow import watch
    from aims_mlflow.evidence import normalise

    try:
        if not is_attributable():
            watch.warn_once(
                "evaluate_robustness was called with no active MLflow run: its result is "
                "returned, and not recorded"
            )
            return
        install()
        body, _changes = normalise(result.model_dump(mode="json"))
        record(body)
    except Exception as error:  # the caller still gets what was measured
        watch.warn_once(f"evaluate_robustness recorded nothing: {error!r}")
