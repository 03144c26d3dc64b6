"""Judging a window because a person asks for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aims_mlflow.drain import actor
from aims_mlflow.ledger.windows import WindowClaims
from aims_mlflow.monitoring.windows import window_at

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.monitored import Window
    from aims_mlflow.monitoring.execution import Execution
    from aims_mlflow.readings import Verdict
    from aims_mlflow.workspace import Workspace


def judge_now(
    workspace: Workspace, system_id: str, monitor: Monitor, window: Window, **options: Any
) -> Execution:
    """Judge a window because a person asks for it, also one that was judged before.

    Where it is the latest of the schedule, and its data are those that the monitor declares, it
    counts as handled: `run_due` leaves it alone.

    Args:
        workspace: The profile, MLflow and the ledger.
        system_id: The AI system.
        monitor: The monitor.
        window: The window.
        options: What `run_monitor` takes besides.

    Raises:
        AimsError: What `run_monitor` raises.
    """
    # It brings the engines along.
    from aims_mlflow.monitoring.execution import run_monitor

    def finish(connection: Connection, verdict: Verdict, run_id: str) -> None:
        WindowClaims.judged(connection, system_id, monitor.name, window, verdict.value, run_id)

    own = all(options.get(name) is None for name in ("current", "reference", "labels"))
    present = options.get("now") or datetime.now(UTC)
    handled = (
        own and _declares(workspace, system_id, monitor) and window == window_at(monitor, present)
    )
    return run_monitor(
        workspace,
        system_id,
        monitor,
        window,
        finish=finish if handled else None,
        actor=actor(),
        **options,
    )


def _declares(workspace: Workspace, system_id: str, monitor: Monitor) -> bool:
    system = workspace.profile.system(system_id)
    return system is not None and monitor in system.monitors
