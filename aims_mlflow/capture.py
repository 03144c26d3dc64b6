"""Capture: from a run in MLflow and the profile in force to sealed evidence.

`planning.plan` is pure: facts and declarations in, drafts and documents out. `capture` adds the two
ports: what is new or changed is written to the run under `aims/` and sealed in the ledger; what is
unchanged is left alone. Doing it again changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.errors import RunNotFoundError
from aims_mlflow.evidence import EvidenceKind, Frozen
from aims_mlflow.facts import TAG_VERDICT, RunFacts
from aims_mlflow.planning import Plan, plan, resolve_system
from aims_mlflow.readings import Verdict
from aims_mlflow.recording import Recorded, record
from aims_mlflow.redaction import redact
from aims_mlflow.registered import announce, baseline_facts, with_baseline
from aims_mlflow.sweeps import Sweep, find_sweep, selection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aims_mlflow.governance.profile import Profile
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.tracking import Tracking


class Captured(Frozen):
    """What one capture did. `sealed` holds the new evidence ids by kind; empty: nothing changed.

    `candidates` counts those of the sweep whose parent the run is.
    """

    run_id: str
    run_name: str
    system: str | None
    verdict: Verdict
    sealed: tuple[tuple[EvidenceKind, str], ...]
    documents: tuple[str, ...]
    unchanged: int
    candidates: int = 0
    notes: tuple[str, ...] = ()


def capture(
    run_id: str,
    *,
    tracking: Tracking,
    ledger: Ledger,
    profile: Profile,
    source: str,
    actor: str,
    sweeps: Mapping[str, Sweep | None] | None = None,
) -> Captured:
    """Capture one run.

    Args:
        run_id: The MLflow run.
        tracking: The MLflow store that holds it.
        ledger: Where evidence is sealed.
        profile: The governance profile in force.
        source: What caused the capture: `hook`, `sync`, `capture`.
        actor: Who or what captures: a login or a job identity.
        sweeps: Sweeps that are known already, by the run id of their parent.

    Raises:
        RunNotFoundError: The run does not exist or was deleted.
        TrackingError: MLflow does not answer; capture later.
        LedgerError: The ledger cannot be written; capture later.
    """
    facts, sweep = gather(run_id, tracking, profile, sweeps or {})
    baseline, problem = baseline_facts(facts, tracking)
    if baseline is not None:
        baseline = redact(baseline)
    if problem:
        facts = facts.model_copy(update={"notes": (*facts.notes, problem)})
    made = plan(facts, profile, baseline, sweep)
    recorded = record(
        made.items, run_id, tracking=tracking, ledger=ledger, source=source, actor=actor
    )
    if recorded.entries:
        tracking.tag(run_id, {TAG_VERDICT: made.report.verdict.value})
    refused = _announce(facts, made, recorded, tracking)
    return Captured(
        run_id=run_id,
        run_name=facts.run_name,
        system=made.system_id,
        verdict=made.report.verdict,
        sealed=tuple((e.evidence.kind, e.evidence.id) for e in recorded.entries),
        documents=recorded.documents,
        unchanged=len(made.items) - len(recorded.entries),
        candidates=len(sweep.candidates) if sweep else 0,
        notes=(*facts.notes, *refused),
    )


def gather(
    run_id: str, tracking: Tracking, profile: Profile, sweeps: Mapping[str, Sweep | None]
) -> tuple[RunFacts, Sweep | None]:
    """The facts of a run, without secrets, and the sweep that it is the parent of, if it is one.

    The facts tell the place of the run in the sweep around it, and its baseline.

    Raises:
        RunNotFoundError: The run does not exist or was deleted.
        TrackingError: MLflow does not answer.
    """
    facts = redact(tracking.fetch(run_id))
    own = _sweep(run_id, tracking, profile, sweeps)
    around = facts.parent_run_id and _sweep(facts.parent_run_id, tracking, profile, sweeps)
    chosen = selection(around, run_id) if around else None
    if own is not None:
        chosen = chosen or selection(own, run_id)
        facts = facts.model_copy(update={"notes": (*facts.notes, own.note())})
    facts = facts.model_copy(update={"selection": chosen})
    system_id = resolve_system(facts, profile)
    system = profile.system(system_id) if system_id else None
    return with_baseline(facts, system, tracking), own


def _sweep(
    run_id: str, tracking: Tracking, profile: Profile, known: Mapping[str, Sweep | None]
) -> Sweep | None:
    if run_id in known:
        return known[run_id]
    try:
        return find_sweep(tracking.children.head(run_id), tracking, profile)
    except RunNotFoundError:  # the parent was deleted
        return None


def _announce(
    facts: RunFacts, made: Plan, recorded: Recorded, tracking: Tracking
) -> tuple[str, ...]:
    """Tell the registered versions of the run; what was refused is a note."""
    if not facts.model_versions:
        return ()
    card = next(i.draft for i in made.items if i.draft.kind is EvidenceKind.MODEL_CARD)
    sealed = recorded.newest[card.lineage]
    headline = ""
    if made.changes is not None and made.changes.summary and facts.baseline is not None:
        version = facts.baseline.version
        headline = f"since version {version} in production: {made.changes.summary}"
    return announce(facts, made.report, made.card, sealed, tracking, headline)
