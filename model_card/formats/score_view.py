"""The blocks of one evaluated dataset: numbers first, then plots, then the tables behind them."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, TypeGuard

from aims_mlflow.model_card import plot_words, plots
from aims_mlflow.model_card.bounds import cut_text, cut_texts, plain
from aims_mlflow.model_card.dot_plots import MAX_ROWS, DotPanel, Mark, dots
from aims_mlflow.model_card.formats.blocks import table
from aims_mlflow.model_card.formats.document import Heading, Items, Paragraph, Plot
from aims_mlflow.model_card.formats.score_tables import (
    calibration_table,
    confusion_table,
    curve_table,
    group_tables,
)
from aims_mlflow.model_card.formats.text import humanise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aims_mlflow.model_card.formats.document import Block
    from aims_mlflow.readings import Fall, GroupRow, GroupTable, Reading, Robustness, Scores

#: Metrics that a plot of groups shows, the first few that the table has.
_PLOTTED = (
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "accuracy",
    "mae",
    "mean_error",
    "rmse",
    "f1_macro",
    "hamming_loss",
    "recall",
    "precision",
    "f1",
)
_MAX_PANELS = 4
_MIN_ROWS = 2


def score_blocks(score: Scores, name: str) -> list[Block]:
    """What was measured on one dataset.

    Args:
        score: The readings.
        name: Unique in the document; the ids of plots start with it.
    """
    return [
        *_overall(score),
        *_curves(score, name),
        *_confusion(score, name),
        *_tables("Classes", [score.classes] if score.classes else [], score, f"{name}-class"),
        *_tables("Groups", score.groups, score, f"{name}-group"),
        *_disparities(score),
        *_tables("Slices", [score.slices] if score.slices else [], score, f"{name}-slice"),
        *_remarks(score),
    ]


def readings_table(readings: Sequence[Reading], caption: str) -> Block:
    """Readings as a table, each value with its interval."""
    keys = ("feature", "metric", "value", "interval", "n", "excluded", "reason")
    rows = [cut_texts(plain(reading)) for reading in readings]
    found = [{key: row[key] for key in keys} for row in rows]
    return table(found, caption)


def _overall(score: Scores) -> Iterator[Block]:
    positive = score.positive_label
    of = f"; positive is '{cut_text(positive)}'" if positive is not None else ""
    yield Paragraph(f"{score.task}, {score.n:,} rows{of}", muted=True)
    yield readings_table(score.overall, f"Overall on {score.dataset}")


def _curves(score: Scores, name: str) -> Iterator[Block]:
    if score.calibration or score.curve:
        yield Heading("Scores, thresholds and calibration")
    if score.curve:
        yield Plot(
            f"{name}-roc",
            f"ROC curve on {score.dataset}",
            plot_words.roc(score.curve),
            partial(plots.roc, score.curve),
        )
        yield Plot(
            f"{name}-precision-recall",
            f"Precision and recall on {score.dataset}",
            plot_words.precision_recall(score.curve),
            partial(plots.precision_recall, score.curve),
        )
        yield Plot(
            f"{name}-thresholds",
            f"Rates by threshold on {score.dataset}",
            plot_words.thresholds(score.curve),
            partial(plots.thresholds, score.curve),
        )
    if score.calibration:
        yield Plot(
            f"{name}-reliability",
            f"Reliability of the scores on {score.dataset}",
            plot_words.reliability(score.calibration),
            partial(plots.reliability, score.calibration, score.score_histogram),
        )
    if score.curve:
        yield curve_table(score.curve, score.dataset)
    if score.calibration:
        yield calibration_table(score.calibration, score.dataset)


def _confusion(score: Scores, name: str) -> Iterator[Block]:
    if not score.confusion:
        return
    yield Heading("Confusion")
    counts = {(true, predicted): n for true, predicted, n in score.confusion}
    labels = score.labels or tuple(dict.fromkeys(label for pair in counts for label in pair))
    if len(labels) <= plots.MAX_CLASSES:
        words = plot_words.confusion(labels, counts)
        caption = f"Confusion matrix on {score.dataset}"
        yield Plot(f"{name}-confusion", caption, words, partial(plots.confusion, labels, counts))
    yield confusion_table(labels, counts, score.dataset)


def _tables(title: str, tables: Sequence[GroupTable], score: Scores, name: str) -> Iterator[Block]:
    if tables:
        yield Heading(title)
    overall = {reading.metric: reading.value for reading in score.overall}
    for index, found in enumerate(tables, start=1):
        # Of the classes, the values of all rows would be those of the positive class again.
        panels = _panels(found.rows, {} if found.features == ("class",) else overall)
        if panels:
            labels = [cut_text(" · ".join(row.group.values())) for row in found.rows]
            yield Plot(
                f"{name}-{index}",
                _caption(found, panels),
                plot_words.dots(labels, panels),
                partial(dots, labels, panels),
            )
        yield from group_tables(cut_texts(plain(found)), score.interval_methods)


def _caption(found: GroupTable, panels: Sequence[DotPanel]) -> str:
    by = " x ".join(found.features)
    words = f"By {by} on {found.dataset}, with 95 % intervals where known"
    if any(panel.reference is not None for panel in panels):
        words += "; dashed: all rows"
    if any(row.excluded for row in found.rows):
        words += "; hollow: not compared"
    more = len(found.rows) - MAX_ROWS
    return f"{words}; {more} more in the table" if more > 0 else words


def _panels(rows: Sequence[GroupRow], overall: Mapping[str, float | None]) -> list[DotPanel]:
    if len(rows) < _MIN_ROWS:
        return []
    given = [name for name in _PLOTTED if any(_finite(row.metrics.get(name)) for row in rows)]
    return [
        DotPanel(
            humanise(name),
            tuple(_mark(row, name) for row in rows),
            overall.get(name) if _finite(overall.get(name)) else None,
        )
        for name in given[:_MAX_PANELS]
    ]


def _mark(row: GroupRow, metric: str) -> Mark | None:
    value = row.metrics.get(metric)
    if value is None or not math.isfinite(value):
        return None
    interval = row.intervals.get(metric)
    return Mark(value, interval if _whole(interval) else None, bool(row.excluded))


def _disparities(score: Scores) -> Iterator[Block]:
    if score.disparities:
        yield Heading("Disparities between groups")
        yield readings_table(score.disparities, f"Disparities on {score.dataset}")


def _remarks(score: Scores) -> Iterator[Block]:
    by_method: dict[str, list[str]] = {}
    for metric, method in score.interval_methods.items():
        by_method.setdefault(cut_text(method), []).append(humanise(metric))
    if by_method:
        items = tuple(f"{', '.join(names)}: {method}" for method, names in by_method.items())
        yield Items("How the 95 % confidence intervals were computed", items)
    if score.notes:
        yield Items("Notes", tuple(map(cut_text, score.notes)))


def fall_plots(found: Robustness, name: str) -> Iterator[Plot]:
    """The falls of each metric under each perturbation, with their intervals."""
    results = [result for result in found.results if result.falls]
    metrics = list(dict.fromkeys(fall.metric for result in results for fall in result.falls))
    panels = []
    for metric in metrics[:_MAX_PANELS]:
        falls = [next((f for f in r.falls if f.metric == metric), None) for r in results]
        title = f"fall of {humanise(metric)}"
        panels.append(DotPanel(title, tuple(map(_fallen, falls)), 0.0))
    if not panels:
        return
    labels = [cut_text(result.id) for result in results]
    yield Plot(
        f"{name}-falls",
        f"How far each metric falls on {cut_text(found.dataset)}; right of the line is worse",
        plot_words.dots(labels, panels),
        partial(dots, labels, panels),
    )


def _fallen(fall: Fall | None) -> Mark | None:
    if fall is None or not _finite(fall.fall):
        return None
    interval = (fall.interval.low, fall.interval.high) if fall.interval else None
    return Mark(fall.fall, interval if _whole(interval) else None)


def _whole(interval: tuple[float, float] | None) -> bool:
    return interval is not None and all(map(math.isfinite, interval))


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
