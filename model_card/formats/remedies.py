"""What to do about a threshold that a monitor could not judge, from the numbers of the judgement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.model_card.formats.text import is_number

if TYPE_CHECKING:
    from aims_mlflow.monitored import MonitoringReport
    from aims_mlflow.readings import Judgement

_LONGER = "watch a longer window (`window:` of the monitor)"


def remedy(judgement: Judgement, report: MonitoringReport) -> str:
    """The step that would let the threshold be judged."""
    least = judgement.declared.get("min_rows")
    if judgement.n is not None and is_number(least) and judgement.n < least:
        return f"{_LONGER}, or lower `min_rows` where {judgement.n:,} rows do suffice"
    if judgement.excluded:
        return (
            f"{_LONGER}, so that every group is large enough, or declare `small_groups: exclude` "
            "to judge the others alone"
        )
    if judgement.value is None and judgement.limit.startswith("change"):
        return (
            "log an evaluation or reference statistics with the version in production "
            "(`aims_mlflow.log_reference`), so that there is a value to count the change from"
        )
    if judgement.error_bound and judgement.value is not None:
        return (
            "name raw data as the `reference:` instead of saved statistics, so that the value is "
            "exact, or watch more rows"
        )
    again = f"then run `aims monitor run {report.system_id} --monitor {report.monitor}` again"
    if report.problems:
        return f"mend what could not be read or measured (above), {again}"
    return f"provide what is named here, {again}"
