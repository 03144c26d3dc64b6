"""What a monitor's thresholds say: breaches with their numbers, what is open and what to do."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aims_mlflow.governance.metrics import METRICS, MetricFamily
from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.formats.blocks import verdict_chip
from aims_mlflow.model_card.formats.document import (
    Cell,
    Column,
    Entry,
    Items,
    Pairs,
    Paragraph,
    Part,
    Table,
)
from aims_mlflow.model_card.formats.heads import label
from aims_mlflow.model_card.formats.numbers import NONE, number, off_by
from aims_mlflow.model_card.formats.remedies import remedy
from aims_mlflow.model_card.frame import cut
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aims_mlflow.model_card.formats.document import Block
    from aims_mlflow.monitored import MonitoringReport
    from aims_mlflow.readings import Judgement

#: Judgements of each verdict and problems that are shown one by one, and letters of a name.
_MAX_ENTRIES, _NAME = 40, 80
_WORST_FIRST = (Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.PASS)
_SEVERITIES = ("critical", "major", "minor")


def worst_first(judgements: Iterable[Judgement]) -> list[Judgement]:
    """FAIL, then INSUFFICIENT, then PASS; within each, the most severe first."""
    return sorted(judgements, key=lambda j: (_WORST_FIRST.index(j.verdict), _severity(j)))


def subject(judgement: Judgement) -> str:
    """What a judgement is about: `"drift of age"`, `"accuracy by sex"`."""
    words = label(cut(judgement.metric, _NAME))
    if judgement.column and not _of_requests(judgement):
        kind = "drift" if judgement.metric == "column_drift" else words
        words = f"{kind} of {cut(judgement.column, _NAME)}"
    if judgement.limit.startswith("change"):
        words = f"change of {words}"
    by = f" by {cut(judgement.feature, _NAME)}" if judgement.feature else ""
    part = f", {cut(judgement.part, _NAME)}" if judgement.part else ""
    return f"{words}{by}{part}"


def _of_requests(judgement: Judgement) -> bool:
    """Whether the column only says where the metric is read."""
    metric = METRICS.get(judgement.metric)
    return metric is not None and metric.family is MetricFamily.OPERATION


def judgement_parts(report: MonitoringReport) -> Iterator[Part]:
    """The breaches, what could not be judged, and what passed."""
    found = worst_first(report.judgements)
    failed, undecided, passed = (
        [judgement for judgement in found if judgement.verdict is verdict]
        for verdict in _WORST_FIRST
    )
    if failed:
        part = _part("breaches", "What is wrong", failed, report)
        yield replace(part, blocks=(*_playbook(report), *part.blocks))
    if undecided or report.problems or not found:
        part = _part("open", "What could not be judged", undecided, report)
        yield replace(part, blocks=(*_open(report), *part.blocks))
    if passed:
        held = _passed(passed[:_MAX_ENTRIES])
        yield Part("passed", "What passed", blocks=(held, *_more(passed)))


def _part(name: str, title: str, judgements: Sequence[Judgement], report: MonitoringReport) -> Part:
    entries = tuple(
        _entry(f"{name}-{index}", judgement, report)
        for index, judgement in enumerate(judgements[:_MAX_ENTRIES], start=1)
    )
    return Part(name, title, entries=entries, blocks=tuple(_more(judgements)))


def _playbook(report: MonitoringReport) -> Iterator[Block]:
    playbook = report.declared.get("playbook")
    if playbook:
        yield Paragraph(f"Playbook: {cut_text(str(playbook))}")


def _open(report: MonitoringReport) -> Iterator[Block]:
    if not report.judgements:
        yield Paragraph(
            "No threshold was judged, so nothing was proven. Declare one that this monitor "
            f"measures under 'thresholds' of the system '{cut(report.system_id, _NAME)}'."
        )
    if report.problems:
        yield Items("What could not be read or measured", texts(report.problems))


def texts(found: tuple[str, ...]) -> tuple[str, ...]:
    """The first of many texts, each cut, and how many more there are."""
    more = len(found) - _MAX_ENTRIES
    shown = tuple(map(cut_text, found[:_MAX_ENTRIES]))
    return (*shown, f"and {more:,} more, which the JSON has") if more > 0 else shown


def _more(judgements: Sequence[Judgement]) -> Iterator[Block]:
    more = len(judgements) - _MAX_ENTRIES
    if more > 0:
        yield Paragraph(f"{more:,} more are in the JSON alone, none of them severer.", muted=True)


def _entry(name: str, judgement: Judgement, report: MonitoringReport) -> Entry:
    title = subject(judgement)
    return Entry(
        id=name,
        title=title,
        chip=verdict_chip(judgement.verdict),
        origin=f"{judgement.severity} · threshold {cut(judgement.threshold, _NAME)}",
        blocks=(
            Paragraph(cut_text(judgement.reason)),
            Pairs(title, tuple(_facts(judgement, report))),
        ),
    )


def _facts(judgement: Judgement, report: MonitoringReport) -> Iterator[tuple[str, Cell]]:
    told = judgement.declared
    breach = judgement.verdict is Verdict.FAIL
    rows = (
        ("measured", number(judgement.value, judgement.error_bound)),
        ("limit", Cell(judgement.limit)),
        ("beyond the limit by", _optional(off_by(judgement) if breach else None)),
        ("change from", _optional(judgement.baseline)),
        ("rows", _rows(judgement)),
        ("left out", _text("; ".join(texts(judgement.excluded)))),
        ("why this limit", _text(told.get("reason"))),
        ("approved by", _text(told.get("approved_by"))),
        ("to be reviewed by", _text(told.get("review_by"))),
        ("what to do", None if breach else _text(remedy(judgement, report))),
    )
    yield from ((name, cell) for name, cell in rows if cell is not None)


def _optional(value: float | None) -> Cell | None:
    return None if value is None or not math.isfinite(value) else number(value)


def _rows(judgement: Judgement) -> Cell | None:
    if judgement.n is None:
        return None
    of = judgement.n_total
    some = f" of {of:,}" if of is not None and of != judgement.n else ""
    seed = f", drawn with seed {judgement.seed}" if judgement.seed is not None else ""
    return Cell(f"{judgement.n:,}{some}{seed}")


def _text(value: Any) -> Cell | None:
    return Cell(cut_text(str(value))) if value not in (None, "") else None


def _passed(judgements: Sequence[Judgement]) -> Table:
    return Table(
        caption="Thresholds that are met",
        columns=(
            Column("threshold"),
            Column("measured"),
            Column("value", numeric=True),
            Column("limit"),
            Column("rows", numeric=True),
            Column("reason"),
        ),
        rows=tuple(
            (
                Cell(cut_text(f"{one.threshold} ({one.severity})")),
                Cell(subject(one)),
                number(one.value, one.error_bound),
                Cell(one.limit.replace(" ", "\N{NO-BREAK SPACE}", 1)),
                _rows(one) or NONE,
                Cell(cut_text(one.reason)),
            )
            for one in judgements
        ),
    )


def _severity(judgement: Judgement) -> int:
    found = judgement.severity
    return _SEVERITIES.index(found) if found in _SEVERITIES else len(_SEVERITIES)
