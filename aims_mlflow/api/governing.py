"""Whose runs are whose: `govern` and `system`.

Nothing here raises for the sake of governance: the training function's own result, exception and
exit code always pass through. What could not be recorded is one line on standard error and a gap.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, overload

from aims_mlflow.api.attribution import install, quietly
from aims_mlflow.scope import TAG_SYSTEM, Scope, current_system, entered

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
    quietly(install)
    scope = Scope(system_id)
    try:
        with entered(scope):
            yield
    finally:
        quietly(_settle, scope, scope.runs)


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
    outer = quietly(_begin)
    try:
        yield scope
    except GeneratorExit:
        quietly(_end, function, scope, outer, began, "FINISHED")
        raise
    except BaseException:
        quietly(_end, function, scope, outer, began, "FAILED")
        raise
    else:
        quietly(_end, function, scope, outer, began, "FINISHED")


def _begin() -> str | None:
    """Set the hook; the id of the run that is already open, if one is."""
    import mlflow

    install()
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
