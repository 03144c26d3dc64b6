"""Reconcile: bring the ledger up to what MLflow holds, whoever wrote it and however it ended.

The spool tells what dead processes still had to say; MLflow tells of every run. Both are read, so
that killed processes, older runs and clients without this package are found.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from aims_mlflow.capture import Captured, record_gap
from aims_mlflow.drain import Drainer, actor
from aims_mlflow.evidence import EvidenceKind, Frozen, UtcDatetime
from aims_mlflow.scope import TAG_SYSTEM
from aims_mlflow.spool import abandoned, fallback_folder
from aims_mlflow.tracking import Tracking, is_terminated, moment

if TYPE_CHECKING:
    from mlflow.entities import Run

    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.workspace import Workspace

#: A run that is still RUNNING after this long was probably killed.
STALE_AFTER = timedelta(hours=24)

Advance = Callable[[int, str], None]


class SyncReport(Frozen):
    """What one reconciliation found and did.

    `runs` counts the runs that MLflow holds, `recorded` those that had evidence before. `stale`
    are runs still RUNNING after a day; `unclaimed` were left alone because no system claims them.
    """

    runs: int
    recorded: int
    captured: tuple[Captured, ...]
    waiting: dict[str, str]
    gaps: tuple[str, ...]
    stale: tuple[str, ...]
    unclaimed: tuple[str, ...]


class Coverage(Frozen):
    """Which runs of MLflow lack evidence, by id. `late` ended again after they were captured."""

    runs: int
    recorded: tuple[str, ...]
    missing: tuple[str, ...]
    late: tuple[str, ...]
    unclaimed: tuple[str, ...]
    stale: tuple[str, ...]
    running: tuple[str, ...]
    deleted: tuple[str, ...]


def coverage(workspace: Workspace, tracking: Tracking, ledger: Ledger) -> Coverage:
    """Hold MLflow's runs against the ledger; reads only.

    Raises:
        TrackingError: MLflow does not answer.
        LedgerError: The ledger cannot be read.
    """
    known = _recorded(ledger)
    claimed = {m for s in workspace.profile.systems.values() for m in s.mlflow.registered_models}
    models = tracking.runs_of_models(sorted(claimed))
    found: dict[str, list[str]] = {
        name: [] for name in ("recorded", "missing", "late", "unclaimed", "stale", "running")
    }
    now = datetime.now(UTC)
    runs = 0
    for run in tracking.runs():
        runs += 1
        found[_standing(run, known, workspace, tracking, models, now)].append(run.info.run_id)
    deleted = [run_id for run_id in tracking.deleted_runs() if run_id in known]
    return Coverage(
        runs=runs,
        deleted=tuple(deleted),
        **{name: tuple(ids) for name, ids in found.items()},
    )


def sync(
    workspace: Workspace, *, unclaimed: bool = False, advance: Advance | None = None
) -> SyncReport:
    """Capture what is missing, and record as a gap what can no longer be captured.

    Args:
        workspace: Where to work.
        unclaimed: Capture also runs that no AI system claims.
        advance: Called with the number of runs still to do and the id of the one at hand.

    Raises:
        TrackingError: MLflow does not answer.
        LedgerError: The ledger cannot be written.
        SpoolError: The spool cannot be read.
    """
    tracking = workspace.tracking()
    ledger = workspace.ledger(tracking)
    drainer = Drainer(workspace, source="sync", own=False)
    _drain_spool(workspace, drainer)
    drainer.capture_unfinished(ledger.captured_runs())
    state = coverage(workspace, tracking, ledger)
    drainer.begin()
    todo = [*state.missing, *state.late, *(state.unclaimed if unclaimed else ())]
    for index, run_id in enumerate(r for r in todo if r not in drainer.progress.waiting):
        if advance is not None:
            advance(len(todo) - index, run_id)
        drainer.process({"what": "ended", "uri": tracking.uri, "run_id": run_id})
    for run_id in state.deleted:
        record_gap(
            ledger,
            run_id,
            "the run was deleted from MLflow after its evidence was sealed",
            system=None,
            actor=actor(),
            source="sync",
        )
    progress = drainer.progress
    return SyncReport(
        runs=state.runs,
        recorded=len(state.recorded),
        captured=tuple(progress.captured.values()),
        waiting=dict(progress.waiting),
        gaps=tuple(progress.gaps),
        stale=state.stale,
        unclaimed=() if unclaimed else state.unclaimed,
    )


def _drain_spool(workspace: Workspace, drainer: Drainer) -> None:
    folders = {workspace.spool_dir, fallback_folder()}
    for segment in chain.from_iterable(abandoned(folder) for folder in sorted(folders)):
        drainer.begin()
        # Each process had its own environment: forget the last one before the next segment.
        drainer.forget_environment()
        keep = [intent for intent in segment.intents if not drainer.process(intent)]
        if keep:
            environment = drainer.environment_intent()
            keep = [*([environment] if environment else []), *keep]
        if segment.damaged:
            drainer.progress.gaps.append(
                f"{segment.path.name}: {segment.damaged} damaged frames, kept in quarantine/"
            )
        segment.done(keep)


def _recorded(ledger: Ledger) -> dict[str, UtcDatetime]:
    """When each recorded run ended, as its run record has it."""
    entries = ledger.entries(kind=EvidenceKind.RUN_RECORD, current=True)
    return {e.evidence.subject.id: e.evidence.event_time for e in entries}


def _standing(
    run: Run,
    known: dict[str, UtcDatetime],
    workspace: Workspace,
    tracking: Tracking,
    models: dict[str, set[str]],
    now: datetime,
) -> str:
    info = run.info
    if not is_terminated(info.status):
        return "stale" if now - moment(info.start_time) > STALE_AFTER else "running"
    recorded = known.get(info.run_id)
    if recorded is not None:
        ended = moment(info.end_time or info.start_time)
        return "late" if ended > recorded else "recorded"
    named = run.data.tags.get(TAG_SYSTEM)
    experiment = tracking.experiment_name(info.experiment_id)
    return (
        "missing"
        if named or workspace.profile.claimant(experiment, models.get(info.run_id, ()))
        else "unclaimed"
    )
