"""aims-mlflow: every MLflow run is its own audit trail.

The names below are loaded when first used; importing the package itself costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aims_mlflow.api.capturing import capture
    from aims_mlflow.api.evaluating import log_evaluation
    from aims_mlflow.api.governing import govern, system
    from aims_mlflow.api.referencing import log_reference
    from aims_mlflow.api.robustness import evaluate_robustness

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "capture",
    "evaluate_robustness",
    "govern",
    "log_evaluation",
    "log_reference",
    "system",
]

_API = {
    "capture": "aims_mlflow.api.capturing",
    "evaluate_robustness": "aims_mlflow.api.robustness",
    "govern": "aims_mlflow.api.governing",
    "log_evaluation": "aims_mlflow.api.evaluating",
    "log_reference": "aims_mlflow.api.referencing",
    "system": "aims_mlflow.api.governing",
}


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module(_API[name]), name)
    raise AttributeError(f"module 'aims_mlflow' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
