"""To which run and which system belongs what a training script hands over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import UsageError
from aims_mlflow.plugins.declaration import declared_system
from aims_mlflow.scope import TAG_SYSTEM, current_scope, current_system

if TYPE_CHECKING:
    from collections.abc import Callable

    from aims_mlflow.governance.system import AISystem


def install() -> None:
    """Set the store hook; a process becomes governed by its first use of this package."""
    from aims_mlflow.plugins.store_hooks import install as set_hook

    set_hook()


def is_attributable() -> bool:
    """Whether there is a run, or a governed function, that what is logged could belong to."""
    import mlflow

    return mlflow.active_run() is not None or current_scope() is not None


def declared_here() -> AISystem | None:
    """The declaration that applies to the active run; None where there is none or it is broken."""
    import mlflow

    run = mlflow.active_run()
    system_id = current_system() or (run.data.tags.get(TAG_SYSTEM) if run else None)
    return declared_system(system_id, run.info.experiment_id if run else None)


def record(body: dict[str, Any]) -> bool:
    """Log aggregates to the active run, else to the run of the governed function.

    From a thread of the function, where no run is open, they belong to the function's only run; a
    function without a run keeps them for the one that is made at its end.

    Returns:
        False where there is neither.
    """
    import mlflow

    from aims_mlflow import watch

    run, scope = mlflow.active_run(), current_scope()
    if run is not None:
        watch.evaluated(mlflow.get_tracking_uri(), run.info.run_id, body)
    elif scope is not None and len(scope.runs) == 1:
        watch.evaluated(mlflow.get_tracking_uri(), scope.runs[0], body)
    elif scope is not None:
        scope.held.append(body)
    else:
        return False
    return True


def quietly(step: Callable[..., Any], *args: Any) -> Any:
    """Run a step of ours around the training function: whatever goes wrong, training goes on."""
    try:
        return step(*args)
    except Exception as error:
        from aims_mlflow.watch import warn_once

        warn_once(f"a governed function may leave no evidence: {error!r}")
        return None


def is_strict() -> bool:
    """Whether bad input shall raise (`AIMS_STRICT=1`)."""
    from aims_mlflow.settings import Settings

    try:
        return Settings.load().strict
    except UsageError:
        return False
