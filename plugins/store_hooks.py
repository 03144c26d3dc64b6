"""Where a run's begin and end are seen: on the store that MLflow writes them to.

MLflow has no run-end hook. Every store is made by `StoreRegistry.get_store_builder`, so the stores
it makes get two of their methods wrapped, on the instance (`isinstance` stays true). That covers
`with`, nested runs, autolog, exceptions, `MlflowClient` and scripts that never call `end_run`.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from aims_mlflow.scope import TAG_SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable

_lock = threading.Lock()
_installed = False

#: Set in MLflow's own server processes. Their clients capture; a server must not do it twice.
_SERVER_VARIABLE = "_MLFLOW_SERVER_FILE_STORE"


def install() -> bool:
    """Wrap the stores of this process; True where that was done, now or before."""
    global _installed
    with _lock:
        if _installed:
            return True
        if _SERVER_VARIABLE in os.environ:
            return False
        from mlflow.tracking.registry import StoreRegistry

        original = StoreRegistry.get_store_builder

        @functools.wraps(original)
        def get_store_builder(self: Any, store_uri: str) -> Callable[..., Any]:
            return _wrapped_builder(original(self, store_uri))

        StoreRegistry.get_store_builder = get_store_builder
        _forget_stores()
        _installed = True
        return True


def _forget_stores() -> None:
    """Stores made before the hook was set are made anew, wrapped, when they are next asked for."""
    registry = sys.modules.get("mlflow.tracking._tracking_service.registry")
    if registry is not None:
        cached = registry.TrackingStoreRegistry._get_store_with_resolved_uri
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


def _wrapped_builder(builder: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(builder)
    def build(*args: Any, **kwargs: Any) -> Any:
        store = builder(*args, **kwargs)
        uri = kwargs.get("store_uri", args[0] if args else None)
        if uri is not None and hasattr(store, "update_run_info") and hasattr(store, "create_run"):
            _wrap(store, str(uri))
        return store

    return build


def _wrap(store: Any, uri: str) -> None:
    create_run, update_run_info = store.create_run, store.update_run_info

    @functools.wraps(create_run)
    def create(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _guarded(_tagged, args, kwargs) or (args, kwargs)
        run = create_run(*args, **kwargs)
        _guarded(_started, uri, run)
        return run

    @functools.wraps(update_run_info)
    def update(run_id: str, run_status: Any, *args: Any, **kwargs: Any) -> Any:
        info = update_run_info(run_id, run_status, *args, **kwargs)
        _guarded(_ended, uri, run_id, run_status)
        return info

    store.create_run, store.update_run_info = create, update


def _guarded(step: Callable[..., Any], *args: Any) -> Any:
    """Run a step of ours inside MLflow's call: whatever goes wrong, MLflow's call goes on."""
    try:
        return step(*args)
    except Exception as error:
        from aims_mlflow.watch import warn_once

        warn_once(f"a run may not be captured: {error!r}")
        return None


def _tagged(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `create_run` with our tag; `tags` is the fourth of them."""
    from mlflow.entities import RunTag

    from aims_mlflow.scope import current_system

    system = current_system()
    if system is None:
        return args, kwargs
    given = kwargs["tags"] if "tags" in kwargs else args[3]
    tags = list(given or [])
    if not any(tag.key == TAG_SYSTEM for tag in tags):
        tags.append(RunTag(TAG_SYSTEM, system))
    if "tags" in kwargs:
        return args, {**kwargs, "tags": tags}
    return (*args[:3], tags, *args[4:]), kwargs


def _started(uri: str, run: Any) -> None:
    from aims_mlflow import watch

    watch.run_started(uri, run.info.run_id)


def _ended(uri: str, run_id: str, run_status: Any) -> None:
    from mlflow.entities import RunStatus

    if run_status is None or not RunStatus.is_terminated(run_status):
        return
    from aims_mlflow import watch

    watch.run_ended(uri, run_id, RunStatus.to_string(run_status))
