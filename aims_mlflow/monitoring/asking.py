"""Judging a window because a person asks for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aims_mlflow.drain import actor
from aims_mlflow.ledger.windows import WindowClaims
from aims_mlflow.monitoring.windows import window_at

if TYPE_CHECKING:
    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.monitored import Window
    from aims_mlflow.monitoring.execution import Execution
    from aims_mlflow.workspace import Workspace


def judge_now(
    workspace: Workspace, system_id: str, monitor: Monitor, window: Window, **options: Any
) -> Execution:
    """Judge a window because a person asks for it, also one that was judged before.

    Where it is the latest of the schedule, and its data are those that the monitor declares, it
    counts as handled, and `run_due` leaves it alone, once all of it could be read and measured.

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

    own = all(options.get(name) is None for name in ("current", "reference", "labels"))
    present = options.get("now") or datetime.now(UTC)
    scheduled = (
        own and _declares(workspace, system_id, monitor) and window == window_at(monitor, present)
    )
    execution = run_monitor(workspace, system_id, monitor, window, actor=actor(), **options)
    report, run_id = execution.report, execution.run_id
    if scheduled and report is not None and run_id is not None and not report.problems:
        # After the sealing: only the report tells. A crash in between costs a second judgement.
        with workspace.ledger().database.writing() as connection:
            WindowClaims.judged(
                connection, system_id, monitor.name, window, report.verdict.value, run_id
            )
    return execution


def _declares(workspace: Workspace, system_id: str, monitor: Monitor) -> bool:
    system = workspace.profile.system(system_id)
    return system is not None and monitor in system.monitors
