"""What the version in production scored when it was evaluated, to compare its production with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aims_mlflow.readings import GroupRow, GroupTable, Scores


class BaselineValue(NamedTuple):
    """One value of the baseline and the rows behind it; the `reason` why there is none."""

    value: float | None
    n: int | None = None
    reason: str = ""


def comparable(baseline: Scores | None, task: str, positive_label: str | None) -> str:
    """Why an evaluation cannot be compared with the baseline; empty where it can."""
    if baseline is None:
        return "the evaluation of the version in production is not known"
    if baseline.task != task:
        return f"the version in production was evaluated as {baseline.task}, and this is {task}"
    if baseline.positive_label != positive_label:
        return (
            f"the version in production was evaluated with the positive label "
            f"'{baseline.positive_label}', and this is '{positive_label}'"
        )
    return ""


def of_all_rows(baseline: Scores, metric: str) -> BaselineValue:
    """A metric of all rows."""
    for reading in baseline.overall:
        if reading.metric == metric:
            return BaselineValue(reading.value, reading.n, reading.reason)
    return BaselineValue(None, reason=f"its evaluation has no {metric}")


def of_slice(baseline: Scores, metric: str, name: str) -> BaselineValue:
    """A metric of a slice."""
    rows = baseline.slices.rows if baseline.slices else ()
    return _of_row(rows, {"slice": name}, metric, f"the slice '{name}'")


def of_disparity(baseline: Scores, metric: str, features: Sequence[str]) -> BaselineValue:
    """A disparity of the groups of some features, in whatever order they are named."""
    for reading in baseline.disparities:
        named = (reading.feature or "").split(" x ")
        if reading.metric == metric and sorted(named) == sorted(features):
            return BaselineValue(reading.value, reading.n, reading.reason)
    return BaselineValue(None, reason=f"its evaluation has no {metric} of {' x '.join(features)}")


def of_group(
    baseline: Scores, metric: str, features: Sequence[str], group: Mapping[str, str]
) -> BaselineValue:
    """A metric of one group."""
    tables: Iterable[GroupTable] = baseline.groups
    found = next((t for t in tables if sorted(t.features) == sorted(features)), None)
    return _of_row(found.rows if found else (), group, metric, f"the group {named(group)}")


def named(group: Mapping[str, str]) -> str:
    """A group as reasons name it: `sex=F x age=<25`."""
    return " x ".join(f"{feature}={value}" for feature, value in group.items())


def _of_row(
    rows: Iterable[GroupRow], group: Mapping[str, str], metric: str, what: str
) -> BaselineValue:
    row = next((row for row in rows if row.group == group), None)
    if row is None:
        return BaselineValue(None, reason=f"its evaluation has not {what}")
    value = row.metrics.get(metric)
    reason = "" if value is not None else f"{metric} of {what} was undefined then"
    return BaselineValue(value, row.n, reason)
