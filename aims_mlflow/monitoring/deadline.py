"""A limit on how long a measurement may take, whatever it is waiting for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from aims_mlflow.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

_T = TypeVar("_T")
#: What was left behind, by what it was.
_late: dict[str, threading.Thread] = {}


def within(limit: timedelta, work: Callable[[], _T], what: str) -> _T:
    """The result of `work`, or an error once the limit has passed.

    A driver that waits for a server cannot be interrupted, so the work is left behind in a daemon
    thread; it must only read. While that one lives, the same work is not begun again.

    Args:
        limit: How long it may take.
        work: What to do; what it raises is raised here.
        what: What it is, for the error.

    Raises:
        MonitorError: The limit has passed, now or the last time.
    """
    late = _late.get(what)
    if late is not None and late.is_alive():
        raise MonitorError(
            f"{what} did not end within its time, and still waits for its sources.",
            "Look at its sources, then start this process again.",
        )
    done: list[_T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="aims-monitor", daemon=True)
    thread.start()
    thread.join(limit.total_seconds())
    if failed:
        raise failed[0]
    if not done:
        _late[what] = thread
        raise MonitorError(
            f"{what} did not end within {limit}.",
            "Look at its sources, or give it more time: `timeout: PT2H` in its declaration.",
        )
    return done[0]
