"""aims-mlflow: every MLflow run is its own audit trail.

The names below are loaded when first used; importing the package itself costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aims_mlflow.api import capture, govern, log_evaluation, system

__version__ = "0.1.0"
__all__ = ["__version__", "capture", "govern", "log_evaluation", "system"]

_API = frozenset(__all__) - {"__version__"}


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module("aims_mlflow.api"), name)
    raise AttributeError(f"module 'aims_mlflow' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
