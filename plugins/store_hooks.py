"""Where a run's begin, end and registration are seen: on the store that MLflow writes them to.

MLflow has no run-end hook. Every store is made by `StoreRegistry.get_store_builder`, so the stores
it makes get two of their methods wrapped, on the instance (`isinstance` stays true). That covers
`with`, nested runs, autolog, exceptions, `MlflowClient` and scripts that never call `end_run`. The
stores of the model registry are made by the same class: a registered version is seen there.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from aims_mlflow.scope import (
    KIND_HISTORY,
    KIND_MONITOR,
    TAG_ENVIRONMENT_OF,
    TAG_KIND,
    TAG_SYSTEM,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_lock = threading.Lock()
_installed = False
#: Runs of monitors that this process began: monitors seal their own evidence.
_of_monitors: set[str] = set()

#: Set in MLflow's own server processes. Their clients capture; a server must not do it twice.
_SERVER_VARIABLE = "_MLFLOW_SERVER_FILE_STORE"
_TAG_PARENT = "mlflow.parentRunId"
#: Where MLflow keeps the stores that it made.
_CACHES = (
    ("mlflow.tracking._tracking_service.registry", "TrackingStoreRegistry"),
    ("mlflow.tracking._model_registry.registry", "ModelRegistryStoreRegistry"),
)


def install() -> bool:
    """Wrap the stores of this process; True where that was done, now or before."""
    global _installed
    with _lock:
        if _installed:
            return True
        if _SERVER_VARIABLE in os.environ:
            return False
        from mlflow.tracking.registry import StoreRegistry

        from aims_mlflow.plugins.import_locks import pass_unhooked_imports

        _guarded(pass_unhooked_imports)
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
    for module, name in _CACHES:
        registry = getattr(sys.modules.get(module), name, None)
        cached: Any = getattr(registry, "_get_store_with_resolved_uri", None)
        if cached is not None and hasattr(cached, "cache_clear"):
            cached.cache_clear()


def _wrapped_builder(builder: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(builder)
    def build(*args: Any, **kwargs: Any) -> Any:
        store = builder(*args, **kwargs)
        uri = kwargs.get("store_uri", args[0] if args else None)
        if uri is not None and hasattr(store, "update_run_info") and hasattr(store, "create_run"):
            _wrap(store, str(uri))
        elif hasattr(store, "create_model_version"):
            _wrap_registry(store)
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
    if hasattr(store, "log_inputs"):
        _wrap_inputs(store, uri)


def _wrap_inputs(store: Any, uri: str) -> None:
    from aims_mlflow.plugins import datasets

    _guarded(datasets.install)
    log_inputs = store.log_inputs

    @functools.wraps(log_inputs)
    def inputs(run_id: str, *args: Any, **kwargs: Any) -> Any:
        answer = log_inputs(run_id, *args, **kwargs)
        given = kwargs.get("datasets", args[0] if args else None)
        if run_id not in _of_monitors:
            _guarded(datasets.logged, uri, run_id, given)
        return answer

    store.log_inputs = inputs


def _wrap_registry(store: Any) -> None:
    create_model_version = store.create_model_version

    @functools.wraps(create_model_version)
    def create(*args: Any, **kwargs: Any) -> Any:
        version = create_model_version(*args, **kwargs)
        _guarded(_registered, version)
        return version

    store.create_model_version = create


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
    """The arguments of `create_run` with our tags; `tags` is the fourth of them."""
    from aims_mlflow.scope import current_system

    given = list((kwargs["tags"] if "tags" in kwargs else args[3]) or [])
    parent = next((str(tag.value) for tag in given if tag.key == _TAG_PARENT), None)
    added = {TAG_SYSTEM: current_system(), TAG_ENVIRONMENT_OF: _environment_of(parent)}
    present = {tag.key for tag in given}
    ours = {key: value for key, value in added.items() if value and key not in present}
    if not ours:
        return args, kwargs
    from mlflow.entities import RunTag

    tags = [*given, *(RunTag(key, value) for key, value in ours.items())]
    if "tags" in kwargs:
        return args, {**kwargs, "tags": tags}
    return (*args[:3], tags, *args[4:]), kwargs


def _environment_of(parent: str | None) -> str | None:
    """The open run of this process whose environment is also that of a child of `parent`."""
    if parent is None:
        return None
    from aims_mlflow import watch

    return watch.environment_of(parent)


def _started(uri: str, run: Any) -> None:
    from aims_mlflow import watch

    if run.data.tags.get(TAG_KIND) in (KIND_MONITOR, KIND_HISTORY):
        _of_monitors.add(run.info.run_id)
        return
    watch.run_started(uri, run.info.run_id, run.data.tags.get(_TAG_PARENT))


def _ended(uri: str, run_id: str, run_status: Any) -> None:
    from mlflow.entities import RunStatus

    if run_status is None or run_id in _of_monitors:
        return
    from aims_mlflow import watch

    if RunStatus.is_terminated(run_status):
        watch.run_ended(uri, run_id, RunStatus.to_string(run_status))
    else:
        watch.run_resumed(uri, run_id)


def _registered(version: Any) -> None:
    """A version came into being; one without a run, such as a prompt, is none of a model."""
    if not version.run_id:
        return
    import mlflow

    from aims_mlflow import watch

    watch.registered(
        mlflow.get_tracking_uri(), str(version.run_id), str(version.name), str(version.version)
    )
