"""What a report could not judge: each with the reason and the line to add."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aims_mlflow.evidence import Frozen
from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aims_mlflow.facts import RunFacts, SelectionFacts
    from aims_mlflow.governance.system import AISystem
    from aims_mlflow.model_card.evaluation import GenAIEvaluation
    from aims_mlflow.readings import Judgement, Scores


class Insufficiency(Frozen):
    """Something that could not be judged: what, why, and the line to add."""

    subject: str
    reason: str
    fix: str = ""


def insufficiencies(
    facts: RunFacts,
    system_id: str | None,
    system: AISystem | None,
    scores: Sequence[Scores],
    judgements: Sequence[Judgement],
    genai: GenAIEvaluation | None,
    problems: Sequence[str],
) -> Iterator[Insufficiency]:
    """Everything that keeps a report from being whole; arguments as for `build_report`."""
    if not judgements:
        yield _no_threshold(system_id, system)
    if not scores and genai is None and not _is_unchosen(facts.selection):
        yield Insufficiency(
            subject="Evaluation",
            reason="the run logged no evaluation",
            fix=_log_evaluation(system),
        )
    yield from _unscored(genai)
    yield from _selected(facts.selection)
    for score in scores:
        if digest_of(score.dataset, facts) is None:
            yield _unidentified(score)
        yield from _ungrouped(score, system)
    for judgement in judgements:
        if judgement.verdict is Verdict.INSUFFICIENT:
            yield Insufficiency(subject=judgement.threshold, reason=judgement.reason)
    for problem in problems:
        yield Insufficiency(
            subject="Evaluation",
            reason=f"refused: {cut_text(problem)}",
            fix=_log_evaluation(system),
        )


def digest_of(dataset: str, facts: RunFacts) -> str | None:
    """The digest under which the run logged a dataset of this name; None if none or several.

    Two inputs of one name and different digests leave open which one was evaluated.
    """
    digests = {found.digest for found in facts.datasets if found.name == dataset}
    return digests.pop() if len(digests) == 1 else None


def _no_threshold(system_id: str | None, system: AISystem | None) -> Insufficiency:
    subject = "Thresholds"
    if system is not None:
        return Insufficiency(
            subject=subject,
            reason=f"the system '{system.id}' declares no threshold that a run can answer",
            fix="thresholds: [{id: min-accuracy, metric: accuracy, min: ..., reason: ...}]",
        )
    if system_id is not None:
        return Insufficiency(
            subject=subject,
            reason=f"no file declares the system '{system_id}', so nothing has a limit",
            fix=f"governance/systems/{system_id}.yaml: {{id: {system_id}, name: ...}}",
        )
    return Insufficiency(
        subject=subject,
        reason="the run belongs to no AI system, so nothing has a limit",
        fix='@aims_mlflow.govern("...")',
    )


def _is_unchosen(selection: SelectionFacts | None) -> bool:
    """Whether the run is a sweep itself, and none of its candidates was chosen."""
    return selection is not None and not selection.chosen_by


def _selected(selection: SelectionFacts | None) -> Iterator[Insufficiency]:
    if selection is None:
        return
    if _is_unchosen(selection):
        yield Insufficiency(
            subject="Sweep",
            reason=f"none of {selection.candidates:,} candidates was chosen, so none has a card",
            fix="sweep: {chosen: best, metric: ..., mode: min}, or the tag aims.chosen on one run",
        )
    elif selection.metric is not None:
        yield Insufficiency(
            subject="Selection",
            reason=(
                f"the run was chosen among {selection.candidates:,} candidates by "
                f"'{cut_text(selection.metric)}': a value that won a selection is optimistic"
            ),
            fix="aims_mlflow.log_evaluation(...) on data that took no part in the selection",
        )


def _unscored(genai: GenAIEvaluation | None) -> Iterator[Insufficiency]:
    if genai is not None and not genai.scorers:
        yield Insufficiency(
            subject="Scorers",
            reason=f"{genai.traces:,} traces were evaluated, and no scorer assessed them",
            fix="mlflow.genai.evaluate(data=..., scorers=[...])",
        )


def _unidentified(score: Scores) -> Insufficiency:
    return Insufficiency(
        subject=f"Dataset {score.dataset}",
        reason="the run logged no one dataset of this name, so its digest is not known",
        fix=(
            f"mlflow.log_input(mlflow.data.from_pandas(frame, name={score.dataset!r}), "
            'context="evaluation")'
        ),
    )


def _ungrouped(score: Scores, system: AISystem | None) -> Iterator[Insufficiency]:
    # A ranking has no groups of rows: what is measured is a query.
    if system is None or score.task == "ranking":
        return
    grouped = {name for table in score.groups for name in table.features}
    absent = [f.name for f in system.sensitive_features if f.name not in grouped]
    if absent:
        named = ", ".join(f"'{cut_text(name)}'" for name in absent)
        yield Insufficiency(
            subject=f"Groups of {score.dataset}",
            reason=f"sensitive features are declared, and the evaluation names no group of {named}",
            fix=_log_evaluation(system),
        )


def _log_evaluation(system: AISystem | None) -> str:
    names = [feature.name for feature in system.sensitive_features] if system else []
    groups = f", sensitive_features=frame[{json.dumps(names)}]" if names else ""
    return f"aims_mlflow.log_evaluation(y_true, y_pred{groups})"
