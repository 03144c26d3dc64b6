"""Cards and evaluation reports as format-neutral documents."""

from __future__ import annotations

from collections import Counter
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from aims_mlflow.governance.metrics import METRICS
from aims_mlflow.model_card.about import key_figures, verdict_counts
from aims_mlflow.model_card.bounds import bound_list, cut_texts, plain
from aims_mlflow.model_card.card import Card, KeyFigure, Section, Statement, Status
from aims_mlflow.model_card.evaluation import EvaluationReport
from aims_mlflow.model_card.formats.blocks import blocks, cell, group_table, table, verdict_chip
from aims_mlflow.model_card.formats.document import (
    Block,
    Chip,
    Document,
    Entry,
    Figure,
    Gap,
    Items,
    Paragraph,
    Part,
    Share,
)
from aims_mlflow.model_card.formats.stamp import Stamp
from aims_mlflow.model_card.formats.text import humanise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aims_mlflow.readings import Judgement, Reading, Scores

#: What the verdict chip says beside it when no threshold was judged.
_NOTHING_JUDGED = "no threshold was judged"
_NOT_PROVIDED = "not provided"
#: Fields about the card rather than the model: the last of their section.
_BOOKKEEPING = ("schema_version", "card_id", "card_status")


@singledispatch
def document(source: Any, stamp: Stamp) -> Document:
    """The document of a card or of an evaluation report.

    Raises:
        TypeError: `source` is neither.
    """
    raise TypeError(f"{type(source).__name__} is no document")


@document.register
def _of_card(source: Card, stamp: Stamp) -> Document:
    counts = source.completeness
    return Document(
        kind="Model card",
        title=source.title,
        system=_system(source.system, source.system_name),
        verdict=verdict_chip(source.about.verdict),
        verdict_note=_verdict_note(source.about.verdict_counts),
        alerts=source.about.alerts,
        figures=tuple(map(_figure, source.about.key_figures)),
        shares=(
            Share("measured", "measured", counts.measured),
            Share("declared", "declared", counts.declared),
            Share("missing", "missing", counts.missing),
        ),
        shares_label=f"{counts.required} required statements",
        gaps_title="What is missing",
        gaps=tuple(Gap(item.title, item.field, item.fix) for item in source.missing),
        parts=(*map(_part, source.sections), *_notes(source.notes)),
        identity=(
            ("Run", source.run_name),
            ("Run id", source.run_id),
            ("Experiment", source.experiment_name),
            ("Time of the run", f"{source.event_time:%Y-%m-%d %H:%M:%S} UTC"),
        ),
        provenance=_provenance(source.schema_version, stamp),
    )


@document.register
def _of_report(source: EvaluationReport, stamp: Stamp) -> Document:
    counts = verdict_counts(source)
    return Document(
        kind="Evaluation report",
        title=source.run_name,
        system=_system(source.system, None),
        verdict=verdict_chip(source.verdict),
        verdict_note=_verdict_note(counts),
        alerts=(),
        figures=tuple(map(_figure, key_figures(source))),
        shares=tuple(Share(name, name.lower(), count) for name, count in counts.items()),
        shares_label=f"{len(source.judgements)} judgements",
        gaps_title="What could not be judged",
        gaps=tuple(
            Gap(f"{item.subject}: {item.reason}", "", item.fix) for item in source.insufficient
        ),
        parts=tuple(_report_parts(source)),
        identity=(
            ("Run id", source.run_id),
            ("Evaluator", source.evaluator or "not recorded"),
            ("Time of the run", f"{source.event_time:%Y-%m-%d %H:%M:%S} UTC"),
            ("Declaration in force", source.declared_digest or "none"),
        ),
        provenance=_provenance(source.schema_version, stamp),
    )


def _part(section: Section) -> Part:
    ordered = sorted(section.statements, key=lambda statement: statement.field in _BOOKKEEPING)
    entries = tuple(_entry(statement) for statement in ordered)
    counts = Counter(entry.chip.text for entry in entries)
    tally = ", ".join(f"{count} {words}" for words, count in counts.most_common())
    return Part(section.id, section.title, entries=entries, tally=tally)


def _entry(statement: Statement) -> Entry:
    missing = statement.status is Status.MISSING
    optional = missing and not statement.required
    words = statement.status.value.replace("_", " ")
    owner = f"{statement.owner} answers for it" if statement.owner and not optional else ""
    return Entry(
        id=statement.field,
        title=statement.title,
        chip=Chip(_NOT_PROVIDED, "optional") if optional else Chip(words, statement.status.value),
        blocks=tuple(_value(statement)),
        origin=" · ".join(text for text in (statement.source, owner) if text),
        meaning=statement.meaning if missing else "",
        fix=statement.fix,
    )


def _value(statement: Statement) -> list[Block]:
    found: list[Block] = []
    if statement.field == "disaggregated_results" and statement.status is Status.MEASURED:
        found += map(group_table, statement.value)
    elif statement.value is not None:
        found += blocks(statement.value, statement.title)
    if statement.declared is not None:
        found.append(Paragraph(f"Declared in {statement.declared_source}:", muted=True))
        found += blocks(statement.declared, f"{statement.title}, declared")
    return found


def _report_parts(report: EvaluationReport) -> list[Part]:
    parts = [Part("thresholds", "Thresholds", blocks=tuple(_judgements(report.judgements)))]
    for index, score in enumerate(report.scores, start=1):
        found = tuple(_scores(score))
        parts.append(Part(f"dataset-{index}", f"Measured on {score.dataset}", blocks=found))
    if report.datasets:
        rows = table(cut_texts(plain(report.datasets)), "Evaluated datasets")
        parts.append(Part("datasets", "Datasets", blocks=(rows,)))
    if report.logged_metrics:
        logged = bound_list(plain(report.logged_metrics))
        found = tuple(blocks(logged, "Metrics as logged to MLflow; a threshold judges by name"))
        parts.append(Part("logged", "Logged by the training script", blocks=found))
    return parts


def _judgements(judgements: Sequence[Judgement]) -> list[Block]:
    if not judgements:
        return [Paragraph("No threshold was judged on this run.", muted=True)]
    rows = [_judgement(judgement) for judgement in judgements]
    found: list[Block] = [table(rows, "Thresholds held against what was measured")]
    declared = [{"threshold": j.threshold} | plain(j.declared) for j in judgements if j.declared]
    if declared:
        found.append(table(_unique(declared), "The thresholds as declared"))
    return found


def _judgement(judgement: Judgement) -> dict[str, Any]:
    by = f" by {judgement.feature}" if judgement.feature else ""
    on = f" on {judgement.dataset}" if judgement.dataset else ""
    row = {
        "threshold": f"{judgement.threshold} ({judgement.severity})",
        "verdict": judgement.verdict.value,
        "measured": f"{_label(judgement.metric)}{by}{on}",
    }
    keys = ("value", "limit", "reason", "excluded", "n")
    found: dict[str, Any] = cut_texts(row | _pick(plain(judgement), keys))
    return found


def _scores(score: Scores) -> list[Block]:
    found: list[Block] = [
        Paragraph(f"{score.task}, {score.n:,} rows", muted=True),
        table(_readings(score.overall), f"Overall on {score.dataset}"),
    ]
    if score.disparities:
        found.append(table(_readings(score.disparities), f"Disparities on {score.dataset}"))
    found += [group_table(cut_texts(plain(group))) for group in score.groups]
    if score.confusion:
        rows = [{"true": t, "predicted": p, "n": n} for t, p, n in score.confusion]
        found.append(table(rows, f"Confusion on {score.dataset}"))
    if score.notes:
        found.append(Items("Notes", score.notes))
    return found


def _readings(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    keys = ("feature", "metric", "value", "n", "excluded", "reason")
    return [_pick(cut_texts(plain(reading)), keys) for reading in readings]


def _pick(row: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: row[key] for key in keys}


def _unique(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for index, row in enumerate(rows) if row not in rows[:index]]


def _figure(figure: KeyFigure) -> Figure:
    held = f"limit {figure.limit}" if figure.limit else ""
    n = f"n={figure.n:,}" if figure.n is not None else ""
    by = f"by {figure.feature}" if figure.feature else ""
    note = " · ".join(text for text in (by, figure.dataset, n, held) if text)
    chip = verdict_chip(figure.verdict) if figure.verdict else None
    return Figure(_label(figure.metric), cell(figure.value, "value"), note, chip)


def _label(metric: str) -> str:
    return humanise(metric) if metric in METRICS else metric


def _notes(notes: Sequence[str]) -> list[Part]:
    if not notes:
        return []
    return [Part("notes", "Notes of capture", blocks=(Items("Notes", tuple(notes)),))]


def _system(system_id: str | None, name: str | None) -> str:
    if system_id is None:
        return "no AI system"
    return f"{name} ({system_id})" if name else system_id


def _verdict_note(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or _NOTHING_JUDGED


def _provenance(schema: str, stamp: Stamp) -> tuple[tuple[str, str], ...]:
    return (
        ("Version", str(stamp.version)),
        ("Evidence id", stamp.evidence_id),
        ("Supersedes", stamp.supersedes or "nothing: this is the first version"),
        ("Schema", schema),
    )
