"""Capture: from a run in MLflow and the profile in force to sealed evidence.

`plan` is pure: facts and declarations in, drafts and documents out. `capture` adds the two ports:
what is new or changed is written to the run under `aims/` and sealed in the ledger; what is
unchanged is left alone. Doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aims_mlflow import __version__
from aims_mlflow.errors import LedgerConflictError
from aims_mlflow.evidence import (
    Artifact,
    Draft,
    Evidence,
    EvidenceKind,
    Frozen,
    Subject,
    SubjectType,
    digest,
    evidence_id,
    normalise,
)
from aims_mlflow.facts import ARTIFACT_DIR, TAG_VERDICT, RunFacts
from aims_mlflow.ledger.log import Entry, Ledger, Sealing
from aims_mlflow.model_card.builder import build_card
from aims_mlflow.model_card.evaluation import EvaluationReport, build_report
from aims_mlflow.model_card.formats import Stamp
from aims_mlflow.model_card.formats.html import render_html
from aims_mlflow.model_card.formats.json import render_body, render_json
from aims_mlflow.model_card.formats.markdown import render_markdown
from aims_mlflow.model_card.records import (
    dataset_records,
    environment_lock,
    provenance_record,
    run_record,
)
from aims_mlflow.readings import Scores, Verdict

if TYPE_CHECKING:
    from aims_mlflow.governance.profile import Profile
    from aims_mlflow.governance.system import AISystem
    from aims_mlflow.tracking import Tracking

#: Attempts when another process seals a version of the same fact at the same moment.
_ATTEMPTS = 3

Render = Callable[[Stamp], dict[str, bytes]]
_MEDIA = {"md": "text/markdown", "html": "text/html", "json": "application/json"}


@dataclass(frozen=True)
class Planned:
    """A draft, the file stem of its documents, and how to render them (by extension)."""

    draft: Draft
    stem: str
    render: Render


class Captured(Frozen):
    """What one capture did. `sealed` holds the new evidence ids by kind; empty: nothing changed."""

    run_id: str
    run_name: str
    system: str | None
    verdict: Verdict
    sealed: tuple[tuple[EvidenceKind, str], ...]
    documents: tuple[str, ...]
    unchanged: int
    notes: tuple[str, ...] = ()


def resolve_system(facts: RunFacts, profile: Profile) -> str | None:
    """The system of a run: named by its tag, else the one that claims its experiment or model."""
    if facts.system_tag:
        return facts.system_tag
    return profile.claimant(facts.experiment_name, [v.name for v in facts.model_versions])


def plan(facts: RunFacts, profile: Profile) -> tuple[tuple[Planned, ...], EvaluationReport]:
    """All documents and drafts of a run: a pure function of its facts and of the profile."""
    system_id = resolve_system(facts, profile)
    system = profile.system(system_id) if system_id else None
    report = evaluate(facts, system_id, system)
    card = build_card(facts, system_id, system, report, profile.where)

    def of_run(
        kind: EvidenceKind, body: Mapping[str, Any], render: Render | None = None
    ) -> Planned:
        subject = Subject(
            type=SubjectType.RUN, id=facts.run_id, run_id=facts.run_id, name=facts.run_name
        )
        return _planned(kind, system_id, subject, facts, body, render, stem=kind.value)

    planned = [
        of_run(EvidenceKind.RUN_RECORD, run_record(facts, system_id)),
        of_run(EvidenceKind.PROVENANCE_RECORD, provenance_record(facts)),
        of_run(EvidenceKind.EVALUATION_REPORT, report.body(), _documents(report)),
        of_run(EvidenceKind.MODEL_CARD, card.body(), _documents(card)),
    ]
    lock = environment_lock(facts)
    if lock is not None:
        planned.append(of_run(EvidenceKind.ENVIRONMENT_LOCK, lock))
    for dataset, body in dataset_records(facts, system):
        context = f"#{dataset.context}" if dataset.context else ""
        identity = f"{dataset.name}@{dataset.digest}{context}"
        subject = Subject(
            type=SubjectType.DATASET, id=identity, run_id=facts.run_id, name=dataset.name
        )
        stem = f"{EvidenceKind.DATASET_RECORD.value}-{digest(identity.encode())[:8]}"
        planned.append(
            _planned(EvidenceKind.DATASET_RECORD, system_id, subject, facts, body, None, stem=stem)
        )
    return tuple(planned), report


def evaluate(facts: RunFacts, system_id: str | None, system: AISystem | None) -> EvaluationReport:
    """Score what the run evaluated and hold it against the declared thresholds."""
    tables, problems = _evaluations(facts)
    thresholds = system.thresholds if system else ()
    judgements: Sequence[Any] = ()
    scores: tuple[Scores, ...] = ()
    if tables or thresholds:
        from aims_mlflow.monitors.judge import judge
        from aims_mlflow.monitors.performance import score

        smallest = min((t.min_group_size for t in thresholds if t.feature), default=30)
        scores = tuple(score(table, min_group_size=smallest) for table in tables)
        logged = {metric.key: metric.value for metric in facts.metrics}
        judgements = judge(thresholds, tables, logged, problems)
    return build_report(facts, system_id, system, scores, judgements, problems)


def capture(
    run_id: str, *, tracking: Tracking, ledger: Ledger, profile: Profile, source: str, actor: str
) -> Captured:
    """Capture one run.

    Args:
        run_id: The MLflow run.
        tracking: The MLflow store that holds it.
        ledger: Where evidence is sealed.
        profile: The governance profile in force.
        source: What caused the capture: `hook`, `sync`, `capture`.
        actor: Who or what captures: a login or a job identity.

    Raises:
        RunNotFoundError: The run does not exist or was deleted.
        TrackingError: MLflow does not answer; capture later.
        LedgerError: The ledger cannot be written; capture later.
    """
    facts = tracking.fetch(run_id)
    planned, report = plan(facts, profile)
    for attempt in range(_ATTEMPTS):
        try:
            entries, documents = _seal(planned, facts, tracking, ledger, source, actor)
            break
        except LedgerConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
    if entries:
        tracking.tag(run_id, {TAG_VERDICT: report.verdict.value})
    return Captured(
        run_id=run_id,
        run_name=facts.run_name,
        system=resolve_system(facts, profile),
        verdict=report.verdict,
        sealed=tuple((e.evidence.kind, e.evidence.id) for e in entries),
        documents=tuple(documents),
        unchanged=len(planned) - len(entries),
        notes=facts.notes,
    )


def record_gap(
    ledger: Ledger, run_id: str, reason: str, *, system: str | None, actor: str, source: str
) -> None:
    """Seal that evidence of a run should exist and does not; once for each reason."""
    subject = Subject(type=SubjectType.RUN, id=run_id, run_id=run_id)
    draft = declared_draft(EvidenceKind.GAP, system, subject, {"reason": reason})
    seal_declared(ledger, [draft], actor=actor, source=source)


def declared_draft(
    kind: EvidenceKind, system: str | None, subject: Subject, body: Mapping[str, Any]
) -> Draft:
    """A draft of something that has no time of its own in MLflow: it happens now."""
    clean, notes = normalise(body)
    return Draft(
        kind=kind,
        system=system,
        subject=subject,
        event_time=datetime.now(UTC),
        body=clean,
        normalised=notes,
    )


def seal_declared(
    ledger: Ledger, drafts: Sequence[Draft], *, actor: str, source: str
) -> tuple[Entry, ...]:
    """Seal drafts whose body differs from the newest version; the others are left alone."""
    known = ledger.latest([draft.lineage for draft in drafts])
    changed = []
    for draft in drafts:
        previous = known.get(draft.lineage)
        if previous is None or previous.body_sha256 != digest(draft.body_bytes()):
            changed.append(_sealing(draft, previous, (), actor, source, draft.event_time))
    return ledger.append(changed) if changed else ()


def _planned(
    kind: EvidenceKind,
    system_id: str | None,
    subject: Subject,
    facts: RunFacts,
    body: Mapping[str, Any],
    render: Render | None,
    *,
    stem: str,
) -> Planned:
    clean, notes = normalise(body)
    draft = Draft(
        kind=kind,
        system=system_id,
        subject=_clean_subject(subject),
        event_time=facts.event_time,
        body=clean,
        normalised=notes,
    )
    return Planned(draft, stem, render or (lambda stamp: {"json": render_body(clean, kind, stamp)}))


def _clean_subject(subject: Subject) -> Subject:
    clean, _ = normalise(subject.model_dump())
    return Subject.model_validate(clean)


def _documents(document: Any) -> Render:
    return lambda stamp: {
        "md": render_markdown(document, stamp),
        "html": render_html(document, stamp),
        "json": render_json(document, stamp),
    }


def _seal(
    planned: Sequence[Planned],
    facts: RunFacts,
    tracking: Tracking,
    ledger: Ledger,
    source: str,
    actor: str,
) -> tuple[tuple[Entry, ...], list[str]]:
    known = ledger.latest([p.draft.lineage for p in planned])
    now = datetime.now(UTC)
    files: dict[str, bytes] = {}
    sealings: list[Sealing] = []
    for item in planned:
        previous = known.get(item.draft.lineage)
        content = item.draft.content_digest()
        if previous is not None and previous.content_digest == content:
            continue
        version, supersedes = _following(previous)
        stamp = Stamp(
            version=version,
            supersedes=supersedes,
            evidence_id=evidence_id(content, supersedes),
        )
        written = _files(item, stamp)
        files |= written
        artifacts = tuple(_artifact(path, data) for path, data in sorted(written.items()))
        sealing = _sealing(item.draft, previous, artifacts, actor, source, now)
        sealings.append(sealing.model_copy(update={"store": tracking.uri_shown}))
    if not sealings:
        return (), []
    # Files first: an entry must never name a file that a crash kept from being written.
    tracking.write(facts.run_id, files)
    return ledger.append(sealings), sorted(files)


def _files(item: Planned, stamp: Stamp) -> dict[str, bytes]:
    # The id keeps two processes that capture different states of a run at once apart.
    name = f"{ARTIFACT_DIR}/{item.stem}.v{stamp.version}-{stamp.evidence_id[:8]}"
    return {f"{name}.{extension}": data for extension, data in item.render(stamp).items()}


def _artifact(path: str, data: bytes) -> Artifact:
    media = _MEDIA[path.rpartition(".")[2]]
    return Artifact(path=path, sha256=digest(data), size=len(data), media_type=media)


def _following(previous: Evidence | None) -> tuple[int, str | None]:
    return (previous.version + 1, previous.id) if previous else (1, None)


def _sealing(
    draft: Draft,
    previous: Evidence | None,
    artifacts: tuple[Artifact, ...],
    actor: str,
    source: str,
    now: datetime,
) -> Sealing:
    version, supersedes = _following(previous)
    return Sealing(
        draft=draft,
        version=version,
        supersedes=supersedes,
        artifacts=artifacts,
        actor=actor,
        source=f"aims-mlflow/{__version__} {source}",
        capture_time=now,
    )


def _evaluations(facts: RunFacts) -> tuple[list[Any], list[str]]:
    """The evaluation tables of the run, and what was refused when it was logged."""
    if not facts.evaluations:
        return [], []
    from pydantic import ValidationError

    from aims_mlflow.monitors.tables import EvaluationTable

    tables, problems = [], []
    for logged in facts.evaluations:
        if "problem" in logged:
            problems.append(str(logged["problem"]))
            continue
        try:
            tables.append(EvaluationTable.model_validate(logged))
        except ValidationError as error:
            problems.append(f"an evaluation in {ARTIFACT_DIR}/inputs cannot be read: {error}")
    return tables, problems
