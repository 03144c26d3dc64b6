"""One execution of one monitor: measure, report, seal, remember, and tell people of breaches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import AimsError, LeaseLostError, MonitorError, UsageError
from aims_mlflow.evidence import Draft, EvidenceKind, Subject, SubjectType, normalise
from aims_mlflow.governance.monitoring import duration
from aims_mlflow.incidents import update
from aims_mlflow.monitored import EVIDENCE_KINDS, MonitoringReport
from aims_mlflow.monitoring.deadline import within
from aims_mlflow.monitoring.history import remember
from aims_mlflow.monitoring.measuring import Measured, Task, measure
from aims_mlflow.notifications import notify
from aims_mlflow.readings import Verdict
from aims_mlflow.recording import Planned, record, record_gap_of
from aims_mlflow.secrets import cleared, cleared_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection

    from aims_mlflow.governance.monitoring import Engine, Monitor
    from aims_mlflow.governance.system import AISystem
    from aims_mlflow.incidents import IncidentChange
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.ledger.windows import Claim
    from aims_mlflow.model_card.formats import Stamp
    from aims_mlflow.monitored import Window
    from aims_mlflow.notifications import Delivery
    from aims_mlflow.readings import Judgement
    from aims_mlflow.tracking import Tracking
    from aims_mlflow.workspace import Workspace

_EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INSUFFICIENT: 2}
#: Attempts after which a source that cannot be read is what the window's evidence says.
LAST_ATTEMPT = 3


@dataclass(frozen=True)
class Execution:
    """What one execution came to.

    `report` is None, and nothing is sealed, where the window is to be tried again: `problem` says
    why. `deliveries` are the notifications that were sent, or failed.
    """

    system: str
    monitor: str
    window: Window
    report: MonitoringReport | None = None
    run_id: str | None = None
    evidence_id: str | None = None
    incidents: tuple[IncidentChange, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    problem: str = ""

    @property
    def verdict(self) -> Verdict:
        """That of the report; INSUFFICIENT without one."""
        return self.report.verdict if self.report else Verdict.INSUFFICIENT

    @property
    def exit_code(self) -> int:
        """0 pass, 1 breach, 2 could not judge."""
        return _EXIT[self.verdict]


def run_monitor(
    workspace: Workspace,
    system_id: str,
    monitor: Monitor,
    window: Window,
    *,
    current: Any = None,
    reference: Any = None,
    labels: Any = None,
    claim: Claim | None = None,
    finish: Callable[[Connection, Verdict, str], None] | None = None,
    engine: Engine | None = None,
    master: str | None = None,
    now: datetime | None = None,
    actor: str,
    source: str = "monitor",
) -> Execution:
    """Execute a monitor on one window and seal what it found.

    Args:
        workspace: The profile, MLflow and the ledger.
        system_id: A declared AI system.
        monitor: What to do.
        window: The time to look at.
        current: A source (text or frame) in place of what the monitor declares.
        reference: The same for the reference.
        labels: The same for the labels.
        claim: The lease on the window. While attempts are left, a source that cannot be read
            leaves the window to the next attempt.
        finish: Called inside the ledger's transaction with the verdict and the run: it marks the
            window as done, or raises LeaseLostError, which undoes the sealing.
        engine: In place of the monitor's.
        master: The Spark master.
        now: The time; now when None.
        actor: Who or what executes.
        source: What caused it: `monitor`, `run-due`, `schedule`.

    Raises:
        UsageError: No such system.
        LeaseLostError: Another runner took the window over; nothing was sealed.
        TrackingError: MLflow does not answer or refuses; nothing was sealed.
        LedgerError: The ledger cannot be read or written; nothing was sealed.
    """
    system = _system(workspace, system_id)
    tracking = workspace.tracking()
    ledger = workspace.ledger(tracking)
    task = Task(
        system=system,
        monitor=monitor,
        window=window,
        tracking=tracking,
        base=workspace.base,
        now=now or datetime.now(UTC),
        current=current,
        reference=reference,
        labels=labels,
        engine=engine,
        master=master,
    )
    measured = _measured(task)
    if claim is not None and measured.unread and claim.attempts < LAST_ATTEMPT:
        return Execution(system_id, monitor.name, window, problem="; ".join(measured.unread))
    report = _report(task, measured)
    recorder = _Recorder(tracking, ledger, actor, source)
    run_id, evidence_id = recorder.seal(task, report, measured.evidently, finish)
    report = report.model_copy(update={"run_id": run_id})
    changes = update(
        ledger,
        report,
        evidence_id=evidence_id,
        now=task.now,
        actor=actor,
        source=source,
        rule=system.incidents,
    )
    deliveries = notify(changes, workspace.profile.organization, ledger, actor=actor)
    problems = [*report.problems, *recorder.conclude(task, report, run_id)]
    return Execution(
        system_id,
        monitor.name,
        window,
        report,
        run_id,
        evidence_id,
        changes,
        deliveries,
        "; ".join(problems),
    )


def _system(workspace: Workspace, system_id: str) -> AISystem:
    found = workspace.profile.system(system_id)
    if found is None:
        known = ", ".join(sorted(workspace.profile.systems)) or "none"
        raise UsageError(
            f"No AI system '{system_id}' is declared.",
            f"Declared: {known}. Add governance/systems/{system_id}.yaml",
        )
    return found


def _measured(task: Task) -> Measured:
    limit = duration(task.monitor.timeout)
    what = f"Monitor '{task.monitor.name}' of '{task.system.id}'"
    try:
        return within(limit, lambda: measure(task), what)
    except MonitorError as error:
        said = error.diagnostics().replace("\n", " ")
        late = Measured(problems=[said], unread=[said])
        return _unmeasured(task, late)


def _unmeasured(task: Task, found: Measured) -> Measured:
    from aims_mlflow.monitors.judge_readings import judge_readings

    found.judgements, notes = judge_readings(
        task.thresholds, (), day=task.day, problems=found.problems
    )
    found.notes += notes
    return found


def _report(task: Task, found: Measured) -> MonitoringReport:
    problems, judgements = list(found.problems), found.judgements
    if task.window.end > task.now:
        said = f"the window ends in the future ({task.window.key}), or a clock is wrong"
        problems.append(said)
        judgements = tuple(_withheld(judgement, said) for judgement in judgements)
    verdict = Verdict.worst(judgement.verdict for judgement in judgements)
    if problems and verdict is Verdict.PASS:
        verdict = Verdict.INSUFFICIENT
    notes = list(found.notes)
    if not task.thresholds:
        notes.append(
            f"no threshold of '{task.system.id}' is judged by this monitor: add one, so that its "
            "readings have a limit"
        )
    return MonitoringReport(
        system_id=task.system.id,
        monitor=task.monitor.name,
        kind=task.monitor.kind,
        window=task.window,
        verdict=verdict,
        readings=found.readings,
        judgements=judgements,
        data=tuple(type(d).model_validate(cleared_tree(d.model_dump())) for d in found.data),
        comparisons=found.comparisons,
        scores=found.scores,
        declared=cleared_tree(task.monitor.model_dump(mode="json", exclude_defaults=True)),
        threshold_config=task.system.digest(),
        model_version=found.model_version,
        given=task.given,
        problems=tuple(_cleared(problems)),
        notes=tuple(_cleared(dict.fromkeys(notes))),
    )


def _withheld(judgement: Judgement, reason: str) -> Judgement:
    if judgement.verdict is not Verdict.PASS:
        return judgement
    return judgement.model_copy(update={"verdict": Verdict.INSUFFICIENT, "reason": reason})


def _cleared(texts: Iterable[str]) -> list[str]:
    return [cleared(text)[0] for text in texts]


@dataclass(frozen=True)
class _Recorder:
    tracking: Tracking
    ledger: Ledger
    actor: str
    source: str

    def seal(
        self,
        task: Task,
        report: MonitoringReport,
        evidently: bytes | None,
        finish: Callable[[Connection, Verdict, str], None] | None,
    ) -> tuple[str, str]:
        """Make the run, write the documents, seal the evidence; returns both ids."""
        runs = self.tracking.monitor_runs
        run_id = runs.begin(report.system_id, report.monitor, report.window, _tags(report))
        try:
            runs.log(run_id, _metrics(report), report.window.end, params=_params(report))
            items = list(_items(report, run_id, evidently))
            sealed = record(
                items,
                run_id,
                tracking=self.tracking,
                ledger=self.ledger,
                source=self.source,
                actor=self.actor,
                within=None if finish is None else lambda c: finish(c, report.verdict, run_id),
            )
        except LeaseLostError:
            runs.discard(run_id)
            raise
        except AimsError:
            runs.end(run_id, failed=True, tags={})
            raise
        self._gap(task.system, report)
        return run_id, sealed.newest[items[0].draft.lineage].id

    def conclude(self, task: Task, report: MonitoringReport, run_id: str) -> list[str]:
        """Remember the readings in MLflow and end the run; returns what failed of it.

        The evidence is sealed by now: nothing here may undo what was found.
        """
        failed = report.verdict is Verdict.INSUFFICIENT and bool(report.problems)
        try:
            remember(report, task.monitor, self.tracking, self.ledger)
            self.tracking.monitor_runs.end(run_id, failed=failed, tags={})
        except AimsError as error:
            return [f"sealed, but MLflow does not show all of it: {error.message}"]
        return []

    def _gap(self, system: AISystem, report: MonitoringReport) -> None:
        """What could not be read or measured is a gap, which people see until it is explained."""
        if report.problems:
            where = f"{report.monitor}@{report.window.key}"
            record_gap_of(
                self.ledger,
                Subject(type=SubjectType.SYSTEM, id=f"{system.id}/{where}", name=system.name),
                f"monitor {where}: {'; '.join(report.problems)}",
                system=system.id,
                actor=self.actor,
                source=self.source,
            )


def _tags(report: MonitoringReport) -> dict[str, str]:
    return {
        "aims.verdict": report.verdict.value,
        "aims.monitor_kind": report.kind,
        "aims.threshold_config": report.threshold_config or "",
    }


def _metrics(report: MonitoringReport) -> dict[str, float]:
    return {r.key: r.value for r in report.readings if r.value is not None}


def _params(report: MonitoringReport) -> dict[str, str]:
    given = {
        "window_start": report.window.start.isoformat(),
        "window_end": report.window.end.isoformat(),
        "model_version": report.model_version or "",
        **{data.role: data.uri for data in report.data},
        **{f"{data.role}_rows": str(data.rows) for data in report.data if data.rows is not None},
    }
    return {key: value for key, value in given.items() if value}


def _items(report: MonitoringReport, run_id: str, evidently: bytes | None) -> Iterator[Planned]:
    """The report, then an alert for each breach."""
    from aims_mlflow.model_card.formats.monitor_view import render_monitoring

    kind = EVIDENCE_KINDS[report.kind]

    def render(stamp: Stamp) -> dict[str, bytes]:
        documents = render_monitoring(report.model_copy(update={"run_id": run_id}), stamp)
        return documents if evidently is None else {**documents, "evidently.html": evidently}

    drafted = _draft(kind, report, _subject(report, kind, run_id), report.body())
    yield Planned(drafted, kind.value, render)
    for judgement in report.judgements:
        if judgement.verdict is Verdict.FAIL:
            yield _alert(report, run_id, judgement.model_dump(), drafted)


def _alert(
    report: MonitoringReport, run_id: str, judgement: dict[str, Any], drafted: Draft
) -> Planned:
    from aims_mlflow.model_card.formats.json import render_body

    body = {
        "schema_version": "aims.alert/1",
        "system_id": report.system_id,
        "monitor": report.monitor,
        "window": report.window.model_dump(),
        "judgement": judgement,
        "report": {"kind": drafted.kind.value, "content_digest": drafted.content_digest()},
    }
    where = "/".join(filter(None, (judgement["threshold"], judgement["part"])))
    subject = Subject(type=SubjectType.SYSTEM, id=f"{report.system_id}/{where}", run_id=run_id)
    draft = _draft(EvidenceKind.ALERT, report, subject, body)
    stem = f"alert.{judgement['threshold']}"
    return Planned(
        draft, stem, lambda stamp: {"json": render_body(draft.body, EvidenceKind.ALERT, stamp)}
    )


def _draft(
    kind: EvidenceKind, report: MonitoringReport, subject: Subject, body: dict[str, Any]
) -> Draft:
    clean, notes = normalise(body)
    return Draft(
        kind=kind,
        system=report.system_id,
        subject=subject,
        event_time=report.window.end,
        body=clean,
        normalised=notes,
    )


def _subject(report: MonitoringReport, kind: EvidenceKind, run_id: str) -> Subject:
    """What the report is about, as the evidence map has it for the kind."""
    if kind is EvidenceKind.DATA_QUALITY_REPORT:
        current = next((data for data in report.data if data.role == "current"), None)
        if current is not None and current.summary_sha256:
            return Subject(
                type=SubjectType.DATASET,
                id=current.summary_sha256,
                run_id=run_id,
                name=current.uri,
            )
    if kind in (EvidenceKind.BIAS_REPORT, EvidenceKind.EVALUATION_REPORT) and report.model_version:
        return Subject(type=SubjectType.MODEL_VERSION, id=report.model_version, run_id=run_id)
    return Subject(type=SubjectType.SYSTEM, id=report.system_id, run_id=run_id)
