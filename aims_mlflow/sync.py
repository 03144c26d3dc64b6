"""Reconcile: bring the ledger up to what MLflow holds, whoever wrote it and however it ended.

The spool tells what dead processes still had to say; MLflow tells of every run. Both are read, so
that killed processes, older runs and clients without this package are found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING

from aims_mlflow.capture import Captured
from aims_mlflow.coverage import STALE_AFTER, Coverage, coverage, survey
from aims_mlflow.drain import Drainer, actor
from aims_mlflow.evidence import Frozen
from aims_mlflow.recording import record_gap
from aims_mlflow.spool import abandoned, fallback_folder

if TYPE_CHECKING:
    from aims_mlflow.spool import Intent
    from aims_mlflow.workspace import Workspace

__all__ = ["STALE_AFTER", "Coverage", "SyncReport", "coverage", "sync"]

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
    workspace.refresh()
    state, accounts = survey(workspace, tracking, ledger)
    drainer.begin()
    lacking = (*state.missing, *state.late, *(state.unclaimed if unclaimed else ()))
    todo = list(dict.fromkeys(accounts.get(run_id, run_id) for run_id in lacking))
    for index, run_id in enumerate(r for r in todo if r not in drainer.progress.waiting):
        if advance is not None:
            advance(len(todo) - index, run_id)
        drainer.process({"what": "ended", "uri": tracking.uri, "run_id": run_id, "alone": True})
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
        keep = _process(drainer, segment.intents)
        # The process is gone: nobody will end the runs that it left open.
        drainer.settle()
        keep += [*_process(drainer, drainer.released()), *drainer.waiting_children()]
        drainer.forget_runs()
        if keep:
            environment = drainer.environment_intent()
            keep = [*([environment] if environment else []), *keep]
        if segment.damaged:
            drainer.progress.gaps.append(
                f"{segment.path.name}: {segment.damaged} damaged frames, kept in quarantine/"
            )
        segment.done(keep)


def _process(drainer: Drainer, intents: list[Intent]) -> list[Intent]:
    """Process intents and what becomes due meanwhile; gives those to try again later."""
    keep: list[Intent] = []
    due = deque(intents)
    while due:
        intent = due.popleft()
        if not drainer.process(intent):
            keep.append(intent)
        due += drainer.released()
    return keep
