"""What a training script calls: `govern`, `system`, `log_evaluation`, `capture`.

Nothing here raises for the sake of governance: the training function's own result, exception and
exit code always pass through. What could not be recorded is one line on standard error and a gap.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from aims_mlflow.errors import AimsError, EvaluationInputError, UsageError
from aims_mlflow.scope import TAG_SYSTEM, Scope, current_scope, current_system, entered

if TYPE_CHECKING:
    from aims_mlflow.capture import Captured
    from aims_mlflow.governance.system import AISystem

_F = TypeVar("_F", bound=Callable[..., Any])


@overload
def govern(system: _F) -> _F: ...
@overload
def govern(system: str | None = None) -> Callable[[_F], _F]: ...
def govern(system: Any = None) -> Any:
    """Govern every MLflow run that the decorated function starts.

    Works on plain, async, generator and async-generator functions and keeps their signature. A
    function that starts its own runs (or autolog's, or none while one is open) keeps them as they
    are; one that starts none gets a run of its own, named after it.

    Args:
        system: The AI system's id, as in `governance/systems/<id>.yaml`. Without it (`@govern`)
            the system is `AIMS_SYSTEM`, else the one that claims the run's experiment.

    Raises:
        TypeError: `system` is neither a string nor a function.

    >>> @govern("credit-scoring")
    ... def train(depth): ...
    >>> str(inspect.signature(train))
    '(depth)'
    """
    if callable(system):
        return _decorate(system, None)
    if system is not None and not isinstance(system, str):
        raise TypeError(
            f"govern() takes the id of an AI system, such as govern('credit-scoring'), "
            f"not {type(system).__name__}"
        )
    return lambda function: _decorate(function, system)


@contextmanager
def system(system_id: str) -> Iterator[None]:
    """Attribute the runs begun in this block to an AI system.

    >>> with system("credit-scoring"):
    ...     current_system()
    'credit-scoring'
    """
    _quietly(_install)
    scope = Scope(system_id)
    try:
        with entered(scope):
            yield
    finally:
        _quietly(_settle, scope, scope.runs)


def log_evaluation(
    y_true: Any,
    y_pred: Any,
    y_score: Any = None,
    sensitive_features: Any = None,
    dataset: str | None = None,
    task: str | None = None,
) -> None:
    """Log an evaluation of the active run as aggregates; never a row leaves the process.

    Logged are confusion counts by group and by intersection of groups, score histograms, residual
    sums and the few scalars that counts cannot give (ROC AUC, ...). Thresholds are judged later,
    from these tables.

    Called with no open run inside a governed function (also from one of its threads), the
    evaluation goes to the function's run, or to the one that is made for it at its end.

    Args:
        y_true: True labels or values, shape (n,): list, NumPy, pandas, Polars, Arrow.
        y_pred: Predicted labels or values, shape (n,).
        y_score: Probability of the positive class, shape (n,) or (n, 2); optional.
        sensitive_features: Protected attributes, n rows: a data frame, a dict of columns, a
            series. Numeric ones are cut at the `bins` that the profile declares.
        dataset: Name of the data that was evaluated, as logged to MLflow where it was.
        task: `binary`, `multiclass` or `regression`; inferred from the labels when None.

    Raises:
        EvaluationInputError: Only with `AIMS_STRICT=1`. Otherwise bad input is one line on
            standard error and a gap on the evaluation report: training goes on.
    """
    try:
        _install()
        _log_evaluation(y_true, y_pred, y_score, sensitive_features, dataset, task)
    except EvaluationInputError as error:
        _quietly(_refused, error)
        if _strict():
            raise
    except Exception as error:  # a defect of ours must not stop a training run
        from aims_mlflow.watch import warn_once

        warn_once(f"log_evaluation recorded nothing: {error!r}")


def capture(run_id: str) -> Captured:
    """Capture one run now and wait for it: documents on the run, evidence in the ledger.

    Args:
        run_id: The MLflow run, in the store that MLflow is set to.

    Raises:
        RunNotFoundError: The run does not exist.
        TrackingError: MLflow does not answer.
        LedgerError: The ledger cannot be written.
    """
    import mlflow

    from aims_mlflow.capture import capture as capture_run
    from aims_mlflow.drain import actor
    from aims_mlflow.workspace import Workspace

    workspace = Workspace()
    try:
        tracking = workspace.tracking(mlflow.get_tracking_uri())
        return capture_run(
            run_id,
            tracking=tracking,
            ledger=workspace.ledger(tracking),
            profile=workspace.profile,
            source="capture",
            actor=actor(),
        )
    finally:
        workspace.close()


def _install() -> None:
    """Set the store hook; a process becomes governed by its first use of this package."""
    from aims_mlflow.plugins.store_hooks import install

    install()


def _decorate(function: Callable[..., Any], system_id: str | None) -> Callable[..., Any]:
    """The wrapper of the right colour: plain, async, generator or async generator."""

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with _guarded(function, system_id) as scope, entered(scope):
            return function(*args, **kwargs)

    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with _guarded(function, system_id) as scope, entered(scope):
            return await function(*args, **kwargs)

    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with _guarded(function, system_id) as scope:
            return (yield from _stepped(function(*args, **kwargs), scope))

    @functools.wraps(function)
    async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with _guarded(function, system_id) as scope:
            inner = function(*args, **kwargs)
            step: Callable[[], Any] = inner.__anext__
            while True:
                with entered(scope):
                    try:
                        item = await step()
                    except StopAsyncIteration:
                        return
                try:
                    step = functools.partial(inner.asend, (yield item))
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as thrown:
                    step = functools.partial(inner.athrow, thrown)

    if inspect.isasyncgenfunction(function):
        return async_generator
    if inspect.iscoroutinefunction(function):
        return coroutine
    if inspect.isgeneratorfunction(function):
        return generator
    return plain


def _stepped(inner: Generator[Any, Any, Any], scope: Scope) -> Generator[Any, Any, Any]:
    """Drive a generator with the scope entered only while its own code runs.

    Between two steps the caller's code runs, and its runs are not the decorated function's.
    """
    step: Callable[[], Any] = functools.partial(next, inner)
    while True:
        with entered(scope):
            try:
                item = step()
            except StopIteration as stop:
                return stop.value
        try:
            step = functools.partial(inner.send, (yield item))
        except GeneratorExit:
            with entered(scope):
                inner.close()
            raise
        except BaseException as thrown:
            step = functools.partial(inner.throw, thrown)


@contextmanager
def _guarded(function: Callable[..., Any], system_id: str | None) -> Iterator[Scope]:
    """The function's scope; afterwards, a run for it if it left none, and our own run ended."""
    scope = Scope(system_id)
    began = int(time.time() * 1000)
    outer = _quietly(_begin)
    try:
        yield scope
    except GeneratorExit:
        _quietly(_end, function, scope, outer, began, "FINISHED")
        raise
    except BaseException:
        _quietly(_end, function, scope, outer, began, "FAILED")
        raise
    else:
        _quietly(_end, function, scope, outer, began, "FINISHED")


def _begin() -> str | None:
    """Set the hook; the id of the run that is already open, if one is."""
    import mlflow

    _install()
    run = mlflow.active_run()
    return str(run.info.run_id) if run else None


def _end(
    function: Callable[..., Any], scope: Scope, outer: str | None, began: int, status: str
) -> None:
    import mlflow
    from mlflow.tracking.context.registry import resolve_tags

    from aims_mlflow import watch

    runs = scope.runs or ([outer] if outer else [])
    if runs or (mlflow.active_run() is not None and not scope.held):
        _settle(scope, runs)
        return
    tags = dict(resolve_tags())
    with entered(scope):
        system_id = current_system()
    if system_id is not None:
        tags[TAG_SYSTEM] = system_id
    watch.run_missing(
        mlflow.get_tracking_uri(),
        scope,
        name=function.__name__,
        started=began,
        ended=int(time.time() * 1000),
        status=status,
        tags=tags,
    )


def _settle(scope: Scope, runs: list[str]) -> None:
    """Give the evaluations that were logged without an open run to the only run there is."""
    if not scope.held:
        return
    import mlflow

    from aims_mlflow import watch

    uri = mlflow.get_tracking_uri()
    if len(runs) == 1:
        for table in scope.held:
            watch.evaluated(uri, runs[0], table)
    else:
        beside = f"beside {len(runs)} runs" if runs else "and no run was started"
        message = f"{len(scope.held)} evaluations were logged with no open run, {beside}"
        watch.warn_once(message)
        watch.gap(uri, None, message)
    scope.held.clear()


def _quietly(step: Callable[..., Any], *args: Any) -> Any:
    """Run a step of ours around the training function: whatever goes wrong, training goes on."""
    try:
        return step(*args)
    except Exception as error:
        from aims_mlflow.watch import warn_once

        warn_once(f"a governed function may leave no evidence: {error!r}")
        return None


def _log_evaluation(
    y_true: Any, y_pred: Any, y_score: Any, sensitive: Any, dataset: str | None, task: str | None
) -> None:
    import mlflow

    from aims_mlflow import watch
    from aims_mlflow.evidence import normalise
    from aims_mlflow.monitors.tables import aggregate

    run = mlflow.active_run()
    scope = current_scope()
    if run is None and scope is None:
        raise EvaluationInputError(
            "log_evaluation was called with no active MLflow run, so nothing was recorded.",
            "Call it inside `with mlflow.start_run():` or in a function decorated with govern.",
        )
    system_id = current_system() or (run.data.tags.get(TAG_SYSTEM) if run else None)
    declared = _declared(system_id, run.info.experiment_id if run else None)
    table = aggregate(
        y_true,
        y_pred,
        y_score,
        sensitive,
        dataset,
        task,
        declared=declared.sensitive_features if declared else (),
        positive_label=declared.positive_label if declared else None,
    )
    body, _notes = normalise(table.model_dump(mode="json"))
    if run is not None:
        watch.evaluated(mlflow.get_tracking_uri(), run.info.run_id, body)
    elif scope is not None:
        _hold(scope, body)


def _hold(scope: Scope, table: dict[str, Any]) -> None:
    """From a thread of the function, where no run is open: it belongs to the function's run."""
    if len(scope.runs) == 1:
        import mlflow

        from aims_mlflow import watch

        watch.evaluated(mlflow.get_tracking_uri(), scope.runs[0], table)
    else:
        scope.held.append(table)


def _declared(system_id: str | None, experiment_id: str | None) -> AISystem | None:
    """The declaration that applies to the active run; None where there is none or it is broken."""
    from aims_mlflow.governance.find import find_profile
    from aims_mlflow.governance.loader import load_profile

    try:
        folder = find_profile()
    except AimsError:
        return None
    profile = load_profile(folder)
    if system_id is None and experiment_id is not None and profile.systems:
        import mlflow

        name = mlflow.get_experiment(experiment_id).name
        system_id = profile.claimant(name, ())
    return profile.system(system_id) if system_id else None


def _refused(error: EvaluationInputError) -> None:
    """Tell the person in one line, and let the evaluation report say INSUFFICIENT and why."""
    import mlflow

    from aims_mlflow import watch

    run = mlflow.active_run()
    named = f"run {run.info.run_name}: " if run else ""
    watch.warn_once(named + " ".join(error.diagnostics().split("\n")))
    problem = {"schema_version": "aims.evaluation_problem/1", "problem": error.message}
    scope = current_scope()
    if run is not None:
        watch.evaluated(mlflow.get_tracking_uri(), run.info.run_id, problem)
    elif scope is not None:
        _hold(scope, problem)
    else:
        watch.gap(mlflow.get_tracking_uri(), None, error.message)


def _strict() -> bool:
    from aims_mlflow.settings import Settings

    try:
        return Settings.load().strict
    except UsageError:
        return False
