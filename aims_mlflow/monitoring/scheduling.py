"""The embedded scheduler: one process that looks every minute at what is due."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

from aims_mlflow.errors import AimsError, UsageError
from aims_mlflow.monitoring.outcome import Outcome
from aims_mlflow.monitoring.runner import run_due

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from aims_mlflow.workspace import Workspace

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Look(Protocol):
    """Looks at what is due: `run_due`, with what is already decided."""

    def __call__(self, workspace: Workspace, *, stop: Callable[[], bool]) -> Outcome:
        """Judge what is due, until `stop` says to leave the rest."""


class _Stopped(Exception):
    """A signal asked this process to end."""


def schedule(
    workspace: Workspace,
    every: timedelta = timedelta(seconds=60),
    *,
    report: Callable[[Outcome], None],
    look: Look | None = None,
) -> None:
    """Run what is due, now and then again and again, until SIGTERM or SIGINT.

    One look at a time: one that takes longer than `every` swallows those that it overlaps. The
    profile is read again before each. On a signal the monitor at work ends first; a second signal
    ends the process at once, and its window is left to the next runner. To be called in the main
    thread, where signals arrive.

    Args:
        workspace: The profile, MLflow and the ledger.
        every: The time between two looks, at least a second.
        report: Is told what each look came to.
        look: Looks at what is due; `run_due` when None.

    Raises:
        UsageError: `every` is shorter than a second.
    """
    if every < timedelta(seconds=1):
        raise UsageError(f"{every} is too often.", "Look every second at most: --every 60")
    from apscheduler.executors.pool import ThreadPoolExecutor
    from apscheduler.schedulers.blocking import BlockingScheduler

    stopping = threading.Event()
    scheduler = BlockingScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
    scheduler.add_job(
        _tick,
        "interval",
        args=(workspace, look or partial(run_due, source="schedule"), report, stopping),
        seconds=every.total_seconds(),
        next_run_time=datetime.now(UTC),
        coalesce=True,
        max_instances=1,
        misfire_grace_time=None,
    )
    try:
        with _quiet(), _signals():
            scheduler.start()
    except _Stopped:
        stopping.set()
        scheduler.shutdown(wait=True)


def _tick(
    workspace: Workspace,
    look: Look,
    report: Callable[[Outcome], None],
    stopping: threading.Event,
) -> None:
    try:
        workspace.refresh()
        outcome = look(workspace, stop=stopping.is_set)
    except AimsError as error:
        outcome = Outcome(problems=(error.diagnostics(),))
    report(outcome)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep APScheduler from warning of each look that a longer one swallows, as is meant."""
    logger = logging.getLogger("apscheduler")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _signals() -> Iterator[None]:
    """Turn the signals that end a process into `_Stopped`, in the main thread."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        # From here on, a second signal does what it always does.
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        raise _Stopped

    before = {each: signal.signal(each, stop) for each in _SIGNALS}
    try:
        yield
    finally:
        if all(signal.getsignal(each) is stop for each in _SIGNALS):
            for each, handler in before.items():
                signal.signal(each, handler)
