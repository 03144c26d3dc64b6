"""What a test for drift says, as readings and distributions for the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aims_mlflow.monitored import ColumnComparison, MonitorReading
from aims_mlflow.monitors.column_comparisons import comparison
from aims_mlflow.monitors.point_masses import finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aims_mlflow.monitors.drift_tests import Chosen
    from aims_mlflow.monitors.statistics import Statistic
    from aims_mlflow.monitors.summaries import ColumnSummary, DataSummary

#: Names that a text lists, and letters of each.
_LISTED, _LETTERS = 20, 80


@dataclass(frozen=True)
class Tested:
    """One column, tested or not (`reason`)."""

    name: str
    metric: str
    reference: ColumnSummary | None
    current: ColumnSummary | None
    chosen: Chosen | None = None
    statistic: Statistic | None = None
    drifted: bool | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()


def reading(one: Tested, current: DataSummary, *, suppressed: int) -> MonitorReading:
    """The reading of one column; `suppressed` is the least count that the reference kept."""
    found, chosen = one.statistic, one.chosen
    sides = [column for column in (one.reference, one.current) if column is not None]
    details = [found.detail] if found is not None and found.detail else []
    infinite = sum(column.infinite for column in sides)
    if infinite:
        details.append(f"{infinite} infinite values left out")
    if suppressed > 1 and found is not None:
        details.append(f"reference saved without counts below {suppressed}")
    return MonitorReading(
        metric=one.metric,
        column=one.name,
        value=None if found is None else found.value,
        n=None if one.current is None else finite(one.current),
        n_total=current.n,
        reference_n=None if one.reference is None else finite(one.reference),
        seed=None if found is None else found.seed,
        error_bound=0 if found is None else found.error_bound,
        test="" if chosen is None else chosen.test,
        limit=None if chosen is None else chosen.limit,
        p_value=None if found is None else found.p_value,
        drifted=one.drifted,
        reason=one.reason,
        detail="; ".join((*details, *one.notes)),
    )


def share(features: Sequence[Tested], current: DataSummary) -> MonitorReading:
    """The share of the tested columns that drifted; the bound is what the undecided could add."""
    tested = [one for one in features if one.statistic is not None]
    drifted = [one.name for one in tested if one.drifted]
    undecided = [one.name for one in tested if one.drifted is None]
    excluded = tuple(f"{_short(one.name)} ({one.reason})" for one in features if not one.statistic)
    details = [f"{len(drifted)} of {len(tested)} columns drifted{_named(drifted)}"]
    if undecided:
        details.append(f"{len(undecided)} undecided{_named(undecided)}")
    if excluded:
        details.append(f"{len(excluded)} could not be tested")
    reason = ""
    if not features:
        reason = "there are no columns to compare"
    elif not tested:
        reason = f"none of {len(features)} columns could be tested: {'; '.join(excluded[:3])}"
    return MonitorReading(
        metric="drift_share",
        value=len(drifted) / len(tested) if tested else None,
        n=current.n,
        n_total=current.n,
        error_bound=len(undecided) / len(tested) if tested else 0,
        detail="; ".join(details) if tested else "",
        reason=reason,
        excluded=excluded,
    )


def compared(one: Tested) -> ColumnComparison | None:
    """The distributions of a tested column; None where there are none to show."""
    if one.statistic is None or one.reference is None or one.current is None:
        return None
    return comparison(one.reference, one.current)


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _named(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(map(_short, names[:_LISTED]))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f": {shown}{more}"
