"""The one entry point by which MLflow loads this package: tiny, and it never raises.

MLflow imports it in every process that tracks, and catches only ImportError and AttributeError
here. Merely installed, nothing happens: hooks are set only in a governed process.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

from mlflow.tracking.context.abstract_context import RunContextProvider


def _set_hooks() -> None:
    try:
        if _governed():
            from aims_mlflow.plugins.store_hooks import install

            install()
    except Exception as error:  # a broken installation of ours must not break an import of MLflow
        print(f"aims: capture is off in this process: {error!r}", file=sys.stderr)


def _governed() -> bool:
    if os.environ.get("AIMS_DISABLE", "").lower() in {"1", "true", "yes", "on"}:
        return False
    if os.environ.get("AIMS_SYSTEM") or os.environ.get("AIMS_PROFILE"):
        return True
    from aims_mlflow.governance.find import find_profile

    return find_profile() is not None


def _at_exit() -> None:
    watch = sys.modules.get("aims_mlflow.watch")
    if watch is not None:
        watch.finish()


class AimsRunContext(RunContextProvider):  # type: ignore[misc]
    """Sets the hooks where a process is governed; adds no tags of its own."""

    def in_context(self) -> bool:
        """Look again at each run: the working directory or `AIMS_SYSTEM` may have changed."""
        if "aims_mlflow.plugins.store_hooks" not in sys.modules:
            _set_hooks()
        return False

    def tags(self) -> dict[str, Any]:
        """No tags: the store hook sets `aims.system`, also for runs that no provider sees."""
        return {}


# Registered while MLflow is being imported, and so before MLflow's own handler that ends the
# open run: handlers run last in, first out, so this one sees the run already ended.
atexit.register(_at_exit)
_set_hooks()
