"""Judging what is due: every window once, whoever runs this, how often and from how many places."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from aims_mlflow.drain import actor
from aims_mlflow.errors import AimsError, LeaseLostError, LedgerError, TrackingError
from aims_mlflow.ledger.windows import MAX_ATTEMPTS, WindowClaims
from aims_mlflow.monitoring.aftermath import settle, tell
from aims_mlflow.monitoring.declared import declared_monitors
from aims_mlflow.monitoring.heartbeat import Heartbeat
from aims_mlflow.monitoring.missing import MissedWindows, seal_missed
from aims_mlflow.monitoring.outcome import Outcome, Result
from aims_mlflow.monitoring.windows import Due, fired, window_at, windows_due
from aims_mlflow.monitors.source_folders import remove_stale
from aims_mlflow.monitors.source_values import without_values
from aims_mlflow.readings import Verdict
from aims_mlflow.secrets import cleared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.ledger.windows import Claim
    from aims_mlflow.monitored import MonitoringReport, Window
    from aims_mlflow.monitoring.execution import Execution
    from aims_mlflow.notifications import Delivery
    from aims_mlflow.workspace import Workspace

#: How long a window stays with a runner that says nothing; a living one renews it at a third.
LEASE = timedelta(minutes=5)
#: Looks at what is due, where other runners take windows up at the same moment.
_LOOKS = 3


class Execute(Protocol):
    """What runs a monitor on a window: `aims_mlflow.monitoring.execution.run_monitor`."""

    def __call__(
        self,
        workspace: Workspace,
        system_id: str,
        monitor: Monitor,
        window: Window,
        *,
        claim: Claim | None = None,
        finish: Callable[[Connection, Verdict, str], None] | None = None,
        now: datetime | None = None,
        actor: str,
        source: str,
    ) -> Execution:
        """Judge the window, or say in the `problem` of what it returns why that is for later."""


def run_due(
    workspace: Workspace,
    *,
    now: datetime | None = None,
    systems: Sequence[str] | None = None,
    execute: Execute | None = None,
    workers: int = 1,
    lease: timedelta = LEASE,
    stop: Callable[[], bool] | None = None,
    source: str = "run-due",
) -> Outcome:
    """Judge every window of every declared monitor that is due and that nobody else works on.

    Idempotent: a window that is judged, missed or given up is left alone. One monitor that fails
    does not keep the others from running.

    Args:
        workspace: The profile, MLflow and the ledger.
        now: The time that decides what is due; the present when None. Leases follow the clock.
        systems: Only these AI systems.
        execute: Runs a monitor on a window; `run_monitor` when None.
        workers: Monitors that are run at the same time.
        lease: How long a window stays with this runner if it dies.
        stop: Asked before every window whether to leave the rest for another time.
        source: What caused it, for the evidence.

    Raises:
        UsageError: A named system is not declared.
        LedgerError: The ledger cannot be opened.
    """
    remove_stale()
    ledger = workspace.ledger()
    runner = _Runner(
        workspace=workspace,
        ledger=ledger,
        claims=WindowClaims(ledger.database),
        execute=execute or _run_monitor(),
        now=now,
        lease=lease,
        stop=stop or (lambda: False),
        source=source,
    )
    jobs = list(declared_monitors(workspace.profile, systems))
    if workers > 1:
        found = _side_by_side(runner, jobs, workers)
    else:
        found = [list(runner.run(*job)) for job in jobs]
    late: tuple[Delivery, ...] = ()
    if not runner.broken.is_set():
        late = tell(workspace, ledger, now=datetime.now(UTC), actor=actor())
    return Outcome(
        results=tuple(result for each in found for result in each),
        problems=(*workspace.faults, *runner.problems),
        deliveries=late,
    )


def _side_by_side(
    runner: _Runner, jobs: Sequence[tuple[str, Monitor]], workers: int
) -> list[list[Result]]:
    """Several monitors at a time. A runner that is stopped ends those at work, and no more."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="aims-monitors")
    try:
        return list(pool.map(lambda job: list(runner.run(*job)), jobs))
    except BaseException:
        runner.broken.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        pool.shutdown()


def _run_monitor() -> Execute:
    # It brings the engines along, which a look at what is due does not need.
    from aims_mlflow.monitoring.execution import run_monitor

    return run_monitor


def _holder() -> str:
    return f"{actor()}@{socket.gethostname()} (process {os.getpid()})"


@dataclass
class _Runner:
    workspace: Workspace
    ledger: Ledger
    claims: WindowClaims
    execute: Execute
    now: datetime | None
    lease: timedelta
    stop: Callable[[], bool]
    source: str
    holder: str = field(default_factory=_holder)
    problems: list[str] = field(default_factory=list)
    broken: threading.Event = field(default_factory=threading.Event)

    def run(self, system: str, monitor: Monitor) -> Iterator[Result]:
        """Handle what is due of one monitor, oldest first."""
        if self.broken.is_set() or self.stop():
            return
        try:
            yield from self._handle(system, monitor)
        except LedgerError as error:
            # Without the ledger nothing can be claimed: the other monitors would only wait for it.
            if not self.broken.is_set():
                self.broken.set()
                self.problems.append(_told(error))
        except AimsError as error:
            self.problems.append(f"monitor '{monitor.name}' of '{system}': {_told(error)}")

    def _handle(self, system: str, monitor: Monitor) -> Iterator[Result]:
        present = self.now or datetime.now(UTC)
        self._settle(system, monitor)
        for _ in range(_LOOKS):
            due = self._due(system, monitor, present)
            if not due.missed:
                break
            try:
                yield self._missed(system, monitor, due.missed)
                break
            except LeaseLostError:  # another runner looks at the same moment: look again
                continue
        waiting = self.claims.open(system, monitor.name, now=datetime.now(UTC))
        windows = {window.key: window for window in (*(row.window for row in waiting), *due.run)}
        for key in sorted(windows):
            if self.broken.is_set() or self.stop():
                return
            result = self._attempt(system, monitor, windows[key])
            if result is not None:
                yield result

    def _settle(self, system: str, monitor: Monitor) -> None:
        """Finish what a runner that died after sealing left undone."""
        declared = self.workspace.profile.system(system)
        if declared is not None:
            settle(
                self.ledger,
                declared,
                monitor,
                now=datetime.now(UTC),
                actor=actor(),
                source=self.source,
            )

    def _due(self, system: str, monitor: Monitor, present: datetime) -> Due:
        latest = self.claims.latest(
            system,
            monitor.name,
            until=present,
            scheduled=lambda window: window == window_at(monitor, fired(monitor, window)),
        )
        since = fired(monitor, latest.window) if latest else None
        return windows_due(monitor, since=since, now=present)

    def _missed(self, system: str, monitor: Monitor, windows: Sequence[Window]) -> Result:
        rule = (
            "missed windows are declared as gaps"
            if monitor.missed == "gap"
            else f"at most {monitor.max_catch_up} are caught up"
        )
        count = len(windows)
        noun = "window" if count == 1 else "windows"
        reason = f"{count} {noun} passed while no runner was there; {rule}"
        missed = MissedWindows(system, monitor.name, tuple(windows), reason)
        mark = partial(
            WindowClaims.miss, system=system, monitor=monitor.name, windows=missed.windows
        )
        seal_missed(self.ledger, missed, mark, source=self.source)
        return Result(
            system=system,
            monitor=monitor.name,
            window=missed.span,
            outcome="missed",
            problem=reason,
            windows=count,
        )

    def _attempt(self, system: str, monitor: Monitor, window: Window) -> Result | None:
        claim = self.claims.claim(
            system,
            monitor.name,
            window,
            holder=self.holder,
            lease=self.lease,
            now=datetime.now(UTC),
        )
        if claim is None:
            return None
        try:
            if claim.attempts > MAX_ATTEMPTS:
                return self._failed(claim, "no attempt came to its end: was its runner killed?")
            return self._executed(monitor, claim)
        except LeaseLostError as error:
            return _result(claim, "lost", problem=error.message)
        except (KeyboardInterrupt, SystemExit):
            self.claims.fail(claim, "the runner was stopped")
            raise

    def _executed(self, monitor: Monitor, claim: Claim) -> Result:
        def finish(connection: Connection, verdict: Verdict, run_id: str) -> None:
            WindowClaims.finish(connection, claim, verdict.value, run_id)

        try:
            with Heartbeat(self.claims, claim, monitor):
                execution = self.execute(
                    self.workspace,
                    claim.system,
                    monitor,
                    claim.window,
                    claim=claim,
                    finish=finish,
                    now=self.now,
                    actor=actor(),
                    source=self.source,
                )
        except LeaseLostError:
            raise
        except TrackingError as error:
            return self._away(monitor, claim, _told(error))
        except AimsError as error:
            return self._failed(claim, _told(error))
        except Exception as error:
            # A fault of ours or of a library; the other monitors must still run.
            said = without_values(f"{type(error).__name__}: {error}")
            return self._failed(claim, cleared(said)[0])
        if execution.report is None:
            return self._failed(claim, execution.problem)
        return _result(
            claim,
            "judged",
            verdict=execution.verdict,
            run_id=execution.run_id,
            problem=execution.problem or _unlimited(execution.report),
            judgements=tuple(j for j in execution.report.judgements if j.verdict != Verdict.PASS),
            incidents=execution.incidents,
            deliveries=execution.deliveries,
        )

    def _away(self, monitor: Monitor, claim: Claim, problem: str) -> Result:
        """While MLflow is away, a window waits as long as it would if no runner were there."""
        just_before = fired(monitor, claim.window) - timedelta(microseconds=1)
        present = self.now or datetime.now(UTC)
        if claim.window in windows_due(monitor, since=just_before, now=present).run:
            self.claims.fail(claim, problem, counted=False)
            return _result(claim, "later", problem=problem)
        return self._given_up(claim, problem, "given up, as newer windows wait")

    def _failed(self, claim: Claim, problem: str) -> Result:
        if claim.attempts < MAX_ATTEMPTS:
            self.claims.fail(claim, problem)
            return _result(claim, "later", problem=problem)
        return self._given_up(claim, problem, f"given up after {MAX_ATTEMPTS} attempts")

    def _given_up(self, claim: Claim, problem: str, why: str) -> Result:
        reason = f"{why}: {problem}"
        missed = MissedWindows(claim.system, claim.monitor, (claim.window,), reason)
        mark = partial(WindowClaims.give_up, claim=claim, problem=problem)
        seal_missed(self.ledger, missed, mark, source=self.source)
        return _result(claim, "failed", problem=reason)


def _result(claim: Claim, outcome: str, **values: Any) -> Result:
    return Result.model_validate(
        {
            "system": claim.system,
            "monitor": claim.monitor,
            "window": claim.window,
            "outcome": outcome,
            **values,
        }
    )


def _unlimited(report: MonitoringReport) -> str:
    """Why a report that judges no threshold, and had no problem, is INSUFFICIENT."""
    return "" if report.judgements else "; ".join(report.notes)


def _told(error: AimsError) -> str:
    return " ".join(cleared(error.diagnostics())[0].split())
