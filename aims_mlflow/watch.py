"""The hot side of capture: what the training thread does, which is one append to a file.

Imports here are few and light; everything that reads MLflow, renders or seals lives in
`drain.py` and is loaded by the drainer thread.
"""

from __future__ import annotations

import atexit
import gc
import itertools
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import ProfileError
from aims_mlflow.governance.find import find_profile
from aims_mlflow.scope import Scope, current_scope, current_system
from aims_mlflow.spool import Intent, Spool

if TYPE_CHECKING:
    from aims_mlflow.drain import Drainer, Promise

#: While governed runs are open, the drainer rests this many times as long as it worked, so that
#: it takes at most about 5 % of the interpreter from the training thread.
REST_FACTOR = 20.0
#: Seconds: the longest rest, and the pause after a failure.
MAX_REST = 5.0
RETRY_PAUSE = 5.0
#: Seconds without an event after which the drainer begins, and how long it waits for that at most:
#: in a loop of short runs its imports and captures would compete with the loop.
_QUIET = 0.5
_MAX_WAIT = 30.0


class Watch:
    """One per process: the spool, the open runs and the drainer thread."""

    def __init__(self) -> None:
        #: Where the process was first governed: a script may change its directory later.
        self.start = Path.cwd()
        self.spool = Spool(_spool_folder())
        self.exiting = threading.Event()
        self._mutex = threading.Lock()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None
        #: The open runs, each with the run whose environment is also its own; None where nobody
        #: recorded the environment of this process for it.
        self._open: dict[str, str | None] = {}
        self._parents: dict[str, str] = {}
        self._changed = time.monotonic()
        self._pending: list[Intent] = []
        self._failed: list[Intent] = []
        self._drainer: Drainer | None = None
        self._numbers = itertools.count()
        #: Data sets that the drainer is to count, by the intent that announces each.
        self._promised: dict[str, Promise] = {}

    def promise(self, intent: Intent, promise: Promise) -> None:
        """Spool an intent that only this process can fulfil; in any other it becomes a gap."""
        key = f"{intent['run_id']}-{next(self._numbers)}"
        self._promised[key] = promise
        self.put({**intent, "promise": key})

    def put(self, intent: Intent) -> None:
        """Spool an intent and wake the drainer."""
        self.spool.put(intent)
        with self._mutex:
            self._note(intent)
            if self._thread is None:
                self._start()
            # Both under the lock: the drainer may call itself idle only if nobody woke it.
            self._idle.clear()
            self._wake.set()

    def finish(self, timeout: float) -> None:
        """Let the drainer work at full speed until it is done or `timeout` seconds passed."""
        with self._mutex:
            self.exiting.set()
            self._idle.clear()
            self._wake.set()
        if self._thread is not None and self._thread.is_alive():
            self._idle.wait(timeout)
        else:
            self._cycle()

    def report(self) -> tuple[Drainer | None, list[Intent]]:
        """The drainer with its progress, and the intents that still wait."""
        with self._mutex:
            held = self._drainer.waiting_children() if self._drainer else []
            return self._drainer, [*self._failed, *self._pending, *held, *self.spool.take()]

    def is_open(self, run_id: str | None) -> bool:
        """Whether a run was begun in this process and has not ended."""
        return run_id in self._open

    def environment_of(self, run_id: str) -> str | None:
        """The run whose environment is that of an open run of this process; None for others."""
        return self._open.get(run_id)

    def open_parent(self, run_id: str) -> str | None:
        """The parent of a run, where that is open in this process."""
        parent = self._parents.get(run_id)
        return parent if self.is_open(parent) else None

    def _note(self, intent: Intent) -> None:
        self._changed = time.monotonic()
        if intent["what"] == "started":
            run_id, parent = intent["run_id"], intent.get("parent")
            self._open[run_id] = intent.get("environment_of", run_id)
            if parent is not None:
                self._parents[run_id] = parent
        elif intent["what"] == "resumed":
            self._open.setdefault(intent["run_id"], None)
        elif intent["what"] == "ended":
            self._open.pop(intent["run_id"], None)
            self._parents.pop(intent["run_id"], None)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="aims-drainer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # interpreter shutdown: `finish` drains in the main thread instead
            self._thread = None
        else:
            self._thread = thread

    def _run(self) -> None:
        _tolerate_late_imports()
        while True:
            self._wake.wait()
            self._wake.clear()
            try:
                left = self._cycle()
            except Exception as error:
                warn_once(f"the drainer stopped: {error!r}; run: aims sync")
                self._idle.set()
                return
            if left and not self.exiting.is_set():
                self.exiting.wait(RETRY_PAUSE)
                self._wake.set()

    def _cycle(self) -> bool:
        """Process what waits; True if something must be tried again."""
        self._wait_for_quiet()
        _draining.now = True
        try:
            return self._drain()
        finally:
            _draining.now = False

    def _drain(self) -> bool:
        drainer = self._ready()
        drainer.begin()
        self._work(drainer)
        if self.exiting.is_set():
            # Whatever is still open, nobody will end: its children wait for nothing any more.
            drainer.settle()
            with self._mutex:
                self._pending += drainer.released()
            self._work(drainer)
        drainer.capture_unfinished()
        with self._mutex:
            self._pending, self._failed = self._failed, []
            if not self._pending and not drainer.waiting_children():
                self.spool.forget()
            if not self._wake.is_set():
                self._idle.set()
            return bool(self._pending)

    def _work(self, drainer: Drainer) -> None:
        while (intent := self._next()) is not None:
            began = time.monotonic()
            done = drainer.process(intent)
            with self._mutex:
                # Taken off only now: at any moment, what is not done is in one of the two lists.
                self._pending.pop(0)
                if not done:
                    self._failed.append(intent)
                self._pending += drainer.released()
            self._rest(time.monotonic() - began)

    def _next(self) -> Intent | None:
        with self._mutex:
            self._pending += self.spool.take()
            return self._pending[0] if self._pending else None

    def _wait_for_quiet(self) -> None:
        deadline = time.monotonic() + _MAX_WAIT
        while (now := time.monotonic()) < deadline:
            left = _QUIET - (now - self._changed)
            if left <= 0 or self.exiting.wait(left):
                return

    def _ready(self) -> Drainer:
        if self._drainer is None:
            from aims_mlflow.drain import Drainer
            from aims_mlflow.workspace import Workspace

            workspace = Workspace.lenient(self.start)
            self._drainer = Drainer(workspace, source="hook", own=True, promised=self._promised)
        return self._drainer

    def _rest(self, worked: float) -> None:
        if self._open or time.monotonic() - self._changed < _QUIET:
            self.exiting.wait(min(worked * REST_FACTOR, MAX_REST))


def _tolerate_late_imports() -> None:
    """Let the drainer import libraries while the interpreter shuts down.

    joblib and concurrent.futures register the clean-up of their pools when they are imported, and
    that raises once the main thread has ended. The drainer starts no pool: nothing to clean up.
    """
    register = getattr(threading, "_register_atexit", None)
    if register is None or getattr(register, "aims", False):
        return
    drainer = threading.current_thread()

    def tolerant(*args: Any, **kwargs: Any) -> None:
        try:
            register(*args, **kwargs)
        except RuntimeError:
            if threading.current_thread() is not drainer:
                raise

    tolerant.aims = True  # type: ignore[attr-defined]
    threading._register_atexit = tolerant  # type: ignore[attr-defined]


_watch: Watch | None = None
_inherited: list[Watch | None] = []
_create = threading.Lock()
#: Set in a thread while it drains: the runs that a drainer makes are no runs of the script.
_draining = threading.local()
_warned: set[str] = set()
_process_is_ending = False


def watch() -> Watch:
    """The watch of this process, made when first needed."""
    global _watch
    with _create:
        if _watch is None:
            _watch = Watch()
            # Registered after MLflow's handler and so called before it: a run that MLflow ends
            # in its handler is one that the script left open.
            atexit.register(_mark_process_end)
        return _watch


def _after_fork() -> None:
    """A forked child has its parent's memory, and neither its threads nor its open runs.

    The parent's watch is kept unused: collecting it would release the parent's file lock.
    """
    global _watch, _create
    _inherited.append(_watch)
    _watch, _create = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def environment_of(run_id: str) -> str | None:
    """The run whose environment is that of an open run of this process; None for others."""
    return _watch.environment_of(run_id) if _watch is not None else None


def run_started(uri: str, run_id: str, parent: str | None = None) -> None:
    """A run began: the drainer records this process's environment for it.

    A child of a run that is open in this process shares its environment, and waits for its end.
    """
    if getattr(_draining, "now", False):
        return
    scope = current_scope()
    if scope is not None:
        scope.runs.append(run_id)
    intent: Intent = {"what": "started", "uri": uri, "run_id": run_id}
    if parent is not None and watch().is_open(parent):
        intent["parent"] = parent
        owner = environment_of(parent)
        if owner is not None:
            intent["environment_of"] = owner
    watch().put(intent)


def run_resumed(uri: str, run_id: str) -> None:
    """A run that had ended, or that another process began, runs in this process."""
    if not getattr(_draining, "now", False):
        watch().put({"what": "resumed", "uri": uri, "run_id": run_id})


def registered(uri: str, run_id: str, name: str, version: str) -> None:
    """A version of a registered model was made from a run: the card of the run goes with it.

    A run that is open in this process gets its card, and the version with it, at its end.
    """
    if not getattr(_draining, "now", False) and not watch().is_open(run_id):
        intent = {"what": "registered", "uri": uri, "run_id": run_id, "version": [name, version]}
        watch().put(intent)


def run_ended(uri: str, run_id: str, status: str) -> None:
    """A run ended: the drainer captures it."""
    if getattr(_draining, "now", False):
        return
    intent: Intent = {"what": "ended", "uri": uri, "run_id": run_id, "status": status}
    exception = _exception(status)
    if exception:
        intent["exception"] = exception
    if _process_is_ending:
        intent["ended_by"] = "interpreter exit"
    parent = watch().open_parent(run_id)
    if parent is not None:
        intent["parent"] = parent
    watch().put(intent)


def evaluated(uri: str, run_id: str, table: dict[str, Any]) -> None:
    """An evaluation was logged, a robustness evaluation or a reference: aggregates only."""
    watch().put({"what": "evaluated", "uri": uri, "run_id": run_id, "table": table})


def dataset_logged(uri: str, run_id: str, dataset: str, system: str, promise: Promise) -> None:
    """A data set was logged that the profile makes the run's reference: the drainer counts it."""
    intent = {"what": "reference", "uri": uri, "run_id": run_id, "dataset": dataset}
    watch().promise({**intent, "system": system}, promise)


def run_missing(
    uri: str,
    scope: Scope,
    *,
    name: str,
    started: int,
    ended: int,
    status: str,
    tags: dict[str, str],
) -> None:
    """A governed function left no run: the drainer makes one, with the evaluations it held."""
    exception = _exception(status)
    watch().put(
        {
            "what": "run",
            "uri": uri,
            "name": name,
            "started": started,
            "ended": ended,
            "status": status,
            "tags": tags,
            "tables": list(scope.held),
            **({"exception": exception} if exception else {}),
        }
    )
    scope.held.clear()


def gap(uri: str | None, run_id: str | None, reason: str) -> None:
    """Something that should have become evidence did not."""
    watch().put(
        {"what": "gap", "uri": uri, "run_id": run_id, "reason": reason, "system": current_system()}
    )


def warn_once(message: str) -> None:
    """One line on standard error, once for each message; never raises."""
    if message not in _warned:
        _warned.add(message)
        _say(message)


def finish() -> None:
    """At the end of the process: drain for a bounded time, then say what was done, in one line."""
    if _watch is None:
        return
    try:
        from aims_mlflow.exit_line import exit_line, exit_settings

        timeout, quiet = exit_settings()
        # Nothing is worth collecting in a process that ends, and a full collection among a training
        # script's objects takes longer than the capture.
        gc.disable()
        _watch.finish(timeout)
        drainer, waiting = _watch.report()
        environment = drainer.environment_intent() if drainer and waiting else None
        _watch.spool.close([*([environment] if environment else []), *waiting])
        line = exit_line(drainer, waiting, _watch.spool)
        if line and not quiet:
            _say(line)
    except Exception as error:
        _say(f"the end of capture failed: {error!r}; run: aims sync")


def _say(message: str) -> None:
    try:
        print(f"aims: {message}", file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):  # standard error may be closed or None
        return


def _mark_process_end() -> None:
    global _process_is_ending
    _process_is_ending = True


def _exception(status: str) -> str | None:
    """The type of the exception that ends the run, if one does.

    Inside `with`, it is the one being handled; for a script that died without `with`, the
    interpreter left it in `sys.last_type`, and MLflow calls the run FINISHED all the same.
    """
    kind: type[BaseException] | None = None
    if status == "FAILED":
        kind = sys.exc_info()[0]
    elif _process_is_ending:
        kind = getattr(sys, "last_type", None)
    if kind is None:
        return None
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _spool_folder() -> Path:
    named = os.environ.get("AIMS_SPOOL_DIR")
    if named:
        return Path(named)
    try:
        folder = find_profile()
    except ProfileError as error:  # capture goes on without the profile, and says so
        warn_once(str(error.problems[0]))
        folder = None
    return (folder.parent if folder else Path.cwd()) / ".aims" / "spool"
