"""A comparison of two cards in one sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aims_mlflow.governance.metrics import METRICS
from aims_mlflow.model_card.diff_model import Outcome
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aims_mlflow.model_card.diff_model import CardDiff, MetricChange
    from aims_mlflow.model_card.diff_recorded import Statements

#: Metrics that a reader asks for first, where no threshold says what matters.
_FIRST = (
    *("roc_auc", "average_precision", "f1", "f1_macro", "balanced_accuracy", "accuracy"),
    *("rmse", "mae", "r2", "ndcg", "mean_average_precision", "pass_rate", "mean_score"),
)
_ABBREVIATIONS = {
    **{name: name.upper() for name in ("rmse", "mae", "mse", "ndcg", "f1")},
    "roc_auc": "ROC AUC",
    "r2": "R²",
    "matthews_corrcoef": "Matthews correlation",
}
_DIGITS = range(3, 16)
_MAX_DECIMALS = 9


def headline(diff: CardDiff) -> str:
    """The change in one sentence: `v2 replaces v1: RMSE fell from 53.4 to 51.2 (better)`."""
    old, new = diff.before, diff.after
    same_model = old.name.rpartition(" version ")[0] == new.name.rpartition(" version ")[0]
    versions = [side.short.removeprefix("v") for side in (old, new)]
    if same_model and all(v.isdecimal() for v in versions) and int(versions[0]) < int(versions[1]):
        return f"{new.short} replaces {old.short}: {diff.summary}"
    return f"{new.name} compared with {old.name}: {diff.summary}"


def summary(diff: CardDiff, judged: Sequence[str] = ()) -> str:
    """What a reader must know, without naming the two sides.

    Args:
        diff: The comparison.
        judged: Metrics that thresholds judge, in their order: those matter most.
    """
    phrases = [*_metric_phrases(diff, judged), *_verdict_phrases(diff), *_group_phrases(diff)]
    if any(change.use == "training" for change in diff.data):
        phrases.append("the training data changed")
    return "; ".join(phrases)


def unchanged(
    diff: CardDiff, before: Statements, after: Statements
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """In words: what was compared and is the same, and what could not be compared."""
    same: list[str] = []
    unknown: list[str] = []
    fields = {
        "training data": ("training_data", [c for c in diff.data if c.use == "training"]),
        "evaluation data": ("evaluation_data", [c for c in diff.data if c.use == "evaluation"]),
        "parameters": ("hyperparameters", diff.parameters),
        "environment": ("environment", diff.environment),
        "code": ("registry", diff.code),
        "inputs and outputs": ("inputs", diff.signature),
    }
    for words, (field, changes) in fields.items():
        if not changes:
            known = all(_is_known(side.get(field) or {}) for side in (before, after))
            (same if known else unknown).append(words)
    if not diff.texts:
        same.append("declared texts")
    count = sum(change.outcome is Outcome.SAME for change in diff.metrics)
    if count:
        same.insert(0, f"{count} measured value{_s(count)}")
    return tuple(same), tuple(unknown)


def _is_known(statement: Mapping[str, Any]) -> bool:
    """Whether a statement can be compared; two datasets without a digest cannot."""
    value = statement.get("value")
    rows = value if isinstance(value, list) else ()
    nameless = any(isinstance(row, dict) and row.get("digest", "") is None for row in rows)
    return statement.get("status") == "measured" and not nameless


def numbers(before: float, after: float) -> tuple[str, str]:
    """Two numbers with as few digits as tell them apart, and with the same decimals.

    >>> numbers(53.412, 51.2), numbers(0.8731, 0.8734), numbers(48842.0, 48850.0), numbers(0.9, 1)
    (('53.4', '51.2'), ('0.8731', '0.8734'), ('48,842', '48,850'), ('0.9', '1.0'))
    """
    for digits in _DIGITS:
        decimals = max(_decimals(value, digits) for value in (before, after))
        shown = f"{before:,.{decimals}f}", f"{after:,.{decimals}f}"
        if shown[0] != shown[1]:
            break
    return shown if decimals <= _MAX_DECIMALS else (f"{before:.4g}", f"{after:.4g}")


def metric_name(metric: str) -> str:
    """A metric of the catalogue as people write it; any other name as it is.

    >>> metric_name("roc_auc"), metric_name("mae_ratio"), metric_name("val_auc")
    ('ROC AUC', 'MAE ratio', 'val_auc')
    """
    if metric not in METRICS:
        return metric
    whole = _ABBREVIATIONS.get(metric)
    return whole or " ".join(_ABBREVIATIONS.get(word, word) for word in metric.split("_"))


def _metric_phrases(diff: CardDiff, judged: Sequence[str]) -> Iterator[str]:
    found = [
        change for change in diff.metrics if not change.part or change.part.startswith("scorer ")
    ]
    both = [change for change in found if change.delta is not None]
    changed = [change for change in both if change.outcome is not Outcome.SAME]
    # A change that may be chance leads only where there is nothing firmer to say.
    firm = [change for change in changed if change.outcome is not Outcome.NOISE_UNKNOWN]
    moved = sorted(firm or changed, key=_priority(judged))
    if not both:
        yield "no value was measured on both"
    elif not moved:
        yield "no measured value changed"
    chosen = moved[:1]
    rest = moved[1:]
    worse = [change for change in rest if change.outcome is Outcome.WORSE]
    chosen += (worse or rest)[:1]
    yield from (_phrase(change) for change in chosen)
    yield from _data_phrases(both)


def _data_phrases(both: Sequence[MetricChange]) -> Iterator[str]:
    """What a change of the model cannot be told apart from: that the data is another one."""
    same = {change.dataset: change.same_data for change in both}
    told = {
        "on data that differs": [name for name, known in same.items() if known is False],
        "whether the data is the same is not known": [n for n, k in same.items() if k is None],
    }
    for words, names in told.items():
        if names:
            yield words if len(names) == len(same) else f"{words} ({', '.join(names)})"


def _priority(judged: Sequence[str]) -> Callable[[MetricChange], int]:
    order = list(dict.fromkeys((*judged, *_FIRST)))
    return lambda c: order.index(c.metric) if c.metric in order else len(order)


def _phrase(change: MetricChange) -> str:
    assert change.before is not None and change.after is not None
    before, after = numbers(change.before, change.after)
    verb = "fell" if change.after < change.before else "rose"
    part = f" ({change.part})" if change.part else ""
    word = "" if change.outcome is Outcome.CHANGED else change.outcome.value
    told = f" ({word})" if word else ""
    return f"{metric_name(change.metric)}{part} {verb} from {before} to {after}{told}"


def _verdict_phrases(diff: CardDiff) -> Iterator[str]:
    moved = [c for c in diff.verdicts if c.after is not None and c.before != c.after]
    words = {
        Verdict.FAIL: "now fail{s}",
        Verdict.INSUFFICIENT: "can now not be judged",
        Verdict.PASS: "now pass{es}",
    }
    for verdict, what in words.items():
        count = sum(change.after == verdict for change in moved)
        if count:
            verb = what.format(s="s" if count == 1 else "", es="es" if count == 1 else "")
            yield f"{_count(count)} threshold{_s(count)} {verb}"
    still = diff.verdicts_kept.get(Verdict.FAIL, 0)
    if still:
        yield f"{_count(still)} threshold{_s(still)} still fail{'s' if still == 1 else ''}"
    looser = sum(change.is_looser for change in diff.verdicts)
    if looser:
        yield f"{_count(looser)} limit{_s(looser)} loosened"
    if not moved and not still and diff.verdicts_kept.get(Verdict.PASS):
        yield "the same verdicts"


def _group_phrases(diff: CardDiff) -> Iterator[str]:
    worse = (c for c in diff.groups.changes if c.outcome is Outcome.WORSE and c.delta_interval)
    worst = next(worse, None)
    if worst is not None and worst.before is not None and worst.after is not None:
        before, after = numbers(worst.before, worst.after)
        name = metric_name(worst.metric)
        yield f"worse for {worst.part} ({name} {before} to {after})"


def _count(count: int) -> str:
    return "one" if count == 1 else f"{count:,}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _decimals(value: float, digits: int) -> int:
    """Decimals that show a number with so many significant digits, without zeros at the end."""
    if value == 0:
        return 0
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    if decimals > _MAX_DECIMALS:
        return decimals
    text = f"{value:.{decimals}f}"
    return len(text.partition(".")[2].rstrip("0"))
