"""A monitoring report as a document: what is wrong first, then what is open, then the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from aims_mlflow.model_card.bounds import cut_text, cut_texts, plain
from aims_mlflow.model_card.card import KeyFigure
from aims_mlflow.model_card.formats.blocks import verdict_chip
from aims_mlflow.model_card.formats.document import Document, Part, Share
from aims_mlflow.model_card.formats.heads import figure, provenance, verdict_note
from aims_mlflow.model_card.formats.monitor_inputs import data_blocks, declared_blocks, notes_block
from aims_mlflow.model_card.formats.monitor_judgements import judgement_parts, subject, worst_first
from aims_mlflow.model_card.formats.numbers import number
from aims_mlflow.model_card.formats.reading_tables import reading_parts
from aims_mlflow.model_card.formats.score_view import score_blocks
from aims_mlflow.model_card.frame import cut
from aims_mlflow.readings import Scores, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from aims_mlflow.model_card.formats.document import Figure
    from aims_mlflow.model_card.formats.stamp import Stamp
    from aims_mlflow.monitored import MonitoringReport, Window
    from aims_mlflow.readings import GroupRow, Judgement

#: What a report of each kind of monitor is called.
_TITLES = {
    "drift": "Drift report",
    "quality": "Data quality report",
    "bias": "Bias report",
    "performance": "Performance report",
    "operation": "Operation report",
}
#: Figures in the head, and letters of a name there.
_MAX_FIGURES, _NAME = 6, 60
#: Below this, four digits of a value do not fit into a figure.
_SMALL = 0.01
#: Metrics of groups that disparities are made of.
_OF_GROUPS = frozenset(
    {
        *("selection_rate", "true_positive_rate", "false_positive_rate", "precision", "accuracy"),
        *("mae", "rmse", "mean_error"),
    }
)
_WORST_FIRST = (Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.PASS)


def monitor_document(source: MonitoringReport, stamp: Stamp) -> Document:
    """The document of one execution of a monitor."""
    found = Counter(judgement.verdict for judgement in source.judgements)
    counts = {verdict.value: found[verdict] for verdict in _WORST_FIRST if found[verdict]}
    return Document(
        kind=_TITLES.get(source.kind, "Monitoring report"),
        title=f"{cut(source.monitor, _NAME)}, {_short(source.window)}",
        system=cut(source.system_id, _NAME),
        verdict=verdict_chip(source.verdict),
        verdict_note=verdict_note(counts),
        alerts=tuple(_alerts(source)),
        figures=tuple(_figures(source)),
        shares=tuple(Share(name, name.lower(), count) for name, count in counts.items()),
        shares_label=_thresholds(len(source.judgements)),
        gaps_title="",
        gaps=(),
        parts=tuple(_parts(source)),
        identity=tuple(_identity(source)),
        provenance=provenance(source.schema_version, stamp),
        legend=(
            "Measured on the data that are named above, of which no row is kept here. ± is the "
            "largest amount by which a value may be off. INSUFFICIENT means that nothing was "
            "proven either way, and is no pass."
        ),
    )


def _thresholds(count: int) -> str:
    if not count:
        return "No threshold was judged"
    return f"{count} {'threshold' if count == 1 else 'thresholds'}"


def _alerts(report: MonitoringReport) -> Iterator[str]:
    verdicts = {judgement.verdict for judgement in report.judgements}
    if report.verdict is Verdict.INSUFFICIENT and verdicts == {Verdict.PASS}:
        yield "Every threshold is met, but what could not be read or measured withholds a PASS."


def _identity(report: MonitoringReport) -> Iterator[tuple[str, str]]:
    start, end = report.window.start, report.window.end
    yield "Window", f"{start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC"
    yield "Monitor", f"{cut(report.monitor, _NAME)} ({report.kind})"
    yield "Version in production", cut_text(report.model_version or "not known")
    yield "Declaration in force", cut_text(report.threshold_config or "none")
    if report.run_id:
        yield "Run id", cut_text(report.run_id)


def _short(window: Window) -> str:
    """A window as a title: without the time of day where it begins and ends at midnight UTC."""
    ends = (window.start, window.end)
    if any(end.time() != end.min.time() for end in ends):
        return " to ".join(f"{end:%Y-%m-%d %H:%M}" for end in ends)
    if (window.end - window.start).days == 1:
        return f"{window.start:%Y-%m-%d}"
    return " to ".join(f"{end:%Y-%m-%d}" for end in ends)


def _figures(report: MonitoringReport) -> Iterator[Figure]:
    for judgement in worst_first(report.judgements)[:_MAX_FIGURES]:
        yield _judged_figure(judgement)
    if report.judgements:
        return
    whole = [r for r in report.readings if not (r.column or r.feature or r.slice)]
    for reading in [one for one in whole if one.value is not None][:_MAX_FIGURES]:
        yield figure(KeyFigure(metric=reading.metric, value=reading.value, n=reading.n))


def _judged_figure(judgement: Judgement) -> Figure:
    found = figure(
        KeyFigure(
            metric=judgement.metric,
            value=judgement.value,
            n=judgement.n,
            limit=judgement.limit,
            verdict=judgement.verdict,
        )
    )
    value = number(judgement.value)
    if judgement.value is not None and abs(judgement.value) < _SMALL:
        value = replace(value, text=f"{judgement.value:.3g}")
    return replace(found, label=cut(subject(judgement), _NAME), value=value)


def _parts(report: MonitoringReport) -> Iterator[Part]:
    yield from judgement_parts(report)
    yield from reading_parts(report)
    for index, score in enumerate(report.scores, start=1):
        name = f"dataset-{index}"
        bounded = Scores.model_validate(cut_texts(plain(_relevant(score, report))))
        title = f"Measured on {cut(score.dataset, _NAME)}"
        yield Part(name, title, blocks=tuple(score_blocks(bounded, name)))
    yield Part("data", "Data", blocks=tuple(data_blocks(report)))
    yield Part("declared", "Declared", blocks=tuple(declared_blocks(report)))
    if report.notes:
        yield Part("notes", "Notes", blocks=(notes_block(report),))


def _relevant(score: Scores, report: MonitoringReport) -> Scores:
    """What the monitor is about: of a bias monitor the groups, of another everything else."""
    if report.kind != "bias":
        return score.model_copy(update={"disparities": ()})
    kept = _OF_GROUPS | {judgement.metric for judgement in report.judgements}
    overall = tuple(reading for reading in score.overall if reading.metric in kept)
    if not overall:
        return score
    left_out = {"calibration": None, "curve": (), "confusion": (), "classes": None, "slices": None}
    groups = tuple(
        found.model_copy(update={"rows": tuple(_of_groups(row, kept) for row in found.rows)})
        for found in score.groups
    )
    methods = {key: how for key, how in score.interval_methods.items() if key in kept}
    notes = (*score.notes, "metrics that say nothing of groups are in the JSON alone")
    return score.model_copy(
        update=left_out
        | {"overall": overall, "groups": groups, "interval_methods": methods, "notes": notes}
    )


def _of_groups(row: GroupRow, kept: Set[str]) -> GroupRow:
    return row.model_copy(
        update={"metrics": {key: value for key, value in row.metrics.items() if key in kept}}
    )
