"""What a monitor's thresholds say: breaches with their numbers, what is open and what to do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.formats.blocks import table, verdict_chip
from aims_mlflow.model_card.formats.document import Cell, Entry, Items, Pairs, Paragraph, Part
from aims_mlflow.model_card.formats.heads import label
from aims_mlflow.model_card.formats.numbers import number, off_by
from aims_mlflow.model_card.formats.remedies import remedy
from aims_mlflow.model_card.frame import cut
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def subject(judgement: Judgement, *, parts: bool = True) -> str:
    """What a judgement is about: `"column drift of column age"`; without `parts`, its metric."""
    words = label(cut(judgement.metric, _NAME))
    if judgement.limit.startswith("change"):
        words = f"change of {words}"
    if not parts:
        return words
    of = f" of column {cut(judgement.column, _NAME)}" if judgement.column else ""
    by = f" by {cut(judgement.feature, _NAME)}" if judgement.feature else ""
    part = f", {cut(judgement.part, _NAME)}" if judgement.part else ""
    return f"{words}{of}{by}{part}"


def judgement_parts(report: MonitoringReport) -> Iterator[Part]:
    """The breaches, what could not be judged, and what passed."""
    found = worst_first(report.judgements)
    failed, undecided, passed = (
        [judgement for judgement in found if judgement.verdict is verdict]
        for verdict in _WORST_FIRST
    )
    if failed:
        yield _part("breaches", "What is wrong", failed, report)
    if undecided or report.problems or not found:
        yield _part("open", "What could not be judged", undecided, report, open_=True)
    if passed:
        rows = [_passed(judgement) for judgement in passed[:_MAX_ENTRIES]]
        held = table(rows, "Thresholds that are met")
        yield Part("passed", "What passed", blocks=(held, *_more(passed, "that passed")))


def _part(
    name: str,
    title: str,
    judgements: list[Judgement],
    report: MonitoringReport,
    *,
    open_: bool = False,
) -> Part:
    entries = tuple(
        _entry(f"{name}-{index}", judgement, report)
        for index, judgement in enumerate(judgements[:_MAX_ENTRIES], start=1)
    )
    blocks = [*(_open(report) if open_ else ()), *_more(judgements, "of this verdict")]
    return Part(name, title, entries=entries, blocks=tuple(blocks))


def _open(report: MonitoringReport) -> Iterator[Block]:
    if not report.judgements:
        yield Paragraph(
            "No threshold was judged, so nothing was proven. Declare one that this monitor "
            f"measures under `thresholds:` of the system '{report.system_id}'."
        )
    if report.problems:
        yield Items("What could not be read or measured", texts(report.problems))


def texts(found: tuple[str, ...]) -> tuple[str, ...]:
    """The first of many texts, each cut, and how many more there are."""
    more = len(found) - _MAX_ENTRIES
    shown = tuple(map(cut_text, found[:_MAX_ENTRIES]))
    return (*shown, f"and {more:,} more, which the JSON has") if more > 0 else shown


def _more(judgements: list[Judgement], words: str) -> Iterator[Block]:
    more = len(judgements) - _MAX_ENTRIES
    if more > 0:
        yield Paragraph(f"{more:,} more {words} are in the JSON.", muted=True)


def _entry(name: str, judgement: Judgement, report: MonitoringReport) -> Entry:
    return Entry(
        id=name,
        title=subject(judgement),
        chip=verdict_chip(judgement.verdict),
        origin=f"{judgement.severity} · threshold {judgement.threshold}",
        blocks=(Paragraph(cut_text(_sentence(judgement.reason))), _facts(judgement, report)),
    )


def _facts(judgement: Judgement, report: MonitoringReport) -> Pairs:
    told = judgement.declared
    rows = [
        ("measured", number(judgement.value, judgement.error_bound)),
        ("limit", Cell(judgement.limit)),
        ("beyond the limit by", _beyond(judgement)),
        ("compared with", _optional(judgement.baseline)),
        ("rows", _rows(judgement)),
        ("left out", _text("; ".join(texts(judgement.excluded)))),
        ("why this limit", _text(told.get("reason"))),
        ("approved by", _text(told.get("approved_by"))),
        ("to be reviewed by", _text(told.get("review_by"))),
        ("what to do", _text(_what_to_do(judgement, report))),
    ]
    return Pairs("Numbers", tuple((name, cell) for name, cell in rows if cell is not None))


def _what_to_do(judgement: Judgement, report: MonitoringReport) -> str | None:
    playbook = report.declared.get("playbook")
    if judgement.verdict is not Verdict.FAIL:
        return remedy(judgement, report)
    return f"follow the playbook: {playbook}" if playbook else None


def _beyond(judgement: Judgement) -> Cell | None:
    """How far a value is beyond its limit; only a breach is beyond."""
    if judgement.verdict is not Verdict.FAIL or judgement.value is None:
        return None
    beyond = off_by(judgement)
    return None if beyond is None else number(beyond)


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


def _passed(judgement: Judgement) -> dict[str, Any]:
    return {
        "threshold": f"{judgement.threshold} ({judgement.severity})",
        "measured": subject(judgement),
        "value": judgement.value,
        "limit": judgement.limit,
        "n": judgement.n,
        "reason": cut_text(judgement.reason),
    }


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" if text[:1].islower() and " " in text[:12] else text


def _severity(judgement: Judgement) -> int:
    found = judgement.severity
    return _SEVERITIES.index(found) if found in _SEVERITIES else len(_SEVERITIES)
