"""Coverage: hold MLflow's runs against the ledger. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import MONITOR_REPORTS, EvidenceKind, Frozen, UtcDatetime
from aims_mlflow.ledger.histories import Histories
from aims_mlflow.scope import KIND_HISTORY, KIND_MONITOR
from aims_mlflow.sweeps import SUFFIX, below, fingerprint, needed, rule_for
from aims_mlflow.tracking import moment
from aims_mlflow.tracking.children import RunHead, head_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.tracking import Tracking
    from aims_mlflow.workspace import Workspace

#: A run that is still RUNNING after this long was probably killed.
STALE_AFTER = timedelta(hours=24)


class Coverage(Frozen):
    """Which runs of MLflow lack evidence, by id.

    A candidate of a sweep is `recorded` by the evidence of the sweep. `late` ended again, were
    registered, or joined their sweep after that was captured. `running` also holds what ended in a
    sweep that still runs.
    """

    runs: int
    recorded: tuple[str, ...]
    missing: tuple[str, ...]
    late: tuple[str, ...]
    unclaimed: tuple[str, ...]
    stale: tuple[str, ...]
    running: tuple[str, ...]
    deleted: tuple[str, ...]


def coverage(workspace: Workspace, tracking: Tracking, ledger: Ledger) -> Coverage:
    """Hold MLflow's runs against the ledger.

    Raises:
        TrackingError: MLflow does not answer.
        LedgerError: The ledger cannot be read.
    """
    return survey(workspace, tracking, ledger)[0]


def survey(
    workspace: Workspace, tracking: Tracking, ledger: Ledger
) -> tuple[Coverage, dict[str, str]]:
    """As `coverage`, and the parent whose capture accounts for each run without its own record.

    Raises:
        TrackingError: MLflow does not answer.
        LedgerError: The ledger cannot be read.
    """
    # MLflow first: what is sealed while this reads must not look as if it lacked evidence.
    listed = [head_of(run) for run in tracking.runs()]
    known = _Known.read(ledger)
    monitors = _MonitorRuns(tracking, ledger)
    heads = [head for head in listed if not monitors.made(head)]
    claimed = {m for s in workspace.profile.systems.values() for m in s.mlflow.registered_models}
    models = tracking.runs_of_models(sorted(claimed))
    sweeps = _sweeps(heads, workspace, tracking)
    accounts = {run: sweep.parent.run_id for sweep in sweeps for run in sweep.members}
    judge = _Judge(
        workspace, tracking, known, models, accounts, {s.parent.run_id: s for s in sweeps}
    )
    names = ("recorded", "missing", "late", "unclaimed", "stale", "running")
    found: dict[str, list[str]] = {name: [] for name in names}
    for head in heads:
        found[judge.standing(head)].append(head.run_id)
    deleted = [run_id for run_id in tracking.deleted_runs() if run_id in known.ended]
    lists = {name: tuple(ids) for name, ids in found.items()}
    accounts = {run: parent for run, parent in accounts.items() if run not in known.ended}
    return Coverage(runs=len(heads), deleted=tuple(deleted), **lists), accounts


class _MonitorRuns:
    """The runs that monitors made, whose evidence they sealed themselves.

    The tag alone does not make a run one of them: it would hide any run from the coverage.
    """

    def __init__(self, tracking: Tracking, ledger: Ledger) -> None:
        # A training run has a run record; the report of a monitor stands alone.
        self._sealed = ledger.captured_runs(MONITOR_REPORTS) - ledger.captured_runs()
        self._histories = Histories(ledger.database, tracking.uri_shown).run_ids()
        self._now = datetime.now(UTC)

    def made(self, head: RunHead) -> bool:
        """Whether a monitor made the run, or is at work on it."""
        if head.kind == KIND_MONITOR:
            at_work = not head.terminated and self._now - moment(head.started) <= STALE_AFTER
            return at_work or head.run_id in self._sealed
        return head.kind == KIND_HISTORY and head.run_id in self._histories


@dataclass(frozen=True)
class _Known:
    """What the ledger has: how each run ended, the models of its versions, and every sweep."""

    ended: Mapping[str, UtcDatetime]
    models: Mapping[str, frozenset[str]]
    sweeps: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, ledger: Ledger) -> _Known:
        """Everything that the newest run records say."""
        ended: dict[str, UtcDatetime] = {}
        models: dict[str, frozenset[str]] = {}
        sweeps: dict[str, Mapping[str, Any]] = {}
        for entry in ledger.entries(kind=EvidenceKind.RUN_RECORD, current=True):
            evidence, body = entry.evidence, entry.evidence.body or {}
            if evidence.subject.id.endswith(SUFFIX):
                sweeps[evidence.subject.id.removesuffix(SUFFIX)] = body
                continue
            ended[evidence.subject.id] = evidence.event_time
            versions = body.get("registered_versions", ())
            models[evidence.subject.id] = frozenset(str(v["name"]) for v in versions)
        return cls(ended, models, sweeps)


@dataclass(frozen=True)
class _Sweep:
    """An outermost sweep as MLflow holds it now."""

    parent: RunHead
    runs: Sequence[RunHead]

    @cached_property
    def members(self) -> frozenset[str]:
        return frozenset(run.run_id for run in self.runs)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.runs)

    def is_over(self, now: datetime) -> bool:
        """Whether the parent ended, or nothing happened for so long that nobody will end it."""
        if self.parent.terminated:
            return True
        last = max(max(run.started, run.ended or 0) for run in (self.parent, *self.runs))
        return now - moment(last) > STALE_AFTER


@dataclass(frozen=True)
class _Judge:
    workspace: Workspace
    tracking: Tracking
    known: _Known
    models: Mapping[str, set[str]]
    accounts: Mapping[str, str]
    sweeps: Mapping[str, _Sweep]

    @cached_property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def standing(self, head: RunHead) -> str:
        """In which list of `Coverage` a run belongs."""
        own = self.sweeps.get(head.run_id)
        if own is not None and own.is_over(self.now) and self._is_stale(own):
            return self._lacking(head, "late" if head.run_id in self.known.ended else "missing")
        if not head.terminated:
            return "stale" if self.now - moment(head.started) > STALE_AFTER else "running"
        recorded = self.known.ended.get(head.run_id)
        if recorded is None:
            return self._unrecorded(head)
        again = moment(head.ended or head.started) > recorded
        news = self.models.get(head.run_id, set()) - self.known.models[head.run_id]
        return "late" if again or news else "recorded"

    def _unrecorded(self, head: RunHead) -> str:
        """A run without a record of its own: what the evidence of its sweep says."""
        sweep = self.sweeps.get(self.accounts.get(head.run_id, ""))
        if sweep is None or self.models.get(head.run_id):
            return self._lacking(head, "missing")
        sealed = self.known.sweeps.get(sweep.parent.run_id)
        if sealed is not None and not self._is_stale(sweep):
            return "recorded"
        if not sweep.is_over(self.now):
            return "running"
        if sealed is None:
            return self._lacking(head, "missing")
        rows = {row[0]: row[1] for row in sealed.get("candidates", ())}
        return "recorded" if rows.get(head.run_id) == head.status else "late"

    def _is_stale(self, sweep: _Sweep) -> bool:
        sealed = self.known.sweeps.get(sweep.parent.run_id, {})
        return sealed.get("members_sha256") != sweep.fingerprint

    def _lacking(self, head: RunHead, standing: str) -> str:
        experiment = self.tracking.experiment_name(head.experiment_id)
        models = self.models.get(head.run_id, ())
        claimed = head.system or self.workspace.profile.claimant(experiment, models)
        return standing if claimed or standing == "late" else "unclaimed"


def _sweeps(heads: Sequence[RunHead], workspace: Workspace, tracking: Tracking) -> list[_Sweep]:
    """The outermost sweeps."""
    by_id = {head.run_id: head for head in heads}
    children: dict[str, list[RunHead]] = {}
    for head in heads:
        parent = by_id.get(head.parent or "")
        if parent is not None and parent.experiment_id == head.experiment_id:
            children.setdefault(parent.run_id, []).append(head)
    found = []
    for run_id, candidates in children.items():
        least = needed(rule_for(by_id[run_id], tracking, workspace.profile))
        if least is not None and len(candidates) >= least:
            deeper = below(by_id[run_id], children)
            runs = [*candidates, *(run for runs in deeper.values() for run in runs)]
            found.append(_Sweep(by_id[run_id], runs))
    inner = {run for sweep in found for run in sweep.members}
    return [sweep for sweep in found if sweep.parent.run_id not in inner]
