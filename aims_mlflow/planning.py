"""Plan: from the facts of a run and the profile in force to drafts and documents.

Everything here is pure: the same run and the same declarations give the same digests, whoever
captures, and whenever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import EvidenceKind, Subject, SubjectType, digest
from aims_mlflow.facts import ARTIFACT_DIR, RunFacts
from aims_mlflow.model_card.builder import build_card
from aims_mlflow.model_card.card import EvidenceLink
from aims_mlflow.model_card.comparison import compare
from aims_mlflow.model_card.diff import diff_cards
from aims_mlflow.model_card.evaluation import EvaluationReport, build_report
from aims_mlflow.model_card.formats.cyclonedx import render_cyclonedx
from aims_mlflow.model_card.formats.html import render_html
from aims_mlflow.model_card.formats.huggingface import front_matter, with_front_matter
from aims_mlflow.model_card.formats.json import render_json
from aims_mlflow.model_card.formats.markdown import render_markdown
from aims_mlflow.model_card.genai import evaluate_genai, scorer_values
from aims_mlflow.model_card.records import (
    dataset_records,
    environment_lock,
    provenance_record,
    run_record,
)
from aims_mlflow.recording import Planned, Render, planned
from aims_mlflow.sweeps import SUFFIX, Sweep, sweep_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aims_mlflow.governance.profile import Profile
    from aims_mlflow.governance.system import AISystem, Perturbation
    from aims_mlflow.governance.thresholds import Threshold
    from aims_mlflow.model_card.card import Card
    from aims_mlflow.model_card.diff_model import CardDiff
    from aims_mlflow.model_card.formats import Stamp
    from aims_mlflow.readings import Robustness, Scores


@dataclass(frozen=True)
class Plan:
    """What a capture will seal: the drafts with their documents, and what they were made of.

    `changes` is what changed since the version in production, where there is one.
    """

    system_id: str | None
    report: EvaluationReport
    card: Card
    changes: CardDiff | None
    items: tuple[Planned, ...]


def resolve_system(facts: RunFacts, profile: Profile) -> str | None:
    """The system of a run: named by its tag, else the one that claims its experiment or model."""
    if facts.system_tag:
        return facts.system_tag
    return profile.claimant(facts.experiment_name, [v.name for v in facts.model_versions])


def plan(
    facts: RunFacts,
    profile: Profile,
    baseline: RunFacts | None = None,
    sweep: Sweep | None = None,
) -> Plan:
    """All documents and drafts of a run.

    Args:
        facts: The run as MLflow holds it.
        profile: What people declared.
        baseline: The run of the version in production, as `facts.baseline` names it.
        sweep: The sweep whose parent the run is.
    """
    system_id = resolve_system(facts, profile)
    system = profile.system(system_id) if system_id else None
    report = evaluate(facts, system_id, system)
    before = None
    if facts.baseline is not None and baseline is not None:
        before = evaluate(baseline, system_id, system)
        compared = compare(report, before, facts.baseline)
        report = report.model_copy(update={"baseline": compared})
    changes = None
    if facts.baseline is not None and baseline is not None and before is not None:
        changes = _changes(facts, report, baseline, before, system_id, system, profile)
    sealed = tuple(_records(facts, system_id, system, report, sweep))
    card = build_card(
        facts,
        system_id,
        system,
        report,
        profile.where,
        evidence=tuple(map(_link, sealed)),
        authorship=profile.authorship,
        written=profile.written(system_id),
        changes=changes,
    )
    documents = _card_documents(card, report, facts)
    own = _of_run(EvidenceKind.MODEL_CARD, facts, system_id, card.body(), documents)
    return Plan(system_id, report, card, changes, (*sealed, own))


def evaluate(facts: RunFacts, system_id: str | None, system: AISystem | None) -> EvaluationReport:
    """Score what the run evaluated and hold it against the declared thresholds."""
    tables, problems = _evaluations(facts)
    robustness = _robustness(facts, problems)
    genai = evaluate_genai(facts.genai) if facts.genai else None
    thresholds = system.thresholds if system else ()
    judgements: Sequence[Any] = ()
    scores: tuple[Scores, ...] = ()
    if tables or thresholds:
        from aims_mlflow.monitors.judge import judge
        from aims_mlflow.monitors.performance import score

        sizes = _group_sizes(thresholds)
        scores = tuple(score(table, sizes=sizes) for table in tables)
        logged = {metric.key: metric.value for metric in facts.metrics}
        scorers = scorer_values(genai) if genai else None
        judgements = judge(
            thresholds, tables, logged, problems, robustness, scorers, _perturbations(system)
        )
    return build_report(
        facts,
        system_id,
        system,
        scores,
        judgements,
        problems,
        robustness=robustness,
        genai=genai,
    )


def _group_sizes(thresholds: Iterable[Threshold]) -> dict[frozenset[str], int]:
    """By features, the largest `min_group_size` that a threshold on their groups declares.

    The tables then call no group compared that a threshold on the same features left out.
    """
    sizes: dict[frozenset[str], int] = {}
    for threshold in thresholds:
        features = frozenset(threshold.features)
        if features:
            sizes[features] = max(sizes.get(features, 0), threshold.min_group_size)
    return sizes


def _perturbations(system: AISystem | None) -> tuple[Perturbation, ...]:
    return system.robustness.perturbations if system and system.robustness else ()


def _changes(
    facts: RunFacts,
    report: EvaluationReport,
    baseline: RunFacts,
    before: EvaluationReport,
    system_id: str | None,
    system: AISystem | None,
    profile: Profile,
) -> CardDiff | None:
    """What changed since the version in production, both sides under the profile in force."""
    named = facts.baseline
    if named is None:
        return None
    written = profile.written(system_id)
    old, new = (
        build_card(run, system_id, system, found, profile.where, written=written).body()
        for run, found in ((baseline, before), (facts, report))
    )
    return diff_cards(
        old,
        new,
        before.body(),
        report.body(),
        before_lock=environment_lock(baseline),
        after_lock=environment_lock(facts),
        names=((named.name, named.version), None),
    )


def _records(
    facts: RunFacts,
    system_id: str | None,
    system: AISystem | None,
    report: EvaluationReport,
    sweep: Sweep | None,
) -> Iterator[Planned]:
    """Everything that is sealed of a run and that its card rests on."""
    yield _of_run(EvidenceKind.RUN_RECORD, facts, system_id, run_record(facts, system_id))
    yield _of_run(EvidenceKind.PROVENANCE_RECORD, facts, system_id, provenance_record(facts))
    kind = EvidenceKind.EVALUATION_REPORT
    yield _of_run(kind, facts, system_id, report.body(), _report_documents(report))
    lock = environment_lock(facts)
    if lock is not None:
        yield _of_run(EvidenceKind.ENVIRONMENT_LOCK, facts, system_id, lock)
    yield from _datasets(facts, system_id, system)
    if sweep is not None:
        yield _sweep_item(facts, system_id, sweep)


def _of_run(
    kind: EvidenceKind,
    facts: RunFacts,
    system_id: str | None,
    body: Mapping[str, Any],
    render: Render | None = None,
) -> Planned:
    subject = Subject(
        type=SubjectType.RUN, id=facts.run_id, run_id=facts.run_id, name=facts.run_name
    )
    return planned(kind, system_id, subject, facts, body, render, stem=kind.value)


def _datasets(facts: RunFacts, system_id: str | None, system: AISystem | None) -> Iterator[Planned]:
    kind = EvidenceKind.DATASET_RECORD
    for dataset, body in dataset_records(facts, system):
        context = f"#{dataset.context}" if dataset.context else ""
        identity = f"{dataset.name}@{dataset.digest}{context}"
        subject = Subject(
            type=SubjectType.DATASET, id=identity, run_id=facts.run_id, name=dataset.name
        )
        stem = f"{kind.value}-{digest(identity.encode())[:8]}"
        yield planned(kind, system_id, subject, facts, body, None, stem=stem)


def _sweep_item(facts: RunFacts, system_id: str | None, sweep: Sweep) -> Planned:
    """The record of the candidates: a fact of its own beside the run record of the parent."""
    subject = Subject(
        type=SubjectType.RUN,
        id=f"{facts.run_id}{SUFFIX}",
        run_id=facts.run_id,
        name=facts.run_name,
    )
    body = sweep_record(sweep, facts.experiment_name, system_id)
    kind = EvidenceKind.RUN_RECORD
    return planned(kind, system_id, subject, facts, body, None, stem="sweep_record")


def _link(item: Planned) -> EvidenceLink:
    draft = item.draft
    return EvidenceLink(
        kind=draft.kind, subject=draft.subject.id, content_digest=draft.content_digest()
    )


def _report_documents(report: EvaluationReport) -> Render:
    return lambda stamp: {
        "md": render_markdown(report, stamp),
        "html": render_html(report, stamp),
        "json": render_json(report, stamp),
    }


def _card_documents(card: Card, report: EvaluationReport, facts: RunFacts) -> Render:
    packages = (facts.environment or {}).get("packages")
    installed = packages if isinstance(packages, dict) else {}

    def render(stamp: Stamp) -> dict[str, bytes]:
        front = front_matter(card, report, stamp)
        return {
            "md": with_front_matter(render_markdown(card, stamp), front),
            "html": render_html(card, stamp),
            "json": render_json(card, stamp),
            "cdx.json": render_cyclonedx(card, report, stamp, packages=installed),
        }

    return render


def _evaluations(facts: RunFacts) -> tuple[list[Any], list[str]]:
    """The evaluation tables of the run, and what was refused when it was logged."""
    if not facts.evaluations:
        return [], []
    from pydantic import ValidationError

    from aims_mlflow.monitors.tables import EvaluationTable

    tables, problems = [], []
    for logged in facts.evaluations:
        if "problem" in logged:
            problems.append(_refusal(logged))
            continue
        try:
            tables.append(EvaluationTable.model_validate(logged))
        except ValidationError as error:
            problems.append(f"an evaluation in {ARTIFACT_DIR}/inputs cannot be read: {error}")
    return tables, problems


def _refusal(logged: Mapping[str, Any]) -> str:
    """What was refused, with the dataset that it was about where the call named one."""
    problem, dataset = str(logged["problem"]), logged.get("dataset")
    return f"the evaluation of '{dataset}': {problem}" if dataset else problem


def _robustness(facts: RunFacts, problems: list[str]) -> tuple[Robustness, ...]:
    """The robustness evaluations of the run; one that cannot be read joins the problems."""
    if not facts.robustness:
        return ()
    from pydantic import ValidationError

    from aims_mlflow.readings import Robustness

    found = []
    for logged in facts.robustness:
        try:
            found.append(Robustness.model_validate(logged))
        except ValidationError as error:
            reason = f"a robustness evaluation in {ARTIFACT_DIR}/inputs cannot be read: {error}"
            problems.append(reason)
    return tuple(found)
