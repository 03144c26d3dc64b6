"""What to do about a threshold that a monitor could not judge, from the judgement's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import isoformat
from aims_mlflow.model_card.formats.text import is_number

if TYPE_CHECKING:
    from aims_mlflow.monitored import MonitoringReport
    from aims_mlflow.readings import Judgement

_LONGER = "watch a longer window ('window:' of the monitor)"


def remedy(judgement: Judgement, report: MonitoringReport) -> str:
    """The step that would let the threshold be judged."""
    least: Any = judgement.declared.get("min_rows")
    if judgement.n is not None and is_number(least) and judgement.n < least:
        return f"{_LONGER}, or lower 'min_rows' where {judgement.n:,} rows do suffice"
    if judgement.excluded:
        return (
            f"{_LONGER}, so that every group is large enough, or declare 'small_groups: exclude' "
            "to judge the others alone"
        )
    if judgement.value is None and judgement.limit.startswith("change"):
        return (
            "log an evaluation or reference statistics with the version in production "
            "('aims_mlflow.log_reference'), so that there is a value to count the change from"
        )
    if judgement.error_bound and judgement.value is not None:
        return (
            "the value lies closer to its limit than it may be off: "
            f"{_LONGER} or, for drift, name raw data as the 'reference' and under 'tests' a test "
            "that is counted exactly ('psi' or 'jensenshannon')"
        )
    again = f"then run '{_again(report)}'"
    if report.problems:
        return f"mend what could not be read or measured (above), {again}"
    return f"do what the reason says, {again}"


def _again(report: MonitoringReport) -> str:
    start, end = isoformat(report.window.start), isoformat(report.window.end)
    return (
        f"aims monitor run {report.system_id} --monitor {report.monitor} --start {start} "
        f"--end {end}"
    )
