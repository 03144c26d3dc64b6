"""Tables of robustness, of the scorers of generative AI, and beside the version in production."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.formats.blocks import cell
from aims_mlflow.model_card.formats.document import Cell, Chip, Column, Table
from aims_mlflow.model_card.formats.text import humanise, shown

if TYPE_CHECKING:
    from aims_mlflow.model_card.evaluation import (
        BaselineComparison,
        Comparison,
        GenAIEvaluation,
        ScorerResult,
    )
    from aims_mlflow.readings import Fall, PerturbationResult, Robustness

_UNDEFINED = "value"


def robustness_table(found: Robustness) -> Table:
    """Each metric with and without each perturbation."""
    return Table(
        caption=f"Robustness on {cut_text(found.dataset)}: a fall above 0 is worse",
        columns=(
            Column("perturbation"),
            Column("metric"),
            Column("clean", numeric=True),
            Column("perturbed", numeric=True),
            Column("fall", numeric=True),
            Column("note"),
        ),
        rows=tuple(row for result in found.results for row in _perturbed(result)),
    )


def _perturbed(result: PerturbationResult) -> list[tuple[Cell, ...]]:
    amount = "" if result.amount is None else f" {result.amount:g}"
    columns = ", ".join(result.columns[:5]) + (" …" if len(result.columns) > 5 else "")
    name = f"{result.id} ({humanise(result.kind)}{amount}{f' of {columns}' if columns else ''})"
    first = Cell(cut_text(name))
    if not result.falls:
        dash = Cell("–", muted=True)
        return [(first, dash, dash, dash, dash, Cell(cut_text(result.note) or "not applied"))]
    return [(first, *_fall(fall, result.note)) for fall in result.falls]


def _fall(fall: Fall, note: str) -> tuple[Cell, ...]:
    interval = fall.interval
    bounds = (interval.low, interval.high) if interval else None
    return (
        Cell(humanise(fall.metric)),
        cell(fall.clean, _UNDEFINED),
        cell(fall.perturbed, _UNDEFINED),
        cell(fall.fall, _UNDEFINED, bounds, interval.method if interval else ""),
        Cell(cut_text("; ".join(text for text in (fall.reason, note) if text)) or "–"),
    )


def scorer_table(found: GenAIEvaluation) -> Table:
    """What each scorer said, and who judged."""
    return Table(
        caption="Scorers: who judged, how many assessments, what they found",
        columns=(
            Column("scorer"),
            Column("judged by"),
            Column("n", numeric=True),
            Column("errors", numeric=True),
            Column("passed", numeric=True),
            Column("pass rate", numeric=True),
            Column("mean", numeric=True),
            Column("values"),
        ),
        rows=tuple(_scorer(one) for one in found.scorers),
    )


def _scorer(one: ScorerResult) -> tuple[Cell, ...]:
    interval = one.interval
    bounds = (interval.low, interval.high) if interval else None
    method = interval.method if interval else ""
    none = Cell("–", muted=True)
    rated = one.pass_rate is not None
    counts = "; ".join(f"{cut_text(value)}: {n:,}" for value, n in one.values.items())
    return (
        Cell(cut_text(one.scorer)),
        Cell(cut_text(one.judged_by)),
        cell(one.n),
        cell(one.errors),
        none if one.passed is None else cell(one.passed),
        cell(one.pass_rate, _UNDEFINED, bounds, method) if rated else none,
        none if one.mean is None else cell(one.mean, "", None if rated else bounds, method),
        Cell(cut_text(counts)) if counts else none,
    )


def baseline_table(found: BaselineComparison) -> Table:
    """Each value beside that of the version in production, and which way it moved."""
    return Table(
        caption=f"This run beside {cut_text(found.name)} version {cut_text(found.version)}",
        columns=(
            Column("metric"),
            Column("dataset"),
            Column("this run", numeric=True),
            Column(f"version {cut_text(found.version)}", numeric=True),
            Column("difference", numeric=True),
            Column("direction"),
        ),
        rows=tuple(_compared_row(row) for row in found.rows),
    )


def _compared_row(row: Comparison) -> tuple[Cell, ...]:
    by = f" by {row.feature}" if row.feature else ""
    return (
        Cell(cut_text(f"{humanise(row.metric)}{by}")),
        Cell(cut_text(row.dataset)),
        cell(row.value, _UNDEFINED),
        cell(row.baseline, _UNDEFINED),
        _delta(row),
        _direction(row),
    )


def _delta(row: Comparison) -> Cell:
    if row.delta is None:
        return cell(None, _UNDEFINED)
    sign = "+" if row.delta > 0 else ""
    interval = row.delta_interval
    if interval is None:
        return Cell(f"{sign}{shown(float(f'{row.delta:.4g}'))}", exact=repr(row.delta))
    found = cell(row.delta, _UNDEFINED, (interval.low, interval.high), interval.method)
    return replace(found, text=f"{sign}{found.text}")


def _direction(row: Comparison) -> Cell:
    if row.delta is None:
        return Cell("–", muted=True)
    if row.delta == 0:
        return Cell("the same", muted=True)
    if row.better is None:
        words = "higher" if row.delta > 0 else "lower"
    else:
        words = "better" if row.better else "worse"
    if row.within_noise:
        return Cell(f"{words}, within noise", muted=True)
    if row.within_noise is None and row.better is not None:
        return Cell(f"{words}, noise unknown", muted=True)
    return Cell(words) if row.better is None else Cell(words, chip=Chip(words, words))
