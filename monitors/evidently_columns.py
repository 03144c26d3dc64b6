"""Which columns Evidently's page may show, and why not the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.monitors.summaries import DataSummary

#: Names of columns that a note lists.
_LISTED = 10


def columns_to_show(
    reference: DataSummary, current: DataSummary, monitor: Monitor
) -> tuple[list[str], list[str]]:
    """The watched columns whose values are counted on both sides, and notes about the others.

    Neither the monitor's key and timestamp, nor texts, identifiers and times: of these a page of
    single rows would show what belongs to one person.

    Args:
        reference: The summary of the reference; it has the columns that the monitor watches.
        current: That of the current data.
        monitor: The monitor of both.

    Returns:
        The names, in the order of the reference, and at most one note.
    """
    never = {*monitor.key, *monitor.exclude, monitor.timestamp}
    shown: list[str] = []
    left_out: list[str] = []
    for before in reference.columns:
        after = current.column(before.name)
        if before.name in never or after is None:
            continue
        counted = all(c.values is not None or c.bins is not None for c in (before, after))
        (shown if counted else left_out).append(before.name)
    if not left_out:
        return shown, []
    names = ", ".join(left_out[:_LISTED]) + (" and others" if len(left_out) > _LISTED else "")
    return shown, [f"not in the Evidently report, because their values are not counted: {names}"]
