"""A thread of ours may import while MLflow runs an import hook under its lock."""

import subprocess
import sys
import textwrap

import pytest

# The hook of a module that is loaded already runs under MLflow's lock, in this thread. The second
# thread needs that lock for its import, and ends only after the hook where it waits for it.
TWO_THREADS = """
import sys, threading
import mlflow
from mlflow.utils.import_hooks import register_post_import_hook
{relief}
found = []

def hook(module):
    def second():
        import {name}
        found.append({name})
    thread = threading.Thread(target=second, daemon=True)
    thread.start()
    thread.join(4)
    print("waits" if thread.is_alive() else "imported")

assert {name!r} not in sys.modules
register_post_import_hook(hook, "json")
"""
RELIEF = """
from aims_mlflow.plugins.import_locks import pass_unhooked_imports
pass_unhooked_imports()
pass_unhooked_imports()
"""


def second_thread(relief: str, folder) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS.format(relief=relief, name="tabnanny")],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_second_thread_imports_while_mlflow_runs_a_hook(tmp_path):
    assert second_thread(RELIEF, tmp_path) == "imported"


def test_without_it_the_second_thread_would_wait(tmp_path):
    if second_thread("", tmp_path) == "imported":
        pytest.fail("MLflow no longer holds its lock in hooks: plugins/import_locks.py can go")


def test_hooks_of_modules_that_are_imported_later_still_run(tmp_path):
    code = RELIEF + textwrap.dedent("""
        from mlflow.utils.import_hooks import register_post_import_hook
        register_post_import_hook(lambda module: print("hooked", module.__name__), "tabnanny")
        import tabnanny
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert done.stdout.strip() == "hooked tabnanny", done.stderr
