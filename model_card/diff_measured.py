"""What changed in what was measured: values, verdicts, groups.

The input are bodies as they were sealed; whatever an older version did not write is absent.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.comparison import Bounds, delta_bounds, is_better, is_noise
from aims_mlflow.model_card.diff_model import GroupChanges, MetricChange, Outcome, VerdictChange
from aims_mlflow.model_card.diff_summary import metric_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LISTED = (Outcome.WORSE, Outcome.BETTER, Outcome.NOISE_UNKNOWN)


class Value(NamedTuple):
    """A number and the bounds of its confidence interval, each None where there is none."""

    number: float | None
    bounds: Bounds | None = None


#: Dataset, part and metric.
Key: TypeAlias = "tuple[str, str, str]"


def number(value: object) -> float | None:
    """A finite number; None for what is none, and for NaN, which evidence holds as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def readings(report: Mapping[str, Any]) -> dict[Key, Value]:
    """Every value over all rows, every disparity and every scorer of a report."""
    found: dict[Key, Value] = {}
    for score in report.get("scores") or ():
        for reading in (*(score.get("overall") or ()), *(score.get("disparities") or ())):
            part = f"by {reading['feature']}" if reading.get("feature") else ""
            interval = reading.get("interval") or {}
            bounds = _bounds((interval.get("low"), interval.get("high")))
            key = (score["dataset"], part, reading["metric"])
            found[key] = Value(number(reading.get("value")), bounds)
    for scorer in (report.get("genai") or {}).get("scorers") or ():
        rated = scorer.get("pass_rate") is not None
        interval = scorer.get("interval") or {}
        found["assessed traces", f"scorer {scorer['scorer']}", _scored(rated)] = Value(
            number(scorer.get("pass_rate") if rated else scorer.get("mean")),
            _bounds((interval.get("low"), interval.get("high"))),
        )
    return found


def readings_of_card(metrics: Any, fairness: Any) -> dict[Key, Value]:
    """The same from the card's own statements, for a card whose report is not at hand."""
    rows = metrics.get("measured on an evaluated dataset") if isinstance(metrics, dict) else None
    found: dict[Key, Value] = {}
    for row in (*(rows or ()), *(fairness if isinstance(fairness, list) else ())):
        # What nothing measured may hold what a person declared, in any form.
        if not isinstance(row, dict) or not {"dataset", "metric"} <= row.keys():
            continue
        part = f"by {row['feature']}" if row.get("feature") else ""
        bounds = _bounds((row.get("interval_low"), row.get("interval_high")))
        key = (str(row["dataset"]), part, str(row["metric"]))
        found[key] = Value(number(row.get("value")), bounds)
    return found


def logged(report: Mapping[str, Any]) -> dict[Key, Value]:
    """What the training script logged itself."""
    entries = (report.get("logged_metrics") or {}).get("entries") or ()
    return {("", "", row["key"]): Value(number(row.get("value"))) for row in entries}


def group_rows(tables: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Each group by its dataset and its name, as in `("test", "sex=F, age=<25")`."""
    return {
        (table["dataset"], ", ".join(f"{k}={v}" for k, v in row["group"].items())): row
        for table in tables
        for row in table.get("rows") or ()
    }


def tables(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tables of groups, slices and classes of a report."""
    found: list[Mapping[str, Any]] = []
    for score in report.get("scores") or ():
        single = (score.get("slices"), score.get("classes"))
        found += [*(score.get("groups") or ()), *(table for table in single if table)]
    return found


def metric_changes(
    before: Mapping[Key, Value], after: Mapping[Key, Value], same: Mapping[str, bool | None]
) -> Iterator[MetricChange]:
    """One for each value that either side has, in the order of the newer side."""
    nothing = Value(None)
    for key in [*after, *(key for key in before if key not in after)]:
        old, new = before.get(key, nothing), after.get(key, nothing)
        if old.number is None and new.number is None:
            continue
        dataset, part, metric = key
        yield _change(metric, dataset, part, old, new).model_copy(
            update={"same_data": same.get(dataset)}
        )


def verdict_changes(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> tuple[tuple[VerdictChange, ...], dict[str, int]]:
    """The thresholds that changed, and how many kept each verdict."""
    old, new = _judged(before), _judged(after)
    changes, kept = [], Counter[str]()
    for key in [*new, *(key for key in old if key not in new)]:
        was, is_now = old.get(key), new.get(key)
        if was and is_now and was["verdict"] == is_now["verdict"]:
            kept[is_now["verdict"]] += 1
            if was.get("limit") == is_now.get("limit"):
                continue
        changes.append(_verdict_change(was or {}, is_now or {}))
    return tuple(changes), dict(sorted(kept.items()))


def group_changes(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> GroupChanges:
    """What became of every group: the changes beyond noise, the worst first."""
    old, new = group_rows(before), group_rows(after)
    found = [
        change
        for key in new
        if key in old and not old[key].get("excluded") and not new[key].get("excluded")
        for change in _within(key, old[key], new[key])
    ]
    listed = [change for change in found if change.outcome in _LISTED]
    return GroupChanges(
        compared=len(found),
        changes=tuple(sorted(listed, key=_worst_first)),
        appeared=tuple(_named(key) for key in new if key not in old),
        vanished=tuple(_named(key) for key in old if key not in new),
    )


def _scored(rated: bool) -> str:
    return "pass_rate" if rated else "mean_score"


def _bounds(pair: tuple[Any, Any]) -> Bounds | None:
    low, high = number(pair[0]), number(pair[1])
    return None if low is None or high is None else (low, high)


def _change(metric: str, dataset: str, part: str, old: Value, new: Value) -> MetricChange:
    named = {
        "metric": cut_text(metric),
        "dataset": cut_text(dataset),
        "part": cut_text(part),
        "before": old.number,
        "after": new.number,
    }
    if old.number is None or new.number is None:
        gone = new.number is None
        return MetricChange(**named, outcome=Outcome.GONE if gone else Outcome.NEW)
    bounds = None
    if old.bounds and new.bounds:
        bounds = delta_bounds(old.number, old.bounds, new.number, new.bounds)
    delta = new.number - old.number
    return MetricChange(
        **named,
        delta=delta,
        relative=delta / abs(old.number) if old.number else None,
        delta_interval=bounds,
        outcome=_outcome(metric, old.number, new.number, bounds),
    )


def _outcome(metric: str, before: float, after: float, bounds: Bounds | None) -> Outcome:
    if before == after:
        return Outcome.SAME
    if bounds is not None and is_noise(bounds):
        return Outcome.WITHIN_NOISE
    better = is_better(metric, before, after)
    if better is None:
        return Outcome.CHANGED
    if bounds is None:
        return Outcome.NOISE_UNKNOWN
    return Outcome.BETTER if better else Outcome.WORSE


def _within(
    key: tuple[str, str], old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[MetricChange]:
    for metric, value in (new.get("metrics") or {}).items():
        was = Value(number((old.get("metrics") or {}).get(metric)), _interval(old, metric))
        now = Value(number(value), _interval(new, metric))
        if was.number is not None and now.number is not None:
            yield _change(metric, key[0], key[1], was, now)


def _interval(row: Mapping[str, Any], metric: str) -> Bounds | None:
    pair = (row.get("intervals") or {}).get(metric)
    return _bounds((pair[0], pair[1])) if pair else None


def _worst_first(change: MetricChange) -> tuple[int, float]:
    return _LISTED.index(change.outcome), -abs(change.relative or change.delta or 0.0)


def _named(key: tuple[str, str]) -> str:
    return cut_text(f"{key[1]} ({key[0]})")


def _judged(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(row["threshold"], row.get("dataset") or ""): row for row in rows}


def _verdict_change(was: Mapping[str, Any], now: Mapping[str, Any]) -> VerdictChange:
    row = now or was
    by = f" by {row['feature']}" if row.get("feature") else ""
    part = f", {row['part']}" if row.get("part") else ""
    on = f" on {row['dataset']}" if row.get("dataset") else ""
    return VerdictChange(
        threshold=cut_text(row["threshold"]),
        about=cut_text(f"{metric_name(row['metric'])}{by}{on}{part}"),
        before=was.get("verdict"),
        after=now.get("verdict"),
        before_value=number(was.get("value")),
        after_value=number(now.get("value")),
        before_limit=was.get("limit") or "",
        after_limit=now.get("limit") or "",
        is_looser=bool(was and now) and _is_looser(was, now),
    )


def _is_looser(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    old, new = was.get("declared") or {}, now.get("declared") or {}
    for key, sign in (("min", -1), ("max", 1), ("max_fall", 1)):
        before, after = number(old.get(key)), number(new.get(key))
        if before is not None and (after is None or (after - before) * sign > 0):
            return True
    return False
