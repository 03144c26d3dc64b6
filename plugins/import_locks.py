"""Keep MLflow's import hooks from bringing two importing threads to a standstill.

MLflow's import finder takes a lock for every import of every thread, while that thread holds the
interpreter's import lock. MLflow also runs hooks under the same lock
(`register_post_import_hook` of a module that is loaded already), and these import in turn: its
first `mlflow.models.evaluate` imports matplotlib that way. A second thread that imports anything
at that moment, as the drainer does, waits for the one lock and holds the other: both wait forever.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

_mutex = threading.Lock()
_done = False


def pass_unhooked_imports() -> None:
    """Let MLflow's finder pass modules that nobody hooked without taking its lock.

    The finder itself does nothing for such a module; only the order of looking and locking
    changes. Doing it again changes nothing.
    """
    global _done
    from mlflow.utils import import_hooks

    with _mutex:
        if _done:
            return
        original = import_hooks.ImportHookFinder.find_spec
        hooked = (import_hooks._post_import_hooks, import_hooks._import_error_hooks)

        @functools.wraps(original)
        def find_spec(self: Any, fullname: str, path: Any, target: Any = None) -> Any:
            if not any(fullname in hooks for hooks in hooked):
                return None
            return original(self, fullname, path, target)

        import_hooks.ImportHookFinder.find_spec = find_spec
        _done = True
