"""Which AI system the running code belongs to. Standard library only: it is on the hot path."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


#: The run tag that carries the system from the training process to capture.
TAG_SYSTEM = "aims.system"
#: The run whose environment lock is also this run's: both were begun by one process.
TAG_ENVIRONMENT_OF = "aims.environment_of"
#: What a run of this package's own is. No such run is captured: a monitor seals its own evidence.
TAG_KIND = "aims.kind"
KIND_MONITOR, KIND_HISTORY = "monitor", "monitor_history"


class Scope:
    """The extent of a decorator or a `with aims_mlflow.system(...)`, and the runs begun in it."""

    def __init__(self, system: str | None) -> None:
        self.system = system
        self.runs: list[str] = []
        #: Evaluations that were logged while no run was open: tables of `log_evaluation`.
        self.held: list[dict[str, Any]] = []


_current: ContextVar[Scope | None] = ContextVar("aims_scope", default=None)
_active: list[Scope] = []
_mutex = threading.Lock()


@contextmanager
def entered(scope: Scope) -> Iterator[Scope]:
    """Make `scope` the current one in this thread or task, and known to threads begun in it."""
    token = _current.set(scope)
    with _mutex:
        _active.append(scope)
    try:
        yield scope
    finally:
        with _mutex:
            _active.remove(scope)
        _current.reset(token)


def current_scope() -> Scope | None:
    """The scope of this thread or task, else the only one that is open in the process.

    A new thread starts with an empty context, so a training thread that the decorated function
    began is found through the process; with two different systems open there, it is nobody's.
    """
    scope = _current.get()
    if scope is not None:
        return scope
    with _mutex:
        if len({s.system for s in _active}) == 1:
            return _active[-1]
    return None


def current_system() -> str | None:
    """The system named in the code, else by `AIMS_SYSTEM`, else None (the profile may claim it)."""
    scope = current_scope()
    if scope is not None and scope.system is not None:
        return scope.system
    return os.environ.get("AIMS_SYSTEM") or None
