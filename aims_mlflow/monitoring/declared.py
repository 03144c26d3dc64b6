"""What is declared to be monitored, and what became of it so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.errors import UsageError
from aims_mlflow.evidence import Frozen, UtcDatetime
from aims_mlflow.ledger.windows import WindowClaims, WindowRow, WindowState
from aims_mlflow.monitoring.windows import next_due

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.governance.profile import Profile
    from aims_mlflow.workspace import Workspace

_ENDED = (WindowState.DONE, WindowState.FAILED, WindowState.MISSED)
_GOING = (WindowState.CLAIMED, WindowState.RELEASED)


class MonitorStatus(Frozen):
    """One declared monitor.

    `last` is its newest window that is judged, given up or missed; `going` are the windows that
    are claimed or wait for another attempt.
    """

    system: str
    monitor: str
    kind: str
    schedule: str
    timezone: str
    last: WindowRow | None
    going: tuple[WindowRow, ...]
    next_due: UtcDatetime | None


def declared_monitors(
    profile: Profile, systems: Sequence[str] | None = None
) -> Iterator[tuple[str, Monitor]]:
    """Every declared monitor with the id of its system.

    Args:
        profile: The profile.
        systems: Only these AI systems; all when None.

    Raises:
        UsageError: A named system is not declared.
    """
    for system_id in sorted(profile.systems) if systems is None else systems:
        system = profile.system(system_id)
        if system is None:
            near = profile.nearest(system_id) or tuple(sorted(profile.systems)) or ("none",)
            raise UsageError(
                f"No AI system '{system_id}' is declared.",
                f"Declared: {', '.join(near)}. `aims check` says what is wrong with the others.",
            )
        for monitor in system.monitors:
            yield system_id, monitor


def monitor_statuses(
    workspace: Workspace, systems: Sequence[str] | None, *, now: datetime
) -> tuple[MonitorStatus, ...]:
    """How every declared monitor stands.

    Raises:
        UsageError: A named system is not declared.
        LedgerError: The ledger cannot be read.
    """
    jobs = list(declared_monitors(workspace.profile, systems))
    if not jobs:
        return ()
    claims = WindowClaims(workspace.ledger().database)
    found = []
    for system, monitor in jobs:
        ended = claims.rows(system, monitor=monitor.name, states=_ENDED, newest=1)
        found.append(
            MonitorStatus(
                system=system,
                monitor=monitor.name,
                kind=monitor.kind,
                schedule=monitor.schedule,
                timezone=monitor.timezone,
                last=ended[0] if ended else None,
                going=claims.rows(system, monitor=monitor.name, states=_GOING),
                next_due=next_due(monitor, now),
            )
        )
    return tuple(found)
