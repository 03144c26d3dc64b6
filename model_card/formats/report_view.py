"""An evaluation report as a document: judgements first, then each dataset, then the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.model_card.about import key_figures, verdict_counts
from aims_mlflow.model_card.bounds import bound_list, cut_text, cut_texts, plain
from aims_mlflow.model_card.formats.blocks import blocks, cell, table, verdict_chip
from aims_mlflow.model_card.formats.document import (
    Block,
    Document,
    Gap,
    Items,
    Pairs,
    Paragraph,
    Part,
    Share,
)
from aims_mlflow.model_card.formats.heads import (
    figure,
    label,
    provenance,
    system_name,
    verdict_note,
)
from aims_mlflow.model_card.formats.outcome_tables import (
    baseline_table,
    robustness_table,
    scorer_table,
)
from aims_mlflow.model_card.formats.score_view import fall_plots, score_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aims_mlflow.facts import SelectionFacts
    from aims_mlflow.model_card.evaluation import (
        BaselineComparison,
        EvaluationReport,
        GenAIEvaluation,
    )
    from aims_mlflow.model_card.formats.stamp import Stamp
    from aims_mlflow.readings import Judgement, Robustness

_SAME_DATA = {True: "the same data", False: "other data", None: "not known to be the same data"}


def report_document(source: EvaluationReport, stamp: Stamp) -> Document:
    """The document of an evaluation report."""
    counts = verdict_counts(source)
    return Document(
        kind="Evaluation report",
        title=source.run_name,
        system=system_name(source.system, None),
        verdict=verdict_chip(source.verdict),
        verdict_note=verdict_note(counts),
        alerts=(selection_note(source.selection),) if source.selection else (),
        figures=tuple(map(figure, key_figures(source))),
        shares=tuple(Share(name, name.lower(), count) for name, count in counts.items()),
        shares_label=f"{len(source.judgements)} judgements",
        gaps_title="What could not be judged",
        gaps=tuple(
            Gap(f"{item.subject}: {item.reason}", "", item.fix) for item in source.insufficient
        ),
        parts=tuple(_parts(source)),
        identity=(
            ("Run id", source.run_id),
            ("Evaluator", source.evaluator or "not recorded"),
            ("Time of the run", f"{source.event_time:%Y-%m-%d %H:%M:%S} UTC"),
            ("Declaration in force", source.declared_digest or "none"),
        ),
        provenance=provenance(source.schema_version, stamp),
    )


def selection_note(selection: SelectionFacts) -> str:
    """What a reader must know of a run that won a selection."""
    by = ""
    if selection.metric:
        mode = f" ({selection.mode})" if selection.mode else ""
        by = f" by {cut_text(selection.metric)}{mode}"
    return (
        f"Chosen as best of {selection.candidates:,}{by}; chosen by: "
        f"{cut_text(selection.chosen_by)}. A value that won a selection is optimistic: it needs "
        "data that took no part in it."
    )


def _parts(report: EvaluationReport) -> Iterator[Part]:
    yield Part("thresholds", "Thresholds", blocks=tuple(_judgements(report.judgements)))
    if report.baseline:
        yield Part("baseline", "Compared with production", blocks=tuple(_baseline(report.baseline)))
    for index, score in enumerate(report.scores, start=1):
        found = tuple(score_blocks(score, f"dataset-{index}"))
        yield Part(f"dataset-{index}", f"Measured on {score.dataset}", blocks=found)
    for index, tested in enumerate(report.robustness, start=1):
        name = f"robustness-{index}"
        title = f"Robustness on {cut_text(tested.dataset)}"
        yield Part(name, title, blocks=tuple(_robustness(tested, name)))
    if report.genai:
        yield Part("genai", "Generative AI", blocks=tuple(_genai(report.genai)))
    if report.selection:
        yield Part("selection", "How this run was chosen", blocks=(_selection(report.selection),))
    if report.datasets:
        rows = table(cut_texts(plain(report.datasets)), "Evaluated datasets")
        yield Part("datasets", "Datasets", blocks=(rows,))
    if report.logged_metrics:
        logged = bound_list(plain(report.logged_metrics))
        words = tuple(blocks(logged, "Metrics as logged to MLflow; a threshold judges by name"))
        yield Part("logged", "Logged by the training script", blocks=words)


def _judgements(judgements: Sequence[Judgement]) -> list[Block]:
    if not judgements:
        return [Paragraph("No threshold was judged on this run.", muted=True)]
    rows = [_judgement(judgement) for judgement in judgements]
    found: list[Block] = [table(rows, "Thresholds held against what was measured")]
    declared = [{"threshold": j.threshold} | plain(j.declared) for j in judgements if j.declared]
    if declared:
        given = {key for row in declared for key, value in row.items() if value is not None}
        shown = [key for key in declared[0] if key in given and key != "id"]
        told = [
            {key: "" if row[key] is None else row[key] for key in shown}
            for row in _unique(declared)
        ]
        found.append(table(told, "The thresholds as declared"))
    return found


def _judgement(judgement: Judgement) -> dict[str, Any]:
    plainly = plain(judgement)
    by = f" by {judgement.feature}" if judgement.feature else ""
    part = f", {judgement.part}" if judgement.part else ""
    on = f" on {judgement.dataset}" if judgement.dataset else ""
    row = {
        "threshold": f"{judgement.threshold} ({judgement.severity})",
        "verdict": judgement.verdict.value,
        "measured": f"{label(judgement.metric)}{by}{part}{on}",
    }
    # The reason names the groups that were left out; a column of its own would say it twice.
    keys = ("value", "limit", "n", "reason")
    found: dict[str, Any] = cut_texts(row | _pick(plainly, keys))
    return found


def _baseline(baseline: BaselineComparison) -> Iterator[Block]:
    yield Paragraph(
        f"{cut_text(baseline.name)} version {cut_text(baseline.version)}, alias "
        f"{cut_text(baseline.alias)}, run {cut_text(baseline.run_id)}.",
        muted=True,
    )
    if baseline.same_data:
        items = tuple(
            f"{cut_text(name)}: {_SAME_DATA[same]}" for name, same in baseline.same_data.items()
        )
        yield Items("Whether both were measured on the same data, by digest", items)
    if any(same is not True for same in baseline.same_data.values()):
        yield Paragraph("Where the data differ, a difference is one of model and data together.")
    if baseline.rows:
        yield baseline_table(baseline)
    else:
        yield Paragraph("Both have no value on a dataset of the same name.", muted=True)


def _robustness(found: Robustness, name: str) -> Iterator[Block]:
    sampled = "all rows were perturbed"
    if found.n < found.n_total:
        sampled = (
            f"drawn with seed {found.seed}; sampling errs by at most {found.error_bound:.3g} in a "
            "share of rows, at 95 %"
        )
    rows = f"{found.n:,} of {found.n_total:,} rows"
    yield Paragraph(f"{found.task}, {rows}: {sampled}; noise with seed {found.seed}.", muted=True)
    yield from fall_plots(found, name)
    yield robustness_table(found)
    if found.notes:
        yield Items("Notes", tuple(map(cut_text, found.notes)))


def _genai(found: GenAIEvaluation) -> Iterator[Block]:
    failed = f", {found.failed:,} of them ended in an error" if found.failed else ""
    yield Paragraph(f"{found.traces:,} traces were assessed{failed}.", muted=True)
    if found.scorers:
        yield scorer_table(found)
    else:
        yield Paragraph("No scorer assessed them.")


def _selection(selection: SelectionFacts) -> Pairs:
    rank = "not recorded" if selection.rank is None else f"{selection.rank:,}"
    return Pairs(
        "How this run was chosen among the candidates",
        (
            ("sweep", cell(cut_text(f"{selection.parent_name} ({selection.parent_run_id})"))),
            ("candidates", cell(f"{selection.candidates:,}, {selection.finished:,} finished")),
            ("chosen by", cell(cut_text(selection.chosen_by))),
            ("metric", cell(cut_text(selection.metric or "none named"))),
            ("value", cell(selection.value, "value")),
            ("rank", cell(rank)),
        ),
    )


def _pick(row: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: row[key] for key in keys}


def _unique(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for index, row in enumerate(rows) if row not in rows[:index]]
