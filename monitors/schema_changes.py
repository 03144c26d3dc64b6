"""What became of the columns since the reference: gone, new, or of another type."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.column_readings import EMPTY, without_value
from aims_mlflow.monitors.verdicts import listed, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.monitors.summaries import ColumnSummary, DataSummary

_METRIC = "schema_changes"
#: Changes that a detail names; the others are counted.
_NAMED = 20
#: Names at least so similar are probably one column renamed.
_SIMILAR = 0.7
#: Columns that are compared by name for renames; more would take minutes.
_COMPARED = 200


class _OneSided(NamedTuple):
    """The columns that one side has and the other has not."""

    gone: list[ColumnSummary]
    new: list[ColumnSummary]


def bookkeeping(
    current: DataSummary, reference: DataSummary | None, monitor: Monitor
) -> frozenset[str]:
    """Columns that only one of the data sets may have: times, keys, labels, scores.

    Labels arrive later than the data, and a training set has no time of request. A column that the
    monitor names under `columns` is never one of them.
    """
    roles = (monitor.timestamp, monitor.target, monitor.prediction, monitor.score)
    served = (monitor.latency, monitor.error)
    saved = [*current.roles.values(), *(reference.roles.values() if reference else ())]
    named = {name for name in (*roles, *served, *monitor.key, *saved) if name is not None}
    return frozenset(named - set(monitor.columns))


def schema_changes(
    current: DataSummary, reference: DataSummary | None, monitor: Monitor
) -> MonitorReading:
    """The number of columns that are gone, new, or of another type than in the reference.

    A column renamed is one gone and one new; the detail says so where the names are similar. Whole
    numbers that became fractions because values are missing are no change, and of a column without
    any value the type is not known.

    Args:
        current: The watched columns of the window.
        reference: Those of the reference, if there is one.
        monitor: Says which columns may be missing on one side.
    """
    if not current.n:
        return without_value(_METRIC, current, EMPTY)
    if reference is None:
        reason = "there is no reference to compare the columns with"
        return without_value(_METRIC, current, reason)
    free = bookkeeping(current, reference, monitor)
    side = _OneSided(
        [c for c in reference.columns if current.column(c.name) is None and c.name not in free],
        [c for c in current.columns if reference.column(c.name) is None and c.name not in free],
    )
    changed = _changed(current, reference)
    told = [*_renamed(side), *changed]
    return MonitorReading(
        metric=_METRIC,
        value=len(side.gone) + len(side.new) + len(changed),
        n=current.n,
        n_total=current.n,
        reference_n=reference.n,
        detail=listed(told, _NAMED, "; "),
    )


def _changed(current: DataSummary, reference: DataSummary) -> list[str]:
    found = []
    for before in reference.columns:
        now = current.column(before.name)
        if now is not None and _other_type(before, now):
            found.append(f"'{shown(now.name)}' was {before.family} and is {now.family}")
    return found


def _other_type(before: ColumnSummary, now: ColumnSummary) -> bool:
    if before.family == now.family or not before.present or not now.present:
        return False
    # pandas has no whole numbers with gaps: they are read as fractions.
    fractions = next((c for c in (before, now) if c.family == "float"), None)
    gaps = fractions is not None and fractions.missing > 0
    return not (gaps and {before.family, now.family} == {"integer", "float"})


def _renamed(side: _OneSided) -> list[str]:
    """Each column that is gone or new in words, the probable renames in one."""
    told = []
    new = list(side.new)
    for gone in side.gone:
        found = _successor(gone, new[:_COMPARED]) if len(side.gone) <= _COMPARED else None
        if found is None:
            told.append(f"'{shown(gone.name)}' is gone")
        else:
            new.remove(found)
            told.append(f"'{shown(gone.name)}' is gone, probably renamed '{shown(found.name)}'")
    return [*told, *(f"'{shown(column.name)}' is new" for column in new)]


def _successor(gone: ColumnSummary, new: Sequence[ColumnSummary]) -> ColumnSummary | None:
    """The new column of the same type with the most similar name."""
    same = [column for column in new if column.family == gone.family]
    likeness = {column.name: _likeness(gone.name, column.name) for column in same}
    best = max(same, key=lambda column: likeness[column.name], default=None)
    return best if best is not None and likeness[best.name] >= _SIMILAR else None


def _likeness(one: str, other: str) -> float:
    """From 0 to 1; capitals, spaces and underscores do not count."""
    plain, other_plain = (re.sub(r"[\W_]+", "", name).casefold() for name in (one, other))
    return difflib.SequenceMatcher(None, plain, other_plain).ratio()
